//! Real history as live traffic: the rows of files, sent through the front door as tracking events.
//!
//! Guarantees: a row's `messageId` is made of its file's name and its line, so a replay that is
//! interrupted, retried or run again adds no row twice; every row is acknowledged by the server,
//! or written to `<file name>.rejected` with its line and the reason; what is on record as done
//! is done.
//! Left out: the `messageId` does not tell two files of one name apart: give each an `id_prefix`.
//! With more than one connection, batches arrive in no fixed order.

use crate::client::{Answer, BatchBody, ClientError, ClientSettings, Done, Pool};
use crate::settings::{BATCH_EVENTS_MAX, EVENT_BYTES_MAX};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tradewind_types::TimestampMicros;
use tradewind_types::event::MESSAGE_ID_CHARS_MAX;

mod files;
mod mapping;
mod rows;
mod speed;
mod state;
mod times;

pub use files::{Input, inputs};
pub use mapping::{Mapped, Mapping};
pub use rows::{Cell, Fields, FileFormat, Header, Row, Rows};
pub use speed::Speed;
pub use times::TimeFormat;

use speed::Pace;
use state::{Position, State};

/// Events of one batch unless told otherwise: large enough that a request's cost disappears.
pub const BATCH_EVENTS: usize = 500;
/// How long a paced row waits for company before its batch is sent.
const LINGER: Duration = Duration::from_millis(50);
/// The longest wait between two looks at the clock, the stop flag and the answers.
const WAIT_MAX: Duration = Duration::from_millis(50);
/// How often progress is told.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

/// Why a replay ended early.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// A file or folder could not be read.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// Nobody can tell where the next row starts.
    #[error("{path}: line {line}: {reason}")]
    Framing {
        /// The file.
        path: String,
        /// The line the trouble starts on.
        line: u64,
        /// What is wrong.
        reason: String,
    },
    /// The name says nothing about how the file is written.
    #[error(
        "{path}: neither .csv nor .json, .jsonl, .ndjson (or one of them with .gz): say --format"
    )]
    Format {
        /// The file.
        path: String,
    },
    /// A folder or pattern without files to replay.
    #[error("{path}: no .csv, .json, .jsonl or .ndjson file there")]
    NoFiles {
        /// As it was given.
        path: String,
    },
    /// The mapping cannot be read or does not fit the file.
    #[error("{path}: {reason}")]
    Mapping {
        /// The mapping's file, or the data file it does not fit.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// The speed cannot be read, or needs times the mapping does not give.
    #[error("speed {speed:?}: {reason}")]
    Speed {
        /// As it was given.
        speed: String,
        /// What is wrong.
        reason: String,
    },
    /// The record of a replay's progress or of its rejected rows could not be written.
    #[error("{path}: {source} (--state-dir chooses another folder)")]
    StateFile {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The server could not be reached or would not take a batch.
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// What to send, how and how fast.
#[derive(Debug, Clone)]
pub struct ReplaySettings {
    /// The server.
    pub client: ClientSettings,
    /// Rows to events.
    pub mapping: Mapping,
    /// How fast.
    pub speed: Speed,
    /// Events of one batch, at most.
    pub batch_events: usize,
    /// The folder of the files that say how far a replay came and what was rejected.
    pub state_dir: PathBuf,
    /// Put before every message id: keeps files of one name apart.
    pub id_prefix: String,
    /// Send everything again, whatever is on record as done.
    pub restart: bool,
}

impl ReplaySettings {
    /// As fast as the server takes it, progress kept in the current folder.
    pub fn new(client: ClientSettings, mapping: Mapping) -> Self {
        Self {
            client,
            mapping,
            speed: Speed::Max,
            batch_events: BATCH_EVENTS,
            state_dir: PathBuf::from("."),
            id_prefix: String::new(),
            restart: false,
        }
    }
}

/// How far a replay is.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// The file being read, by its place, from 0.
    pub file: usize,
    /// All files.
    pub files: usize,
    /// Bytes read of all files, as they are on disk.
    pub bytes_read: u64,
    /// Bytes of all files, as they are on disk.
    pub bytes_total: u64,
    /// Rows an earlier run had dealt with.
    pub rows_resumed: u64,
    /// Rows the server has acknowledged in this run.
    pub rows_acknowledged: u64,
    /// Of those, rows it already had.
    pub rows_duplicate: u64,
    /// Of those, rows whose id it has with other content: another file of this name was replayed
    /// before, and these rows are not in the store. An `id_prefix` keeps the two apart.
    pub rows_conflicting: u64,
    /// Rows that are not events; they are in the rejected files.
    pub rows_rejected: u64,
    /// Since the start of this run.
    pub elapsed: Duration,
    /// What the server or the network makes us wait for, if anything.
    pub trouble: Option<String>,
}

impl Progress {
    /// Rows acknowledged a second, since the start of this run.
    pub fn rows_per_second(&self) -> f64 {
        self.rows_acknowledged as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }
}

/// What a replay came to.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// The last progress.
    pub progress: Progress,
    /// Files that hold the rejected rows.
    pub rejected_files: Vec<PathBuf>,
    /// The first few rejected rows: file, line, reason.
    pub rejected_first: Vec<String>,
    /// Stopped before the end; the same command goes on from here.
    pub stopped: bool,
}

