// Rows as they come.
import { useReader } from "../context";
import { decimal } from "../core/decimal";
import type { Cell, Row } from "../core/feed";
import type { Kind } from "../core/format";
import { inLanguage } from "../core/panel";
import { CURRENCY, columnAt, instant } from "../core/shape";
import { cellText } from "../core/sql";
import type { Shown } from "./PanelView";
import { Empty } from "./states";

/** Rows of one panel; a longer list belongs on the page SQL. */
const ROWS_MAX = 50;

export function TablePanel({ panel, table }: Shown) {
  const { t, formats, language } = useReader();
  if (table.rows.length === 0) {
    return <Empty title={t("state.empty")} hint={t("state.emptyHint")} />;
  }
  const currencyAt = columnAt(table, CURRENCY);
  const show = (cell: Cell | undefined, kind: Kind | null, row: Row): string => {
    if (cell === null || cell === undefined) return "–";
    const at = kind === "time" || kind === "date" ? instant(cell) : null;
    if (at !== null) return kind === "time" ? formats.recent(at) : formats.day(at);
    const number = decimal(cell);
    if (!number || kind === null || kind === "text") return cellText(cell);
    const currency = row[currencyAt];
    if (kind === "money") return formats.money(number, typeof currency === "string" ? currency : null);
    return kind === "count" ? formats.count(number) : formats.number(number);
  };
  const looks = (kind: Kind | null): string =>
    kind === "time" || kind === "date" ? "time" : kind && kind !== "text" ? "number" : "";
  const columns = panel.y.map((name) => ({
    name, at: columnAt(table, name), kind: panel.column[name]?.as ?? null,
    title: inLanguage(panel.column[name]?.title ?? {}, language) || name,
  }));
  return (
    <div className="scroll" tabIndex={0} role="region" aria-label={inLanguage(panel.title, language)}>
      <table className="rows">
        <thead>
          <tr>{columns.map((one) => <th key={one.name} scope="col" className={looks(one.kind)}>{one.title}</th>)}</tr>
        </thead>
        <tbody>
          {table.rows.slice(0, ROWS_MAX).map((row, index) => (
            <tr key={index}>
              {columns.map((one) => <td key={one.name} className={looks(one.kind)}>{show(row[one.at], one.kind, row)}</td>)}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
