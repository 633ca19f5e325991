//! The collector: requests in, durable events and dead letters out.
//!
//! Guarantees: an [`Answer`] means that every event it counts is durable and that every rejected
//! one is a durable dead letter. A [`Refusal`] means that the sender has to do something: send
//! again, or send something else.
//! Left out: HTTP (see `http`).

use crate::appender::Appender;
use crate::arrival::{Answer, Arrival, Credentials, Rejection};
use crate::budget::{Budget, Reservation};
use crate::convert::encode;
use crate::dead_letters::{self, AnonymousAllowance};
use crate::error::CollectError;
use crate::json::{Fault, mend_surrogates};
use crate::queue::{Outcome, Queue, Submission};
use crate::record::{Prepared, Sender};
use crate::refusal::Refusal;
use crate::reject::Reject;
use crate::request::{Call, Endpoint, Field, Request, parse};
use crate::retry::Attempt;
use crate::settings::{
    APPEND_BYTES_MAX, CollectSettings, EVENT_BYTES_MAX, RAW_BYTES_MAX, WriteKey,
};
use crate::start::{check, ensure_topic, restore_partition};
use bytes::Bytes;
use parking_lot::Mutex;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tradewind_disk::Disk;
use tradewind_types::event::{DEAD_LETTERS_TOPIC, EVENTS_TOPIC};
use tradewind_types::{Clock, DEFAULT_STORE, DeadLetter, Log, TimestampMicros};

/// The source of events when no write keys are set, and the first part of dead letters' sources.
pub(crate) const HTTP_SOURCE: &str = "http";

/// What a collector works with.
#[derive(Clone)]
pub struct CollectParts {
    /// Where events go.
    pub log: Arc<dyn Log>,
    /// Where deduplication keeps its state.
    pub disk: Arc<dyn Disk>,
    /// The collector's folder, `data/collect`.
    pub dir: PathBuf,
    /// Our time.
    pub clock: Arc<dyn Clock>,
    /// Settings.
    pub settings: CollectSettings,
}

/// Takes requests, appends events.
pub struct Collector {
    settings: CollectSettings,
    clock: Arc<dyn Clock>,
    budget: Arc<Budget>,
    events: Vec<Arc<Queue>>,
    dead_letters: Arc<Queue>,
    anonymous: AnonymousAllowance,
    tasks: Mutex<Vec<(String, i32, JoinHandle<()>)>>,
}

/// The store and source a write key stands for.
#[derive(Clone, Copy)]
struct Owner<'a> {
    store_id: &'a str,
    source: &'a str,
}

const NOBODY: Owner<'static> = Owner { store_id: DEFAULT_STORE, source: HTTP_SOURCE };

