// From rows to what a panel draws. Amounts stay exact, and amounts of two currencies never meet.
import { type Decimal, ZERO, add, approximate, compare, decimal, text } from "./decimal";
import type { Cell, Row } from "./feed";
import type { Span } from "./panel";

export interface Table {
  readonly columns: readonly string[];
  readonly rows: readonly Row[];
}

/** The column that says in which currency a row's amounts are. */
export const CURRENCY = "currency";

export function columnAt(table: Table, name: string | null): number {
  return name === null ? -1 : table.columns.indexOf(name);
}

/** Rows of one currency; all where the rows have none. */
export function ofCurrency(table: Table, currency: string | null): Table {
  const at = columnAt(table, CURRENCY);
  if (at < 0) return table;
  return { ...table, rows: table.rows.filter((row) => (row[at] ?? null) === currency) };
}

/** Currencies by how often they occur in a column of counts, the most frequent first. */
export function currencies(table: Table, count: string): (string | null)[] {
  const [at, counts] = [columnAt(table, CURRENCY), columnAt(table, count)];
  const sums = new Map<string | null, Decimal>();
  for (const row of table.rows) {
    const currency = typeof row[at] === "string" ? row[at] : null;
    sums.set(currency, add(sums.get(currency) ?? ZERO, decimal(row[counts]) ?? ZERO));
  }
  const all = [...sums].sort(([a, one], [b, other]) =>
    compare(other, one) || String(a).localeCompare(String(b)));
  return all.map(([currency]) => currency);
}

export function instant(cell: Cell | undefined): number | null {
  if (typeof cell !== "string") return null;
  const at = Date.parse(/^\d{4}-\d{2}-\d{2}$/.test(cell) ? `${cell}T00:00:00Z` : cell);
  return Number.isNaN(at) ? null : at;
}

/** Rows whose time is in a span. */
export function within(table: Table, time: string | null, span: Span | null): Table {
  const at = columnAt(table, time);
  if (at < 0 || !span) return table;
  const rows = table.rows.filter((row) => {
    const when = instant(row[at]);
    return when !== null && when >= span.from && when < span.to;
  });
  return { ...table, rows };
}

/** The rows of the newest time. */
export function latest(table: Table, time: string | null): Table {
  const at = columnAt(table, time);
  let newest: string | null = null;
  for (const row of table.rows) {
    const when = row[at];
    if (typeof when === "string" && (newest === null || when > newest)) newest = when;
  }
  return { ...table, rows: table.rows.filter((row) => row[at] === newest) };
}

/** The exact sum of a column; null where no row says anything. */
export function total(table: Table, name: string): Decimal | null {
  const at = columnAt(table, name);
  let sum: Decimal | null = null;
  for (const row of table.rows) {
    const value = decimal(row[at]);
    if (value) sum = sum ? add(sum, value) : value;
  }
  return sum;
}

/** Sums by currency, for a figure that shows them all side by side. */
export function totals(table: Table, name: string): Map<string | null, Decimal> {
  const at = columnAt(table, CURRENCY);
  const value = columnAt(table, name);
  const sums = new Map<string | null, Decimal>();
  for (const row of table.rows) {
    const amount = decimal(row[value]);
    const currency = typeof row[at] === "string" ? row[at] : null;
    if (amount) sums.set(currency, add(sums.get(currency) ?? ZERO, amount));
  }
  return sums;
}

export interface Point {
  readonly at: number;
  readonly value: Decimal;
}

/** Sums by time, in order; times of `every` that no row has are zero. */
export function series(
  table: Table, time: string, name: string, every: readonly number[],
): Point[] {
  const [at, column] = [columnAt(table, time), columnAt(table, name)];
  const sums = new Map<number, Decimal>();
  for (const row of table.rows) {
    const when = instant(row[at]);
    const value = decimal(row[column]);
    if (when !== null && value) sums.set(when, add(sums.get(when) ?? ZERO, value));
  }
  const times = every.length > 0 ? every : [...sums.keys()].sort((one, other) => one - other);
  return times.map((when) => ({ at: when, value: sums.get(when) ?? ZERO }));
}

export interface Bar {
  readonly label: string | null;
  readonly value: Decimal;
  readonly before: Decimal | null;
  /** Of the largest, between 0 and 1: a length on the screen. */
  readonly share: number;
}

/** One bar for each label, the largest first. */
export function bars(table: Table, label: string, name: string, before: string | null): Bar[] {
  const [at, column, earlier] = [label, name, before].map((one) => columnAt(table, one));
  const sums = new Map<string | null, { value: Decimal; before: Decimal | null }>();
  for (const row of table.rows) {
    const cell = row[at ?? -1];
    const key = cell === null || cell === undefined ? null : String(cell);
    const known = sums.get(key) ?? { value: ZERO, before: before ? ZERO : null };
    const value = add(known.value, decimal(row[column ?? -1]) ?? ZERO);
    const was = known.before && add(known.before, decimal(row[earlier ?? -1]) ?? ZERO);
    sums.set(key, { value, before: was });
  }
  const all = [...sums].map(([key, sum]) => ({ label: key, ...sum }));
  all.sort((one, other) => compare(other.value, one.value));
  const most = approximate(all[0]?.value ?? ZERO);
  return all.map((bar) => ({
    ...bar, share: most > 0 ? Math.max(0, approximate(bar.value) / most) : 0,
  }));
}

/** The columns that are looked at. */
export function project(table: Table, names: readonly string[]): Table {
  const columns = [...new Set(names)].filter((name) => table.columns.includes(name));
  const places = columns.map((name) => columnAt(table, name));
  return { columns, rows: table.rows.map((row) => places.map((at) => row[at] ?? null)) };
}

/** Without rows that are nothing in each of these columns: where there is none, a chart draws the same. */
export function withoutZeros(table: Table, names: readonly string[]): Table {
  const places = names.map((name) => columnAt(table, name));
  const counts = (row: Row): boolean => places.some((at) => (decimal(row[at])?.units ?? 0n) !== 0n);
  return { ...table, rows: table.rows.filter(counts) };
}

/** One row with the sum for each currency: all that a figure looks at. */
export function summed(table: Table, name: string): Table {
  const all = [...totals(table, name)];
  if (!table.columns.includes(CURRENCY)) {
    return { columns: [name], rows: all.map(([, amount]) => [text(amount)]) };
  }
  return { columns: [CURRENCY, name], rows: all.map(([currency, amount]) => [currency, text(amount)]) };
}

/** Whether two tables say the same, in whatever order: a row that was changed comes last. */
export function sameTable(one: Table | null, other: Table | null): boolean {
  if (one === other) return true;
  if (!one || !other || one.rows.length !== other.rows.length) return false;
  if (one.columns.join("\n") !== other.columns.join("\n")) return false;
  const said = (table: Table): string[] => table.rows.map((row) => JSON.stringify(row)).sort();
  const theirs = said(other);
  return said(one).every((row, at) => row === theirs[at]);
}
