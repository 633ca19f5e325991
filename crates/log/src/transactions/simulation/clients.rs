//! The producers of a simulation, which do what Kafka's clients do: number their batches, send again
//! what was not acknowledged, and take an answer that did not come for unknown.

use super::{Flaw, PARTITIONS, Seen, Server, TOPIC, Tally};
use crate::batch;
use crate::transactions::transaction::Identity;
use crate::transactions::{Ending, Place, TransactionError};
use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::{BTreeMap, VecDeque};
use tradewind_types::{LogError, Offset, PartitionId, Record};

/// Records of one client are numbered from here on, times its own number.
const NUMBERS: u64 = 1_000_000;
/// How often a client asks again when it is told to.
const ASKS_MAX: usize = 200;

fn records(numbers: &[u64]) -> Vec<Record> {
    let record = |number: &u64| {
        let mut value = number.to_be_bytes().to_vec();
        value.resize(60, b' ');
        Record { timestamp_ms: 5, value: Some(Bytes::from(value)), ..Record::default() }
    };
    numbers.iter().map(record).collect()
}

/// A batch on its way.
#[derive(Debug, Clone)]
struct Sent {
    numbers: Vec<u64>,
    sequence: i32,
    tried: bool,
}

/// A producer that numbers its batches, without transactions.
pub(super) struct Idempotent {
    rng: StdRng,
    identity: Option<Identity>,
    next_number: u64,
    sequences: BTreeMap<PartitionId, i32>,
    unacknowledged: BTreeMap<PartitionId, VecDeque<Sent>>,
    acknowledged: BTreeMap<u64, (PartitionId, Offset)>,
    partitions: BTreeMap<u64, PartitionId>,
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
            partitions: BTreeMap::new(),
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
        let partition = self.rng.random_range(0..PARTITIONS);
        for _ in 0..self.rng.random_range(0..3) {
            self.make(partition);
        }
        // The answer may be lost with the connection, while what was written is not durable yet.
        let twice = self.rng.random_bool(0.2);
        let repeats_wait = server.flaw != Flaw::RepeatNotDurable;
        let waiting = self.unacknowledged.entry(partition).or_default();
        let mut sends = Vec::new();
        for sent in waiting.iter_mut() {
            let batch = match server.flaw {
                Flaw::SequencesUnchecked => {
                    batch::numbered(&records(&sent.numbers), (-1, -1), -1, false)
                }
                _ => batch::numbered(&records(&sent.numbers), identity, sent.sequence, false),
            };
            let waits = repeats_wait || !(sent.tried || twice);
            self.repeated += u64::from(sent.tried || twice);
            sent.tried = true;
            let send = |batch: Bytes, waits| {
                server.store.append_verified(TOPIC, partition, batch, waits, None)
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
            for (offset, number) in (appended.base_offset..).zip(sent.numbers) {
                self.acknowledged.insert(number, (partition, offset));
            }
        }
    }

    fn make(&mut self, partition: PartitionId) {
        let count = self.rng.random_range(1..4);
        let numbers: Vec<u64> = (self.next_number..self.next_number + count).collect();
        self.next_number += count;
        self.partitions.extend(numbers.iter().map(|number| (*number, partition)));
        let sequence = self.sequences.entry(partition).or_insert(0);
        let sent = Sent { numbers, sequence: *sequence, tried: false };
        *sequence += count as i32;
        self.unacknowledged.entry(partition).or_default().push_back(sent);
    }

    pub(super) fn verify(&self, seen: &Seen) -> Result<(), String> {
        for (number, place) in &self.acknowledged {
            // What lies behind an open transaction is durable, and not shown yet.
            match seen.places.get(number) {
                Some(found) if found == place => {}
                Some(found) => {
                    return Err(format!("record {number} is at {found:?}, said was {place:?}"));
                }
                None if seen.hides(*place) => {}
                None => return Err(format!("record {number} of {place:?} is lost")),
            }
        }
        let mut last: BTreeMap<PartitionId, Offset> = BTreeMap::new();
        for (number, partition) in &self.partitions {
            let Some((found, offset)) = seen.places.get(number) else { continue };
            if found != partition {
                return Err(format!("record {number} is in {found}, not in {partition}"));
            }
            if last.insert(*partition, *offset).is_some_and(|before| before >= *offset) {
                return Err(format!("record {number} comes before the one before it"));
            }
        }
        Ok(())
    }