impl std::fmt::Debug for Collector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Collector").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Collector {
    /// Makes the topics that are missing, restores the deduplication state and starts one appender
    /// per partition on the current runtime.
    ///
    /// # Errors
    /// A setting that makes no sense; what the log and the disk say.
    pub async fn open(parts: CollectParts) -> Result<Arc<Self>, CollectError> {
        let settings = &parts.settings;
        check(settings)?;
        let events = ensure_topic(&*parts.log, EVENTS_TOPIC, settings.event_partitions).await?;
        ensure_topic(&*parts.log, DEAD_LETTERS_TOPIC, 1).await?;
        let mut collector = Self {
            settings: settings.clone(),
            clock: parts.clock.clone(),
            budget: Budget::new(settings.in_flight_bytes_max),
            events: Vec::new(),
            dead_letters: Queue::new(settings.queue_bytes_max),
            anonymous: AnonymousAllowance::default(),
            tasks: Mutex::default(),
        };
        let mut appenders = Vec::new();
        for partition in 0..events.partitions {
            let appender = restore_partition(&parts, &events, partition).await?;
            collector.events.push(appender.queue.clone());
            appenders.push(appender);
        }
        appenders.push(Appender {
            log: parts.log,
            clock: parts.clock,
            queue: collector.dead_letters.clone(),
            topic: DEAD_LETTERS_TOPIC,
            partition: 0,
            dedup: None,
            next_offset: 0,
        });
        collector.tasks.get_mut().extend(appenders.into_iter().map(|appender| {
            (appender.topic.to_owned(), appender.partition, tokio::spawn(appender.run()))
        }));
        Ok(Arc::new(collector))
    }

    /// Takes nothing more, waits until all that was taken is durable, and writes down the
    /// deduplication state.
    ///
    /// # Errors
    /// [`CollectError::Panicked`].
    pub async fn close(&self) -> Result<(), CollectError> {
        self.drain();
        let tasks = std::mem::take(&mut *self.tasks.lock());
        for (topic, partition, task) in tasks {
            if task.await.is_err() {
                return Err(CollectError::Panicked { topic, partition });
            }
        }
        Ok(())
    }

    fn drain(&self) {
        self.events.iter().for_each(|queue| queue.drain());
        self.dead_letters.drain();
    }

    /// The settings it was opened with.
    pub fn settings(&self) -> &CollectSettings {
        &self.settings
    }

    /// Bytes of requests that are not answered yet.
    pub fn in_flight_bytes(&self) -> usize {
        self.budget.used()
    }

    /// A place for the bytes of one request.
    pub(crate) fn reservation(&self) -> Reservation {
        self.budget.reservation()
    }

    /// Takes a request; returns when everything in it is durable.
    ///
    /// # Errors
    /// Why the request as a whole is not taken.
    pub async fn collect(&self, arrival: Arrival) -> Result<Answer, Refusal> {
        let reservation = self.reservation();
        if !reservation.grow(arrival.body.len()) {
            return Err(IN_FLIGHT);
        }
        self.collect_reserved(arrival, reservation).await
    }

    /// [`Collector::collect`] with the body's bytes reserved already.
    pub(crate) async fn collect_reserved(
        &self,
        mut arrival: Arrival,
        reservation: Reservation,
    ) -> Result<Answer, Refusal> {
        // A key in the headers is judged before the body is looked at.
        let known = self.known_by_headers(&arrival.credentials)?;
        let mut body = std::mem::take(&mut arrival.body);
        let lone_surrogates = match parse(&body, arrival.endpoint) {
            Ok(request) if request.lone_surrogates.is_empty() => {
                return self.judge(&arrival, known, &request, reservation).await;
            }
            Ok(request) => request.lone_surrogates,
            Err(fault) => {
                let reason = fault.to_string();
                return self.unreadable(&arrival, known, &body, reason, false).await;
            }
        };
        mend_surrogates(&mut body, &lone_surrogates);
        match parse(&body, arrival.endpoint) {
            Ok(request) => self.judge(&arrival, known, &request, reservation).await,
            Err(fault) => self.unreadable(&arrival, known, &body, fault.to_string(), false).await,
        }
    }

    /// Decides whose request it is and whether it may be so large.
    async fn judge(
        &self,
        arrival: &Arrival,
        known: Option<Owner<'_>>,
        request: &Request<'_>,
        reservation: Reservation,
    ) -> Result<Answer, Refusal> {
        let owner = match known {
            Some(owner) => owner,
            None => self.known_by_body(&arrival.credentials, &request.envelope)?,
        };
        let call = &request.envelope;
        if let Endpoint::One(_) = arrival.endpoint
            && call.raw.len() > EVENT_BYTES_MAX
        {
            let reason = Reject::TooLarge { bytes: call.raw.len() }.to_string();
            return self.unreadable(arrival, Some(owner), call.raw.as_bytes(), reason, false).await;
        }
        self.take(arrival, owner, request, reservation).await
    }

    /// Keeps what cannot be read, and refuses it. `cut`: there was more of it than `raw`.
    pub(crate) async fn unreadable_input(
        &self,
        arrival: &Arrival,
        raw: &[u8],
        reason: String,
        cut: bool,
    ) -> Result<Answer, Refusal> {
        let known = self.known_by_headers(&arrival.credentials)?;
        self.unreadable(arrival, known, raw, reason, cut).await
    }

    async fn unreadable(
        &self,
        arrival: &Arrival,
        owner: Option<Owner<'_>>,
        raw: &[u8],
        reason: String,
        cut: bool,
    ) -> Result<Answer, Refusal> {
        metrics::counter!("tradewind_collect_unreadable_total").increment(1);
        let now = self.clock.now_us();
        let kept_bytes = raw.len().min(RAW_BYTES_MAX);
        if owner.is_none() && !self.anonymous.take(kept_bytes, now) {
            metrics::counter!("tradewind_collect_dead_letters_dropped_total").increment(1);
            return Err(Refusal::Unreadable { reason, kept_bytes: 0 });
        }
        let letter = DeadLetter {
            store_id: owner.unwrap_or(NOBODY).store_id.to_owned(),
            source: dead_letter_source(arrival.endpoint),
            reason: reason.clone(),
            raw: Bytes::copy_from_slice(raw),
            received_at: now,
            position: None,
        };
        self.keep(&letter, cut).await?;
        Err(Refusal::Unreadable { reason, kept_bytes })
    }

    /// Appends a dead letter, durably.
    ///
    /// # Errors
    /// [`Refusal::Busy`], [`Refusal::Unavailable`].
    pub async fn dead_letter(&self, letter: DeadLetter) -> Result<(), Refusal> {
        self.keep(&letter, false).await
    }

    async fn keep(&self, letter: &DeadLetter, cut: bool) -> Result<(), Refusal> {
        let prepared = dead_letters::record(letter, cut);
        let reservation = self.reservation();
        if !reservation.grow(prepared.bytes()) {
            return Err(IN_FLIGHT);
        }
        let waiting = submit(&self.dead_letters, vec![prepared], &Arc::new(reservation))?;
        settle(waiting).await?;
        count_dead_letters(&letter.source, 1);
        Ok(())
    }

    /// What a dead letter's bytes would become; the reasons why not all of it is taken.
    ///
    /// # Errors
    /// Where it stops being a request, or which of its calls break which rule.
    pub(crate) fn encode_again(
        &self,
        attempt: &Attempt,
    ) -> Result<Vec<Vec<Prepared>>, Vec<String>> {
        let endpoint = attempt.endpoint;
        let mut body = attempt.body.clone();
        let unreadable = |fault: Fault| vec![fault.to_string()];
        let lone = parse(&body, endpoint).map_err(unreadable)?.lone_surrogates;
        mend_surrogates(&mut body, &lone);
        let request = parse(&body, endpoint).map_err(unreadable)?;
        let sender = Sender {
            store_id: &attempt.store_id,
            source: &attempt.source,
            received_at: self.clock.now_us(),
            ip: None,
            user_agent: None,
            partitions: self.events.len() as i32,
            again: Some(attempt.again),
        };
        let (partitions, rejected) = encode(sender, endpoint, &request);
        if rejected.is_empty() {
            return Ok(partitions);
        }
        let many = request.calls.len() > 1;
        let reason = |rejection: &Rejection| match many {
            true => format!("event {}: {}", rejection.index, rejection.reason),
            false => rejection.reason.to_string(),
        };
        Err(rejected.iter().map(reason).collect())
    }

    /// Appends a dead letter's events, durably.
    pub(crate) async fn append_again(
        &self,
        partitions: Vec<Vec<Prepared>>,
    ) -> Result<Outcome, Refusal> {
        let reservation = self.reservation();
        if !reservation.grow(partitions.iter().flatten().map(Prepared::bytes).sum()) {
            return Err(IN_FLIGHT);
        }
        let reservation = Arc::new(reservation);
        let mut waiting = Vec::new();
        for (queue, events) in self.events.iter().zip(partitions) {
            waiting.extend(submit(queue, events, &reservation)?);
        }
        settle(waiting).await
    }

    async fn take(
        &self,
        arrival: &Arrival,
        owner: Owner<'_>,
        request: &Request<'_>,
        reservation: Reservation,
    ) -> Result<Answer, Refusal> {
        let received_at = self.clock.now_us();
        let sender = Sender {
            store_id: owner.store_id,
            source: owner.source,
            received_at,
            ip: arrival.ip.as_deref(),
            user_agent: arrival.user_agent.as_deref(),
            partitions: self.events.len() as i32,
            again: None,
        };
        let (partitions, rejected) = encode(sender, arrival.endpoint, request);
        let letters = rejected_letters(&rejected, request, arrival.endpoint, owner, received_at);
        let all = partitions.iter().flatten().chain(&letters);
        if !reservation.grow(all.map(Prepared::bytes).sum()) {
            return Err(IN_FLIGHT);
        }
        let reservation = Arc::new(reservation);
        let letter_count = letters.len() as u64;
        let dead = submit(&self.dead_letters, letters, &reservation)?;
        let mut waiting = Vec::new();
        for (queue, events) in self.events.iter().zip(partitions) {
            waiting.extend(submit(queue, events, &reservation)?);
        }
        let outcome = settle(waiting).await?;
        settle(dead).await?;
        if letter_count > 0 {
            count_dead_letters(&dead_letter_source(arrival.endpoint), letter_count);
        }
        let Outcome { accepted, duplicates, conflicts } = outcome;
        let answer = Answer { accepted, duplicates, conflicts, rejected };
        count(&answer);
        Ok(answer)
    }

    /// Judges what the headers say of the sender, before any of the body is read.
    pub(crate) fn admit(&self, credentials: &Credentials) -> Result<(), Refusal> {
        self.known_by_headers(credentials).map(drop)
    }

    fn known_by_headers(&self, credentials: &Credentials) -> Result<Option<Owner<'_>>, Refusal> {
        if self.settings.write_keys.is_empty() {
            return Ok(Some(NOBODY));
        }
        match &credentials.write_key {
            Some(key) => self.owner(key, credentials).map(Some),
            None => Ok(None),
        }
    }

    fn known_by_body(
        &self,
        credentials: &Credentials,
        envelope: &Call<'_>,
    ) -> Result<Owner<'_>, Refusal> {
        let key: Option<String> =
            envelope.field(Field::WriteKey).and_then(|raw| serde_json::from_str(raw).ok());
        match key {
            Some(key) => self.owner(&key, credentials),
            None => Err(Refusal::Unauthorized {
                reason: "no write key: send it as the user name of Basic authentication \
                         or as \"writeKey\" in the body",
            }),
        }
    }

    fn owner(&self, key: &str, credentials: &Credentials) -> Result<Owner<'_>, Refusal> {
        let Some(WriteKey { store_id, source, bearer_token }) = self.settings.write_keys.get(key)
        else {
            return Err(Refusal::Unauthorized { reason: "unknown write key" });
        };
        if bearer_token.is_some() && *bearer_token != credentials.bearer_token {
            let reason = "this write key requires its token as Authorization: Bearer";
            return Err(Refusal::Unauthorized { reason });
        }
        Ok(Owner { store_id, source })
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.drain();
    }
}

