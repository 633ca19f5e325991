// One number, what it was before, and the same in the other currencies.
import { useReader } from "../context";
import { type Decimal, ZERO, changePerMille } from "../core/decimal";
import type { Kind } from "../core/format";
import { CURRENCY, ofCurrency, total, totals } from "../core/shape";
import type { Shown } from "./PanelView";

export function kindOf(shown: Shown, name: string): Kind {
  return shown.panel.column[name]?.as ?? "number";
}

export function useValue(): (kind: Kind, value: Decimal, currency: string | null) => string {
  const { formats } = useReader();
  return (kind, value, currency) =>
    kind === "money" ? formats.money(value, currency)
      : kind === "count" ? formats.count(value) : formats.number(value);
}

export function Change({ now, before }: { now: Decimal; before: Decimal }) {
  const { formats } = useReader();
  const change = changePerMille(now, before);
  if (change === null) return null;
  const way = change > 0 ? "up" : change < 0 ? "down" : "same";
  return <span className={`change ${way}`}>{formats.change(change)}</span>;
}

/** Other currencies that stand under the chosen one. */
const OTHERS_MAX = 3;

export function Figure(shown: Shown) {
  const { t, choices } = useReader();
  const show = useValue();
  const { panel, table, currency } = shown;
  const name = panel.y[0] ?? "";
  const kind = kindOf(shown, name);
  const value = total(ofCurrency(table, currency), name) ?? ZERO;
  const others = kind === "money" && table.columns.includes(CURRENCY)
    ? [...totals(table, name)].filter(([one]) => one !== currency).slice(0, OTHERS_MAX) : [];
  const fromSql = panel.before && choices.compare ? total(ofCurrency(table, currency), panel.before) : null;
  const before = shown.before ? (total(shown.before, name) ?? ZERO) : fromSql;
  const compares = panel.data.compare !== null || (panel.before !== null && choices.compare);
  // Nothing was ever sold: nobody knows in which currency.
  const unknown = kind === "money" && currency === null && table.rows.length === 0;
  return (
    <div className="figure-body">
      <p className="value" data-value={name}>{unknown ? "–" : show(kind, value, currency)}</p>
      {compares && (
        <p className="compare">
          {before && before.units > 0n ? (
            <>
              <Change now={value} before={before} />{" "}
              <span>
                {t(panel.data.compare ? "panel.sameHours" : "panel.beforeValue", {
                  value: show(kind, before, currency),
                })}
              </span>
            </>
          ) : <span>{t("panel.noBefore")}</span>}
        </p>
      )}
      {others.length > 0 && (
        <ul className="others">
          {others.map(([one, amount]) => <li key={String(one)}>{show(kind, amount, one)}</li>)}
        </ul>
      )}
    </div>
  );
}
