// All products, those of a category, and those that a search finds.
import { useEffect } from "react";
import type { Product } from "./api";
import { Empty, Go, useTitle } from "./App";
import { Art } from "./art";
import { useShop } from "./shop";
import { analytics, productOf } from "./track";
import { type Key, TEXTS } from "./words";

/** Products of a category, and with every word of a search in one of their names. */
function found(products: readonly Product[], category: string | null, query: string): readonly Product[] {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  return products.filter((one) => {
    const texts = TEXTS[one.product_id] ?? [];
    const text = [one.name, one.brand, one.category, one.sku, ...texts].join(" ").toLowerCase();
    return (!category || one.category === category) && words.every((word) => text.includes(word));
  });
}

export function CataloguePage() {
  const { t, catalogue, query } = useShop();
  const [wanted, category] = [query.get("q")?.trim() ?? "", query.get("category")];
  const products = found(catalogue.products, category, wanted);
  const categories = [...new Set(catalogue.products.map((one) => one.category))];
  const title = wanted ? t("search.results", { query: wanted }) : category ? t(`category.${category}` as Key) : t("shop.claim");
  useTitle(title, wanted ? "Search" : category ?? "Home");
  useListViewed(wanted || category || "all", products);
  return (
    <>
      <div className={wanted || category ? "head" : "head hero"}>
        <h1>{title}</h1>
        <p className="lead">{wanted || category ? t("search.count", { count: products.length }) : t("shop.lead")}</p>
      </div>
      <nav className="shelves" aria-label={t("nav.all")}>
        <Go to="/shop" className={category || wanted ? "" : "here"}>{t("nav.all")}</Go>
        {categories.map((one) => (
          <Go key={one} to={`/shop?category=${encodeURIComponent(one)}`} className={one === category ? "here" : ""}>{t(`category.${one}` as Key)}</Go>
        ))}
      </nav>
      {products.length === 0
        ? <Empty under title={t("search.none", { query: wanted })} hint={t("search.noneHint")} action={<Go to="/shop" className="button">{t("state.home")}</Go>} />
        : <ul className="products">{products.map((one) => <Card key={one.product_id} product={one} />)}</ul>}
    </>
  );
}

function useListViewed(list: string, products: readonly Product[]): void {
  const { market } = useShop();
  const ids = products.map((one) => one.product_id).join();
  useEffect(() => {
    analytics().track("Product List Viewed", {
      list_id: list, currency: market.currency,
      products: products.map((one, at) => ({ ...productOf(one, market), position: at + 1 })),
    });
    // Another list, not another drawing of it.
  }, [list, ids]);
}

export function Card({ product }: { product: Product }) {
  const { money, market, nameOf } = useShop();
  return (
    <li>
      <Go to={`/shop/p/${product.product_id}`} className="card">
        <Art id={product.product_id} />
        <span className="name">{nameOf(product)}</span>
        <span className="brand">{product.brand}</span>
        <span className="price">{money(product.prices_minor[market.currency] ?? 0)}</span>
      </Go>
    </li>
  );
}
