// SQL: a statement, its plan, its answer as a table or a chart, and what was asked before.
import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { useReader } from "../context";
import { approximate, decimal } from "../core/decimal";
import { remember, remembered } from "../core/history";
import { instant } from "../core/shape";
import { type Answer, type Column, ask, askCsv, cellText } from "../core/sql";
import { Chart } from "../ui/Chart";
import { Editor } from "../ui/Editor";
import { Empty, Failure, Loading } from "../ui/states";
import { store, stored } from "../ui/theme";
import { Segments } from "./PanelPage";

const HISTORY_KEY = "tradewind.sql.history";
const DRAFT_KEY = "tradewind.sql.draft";
/** Rows on the screen; the download has them all. */
const SHOWN_MAX = 500;
const POINTS_MAX = 2_000;
/** A statement in an address: links longer than this are cut by programs on their way. */
const ADDRESS_CHARS_MAX = 1_500;

const FIRST = `SELECT currency, sold_day, orders, gross, net
FROM sales_per_day
ORDER BY sold_day DESC, currency`;

type Outcome =
  | { readonly kind: "answer"; readonly answer: Answer; readonly sql: string }
  | { readonly kind: "plan"; readonly text: string }
  | { readonly kind: "error"; readonly error: Error };

export default function SqlPage() {
  const { t } = useReader();
  const [text, setText] = useState(() => new URLSearchParams(location.search).get("q") ?? stored(DRAFT_KEY) ?? FIRST);
  const [past, setPast] = useState(() => remembered(stored(HISTORY_KEY)));
  const [outcome, setOutcome] = useState<Outcome | null>(null);
  const running = useRef<AbortController | null>(null);
  const [busy, setBusy] = useState(false);
  const schema = useSchema();

  useEffect(() => () => running.current?.abort(), []);

  const run = useCallback(async (statement: string, plan: boolean): Promise<void> => {
    const sql = statement.trim().replace(/;+$/, "");
    if (!sql) return;
    running.current?.abort();
    const stop = new AbortController();
    running.current = stop;
    setBusy(true);
    try {
      const answer = await ask(plan ? `EXPLAIN ${sql}` : sql, stop.signal);
      if (stop.signal.aborted) return;
      setOutcome(plan ? { kind: "plan", text: planText(answer) } : { kind: "answer", answer, sql });
      if (!plan) {
        setPast((list) => {
          const next = remember(list, sql);
          store(HISTORY_KEY, JSON.stringify(next));
          return next;
        });
        inAddress(sql);
      }
    } catch (error) {
      if (!stop.signal.aborted) setOutcome({ kind: "error", error: error as Error });
    } finally {
      if (running.current === stop) {
        running.current = null;
        setBusy(false);
      }
    }
  }, []);

  const change = useCallback((next: string) => {
    setText(next);
    store(DRAFT_KEY, next);
  }, []);
  const stop = (): void => {
    running.current?.abort();
    running.current = null;
    setBusy(false);
  };
  const key = /mac/i.test(navigator.platform) ? "⌘↵" : "Ctrl+Enter";

  return (
    <>
      <div className="page-head"><h1>{t("title.sql")}</h1></div>
      <div className="sql-page">
        <section className="panel sql-editor" aria-label={t("sql.editor")}>
          <Editor label={t("sql.editor")} hint={t("sql.emptyHint")} text={text} schema={schema}
            onChange={change} onRun={() => void run(text, false)} />
          <div className="toolbar">
            {busy
              ? <button type="button" className="primary" onClick={stop}>{t("sql.cancel")}</button>
              : <button type="button" className="primary" onClick={() => void run(text, false)}>{t("sql.run")}</button>}
            <button type="button" onClick={() => void run(text, true)}>{t("sql.plan")}</button>
            <span className="quiet keys">{t("sql.hint", { key })}</span>
          </div>
        </section>
        <section className="panel sql-result" aria-label={t("sql.result")} aria-busy={busy}>
          {busy && !outcome ? <Loading />
            : outcome === null ? <Empty title={t("sql.empty")} hint={t("sql.emptyHint")} />
            : outcome.kind === "error" ? <Failure error={outcome.error} title={t("sql.failed")} />
            : outcome.kind === "plan" ? <pre className="plan" tabIndex={0} aria-label={t("sql.plan")}>{outcome.text}</pre>
            : <Result answer={outcome.answer} sql={outcome.sql} />}
        </section>
        <section className="panel sql-history" aria-labelledby="sql-history">
          <header className="spread">
            <h2 id="sql-history">{t("sql.history")}</h2>
            {past.length > 0 && (
              <button type="button" className="link" onClick={() => {
                setPast([]);
                store(HISTORY_KEY, "[]");
              }}>{t("sql.clear")}</button>
            )}
          </header>
          {past.length === 0 ? <p className="quiet">{t("sql.noHistory")}</p> : (
            <ul className="history">
              {past.map((one) => (
                <li key={one}><button type="button" onClick={() => change(one)}><code>{one}</code></button></li>
              ))}
            </ul>
          )}
        </section>
      </div>
    </>
  );
}

