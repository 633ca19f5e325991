// A line over time, with the period before behind it, and the same as a table.
import { useMemo, useState } from "react";
import { useReader } from "../context";
import { approximate } from "../core/decimal";
import { bucketOf, inLanguage, liveSpans, weekBefore } from "../core/panel";
import { type Point, series } from "../core/shape";
import { period } from "../core/url";
import { HOUR_MS, addDays, dayStart } from "../core/zone";
import { Chart, type ChartProps, type Series } from "./Chart";
import { kindOf, useValue } from "./Figure";
import type { Shown } from "./PanelView";
import { Empty } from "./states";

const MINUTE_MS = 60_000;

export function LinePanel(shown: Shown) {
  const { t } = useReader();
  const [asTable, setAsTable] = useState(false);
  const chart = useChart(shown);
  if (shown.table.rows.length === 0 && (shown.before?.rows.length ?? 0) === 0) {
    return <Empty title={t(shown.panel.page === "sales" ? "state.emptyRange" : "state.empty")} hint={t("state.emptyHint")} />;
  }
  return (
    <>
      <div className="chart-head">
        <ul className="legend">
          {chart.series.map((one) => <li key={one.name} className={one.past ? "past" : ""}>{one.name}</li>)}
        </ul>
        <button type="button" className="link" aria-pressed={asTable} onClick={() => setAsTable(!asTable)}>
          {t(asTable ? "panel.asChart" : "panel.asTable")}
        </button>
      </div>
      {asTable ? <ChartTable {...chart} /> : <Chart {...chart} />}
    </>
  );
}

function ChartTable(chart: ChartProps) {
  const { t } = useReader();
  return (
    <div className="scroll tall" tabIndex={0} role="region" aria-label={chart.label}>
      <table className="rows">
        <thead>
          <tr>
            <th scope="col">{t("panel.time")}</th>
            {chart.series.map((one) => <th key={one.name} scope="col" className="number">{one.name}</th>)}
          </tr>
        </thead>
        <tbody>
          {chart.heads.map((head, at) => (
            <tr key={head}>
              <th scope="row">{head}</th>
              {chart.series.map((one) => <td key={one.name} className="number">{one.texts[at]}</td>)}
            </tr>
          )).reverse()}
        </tbody>
      </table>
    </div>
  );
}

/** The times along the axis, and where each of them stood in the period before. */
function useTimes(shown: Shown): { times: number[]; earlier: number[] } {
  const { zone, choices } = useReader();
  const { panel, minute } = shown;
  return useMemo(() => {
    if (panel.data.view) {
      const { now } = liveSpans(panel, zone, minute);
      if (!now) return { times: [], earlier: [] };
      // The minute that is running would look like a fall.
      const length = Math.max(1, Math.round((minute - now.from) / MINUTE_MS));
      const times = Array.from({ length }, (_, at) => now.from + at * MINUTE_MS);
      return { times, earlier: times.map((at) => weekBefore(at, zone)) };
    }
    const span = period(choices.range, zone, minute);
    const hours = (span.to - span.from) / HOUR_MS;
    const times = bucketOf(span) === "hour"
      ? Array.from({ length: hours }, (_, at) => span.from + at * HOUR_MS)
      : Array.from({ length: span.days }, (_, at) => dayStart(addDays(span.firstDay, at), zone));
    return { times, earlier: times };
  }, [panel, zone, choices.range, minute]);
}

function useChart(shown: Shown): ChartProps {
  const { t, formats, language, choices, zone } = useReader();
  const show = useValue();
  const { times, earlier } = useTimes(shown);
  return useMemo(() => {
    const { panel, table, before, currency } = shown;
    const name = panel.y[0] ?? "";
    const kind = kindOf(shown, name);
    const x = panel.x ?? "";
    const past = before ? { table: before, name, times: earlier, title: t("panel.weekAgo") }
      : panel.before && choices.compare ? { table, name: panel.before, times, title: t("panel.before") } : null;
    const points = panel.y.map((column) => {
      const title = inLanguage(panel.column[column]?.title ?? {}, language) || t("panel.now");
      return { title, points: series(table, x, column, times), past: false };
    });
    if (past) points.push({ title: past.title, points: series(past.table, x, past.name, past.times), past: true });
    // What has not come yet is not nothing.
    const end = Date.now();
    const known = (point: Point, behind: boolean): boolean => behind || point.at <= end;
    const drawn = points.map(({ title, points: all, past: behind }): Series => ({
      name: title, past: behind,
      values: all.map((point) => (known(point, behind) ? approximate(point.value) : null)),
      texts: all.map((point) => (known(point, behind) ? show(kind, point.value, currency) : "–")),
    }));
    const axis = points[0]?.points.map((point) => point.at) ?? [];
    const daily = axis.length > 1 && (axis[1] ?? 0) - (axis[0] ?? 0) > 6 * HOUR_MS;
    return {
      label: inLanguage(panel.title, language), series: drawn,
      // Minutes are sums of their own, often of one order: a line between them would say otherwise.
      kind: panel.data.view ? "bars" : "line",
      labels: axis.map((at) => (daily ? formats.day(at) : formats.minute(at))),
      heads: axis.map((at) => (daily ? formats.day(at) : formats.moment(at))),
      short: (value) => (kind === "money" ? formats.shortMoney(value, currency) : formats.short(value)),
    };
    // `show` follows from the formats.
  }, [shown.panel, shown.table, shown.before, shown.currency, times, earlier, formats, language, choices.compare, zone, t]);
}
