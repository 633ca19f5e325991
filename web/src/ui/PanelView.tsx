// One panel: its rows, from views or from a query, and the chart that its file asks for.
//
// A panel is drawn again when its own rows, the reader's choices or, where it shows time, the minute
// have changed, and for nothing else.
import { type ReactNode, memo, useMemo } from "react";
import { useMinute, useQuery, useReader, useToday, useViews } from "../context";
import type { ViewState } from "../core/feed";
import { type Panel, inLanguage, liveSpans, sqlOf, wanted } from "../core/panel";
import { type Table, latest, ofCurrency, within } from "../core/shape";
import { period } from "../core/url";
import { dateOf, dayStart } from "../core/zone";
import { Bars } from "./Bars";
import { Figure } from "./Figure";
import { Funnel } from "./Funnel";
import { LinePanel } from "./LinePanel";
import { TablePanel } from "./TablePanel";
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
        {panel.data.view ? <LivePanel {...{ panel, currency }} /> : <QueryPanel {...{ panel, currency }} />}
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

function LivePanel({ panel, currency }: PanelProps) {
  const { zone, t } = useReader();
  const minute = useMinute();
  // Its conditions change by the hour; which of the rows are shown, by the minute.
  const views = useViews(wanted(panel, zone, minute));
  const [state, earlier] = views;
  const shown = useMemo(
    () => (state ? livePanel(panel, state, earlier ?? null, currency, zone, minute) : null),
    [panel, state, earlier, currency, zone, minute],
  );
  if (!state || !shown || state.phase === "loading") return <Loading />;
  if (state.phase === "missing") return <Empty title={state.reason} />;
  if (state.phase === "too-large") return <Empty title={t("state.tooLarge")} />;
  return <ChartOf {...shown} />;
}

function livePanel(
  panel: Panel, state: ViewState, earlier: ViewState | null, currency: string | null,
  zone: string, minute: number,
): Shown {
  const { time, range } = panel.data;
  const spans = liveSpans(panel, zone, minute);
  const narrow = (table: Table): Table => (panel.chart === "table" ? table : ofCurrency(table, currency));
  const table = range === "latest" ? latest(state, time) : within(state, time, spans.now);
  const compared = earlier?.phase === "ready" && spans.before;
  const before = compared ? within(earlier, time, spans.before) : null;
  const all = panel.chart === "figure";
  return { panel, table: all ? table : narrow(table), before: before && narrow(before), currency, minute };
}

function QueryPanel({ panel, currency }: PanelProps) {
  const { zone, choices, t } = useReader();
  const today = useToday(dayIn(zone));
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
