// The tab's connection: snapshots and changes, resuming, and who is told of what.
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Feed, type Open, ROWS_MAX, type Row, ViewRows } from "../src/core/feed";
import { SseParser } from "../src/core/sse";

describe("events", () => {
  test("are read however the text is cut", () => {
    const all = ": alive\n\nevent: changes\nid: 1-2,3-4\ndata: {\"a\":\ndata: 1}\n\nevent: reset\r\ndata: {}\r\n\r\n";
    for (let size = 1; size < all.length; size += 1) {
      const parser = new SseParser();
      const events = [];
      for (let at = 0; at < all.length; at += size) events.push(...parser.push(all.slice(at, at + size)));
      const names = events.map((event) => event.name);
      // A line that ends between its two characters is read as two: then an event is whole earlier.
      expect(names).toEqual(["changes", "reset"]);
      expect(events[0]).toEqual({ name: "changes", id: "1-2,3-4", data: '{"a":\n1}' });
    }
  });
  test("one without an end is not gathered for ever", () => {
    const parser = new SseParser();
    const line = `data: ${"x".repeat(1 << 20)}\n`;
    expect(() => { for (let n = 0; n < 20; n += 1) parser.push(line); }).toThrow("without an end");
  });
});

describe("a view's rows", () => {
  test("are what snapshot and changes leave, each as often as it counts", () => {
    const rows = new ViewRows();
    rows.snapshot(["n"], [["a"], ["a"]], false);
    expect(rows.ready).toBe(false);
    rows.snapshot(["n"], [["b"]], true);
    expect(rows.rows()).toEqual([["a"], ["a"], ["b"]]);
    rows.changes([["a"], ["b"]], [["c"], ["c"]]);
    expect(rows.rows()).toEqual([["a"], ["c"], ["c"]]);
    // Taken back before it is added, as two ticks in one list may have it.
    rows.changes([["d"]], [["d"], ["d"]]);
    expect(rows.rows().filter(([name]) => name === "d")).toHaveLength(1);
  });
  test("stand until the snapshot after a reset is whole", () => {
    const rows = new ViewRows();
    rows.snapshot(["n"], [["old"]], true);
    rows.reset();
    rows.snapshot(["n"], [["new"]], false);
    expect(rows.rows()).toEqual([["old"]]);
    // It broke off: what had come of it does not count.
    rows.reset();
    rows.snapshot(["n"], [["newer"]], true);
    expect(rows.rows()).toEqual([["newer"]]);
  });
  test("are bounded", () => {
    const rows = new ViewRows();
    rows.snapshot(["n"], Array.from({ length: ROWS_MAX + 1 }, (_, n): Row => [n]), true);
    expect(rows.tooLarge).toBe(true);
    expect(rows.size).toBeLessThan(10);
  });
  test("a day of changes a second leaves no more than the rows there are", () => {
    const rows = new ViewRows();
    rows.snapshot(["minute", "gross"], [], true);
    let last: Row | null = null;
    for (let second = 0; second < 86_400; second += 1) {
      const minute = Math.floor(second / 60);
      const next: Row = [minute, `${second}.00`];
      rows.changes(last && last[0] === minute ? [last] : [], [next]);
      last = next;
    }
    expect(rows.size).toBe(1_440);
  });
});

/** A server that the test speaks for. */
class Script {
  readonly urls: string[] = [];
  private push: ((text: string | null) => void) | null = null;
  refuse = false;

  readonly open: Open = async (url, stop) => {
    this.urls.push(url);
    if (this.refuse) throw new Error("refused");
    const queue: (string | null)[] = [];
    let wake: (() => void) | null = null;
    this.push = (text) => {
      queue.push(text);
      wake?.();
    };
    stop.addEventListener("abort", () => this.push?.(null));
    return (async function* () {
      for (;;) {
        while (queue.length === 0) await new Promise<void>((resolve) => (wake = resolve));
        const text = queue.shift();
        if (text === null || text === undefined) return;
        yield text;
      }
    })();
  };

  async say(name: string, data: object, id?: string): Promise<void> {
    this.push?.(`event: ${name}\n${id === undefined ? "" : `id: ${id}\n`}data: ${JSON.stringify(data)}\n\n`);
    await vi.advanceTimersByTimeAsync(250);
  }

