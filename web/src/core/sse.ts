// Server-sent events out of pieces of text that are cut anywhere.

export interface SseEvent {
  readonly name: string;
  readonly data: string;
  /** The last id that was sent. */
  readonly id: string;
}

/** An event longer than this is no event of ours: a snapshot comes in pieces of 1,000 rows. */
const EVENT_CHARS_MAX = 16 << 20;

export class SseParser {
  private rest = "";
  private name = "";
  private data: string[] = [];
  private id = "";
  private held = 0;

  /** The events that a piece of text has completed. */
  push(text: string): SseEvent[] {
    const lines = (this.rest + text).split(/\r\n|\n|\r/);
    this.rest = lines.pop() ?? "";
    const events: SseEvent[] = [];
    for (const line of lines) {
      if (line !== "") this.field(line);
      else if (this.data.length > 0) events.push(this.take());
    }
    if (this.held + this.rest.length > EVENT_CHARS_MAX) throw new Error("an event without an end");
    return events;
  }

  private field(line: string): void {
    const colon = line.indexOf(":");
    // A line that begins with a colon is a comment: the connection lives.
    if (colon === 0) return;
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "event") this.name = value;
    else if (name === "id") this.id = value;
    else if (name === "data") {
      this.data.push(value);
      this.held += value.length;
    }
  }

  private take(): SseEvent {
    const event = { name: this.name || "message", data: this.data.join("\n"), id: this.id };
    this.name = "";
    this.data = [];
    this.held = 0;
    return event;
  }
}
