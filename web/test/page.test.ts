// Addresses, days, panels, statements, messages.
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { parse } from "smol-toml";
import { describe, expect, test, vi } from "vitest";
import { remember, remembered } from "../src/core/history";
import { type Panel, liveSpans, values, wanted, weekBefore } from "../src/core/panel";
import { Queries } from "../src/core/queries";
import { type Answer, Unreachable, fill, identifier, literal } from "../src/core/sql";
import { DEFAULTS, pageOf, pathOf, period, read, write } from "../src/core/url";
import { addDays, dateOf, dayStart } from "../src/core/zone";
import { CATALOGUES, languageOf, localeOf, translator } from "../src/i18n";

const ROOT = new URL("..", import.meta.url).pathname;

describe("addresses", () => {
  test("hold every choice and nothing that was not chosen", () => {
    expect(write(DEFAULTS)).toBe("");
    const choices = {
      range: { from: "2026-11-01", to: "2026-11-07" }, compare: false, currency: "", zone: "Asia/Tokyo", language: "zh-CN",
    } as const;
    expect(read(write(choices))).toEqual(choices);
    expect(read(write({ ...DEFAULTS, range: { days: 30 } })).range).toEqual({ days: 30 });
  });
  test("nonsense in them is as if it were not there", () => {
    expect(read("?days=-3&zone=Moon/Base&from=2026-02-30x&to=1")).toEqual(DEFAULTS);
    expect(read("?from=2026-11-07&to=2026-11-01").range).toEqual({ days: 7 });
    expect(read("?from=1999-01-01&to=2026-11-01").range).toEqual({ days: 7 });
  });
  test("name a page", () => {
    for (const page of ["live", "sales", "data", "sql", { own: "my-shop" }] as const) {
      expect(pageOf(pathOf(page))).toEqual(page);
    }
    expect(pageOf("/nowhere")).toBe("live");
  });
});

describe("days", () => {
  test("begin at the zone's midnight, also where the clock is changed", () => {
    expect(new Date(dayStart("2026-03-29", "Europe/Berlin")).toISOString()).toBe("2026-03-28T23:00:00.000Z");
    expect(new Date(dayStart("2026-03-30", "Europe/Berlin")).toISOString()).toBe("2026-03-29T22:00:00.000Z");
    expect(new Date(dayStart("2026-10-26", "Europe/Berlin")).toISOString()).toBe("2026-10-25T23:00:00.000Z");
    expect(dateOf(Date.parse("2026-11-22T20:00:00Z"), "Asia/Shanghai")).toBe("2026-11-23");
    expect(addDays("2026-12-31", 1)).toBe("2027-01-01");
    // The same time of day a week before, though the week was 167 hours long.
    const at = Date.parse("2026-04-02T10:00:00Z");
    expect(new Date(weekBefore(at, "Europe/Berlin")).toISOString()).toBe("2026-03-26T11:00:00.000Z");
  });
  test("make a period and the one before it, which touch", () => {
    const now = Date.parse("2026-11-22T10:00:00Z");
    const week = period({ days: 7 }, "UTC", now);
    expect([week.firstDay, week.lastDay]).toEqual(["2026-11-16", "2026-11-22"]);
    expect(new Date(week.beforeFrom).toISOString()).toBe("2026-11-09T00:00:00.000Z");
    expect(period({ from: "2026-03-29", to: "2026-03-29" }, "Europe/Berlin", now)).toMatchObject({
      from: Date.parse("2026-03-28T23:00:00Z"), to: Date.parse("2026-03-29T22:00:00Z"), days: 1,
    });
  });
});

const live = (data: object): Panel => ({
  id: "p", own: false, page: "live", order: 1, size: "half", chart: "figure", title: {}, note: {}, x: null, y: ["gross"],
  before: null, column: {},
  data: { view: "v", where: null, time: "at", range: null, hours: null, compare: null, sql: null, refresh_s: null, ...data },
});

