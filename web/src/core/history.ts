// The statements that were run in this browser, the newest first.

/** What is kept; the longest that is: browsers give a page 5 MB. */
const STATEMENTS_MAX = 50;
const STATEMENT_CHARS_MAX = 20_000;

export function remembered(text: string | null): string[] {
  try {
    const list: unknown = JSON.parse(text ?? "[]");
    return Array.isArray(list) ? list.filter((one) => typeof one === "string").slice(0, STATEMENTS_MAX) : [];
  } catch {
    return [];
  }
}

export function remember(list: readonly string[], statement: string): string[] {
  const sql = statement.trim();
  if (!sql || sql.length > STATEMENT_CHARS_MAX) return [...list];
  return [sql, ...list.filter((one) => one !== sql)].slice(0, STATEMENTS_MAX);
}
