//! The producers of a simulation, which do what Kafka's clients do: number their batches, send again
//! what was not acknowledged, and take an answer that did not come for unknown.

use super::flaws::Flaw;
use super::seen::{Acked, Seen, record};
use super::{PLACES, Server, Spot, Tally, WRITTEN};
use crate::batch;
use crate::transactions::{Ending, Identity, Place, TransactionError};
use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::{BTreeMap, VecDeque};
use tradewind_types::{Clock, Log, LogError, Offset, Record};

/// Records of one client are numbered from here on, times its own number.
const NUMBERS: u64 = 1_000_000;
/// How often a client asks again when it is told to.
pub(super) const ASKS_MAX: usize = 200;

fn records(spot: Spot, numbers: &[u64]) -> Vec<Record> {
    numbers.iter().map(|number| record(spot, *number)).collect()
}

/// A batch on its way.
#[derive(Debug, Clone)]
struct Sent {
    numbers: Vec<u64>,
    sequence: i32,
    /// When it was first sent, milliseconds: it may be there since.
    sent_ms: Option<i64>,
}

/// A producer that numbers its batches, without transactions.
pub(super) struct Idempotent {
    rng: StdRng,
    identity: Option<Identity>,
    next_number: u64,
    sequences: BTreeMap<Spot, i32>,
    unacknowledged: BTreeMap<Spot, VecDeque<Sent>>,
    acknowledged: BTreeMap<u64, Acked>,
    /// Where each record was sent.
    spots: BTreeMap<u64, Spot>,
    /// The last batch that was acknowledged, and its offset.
    last: BTreeMap<Spot, (Sent, Offset)>,
    broken: Option<String>,
    repeated: u64,
}

impl Idempotent {
    pub(super) fn new(seed: u64, number: u64) -> Self {
        Self {
            rng: StdRng::seed_from_u64(seed ^ (0x6964_0000 + number)),
            identity: None,
            next_number: NUMBERS * (1 + number),
            sequences: BTreeMap::new(),
            unacknowledged: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            spots: BTreeMap::new(),
            last: BTreeMap::new(),
            broken: None,
            repeated: 0,
        }
    }

    pub(super) async fn step(&mut self, server: &Server) {
        if self.rng.random_bool(0.3) {
            return;
        }
        let identity = match self.identity {
            Some(identity) => identity,
            None => match server.coordinator.producer_id().await {
                Ok(id) => *self.identity.insert((id, 0)),
                Err(_) => return,
            },
        };
        let spot = self.rng.random_range(WRITTEN);
        let (topic, partition) = PLACES[spot];
        if self.rng.random_bool(0.2) {
            self.repeat_last(server, identity, spot).await;
        }
        for _ in 0..self.rng.random_range(0..3) {
            self.make(spot);
        }
        // The answer may be lost with the connection, while what was written is not durable yet.
        let twice = self.rng.random_bool(0.2);
        let repeats_wait = server.flaw != Flaw::RepeatNotDurable;
        let now_ms = server.clock.now_ms();
        let waiting = self.unacknowledged.entry(spot).or_default();
        let mut sends = Vec::new();
        for sent in waiting.iter_mut() {
            let records = records(spot, &sent.numbers);
            let batch = match server.flaw {
                Flaw::SequencesUnchecked => batch::numbered(&records, (-1, -1), -1, false),
                _ => batch::numbered(&records, identity, sent.sequence, false),
            };
            let again = sent.sent_ms.is_some() || twice;
            let waits = repeats_wait || !again;
            self.repeated += u64::from(again);
            sent.sent_ms.get_or_insert(now_ms);
            let send = |batch: Bytes, waits| {
                server.store.append_verified(topic, partition, batch, waits, None)
            };
            if twice {
                sends.push(send(batch.clone(), false));
            }
            sends.push(send(batch, waits));
        }
        let per_batch = if twice { 2 } else { 1 };
        let answers = futures::future::join_all(sends).await;
        for answers in answers.chunks(per_batch) {
            let Some(Ok(appended)) = answers.last() else { break };
            let Some(sent) = waiting.pop_front() else { break };
            let sent_ms = sent.sent_ms.unwrap_or(now_ms);
            for (offset, number) in (appended.base_offset..).zip(&sent.numbers) {
                self.acknowledged.insert(*number, Acked { spot, offset, sent_ms });
            }
            self.last.insert(spot, (sent, appended.base_offset));
        }
    }

