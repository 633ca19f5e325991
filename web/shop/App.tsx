// The shop around its pages: the bar, the foot, consent, and which page it is.
import { type MouseEvent, type ReactNode, useEffect, useRef, useState } from "react";
import { LANGUAGES, languageOf } from "../src/i18n";
import { type Theme, chooseTheme, store, stored, useTheme } from "../src/ui/theme";
import { type Catalogue, catalogue as askCatalogue } from "./api";
import { CataloguePage } from "./Catalogue";
import { CartPage, CheckoutPage } from "./Cart";
import { OrdersPage } from "./Orders";
import { ProductPage } from "./Product";
import { ShopContext, useShop, useShopOf } from "./shop";
import { analytics, begin } from "./track";
import { wordsOf } from "./words";

const RETRY_MS = 2_000;
const CONSENT = "shop.consent";

export function App() {
  const [catalogue, setCatalogue] = useState<Catalogue | null>(null);
  const [away, setAway] = useState(false);
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const load = async (): Promise<void> => {
      try {
        const found = await askCatalogue();
        begin(found.write_key);
        setCatalogue(found);
      } catch {
        setAway(true);
        timer = setTimeout(() => void load(), RETRY_MS);
      }
    };
    void load();
    return () => clearTimeout(timer);
  }, []);
  if (catalogue) return <Front catalogue={catalogue} />;
  const t = wordsOf(languageOf(stored("tradewind.language"), navigator.languages));
  return (
    <main className="page" aria-busy={!away}>
      <p className="lonely" role="status">{t(away ? "state.away" : "state.loading")}</p>
    </main>
  );
}

function Front({ catalogue }: { catalogue: Catalogue }) {
  const shop = useShopOf(catalogue);
  const { t, path } = shop;
  return (
    <ShopContext value={shop}>
      <a className="skip" href="#content">{t("shop.skip")}</a>
      <Bar />
      <main className="page" id="content" tabIndex={-1}>
        <Page path={path} />
      </main>
      <footer className="foot">
        <p>{t("shop.about")}</p>
        <a href="/">{t("shop.dashboard")} →</a>
      </footer>
      <Consent />
    </ShopContext>
  );
}

function Page({ path }: { path: string }) {
  const product = /^\/shop\/p\/([\w-]+)$/.exec(path)?.[1];
  if (product) return <ProductPage key={product} id={product} />;
  switch (path) {
    case "/shop": return <CataloguePage />;
    case "/shop/cart": return <CartPage />;
    case "/shop/checkout": return <CheckoutPage />;
    case "/shop/orders": return <OrdersPage />;
    default: return <Nothing />;
  }
}

function Nothing() {
  const { t } = useShop();
  useTitle(t("state.gone"));
  return <Empty title={t("state.gone")} action={<Go to="/shop" className="button">{t("state.home")}</Go>} />;
}

/** Nothing to show, and what to do about it; `under` a heading that the page has already. */
export function Empty({ title, hint, action, under = false }: { title: string; hint?: string; action?: ReactNode; under?: boolean }) {
  return (
    <div className="empty">
      {under ? <h2>{title}</h2> : <h1>{title}</h1>}
      {hint && <p>{hint}</p>}
      {action}
    </div>
  );
}

/** The page's title, and the page view that the tracker counts. */
export function useTitle(title: string, name?: string): void {
  const { path, query } = useShop();
  const where = `${path}?${query.toString()}`;
  useEffect(() => {
    document.title = `${title} · Leeward`;
  }, [title]);
  useEffect(() => {
    analytics().page(name ?? document.title.split(" · ")[0]);
  }, [where, name]);
}

/** A link within the shop. */
export function Go({ to, className, label, children }: { to: string; className?: string; label?: string; children: ReactNode }) {
  const { go } = useShop();
  const follow = (event: MouseEvent): void => {
    // With a key held down it is the browser's: another tab, another window.
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.button !== 0) return;
    event.preventDefault();
    go(to);
  };
  return <a href={to} className={className} aria-label={label} onClick={follow}>{children}</a>;
}

