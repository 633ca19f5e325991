// The tab's one connection: every view its panels follow, and what is known of each.
//
// A view here is the rows that the server's snapshot and its changes leave. The connection is made
// again when it breaks, from the tokens of what was seen; a panel sees what changed of its own view
// and nothing else.
import { SseParser, type SseEvent } from "./sse";

export type Cell = string | number | boolean | null | Cell[] | { [key: string]: Cell };
export type Row = readonly Cell[];

/** What is followed: a view, and which of its rows. */
export interface Wanted {
  readonly view: string;
  readonly where: string;
}

export interface ViewState {
  readonly phase: "loading" | "ready" | "missing" | "too-large";
  /** Why it is missing. */
  readonly reason: string;
  readonly columns: readonly string[];
  readonly rows: readonly Row[];
  /** When it was last known to be right; milliseconds. */
  readonly asOf: number;
}

export interface Connection {
  readonly phase: "connecting" | "live" | "lost";
  /** When the server was last heard; 0 before it ever was. */
  readonly heardAt: number;
}

export const LOADING: ViewState = { phase: "loading", reason: "", columns: [], rows: [], asOf: 0 };

/** Rows of one view in a tab: a day of minutes in eight currencies fits five times. */
export const ROWS_MAX = 60_000;
/** Between two readings by panels: what comes sooner is shown together. */
const SHOW_EVERY_MS = 200;
/** The server says something every 15 s; after this it is gone, whatever the socket says. */
const SILENCE_MS = 40_000;
const RETRY_MS_MIN = 500;
const RETRY_MS_MAX = 10_000;

export function keyOf(wanted: Wanted): string {
  return `${wanted.view}\n${wanted.where}`;
}

interface Counted {
  readonly row: Row;
  count: number;
}

/** The rows of one view. Rows that are the same are counted, as the server counts them. */
export class ViewRows {
  columns: string[] = [];
  private counted = new Map<string, Counted>();
  /** A snapshot that is not whole yet: until then the rows before it are shown. */
  private coming: Map<string, Counted> | null = null;
  private whole = false;
  tooLarge = false;

  snapshot(columns: string[], rows: Row[], last: boolean): void {
    this.columns = columns;
    this.coming ??= new Map();
    for (const row of rows) this.put(this.coming, row, 1);
    if (last) {
      this.counted = this.coming;
      this.coming = null;
      this.whole = true;
    }
  }

  changes(deleted: Row[], inserted: Row[]): void {
    for (const row of deleted) this.put(this.counted, row, -1);
    for (const row of inserted) this.put(this.counted, row, 1);
  }

  /** What was told does not count any more; it is shown until the snapshot that follows is whole. */
  reset(): void {
    this.coming = null;
    this.tooLarge = false;
  }

  get ready(): boolean {
    return this.whole;
  }

  rows(): Row[] {
    const rows: Row[] = [];
    for (const { row, count } of this.counted.values()) {
      for (let n = 0; n < count; n += 1) rows.push(row);
    }
    return rows;
  }

  get size(): number {
    return this.counted.size + (this.coming?.size ?? 0);
  }

  // A count below zero is kept: of one tick's changes the deletions are read first.
  private put(to: Map<string, Counted>, row: Row, by: number): void {
    const key = JSON.stringify(row);
    const known = to.get(key);
    if (!known) to.set(key, { row, count: by });
    else if (known.count + by === 0) to.delete(key);
    else known.count += by;
    if (to.size > ROWS_MAX) {
      this.tooLarge = true;
      to.clear();
    }
  }
}

/** Opens the stream; tests hand in one of their own. */
export type Open = (url: string, stop: AbortSignal) => Promise<AsyncIterable<string>>;

/** The real one. */
export const openStream: Open = async (url, stop) => {
  const answer = await fetch(url, { signal: stop, headers: { accept: "text/event-stream" } });
  if (!answer.ok || !answer.body) throw new Error(`${answer.status}`);
  return pieces(answer.body);
};

async function* pieces(body: ReadableStream<Uint8Array>): AsyncIterable<string> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield decoder.decode(value, { stream: true });
    }
  } finally {
    reader.releaseLock();
  }
}

interface Entry {
  readonly wanted: Wanted;
  users: number;
  rows: ViewRows;
  token: string;
  missing: string | null;
  state: ViewState;
  changed: boolean;
  readonly listeners: Set<() => void>;
}

export class Feed {
  private entries = new Map<string, Entry>();
  /** The entries of the connection that is open, in the order they were asked for. */
  private asked: Entry[] = [];
  private stop: AbortController | null = null;
  private planned = false;
  private showing: ReturnType<typeof setTimeout> | null = null;
  private shownAt = 0;
  private retry = RETRY_MS_MIN;
  private waiting: ReturnType<typeof setTimeout> | null = null;
  private connectionListeners = new Set<() => void>();
  connection: Connection = { phase: "connecting", heardAt: 0 };
  /** How often the connection was made. */
  connections = 0;

  constructor(
    private readonly open: Open = openStream,
    private readonly now: () => number = Date.now,
  ) {}

  /** Follows a view until the returned function is called. */
  follow(wanted: Wanted, listener: () => void): () => void {
    const key = keyOf(wanted);
    let entry = this.entries.get(key);
    if (!entry) {
      entry = {
        wanted, users: 0, rows: new ViewRows(), token: "", missing: null, state: LOADING,
        changed: false, listeners: new Set(),
      };
      this.entries.set(key, entry);
      this.plan();
    }
    const mine = entry;
    mine.users += 1;
    mine.listeners.add(listener);
    return () => {
      mine.users -= 1;
      mine.listeners.delete(listener);
      if (mine.users === 0) this.plan();
    };
  }

