//! Dead letters on their second way in: their bytes, or corrected ones, through the same rules.
//!
//! Guarantees: a letter is taken in at most once, and wholly or not at all. That it is tried is
//! durable before its events are, with the bytes and the ids they go by; that it is done, after.
//! Whatever a crash left between is finished at the next start: events that are there already are
//! duplicates. Where so much time has passed that their ids are forgotten, nobody can tell; such a
//! letter is never tried again by itself and says so. What became of letters is in the topic
//! `dead_letter_retries`, compacted by letter.
//! Left out: what pipelines could not read. It is in its topic; another record beside it would be
//! read by every pipeline of that topic.

use crate::collector::{CollectParts, Collector};
use crate::error::CollectError;
use crate::queue::Outcome;
use crate::record::Again;
use crate::refusal::Refusal;
use crate::request::{Endpoint, Kind};
use crate::settings::BATCH_BYTES_MAX;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tradewind_types::event::{DEAD_LETTER_RETRIES_TOPIC, DEAD_LETTERS_TOPIC, iso8601};
use tradewind_types::log::Isolation;
use tradewind_types::{
    Clock, Log, LogError, LogRecord, Offset, Record, TimestampMicros, TopicSpec,
};

/// Letters whose end is remembered: 24 bytes each. A store with more broken events than this has
/// to mend their sender.
const LETTERS_MAX: usize = 1_000_000;
/// Bytes read of a topic at a time.
const READ_BYTES: usize = 1 << 20;
/// Letters of which a start finishes what was begun: each is one request of whoever pressed retry.
const OPEN_MAX: usize = 10_000;
/// Ids may be forgotten this much before the end of their window, milliseconds: an hour is how long
/// one run of ids is.
const WINDOW_MARGIN_MS: i64 = 3_600_000;

/// A letter to try again.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetryRequest {
    /// Its offset in the topic `dead_letters`.
    pub letter: Offset,
    /// What to take in its place; without it the bytes as they came.
    pub body: Option<String>,
    /// The source its events carry, where the store has several.
    pub source: Option<String>,
}

/// What became of a letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Retried {
    /// Which one.
    pub letter: Offset,
    /// Events that are new.
    pub accepted: usize,
    /// Events that were there.
    pub duplicates: usize,
}

/// Why a letter is not taken in.
#[derive(Debug, thiserror::Error)]
pub enum RetryError {
    /// No such letter, or retention has taken it.
    #[error("dead letter {letter} is not in the topic dead_letters")]
    Gone {
        /// Which one.
        letter: Offset,
    },
    /// It was taken in before, is being taken in, or nobody can tell.
    #[error("dead letter {letter} {reason}")]
    Before {
        /// Which one.
        letter: Offset,
        /// What is known of it.
        reason: String,
    },
    /// It cannot be taken in as it is.
    #[error("{}", .reasons.join("; "))]
    Unfit {
        /// What is wrong with it, by event.
        reasons: Vec<String>,
    },
    /// Nothing can be made durable now; what was begun is finished by asking again.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// Where a letter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Its events may be in the log.
    Begun,
    /// Somebody is at it.
    Busy,
    /// Its events are in the log.
    Done(TimestampMicros),
    /// Begun so long ago that its events' ids are forgotten.
    InDoubt(TimestampMicros),
}

/// Everything that decides what a letter becomes: the same at every try.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    pub(crate) store_id: String,
    pub(crate) source: String,
    pub(crate) endpoint: Endpoint,
    pub(crate) body: Vec<u8>,
    pub(crate) again: Again,
}

/// A record of the topic `dead_letter_retries`.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Entry {
    letter: Offset,
    state: String,
    tried_at: String,
    store_id: String,
    source: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    accepted: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    duplicates: Option<usize>,
    /// Of what is begun: what finishes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    endpoint: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    letter_received_at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
}

const BEGUN: &str = "begun";
const DONE: &str = "done";
const IN_DOUBT: &str = "in doubt";

/// A dead letter as its topic has it.
#[derive(Debug, Deserialize)]
struct Letter {
    store_id: String,
    source: String,
    received_at: String,
    raw_base64: String,
    #[serde(default)]
    raw_truncated: bool,
}

/// The letters that were tried again.
pub struct Retries {
    collector: Arc<Collector>,
    log: Arc<dyn Log>,
    clock: Arc<dyn Clock>,
    letters: Mutex<BTreeMap<Offset, State>>,
}