  async end(): Promise<void> {
    this.push?.(null);
    await vi.advanceTimersByTimeAsync(0);
  }
}

const columns = [{ name: "n" }];

describe("the connection", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  async function started() {
    const server = new Script();
    const feed = new Feed(server.open);
    const told = { a: 0, b: 0 };
    const a = { view: "a", where: "n > 1" };
    const b = { view: "b", where: "" };
    const stopA = feed.follow(a, () => (told.a += 1));
    const stopB = feed.follow(b, () => (told.b += 1));
    await vi.advanceTimersByTimeAsync(1);
    return { server, feed, told, a, b, stopA, stopB };
  }

  test("is one for all views, and who shows one view is not told of another", async () => {
    const { server, feed, told, a, b } = await started();
    expect(server.urls).toEqual(["/api/live?view=a&where=n+%3E+1&view=b"]);
    await server.say("snapshot", { at: 0, last: true, columns, rows: [[2]] }, "1-1,");
    await server.say("snapshot", { at: 1, last: true, columns, rows: [[7]] }, "1-1,2-1");
    expect(told).toEqual({ a: 1, b: 1 });
    const shown = feed.state(b);
    await server.say("changes", { at: 0, delete: [[2]], insert: [[3]] }, "1-2,2-1");
    expect(told).toEqual({ a: 2, b: 1 });
    expect(feed.state(a).rows).toEqual([[3]]);
    expect(feed.state(b)).toBe(shown);
  });

  test("goes on from its tokens after the server was away, and keeps what it shows meanwhile", async () => {
    const { server, feed, a } = await started();
    await server.say("snapshot", { at: 0, last: true, columns, rows: [[2]] }, "1-1,");
    await server.say("snapshot", { at: 1, last: true, columns, rows: [] }, "1-1,2-1");
    server.refuse = true;
    await server.end();
    expect(feed.connection.phase).toBe("lost");
    await vi.advanceTimersByTimeAsync(60_000);
    expect(feed.state(a).rows).toEqual([[2]]);
    const tries = server.urls.length;
    // Tried again and again, not in a hurry.
    expect(tries).toBeGreaterThan(5);
    expect(tries).toBeLessThan(40);
    server.refuse = false;
    await vi.advanceTimersByTimeAsync(10_000);
    expect(feed.connection.phase).toBe("live");
    expect(server.urls.at(-1)).toBe("/api/live?view=a&where=n+%3E+1&view=b&after=1-1%2C2-1");
    // The server knows the token no longer.
    await server.say("reset", { at: 0 }, ",2-1");
    expect(feed.state(a).rows).toEqual([[2]]);
    await server.say("snapshot", { at: 0, last: true, columns, rows: [[9]] }, "8-1,2-1");
    expect(feed.state(a).rows).toEqual([[9]]);
  });

  test("that says nothing is not believed for long", async () => {
    const { server, feed } = await started();
    expect(feed.connection.phase).toBe("live");
    await vi.advanceTimersByTimeAsync(55_000);
    expect(server.urls.length).toBeGreaterThan(1);
  });

  test("is made again when a page wants other views, and views nobody wants are forgotten", async () => {
    const { server, feed, a, stopA } = await started();
    await server.say("snapshot", { at: 0, last: true, columns, rows: [[2]] }, "1-1,");
    stopA();
    feed.follow({ view: "c", where: "" }, () => undefined);
    await vi.advanceTimersByTimeAsync(1);
    expect(server.urls).toHaveLength(2);
    expect(server.urls[1]).toBe("/api/live?view=b&view=c");
    expect(feed.state(a).phase).toBe("loading");
  });

  test("says what is missing and why, and shows it when it comes", async () => {
    const { server, feed, a } = await started();
    await server.say("missing", { at: 0, view: "a", reason: "the view is starting" });
    expect(feed.state(a)).toMatchObject({ phase: "missing", reason: "the view is starting" });
    await server.say("snapshot", { at: 0, last: true, columns, rows: [] }, "1-1,");
    expect(feed.state(a).phase).toBe("ready");
  });
});
