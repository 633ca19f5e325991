// Asking the server in SQL.
import type { Cell, Row } from "./feed";

export interface Column {
  readonly name: string;
  readonly type: string;
}

export interface Answer {
  readonly columns: readonly Column[];
  readonly rows: readonly Row[];
  readonly row_count: number;
  readonly truncated: boolean;
  readonly elapsed_ms: number;
  /** What a statement without rows has done. */
  readonly done?: string;
}

/** The server could not be asked at all, as opposed to: it said no. */
export class Unreachable extends Error {}

/** What the server said no with. */
export class Refused extends Error {
  constructor(
    message: string,
    readonly detail: string | null,
    readonly hint: string | null,
  ) {
    super(message);
  }
}

async function post(sql: string, format: string, signal?: AbortSignal): Promise<Response> {
  let answer: Response;
  try {
    answer = await fetch("/api/sql", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ sql, format }),
      signal: signal ?? null,
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Unreachable(String(error));
  }
  if (answer.ok) return answer;
  const said = await answer.text();
  let error: { message: string; detail: string | null; hint: string | null } | undefined;
  try {
    error = (JSON.parse(said) as { error?: typeof error }).error;
  } catch {
    error = undefined;
  }
  // While it starts or stops it answers 503 without a reason of SQL's.
  if (!error) throw new Unreachable(`${answer.status}`);
  throw new Refused(error.message, error.detail, error.hint);
}

export async function ask(sql: string, signal?: AbortSignal): Promise<Answer> {
  const text = await (await post(sql, "json", signal)).text();
  const answer = JSON.parse(text) as Answer & {
    error?: { message: string; detail: string | null; hint: string | null };
  };
  const { error } = answer;
  if (error) throw new Refused(error.message, error.detail, error.hint);
  return answer;
}

export async function askCsv(sql: string): Promise<Blob> {
  return (await post(sql, "csv")).blob();
}

/** A value as a literal of SQL. */
export function literal(value: string): string {
  return `'${value.replaceAll("'", "''")}'`;
}

/** A name as an identifier of SQL. */
export function identifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/**
 * Puts literals in the places of `:name`. A name that is not among the values stays as it is; texts,
 * quoted names, comments and `::` are left alone.
 */
export function fill(sql: string, values: Readonly<Record<string, string>>): string {
  const token = /'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|\/\*[\s\S]*?\*\/|::|:([a-z_]+)/g;
  return sql.replace(token, (all: string, name: string | undefined) =>
    name !== undefined && Object.hasOwn(values, name) ? (values[name] ?? all) : all,
  );
}

export function cellText(cell: Cell | undefined): string {
  if (cell === null || cell === undefined) return "";
  return typeof cell === "object" ? JSON.stringify(cell) : String(cell);
}