impl std::fmt::Debug for Retries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Retries").field("letters", &self.letters.lock().len()).finish()
    }
}

impl Retries {
    /// Reads what was tried, and finishes what was begun.
    ///
    /// # Errors
    /// What the log says.
    pub async fn open(
        parts: &CollectParts,
        collector: Arc<Collector>,
    ) -> Result<Self, CollectError> {
        let failed = |source| CollectError::Log { topic: DEAD_LETTER_RETRIES_TOPIC.into(), source };
        make_topic(&*parts.log).await.map_err(failed)?;
        let retries = Self {
            collector,
            log: parts.log.clone(),
            clock: parts.clock.clone(),
            letters: Mutex::default(),
        };
        for (entry, tried_at) in retries.read_entries().await.map_err(failed)? {
            retries.finish(&entry, tried_at).await;
        }
        Ok(retries)
    }

    /// Takes a letter in.
    ///
    /// # Errors
    /// See [`RetryError`]. A letter that is not fit stays as it was.
    pub async fn retry(&self, request: &RetryRequest) -> Result<Retried, RetryError> {
        let before = self.claim(request.letter)?;
        let outcome = self.attempt(request, before).await;
        let after = match &outcome {
            Ok(_) => Some(State::Done(self.clock.now_us())),
            // Its events may be in the log: only the same bytes may follow.
            Err(RetryError::Refused(_)) => Some(State::Begun),
            Err(_) => before,
        };
        let mut letters = self.letters.lock();
        match after {
            Some(state) => letters.insert(request.letter, state),
            None => letters.remove(&request.letter),
        };
        outcome
    }

    /// Marks a letter as somebody's work; what it was before.
    fn claim(&self, letter: Offset) -> Result<Option<State>, RetryError> {
        let before = |reason: String| Err(RetryError::Before { letter, reason });
        let mut letters = self.letters.lock();
        let state = letters.get(&letter).copied();
        match state {
            Some(State::Done(at)) => before(format!("was taken in at {}", iso8601::format(at))),
            Some(State::Busy) => before("is being taken in".to_owned()),
            Some(State::InDoubt(at)) => before(format!(
                "was begun at {}, and the server was away for so long that nobody can tell \
                 whether its events are there: look for them before sending them again",
                iso8601::format(at)
            )),
            None if letters.len() >= LETTERS_MAX => {
                before(format!("is one too many: {LETTERS_MAX} were tried again already"))
            }
            Some(State::Begun) | None => {
                letters.insert(letter, State::Busy);
                Ok(state)
            }
        }
    }

    async fn attempt(
        &self,
        request: &RetryRequest,
        before: Option<State>,
    ) -> Result<Retried, RetryError> {
        let letter = request.letter;
        if before == Some(State::Begun)
            && let Some(entry) = self.begun(letter).await.map_err(refused)?
        {
            let attempt = entry_attempt(&entry).ok_or(RetryError::Gone { letter })?;
            return self.append(attempt).await;
        }
        let attempt = self.prepare(request).await?;
        self.collector.encode_again(&attempt).map_err(|reasons| RetryError::Unfit { reasons })?;
        self.note(&begun_entry(&attempt, self.clock.now_us())).await?;
        self.append(attempt).await
    }

    /// Its events, then the note that they are there.
    async fn append(&self, attempt: Attempt) -> Result<Retried, RetryError> {
        let events = self
            .collector
            .encode_again(&attempt)
            .map_err(|reasons| RetryError::Unfit { reasons })?;
        let Outcome { accepted, duplicates, .. } = self.collector.append_again(events).await?;
        let entry = Entry {
            state: DONE.to_owned(),
            accepted: Some(accepted),
            duplicates: Some(duplicates),
            endpoint: None,
            letter_received_at: None,
            body_base64: None,
            ..begun_entry(&attempt, self.clock.now_us())
        };
        self.note(&entry).await?;
        metrics::counter!("tradewind_collect_dead_letters_retried_total").increment(1);
        Ok(Retried { letter: attempt.again.letter, accepted, duplicates })
    }

