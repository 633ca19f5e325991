// How the data comes along: what is read, how far behind, and what could not be read.
import { type ReactNode, useState } from "react";
import { queries, useQuery, useReader } from "../context";
import { ZERO, decimal } from "../core/decimal";
import type { Cell, Row } from "../core/feed";
import { instant } from "../core/shape";
import { Refused, ask, cellText, identifier } from "../core/sql";
import type { Key } from "../i18n";
import { Empty, Failure, Loading } from "../ui/states";

const PIPELINES = `SELECT name, kind, topic, state, reason, lag, lag_seconds, records_in, rows, dead_letters,
    late_events, checkpoint_age_seconds, last_error
FROM sys.pipelines ORDER BY name`;
const TOPICS = `SELECT name, count(*) AS partitions, sum(records) AS records, sum(high_watermark) AS written
FROM sys.topics GROUP BY name ORDER BY name`;
const SOURCES = `SELECT source, type, count(*) AS events, max(received_at) AS newest
FROM events
WHERE event_date >= CAST(now() - INTERVAL '25 hours' AS DATE) AND received_at >= now() - INTERVAL '24 hours'
GROUP BY source, type ORDER BY events DESC LIMIT 20`;
const REASONS = `SELECT source, reason, count(*) AS letters, max(received_at) AS newest
FROM dead_letters WHERE event_date >= CAST(now() - INTERVAL '7 days' AS DATE)
GROUP BY source, reason ORDER BY letters DESC LIMIT 12`;
const LETTERS = `SELECT d.received_at, d.source, d.reason, d.raw, d.topic, d.topic_partition, d.topic_offset, r.retried_at
FROM dead_letters AS d
LEFT JOIN (SELECT letter, max(tried_at) AS retried_at FROM dead_letter_retries WHERE state = 'done' GROUP BY letter) AS r
  ON d.topic = 'dead_letters' AND r.letter = d.topic_offset
WHERE d.event_date >= CAST(now() - INTERVAL '7 days' AS DATE)
ORDER BY d.received_at DESC LIMIT 12`;

export function DataPage() {
  const { t } = useReader();
  return (
    <>
      <div className="page-head"><h1>{t("title.data")}</h1></div>
      <div className="grid">
        <Pipelines />
        <Sources />
        <Topics />
        <DeadLetters />
      </div>
    </>
  );
}

function Box({ id, size, note, children }: { id: string; size: string; note: Key; children: ReactNode }) {
  const { t } = useReader();
  return (
    <section className={`panel ${size}`} aria-labelledby={`data-${id}`} data-panel={`data-${id}`}>
      <header>
        <h2 id={`data-${id}`}>{t(`data.${id}` as Key)}</h2>
        <p className="note">{t(note)}</p>
      </header>
      {children}
    </section>
  );
}

interface ListProps {
  readonly sql: string;
  readonly refreshS: number;
  readonly label: string;
  readonly heads: readonly (readonly [Key, "number" | ""])[];
  readonly empty?: ReactNode;
  row(row: Row, cell: (name: string) => Cell | undefined): ReactNode;
}

/** A query's rows as a table. */
function List({ sql, refreshS, label, heads, empty, row }: ListProps) {
  const { t } = useReader();
  const { answer, error } = useQuery(sql, refreshS);
  if (!answer) return error ? <Failure error={error} /> : <Loading />;
  if (answer.rows.length === 0) return empty ?? <Empty title={t("state.empty")} hint={t("state.emptyHint")} />;
  const at = new Map(answer.columns.map((column, index) => [column.name, index]));
  return (
    <div className="scroll" tabIndex={0} role="region" aria-label={label}>
      <table className="rows">
        <thead><tr>{heads.map(([key, kind]) => <th key={key} scope="col" className={kind}>{t(key)}</th>)}</tr></thead>
        <tbody>{answer.rows.map((one) => row(one, (name) => one[at.get(name) ?? -1]))}</tbody>
      </table>
    </div>
  );
}

function useCount(): (cell: Cell | undefined) => string {
  const { formats } = useReader();
  return (cell) => formats.count(decimal(cell) ?? ZERO);
}

const STATES = ["running", "paused", "failed", "starting", "retrying", "waiting", "stopped"];

