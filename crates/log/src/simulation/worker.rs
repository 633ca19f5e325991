//! Who reads orders, writes what it makes of them and commits how far it has read, in one
//! transaction: each order has one result, whoever crashes or is held up and goes on too late.

use super::flaws::Flaw;
use super::producers::{ASKS_MAX, add};
use super::seen::{Seen, number, record};
use super::{COPIES, ORDERS, PLACES, Server, Tally};
use crate::batch;
use crate::group::{Commit, Committed, Identity as Member, PartOf};
use crate::transactions::{Ending, Identity, OFFSETS_TOPIC, Place, TransactionError};
use futures::future::join;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use tradewind_types::{Log, LogError, Offset, PartitionId};

/// The group, and the transactional id.
const NAME: &str = "worker";

/// The worker. A crashed one may go on for a while beside the one that has come after it.
pub(super) struct Worker {
    rng: StdRng,
    /// Its epoch rises with each transaction, and nothing is added to one but by writing.
    bumps: bool,
    life: Life,
    zombie: Option<Life>,
    /// Results that were seen.
    copied: u64,
    zombies_refused: u64,
}

/// One life of the worker.
#[derive(Debug, Clone, Default)]
struct Life {
    identity: Option<Identity>,
    sequence: i32,
    /// Where it goes on reading; what is missing it looks up.
    positions: BTreeMap<PartitionId, Offset>,
    /// It has written and not committed up to here when it was held up.
    held_up: Option<(PartitionId, Offset)>,
}

/// Why a round ends.
enum Refused {
    Fenced,
    Failed,
    /// It was held up between two requests, and will go on.
    HeldUp,
}

impl Worker {
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed ^ 0x776f_726b);
        let bumps = rng.random_bool(0.5);
        let (life, zombie) = Default::default();
        Self { rng, bumps, life, zombie, copied: 0, zombies_refused: 0 }
    }

    pub(super) async fn step(&mut self, server: &Server) {
        // It has not heard that another has begun: what it does must be refused, or count.
        let goes_on = self.zombie.is_some() && self.rng.random_bool(0.5);
        let mut zombie = self.zombie.take();
        let mut life = std::mem::take(&mut self.life);
        let mut fork = || StdRng::from_rng(&mut self.rng);
        let (at_once, mut later) = (Round::new(server, self.bumps, fork()), fork());
        let round = Round::new(server, self.bumps, fork());
        let (of_zombie, done) = join(
            async {
                match zombie.as_mut().filter(|_| goes_on) {
                    Some(zombie) => at_once.run(zombie).await,
                    None => Ok(()),
                }
            },
            async {
                if life.identity.is_none() {
                    life = Life { identity: begin(server).await, ..Life::default() };
                }
                round.run(&mut life).await
            },
        )
        .await;
        match of_zombie {
            Err(Refused::Fenced) => self.zombies_refused += 1,
            Err(Refused::Failed) => {}
            Ok(()) | Err(Refused::HeldUp) => self.zombie = zombie,
        }
        match done {
            Ok(()) if later.random_bool(0.9) => self.life = life,
            // Another takes its place, and it does not know.
            Ok(()) | Err(Refused::HeldUp) => self.zombie = Some(life),
            Err(Refused::Failed | Refused::Fenced) => {}
        }
    }

    /// A new process under the same name: it aborts what the one before left open.
    pub(super) async fn begin_anew(&mut self, server: &Server) {
        self.life = Life { identity: begin(server).await, ..Life::default() };
    }

    /// Each order below what is committed has one result, and no other has one.
    pub(super) fn verify(&mut self, server: &Server, seen: &Seen) -> Result<(), String> {
        self.copied = seen.copies.len() as u64;
        for (number, (spot, offset)) in &seen.places {
            let (topic, partition) = PLACES[*spot];
            if topic != ORDERS {
                continue;
            }
            let committed = server.committed(NAME, partition).unwrap_or(0);
            let due = *offset < committed;
            if seen.copies.contains_key(number) != due {
                let made = if due { "no result" } else { "a result" };
                return Err(format!(
                    "order {number} at {offset} of {partition} has {made}, committed is {committed}"
                ));
            }
        }
        Ok(())
    }

    pub(super) fn count(&self, tally: &mut Tally) {
        tally.count("copied", self.copied);
        tally.count("zombies refused", self.zombies_refused);
    }
}

async fn begin(server: &Server) -> Option<Identity> {
    for _ in 0..ASKS_MAX {
        match server.coordinator.init(NAME, 60_000, None).await {
            Err(TransactionError::Concurrent) => tokio::task::yield_now().await,
            other => return other.ok(),
        }
    }
    None
}

/// One transaction of one life.
struct Round<'a> {
    server: &'a Server,
    bumps: bool,
    rng: StdRng,
}

impl<'a> Round<'a> {
    fn new(server: &'a Server, bumps: bool, rng: StdRng) -> Self {
        Self { server, bumps, rng }
    }

    /// Reads a few orders of a partition, and writes and commits in one transaction.
    async fn run(mut self, life: &mut Life) -> Result<(), Refused> {
        let server = self.server;
        let Some(identity) = life.identity else { return Err(Refused::Failed) };
        let transaction = Transaction { server, identity, bumps: self.bumps };
        let (partition, next) = match life.held_up.take() {
            Some(held_up) => held_up,
            None => {
                let partition = self.rng.random_range(0..3);
                let Some(from) = position(server, life, partition) else { return Ok(()) };
                let (numbers, next) = fetch(server, partition, from).await?;
                if next == from {
                    return Ok(());
                }
                transaction.write(&numbers, &mut life.sequence).await?;
                if self.rng.random_bool(0.15) {
                    life.held_up = Some((partition, next));
                    return Err(Refused::HeldUp);
                }
                (partition, next)
            }
        };
        transaction.commit_offset(partition, next).await?;
        let commit = self.rng.random_bool(0.85);
        let after = transaction.end(commit).await?;
        if after != identity {
            (life.identity, life.sequence) = (Some(after), 0);
        }
        if commit {
            life.positions.insert(partition, next);
        }
        Ok(())
    }
}

