// What every page of the shop may ask for: words, prices, the cart, where one is.
import { createContext, use, useCallback, useEffect, useMemo, useState } from "react";
import { languageOf, localeOf } from "../src/i18n";
import { store, stored } from "../src/ui/theme";
import { type Catalogue, type Market, type OrderLine, type Product, amountText } from "./api";
import { analytics, productOf } from "./track";
import { TEXTS, type Words, wordsOf } from "./words";

const CART = "shop.cart";
const CURRENCY = "shop.currency";
const LANGUAGE = "tradewind.language";
/** Of one product; the back end takes as many. */
export const QUANTITY_MAX = 99;

export interface Shop {
  readonly catalogue: Catalogue;
  readonly products: ReadonlyMap<string, Product>;
  readonly market: Market;
  readonly language: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly cart: readonly OrderLine[];
  readonly count: number;
  readonly t: Words;
  money(minor: number, currency?: string): string;
  moment(at: string): string;
  nameOf(product: Product): string;
  about(product: Product): string;
  put(product: Product, quantity: number): void;
  empty(): void;
  go(address: string): void;
  chooseCurrency(currency: string): void;
  chooseLanguage(language: string): void;
}

export const ShopContext = createContext<Shop | null>(null);

export function useShop(): Shop {
  const shop = use(ShopContext);
  if (!shop) throw new Error("outside of the shop");
  return shop;
}

/** The currency a reader's browser lets one guess. */
function guessed(languages: readonly string[]): string {
  const first = languages[0] ?? "";
  return /-US$/i.test(first) ? "USD" : /^ja|-JP$/i.test(first) ? "JPY" : "EUR";
}

type Quantities = Readonly<Record<string, number>>;

function keptCart(): Quantities {
  try {
    const kept: unknown = JSON.parse(stored(CART) ?? "{}");
    const lines = Object.entries(kept as object).filter(([, count]) => Number.isInteger(count) && count > 0 && count <= QUANTITY_MAX);
    return Object.fromEntries(lines) as Quantities;
  } catch {
    return {};
  }
}

function usePlace(): [string, URLSearchParams, (address: string) => void] {
  const [place, setPlace] = useState(location.pathname + location.search);
  useEffect(() => {
    const back = (): void => setPlace(location.pathname + location.search);
    addEventListener("popstate", back);
    return () => removeEventListener("popstate", back);
  }, []);
  const go = useCallback((address: string) => {
    history.pushState(null, "", address);
    setPlace(address);
    scrollTo(0, 0);
    document.getElementById("content")?.focus({ preventScroll: true });
  }, []);
  const url = useMemo(() => new URL(place, location.origin), [place]);
  return [url.pathname.replace(/\/$/, ""), url.searchParams, go];
}

export function useShopOf(catalogue: Catalogue): Shop {
  const [path, query, go] = usePlace();
  const [language, setLanguage] = useState(() => languageOf(query.get("lang") ?? stored(LANGUAGE), navigator.languages));
  const [currency, setCurrency] = useState(() => stored(CURRENCY) ?? guessed(navigator.languages));
  const [quantities, setQuantities] = useState(keptCart);
  const products = useMemo(() => new Map(catalogue.products.map((one) => [one.product_id, one])), [catalogue]);
  const market = catalogue.markets.find((one) => one.currency === currency) ?? (catalogue.markets[0] as Market);

  // Two tabs have one cart.
  useEffect(() => {
    const changed = (event: StorageEvent): void => {
      if (event.key === CART) setQuantities(keptCart());
    };
    addEventListener("storage", changed);
    return () => removeEventListener("storage", changed);
  }, []);
  useEffect(() => {
    document.documentElement.lang = language;
  }, [language]);

  return useMemo(() => {
    const t = wordsOf(language);
    const locale = localeOf(language, navigator.languages);
    const digits = (code: string): number => catalogue.markets.find((one) => one.currency === code)?.minor_digits ?? 2;
    const write = (next: Quantities): void => {
      setQuantities(next);
      store(CART, JSON.stringify(next));
    };
    const cart = Object.entries(quantities).flatMap(([id, quantity]) => {
      const product = products.get(id);
      return product ? [{ product_id: id, quantity, price_minor: product.prices_minor[market.currency] ?? 0 }] : [];
    });
    return {
      catalogue, products, market, language, path, query, cart, t, go,
      count: cart.reduce((sum, line) => sum + line.quantity, 0),
      // A text keeps all its digits; the library's types know numbers alone.
      money: (minor, code = market.currency) => new Intl.NumberFormat(locale, { style: "currency", currency: code })
        .format(amountText(minor, digits(code)) as unknown as number),
      moment: (at) => new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "short" }).format(Date.parse(at)),
      nameOf: (product) => (language === "zh-CN" ? TEXTS[product.product_id]?.[0] : undefined) ?? product.name,
      about: (product) => TEXTS[product.product_id]?.[language === "zh-CN" ? 2 : 1] ?? "",
      put(product, quantity) {
        const before = quantities[product.product_id] ?? 0;
        const after = Math.max(0, Math.min(quantity, QUANTITY_MAX));
        const rest = Object.fromEntries(Object.entries(quantities).filter(([id]) => id !== product.product_id));
        write(after === 0 ? rest : { ...quantities, [product.product_id]: after });
        const change = { ...productOf(product, market, Math.abs(after - before)), currency: market.currency };
        if (after > before) analytics().track("Product Added", change);
        else if (after < before) analytics().track("Product Removed", change);
      },
      empty: () => write({}),
      chooseCurrency(code) {
        store(CURRENCY, code);
        setCurrency(code);
      },
      chooseLanguage(code) {
        store(LANGUAGE, code);
        setLanguage(code);
      },
    };
  }, [catalogue, products, market, language, path, query, quantities, go]);
}
