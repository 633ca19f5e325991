// What is in the cart, and the way from there to an order.
import { type FormEvent, useEffect, useRef, useState } from "react";
import { type OrderLine, Refused, place, totals } from "./api";
import { Empty, Go, useTitle } from "./App";
import { Art } from "./art";
import { QUANTITY_MAX, useShop } from "./shop";
import { analytics, cartOf, visitor } from "./track";

export function CartPage() {
  const { t, cart, products, market, money } = useShop();
  useTitle(t("cart.title"), "Cart");
  const shown = cart.length > 0;
  useEffect(() => {
    if (shown) analytics().track("Cart Viewed", cartOf(cart, products, market));
    // When the page opens, not at each change.
  }, [shown]);
  if (!shown) return <Empty title={t("cart.empty")} hint={t("cart.emptyHint")} action={<Go to="/shop" className="button">{t("state.home")}</Go>} />;
  const { subtotal } = totals(cart, market);
  const missing = market.free_shipping_minor - subtotal;
  return (
    <>
      <h1>{t("cart.title")}</h1>
      <div className="two">
        <ul className="lines">{cart.map((line) => <Line key={line.product_id} line={line} />)}</ul>
        <aside className="summary">
          <Sums lines={cart} />
          {missing > 0 && <p className="hint">{t("cart.freeFrom", { amount: money(missing) })}</p>}
          <Go to="/shop/checkout" className="button wide">{t("cart.checkout")}</Go>
        </aside>
      </div>
    </>
  );
}

function Line({ line }: { line: OrderLine }) {
  const { t, products, money, nameOf, put } = useShop();
  const product = products.get(line.product_id);
  if (!product) return null;
  const name = nameOf(product);
  return (
    <li className="line">
      <Go to={`/shop/p/${line.product_id}`} label={name}><Art id={line.product_id} /></Go>
      <div className="what">
        <span className="name">{name}</span>
        <span className="brand">{money(line.price_minor)}</span>
        <div className="stepper">
          <button type="button" aria-label={t("cart.less", { name })} onClick={() => put(product, line.quantity - 1)}>−</button>
          <span aria-live="polite">{line.quantity}</span>
          <button type="button" aria-label={t("cart.more", { name })} disabled={line.quantity >= QUANTITY_MAX} onClick={() => put(product, line.quantity + 1)}>+</button>
          <button type="button" className="plain" aria-label={t("cart.removeName", { name })} onClick={() => put(product, 0)}>{t("cart.remove")}</button>
        </div>
      </div>
      <span className="price">{money(line.price_minor * line.quantity)}</span>
    </li>
  );
}

function Sums({ lines }: { lines: readonly OrderLine[] }) {
  const { t, market, money } = useShop();
  const { subtotal, shipping, tax, total } = totals(lines, market);
  return (
    <dl className="sums">
      <div><dt>{t("cart.subtotal")}</dt><dd>{money(subtotal)}</dd></div>
      <div><dt>{t("cart.shipping")}</dt><dd>{shipping === 0 ? t("cart.free") : money(shipping)}</dd></div>
      <div><dt>{t("cart.tax")}</dt><dd>{money(tax)}</dd></div>
      <div className="total"><dt>{t("cart.total")}</dt><dd data-total={total}>{money(total)}</dd></div>
    </dl>
  );
}

const SAMPLE = { email: "ada@example.com", name: "Ada Lovelace", street: "St James's Square 12", city: "SW1Y 4JH London" };

export function CheckoutPage() {
  const { t, cart, products, market, money, empty, go } = useShop();
  const [busy, setBusy] = useState(false);
  const [trouble, setTrouble] = useState<string | null>(null);
  // One for each visit of this page: pressed twice it is one order.
  const checkout = useRef(crypto.randomUUID());
  useTitle(t("checkout.title"), "Checkout");
  const shown = cart.length > 0;
  useEffect(() => {
    if (shown) analytics().track("Checkout Started", { checkout_id: checkout.current, ...cartOf(cart, products, market) });
    // When the page opens, not at each change.
  }, [shown]);
  if (!shown) return <Empty title={t("cart.empty")} hint={t("cart.emptyHint")} action={<Go to="/shop" className="button">{t("state.home")}</Go>} />;

  const pay = async (event: FormEvent): Promise<void> => {
    event.preventDefault();
    setBusy(true);
    setTrouble(null);
    try {
      const order = await place({
        checkout_id: checkout.current, currency: market.currency, ...visitor(),
        lines: cart.map(({ product_id, quantity }) => ({ product_id, quantity })),
      });
      analytics().identify(order.customer);
      go(`/shop/orders?placed=${order.order_id}`);
      empty();
    } catch (error) {
      const reason = error instanceof Refused ? error.message : null;
      setTrouble(reason === null ? t("state.away") : reason === "full" ? t("state.full") : t("state.refused", { reason }));
      setBusy(false);
    }
  };
  return (
    <>
      <h1>{t("checkout.title")}</h1>
      <form className="two" onSubmit={(event) => void pay(event)}>
        <div className="fields">
          <fieldset>
            <legend>{t("checkout.contact")}</legend>
            <label>{t("checkout.email")}<input type="email" name="email" autoComplete="email" required defaultValue={SAMPLE.email} /></label>
          </fieldset>
          <fieldset>
            <legend>{t("checkout.address")}</legend>
            <label>{t("checkout.name")}<input name="name" autoComplete="name" required defaultValue={SAMPLE.name} /></label>
            <label>{t("checkout.street")}<input name="street" autoComplete="address-line1" required defaultValue={SAMPLE.street} /></label>
            <label>{t("checkout.city")}<input name="city" autoComplete="address-level2" required defaultValue={SAMPLE.city} /></label>
          </fieldset>
          <fieldset>
            <legend>{t("checkout.payment")}</legend>
            <label className="radio"><input type="radio" name="payment" value="card" defaultChecked />{t("checkout.card")}</label>
            <label className="radio"><input type="radio" name="payment" value="invoice" />{t("checkout.invoice")}</label>
          </fieldset>
          <p className="hint">{t("checkout.note")}</p>
        </div>
        <aside className="summary" aria-label={t("checkout.summary")}>
          <ul className="small-lines">
            {cart.map((line) => <SmallLine key={line.product_id} line={line} currency={market.currency} />)}
          </ul>
          <Sums lines={cart} />
          {trouble && <p className="trouble" role="alert">{trouble}</p>}
          <button type="submit" className="button wide" disabled={busy}>
            {busy ? t("checkout.paying") : t("checkout.pay", { amount: money(totals(cart, market).total) })}
          </button>
        </aside>
      </form>
    </>
  );
}

export function SmallLine({ line, currency }: { line: OrderLine; currency: string }) {
  const { products, money, nameOf } = useShop();
  const product = products.get(line.product_id);
  return (
    <li>
      <Art id={line.product_id} />
      <span>{line.quantity} × {product ? nameOf(product) : line.product_id}</span>
      <span className="price">{money(line.price_minor * line.quantity, currency)}</span>
    </li>
  );
}
