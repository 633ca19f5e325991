// A short ranking: a label, a bar, a value, and what it was before.
import { useReader } from "../context";
import { inLanguage } from "../core/panel";
import { bars } from "../core/shape";
import { Change, kindOf, useValue } from "./Figure";
import type { Shown } from "./PanelView";
import { Empty } from "./states";

/** What fits a panel; the rest is a question for SQL. */
const BARS_MAX = 10;

export function Bars(shown: Shown) {
  const { t, choices, language } = useReader();
  const show = useValue();
  const { panel, table, currency } = shown;
  const name = panel.y[0] ?? "";
  const before = choices.compare ? panel.before : null;
  const all = bars(table, panel.x ?? "", name, before);
  if (all.length === 0) return <Empty title={t(panel.page === "sales" ? "state.emptyRange" : "state.empty")} />;
  const also = panel.y.slice(1);
  const extra = (label: string | null, column: string): string => {
    const [only] = bars({ ...table, rows: table.rows.filter((row) => (row[table.columns.indexOf(panel.x ?? "")] ?? null) === label) },
      panel.x ?? "", column, null);
    return only ? show(kindOf(shown, column), only.value, currency) : "";
  };
  const heading = (column: string): string => inLanguage(panel.column[column]?.title ?? {}, language) || column;
  return (
    <table className="bars-table">
      <thead className={also.length > 0 ? "" : "visually-hidden"}>
        <tr>
          <th scope="col">{heading(panel.x ?? "")}</th>
          {also.map((column) => <th key={column} scope="col">{heading(column)}</th>)}
          <th scope="col">{heading(name)}</th>
          {before && <th scope="col">{t("panel.change")}</th>}
        </tr>
      </thead>
      <tbody>
        {all.slice(0, BARS_MAX).map((bar) => (
          <tr key={String(bar.label)}>
            <th scope="row">
              <span className="bar-label">{bar.label ?? t("panel.none")}</span>
              <meter className="bar" min={0} max={1} value={bar.share} aria-hidden="true" />
            </th>
            {also.map((column) => <td key={column} className="quiet">{extra(bar.label, column)}</td>)}
            <td>{show(kindOf(shown, name), bar.value, currency)}</td>
            {before && <td className="narrow">{bar.before && <Change now={bar.value} before={bar.before} />}</td>}
          </tr>
        ))}
      </tbody>
    </table>
  );
}