    /// Sends once more what was acknowledged last: it is known, wherever compaction and the loss of
    /// caches have left it. So is that another does not follow it.
    async fn repeat_last(&mut self, server: &Server, identity: Identity, spot: Spot) {
        let none_waits = self.unacknowledged.get(&spot).is_none_or(VecDeque::is_empty);
        let Some((sent, offset)) = self.last.get(&spot).filter(|_| none_waits) else { return };
        if server.flaw == Flaw::SequencesUnchecked {
            return;
        }
        let (topic, partition) = PLACES[spot];
        let marks = server.store.watermarks(topic, partition);
        if marks.is_ok_and(|marks| marks.log_start > *offset) {
            // Of what retention has taken only the caches know.
            return;
        }
        let records = records(spot, &sent.numbers);
        let send = |sequence| {
            let batch = batch::numbered(&records, identity, sequence, false);
            server.store.append_verified(topic, partition, batch, true, None)
        };
        let again = send(sent.sequence).await.map(|appended| appended.base_offset);
        let skipped = send(sent.sequence + 100).await;
        let holds = again.as_ref().map_or(true, |again| again == offset) && skipped.is_err();
        if !holds {
            let said =
                format!("{sent:?} of {spot} at {offset} came again as {again:?}, {skipped:?}");
            self.broken.get_or_insert(said);
        }
        self.repeated += 1;
    }

    fn make(&mut self, spot: Spot) {
        let count = self.rng.random_range(1..4);
        let numbers: Vec<u64> = (self.next_number..self.next_number + count).collect();
        self.next_number += count;
        self.spots.extend(numbers.iter().map(|number| (*number, spot)));
        let sequence = self.sequences.entry(spot).or_insert(0);
        let sent = Sent { numbers, sequence: *sequence, sent_ms: None };
        *sequence += count as i32;
        self.unacknowledged.entry(spot).or_default().push_back(sent);
    }

    /// Says which of its records may have removed their keys.
    pub(super) fn tombstones(&self, seen: &mut Seen) {
        for (number, spot) in &self.spots {
            let offset = self.acknowledged.get(number).map(|acked| acked.offset);
            seen.tombstone(*spot, *number, offset);
        }
    }

    pub(super) fn verify(&self, seen: &Seen) -> Result<(), String> {
        self.broken.clone().map_or(Ok(()), Err)?;
        self.acknowledged.iter().try_for_each(|(number, acked)| seen.check(*number, *acked))?;
        let mut last: BTreeMap<Spot, Offset> = BTreeMap::new();
        for (number, spot) in &self.spots {
            let Some((found, offset)) = seen.places.get(number) else { continue };
            if found != spot {
                return Err(format!("record {number} is in {found}, not in {spot}"));
            }
            if last.insert(*spot, *offset).is_some_and(|before| before >= *offset) {
                return Err(format!("record {number} comes before the one before it"));
            }
        }
        Ok(())
    }

    pub(super) fn count(&self, tally: &mut Tally) {
        tally.count("acknowledged", self.acknowledged.len() as u64);
        tally.count("repeated", self.repeated);
    }
}

/// What is known of how a transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Nobody ended it yet: it is not to be seen.
    Open,
    Committed,
    Aborted,
    /// It was to be committed, and no answer came.
    Unknown,
}

#[derive(Debug)]
struct Attempt {
    /// Its records, where they were sent and where they are, of those that were acknowledged.
    numbers: BTreeMap<u64, (Spot, Option<Acked>)>,
    fate: Fate,
}