/** Tables and their columns, for completion. */
function useSchema(): Record<string, string[]> {
  const [schema, setSchema] = useState<Record<string, string[]>>({});
  useEffect(() => {
    const stop = new AbortController();
    const sql = "SELECT table_name, name FROM sys.columns ORDER BY table_name, position";
    ask(sql, stop.signal).then(({ rows }) => {
      const tables: Record<string, string[]> = {};
      for (const [table, column] of rows) (tables[cellText(table)] ??= []).push(cellText(column));
      for (const name of SYSTEM) tables[`sys.${name}`] ??= [];
      setSchema(tables);
    }).catch(() => undefined); // Without it one types the names oneself.
    return () => stop.abort();
  }, []);
  return schema;
}

const SYSTEM = ["columns", "consumer_groups", "operators", "partitions", "pipeline_sources", "pipelines", "settings", "tables", "topics"];

function inAddress(sql: string): void {
  const address = new URL(location.href);
  if (sql.length <= ADDRESS_CHARS_MAX) address.searchParams.set("q", sql);
  else address.searchParams.delete("q");
  history.replaceState(null, "", address);
}

function planText(answer: Answer): string {
  return answer.rows.map((row) => row.map(cellText).join("\n")).join("\n\n");
}

function Result({ answer, sql }: { answer: Answer; sql: string }) {
  const { t, formats } = useReader();
  const [shown, setShown] = useState<"table" | "chart">("table");
  const [trouble, setTrouble] = useState<Error | null>(null);
  const count = (value: number): string => formats.count(decimal(value) ?? { units: 0n, scale: 0 });
  if (answer.done !== undefined) return <Empty title={t("sql.done", { tag: answer.done })} />;
  const download = async (): Promise<void> => {
    try {
      const address = URL.createObjectURL(await askCsv(sql));
      const link = document.createElement("a");
      link.href = address;
      link.download = "tradewind.csv";
      link.click();
      setTimeout(() => URL.revokeObjectURL(address), 10_000);
      setTrouble(null);
    } catch (error) {
      setTrouble(error as Error);
    }
  };
  return (
    <>
      <div className="toolbar top-bar">
        <Segments label={t("sql.result")} chosen={shown} choose={(one) => setShown(one as "table" | "chart")}
          all={[["table", t("sql.table")], ["chart", t("sql.chart")]]} />
        <span className="quiet" role="status">
          {t("sql.rows", { count: count(answer.row_count), time: count(answer.elapsed_ms) })}
          {answer.truncated && ` · ${t("sql.truncated", { count: count(answer.row_count) })}`}
          {answer.rows.length > SHOWN_MAX && shown === "table" && ` · ${t("sql.shown", { count: count(SHOWN_MAX) })}`}
        </span>
        <button type="button" className="end" onClick={() => void download()}>{t("sql.download")}</button>
      </div>
      {trouble && <Failure error={trouble} title={t("sql.download")} />}
      {answer.rows.length === 0 ? <Empty title={t("sql.noRows")} />
        : shown === "table" ? <ResultTable answer={answer} /> : <ResultChart answer={answer} />}
    </>
  );
}

