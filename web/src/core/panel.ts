// What a panel's file says, as the server hands it on, and which rows it needs.
import type { Wanted } from "./feed";
import type { Kind } from "./format";
import { fill, identifier, literal } from "./sql";
import type { Period } from "./url";
import { DAY_MS, HOUR_MS, addDays, dateOf, dayStart } from "./zone";

export type Texts = Readonly<Record<string, string>>;

export interface Panel {
  readonly id: string;
  readonly own: boolean;
  readonly page: string;
  readonly order: number;
  readonly size: "quarter" | "third" | "half" | "two-thirds" | "full";
  readonly chart: "figure" | "line" | "bars" | "funnel" | "table";
  readonly title: Texts;
  readonly note: Texts;
  readonly data: {
    readonly view: string | null;
    readonly where: string | null;
    readonly time: string | null;
    readonly range: "today" | "hours" | "day" | "latest" | null;
    readonly hours: number | null;
    readonly compare: "week" | null;
    readonly sql: string | null;
    readonly refresh_s: number | null;
  };
  readonly x: string | null;
  readonly y: readonly string[];
  readonly before: string | null;
  readonly column: Readonly<Record<string, { readonly as: Kind | null; readonly title: Texts }>>;
}

export interface PanelList {
  readonly panels: readonly Panel[];
  readonly problems: readonly { readonly file: string; readonly reason: string }[];
  /** Whether the sample shop is there. */
  readonly shop: boolean;
}

export function inLanguage(texts: Texts, language: string): string {
  return texts[language] ?? texts["en"] ?? "";
}

/** The times a live panel shows, and those it compares them with. */
export interface Span {
  readonly from: number;
  readonly to: number;
}

export interface LiveSpans {
  readonly now: Span | null;
  readonly before: Span | null;
}

/** Seven days earlier on the zone's calendar, at the same time of day. */
export function weekBefore(at: number, zone: string): number {
  const date = dateOf(at, zone);
  return dayStart(addDays(date, -7), zone) + (at - dayStart(date, zone));
}

export function liveSpans(panel: Panel, zone: string, now: number): LiveSpans {
  const { range, compare, hours } = panel.data;
  const minute = Math.floor(now / 60_000) * 60_000;
  const from = range === "today" ? dayStart(dateOf(now, zone), zone)
    : range === "hours" ? minute - (hours ?? 1) * HOUR_MS : null;
  if (from === null) return { now: null, before: null };
  const span = { from, to: now + DAY_MS };
  if (compare !== "week") return { now: span, before: null };
  // "Up to now" a week ago: the minute that is running counts on both sides as far as it has come.
  return { now: span, before: { from: weekBefore(from, zone), to: weekBefore(now, zone) } };
}

const iso = (at: number): string => literal(new Date(at).toISOString());

/**
 * What a live panel follows. Conditions change by the hour at most, so that a connection is not
 * made anew each minute; `liveSpans` says exactly which of the rows are shown.
 */
export function wanted(panel: Panel, zone: string, now: number): Wanted[] {
  const { view, where, time, range } = panel.data;
  if (!view) return [];
  const column = time ? identifier(time) : "";
  const also = (condition: string): string =>
    [condition, where ? `(${where})` : ""].filter(Boolean).join(" AND ");
  if (range === "day") return [{ view, where: also(`${column} >= ${literal(dateOf(now, "UTC"))}`) }];
  if (range === "latest") {
    return [{ view, where: also(`${column} >= ${iso(Math.floor(now / HOUR_MS) * HOUR_MS - HOUR_MS)}`) }];
  }
  const spans = liveSpans(panel, zone, now);
  if (!spans.now) return [{ view, where: also("") }];
  const hour = (at: number): number => Math.floor(at / HOUR_MS) * HOUR_MS;
  const all = [{ view, where: also(`${column} >= ${iso(hour(spans.now.from))}`) }];
  if (spans.before) {
    const end = Math.ceil((spans.before.to + 1) / HOUR_MS) * HOUR_MS;
    const condition = `${column} >= ${iso(hour(spans.before.from))} AND ${column} < ${iso(end)}`;
    all.push({ view, where: also(condition) });
  }
  return all;
}

/** What a panel's SQL may ask for by `:name`. */
export function values(period: Period, zone: string, now: number): Record<string, string> {
  const today = dayStart(dateOf(now, zone), zone);
  const instant = (at: number): string => `TIMESTAMP ${iso(at)}`;
  return {
    from: instant(period.from),
    to: instant(period.to),
    before_from: instant(period.beforeFrom),
    today: instant(today),
    shift: `INTERVAL '${Math.round((period.from - period.beforeFrom) / 1_000)} seconds'`,
    bucket: literal(bucketOf(period)),
    zone: literal(zone),
  };
}

/** Points of a chart over a period: hours up to two days, days beyond. */
export function bucketOf(period: Period): "hour" | "day" {
  return period.days <= 2 ? "hour" : "day";
}

export function sqlOf(panel: Panel, period: Period, zone: string, now: number): string | null {
  const { sql } = panel.data;
  return sql === null ? null : fill(sql, values(period, zone, now));
}