/// A producer with transactions.
pub(super) struct Transactional {
    rng: StdRng,
    id: String,
    /// Its epoch rises with each transaction, as of clients that know `transaction.version` 2.
    bumps: bool,
    identity: Option<Identity>,
    sequences: BTreeMap<Spot, i32>,
    next_number: u64,
    attempts: Vec<Attempt>,
    /// Whether the last of them is going on.
    going_on: bool,
    /// How it was to end, while no answer has come.
    unanswered: Option<bool>,
}

impl Transactional {
    pub(super) fn new(seed: u64, number: u64) -> Self {
        Self {
            rng: StdRng::seed_from_u64(seed ^ (0x7478_0000 + number)),
            id: format!("transactional {number}"),
            bumps: number % 2 == 1,
            identity: None,
            sequences: BTreeMap::new(),
            next_number: NUMBERS * (10 + number),
            attempts: Vec::new(),
            going_on: false,
            unanswered: None,
        }
    }

    pub(super) async fn step(&mut self, server: &Server) {
        // A client that crashed begins anew, and so may one that did not.
        if self.identity.is_none() || self.rng.random_bool(0.05) {
            self.begin(server).await;
        }
        let Some(identity) = self.identity else { return };
        if let Some(commit) = self.unanswered {
            // As a client that waits for its answer does: it asks for the same again, or crashes.
            if self.rng.random_bool(0.7) {
                self.end(server, identity, commit).await;
            } else {
                self.identity = None;
            }
            return;
        }
        if !self.going_on {
            self.attempts.push(Attempt { numbers: BTreeMap::new(), fate: Fate::Open });
            self.going_on = true;
        }
        for _ in 0..self.rng.random_range(0..4) {
            if !self.write(server, identity).await {
                // What was not acknowledged may be there: the transaction is given up.
                return self.give_up(server, identity).await;
            }
        }
        match self.rng.random_range(0..100) {
            0..55 => self.end(server, identity, true).await,
            55..75 => self.end(server, identity, false).await,
            75..82 => self.identity = None,
            _ => {}
        }
    }

    async fn give_up(&mut self, server: &Server, identity: Identity) {
        if self.rng.random_bool(0.5) {
            self.end(server, identity, false).await;
        }
        self.identity = None;
    }

    pub(super) async fn begin(&mut self, server: &Server) {
        for _ in 0..ASKS_MAX {
            match server.coordinator.init(&self.id, 60_000, None).await {
                Ok(identity) => {
                    self.identity = Some(identity);
                    self.sequences.clear();
                    self.going_on = false;
                    self.unanswered = None;
                    if let Some(last) = self.attempts.last_mut().filter(|a| a.fate == Fate::Open) {
                        last.fate = Fate::Aborted;
                    }
                    return;
                }
                Err(TransactionError::Concurrent) => tokio::task::yield_now().await,
                Err(_) => break,
            }
        }
        self.identity = None;
        self.going_on = false;
    }

    async fn write(&mut self, server: &Server, identity: Identity) -> bool {
        let spot = self.rng.random_range(WRITTEN);
        let (topic, partition) = PLACES[spot];
        let place: Place = (topic.to_owned(), partition);
        let guard = if self.bumps {
            // The coordinator is told by the partition, as Produce 12 has it.
            let guard = server.store.transaction_guard(topic, partition, identity).unwrap_or(None);
            if guard.is_some() && !add(server, &self.id, identity, &place, 2).await {
                return false;
            }
            guard
        } else {
            if !add(server, &self.id, identity, &place, 0).await {
                return false;
            }
            let guard = server.store.transaction_guard(topic, partition, identity).unwrap_or(None);
            let verified = server.coordinator.verify(&self.id, identity, &place);
            if guard.is_some() && verified.await.is_err() {
                return false;
            }
            guard
        };
        let number = self.next_number;
        self.next_number += 1;
        let sent_ms = server.clock.now_ms();
        let sequence = self.sequences.entry(spot).or_insert(0);
        let batch = batch::numbered(&records(spot, &[number]), identity, *sequence, true);
        let send = || server.store.append_verified(topic, partition, batch.clone(), true, guard);
        let sent = send().await;
        let attempt = self.attempts.last_mut().expect("one is going on");
        let acked = sent.as_ref().ok();
        let acked = acked.map(|appended| Acked { spot, offset: appended.base_offset, sent_ms });
        attempt.numbers.insert(number, (spot, acked));
        match sent {
            Ok(_) => {
                *sequence += 1;
                if self.rng.random_bool(0.2) {
                    let again = send().await;
                    let known = !matches!(again, Err(LogError::Producer { .. }));
                    assert!(known, "what comes again in a transaction is taken for something new");
                }
                true
            }
            Err(_) => false,
        }
    }