/// Rejected rows a summary quotes; all of them are in the files.
const REJECTED_FIRST_MAX: usize = 10;

/// Sends the rows of `inputs`, in their order, until done or `stop` is set. `progress` is told
/// about ten times a second.
pub fn replay(
    inputs: &[Input],
    settings: &ReplaySettings,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(&Progress),
) -> Result<Summary, ReplayError> {
    if settings.speed.needs_time() && !settings.mapping.has_time() {
        return Err(ReplayError::Speed {
            speed: settings.speed.to_string(),
            reason: "the mapping gives events no [time] to keep step with".to_owned(),
        });
    }
    let mut run = Run {
        settings,
        stop,
        tell: progress,
        told_at: None,
        started: Instant::now(),
        pace: Pace::new(settings.speed),
        summary: Summary::default(),
    };
    run.summary.progress.files = inputs.len();
    run.summary.progress.bytes_total = inputs.iter().map(|input| input.bytes).sum();
    for (place, input) in inputs.iter().enumerate() {
        if stop.load(Ordering::Relaxed) {
            run.summary.stopped = true;
            break;
        }
        run.summary.progress.file = place;
        let before: u64 = inputs[..place].iter().map(|input| input.bytes).sum();
        run.send_file(input, before)?;
    }
    run.tell_progress(true);
    Ok(run.summary)
}

/// One call of [`replay`].
struct Run<'a> {
    settings: &'a ReplaySettings,
    stop: &'a AtomicBool,
    tell: &'a mut dyn FnMut(&Progress),
    told_at: Option<Instant>,
    started: Instant,
    pace: Pace,
    summary: Summary,
}

/// What goes with a batch and comes back with its answer.
struct Sent {
    sequence: u64,
    /// Each event's line and the row's bytes.
    rows: Vec<(u64, Vec<u8>)>,
}

/// A file on its way.
struct Sending {
    pool: Pool<Sent>,
    state: State,
    body: BatchBody,
    rows: Vec<(u64, Vec<u8>)>,
    oldest: Instant,
    next_sequence: u64,
    /// Batches answered out of turn: their last lines, by sequence.
    answered: BTreeMap<u64, u64>,
    next_answered: u64,
    name: String,
}

