// The tracker: analytics.js's calls, sent to Tradewind's tracking API. docs/tracking.md describes it.
//
// Guarantees: with Do-Not-Track or Global Privacy Control nothing is stored and nothing is sent; where
// consent is required, neither before it is given. What was called is sent once it can be, and counted once.
// Left out: other destinations than this server, and plugins.
import { type Queue, queue } from "./queue";
import { type Store, storage } from "./storage";

type Json = Record<string, unknown>;
type Call = [method: string, ...args: unknown[]];

export interface Options {
  /** Where to send, as `https://shop.example`; by default where the script is from. */
  host?: string;
  /** `"required"`: nothing before `analytics.consent(...)`. */
  consent?: "required";
  /** How long a visit may be silent, minutes. */
  sessionMinutes?: number;
  /** Counts a page view at once; so does the script tag with a write key. */
  page?: boolean;
}

const ANONYMOUS = "ajs_anonymous_id";
const USER = "ajs_user_id";
const TRAITS = "ajs_user_traits";
const GROUP = "ajs_group_id";
const SESSION = "tw_session";
const CAMPAIGN = "tw_campaign";
const CONSENT = "tw_consent";
const MINUTE_MS = 60_000;
/** Calls kept in memory while consent is not given. */
const HELD_MAX = 100;
const COOKIE_AGE_S = 31_536_000;