    async fn end(&mut self, server: &Server, identity: Identity, commit: bool) {
        let Some(attempt) = self.attempts.last_mut() else { return };
        self.unanswered = None;
        let ending = Ending { identity, commit, bumps: self.bumps };
        for _ in 0..ASKS_MAX {
            match server.coordinator.end(&self.id, ending).await {
                Ok(next) => {
                    attempt.fate = if commit { Fate::Committed } else { Fate::Aborted };
                    self.going_on = false;
                    if next != identity {
                        self.identity = Some(next);
                        self.sequences.clear();
                    }
                    return;
                }
                Err(TransactionError::Concurrent) => tokio::task::yield_now().await,
                // Nothing was open, or it was aborted for us.
                Err(TransactionError::WrongState) if attempt.numbers.is_empty() => {
                    self.going_on = false;
                    return;
                }
                Err(TransactionError::Fenced) => {
                    attempt.fate = Fate::Aborted;
                    break;
                }
                Err(_) => {
                    if commit {
                        attempt.fate = Fate::Unknown;
                    }
                    self.unanswered = Some(commit);
                    return;
                }
            }
        }
        self.identity = None;
        self.going_on = false;
    }

    /// Says which of its records may have removed their keys.
    pub(super) fn tombstones(&self, seen: &mut Seen) {
        let may_count =
            |attempt: &&Attempt| matches!(attempt.fate, Fate::Committed | Fate::Unknown);
        for attempt in self.attempts.iter().filter(may_count) {
            for (number, (spot, acked)) in &attempt.numbers {
                seen.tombstone(*spot, *number, acked.map(|acked| acked.offset));
            }
        }
    }

    pub(super) fn verify(&self, seen: &Seen) -> Result<(), String> {
        for attempt in &self.attempts {
            let there = attempt.numbers.keys().filter(|n| seen.places.contains_key(n)).count();
            let whole =
                attempt.numbers.iter().try_for_each(|(number, (spot, acked))| match acked {
                    Some(acked) => seen.check(*number, *acked),
                    None if seen.places.contains_key(number) => Ok(()),
                    None if seen.maybe_gone(*spot, *number) => Ok(()),
                    None => Err(format!("record {number} is not there")),
                });
            let holds = match attempt.fate {
                Fate::Committed => whole,
                Fate::Unknown if there > 0 => whole,
                Fate::Aborted | Fate::Open if there > 0 => Err(format!("{there} are there")),
                _ => Ok(()),
            };
            holds.map_err(|reason| format!("{}: {reason}: {attempt:?}", self.id))?;
        }
        Ok(())
    }

    pub(super) fn count(&self, tally: &mut Tally) {
        for attempt in self.attempts.iter().filter(|attempt| !attempt.numbers.is_empty()) {
            match attempt.fate {
                Fate::Committed => tally.count("committed", 1),
                Fate::Aborted => tally.count("aborted", 1),
                Fate::Unknown => tally.count("unknown", 1),
                Fate::Open => {}
            }
        }
    }
}

/// Makes `place` part of the transaction, asking again while the last one is being finished.
pub(super) async fn add(
    server: &Server,
    id: &str,
    identity: Identity,
    place: &Place,
    version: i16,
) -> bool {
    for _ in 0..ASKS_MAX {
        let places = [place.clone()].into();
        match server.coordinator.add_partitions(id, identity, places, version).await {
            Ok(()) => return true,
            Err(TransactionError::Concurrent) => tokio::task::yield_now().await,
            Err(_) => return false,
        }
    }
    false
}