pub(crate) const IN_FLIGHT: Refusal = Refusal::Busy { reason: "too many requests are under way" };

fn rejected_letters(
    rejected: &[Rejection],
    request: &Request<'_>,
    endpoint: Endpoint,
    owner: Owner<'_>,
    received_at: TimestampMicros,
) -> Vec<Prepared> {
    let raw = |rejection: &Rejection| match request.calls.get(rejection.index) {
        Some(call) => call.raw,
        None => {
            let excess = request.excess.iter().find(|excess| excess.index == rejection.index);
            excess.map_or("", |excess| excess.raw)
        }
    };
    let letter = |rejection: &Rejection| DeadLetter {
        store_id: owner.store_id.to_owned(),
        source: dead_letter_source(endpoint),
        reason: rejection.reason.to_string(),
        raw: Bytes::copy_from_slice(raw(rejection).as_bytes()),
        received_at,
        position: None,
    };
    rejected.iter().map(|rejection| dead_letters::record(&letter(rejection), false)).collect()
}

fn dead_letter_source(endpoint: Endpoint) -> String {
    format!("{HTTP_SOURCE}:{}", endpoint.name())
}

type Waiting = oneshot::Receiver<Result<Outcome, Refusal>>;

/// Queues events in portions that fit into one append each.
fn submit(
    queue: &Queue,
    events: Vec<Prepared>,
    reservation: &Arc<Reservation>,
) -> Result<Vec<Waiting>, Refusal> {
    let mut waiting = Vec::new();
    let mut events = events.into_iter().peekable();
    while events.peek().is_some() {
        let mut portion = Vec::with_capacity(events.len());
        let mut bytes = 0;
        while let Some(event) =
            events.next_if(|event| bytes == 0 || bytes + event.bytes() <= APPEND_BYTES_MAX)
        {
            bytes += event.bytes();
            portion.push(event);
        }
        let (done, answer) = oneshot::channel();
        let _reservation = reservation.clone();
        queue.push(Submission { events: portion, bytes, done, _reservation })?;
        waiting.push(answer);
    }
    Ok(waiting)
}