impl Run<'_> {
    fn send_file(&mut self, input: &Input, bytes_before: u64) -> Result<(), ReplayError> {
        let mut rows = Rows::open(&input.path, input.format)?;
        if let Some(header) = rows.header() {
            let path = input.path.display().to_string();
            self.settings
                .mapping
                .check_header(header)
                .map_err(|reason| ReplayError::Mapping { path, reason })?;
        }
        let mut sending = self.start_file(input)?;
        let done = self.send_rows(&mut rows, &mut sending, bytes_before);
        // Whatever ended it, what is known to be acknowledged is put on record.
        let done = done.and_then(|()| self.drain(&mut sending));
        sending.state.save()?;
        done?;
        if self.summary.stopped { Ok(()) } else { sending.state.finish() }
    }

    fn start_file(&self, input: &Input) -> Result<Sending, ReplayError> {
        let settings = self.settings;
        let absolute = input.path.canonicalize().unwrap_or_else(|_| input.path.clone());
        let fresh = Position::start(
            &absolute.display().to_string(),
            input.bytes,
            &settings.client.url,
            settings.mapping.fingerprint(),
        );
        Ok(Sending {
            pool: Pool::start(&settings.client)?,
            state: State::open(&settings.state_dir, &input.name, fresh, settings.restart)?,
            body: BatchBody::default(),
            rows: Vec::new(),
            oldest: Instant::now(),
            next_sequence: 0,
            answered: BTreeMap::new(),
            next_answered: 0,
            name: format!("{}{}", settings.id_prefix, input.name),
        })
    }

    fn send_rows(
        &mut self,
        rows: &mut Rows,
        sending: &mut Sending,
        bytes_before: u64,
    ) -> Result<(), ReplayError> {
        let resume_after = sending.state.line();
        while let Some(row) = rows.next_row()? {
            self.summary.progress.bytes_read = bytes_before + rows.bytes_read();
            if row.line <= resume_after {
                self.summary.progress.rows_resumed += 1;
                continue;
            }
            if self.stop.load(Ordering::Relaxed) {
                self.summary.stopped = true;
                break;
            }
            self.send_row(row, sending)?;
            self.take_answers(sending, Duration::ZERO)?;
            self.tell_progress(false);
        }
        self.flush(sending)
    }

    fn send_row(&mut self, row: Row, sending: &mut Sending) -> Result<(), ReplayError> {
        let message_id = message_id(&sending.name, row.line);
        let mapped =
            row.fields.and_then(|fields| self.settings.mapping.apply(&fields, &message_id));
        let mapped = match mapped {
            Ok(mapped) if mapped.json.len() <= EVENT_BYTES_MAX => mapped,
            Ok(mapped) => {
                let reason = format!(
                    "an event of {} bytes, of at most {EVENT_BYTES_MAX}",
                    mapped.json.len()
                );
                return self.reject(sending, row.line, &reason, &row.raw);
            }
            Err(reason) => return self.reject(sending, row.line, &reason, &row.raw),
        };
        self.wait_for_turn(mapped.event_time, sending)?;
        let batch_events = self.settings.batch_events.clamp(1, BATCH_EVENTS_MAX);
        if sending.body.events() >= batch_events || !sending.body.fits(mapped.json.len()) {
            self.flush(sending)?;
        }
        if sending.body.events() == 0 {
            sending.oldest = Instant::now();
        }
        sending.body.push(&mapped.json);
        sending.rows.push((row.line, row.raw));
        Ok(())
    }

    fn wait_for_turn(
        &mut self,
        event_time: Option<TimestampMicros>,
        sending: &mut Sending,
    ) -> Result<(), ReplayError> {
        let Some(due) = self.pace.due(event_time) else { return Ok(()) };
        while let Some(left) = due.checked_duration_since(Instant::now()) {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            if sending.body.events() > 0 && sending.oldest.elapsed() + left > LINGER {
                self.flush(sending)?;
            }
            std::thread::sleep(left.min(WAIT_MAX));
            self.take_answers(sending, Duration::ZERO)?;
            self.tell_progress(false);
        }
        Ok(())
    }

    /// Hands the open batch to a connection; waits while all are busy.
    fn flush(&mut self, sending: &mut Sending) -> Result<(), ReplayError> {
        if sending.body.events() == 0 {
            return Ok(());
        }
        let sequence = sending.next_sequence;
        sending.next_sequence += 1;
        let rows = std::mem::take(&mut sending.rows);
        let mut batch = (sending.body.take(), Sent { sequence, rows });
        while let Err(back) = sending.pool.submit(batch.0, batch.1) {
            batch = back;
            self.wait_for_answers(sending)?;
        }
        Ok(())
    }

    fn wait_for_answers(&mut self, sending: &mut Sending) -> Result<(), ReplayError> {
        self.take_answers(sending, WAIT_MAX)?;
        if self.stop.load(Ordering::Relaxed) {
            self.summary.stopped = true;
            sending.pool.stop();
        }
        self.summary.progress.trouble = sending.pool.trouble();
        self.tell_progress(false);
        Ok(())
    }

    /// Waits until every batch has come back, or makes them come back when stopping.
    fn drain(&mut self, sending: &mut Sending) -> Result<(), ReplayError> {
        while sending.pool.in_flight() > 0 {
            self.wait_for_answers(sending)?;
        }
        Ok(())
    }

    fn take_answers(&mut self, sending: &mut Sending, wait: Duration) -> Result<(), ReplayError> {
        let mut wait = wait;
        while let Some(Done { tag, outcome }) = sending.pool.done(wait) {
            wait = Duration::ZERO;
            match outcome {
                Ok(answer) => self.take_answer(sending, tag, answer)?,
                Err(ClientError::Stopped) => self.summary.stopped = true,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn take_answer(
        &mut self,
        sending: &mut Sending,
        sent: Sent,
        answer: Answer,
    ) -> Result<(), ReplayError> {
        let last_line = sent.rows.last().map_or(0, |(line, _)| *line);
        self.summary.progress.rows_acknowledged += answer.accepted + answer.duplicates;
        self.summary.progress.rows_duplicate += answer.duplicates;
        self.summary.progress.rows_conflicting += answer.conflicts;
        for rejection in answer.rejected {
            let rows = sent.rows.iter().skip(rejection.index).take(rejection.count);
            for (line, raw) in rows {
                let reason = format!("the server: {}", rejection.reason);
                self.reject(sending, *line, &reason, raw)?;
            }
        }
        sending.answered.insert(sent.sequence, last_line);
        while let Some(line) = sending.answered.remove(&sending.next_answered) {
            sending.next_answered += 1;
            sending.state.advance(line)?;
        }
        Ok(())
    }

    fn reject(
        &mut self,
        sending: &mut Sending,
        line: u64,
        reason: &str,
        raw: &[u8],
    ) -> Result<(), ReplayError> {
        self.summary.progress.rows_rejected += 1;
        let path = sending.state.rejected_path();
        if self.summary.rejected_files.last().is_none_or(|last| last != path) {
            self.summary.rejected_files.push(path.to_path_buf());
        }
        if self.summary.rejected_first.len() < REJECTED_FIRST_MAX {
            self.summary.rejected_first.push(format!("{}: line {line}: {reason}", sending.name));
        }
        sending.state.reject(line, reason, raw)
    }

    fn tell_progress(&mut self, last: bool) {
        if !last && self.told_at.is_some_and(|at| at.elapsed() < PROGRESS_EVERY) {
            return;
        }
        self.told_at = Some(Instant::now());
        self.summary.progress.elapsed = self.started.elapsed();
        (self.tell)(&self.summary.progress);
    }
}

/// `<name>:<line>`, the name shortened to its end and a hash where the API's limit asks for it.
fn message_id(name: &str, line: u64) -> String {
    let id = format!("{name}:{line}");
    if id.chars().count() <= MESSAGE_ID_CHARS_MAX {
        return id;
    }
    let hash = xxhash_rust::xxh3::xxh3_64(name.as_bytes());
    let end: String = name.chars().skip(name.chars().count().saturating_sub(60)).collect();
    format!("{hash:016x}~{end}:{line}")
}

#[cfg(test)]
mod tests {
    use super::message_id;
    use tradewind_types::event::MESSAGE_ID_CHARS_MAX;

    #[test]
    fn message_ids_stay_within_the_limit_and_apart() {
        assert_eq!(message_id("online-retail-dataset.csv", 17), "online-retail-dataset.csv:17");
        let long = "é".repeat(150);
        let other = format!("x{long}");
        let ids = [message_id(&long, u64::MAX), message_id(&other, u64::MAX)];
        assert!(ids.iter().all(|id| id.chars().count() <= MESSAGE_ID_CHARS_MAX));
        assert_ne!(ids[0], ids[1]);
    }
}