    /// What a letter says, or what stands in its place, as a request of its own.
    async fn prepare(&self, request: &RetryRequest) -> Result<Attempt, RetryError> {
        let letter = request.letter;
        let found = self.letter(letter).await.map_err(refused)?;
        let found = found.ok_or(RetryError::Gone { letter })?;
        let unfit = |reason: &str| RetryError::Unfit { reasons: vec![reason.to_owned()] };
        let endpoint = found.source.strip_prefix("http:").and_then(endpoint_of);
        let endpoint = endpoint.ok_or_else(|| {
            unfit("a pipeline could not read it: its record is in its topic, mend the pipeline")
        })?;
        let raw = match &request.body {
            Some(body) => body.clone().into_bytes(),
            None if found.raw_truncated => {
                return Err(unfit("not all of it was kept: send what it should be as \"body\""));
            }
            None => STANDARD.decode(&found.raw_base64).map_err(|_| RetryError::Gone { letter })?,
        };
        if raw.len() > BATCH_BYTES_MAX {
            return Err(unfit("a request has at most 500 KB"));
        }
        let received_at =
            iso8601::parse(&found.received_at).map_err(|_| RetryError::Gone { letter })?;
        Ok(Attempt {
            source: self.source(&found.store_id, request.source.as_deref())?,
            store_id: found.store_id,
            endpoint,
            body: as_request(endpoint, raw),
            again: Again { letter, received_at },
        })
    }

    /// The source of a store's events: part of what they are known by.
    fn source(&self, store_id: &str, asked: Option<&str>) -> Result<String, RetryError> {
        let keys = self.collector.settings().write_keys.values();
        let known: BTreeSet<&str> =
            keys.filter(|key| key.store_id == store_id).map(|key| key.source.as_str()).collect();
        let unfit = |reason: String| Err(RetryError::Unfit { reasons: vec![reason] });
        let all = known.iter().copied().collect::<Vec<_>>().join(", ");
        match (asked, known.len()) {
            (Some(asked), 0) if asked == crate::collector::HTTP_SOURCE => Ok(asked.to_owned()),
            (Some(asked), _) if known.contains(asked) => Ok(asked.to_owned()),
            (Some(asked), _) => unfit(format!("store {store_id:?} has no source {asked:?}: {all}")),
            (None, 0) => Ok(crate::collector::HTTP_SOURCE.to_owned()),
            (None, 1) => Ok(all),
            (None, _) => {
                unfit(format!("store {store_id:?} has several sources ({all}): say which"))
            }
        }
    }

    /// Finishes at a start what another life began.
    async fn finish(&self, entry: &Entry, tried_at: TimestampMicros) {
        let letter = entry.letter;
        let window_ms = self.collector.settings().dedup_window_ms - WINDOW_MARGIN_MS;
        let state = if self.clock.now_us() - tried_at > window_ms.saturating_mul(1_000) {
            let doubt = Entry { state: IN_DOUBT.to_owned(), body_base64: None, ..entry.clone() };
            let _ = self.note(&doubt).await;
            State::InDoubt(tried_at)
        } else {
            let done = match entry_attempt(entry) {
                Some(attempt) => self.append(attempt).await.is_ok(),
                None => false,
            };
            if done { State::Done(tried_at) } else { State::Begun }
        };
        if state != State::Done(tried_at) {
            tracing::warn!(letter, "a dead letter that was tried again is not finished");
        }
        self.letters.lock().insert(letter, state);
    }

    /// Every letter's state; the entries of those that are only begun are returned.
    async fn read_entries(&self) -> Result<Vec<(Entry, TimestampMicros)>, LogError> {
        let mut open: BTreeMap<Offset, (Entry, TimestampMicros)> = BTreeMap::new();
        self.each_entry(|entry| {
            let at = iso8601::parse(&entry.tried_at).unwrap_or_default();
            let state = match entry.state.as_str() {
                DONE => State::Done(at),
                IN_DOUBT => State::InDoubt(at),
                _ => State::Begun,
            };
            self.letters.lock().insert(entry.letter, state);
            match state {
                State::Begun if open.len() < OPEN_MAX => {
                    drop(open.insert(entry.letter, (entry, at)))
                }
                _ => drop(open.remove(&entry.letter)),
            }
        })
        .await?;
        Ok(open.into_values().collect())
    }

    /// The entry a letter was begun with.
    async fn begun(&self, letter: Offset) -> Result<Option<Entry>, LogError> {
        let mut found = None;
        self.each_entry(|entry| {
            if entry.letter == letter {
                found = Some(entry);
            }
        })
        .await?;
        Ok(found.filter(|entry: &Entry| entry.state == BEGUN))
    }

