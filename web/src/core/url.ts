// What the reader has chosen, as it stands in the address: a link shows another what one sees.
import { addDays, dateOf, dayStart, daysBetween, isDate, isZone } from "./zone";

export type PageName = "live" | "sales" | "data" | "sql" | { readonly own: string };

export interface Choices {
  /** The first and last day, `YYYY-MM-DD`, or how many days up to today. */
  readonly range: { readonly days: number } | { readonly from: string; readonly to: string };
  /** Whether the period before stands beside. */
  readonly compare: boolean;
  /** Null: the one with the most orders. */
  readonly currency: string | null;
  /** Null: the browser's. */
  readonly zone: string | null;
  /** Null: the browser's. */
  readonly language: string | null;
}

export const DEFAULTS: Choices = {
  range: { days: 7 }, compare: true, currency: null, zone: null, language: null,
};

/** The longest range: what a chart of days can show. */
export const DAYS_MAX = 731;

export function pageOf(path: string): PageName {
  const own = /^\/page\/([A-Za-z0-9_-]+)\/?$/.exec(path);
  if (own?.[1]) return { own: own[1] };
  const name = path.replace(/^\/|\/$/g, "");
  return name === "sales" || name === "data" || name === "sql" ? name : "live";
}

export function pathOf(page: PageName): string {
  if (typeof page === "object") return `/page/${page.own}`;
  return page === "live" ? "/" : `/${page}`;
}

export function read(search: string): Choices {
  const query = new URLSearchParams(search);
  const from = query.get("from") ?? "";
  const to = query.get("to") ?? "";
  const days = Number(query.get("days"));
  const span = isDate(from) && isDate(to) ? daysBetween(from, to) : -1;
  const zone = query.get("zone");
  let range: Choices["range"] = DEFAULTS.range;
  if (span >= 0 && span < DAYS_MAX) range = { from, to };
  else if (Number.isInteger(days) && days > 0 && days <= DAYS_MAX) range = { days };
  return {
    range,
    compare: query.get("compare") !== "no",
    currency: query.get("currency"),
    zone: zone && isZone(zone) ? zone : null,
    language: query.get("lang"),
  };
}

export function write(choices: Choices): string {
  const query = new URLSearchParams();
  const { range } = choices;
  if ("from" in range) {
    query.set("from", range.from);
    query.set("to", range.to);
  } else if (range.days !== 7) query.set("days", String(range.days));
  if (!choices.compare) query.set("compare", "no");
  if (choices.currency !== null) query.set("currency", choices.currency);
  if (choices.zone !== null) query.set("zone", choices.zone);
  if (choices.language !== null) query.set("lang", choices.language);
  const text = query.toString();
  return text ? `?${text}` : "";
}

/** A range as instants: `from` is in it, `to` is not; before it one of as many days. */
export interface Period {
  readonly from: number;
  readonly to: number;
  readonly beforeFrom: number;
  readonly firstDay: string;
  readonly lastDay: string;
  readonly days: number;
}

export function period(range: Choices["range"], zone: string, now: number): Period {
  const lastDay = "to" in range ? range.to : dateOf(now, zone);
  const firstDay = "from" in range ? range.from : addDays(lastDay, 1 - range.days);
  const days = daysBetween(firstDay, lastDay) + 1;
  return {
    from: dayStart(firstDay, zone),
    to: dayStart(addDays(lastDay, 1), zone),
    beforeFrom: dayStart(addDays(firstDay, -days), zone),
    firstDay, lastDay, days,
  };
}
