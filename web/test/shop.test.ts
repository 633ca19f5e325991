// The shop's amounts and words.
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { type Market, amountText, totals } from "../shop/api";
import { TEXTS, wordsOf } from "../shop/words";

const EURO: Market = {
  country: "DE", currency: "EUR", minor_digits: 2, tax_per_mille: 190, shipping_minor: 490, free_shipping_minor: 5_000,
};

describe("amounts", () => {
  test("are texts with the currency's digits", () => {
    expect([amountText(1_234, 2), amountText(5, 2), amountText(-5, 2), amountText(1_234, 0)]).toEqual(["12.34", "0.05", "-0.05", "1234"]);
  });
  test("of a cart are reckoned as the back end does", () => {
    const line = { product_id: "1", quantity: 2, price_minor: 1_290 };
    expect(totals([line], EURO)).toEqual({ subtotal: 2_580, shipping: 490, tax: 490, total: 3_560 });
    expect(totals([{ ...line, quantity: 4 }], EURO)).toMatchObject({ shipping: 0, total: 5_160 + 980 });
    expect(totals([], EURO).total).toBe(0);
  });
});

describe("words", () => {
  test("are there in both languages, with the same places to fill", () => {
    const source = readFileSync(new URL("../shop/words.ts", import.meta.url), "utf8");
    const keys = [...source.matchAll(/^ {2}"([a-z]+\.[\w.]+)":/gm)].map((found) => found[1] ?? "");
    const places = (text: string): string[] => [...text.matchAll(/\{\w+\}/g)].map(String).sort();
    const [en, zh] = [wordsOf("en"), wordsOf("zh-CN")];
    expect(keys.length).toBeGreaterThan(100);
    for (const key of keys) expect(places(zh(key as never)), key).toEqual(places(en(key as never)));
  });
  test("describe every product of the catalogue", () => {
    const catalogue = readFileSync(new URL("../../crates/collect/src/demo/catalogue.rs", import.meta.url), "utf8");
    const products = [...catalogue.matchAll(/product\("(\d+)"/g)].map((found) => found[1]);
    expect(products).toHaveLength(24);
    expect(Object.keys(TEXTS).sort()).toEqual(products.sort());
    for (const texts of Object.values(TEXTS)) for (const text of texts) expect(text.length).toBeGreaterThan(1);
  });
});
