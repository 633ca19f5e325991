// Answers that panels share: one statement is asked once, however many panels show it.
import { type Answer, Refused, Unreachable, ask } from "./sql";

export interface QueryState {
  readonly answer: Answer | null;
  readonly error: Refused | Unreachable | null;
  /** When an answer like this first came; milliseconds. */
  readonly asOf: number;
}

const NOTHING: QueryState = { answer: null, error: null, asOf: 0 };
/** After the server was not there. */
const RETRY_MS = 3_000;

interface Entry {
  readonly sql: string;
  refreshMs: number | null;
  state: QueryState;
  timer: ReturnType<typeof setTimeout> | null;
  stop: AbortController | null;
  readonly listeners: Set<() => void>;
}

type Ask = (sql: string, signal?: AbortSignal) => Promise<Answer>;

export class Queries {
  private entries = new Map<string, Entry>();

  constructor(
    private readonly askServer: Ask = ask,
    private readonly now: () => number = Date.now,
    private readonly hidden: () => boolean = () => globalThis.document?.hidden ?? false,
  ) {}

  /** Keeps the statement's answer until the returned function is called. */
  keep(sql: string, refreshS: number | null, listener: () => void): () => void {
    let entry = this.entries.get(sql);
    const fresh = !entry;
    if (!entry) {
      entry = { sql, refreshMs: null, state: NOTHING, timer: null, stop: null, listeners: new Set() };
      this.entries.set(sql, entry);
    }
    const mine = entry;
    mine.listeners.add(listener);
    const refreshMs = refreshS === null ? null : refreshS * 1_000;
    if (refreshMs !== null) mine.refreshMs = Math.min(mine.refreshMs ?? refreshMs, refreshMs);
    if (fresh) void this.run(mine);
    return () => {
      mine.listeners.delete(listener);
      if (mine.listeners.size > 0) return;
      if (mine.timer) clearTimeout(mine.timer);
      mine.stop?.abort();
      this.entries.delete(sql);
    };
  }

  state(sql: string): QueryState {
    return this.entries.get(sql)?.state ?? NOTHING;
  }

  /** Asks everything again, as after the server was away. */
  refresh(): void {
    for (const entry of this.entries.values()) void this.run(entry);
  }

  private async run(entry: Entry): Promise<void> {
    if (entry.timer) clearTimeout(entry.timer);
    entry.timer = null;
    // Nobody looks: it is asked when somebody does.
    if (this.hidden() && entry.state.answer) {
      this.again(entry, entry.refreshMs);
      return;
    }
    entry.stop?.abort();
    const stop = new AbortController();
    entry.stop = stop;
    let away = false;
    try {
      const answer = await this.askServer(entry.sql, stop.signal);
      if (stop.signal.aborted) return;
      // The same rows are the same state, so that nothing is drawn again for them.
      if (entry.state.error || !same(entry.state.answer, answer)) {
        entry.state = { answer, error: null, asOf: this.now() };
      }
    } catch (error) {
      if (stop.signal.aborted) return;
      away = !(error instanceof Refused);
      const known = error instanceof Refused || error instanceof Unreachable;
      entry.state = { ...entry.state, error: known ? error : new Unreachable(String(error)) };
    }
    for (const listener of entry.listeners) listener();
    this.again(entry, away ? RETRY_MS : entry.refreshMs);
  }

  private again(entry: Entry, afterMs: number | null): void {
    if (afterMs === null || !this.entries.has(entry.sql)) return;
    entry.timer = setTimeout(() => void this.run(entry), afterMs);
  }
}

function same(before: Answer | null, now: Answer): boolean {
  return before !== null &&
    JSON.stringify(before.columns) === JSON.stringify(now.columns) &&
    JSON.stringify(before.rows) === JSON.stringify(now.rows);
}
