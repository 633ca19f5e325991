// The tracker's queue: what is kept, what is sent again, and for how long.
import { beforeEach, describe, expect, test, vi } from "vitest";
import { AGAIN_MS_MAX, BATCH_BYTES_MAX, EVENTS_MAX, type Outside, RETRIES_MAX, queue } from "../tracker/queue";
import type { Store } from "../tracker/storage";

function memory(): Store & { readonly all: Map<string, string> } {
  const all = new Map<string, string>();
  return {
    all,
    get: (key) => all.get(key) ?? null,
    set: (key, value) => void all.set(key, value),
    remove: (key) => void all.delete(key),
    keys: (prefix) => [...all.keys()].filter((key) => key.startsWith(prefix)).sort(),
  };
}

type Answer = { status: number; retryAfter: number } | Error;

function outside(answers: Answer[] = []) {
  const sent: { writeKey: string; batch: { messageId: string }[] }[] = [];
  const beacons: string[] = [];
  const store = memory();
  const all = {
    store, url: "/v1/batch", writeKey: "key", now: () => Date.now(), sent, beacons,
    async post(_url: string, body: string) {
      sent.push(JSON.parse(body));
      const answer = answers.shift() ?? { status: 200, retryAfter: 0 };
      if (answer instanceof Error) throw answer;
      return answer;
    },
    beacon: (_url: string, body: string) => beacons.push(body) > 0,
  };
  return all satisfies Outside;
}

const event = (id: string, pad = ""): string => JSON.stringify({ type: "track", messageId: id, pad });
const ids = (batch: { messageId: string }[]): string[] => batch.map((one) => one.messageId);

beforeEach(() => {
  vi.useFakeTimers();
});

describe("the queue", () => {
  test("sends together what happens together, in its order, and keeps nothing that was taken", async () => {
    const out = outside();
    const events = queue(out);
    for (const id of ["a1", "a2", "a3"]) events.add(id, event(id));
    expect(out.sent).toHaveLength(0);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(out.sent.map((one) => ids(one.batch))).toEqual([["a1", "a2", "a3"]]);
    expect(out.sent[0]?.writeKey).toBe("key");
    expect(out.store.all.size).toBe(0);
  });

  test("sends again, later each time, under the same ids, until it is taken", async () => {
    const out = outside([new Error("offline"), { status: 503, retryAfter: 0 }, { status: 429, retryAfter: 30 }]);
    const events = queue(out);
    events.add("a", event("a"));
    await vi.advanceTimersByTimeAsync(10_000);
    expect(out.sent).toHaveLength(3);
    await vi.advanceTimersByTimeAsync(15_000);
    expect(out.sent, "it waits as long as it was asked to").toHaveLength(3);
    await vi.advanceTimersByTimeAsync(20_000);
    expect(out.sent).toHaveLength(4);
    expect(new Set(out.sent.flatMap((one) => ids(one.batch)))).toEqual(new Set(["a"]));
    expect(out.store.all.size).toBe(0);
  });

  test("rests after so many failures, and begins again when the network is back", async () => {
    const out = outside(Array.from({ length: RETRIES_MAX + 1 }, () => new Error("offline")));
    const events = queue(out);
    events.add("a", event("a"));
    await vi.advanceTimersByTimeAsync(3_600_000);
    expect(out.sent).toHaveLength(RETRIES_MAX + 1);
    expect(out.store.all.size).toBe(1);
    events.flush();
    await vi.advanceTimersByTimeAsync(10);
    expect(out.sent).toHaveLength(RETRIES_MAX + 2);
    expect(out.store.all.size).toBe(0);
  });

  test("does not send again what will not be had", async () => {
    const out = outside([{ status: 400, retryAfter: 0 }]);
    queue(out).add("a", event("a"));
    await vi.advanceTimersByTimeAsync(120_000);
    expect(out.sent).toHaveLength(1);
    expect(out.store.all.size).toBe(0);
  });

  test("keeps so many, the newest", async () => {
    const out = outside();
    const events = queue(out);
    for (let at = 0; at < EVENTS_MAX + 5; at += 1) events.add(String(at).padStart(5, "0"), event(String(at)));
    expect(out.store.all.size).toBe(EVENTS_MAX);
    expect(out.store.all.has("tw_q_00004")).toBe(false);
    expect(out.store.all.has("tw_q_00005")).toBe(true);
  });

  test("splits what is too large for one request, by bytes", async () => {
    const out = outside();
    const events = queue(out);
    // Three bytes each: a text of characters would be three times as long as it looks.
    for (const id of ["a", "b", "c", "d"]) events.add(id, event(id, "店".repeat(8_000)));
    await vi.advanceTimersByTimeAsync(5_000);
    expect(out.sent.map((one) => ids(one.batch))).toEqual([["a", "b"], ["c", "d"]]);
    for (const one of out.sent) expect(new Blob([JSON.stringify(one)]).size).toBeLessThan(BATCH_BYTES_MAX + 100);
  });

  test("gives a beacon what is left, and keeps it until an answer has come", async () => {
    const out = outside();
    const events = queue(out);
    events.add("a", event("a"));
    events.leave();
    expect(out.beacons).toHaveLength(1);
    expect(out.store.all.size).toBe(1);
    // The next page.
    queue(out).flush();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(out.sent.flatMap((one) => ids(one.batch))).toEqual(["a"]);
    expect(out.store.all.size).toBe(0);
  });

  test("does not send again what the server may have forgotten that it has", async () => {
    const out = outside([new Error("the answer was lost")]);
    const first = queue(out);
    first.add("a", event("a"));
    await vi.advanceTimersByTimeAsync(300);
    expect(out.sent).toHaveLength(1);
    out.store.set("tw_q_b", JSON.stringify({ e: event("b"), t: 0 }));
    vi.setSystemTime(Date.now() + AGAIN_MS_MAX + 1);
    queue(out).flush();
    await vi.advanceTimersByTimeAsync(1_000);
    // What was never sent has no age.
    expect(out.sent.slice(1).flatMap((one) => ids(one.batch))).toEqual(["b"]);
    expect(out.store.all.size).toBe(0);
  });

  test("lives with entries that are none", async () => {
    const out = outside();
    out.store.set("tw_q_0", "{");
    out.store.set("tw_q_1", "null");
    queue(out).add("a", event("a"));
    await vi.advanceTimersByTimeAsync(1_000);
    expect(out.sent.flatMap((one) => ids(one.batch))).toEqual(["a"]);
    expect(out.store.all.size).toBe(0);
  });
});
