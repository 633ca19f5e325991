// The shop's only instrumentation: the tracker, called as any shop calls it. Orders and refunds are told
// by its back end.
import { type Market, type OrderLine, type Product, amountText } from "./api";

interface User {
  anonymousId(): string | null;
  sessionId(): string | null;
  campaign(): Record<string, string>;
}

interface Analytics {
  load(key: string, options?: object): void;
  page(name?: string): void;
  track(event: string, properties?: object): void;
  identify(id: string): void;
  consent(given: object | boolean): void;
  user?(): User;
}

type Waiting = unknown[][] & Record<string, unknown>;

const METHODS = ["load", "page", "track", "identify", "consent"];

/** What the snippet on a shop's pages does: calls wait in a list until the script is there. */
export function begin(writeKey: string): void {
  const page = window as unknown as { analytics?: Waiting };
  if (page.analytics) return;
  const waiting = [] as unknown as Waiting;
  for (const method of METHODS) waiting[method] = (...args: unknown[]) => void waiting.push([method, ...args]);
  page.analytics = waiting;
  analytics().load(writeKey, { consent: "required" });
  const script = document.createElement("script");
  script.async = true;
  script.src = "/tw.js";
  document.head.append(script);
}

export const analytics = (): Analytics => (window as unknown as { analytics: Analytics }).analytics;

/** The visitor as the tracker knows it; nobody without consent. */
export function visitor(): object {
  const user = analytics().user?.();
  const [anonymous_id, session_id] = [user?.anonymousId() ?? null, user?.sessionId() ?? null];
  const { name, source, medium } = user?.campaign() ?? {};
  return { anonymous_id, session_id, campaign: anonymous_id && (source || medium) ? { name, source, medium } : null };
}

export function productOf(product: Product, market: Market, quantity?: number): object {
  const { product_id, sku, name, category, brand } = product;
  const price = Number(amountText(product.prices_minor[market.currency] ?? 0, market.minor_digits));
  return { product_id, sku, name, category, brand, price, ...(quantity === undefined ? {} : { quantity }) };
}

export function cartOf(lines: readonly OrderLine[], products: ReadonlyMap<string, Product>, market: Market): object {
  const value = lines.reduce((sum, line) => sum + line.price_minor * line.quantity, 0);
  return {
    currency: market.currency, value: Number(amountText(value, market.minor_digits)),
    products: lines.flatMap((line) => {
      const product = products.get(line.product_id);
      return product ? [productOf(product, market, line.quantity)] : [];
    }),
  };
}