    async fn each_entry(&self, mut take: impl FnMut(Entry)) -> Result<(), LogError> {
        let topic = DEAD_LETTER_RETRIES_TOPIC;
        let mut from = self.log.watermarks(topic, 0)?.log_start;
        loop {
            let read =
                self.log.read_on(topic, 0, from, READ_BYTES, Isolation::ReadCommitted).await?;
            read.records.iter().filter_map(entry_of).for_each(&mut take);
            if read.next == from {
                return Ok(());
            }
            from = read.next;
        }
    }

    async fn letter(&self, offset: Offset) -> Result<Option<Letter>, LogError> {
        let marks = self.log.watermarks(DEAD_LETTERS_TOPIC, 0)?;
        if offset < marks.log_start || offset >= marks.last_stable {
            return Ok(None);
        }
        let records = self.log.read(DEAD_LETTERS_TOPIC, 0, offset, 1).await?;
        let found = records.into_iter().find(|record| record.offset == offset);
        let value = found.and_then(|record| record.record.value);
        Ok(value.and_then(|value| serde_json::from_slice(&value).ok()))
    }

    async fn note(&self, entry: &Entry) -> Result<(), Refusal> {
        let value = serde_json::to_vec(entry).expect("texts and numbers always serialise");
        let record = Record {
            timestamp_ms: self.clock.now_ms(),
            key: Some(Bytes::from(entry.letter.to_string())),
            value: Some(Bytes::from(value)),
            headers: Vec::new(),
        };
        let appended = self.log.append(DEAD_LETTER_RETRIES_TOPIC, 0, vec![record]).await;
        appended.map(drop).map_err(|error| Refusal::Unavailable { reason: error.to_string() })
    }
}

/// Kept for good, the last of each letter: a letter that was taken in must not be forgotten while
/// its own topic has it.
async fn make_topic(log: &dyn Log) -> Result<(), LogError> {
    if log.topic(DEAD_LETTER_RETRIES_TOPIC).is_some() {
        return Ok(());
    }
    let mut spec = TopicSpec::new(DEAD_LETTER_RETRIES_TOPIC, 1);
    for (name, value) in
        [("cleanup.policy", "compact"), ("retention.ms", "-1"), ("retention.bytes", "-1")]
    {
        spec.settings.insert(name.to_owned(), value.to_owned());
    }
    match log.create_topic(&spec).await {
        Ok(()) | Err(LogError::TopicExists { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

fn refused(error: LogError) -> RetryError {
    RetryError::Refused(Refusal::Unavailable { reason: error.to_string() })
}

fn entry_of(record: &LogRecord) -> Option<Entry> {
    serde_json::from_slice(record.record.value.as_ref()?).ok()
}

fn endpoint_of(name: &str) -> Option<Endpoint> {
    match name {
        "batch" => Some(Endpoint::Batch),
        other => Kind::of(other).map(Endpoint::One),
    }
}

/// A call that a batch was refused for is a batch of one; a whole batch stays what it was.
fn as_request(endpoint: Endpoint, raw: Vec<u8>) -> Vec<u8> {
    let whole = serde_json::from_slice::<serde_json::Value>(&raw)
        .map_or(true, |value| value.get("batch").is_some());
    if endpoint != Endpoint::Batch || whole {
        return raw;
    }
    let mut body = b"{\"batch\":[".to_vec();
    body.extend_from_slice(&raw);
    body.extend_from_slice(b"]}");
    body
}

fn begun_entry(attempt: &Attempt, now: TimestampMicros) -> Entry {
    Entry {
        letter: attempt.again.letter,
        state: BEGUN.to_owned(),
        tried_at: iso8601::format(now),
        store_id: attempt.store_id.clone(),
        source: attempt.source.clone(),
        accepted: None,
        duplicates: None,
        endpoint: Some(attempt.endpoint.name().to_owned()),
        letter_received_at: Some(iso8601::format(attempt.again.received_at)),
        body_base64: Some(STANDARD.encode(&attempt.body)),
    }
}

fn entry_attempt(entry: &Entry) -> Option<Attempt> {
    Some(Attempt {
        store_id: entry.store_id.clone(),
        source: entry.source.clone(),
        endpoint: endpoint_of(entry.endpoint.as_deref()?)?,
        body: STANDARD.decode(entry.body_base64.as_ref()?).ok()?,
        again: Again {
            letter: entry.letter,
            received_at: iso8601::parse(entry.letter_received_at.as_deref()?).ok()?,
        },
    })
}