const isNumber = ({ type }: Column): boolean => /INT|DECIMAL|DOUBLE|FLOAT|NUMERIC/.test(type) && !/ARRAY|ROW|MAP|INTERVAL/.test(type);

function ResultTable({ answer }: { answer: Answer }) {
  const { t } = useReader();
  return (
    <div className="scroll result" tabIndex={0} role="region" aria-label={t("sql.result")}>
      <table className="rows">
        <thead>
          <tr>{answer.columns.map((column, at) => (
            <th key={at} scope="col" className={isNumber(column) ? "number" : ""}>
              {column.name}<span className="under">{column.type}</span>
            </th>
          ))}</tr>
        </thead>
        <tbody>{answer.rows.slice(0, SHOWN_MAX).map((row, index) => (
          <tr key={index}>{row.map((cell, at) => {
            const column = answer.columns[at];
            return <td key={at} className={column && isNumber(column) ? "number" : ""}>
              {cell === null ? <span className="null">NULL</span> : cellText(cell)}
            </td>;
          })}</tr>
        ))}</tbody>
      </table>
    </div>
  );
}

function ResultChart({ answer }: { answer: Answer }) {
  const { t, formats } = useReader();
  const { columns, rows } = answer;
  const numbers = columns.map((column, at) => ({ column, at })).filter(({ column }) => isNumber(column));
  const firstX = columns.findIndex((column) => /DATE|TIMESTAMP/.test(column.type));
  const otherX = columns.findIndex((column) => !isNumber(column));
  const [x, setX] = useState(firstX >= 0 ? firstX : Math.max(0, otherX));
  const [y, setY] = useState(() => numbers.find(({ at }) => at !== x)?.at ?? -1);
  const isTime = /DATE|TIMESTAMP/.test(columns[x]?.type ?? "");
  const [kind, setKind] = useState<"line" | "bars">(isTime ? "line" : "bars");
  const chart = useMemo(() => {
    const points = rows.slice(0, POINTS_MAX).map((row) => ({
      at: instant(row[x]), label: cellText(row[x]), value: decimal(row[y]), text: cellText(row[y]), raw: row[y],
    }));
    // Time goes from left to right, whatever the order of the answer.
    if (isTime) points.sort((one, other) => (one.at ?? 0) - (other.at ?? 0));
    return {
      labels: points.map((point) => point.label), heads: points.map((point) => point.label),
      values: points.map((point) => (point.value ? approximate(point.value) : typeof point.raw === "number" ? point.raw : null)),
      texts: points.map((point) => point.text),
    };
  }, [rows, x, y, isTime]);
  const short = useCallback((value: number) => formats.short(value), [formats]);
  if (numbers.length === 0 || y < 0) return <Empty title={t("sql.noChart")} />;
  return (
    <>
      <div className="toolbar">
        <label className="inline">{t("sql.x")}
          <select value={x} onChange={(event) => setX(Number(event.target.value))}>
            {columns.map((column, at) => <option key={at} value={at}>{column.name}</option>)}
          </select>
        </label>
        <label className="inline">{t("sql.y")}
          <select value={y} onChange={(event) => setY(Number(event.target.value))}>
            {numbers.map(({ column, at }) => <option key={at} value={at}>{column.name}</option>)}
          </select>
        </label>
        <Segments label={t("sql.kind")} chosen={kind} choose={(one) => setKind(one as "line" | "bars")}
          all={[["line", t("sql.line")], ["bars", t("sql.bars")]]} />
      </div>
      <Chart label={t("sql.chart")} kind={kind} labels={chart.labels} heads={chart.heads} short={short}
        series={[{ name: columns[y]?.name ?? "", values: chart.values, texts: chart.texts }]} />
    </>
  );
}

