// Numbers, money, dates and times as the reader writes them.
import { type Decimal, text } from "./decimal";

/** How a column's values are shown. */
export type Kind = "money" | "count" | "number" | "percent" | "time" | "date" | "text";

const formats = new Map<string, Intl.NumberFormat | Intl.DateTimeFormat>();

// Making a format costs more than using it a thousand times.
function kept<T extends Intl.NumberFormat | Intl.DateTimeFormat>(key: string, make: () => T): T {
  let format = formats.get(key) as T | undefined;
  if (!format) {
    format = make();
    formats.set(key, format);
  }
  return format;
}

// A text keeps all its digits; the library's types know numbers alone.
function formatted(format: Intl.NumberFormat, digits: string): string {
  return format.format(digits as unknown as number);
}

/** How this reader's figures look. */
export class Formats {
  constructor(
    readonly locale: string,
    readonly zone: string,
  ) {}

  private numbers(key: string, options: Intl.NumberFormatOptions): Intl.NumberFormat {
    return kept(`${this.locale} ${key}`, () => new Intl.NumberFormat(this.locale, options));
  }

  private times(key: string, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
    return kept(`${this.locale} ${this.zone} ${key}`, () =>
      new Intl.DateTimeFormat(this.locale, { timeZone: this.zone, ...options }),
    );
  }

  /** An amount with its currency's digits. A currency nobody knows stands behind its number. */
  money(amount: Decimal, currency: string | null): string {
    if (currency && /^[A-Za-z]{3}$/.test(currency)) {
      const format = this.numbers(`money ${currency}`, { style: "currency", currency });
      return formatted(format, text(amount));
    }
    const plain = this.numbers("plain money", { minimumFractionDigits: 2 });
    return currency ? `${formatted(plain, text(amount))} ${currency}` : formatted(plain, text(amount));
  }

  /** An amount for the edge of a chart. */
  shortMoney(amount: number, currency: string | null): string {
    if (!currency || !/^[A-Za-z]{3}$/.test(currency)) return this.short(amount);
    const options = { style: "currency", currency, notation: "compact", maximumFractionDigits: 1 } as const;
    return this.numbers(`short ${currency}`, options).format(amount);
  }

  short(value: number): string {
    return this.numbers("short", { notation: "compact", maximumFractionDigits: 1 }).format(value);
  }

  count(value: Decimal): string {
    return formatted(this.numbers("count", { maximumFractionDigits: 0 }), text(value));
  }

  number(value: Decimal): string {
    return formatted(this.numbers("number", { maximumFractionDigits: 6 }), text(value));
  }

  /** Tenths of a percent, with its sign; from ten times on, how many times. */
  change(perMille: number): string {
    if (perMille >= 9_000) return `×${this.numbers("times", { maximumFractionDigits: 0 }).format(perMille / 1_000 + 1)}`;
    const options = { style: "percent", maximumFractionDigits: 1, signDisplay: "exceptZero" } as const;
    return this.numbers("change", options).format(perMille / 1_000);
  }

  percent(share: number): string {
    return this.numbers("percent", { style: "percent", maximumFractionDigits: 1 }).format(share);
  }

  clock(at: number): string {
    return this.times("clock", { hour: "2-digit", minute: "2-digit", second: "2-digit" }).format(at);
  }

  minute(at: number): string {
    return this.times("minute", { hour: "2-digit", minute: "2-digit" }).format(at);
  }

  day(at: number): string {
    return this.times("day", { day: "numeric", month: "short" }).format(at);
  }

  moment(at: number): string {
    const options = { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" } as const;
    return this.times("moment", options).format(at);
  }

  /** The time of day, with its date where that is not today's. */
  recent(at: number): string {
    return this.day(at) === this.day(Date.now()) ? this.clock(at) : this.moment(at);
  }
}