/// Where a life goes on; `None` while that is not decided.
fn position(server: &Server, life: &mut Life, partition: PartitionId) -> Option<Offset> {
    if let Some(known) = life.positions.get(&partition) {
        return Some(*known);
    }
    // As clients ask: stable offsets only.
    if server.pending(NAME, partition) {
        return None;
    }
    let committed = server.committed(NAME, partition).unwrap_or(0);
    life.positions.insert(partition, committed);
    Some(committed)
}

/// Some orders from `from` on, by number, and where the next ones begin.
async fn fetch(
    server: &Server,
    partition: PartitionId,
    from: Offset,
) -> Result<(Vec<u64>, Offset), Refused> {
    let read = |from| server.store.read_on(ORDERS, partition, from, 300, server.isolation());
    let read = match read(from).await {
        Err(LogError::OutOfRange { log_start, .. }) if from < log_start => read(log_start).await,
        other => other,
    };
    let read = read.map_err(|_| Refused::Failed)?;
    Ok((read.records.iter().map(|found| number(&found.record)).collect(), read.next))
}

/// A transaction under way.
struct Transaction<'a> {
    server: &'a Server,
    identity: Identity,
    bumps: bool,
}

impl Transaction<'_> {
    /// What an append to `place` needs, once the coordinator has said that the transaction spans it.
    async fn verified(&self, place: &Place) -> Result<Option<Offset>, Refused> {
        let Self { server, identity, bumps } = *self;
        let version = if bumps { 2 } else { 0 };
        if !bumps && !add(server, NAME, identity, place, version).await {
            return Err(self.refused().await);
        }
        let guard = server.store.transaction_guard(&place.0, place.1, identity);
        let guard = guard.map_err(|_| Refused::Failed)?;
        let holds = match (guard, bumps) {
            (None, _) => true,
            (Some(_), true) => add(server, NAME, identity, place, version).await,
            (Some(_), false) => server.coordinator.verify(NAME, identity, place).await.is_ok(),
        };
        if holds { Ok(guard) } else { Err(self.refused().await) }
    }

    async fn refused(&self) -> Refused {
        let ending = Ending { identity: self.identity, commit: false, bumps: false };
        match self.server.coordinator.end(NAME, ending).await {
            Err(TransactionError::Fenced) => Refused::Fenced,
            _ => Refused::Failed,
        }
    }

    async fn write(&self, numbers: &[u64], sequence: &mut i32) -> Result<(), Refused> {
        let (topic, partition) = PLACES[COPIES];
        if numbers.is_empty() {
            return Ok(());
        }
        let verified = self.verified(&(topic.to_owned(), partition)).await?;
        let records: Vec<_> = numbers.iter().map(|number| record(COPIES, *number)).collect();
        let batch = batch::numbered(&records, self.identity, *sequence, true);
        let store = &self.server.store;
        let written = store.append_verified(topic, partition, batch, true, verified).await;
        written.map_err(|_| Refused::Failed)?;
        *sequence += records.len() as i32;
        Ok(())
    }

    async fn commit_offset(&self, partition: PartitionId, offset: Offset) -> Result<(), Refused> {
        let groups = &self.server.groups;
        let at = groups.offsets_partition_of(NAME).await.map_err(|_| Refused::Failed)?;
        let place = (OFFSETS_TOPIC.to_owned(), at);
        let verified = match self.server.flaw {
            Flaw::OffsetsUnverified => {
                let store = &self.server.store;
                store.transaction_guard(OFFSETS_TOPIC, at, self.identity).unwrap_or(None)
            }
            _ => self.verified(&place).await?,
        };
        let part_of = (self.server.flaw != Flaw::OffsetsBeside)
            .then_some(PartOf { producer: self.identity, verified });
        let commit = commit(NAME, Member { member_id: "".into(), instance: None, generation: -1 });
        let offsets = vec![((ORDERS.into(), partition), committed(offset))];
        let done = groups.commit(Commit { part_of, offsets, ..commit }).await;
        done.map(drop).map_err(|_| Refused::Failed)
    }

    async fn end(&self, commit: bool) -> Result<Identity, Refused> {
        let ending = Ending { identity: self.identity, commit, bumps: self.bumps };
        for _ in 0..ASKS_MAX {
            match self.server.coordinator.end(NAME, ending).await {
                Err(TransactionError::Concurrent) => tokio::task::yield_now().await,
                Err(TransactionError::Fenced) => return Err(Refused::Fenced),
                other => return other.map_err(|_| Refused::Failed),
            }
        }
        Err(Refused::Failed)
    }
}

/// A commit of nothing.
pub(super) fn commit(group: &str, who: Member) -> Commit {
    Commit { group: group.into(), who, part_of: None, offsets: Vec::new(), retention_ms: None }
}

pub(super) fn committed(offset: Offset) -> Committed {
    Committed {
        offset,
        leader_epoch: -1,
        metadata: "".into(),
        committed_at_ms: 0,
        expires_at_ms: None,
        record: 0,
    }
}
