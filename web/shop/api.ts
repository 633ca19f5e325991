// What the shop's back end says: products and prices, orders, refunds.

export interface Product {
  readonly product_id: string;
  readonly sku: string;
  readonly name: string;
  readonly category: string;
  readonly brand: string;
  readonly prices_minor: Readonly<Record<string, number>>;
}

export interface Market {
  readonly country: string;
  readonly currency: string;
  readonly minor_digits: number;
  readonly tax_per_mille: number;
  readonly shipping_minor: number;
  readonly free_shipping_minor: number;
}

export interface Catalogue {
  readonly products: readonly Product[];
  readonly markets: readonly Market[];
  /** With what the tracker says whose events it sends. */
  readonly write_key: string;
}

export interface OrderLine {
  readonly product_id: string;
  readonly quantity: number;
  readonly price_minor: number;
}

export interface Order {
  readonly order_id: string;
  readonly placed_at: string;
  readonly currency: string;
  readonly lines: readonly OrderLine[];
  readonly subtotal_minor: number;
  readonly shipping_minor: number;
  readonly tax_minor: number;
  readonly total_minor: number;
  readonly refunded_at: string | null;
  readonly customer: string;
}

/** The back end said no, with a word for why. */
export class Refused extends Error {}

async function ask<T>(path: string, body?: unknown): Promise<T> {
  const answer = await fetch(`/shop/api/${path}`, body === undefined ? {} : {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  });
  if (answer.ok) return (await answer.json()) as T;
  const said = (await answer.json().catch(() => ({}))) as { error?: string };
  throw new Refused(said.error ?? String(answer.status));
}

export const catalogue = (): Promise<Catalogue> => ask("catalogue");
export const orders = async (): Promise<readonly Order[]> => (await ask<{ orders: Order[] }>("orders")).orders;
export const place = (order: unknown): Promise<Order> => ask("orders", order);
export const refund = (orderId: string): Promise<Order> => ask(`orders/${orderId}/refund`, {});

/** What a cart comes to, as the back end reckons it; whole minor units. */
export function totals(lines: readonly OrderLine[], market: Market): { subtotal: number; shipping: number; tax: number; total: number } {
  const subtotal = lines.reduce((sum, line) => sum + line.price_minor * line.quantity, 0);
  const shipping = subtotal >= market.free_shipping_minor || lines.length === 0 ? 0 : market.shipping_minor;
  const tax = Math.floor((subtotal * market.tax_per_mille + 500) / 1_000);
  return { subtotal, shipping, tax, total: subtotal + shipping + tax };
}

/** Whole minor units as a decimal text: 1234 is 12.34 in euro and 1234 in yen. */
export function amountText(minor: number, digits: number): string {
  if (digits === 0) return String(minor);
  const text = String(Math.abs(minor)).padStart(digits + 1, "0");
  return `${minor < 0 ? "-" : ""}${text.slice(0, -digits)}.${text.slice(-digits)}`;
}
