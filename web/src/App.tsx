// The page around the pages: what the reader has chosen, where one can go, whether the server is there.
import { Suspense, lazy, useCallback, useEffect, useMemo, useState } from "react";
import { type Reader, ReaderContext, feed, queries, useViews } from "./context";
import { Formats } from "./core/format";
import type { PanelList } from "./core/panel";
import { currencies } from "./core/shape";
import { type Choices, type PageName, pageOf, pathOf, read, write } from "./core/url";
import { addDays, dateOf } from "./core/zone";
import { languageOf, localeOf, translator } from "./i18n";
import { DataPage } from "./pages/DataPage";
import { PanelPage } from "./pages/PanelPage";
import { ConnectionBanner, Header } from "./ui/Header";
import { Boundary, Loading } from "./ui/states";
import { store, stored } from "./ui/theme";

const SqlPage = lazy(() => import("./pages/SqlPage"));

const LANGUAGE_KEY = "tradewind.language";
const PANELS_RETRY_MS = 2_000;
/** Days in which a currency was sold that is offered. */
const CURRENCY_DAYS = 60;

interface Place {
  readonly page: PageName;
  readonly choices: Choices;
}

const here = (): Place => ({ page: pageOf(location.pathname), choices: read(location.search) });

export function App() {
  const [place, setPlace] = useState(here);
  useEffect(() => {
    const back = (): void => setPlace(here());
    addEventListener("popstate", back);
    return () => removeEventListener("popstate", back);
  }, []);

  const move = useCallback((to: Place, how: "push" | "replace") => {
    const address = pathOf(to.page) + write(to.choices);
    if (how === "push") history.pushState(null, "", address);
    else history.replaceState(null, "", address);
    setPlace(to);
  }, []);

  const reader = useReaderOf(place, move);
  const list = usePanelList();
  useQueriesAfterReturn();
  const currency = useCurrency(place.choices, list !== null);
  const { t, language } = reader;

  useEffect(() => {
    document.documentElement.lang = language;
    const name = typeof place.page === "object" ? place.page.own : t(`title.${place.page}`);
    document.title = `${name} · Tradewind`;
  }, [language, place.page, t]);

  return (
    <ReaderContext value={reader}>
      <a className="skip" href="#content">{t("nav.skip")}</a>
      <Header page={place.page} panels={list?.panels ?? []} shop={list?.shop === true} />
      <ConnectionBanner />
      <main id="content" tabIndex={-1}>
        <Boundary key={pathOf(place.page)} title={t("state.errorPage")} reload={t("state.reload")}>
          <Suspense fallback={<Loading />}>
            {place.page === "data" ? <DataPage />
              : place.page === "sql" ? <SqlPage />
              : <PanelPage page={place.page} list={list} currency={currency} />}
          </Suspense>
        </Boundary>
      </main>
    </ReaderContext>
  );
}

function useReaderOf(place: Place, move: (to: Place, how: "push" | "replace") => void): Reader {
  const { page, choices } = place;
  const language = languageOf(choices.language ?? stored(LANGUAGE_KEY), navigator.languages);
  const zone = choices.zone ?? Intl.DateTimeFormat().resolvedOptions().timeZone;
  return useMemo(
    () => ({
      t: translator(language),
      formats: new Formats(localeOf(language, navigator.languages), zone),
      language, zone, choices,
      choose: (change) => {
        if (change.language) store(LANGUAGE_KEY, change.language);
        move({ page, choices: { ...choices, ...change } }, "replace");
      },
      go: (to) => {
        move({ page: to, choices }, "push");
        scrollTo(0, 0);
        document.getElementById("content")?.focus({ preventScroll: true });
      },
    }),
    [page, choices, language, zone, move],
  );
}

/** The panels there are; null until they are known. */
function usePanelList(): PanelList | null {
  const [list, setList] = useState<PanelList | null>(null);
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let gone = false;
    const load = async (): Promise<void> => {
      try {
        const answer = await fetch("/api/panels");
        if (!answer.ok) throw new Error(String(answer.status));
        const panels = (await answer.json()) as PanelList;
        if (!gone) setList(panels);
      } catch {
        if (!gone) timer = setTimeout(() => void load(), PANELS_RETRY_MS);
      }
    };
    void load();
    return () => {
      gone = true;
      clearTimeout(timer);
    };
  }, []);
  return list;
}

/** What was asked while the server was away, or before, is asked again when it is back. */
function useQueriesAfterReturn(): void {
  useEffect(() => {
    let lost = false;
    return feed.onConnection(() => {
      if (feed.connection.phase === "lost") lost = true;
      else if (feed.connection.phase === "live" && lost) {
        lost = false;
        queries.refresh();
      }
    });
  }, []);
}

export interface Currencies {
  readonly chosen: string | null;
  readonly all: readonly (string | null)[];
}

/** Without a currency in an address it is the empty text. */
function useCurrency(choices: Choices, known: boolean): Currencies {
  const [since] = useState(() => addDays(dateOf(Date.now(), "UTC"), -CURRENCY_DAYS));
  const [days] = useViews(
    // Together with the panels' views, so that the connection is made once.
    useMemo(() => (known ? [{ view: "sales_per_day", where: `sold_day >= '${since}'` }] : []), [known, since]),
  );
  const names = useMemo(() => (days ? currencies(days, "orders") : []), [days]);
  const text = JSON.stringify(names);
  return useMemo(() => {
    const all = JSON.parse(text) as (string | null)[];
    const chosen = choices.currency !== null ? choices.currency || null : (all[0] ?? null);
    return { chosen, all: all.includes(chosen) || all.length === 0 ? all : [...all, chosen] };
  }, [text, choices.currency]);
}