  state(wanted: Wanted): ViewState {
    return this.entries.get(keyOf(wanted))?.state ?? LOADING;
  }

  onConnection(listener: () => void): () => void {
    this.connectionListeners.add(listener);
    return () => this.connectionListeners.delete(listener);
  }

  /** Tries at once, without waiting for the next turn. */
  reconnect(): void {
    this.retry = RETRY_MS_MIN;
    this.connect();
  }

  close(): void {
    this.stop?.abort();
    if (this.waiting) clearTimeout(this.waiting);
    if (this.showing) clearTimeout(this.showing);
  }

  // A page's panels come and go together: the connection is made once for all.
  private plan(): void {
    if (this.planned) return;
    this.planned = true;
    queueMicrotask(() => {
      this.planned = false;
      for (const [key, entry] of this.entries) if (entry.users === 0) this.entries.delete(key);
      const wanted = [...this.entries.values()];
      const same =
        wanted.length === this.asked.length && wanted.every((entry) => this.asked.includes(entry));
      if (!same && wanted.length > 0) this.connect();
      if (wanted.length === 0) {
        this.asked = [];
        this.stop?.abort();
      }
    });
  }

  private connect(): void {
    if (this.waiting) clearTimeout(this.waiting);
    this.waiting = null;
    this.stop?.abort();
    this.asked = [...this.entries.values()].filter((entry) => entry.users > 0);
    if (this.asked.length === 0) return;
    const stop = new AbortController();
    this.stop = stop;
    this.connections += 1;
    this.run(stop).catch(() => undefined);
  }

  private address(): string {
    const query = new URLSearchParams();
    for (const { wanted } of this.asked) {
      query.append("view", wanted.view);
      if (wanted.where) query.append("where", wanted.where);
    }
    if (this.asked.some((entry) => entry.token)) {
      query.append("after", this.asked.map((entry) => entry.token).join(","));
    }
    return `/api/live?${query}`;
  }

  private async run(stop: AbortController): Promise<void> {
    const parser = new SseParser();
    let watchdog: ReturnType<typeof setTimeout> | undefined;
    const heard = (): void => {
      clearTimeout(watchdog);
      watchdog = setTimeout(() => stop.abort(), SILENCE_MS);
      this.retry = RETRY_MS_MIN;
      this.say({ phase: "live", heardAt: this.now() });
    };
    // A piece of a snapshot whose rest never came does not count.
    for (const entry of this.asked) {
      if (entry.rows.tooLarge) entry.token = "";
      entry.rows.reset();
    }
    try {
      const stream = await this.open(this.address(), stop.signal);
      heard();
      for await (const text of stream) {
        if (stop.signal.aborted && this.stop !== stop) return;
        heard();
        for (const event of parser.push(text)) this.take(event);
        this.show();
      }
    } catch {
      // Whatever it was, it is tried again below.
    } finally {
      clearTimeout(watchdog);
    }
    if (this.stop === stop && this.asked.length > 0) this.lost();
  }

  private lost(): void {
    this.say({ phase: "lost", heardAt: this.connection.heardAt });
    // A crowd of tabs does not come back at one moment.
    const wait = this.retry * (0.5 + Math.random() / 2);
    this.retry = Math.min(this.retry * 2, RETRY_MS_MAX);
    this.waiting = setTimeout(() => this.connect(), wait);
  }

  private say(connection: Connection): void {
    const same = this.connection.phase === connection.phase;
    // When it was last heard changes with every piece; only who looks then needs to know.
    if (same) {
      (this.connection as { heardAt: number }).heardAt = connection.heardAt;
      return;
    }
    this.connection = connection;
    for (const listener of this.connectionListeners) listener();
  }

  private take(event: SseEvent): void {
    const data = JSON.parse(event.data) as {
      at: number; reason?: string; last?: boolean; columns?: { name: string }[]; rows?: Row[];
      delete?: Row[]; insert?: Row[];
    };
    const entry = this.asked[data.at];
    if (!entry) return;
    entry.changed = true;
    entry.missing = event.name === "missing" ? (data.reason ?? "") : null;
    if (event.name === "snapshot") {
      const columns = (data.columns ?? []).map((column) => column.name);
      entry.rows.snapshot(columns, data.rows ?? [], data.last === true);
    } else if (event.name === "changes") entry.rows.changes(data.delete ?? [], data.insert ?? []);
    else if (event.name === "reset") entry.rows.reset();
    if (event.id) {
      const tokens = event.id.split(",");
      this.asked.forEach((one, at) => (one.token = tokens[at] ?? ""));
    }
  }

  private show(): void {
    this.showing ??= setTimeout(() => {
      this.showing = null;
      this.shownAt = this.now();
      for (const entry of this.entries.values()) if (entry.changed) this.publish(entry);
    }, Math.max(0, Math.min(SHOW_EVERY_MS, this.shownAt + SHOW_EVERY_MS - this.now())));
  }

  private publish(entry: Entry): void {
    entry.changed = false;
    const { rows, missing } = entry;
    const kept = { columns: rows.columns, reason: "", asOf: this.now() };
    if (rows.tooLarge) entry.state = { ...kept, phase: "too-large", rows: [] };
    else if (missing !== null && !rows.ready) {
      entry.state = { ...kept, phase: "missing", reason: missing, rows: [] };
    } else if (rows.ready) entry.state = { ...kept, phase: "ready", rows: rows.rows() };
    else return;
    for (const listener of entry.listeners) listener();
  }
}