describe("panels", () => {
  const now = Date.parse("2026-11-22T10:30:20Z");
  test("follow no more than they show, under conditions that last an hour", () => {
    const panel = live({ range: "today", compare: "week" });
    expect(wanted(panel, "UTC", now)).toEqual([
      { view: "v", where: `"at" >= '2026-11-22T00:00:00.000Z'` },
      { view: "v", where: `"at" >= '2026-11-15T00:00:00.000Z' AND "at" < '2026-11-15T11:00:00.000Z'` },
    ]);
    expect(wanted(panel, "UTC", now + 60_000)).toEqual(wanted(panel, "UTC", now));
    expect(liveSpans(panel, "UTC", now).before).toEqual({
      from: Date.parse("2026-11-15T00:00:00Z"), to: Date.parse("2026-11-15T10:30:20Z"),
    });
    const own = live({ range: "day", where: "store_id = 'a' OR store_id = 'b'" });
    expect(wanted(own, "UTC", now)[0]?.where).toBe(`"at" >= '2026-11-22' AND (store_id = 'a' OR store_id = 'b')`);
    expect(wanted(live({}), "UTC", now)).toEqual([{ view: "v", where: "" }]);
  });
  test("that are ours ask for nothing that is not known", () => {
    const known = values(period({ days: 7 }, "UTC", now), "UTC", now);
    const files = readdirSync(join(ROOT, "panels"));
    expect(files.length).toBeGreaterThan(10);
    for (const file of files) {
      const panel = parse(readFileSync(join(ROOT, "panels", file), "utf8")) as unknown as Panel;
      const filled = fill(panel.data.sql ?? "", known);
      expect(filled.replace(/'[^']*'/g, ""), file).not.toMatch(/:[a-z]/);
    }
  });
});

describe("statements", () => {
  test("are filled in their places alone", () => {
    const sql = `SELECT ':from', a::text, ":from" -- :from\n/* :from */ WHERE at >= :from AND b = :other`;
    expect(fill(sql, { from: "1" })).toBe(`SELECT ':from', a::text, ":from" -- :from\n/* :from */ WHERE at >= 1 AND b = :other`);
    expect(fill(":constructor", {})).toBe(":constructor");
    expect(literal("O'Neil")).toBe("'O''Neil'");
    expect(identifier('a"b')).toBe('"a""b"');
  });
  test("are remembered once, the newest first, and not without end", () => {
    let list: string[] = [];
    for (let n = 0; n < 60; n += 1) list = remember(list, `SELECT ${n}`);
    list = remember(list, "SELECT 30 ");
    expect(list).toHaveLength(50);
    expect(list[0]).toBe("SELECT 30");
    expect(list.filter((one) => one === "SELECT 30")).toHaveLength(1);
    expect(remembered("{no json")).toEqual([]);
    expect(remembered('["a", 1]')).toEqual(["a"]);
  });
  test("that panels share are asked once; the same answer draws nothing again", async () => {
    vi.useFakeTimers();
    const answers: (Answer | Error)[] = [];
    const asked: string[] = [];
    const answer = (n: number): Answer => ({ columns: [{ name: "n", type: "INT" }], rows: [[n]], row_count: 1, truncated: false, elapsed_ms: n });
    const queries = new Queries(async (sql) => {
      asked.push(sql);
      const next = answers.shift() ?? answer(0);
      if (next instanceof Error) throw next;
      return next;
    }, Date.now, () => false);
    answers.push(answer(1), { ...answer(1), elapsed_ms: 99 }, new Unreachable("503"), answer(2));
    const stops = [queries.keep("q", 5, () => undefined), queries.keep("q", null, () => undefined)];
    await vi.advanceTimersByTimeAsync(1);
    expect(asked).toHaveLength(1);
    const first = queries.state("q").answer;
    await vi.advanceTimersByTimeAsync(5_000);
    expect(asked).toHaveLength(2);
    expect(queries.state("q").answer).toBe(first);
    await vi.advanceTimersByTimeAsync(5_000);
    // The server is away: what was known stands, and it is asked again soon.
    expect(queries.state("q")).toMatchObject({ answer: first, error: { message: "503" } });
    await vi.advanceTimersByTimeAsync(3_000);
    expect(queries.state("q")).toMatchObject({ answer: { rows: [[2]] }, error: null });
    for (const stop of stops) stop();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(asked).toHaveLength(4);
    vi.useRealTimers();
  });
});

describe("messages", () => {
  const places = (text: string) => [...text.matchAll(/\{\w+\}/g)].map(String).sort();
  test("are there in every language, with the same places", () => {
    const english = CATALOGUES["en"]!;
    for (const [language, catalogue] of Object.entries(CATALOGUES)) {
      expect(Object.keys(catalogue).sort(), language).toEqual(Object.keys(english).sort());
      for (const [key, text] of Object.entries(catalogue)) {
        expect(text.trim(), `${language} ${key}`).not.toBe("");
        expect(places(text), `${language} ${key}`).toEqual(places(english[key as keyof typeof english]));
      }
    }
  });
  test("that the code asks for are there, and none is left over", () => {
    const code = readdirSync(join(ROOT, "src"), { recursive: true, encoding: "utf8" })
      .filter((file) => /\.tsx?$/.test(file) && !file.startsWith("i18n/"))
      .map((file) => readFileSync(join(ROOT, "src", file), "utf8")).join("\n");
    const keys = Object.keys(CATALOGUES["en"]!);
    for (const [, key] of code.matchAll(/\bt\("([^"]+)"/g)) expect(keys).toContain(key);
    // Keys that are put together end in a place: nav., title., state., data., choice.theme., connection.
    const prefixes = [...code.matchAll(/`([a-z.]+\.)\$\{/g)].map(([, prefix]) => prefix!);
    const unused = keys.filter((key) => !code.includes(`"${key}"`) && !prefixes.some((prefix) => key.startsWith(prefix)));
    expect(unused).toEqual([]);
  });
  test("come in the language of the reader", () => {
    expect(languageOf(null, ["fr-FR", "zh-TW", "en"])).toBe("zh-CN");
    expect(languageOf("en", ["zh-CN"])).toBe("en");
    expect(languageOf("xx", ["fr"])).toBe("en");
    expect(localeOf("en", ["zh-CN", "en-GB"])).toBe("en-GB");
    expect(translator("zh-CN")("choice.days", { count: 7 })).toBe("7 天");
  });
});
