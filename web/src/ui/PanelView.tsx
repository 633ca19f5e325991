// One panel: its rows, from views or from a query, and the chart that its file asks for.
//
// A panel is drawn again when its own rows, the reader's choices or, where it shows time, the minute
// have changed, and for nothing else.
import { type ReactNode, memo, useMemo, useRef } from "react";
import { useDerived, useQuery, useReader, useTime } from "../context";
import type { ViewState } from "../core/feed";
import { type Panel, inLanguage, liveSpans, sqlOf, wanted } from "../core/panel";
import { CURRENCY, type Table, latest, ofCurrency, project, sameTable, summed, withoutZeros, within } from "../core/shape";
import { period } from "../core/url";
import { HOUR_MS, dateOf, dayStart } from "../core/zone";
import { Bars } from "./Bars";
import { Figure } from "./Figure";
import { Funnel } from "./Funnel";
import { LinePanel } from "./LinePanel";
import { TablePanel } from "./TablePanel";
import { Counted } from "./renders";
import { Boundary, Empty, Failure, Loading } from "./states";

export interface PanelProps {
  readonly panel: Panel;
  readonly currency: string | null;
}

/** A panel's rows, those they are compared with, and the minute they are of. */
export interface Shown {
  readonly panel: Panel;
  readonly table: Table;
  readonly before: Table | null;
  readonly currency: string | null;
  readonly minute: number;
}

export const PanelView = memo(function PanelView({ panel, currency }: PanelProps) {
  const { t } = useReader();
  return (
    <PanelBox panel={panel}>
      <Boundary title={t("state.error")} reload={t("state.reload")}>
        <Counted id={panel.id}>
          {panel.data.view ? <LivePanel {...{ panel, currency }} /> : <QueryPanel {...{ panel, currency }} />}
        </Counted>
      </Boundary>
    </PanelBox>
  );
});

function PanelBox({ panel, children }: { panel: Panel; children: ReactNode }) {
  const { t, language } = useReader();
  const id = `panel-${panel.id.replace(/\W/g, "-")}`;
  const note = inLanguage(panel.note, language);
  return (
    <section className={`panel ${panel.size} ${panel.chart}`} aria-labelledby={id} data-panel={panel.id}>
      <header>
        <h2 id={id}>{inLanguage(panel.title, language)}</h2>
        {panel.own && <span className="badge">{t("panel.own")}</span>}
        {note && <p className="note">{note}</p>}
      </header>
      {children}
    </section>
  );
}

const dayIn = (zone: string) => (at: number): number => dayStart(dateOf(at, zone), zone);

/** A live panel's state: what it shows, or why there is nothing. */
interface Live {
  readonly phase: ViewState["phase"];
  readonly reason: string;
  readonly shown: Shown;
}

const hourOf = (at: number): number => Math.floor(at / HOUR_MS) * HOUR_MS;

/** The same object while what is shown is the same, whatever else has changed in the views. */
function useLive(panel: Panel, currency: string | null): Live {
  const { zone } = useReader();
  // Which rows are followed changes by the hour; which of them are shown, by the minute.
  const hour = useTime(hourOf);
  const last = useRef<{ key: readonly unknown[]; live: Live } | null>(null);
  return useDerived(wanted(panel, zone, hour), ([state, earlier], minute) => {
    const key = [state, earlier, minute, panel, currency, zone];
    const before = last.current;
    if (before && key.every((one, at) => one === before.key[at])) return before.live;
    const { phase, reason } = state ?? { phase: "loading", reason: "" };
    const live = { phase, reason, shown: livePanel(panel, state ?? null, earlier ?? null, currency, zone, minute) };
    last.current = { key, live: before && sameLive(before.live, live) ? before.live : live };
    return last.current.live;
  });
}

function sameLive(one: Live, other: Live): boolean {
  const [a, b] = [one.shown, other.shown];
  return one.phase === other.phase && one.reason === other.reason && a.panel === b.panel && a.currency === b.currency &&
    a.minute === b.minute && sameTable(a.table, b.table) && sameTable(a.before, b.before);
}

function LivePanel({ panel, currency }: PanelProps) {
  const { t } = useReader();
  const { phase, reason, shown } = useLive(panel, currency);
  if (phase === "loading") return <Loading />;
  if (phase === "missing") return <Empty title={reason} />;
  if (phase === "too-large") return <Empty title={t("state.tooLarge")} />;
  return <ChartOf {...shown} />;
}

function livePanel(
  panel: Panel, state: ViewState | null, earlier: ViewState | null, currency: string | null,
  zone: string, minute: number,
): Shown {
  const { time, range } = panel.data;
  const spans = liveSpans(panel, zone, minute);
  const narrow = (table: Table): Table => {
    if (panel.chart === "figure") return summed(table, panel.y[0] ?? "");
    const own = panel.chart === "table" ? table : ofCurrency(table, currency);
    const looked = project(own, [panel.x ?? "", ...panel.y, CURRENCY]);
    return panel.chart === "line" ? withoutZeros(looked, panel.y) : looked;
  };
  const rows = state ?? { columns: [], rows: [] };
  const table = range === "latest" ? latest(rows, time) : within(rows, time, spans.now);
  const compared = earlier?.phase === "ready" && spans.before;
  const before = compared ? narrow(within(earlier, time, spans.before)) : null;
  // Only along a line does the minute matter by itself.
  const shownAt = panel.chart === "line" ? minute : 0;
  const figure = before && panel.chart === "figure" ? ofCurrency(before, currency) : before;
  return { panel, table: narrow(table), before: figure, currency, minute: shownAt };
}

function QueryPanel({ panel, currency }: PanelProps) {
  const { zone, choices, t } = useReader();
  const today = useTime(dayIn(zone));
  const sql = useMemo(
    () => sqlOf(panel, period(choices.range, zone, today), zone, today),
    [panel, choices.range, zone, today],
  );
  const { answer, error } = useQuery(sql, panel.data.refresh_s);
  const shown = useMemo((): Shown | null => {
    if (!answer) return null;
    const table = { columns: answer.columns.map((column) => column.name), rows: answer.rows };
    const narrow = panel.chart === "table" || panel.chart === "figure";
    return { panel, table: narrow ? table : ofCurrency(table, currency), before: null, currency, minute: today };
  }, [panel, answer, currency, today]);
  if (!shown) return error ? <Failure error={error} /> : <Loading />;
  const missing = panel.y.filter((name) => !shown.table.columns.includes(name));
  if (missing.length > 0) return <Empty title={t("state.error")} hint={`y: ${missing.join(", ")}`} />;
  return <ChartOf {...shown} />;
}

const ChartOf = memo(function ChartOf(shown: Shown) {
  switch (shown.panel.chart) {
    case "figure":
      return <Figure {...shown} />;
    case "line":
      return <LinePanel {...shown} />;
    case "bars":
      return <Bars {...shown} />;
    case "funnel":
      return <Funnel {...shown} />;
    case "table":
      return <TablePanel {...shown} />;
  }
});