function Pipelines() {
  const { t, formats } = useReader();
  const count = useCount();
  const [trouble, setTrouble] = useState<{ name: string; reason: string } | null>(null);
  const change = async (kind: string, name: string, what: "PAUSE" | "RESUME"): Promise<void> => {
    const object = kind === "materialized view" ? "MATERIALIZED VIEW" : "PIPELINE";
    try {
      await ask(`ALTER ${object} ${identifier(name)} ${what}`);
      setTrouble(null);
    } catch (error) {
      setTrouble({ name, reason: error instanceof Refused ? error.message : t("sql.away") });
    }
    queries.refresh();
  };
  const seconds = (cell: Cell | undefined): string => formats.number(decimal(Math.round(Number(cell ?? 0))) ?? ZERO);
  return (
    <Box id="pipelines" size="full" note="data.pipelinesNote">
      {trouble && <p className="trouble" role="alert">{t("data.failed", trouble)}</p>}
      <List sql={PIPELINES} refreshS={2} label={t("data.pipelines")} heads={[
        ["data.name", ""], ["data.state", ""], ["data.lag", "number"], ["data.read", "number"], ["data.rows", "number"],
        ["data.errors", "number"], ["data.late", "number"], ["data.checkpoint", "number"], ["data.action", "number"],
      ]} row={(_, cell) => {
        const [name, kind, state] = [cellText(cell("name")), cellText(cell("kind")), cellText(cell("state"))];
        const why = cellText(cell("reason")) || (state === "running" ? "" : cellText(cell("last_error")));
        const behind = Number(cell("lag") ?? 0);
        const paused = state === "paused" || state === "failed";
        const action = paused ? "resume" : "pause";
        return (
          <tr key={name}>
            <th scope="row">{name}<span className="under">{kind} · {cellText(cell("topic"))}</span></th>
            <td>
              <span className={`tag ${state}`}>{STATES.includes(state) ? t(`state.${state}` as Key) : state}</span>
              {why && <span className="under why">{why}</span>}
            </td>
            <td className="number">
              {behind === 0 ? t("data.lagNone") : count(behind)}
              {Number(cell("lag_seconds") ?? 0) >= 1 && <span className="under">{t("data.seconds", { count: seconds(cell("lag_seconds")) })}</span>}
            </td>
            <td className="number">{count(cell("records_in"))}</td>
            <td className="number">{count(cell("rows"))}</td>
            <td className={`number ${Number(cell("dead_letters")) > 0 ? "bad" : ""}`}>{count(cell("dead_letters"))}</td>
            <td className="number">{count(cell("late_events"))}</td>
            <td className="number">{cell("checkpoint_age_seconds") === null ? "–" : t("data.secondsAgo", { count: seconds(cell("checkpoint_age_seconds")) })}</td>
            <td className="number">
              <button type="button" className="small" aria-label={t(`data.${action}Name`, { name })}
                onClick={() => void change(kind, name, paused ? "RESUME" : "PAUSE")}>
                {t(`data.${action}`)}
              </button>
            </td>
          </tr>
        );
      }} />
    </Box>
  );
}

function Sources() {
  const { t, formats } = useReader();
  const count = useCount();
  return (
    <Box id="sources" size="half" note="data.sourcesNote">
      <List sql={SOURCES} refreshS={15} label={t("data.sources")} heads={[
        ["data.source", ""], ["data.type", ""], ["data.events", "number"], ["data.newestAt", "number"],
      ]} row={(row, cell) => (
        <tr key={JSON.stringify(row.slice(0, 2))}>
          <th scope="row">{cellText(cell("source"))}</th>
          <td>{cellText(cell("type"))}</td>
          <td className="number">{count(cell("events"))}</td>
          <td className="number">{formats.recent(instant(cell("newest")) ?? 0)}</td>
        </tr>
      )} />
    </Box>
  );
}

function Topics() {
  const { t } = useReader();
  const count = useCount();
  return (
    <Box id="topics" size="half" note="data.topicsNote">
      <List sql={TOPICS} refreshS={5} label={t("data.topics")} heads={[
        ["data.name", ""], ["data.partitions", "number"], ["data.records", "number"], ["data.written", "number"],
      ]} row={(_, cell) => (
        <tr key={cellText(cell("name"))}>
          <th scope="row">{cellText(cell("name"))}</th>
          <td className="number">{count(cell("partitions"))}</td>
          <td className="number">{count(cell("records"))}</td>
          <td className="number">{count(cell("written"))}</td>
        </tr>
      )} />
    </Box>
  );
}

/** Bytes as the server writes them, as text; what is no UTF-8 stays as it is. */
export function readable(cell: Cell | undefined): string {
  const hex = /^\\x((?:[0-9a-f]{2})*)$/.exec(cellText(cell))?.[1];
  if (hex === undefined) return cellText(cell);
  const bytes = Uint8Array.from(hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return cellText(cell);
  }
}

