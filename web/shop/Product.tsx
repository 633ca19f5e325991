// One product, and what goes with it.
import { useEffect, useState } from "react";
import { Empty, Go, useTitle } from "./App";
import { Art } from "./art";
import { Card } from "./Catalogue";
import { useShop } from "./shop";
import { analytics, productOf } from "./track";
import type { Key } from "./words";

/** Quantities that are offered at once; the cart takes more. */
const QUANTITIES = [1, 2, 3, 4, 5, 6];
const OTHERS_MAX = 4;

export function ProductPage({ id }: { id: string }) {
  const { t, catalogue, products, market, money, nameOf, about, put, cart } = useShop();
  const [quantity, setQuantity] = useState(1);
  const [added, setAdded] = useState(false);
  const product = products.get(id);
  useTitle(product ? nameOf(product) : t("product.gone"), product?.name);
  useEffect(() => {
    if (product) analytics().track("Product Viewed", { ...productOf(product, market), currency: market.currency });
    // Another product, not another currency of it.
  }, [product]);
  if (!product) return <Empty title={t("product.gone")} action={<Go to="/shop" className="button">{t("state.home")}</Go>} />;
  const inCart = cart.find((line) => line.product_id === id)?.quantity ?? 0;
  const near = catalogue.products.filter((one) => one.product_id !== id);
  const others = [...near.filter((one) => one.category === product.category), ...near.filter((one) => one.category !== product.category)];
  return (
    <>
      <nav className="path">
        <Go to="/shop">{t("nav.all")}</Go> / <Go to={`/shop?category=${encodeURIComponent(product.category)}`}>{t(`category.${product.category}` as Key)}</Go>
      </nav>
      <div className="product">
        <Art id={id} large />
        <div className="facts">
          <h1>{nameOf(product)}</h1>
          <p className="brand">{t("product.by", { brand: product.brand })}</p>
          <p className="price">{money(product.prices_minor[market.currency] ?? 0)}</p>
          <p className="about">{about(product)}</p>
          <form className="buy" onSubmit={(event) => {
            event.preventDefault();
            put(product, inCart + quantity);
            setAdded(true);
          }}>
            <label>{t("product.quantity")}
              <select value={quantity} onChange={(event) => setQuantity(Number(event.target.value))}>
                {QUANTITIES.map((one) => <option key={one}>{one}</option>)}
              </select>
            </label>
            <button type="submit" className="button">{t("product.add")}</button>
          </form>
          <p className="said" role="status">
            {added && <>{t("product.added", { name: nameOf(product) })} · <Go to="/shop/cart">{t("product.toCart")}</Go></>}
          </p>
          <ul className="promises">
            <li>{t("product.delivery", { amount: money(market.free_shipping_minor) })}</li>
            <li>{t("product.returns")}</li>
          </ul>
        </div>
      </div>
      <h2 className="more">{t("product.more")}</h2>
      <ul className="products few">{others.slice(0, OTHERS_MAX).map((one) => <Card key={one.product_id} product={one} />)}</ul>
    </>
  );
}