const plain = (value: unknown): value is Json => typeof value === "object" && value !== null && !Array.isArray(value);
const script = document.currentScript as HTMLScriptElement | null;
const uuid = (): string => {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte, at) => (at === 6 ? (byte & 15) | 64 : at === 8 ? (byte & 63) | 128 : byte)
    .toString(16).padStart(2, "0")).join("").replace(/(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
};

/** Whether the reader's browser asks for silence. */
const silent = (): boolean => {
  const says = navigator as Navigator & { globalPrivacyControl?: boolean; msDoNotTrack?: string };
  return says.globalPrivacyControl === true || says.doNotTrack === "1" || says.doNotTrack === "yes" || says.msDoNotTrack === "1";
};

let store: Store;
let events: Queue | undefined;
let options: Options = {};
let agreed: Json | boolean | null = null;
let held: (() => void)[] = [];
const readers: ((...args: unknown[]) => void)[] = [];
const listeners: Record<string, ((...args: unknown[]) => void)[]> = {};

const cookie = (name: string): string | null => {
  const found = document.cookie.split("; ").find((one) => one.startsWith(`${name}=`));
  return found ? decodeURIComponent(found.slice(name.length + 1)) : null;
};

// Both places, as analytics.js has it: a shop that changes over keeps its visitors.
const keep = (name: string, value: string | null): void => {
  if (value === null) store.remove(name);
  else store.set(name, JSON.stringify(value));
  const secure = location.protocol === "https:" ? "; Secure" : "";
  try {
    document.cookie = `${name}=${encodeURIComponent(value ?? "")}; Path=/; SameSite=Lax; Max-Age=${value === null ? 0 : COOKIE_AGE_S}${secure}`;
  } catch {
    // A page without cookies.
  }
};

const known = (name: string): string | null => {
  const text = store.get(name);
  try {
    const value: unknown = text === null ? null : JSON.parse(text);
    if (value !== null) return String(value);
  } catch {
    if (text) return text;
  }
  try {
    return cookie(name);
  } catch {
    return null;
  }
};

const anonymous = (): string => {
  const id = known(ANONYMOUS) ?? uuid();
  // Written each time, so that it lasts from the last visit on.
  keep(ANONYMOUS, id);
  return id;
};

const json = (key: string): Json => {
  try {
    const value: unknown = JSON.parse(store.get(key) ?? "{}");
    return plain(value) ? value : {};
  } catch {
    return {};
  }
};

/** The visit: one of all tabs, new after a silence. */
const session = (): string => {
  const now = Date.now();
  const last = json(SESSION);
  const alive = typeof last["id"] === "string" && now - Number(last["at"]) < (options.sessionMinutes ?? 30) * MINUTE_MS;
  const id = alive ? (last["id"] as string) : uuid();
  store.set(SESSION, JSON.stringify({ id, at: now }));
  if (!alive) store.remove(CAMPAIGN);
  return id;
};

/** What the link that the visit began with says of its campaign; kept for the visit. */
const campaign = (): Json => {
  const found: Json = {};
  new URLSearchParams(location.search).forEach((value, name) => {
    if (name.startsWith("utm_")) found[name === "utm_campaign" ? "name" : name.slice(4)] = value.slice(0, 200);
  });
  if (!Object.keys(found).length) return json(CAMPAIGN);
  store.set(CAMPAIGN, JSON.stringify(found));
  return found;
};

const pageNow = (): Json => ({
  path: location.pathname, referrer: document.referrer, search: location.search, title: document.title,
  url: location.href.split("#")[0],
});

const send = (type: string, fields: Json, given: unknown): void => {
  const own = plain(given) ? given : {};
  const { context, timestamp, integrations, anonymousId, userId } = own;
  const visit = session();
  const from = campaign();
  const id = uuid();
  const event: Json = {
    type, messageId: typeof own["messageId"] === "string" ? own["messageId"] : id,
    timestamp: timestamp instanceof Date || typeof timestamp === "string" ? timestamp : new Date(),
    anonymousId: anonymousId ?? anonymous(), userId: userId ?? known(USER) ?? undefined,
    ...fields, integrations,
    context: {
      library: { name: "tw.js", version: "1" }, page: pageNow(), sessionId: visit,
      campaign: Object.keys(from).length ? from : undefined, locale: navigator.language, userAgent: navigator.userAgent,
      timezone: Intl.DateTimeFormat().resolvedOptions().timeZone,
      screen: { width: innerWidth, height: innerHeight, density: devicePixelRatio },
      consent: plain(agreed) ? { categoryPreferences: agreed } : undefined,
      ...(plain(context) ? context : own["context"] === undefined ? { ...own, messageId: undefined, timestamp: undefined } : {}),
    },
  };
  // In the order of their time, whichever tab they are from.
  events?.add(`${Date.now().toString(36).padStart(9, "0")}-${id}`, JSON.stringify(event));
  for (const listener of listeners[type] ?? []) listener(fields["event"] ?? fields["name"] ?? fields["userId"], fields["properties"] ?? fields["traits"], given);
};

/** A callback at the end of the arguments, and the arguments without it. */
const split = (args: unknown[]): [unknown[], (() => void) | undefined] => {
  const at = args.findIndex((one) => typeof one === "function");
  return at < 0 ? [args, undefined] : [args.slice(0, at), args[at] as () => void];
};

/** Does it now, when consent is given, or never. */
const when = (does: () => void, done?: () => void): Promise<void> => {
  const act = (): void => {
    does();
    if (done) setTimeout(done);
  };
  if (events) act();
  else if (held.length < HELD_MAX && !silent()) held.push(act);
  return Promise.resolve();
};

const start = (): void => {
  if (events || silent()) return;
  const url = `${(options.host ?? new URL(script?.src || location.href, location.href).origin).replace(/\/$/, "")}/v1/batch`;
  events = queue({
    store, url, writeKey: api._writeKey ?? "", now: Date.now,
    async post(to, body) {
      // Plain text needs no question beforehand from another origin, and outlives the page.
      const answer = await fetch(to, { method: "POST", body, keepalive: body.length < 60_000, credentials: "omit", headers: { "Content-Type": "text/plain" } });
      return { status: answer.status, retryAfter: Number(answer.headers.get("Retry-After")) || 0 };
    },
    beacon: (to, body) => navigator.sendBeacon?.(to, new Blob([body], { type: "text/plain" })) ?? false,
  });
  const waiting = held;
  held = [];
  waiting.forEach((act) => act());
  events.flush();
  readers.splice(0).forEach((told) => told());
};

const api = {
  initialized: false,
  _writeKey: undefined as string | undefined,

  load(key: string | { writeKey: string }, given?: Options): void {
    if (api.initialized) return;
    api.initialized = true;
    api._writeKey = typeof key === "string" ? key : key.writeKey;
    options = given ?? {};
    if (silent()) return;
    store = storage();
    addEventListener("online", () => events?.flush());
    addEventListener("pagehide", () => events?.leave());
    document.addEventListener("visibilitychange", () => document.hidden && events?.leave());
    const before = store.get(CONSENT);
    if (before) agreed = JSON.parse(before) as Json | boolean;
    if (options.consent !== "required" || agreed) start();
    if (options.page) void api.page();
  },

  track(event: string, ...rest: unknown[]): Promise<void> {
    const [[properties, given], done] = split(rest);
    return when(() => send("track", { event, properties: properties ?? {} }, given), done);
  },

  page(...all: unknown[]): Promise<void> {
    const [args, done] = split(all);
    const names = args.filter((one) => typeof one === "string");
    const [properties, given] = args.filter((one) => typeof one !== "string" && one !== null);
    const [category, name] = names.length > 1 ? names : [undefined, names[0]];
    const seen = { ...pageNow(), ...(plain(properties) ? properties : {}), name, category };
    return when(() => send("page", { name, category, properties: seen }, given), done);
  },

  identify(...all: unknown[]): Promise<void> {
    const [args, done] = split(all);
    const id = plain(args[0]) || args[0] == null ? null : String(args.shift());
    if (args[0] === null && !id) args.shift();
    const [traits, given] = args;
    return when(() => {
      // Somebody else at the same browser is another visitor.
      if (id && known(USER) && known(USER) !== id) api.reset();
      if (id) keep(USER, id);
      const all = { ...json(TRAITS), ...(plain(traits) ? traits : {}) };
      store.set(TRAITS, JSON.stringify(all));
      send("identify", { traits: all }, given);
    }, done);
  },

  group(id: unknown, ...rest: unknown[]): Promise<void> {
    const [[traits, given], done] = split(rest);
    return when(() => {
      if (id != null) store.set(GROUP, JSON.stringify(String(id)));
      send("group", { groupId: id == null ? known(GROUP) : String(id), traits: traits ?? {} }, given);
    }, done);
  },

  alias(to: string, ...rest: unknown[]): Promise<void> {
    const [args, done] = split(rest);
    const from = typeof args[0] === "string" ? args.shift() : undefined;
    return when(() => send("alias", { userId: to, previousId: from ?? known(USER) ?? anonymous() }, args[0]), done);
  },

  reset(): void {
    if (!events) return;
    for (const name of [ANONYMOUS, USER]) keep(name, null);
    for (const key of [TRAITS, GROUP, SESSION, CAMPAIGN]) store.remove(key);
  },

  /** What the reader agrees to: `true`, `false`, or by category as in `{analytics: true, advertising: false}`. */
  consent(given: boolean | Json): void {
    if (!api.initialized || silent()) return;
    const yes = plain(given) ? given["analytics"] !== false && Object.values(given).some(Boolean) : given;
    agreed = given;
    if (yes) {
      store.set(CONSENT, JSON.stringify(given));
      start();
      return;
    }
    held = [];
    if (events) api.reset();
    events?.clear();
    events = undefined;
    options.consent = "required";
    store.remove(CONSENT);
  },

  user: () => ({
    id: () => (events ? known(USER) : null),
    anonymousId: () => (events ? anonymous() : null),
    sessionId: () => (events ? session() : null),
    campaign: () => (events ? campaign() : {}),
    traits: () => (events ? json(TRAITS) : {}),
  }),

  setAnonymousId(id: string): void {
    void when(() => keep(ANONYMOUS, id));
  },

  ready(told: () => void): Promise<void> {
    if (events) setTimeout(told);
    else readers.push(told);
    return Promise.resolve();
  },

  on(type: string, told: (...args: unknown[]) => void): void {
    (listeners[type] ??= []).push(told);
  },
};

// What the snippet has kept while we were on our way.
const page = window as unknown as { analytics?: (Call[] & { _writeKey?: string; _loadOptions?: Options }) | typeof api };
const before = page.analytics;
if (!(before && "initialized" in before && before.initialized)) {
  const calls = Array.isArray(before) ? [...before] : [];
  const key = (Array.isArray(before) ? before._writeKey : undefined) ?? script?.dataset["writeKey"];
  page.analytics = api;
  const loading = calls.findIndex(([method]) => method === "load");
  const [, first, second] = loading < 0 ? [] : calls[loading] ?? [];
  if (key !== undefined || loading >= 0) {
    const tagged = script?.dataset["writeKey"] !== undefined;
    const given = (Array.isArray(before) ? before._loadOptions : undefined) ?? (second as Options | undefined);
    api.load((first as string | undefined) ?? key ?? "", given ?? (tagged ? {
      page: true, ...(script?.dataset["consent"] === "required" ? { consent: "required" } : {}), ...(script?.dataset["host"] ? { host: script.dataset["host"] } : {}),
    } : {}));
  }
  for (const [method, ...args] of calls) {
    const does = (api as unknown as Record<string, ((...args: unknown[]) => unknown) | undefined>)[method];
    if (method !== "load" && typeof does === "function") does(...args);
  }
}
