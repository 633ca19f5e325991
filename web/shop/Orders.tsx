// What was bought in this browser, and giving it back.
import { useCallback, useEffect, useState } from "react";
import { type Order, Refused, orders as askOrders, refund } from "./api";
import { Empty, Go, useTitle } from "./App";
import { SmallLine } from "./Cart";
import { useShop } from "./shop";

export function OrdersPage() {
  const { t, query, money } = useShop();
  const [orders, setOrders] = useState<readonly Order[] | null>(null);
  const [away, setAway] = useState(false);
  useTitle(t("orders.title"), "Orders");
  const load = useCallback(async (): Promise<void> => {
    setAway(false);
    try {
      setOrders(await askOrders());
    } catch {
      setAway(true);
    }
  }, []);
  useEffect(() => void load(), [load]);
  if (away) {
    return <Empty title={t("state.away")} hint={t("state.awayHint")}
      action={<button type="button" className="button" onClick={() => void load()}>{t("state.again")}</button>} />;
  }
  if (!orders) return <p className="lonely" role="status">{t("state.loading")}</p>;
  if (orders.length === 0) return <Empty title={t("orders.empty")} hint={t("orders.emptyHint")} action={<Go to="/shop" className="button">{t("state.home")}</Go>} />;
  const placed = orders.find((one) => one.order_id === query.get("placed"));
  const put = (changed: Order): void => setOrders(orders.map((one) => (one.order_id === changed.order_id ? changed : one)));
  return (
    <>
      {placed && (
        <section className="thanks" role="status">
          <h2>{t("orders.thanks")}</h2>
          <p>{t("orders.thanksText", { id: placed.order_id, amount: money(placed.total_minor, placed.currency) })}</p>
          <a className="button" href="/">{t("shop.dashboard")}</a>
        </section>
      )}
      <h1>{t("orders.title")}</h1>
      <ul className="orders">{orders.map((one) => <OrderCard key={one.order_id} order={one} changed={put} />)}</ul>
    </>
  );
}

function OrderCard({ order, changed }: { order: Order; changed(order: Order): void }) {
  const { t, money, moment } = useShop();
  const [asking, setAsking] = useState(false);
  const [busy, setBusy] = useState(false);
  const [trouble, setTrouble] = useState<string | null>(null);
  const amount = money(order.total_minor, order.currency);
  const giveBack = async (): Promise<void> => {
    setBusy(true);
    setTrouble(null);
    try {
      changed(await refund(order.order_id));
      setAsking(false);
    } catch (error) {
      setTrouble(error instanceof Refused ? t("state.refused", { reason: error.message }) : t("state.away"));
    }
    setBusy(false);
  };
  return (
    <li className="order" data-order={order.order_id}>
      <header>
        <h2>{t("orders.order", { id: order.order_id })}</h2>
        <span className="quiet">{t("orders.placed", { time: moment(order.placed_at) })}</span>
        <span className={order.refunded_at ? "tag back" : "tag"}>
          {order.refunded_at ? t("orders.refunded", { time: moment(order.refunded_at) }) : t("orders.paid")}
        </span>
        <strong className="price" data-total={order.total_minor}>{amount}</strong>
      </header>
      <ul className="small-lines">{order.lines.map((line) => <SmallLine key={line.product_id} line={line} currency={order.currency} />)}</ul>
      {!order.refunded_at && (
        <div className="choice">
          {asking ? (
            <>
              <span>{t("orders.sure", { amount })}</span>
              <button type="button" disabled={busy} onClick={() => setAsking(false)}>{t("orders.no")}</button>
              <button type="button" className="button" disabled={busy} onClick={() => void giveBack()}>{t("orders.yes")}</button>
            </>
          ) : <button type="button" aria-label={t("orders.refundOf", { id: order.order_id })} onClick={() => setAsking(true)}>{t("orders.refund")}</button>}
        </div>
      )}
      {trouble && <p className="trouble" role="alert">{trouble}</p>}
    </li>
  );
}