/// Waits for every portion; the first refusal counts.
async fn settle(waiting: Vec<Waiting>) -> Result<Outcome, Refusal> {
    let mut sum = Outcome::default();
    let mut refused = None;
    for answer in waiting {
        match answer.await {
            Ok(Ok(outcome)) => {
                sum.accepted += outcome.accepted;
                sum.duplicates += outcome.duplicates;
                sum.conflicts += outcome.conflicts;
            }
            Ok(Err(refusal)) => refused = refused.or(Some(refusal)),
            Err(_) => {
                let reason = "the appender ended before the events were durable".to_owned();
                refused = refused.or(Some(Refusal::Unavailable { reason }));
            }
        }
    }
    refused.map_or(Ok(sum), Err)
}

fn count(answer: &Answer) {
    metrics::counter!("tradewind_collect_events_accepted_total").increment(answer.accepted as u64);
    metrics::counter!("tradewind_collect_events_duplicates_total")
        .increment(answer.duplicates as u64);
    metrics::counter!("tradewind_collect_events_conflicts_total")
        .increment(answer.conflicts as u64);
    for rejection in &answer.rejected {
        let reason = rejection.reason.code();
        metrics::counter!("tradewind_collect_events_rejected_total", "reason" => reason)
            .increment(rejection.count as u64);
    }
}

fn count_dead_letters(source: &str, letters: u64) {
    metrics::counter!("tradewind_collect_dead_letters_total", "source" => source.to_owned())
        .increment(letters);
}
