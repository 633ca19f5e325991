// A page of panels: Live, Sales, and the reader's own.
import type { Currencies } from "../App";
import { useReader } from "../context";
import type { PanelList } from "../core/panel";
import { type PageName, period } from "../core/url";
import { isDate } from "../core/zone";
import { PanelView } from "../ui/PanelView";
import { Empty, Loading } from "../ui/states";

export interface PanelPageProps {
  readonly page: PageName;
  readonly list: PanelList | null;
  readonly currency: Currencies;
}

export function PanelPage({ page, list, currency }: PanelPageProps) {
  const { t } = useReader();
  const name = typeof page === "object" ? page.own : page;
  const title = typeof page === "object" ? (name === "mine" ? t("nav.mine") : name) : t(`title.${page}`);
  const panels = list?.panels.filter((panel) => panel.page === name) ?? [];
  // Which period is shown matters to panels that ask for it.
  const ranged = panels.some((panel) => /:(from|to|before_from)\b/.test(panel.data.sql ?? ""));
  return (
    <>
      <div className="page-head">
        <h1>{title}</h1>
        <div className="choices">
          {(ranged || page === "sales") && <RangeChoice />}
          <CurrencyChoice currency={currency} />
        </div>
      </div>
      {list && list.problems.length > 0 && <Problems list={list} />}
      {!list ? <Loading />
        : panels.length === 0 ? <Empty title={t("state.noPanels")} />
        : <div className="grid">{panels.map((panel) => <PanelView key={panel.id} panel={panel} currency={currency.chosen} />)}</div>}
    </>
  );
}

function Problems({ list }: { list: PanelList }) {
  const { t } = useReader();
  return (
    <section className="problems" aria-label={t("state.problems")}>
      <h2>{t("state.problems")}</h2>
      <dl>
        {list.problems.map(({ file, reason }) => (
          <div key={file}>
            <dt>{file}</dt>
            <dd><pre>{reason}</pre></dd>
          </div>
        ))}
      </dl>
    </section>
  );
}

/** More than these are a list to choose from. */
const SEGMENTS_MAX = 4;

function CurrencyChoice({ currency }: { currency: Currencies }) {
  const { t, choose } = useReader();
  const { chosen, all } = currency;
  if (all.length < 2) return null;
  const name = (one: string | null): string => one ?? t("choice.noCurrency");
  if (all.length > SEGMENTS_MAX) {
    return (
      <label className="inline">
        <span className="visually-hidden">{t("choice.currency")}</span>
        <select value={chosen ?? ""} onChange={(event) => choose({ currency: event.target.value })}>
          {all.map((one) => <option key={String(one)} value={one ?? ""}>{name(one)}</option>)}
        </select>
      </label>
    );
  }
  return (
    <Segments label={t("choice.currency")} chosen={chosen ?? ""} choose={(one) => choose({ currency: one })}
      all={all.map((one) => [one ?? "", name(one)] as const)} />
  );
}

interface SegmentsProps {
  readonly label: string;
  readonly chosen: string;
  readonly all: readonly (readonly [string, string])[];
  choose(one: string): void;
}

export function Segments({ label, chosen, all, choose }: SegmentsProps) {
  return (
    <div className="segments" role="group" aria-label={label}>
      {all.map(([value, name]) => (
        <button key={value} type="button" aria-pressed={value === chosen} onClick={() => choose(value)}>{name}</button>
      ))}
    </div>
  );
}

const PRESETS = [1, 7, 30, 90] as const;

function RangeChoice() {
  const { t, choices, choose, zone } = useReader();
  const { range } = choices;
  const shown = period(range, zone, Date.now());
  const chosen = "days" in range ? String(range.days) : "custom";
  const names = PRESETS.map((days) => [String(days), days === 1 ? t("choice.today") : t("choice.days", { count: days })] as const);
  const set = (part: { from?: string; to?: string }): void => {
    const next = { from: shown.firstDay, to: shown.lastDay, ...part };
    if (isDate(next.from) && isDate(next.to) && next.from <= next.to) choose({ range: next });
  };
  return (
    <>
      <Segments label={t("choice.range")} chosen={chosen} choose={(days) => choose({ range: { days: Number(days) } })} all={names} />
      <div className="dates" role="group" aria-label={t("choice.custom")}>
        <input type="date" aria-label={t("choice.from")} value={shown.firstDay} max={shown.lastDay}
          onChange={(event) => set({ from: event.target.value })} />
        <span aria-hidden="true">–</span>
        <input type="date" aria-label={t("choice.to")} value={shown.lastDay} min={shown.firstDay}
          onChange={(event) => set({ to: event.target.value })} />
      </div>
      <label className="check">
        <input type="checkbox" checked={choices.compare} onChange={(event) => choose({ compare: event.target.checked })} />
        {t("choice.compare")}
      </label>
    </>
  );
}