    pub(super) fn count(&self, tally: &mut Tally) {
        tally.acknowledged += self.acknowledged.len() as u64;
        tally.repeated += self.repeated;
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
    /// Its records, and where they are, of those that were acknowledged.
    numbers: BTreeMap<u64, Option<(PartitionId, Offset)>>,
    fate: Fate,
}

/// A producer with transactions.
pub(super) struct Transactional {
    rng: StdRng,
    id: String,
    identity: Option<Identity>,
    sequences: BTreeMap<PartitionId, i32>,
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
        let partition = self.rng.random_range(0..PARTITIONS);
        let place: Place = (TOPIC.to_owned(), partition);
        if !self.add(server, identity, &place).await {
            return false;
        }
        let guard = server.store.transaction_guard(TOPIC, partition, identity).unwrap_or(None);
        if guard.is_some() && server.coordinator.verify(&self.id, identity, &place).await.is_err() {
            return false;
        }
        let number = self.next_number;
        self.next_number += 1;
        let sequence = self.sequences.entry(partition).or_insert(0);
        let batch = batch::numbered(&records(&[number]), identity, *sequence, true);
        let send = || server.store.append_verified(TOPIC, partition, batch.clone(), true, guard);
        let sent = send().await;
        let attempt = self.attempts.last_mut().expect("one is going on");
        let place = sent.as_ref().ok().map(|appended| (partition, appended.base_offset));
        attempt.numbers.insert(number, place);
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

    async fn add(&self, server: &Server, identity: Identity, place: &Place) -> bool {
        for _ in 0..ASKS_MAX {
            let places = [place.clone()].into();
            match server.coordinator.add_partitions(&self.id, identity, places, 0).await {
                Ok(()) => return true,
                Err(TransactionError::Concurrent) => tokio::task::yield_now().await,
                Err(_) => return false,
            }
        }
        false
    }

    async fn end(&mut self, server: &Server, identity: Identity, commit: bool) {
        let Some(attempt) = self.attempts.last_mut() else { return };
        self.unanswered = None;
        let ending = Ending { identity, commit, bumps: false };
        for _ in 0..ASKS_MAX {
            match server.coordinator.end(&self.id, ending).await {
                Ok(_) => {
                    attempt.fate = if commit { Fate::Committed } else { Fate::Aborted };
                    self.going_on = false;
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

    pub(super) fn verify(&self, seen: &Seen) -> Result<(), String> {
        for attempt in &self.attempts {
            let shown = |number: &u64| seen.places.contains_key(number);
            let there = attempt.numbers.keys().filter(|number| shown(number)).count();
            let whole = attempt.numbers.iter().all(|(number, place)| {
                shown(number) || place.is_some_and(|place| seen.hides(place))
            });
            let holds = match attempt.fate {
                Fate::Committed => whole,
                Fate::Aborted | Fate::Open => there == 0,
                Fate::Unknown => whole || there == 0,
            };
            if !holds {
                return Err(format!("{}: {there} records are there of {attempt:?}", self.id));
            }
        }
        Ok(())
    }

    pub(super) fn count(&self, tally: &mut Tally) {
        for attempt in self.attempts.iter().filter(|attempt| !attempt.numbers.is_empty()) {
            match attempt.fate {
                Fate::Committed => tally.committed += 1,
                Fate::Aborted => tally.aborted += 1,
                Fate::Unknown => tally.unknown += 1,
                Fate::Open => {}
            }
        }
    }
}
