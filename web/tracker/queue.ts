// Events on their way: kept until the server has answered, sent in batches, again with backoff.
// One entry of the store is one event, so that tabs see each other's and none overwrites another's.
// An event that two tabs send, or that is sent again because its answer was lost, has one message id:
// the server counts it once.
import type { Store } from "./storage";

/** Events kept: a long trip without a network. Past it the oldest go. */
export const EVENTS_MAX = 1_000;
/** Of one request; the server takes 500 KB. Beacons and `keepalive` take 64 KB in all. */
export const BATCH_BYTES_MAX = 60_000;
const BATCH_EVENTS_MAX = 100;
/** An event that was sent and never answered is not sent later than this: the server knows ids for 24 hours. */
export const AGAIN_MS_MAX = 20 * 3_600_000;
const RETRY_MS_MIN = 1_000;
const RETRY_MS_MAX = 60_000;
/** Failures in a row after which only a new page, a new event or a network that is back tries again. */
export const RETRIES_MAX = 10;
/** Events of one moment go together. */
const FLUSH_MS = 200;
const PREFIX = "tw_q_";

export interface Outside {
  readonly store: Store;
  readonly url: string;
  readonly writeKey: string;
  now(): number;
  post(url: string, body: string): Promise<{ status: number; retryAfter: number }>;
  beacon(url: string, body: string): boolean;
}

interface Kept {
  /** The event's JSON. */
  readonly e: string;
  /** When it was first sent; 0 if never. */
  t: number;
}

export interface Queue {
  add(id: string, event: string): void;
  flush(): void;
  /** The page goes away. */
  leave(): void;
  clear(): void;
}

export function queue(outside: Outside): Queue {
  const { store, now } = outside;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let sending = false;
  let failures = 0;
  let waitUntil = 0;

  const keys = (): string[] => store.keys(PREFIX);

  /** The next events that fit into a request, marked as sent. */
  const take = (skip = new Set<string>()): [string[], string] => {
    const taken: string[] = [];
    const events: string[] = [];
    let bytes = 200;
    for (const key of keys()) {
      if (skip.has(key) || events.length >= BATCH_EVENTS_MAX) continue;
      let kept: Kept | null = null;
      try {
        kept = JSON.parse(store.get(key) ?? "null") as Kept | null;
      } catch {
        // Not ours.
      }
      if (!kept?.e || (kept.t && now() - kept.t > AGAIN_MS_MAX)) {
        store.remove(key);
        continue;
      }
      // In bytes, not in characters.
      const size = new Blob([kept.e]).size + 1;
      if (events.length && bytes + size > BATCH_BYTES_MAX) break;
      bytes += size;
      if (!kept.t) {
        kept.t = now();
        store.set(key, JSON.stringify(kept));
      }
      taken.push(key);
      events.push(kept.e);
    }
    const sentAt = new Date(now()).toISOString();
    return [taken, `{"writeKey":${JSON.stringify(outside.writeKey)},"sentAt":"${sentAt}","batch":[${events}]}`];
  };

  const later = (ms: number): void => {
    clearTimeout(timer);
    timer = setTimeout(() => void run(), ms);
  };

  const run = async (): Promise<void> => {
    if (sending) return;
    if (now() < waitUntil) {
      later(waitUntil - now());
      return;
    }
    const [taken, body] = take();
    if (!taken.length) return;
    sending = true;
    let status = 0;
    let retryAfter = 0;
    try {
      ({ status, retryAfter } = await outside.post(outside.url, body));
    } catch {
      // No network, or it went away.
    }
    sending = false;
    // What the server will not have at another time either is in its dead letters.
    if (status && status !== 408 && status !== 429 && status < 500) {
      failures = waitUntil = 0;
      taken.forEach((key) => store.remove(key));
      later(0);
      return;
    }
    if (++failures > RETRIES_MAX) return;
    const wait = Math.ceil(Math.max(Math.min(RETRY_MS_MIN * 2 ** (failures - 1), RETRY_MS_MAX) * (0.5 + Math.random() / 2), retryAfter * 1_000));
    waitUntil = now() + wait;
    later(wait);
  };

  return {
    add(id, event) {
      const all = keys();
      all.slice(0, Math.max(0, all.length - EVENTS_MAX + 1)).forEach((key) => store.remove(key));
      store.set(PREFIX + id, JSON.stringify({ e: event, t: 0 }));
      if (failures > RETRIES_MAX) failures = RETRIES_MAX;
      later(Math.max(FLUSH_MS, waitUntil - now()));
    },
    flush() {
      failures = waitUntil = 0;
      later(0);
    },
    leave() {
      // A beacon has no answer: what it takes stays, is sent again at the next visit, and is a duplicate then.
      const gone = new Set<string>();
      for (;;) {
        const [taken, body] = take(gone);
        if (!taken.length || !outside.beacon(outside.url, body)) return;
        taken.forEach((key) => gone.add(key));
      }
    },
    clear: () => keys().forEach((key) => store.remove(key)),
  };
}