function DeadLetters() {
  const { t, formats } = useReader();
  const count = useCount();
  const none = <Empty title={t("data.noDeadLetters")} hint={t("data.noDeadLettersHint")} />;
  return (
    <Box id="deadLetters" size="full" note="data.deadLettersNote">
      <h3>{t("data.reasons")}</h3>
      <List sql={REASONS} refreshS={10} label={t("data.reasons")} empty={none} heads={[
        ["data.source", ""], ["data.reason", ""], ["data.count", "number"], ["data.newestAt", "number"],
      ]} row={(row, cell) => (
        <tr key={JSON.stringify(row.slice(0, 2))}>
          <th scope="row">{cellText(cell("source"))}</th>
          <td className="long">{cellText(cell("reason"))}</td>
          <td className="number">{count(cell("letters"))}</td>
          <td className="number">{formats.recent(instant(cell("newest")) ?? 0)}</td>
        </tr>
      )} />
      <h3>{t("data.newest")}</h3>
      <List sql={LETTERS} refreshS={10} label={t("data.newest")} empty={none} heads={[
        ["data.received", ""], ["data.source", ""], ["data.reason", ""], ["data.place", ""], ["data.raw", ""], ["data.action", "number"],
      ]} row={(row, cell) => <LetterRow key={JSON.stringify(row.slice(0, -1))} cell={cell} />} />
    </Box>
  );
}

function LetterRow({ cell }: { cell(name: string): Cell | undefined }) {
  const { t, formats } = useReader();
  const [open, setOpen] = useState(false);
  const [taken, setTaken] = useState<string | null>(null);
  const [topic, offset] = [cellText(cell("topic")), cellText(cell("topic_offset"))];
  const raw = readable(cell("raw"));
  const retriedAt = instant(cell("retried_at") ?? null);
  const done = taken ?? (retriedAt === null ? null : t("data.retried", { time: formats.recent(retriedAt) }));
  // What a pipeline could not read is in its topic, and is mended there.
  const ours = topic === "dead_letters" && offset !== "";
  return (
    <>
      <tr>
        <td className="time">{formats.recent(instant(cell("received_at")) ?? 0)}</td>
        <td>{cellText(cell("source"))}</td>
        <td className="long">{cellText(cell("reason"))}</td>
        <td>{topic === "" ? "–" : `${topic}-${cellText(cell("topic_partition"))}:${offset}`}</td>
        <td><code className="raw" title={raw}>{raw}</code></td>
        <td className="number">
          {done ? <span className="quiet">{done}</span>
            : ours && <button type="button" className="small" aria-expanded={open} aria-label={t("data.retryLetter", { letter: offset })}
                onClick={() => setOpen(!open)}>{t("data.retry")}</button>}
        </td>
      </tr>
      {open && !done && (
        <tr>
          <td colSpan={6}>
            <LetterEditor letter={Number(offset)} raw={raw} close={() => setOpen(false)} taken={setTaken} />
          </td>
        </tr>
      )}
    </>
  );
}

interface LetterProps {
  readonly letter: number;
  readonly raw: string;
  close(): void;
  taken(said: string): void;
}

/** A letter's bytes, to be sent once more as they are or corrected. */
function LetterEditor({ letter, raw, close, taken }: LetterProps) {
  const { t, formats } = useReader();
  const [body, setBody] = useState(raw);
  const [busy, setBusy] = useState(false);
  const [trouble, setTrouble] = useState<string | null>(null);
  const send = async (): Promise<void> => {
    setBusy(true);
    setTrouble(null);
    try {
      const answer = await fetch("/api/dead_letters/retry", {
        method: "POST", headers: { "Content-Type": "application/json" },
        body: JSON.stringify(body === raw ? { letter } : { letter, body }),
      });
      const said = (await answer.json()) as { accepted?: number; duplicates?: number; error?: { message: string } };
      if (answer.ok) {
        taken(t("data.takenIn", { count: formats.count(decimal(said.accepted ?? 0) ?? ZERO) }));
        queries.refresh();
        return;
      }
      setTrouble(said.error?.message ?? String(answer.status));
    } catch {
      setTrouble(t("sql.away"));
    }
    setBusy(false);
  };
  return (
    <div className="letter">
      <label>{t("data.retryLabel")}
        <textarea value={body} rows={6} spellCheck={false} onChange={(event) => setBody(event.target.value)} />
      </label>
      {trouble && <p className="trouble" role="alert">{trouble}</p>}
      <div className="toolbar">
        <button type="button" className="primary" disabled={busy} onClick={() => void send()}>{t("data.retrySend")}</button>
        <button type="button" disabled={busy} onClick={close}>{t("data.retryCancel")}</button>
      </div>
    </div>
  );
}