function Bar() {
  const { t, count, query, go, path } = useShop();
  const [text, setText] = useState(query.get("q") ?? "");
  return (
    <header className="bar">
      <Go to="/shop" className="mark">
        <svg viewBox="0 0 32 32" width="26" height="26" aria-hidden="true">
          <path d="M15 4v18H5C10 18 14 12 15 4zM18 9c6 2 9 7 9 13h-9z" /><path d="M4 26c4 2 8 2 12 0s8-2 12 0" className="wave" />
        </svg>
        <span translate="no">Leeward</span>
      </Go>
      <form role="search" className="search" onSubmit={(event) => {
        event.preventDefault();
        const wanted = text.trim();
        if (wanted) analytics().track("Products Searched", { query: wanted });
        go(wanted ? `/shop?q=${encodeURIComponent(wanted)}` : "/shop");
      }}>
        <input type="search" value={text} maxLength={80} aria-label={t("search.label")} placeholder={t("search.label")}
          onChange={(event) => setText(event.target.value)} />
        <button type="submit" aria-label={t("search.button")}>
          <svg viewBox="0 0 20 20" width="18" height="18" aria-hidden="true"><circle cx="9" cy="9" r="5.5" /><path d="M13 13l4 4" /></svg>
        </button>
      </form>
      <nav aria-label={t("shop.pages")}>
        <Go to="/shop/orders" className={path === "/shop/orders" ? "here" : ""}>{t("nav.orders")}</Go>
        <Go to="/shop/cart" className={path === "/shop/cart" ? "here cart-link" : "cart-link"}>
          {t("nav.cart")} <span className="count">{count}</span>
        </Go>
        <Settings />
      </nav>
    </header>
  );
}

const THEMES: readonly Theme[] = ["system", "light", "dark"];

function Settings() {
  const { t, catalogue, market, language, chooseCurrency, chooseLanguage } = useShop();
  const theme = useTheme();
  const box = useRef<HTMLDetailsElement>(null);
  useEffect(() => {
    const close = (event: Event): void => {
      const outside = event instanceof KeyboardEvent ? event.key === "Escape" : !box.current?.contains(event.target as Node);
      if (outside && box.current?.open) box.current.open = false;
    };
    document.addEventListener("pointerdown", close);
    document.addEventListener("keydown", close);
    return () => {
      document.removeEventListener("pointerdown", close);
      document.removeEventListener("keydown", close);
    };
  }, []);
  return (
    <details className="settings" ref={box}>
      <summary aria-label={`${market.currency} · ${t("shop.settings")}`}>{market.currency}</summary>
      <div className="sheet">
        <label>{t("shop.currency")}
          <select value={market.currency} onChange={(event) => chooseCurrency(event.target.value)}>
            {catalogue.markets.map((one) => <option key={one.currency}>{one.currency}</option>)}
          </select>
        </label>
        <label>{t("shop.language")}
          <select value={language} onChange={(event) => chooseLanguage(event.target.value)}>
            {LANGUAGES.map(([code, name]) => <option key={code} value={code} lang={code}>{name}</option>)}
          </select>
        </label>
        <label>{t("shop.theme")}
          <select value={theme} onChange={(event) => chooseTheme(event.target.value as Theme)}>
            {THEMES.map((one) => <option key={one} value={one}>{t(`shop.theme.${one}`)}</option>)}
          </select>
        </label>
      </div>
    </details>
  );
}

/** Asked once; the tracker stores and sends nothing before. */
function Consent() {
  const { t } = useShop();
  const [answer, setAnswer] = useState(() => stored(CONSENT));
  useEffect(() => {
    if (answer === "no") analytics().consent(false);
  }, [answer]);
  if (answer) return null;
  const say = (agreed: boolean): void => {
    store(CONSENT, agreed ? "yes" : "no");
    analytics().consent(agreed ? { analytics: true, advertising: false } : false);
    setAnswer(agreed ? "yes" : "no");
  };
  return (
    <section className="consent" aria-label={t("consent.title")}>
      <div>
        <h2>{t("consent.title")}</h2>
        <p>{t("consent.text")}</p>
      </div>
      <div className="choice">
        <button type="button" onClick={() => say(false)}>{t("consent.no")}</button>
        <button type="button" className="button" onClick={() => say(true)}>{t("consent.yes")}</button>
      </div>
    </section>
  );
}
