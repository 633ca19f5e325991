// Where one can go, how it is shown, and whether the server is there.
import { type MouseEvent, useEffect, useRef, useState } from "react";
import { feed, useConnection, useReader } from "../context";
import type { Panel } from "../core/panel";
import { type PageName, pathOf, write } from "../core/url";
import { LANGUAGES } from "../i18n";
import { type Theme, chooseTheme, useTheme } from "./theme";

const OURS: readonly PageName[] = ["live", "sales", "data", "sql"];

export function Header({ page, panels, shop }: { page: PageName; panels: readonly Panel[]; shop: boolean }) {
  const { t } = useReader();
  const own = [...new Set(panels.map((panel) => panel.page))].filter((name) => !OURS.includes(name as PageName));
  const pages: PageName[] = [...OURS, ...own.map((name) => ({ own: name }))];
  return (
    <header className="top">
      <span className="brand" translate="no">
        <svg viewBox="0 0 32 32" width="22" height="22" aria-hidden="true">
          <path d="M4 13h17a4.2 4.2 0 1 0-4.2-4.2M4 18h23M4 23h11a3.2 3.2 0 1 1-3.2 3.2" />
        </svg>
        Tradewind
      </span>
      <nav aria-label={t("nav.pages")}>
        {pages.map((one) => <PageLink key={pathOf(one)} to={one} current={pathOf(one) === pathOf(page)} />)}
        {shop && <a href="/shop">{t("nav.shop")} ↗</a>}
      </nav>
      <div className="right">
        <ConnectionMark />
        <Settings />
      </div>
    </header>
  );
}

function PageLink({ to, current }: { to: PageName; current: boolean }) {
  const { t, go, choices } = useReader();
  const name = typeof to === "object" ? (to.own === "mine" ? t("nav.mine") : to.own) : t(`nav.${to}`);
  const follow = (event: MouseEvent): void => {
    // With a key held down it is the browser's: another tab, another window.
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.button !== 0) return;
    event.preventDefault();
    go(to);
  };
  return (
    <a href={pathOf(to) + write(choices)} aria-current={current ? "page" : undefined} onClick={follow}>
      {name}
    </a>
  );
}

function ConnectionMark() {
  const { t } = useReader();
  const { phase } = useConnection();
  return (
    <span className={`connection ${phase}`} role="status">
      <span className="dot" aria-hidden="true" />
      {t(`connection.${phase}`)}
    </span>
  );
}

/** A moment's break is no news: the banner comes after this. */
const PATIENCE_MS = 1_500;

export function ConnectionBanner() {
  const { t, formats } = useReader();
  const { phase, heardAt } = useConnection();
  const [long, setLong] = useState(false);
  const away = phase !== "live";
  useEffect(() => {
    if (!away) {
      setLong(false);
      return;
    }
    const timer = setTimeout(() => setLong(true), PATIENCE_MS);
    return () => clearTimeout(timer);
  }, [away]);
  useEffect(() => {
    document.documentElement.dataset["stale"] = String(phase === "lost");
  }, [phase]);
  if (!away || !long) return null;
  return (
    <div className="banner" role="alert">
      <span>{heardAt > 0 ? t("connection.lostLong", { time: formats.clock(heardAt) }) : t("connection.lostNever")}</span>
      <button type="button" onClick={() => feed.reconnect()}>{t("connection.retry")}</button>
    </div>
  );
}

const THEMES: readonly Theme[] = ["system", "light", "dark"];

function Settings() {
  const { t, language, zone, choose } = useReader();
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
  const local = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const zones = [...new Set([local, "UTC", zone])];
  return (
    <details className="settings" ref={box}>
      <summary aria-label={t("nav.settings")}>
        <svg viewBox="0 0 20 20" width="18" height="18" aria-hidden="true">
          <path d="M3 5h8M15 5h2M3 10h2M9 10h8M3 15h8M15 15h2" />
          <circle cx="13" cy="5" r="1.8" /><circle cx="7" cy="10" r="1.8" /><circle cx="13" cy="15" r="1.8" />
        </svg>
      </summary>
      <div className="sheet">
        <label>{t("choice.language")}
          <select value={language} onChange={(event) => choose({ language: event.target.value })}>
            {LANGUAGES.map(([code, name]) => <option key={code} value={code} lang={code}>{name}</option>)}
          </select>
        </label>
        <label>{t("choice.zone")}
          <select value={zone} onChange={(event) => choose({ zone: event.target.value === local ? null : event.target.value })}>
            {zones.map((one) => <option key={one}>{one}</option>)}
          </select>
        </label>
        <label>{t("choice.theme")}
          <select value={theme} onChange={(event) => chooseTheme(event.target.value as Theme)}>
            {THEMES.map((one) => <option key={one} value={one}>{t(`choice.theme.${one}`)}</option>)}
          </select>
        </label>
      </div>
    </details>
  );
}
