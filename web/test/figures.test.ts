// Amounts and how they are written: exact, by currency, as the reader writes numbers.
import { describe, expect, test } from "vitest";
import { add, changePerMille, compare, decimal, text } from "../src/core/decimal";
import { Formats } from "../src/core/format";
import { bars, currencies, instant, latest, ofCurrency, series, total, totals, within } from "../src/core/shape";

const of = (digits: string) => decimal(digits)!;

describe("decimals", () => {
  test("ten thousand cents are what they are", () => {
    let sum = of("0");
    for (let n = 0; n < 10_000; n += 1) sum = add(sum, of("0.010000"));
    expect(text(sum)).toBe("100");
    expect(text(add(of("0.1"), of("0.2")))).toBe("0.3");
    expect(text(add(of("12345678901234567890.123456"), of("-0.000001")))).toBe("12345678901234567890.123455");
    expect(text(of("-0.50"))).toBe("-0.5");
  });
  test("what is no number is none, and floats are refused", () => {
    for (const no of ["", "1e5", "NaN", "12,5", null, undefined, true, 0.5]) expect(decimal(no)).toBeNull();
    expect(text(of("007.10"))).toBe("7.1");
    expect(decimal(12)).toEqual({ units: 12n, scale: 0 });
  });
  test("changes are rounded half away from nothing, and from nothing there is none", () => {
    expect(changePerMille(of("110"), of("100"))).toBe(100);
    expect(changePerMille(of("99.95"), of("100"))).toBe(-1);
    expect(changePerMille(of("100.04"), of("100"))).toBe(0);
    expect(changePerMille(of("1"), of("0"))).toBeNull();
    expect(compare(of("1.10"), of("1.1"))).toBe(0);
    expect(compare(of("-2"), of("1"))).toBeLessThan(0);
  });
});

describe("formats", () => {
  const english = new Formats("en-US", "UTC");
  const german = new Formats("de-DE", "Europe/Berlin");
  const plain = (text: string) => text.replace(/\u00a0|\u202f/g, " ");
  test("money keeps every digit, in the reader's way and the currency's digits", () => {
    expect(english.money(of("90071992547409931234.56"), "USD")).toBe("$90,071,992,547,409,931,234.56");
    expect(plain(german.money(of("1234.5"), "EUR"))).toBe("1.234,50 €");
    expect(english.money(of("1290"), "JPY")).toBe("¥1,290");
    expect(english.money(of("7.5"), "points")).toBe("7.50 points");
    expect(english.money(of("7.5"), null)).toBe("7.50");
  });
  test("times are in the zone that was chosen", () => {
    const at = Date.parse("2026-11-22T23:30:00Z");
    expect(english.minute(at)).toContain("11:30");
    expect(german.minute(at)).toBe("00:30");
    expect(german.change(43)).toContain("4,3");
    expect(english.change(-43)).toBe("-4.3%");
    expect(english.change(9_000)).toBe("×10");
  });
});

describe("rows", () => {
  const table = {
    columns: ["currency", "minute", "gross", "orders", "country"],
    rows: [
      ["EUR", "2026-11-22T10:00:00Z", "0.10", 1, "DE"], ["EUR", "2026-11-22T10:01:00Z", "0.20", 1, "FR"],
      ["USD", "2026-11-22T10:01:00Z", "5.00", 3, "US"], [null, "2026-11-22T10:02:00Z", "7.00", 1, null],
    ],
  };
  test("currencies never meet", () => {
    expect(text(total(ofCurrency(table, "EUR"), "gross")!)).toBe("0.3");
    expect(text(total(ofCurrency(table, null), "gross")!)).toBe("7");
    expect([...totals(table, "gross")].map(([currency, sum]) => [currency, text(sum)]))
      .toEqual([["EUR", "0.3"], ["USD", "5"], [null, "7"]]);
    expect(currencies(table, "orders")).toEqual(["USD", "EUR", null]);
    expect(total(ofCurrency(table, "JPY"), "gross")).toBeNull();
  });
  test("times bound what is shown, and gaps are zero", () => {
    const [from, to] = [Date.parse("2026-11-22T10:00:00Z"), Date.parse("2026-11-22T10:01:00Z")];
    expect(within(table, "minute", { from, to }).rows).toHaveLength(1);
    expect(latest(table, "minute").rows).toEqual([table.rows[3]]);
    const points = series(ofCurrency(table, "EUR"), "minute", "gross", [from, to, to + 60_000]);
    expect(points.map((point) => text(point.value))).toEqual(["0.1", "0.2", "0"]);
    expect(instant("2026-11-22")).toBe(Date.parse("2026-11-22T00:00:00Z"));
    expect(instant("no time")).toBeNull();
  });
  test("bars are the largest first, with what they were", () => {
    const rows = [["DE", "1", "2"], ["FR", "4", null], ["DE", "2", "1"]];
    const all = bars({ columns: ["country", "gross", "was"], rows }, "country", "gross", "was");
    expect(all.map((bar) => [bar.label, text(bar.value), text(bar.before!), bar.share]))
      .toEqual([["FR", "4", "0", 1], ["DE", "3", "3", 0.75]]);
  });
});
