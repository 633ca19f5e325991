//! Who commits offsets outside of transactions: a client that is no member of a group, and members
//! that take over from each other.

use super::flaws::Flaw;
use super::worker::{commit, committed};
use super::{ORDERS, Server, Tally};
use crate::group::{Commit, GroupError, Identity, Join, Protocol, Sync};
use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::Arc;
use std::time::Duration;
use tradewind_types::{Offset, PartitionId};

const PARTITIONS: usize = 3;

/// What is known of a group's offset in one partition.
#[derive(Debug, Default, Clone, Copy)]
struct Known {
    /// The newest that was acknowledged or seen.
    least: Option<Offset>,
    /// The newest that was tried.
    tried: Offset,
}

impl Known {
    /// Holds what is committed against what is known, and learns from it.
    fn meet(&mut self, found: Option<Offset>) -> Result<(), String> {
        if found < self.least || found.is_some_and(|found| found > self.tried) {
            return Err(format!("committed is {found:?}, known is {self:?}"));
        }
        self.least = found;
        Ok(())
    }
}

/// A client that is no member and commits further and further.
pub(super) struct Plain {
    rng: StdRng,
    known: [Known; PARTITIONS],
    commits: u64,
}

impl Plain {
    pub(super) fn new(seed: u64) -> Self {
        let rng = StdRng::seed_from_u64(seed ^ 0x706c_6169);
        Self { rng, known: Default::default(), commits: 0 }
    }

    pub(super) async fn step(&mut self, server: &Server) {
        let partition = self.rng.random_range(0..PARTITIONS);
        let known = &mut self.known[partition];
        known.tried += self.rng.random_range(1..10);
        let who = Identity { member_id: "".into(), instance: None, generation: -1 };
        if commits(server, "plain", who, partition, known.tried).await.is_ok() {
            known.least = Some(known.tried);
            self.commits += 1;
        }
    }

    pub(super) fn verify(&mut self, server: &Server) -> Result<(), String> {
        for (partition, known) in (0..).zip(&mut self.known) {
            let met = known.meet(server.committed("plain", partition));
            met.map_err(|reason| format!("plain, {partition}: {reason}"))?;
        }
        Ok(())
    }

    pub(super) fn count(&self, tally: &mut Tally) {
        tally.count("plain commits", self.commits);
    }
}

/// A member, or one that takes itself for one.
struct Member {
    id: Arc<str>,
    generation: i32,
    /// How far it has read; `None` before it has joined.
    position: Option<Offset>,
}

/// Two members of one group, each of which reads all of one partition when it is its turn.
pub(super) struct Readers {
    rng: StdRng,
    members: [Member; 2],
    born: u64,
    known: Known,
    broken: Option<String>,
    commits: u64,
    refused: u64,
}

impl Readers {
    pub(super) fn new(seed: u64) -> Self {
        let member = || Member { id: "".into(), generation: -1, position: None };
        Self {
            rng: StdRng::seed_from_u64(seed ^ 0x7265_6164),
            members: [member(), member()],
            born: 0,
            known: Known::default(),
            broken: None,
            commits: 0,
            refused: 0,
        }
    }

    /// What went wrong in the midst of a life.
    pub(super) fn broken(&self) -> Result<(), String> {
        self.broken.clone().map_or(Ok(()), Err)
    }

    pub(super) async fn step(&mut self, server: &Server) {
        let at = self.rng.random_range(0..2);
        match self.members[at].position {
            None if self.rng.random_bool(0.3) => self.join(server, at).await,
            // It dies, without a word.
            Some(_) if self.rng.random_bool(0.1) => self.members[at].position = None,
            Some(position) => self.read_on(server, at, position).await,
            None => {}
        }
    }

    async fn read_on(&mut self, server: &Server, at: usize, position: Offset) {
        let offset = position + self.rng.random_range(1..10);
        let who = match server.flaw {
            Flaw::MembersUnfenced => {
                Identity { member_id: "".into(), instance: None, generation: -1 }
            }
            _ => self.members[at].identity(),
        };
        let group = if server.flaw == Flaw::MembersUnfenced { "unfenced" } else { "readers" };
        self.known.tried = self.known.tried.max(offset);
        match commits(server, group, who, 0, offset).await {
            Ok(()) => {
                if self.known.least.is_some_and(|least| offset < least) {
                    let said = format!("{offset} was taken from a member, after {:?}", self.known);
                    self.broken.get_or_insert(said);
                }
                self.known.least = Some(offset);
                self.members[at].position = Some(offset);
                self.commits += 1;
            }
            Err(GroupError::NotAvailable | GroupError::Failed | GroupError::Loading) => {
                // It may be there or not; whoever wants to know asks after a restart.
                self.members[at].position = None;
            }
            // One that does not hear of it tries again, and must be refused again.
            Err(_) => {
                self.refused += 1;
                if self.rng.random_bool(0.5) {
                    self.members[at].position = None;
                }
            }
        }
    }

    /// Joins as a new member, which shuts out the other unless that joins as well.
    async fn join(&mut self, server: &Server, at: usize) {
        self.born += 1;
        let group: Arc<str> = "readers".into();
        let join = Join {
            member_id: "".into(),
            fresh_id: format!("member-{}", self.born).into(),
            instance: None,
            client_id: "c".into(),
            client_host: "/h".into(),
            session_timeout_ms: 10_000,
            rebalance_timeout_ms: 10_000,
            protocol_type: "consumer".into(),
            protocols: vec![Protocol { name: "p".into(), metadata: Bytes::new() }],
            asks_for_id: false,
            may_skip_assignment: false,
        };
        let patience = Duration::from_secs(60);
        let joined = tokio::time::timeout(patience, server.groups.join(&group, join)).await;
        let Ok(Ok(joined)) = joined else { return };
        let leads = joined.leader == joined.member_id;
        let who =
            Identity { member_id: joined.member_id, instance: None, generation: joined.generation };
        let all = joined.members.iter().map(|member| (Arc::clone(&member.member_id), Bytes::new()));
        let sync = Sync {
            who: who.clone(),
            protocol_type: None,
            protocol: None,
            assignments: all.filter(|_| leads).collect(),
        };
        let synced = tokio::time::timeout(patience, server.groups.sync(&group, sync)).await;
        if matches!(synced, Ok(Ok(_))) {
            let position = server.committed("readers", 0).unwrap_or(0);
            let (id, generation) = (who.member_id, who.generation);
            self.members[at] = Member { id, generation, position: Some(position) };
        }
    }

    pub(super) fn verify(&mut self, server: &Server) -> Result<(), String> {
        if server.flaw == Flaw::MembersUnfenced {
            return Ok(());
        }
        let met = self.known.meet(server.committed("readers", 0));
        met.map_err(|reason| format!("readers: {reason}"))
    }

    pub(super) fn count(&self, tally: &mut Tally) {
        tally.count("members' commits", self.commits);
        tally.count("members refused", self.refused);
    }
}

impl Member {
    fn identity(&self) -> Identity {
        Identity { member_id: Arc::clone(&self.id), instance: None, generation: self.generation }
    }
}

/// Commits one offset.
async fn commits(
    server: &Server,
    group: &str,
    who: Identity,
    partition: usize,
    offset: Offset,
) -> Result<(), GroupError> {
    let place = (ORDERS.into(), partition as PartitionId);
    let offsets = vec![(place, committed(offset))];
    let done = server.groups.commit(Commit { offsets, ..commit(group, who) }).await?;
    done.into_iter().collect()
}
