// What every part of the page may ask for: the reader's choices, words and formats, the connection.
import { createContext, use, useCallback, useRef, useSyncExternalStore } from "react";
import { Feed, type Connection, type ViewState, type Wanted } from "./core/feed";
import type { Formats } from "./core/format";
import { Queries, type QueryState } from "./core/queries";
import type { Choices, PageName } from "./core/url";
import type { Translate } from "./i18n";

export interface Reader {
  readonly t: Translate;
  readonly formats: Formats;
  readonly language: string;
  readonly zone: string;
  readonly choices: Choices;
  choose(change: Partial<Choices>): void;
  go(page: PageName): void;
}

export const ReaderContext = createContext<Reader | null>(null);

export function useReader(): Reader {
  const reader = use(ReaderContext);
  if (!reader) throw new Error("outside of the page");
  return reader;
}

/** One of each for a tab. */
export const feed = new Feed();
export const queries = new Queries();

export function useConnection(): Connection {
  return useSyncExternalStore((told) => feed.onConnection(told), () => feed.connection);
}

/** The states of views, followed while the panel is there. The same array while none has changed. */
export function useViews(wanted: readonly Wanted[]): readonly ViewState[] {
  const key = JSON.stringify(wanted);
  const last = useRef<readonly ViewState[]>([]);
  const follow = useCallback(
    (told: () => void) => {
      const stops = (JSON.parse(key) as Wanted[]).map((one) => feed.follow(one, told));
      return () => stops.forEach((stop) => stop());
    },
    [key],
  );
  return useSyncExternalStore(follow, () => {
    const now = wanted.map((one) => feed.state(one));
    const before = last.current;
    const same = now.length === before.length && now.every((state, at) => state === before[at]);
    if (!same) last.current = now;
    return last.current;
  });
}

const NO_QUERY: QueryState = { answer: null, error: null, asOf: 0 };

/** A statement's answer, asked again every `refreshS`. */
export function useQuery(sql: string | null, refreshS: number | null): QueryState {
  const keep = useCallback(
    (told: () => void) => (sql === null ? () => undefined : queries.keep(sql, refreshS, told)),
    [sql, refreshS],
  );
  const state = useSyncExternalStore(keep, () => (sql === null ? NO_QUERY : queries.state(sql)));
  // While another period's answer is on its way the last one stays, so that the page does not jump.
  const last = useRef<QueryState>(NO_QUERY);
  if (state.answer || state.error) last.current = state;
  return sql === null ? NO_QUERY : state.answer || state.error ? state : last.current;
}

const minutes = new Set<() => void>();
let minute = Math.floor(Date.now() / 60_000) * 60_000;
let clock: ReturnType<typeof setInterval> | null = null;

function everyMinute(told: () => void): () => void {
  minutes.add(told);
  clock ??= setInterval(() => {
    const now = Math.floor(Date.now() / 60_000) * 60_000;
    if (now === minute) return;
    minute = now;
    for (const one of minutes) one();
  }, 1_000);
  return () => {
    minutes.delete(told);
    if (minutes.size === 0 && clock) {
      clearInterval(clock);
      clock = null;
    }
  };
}

/** The minute that is running, as far as it matters: changes with what `of` makes of it. */
export function useTime(of: (at: number) => number): number {
  return useSyncExternalStore(everyMinute, () => of(minute));
}

/** What views and the minute come to. `derive` must give the same object while the answer is the same. */
export function useDerived<T>(wanted: readonly Wanted[], derive: (states: readonly ViewState[], minute: number) => T): T {
  const key = JSON.stringify(wanted);
  const follow = useCallback(
    (told: () => void) => {
      const stops = (JSON.parse(key) as Wanted[]).map((one) => feed.follow(one, told));
      stops.push(everyMinute(told));
      return () => stops.forEach((stop) => stop());
    },
    [key],
  );
  return useSyncExternalStore(follow, () => derive(wanted.map((one) => feed.state(one)), minute));
}
