//! A member of a group, and what it asks and is told.
//!
//! Guarantees: nothing here is a slice of a request, so no member keeps a frame in memory.
//! Left out: what a member may do when, which is the group's.

use super::error::GroupError;
use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::oneshot;

/// A member's id: the client's id and a random part.
pub(crate) type MemberId = Arc<str>;

/// What a member takes in memory beside its texts and bytes.
const MEMBER_BYTES: usize = 512;

/// A way of sharing out partitions, and what the member says to whoever does it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Protocol {
    pub(crate) name: Arc<str>,
    pub(crate) metadata: Bytes,
}

/// A member.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) id: MemberId,
    /// `group.instance.id`: a static member, known again after its restart.
    pub(crate) instance: Option<Arc<str>>,
    pub(crate) client_id: Arc<str>,
    pub(crate) client_host: Arc<str>,
    pub(crate) session_timeout_ms: u64,
    pub(crate) rebalance_timeout_ms: u64,
    /// In the order the member likes them.
    pub(crate) protocols: Vec<Protocol>,
    pub(crate) assignment: Bytes,
    /// Its JoinGroup waits for the others.
    pub(crate) joining: Option<oneshot::Sender<JoinAnswer>>,
    /// Its SyncGroup waits for the leader.
    pub(crate) syncing: Option<oneshot::Sender<SyncAnswer>>,
    /// It has not been in a generation yet, and cannot send heartbeats.
    pub(crate) new: bool,
    /// When it is taken for gone unless it is heard of; `None` while it waits for us.
    pub(crate) deadline_ms: Option<u64>,
}

/// JoinGroup, read and copied out of its frame.
#[derive(Debug)]
pub(crate) struct Join {
    /// Empty when the client has none yet.
    pub(crate) member_id: MemberId,
    /// The id the client gets if it has none: made by the caller, so that a run repeats.
    pub(crate) fresh_id: MemberId,
    pub(crate) instance: Option<Arc<str>>,
    pub(crate) client_id: Arc<str>,
    pub(crate) client_host: Arc<str>,
    pub(crate) session_timeout_ms: u64,
    pub(crate) rebalance_timeout_ms: u64,
    pub(crate) protocol_type: Arc<str>,
    pub(crate) protocols: Vec<Protocol>,
    /// The client is to come back under the id it is given before it counts (from version 4).
    pub(crate) asks_for_id: bool,
    /// The client knows that a leader may be told not to assign (from version 9).
    pub(crate) may_skip_assignment: bool,
}

/// What a JoinGroup is answered: a refusal comes with the id the client is to use.
pub(crate) type JoinAnswer = Result<Joined, (GroupError, MemberId)>;

/// A generation, as one member is told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Joined {
    pub(crate) member_id: MemberId,
    pub(crate) generation: i32,
    pub(crate) protocol_type: Option<Arc<str>>,
    pub(crate) protocol: Option<Arc<str>>,
    pub(crate) leader: MemberId,
    /// The leader is told that the assignment stands.
    pub(crate) skip_assignment: bool,
    /// All members, for the leader; empty for others.
    pub(crate) members: Vec<Subscription>,
}

/// What the leader is told of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subscription {
    pub(crate) member_id: MemberId,
    pub(crate) instance: Option<Arc<str>>,
    pub(crate) metadata: Bytes,
}

/// SyncGroup, read and copied out of its frame.
#[derive(Debug)]
pub(crate) struct Sync {
    pub(crate) who: Identity,
    pub(crate) protocol_type: Option<Arc<str>>,
    pub(crate) protocol: Option<Arc<str>>,
    /// The leader's: what each member is to do.
    pub(crate) assignments: Vec<(MemberId, Bytes)>,
}

/// Who asks, and in which generation he believes to be.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) member_id: MemberId,
    pub(crate) instance: Option<Arc<str>>,
    pub(crate) generation: i32,
}

/// What a SyncGroup is answered.
pub(crate) type SyncAnswer = Result<Synced, GroupError>;

/// What a member is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Synced {
    pub(crate) protocol_type: Option<Arc<str>>,
    pub(crate) protocol: Option<Arc<str>>,
    pub(crate) assignment: Bytes,
}

impl Sync {
    /// Bytes of the assignments it brings.
    pub(crate) fn assignment_bytes(&self) -> usize {
        self.assignments.iter().map(|(_, assignment)| assignment.len()).sum()
    }
}

impl Join {
    /// Bytes of the protocols it brings.
    pub(crate) fn protocol_bytes(&self) -> usize {
        protocol_bytes(&self.protocols)
    }

    /// Bytes the member will take in memory.
    pub(crate) fn member_bytes(&self) -> usize {
        let instance = self.instance.as_ref().map_or(0, |instance| instance.len());
        let names = self.fresh_id.len().max(self.member_id.len()) * 2 + instance * 2;
        MEMBER_BYTES + names + self.client_id.len() + self.protocol_bytes()
    }
}

impl Member {
    /// A member made of its first JoinGroup.
    pub(crate) fn new(id: MemberId, join: &Join) -> Self {
        Self {
            id,
            instance: join.instance.clone(),
            client_id: Arc::clone(&join.client_id),
            client_host: Arc::clone(&join.client_host),
            session_timeout_ms: join.session_timeout_ms,
            rebalance_timeout_ms: join.rebalance_timeout_ms,
            protocols: join.protocols.clone(),
            assignment: Bytes::new(),
            joining: None,
            syncing: None,
            new: true,
            deadline_ms: None,
        }
    }

    /// Takes over what it says of itself when it joins again.
    pub(crate) fn update(&mut self, join: &Join) {
        self.protocols = join.protocols.clone();
        self.session_timeout_ms = join.session_timeout_ms;
        self.rebalance_timeout_ms = join.rebalance_timeout_ms;
    }

    /// What it says under `protocol`.
    pub(crate) fn metadata(&self, protocol: Option<&str>) -> Bytes {
        let of = |known: &&Protocol| Some(&*known.name) == protocol;
        self.protocols.iter().find(of).map_or_else(Bytes::new, |found| found.metadata.clone())
    }

    /// Whether it knows `protocol`.
    pub(crate) fn knows(&self, protocol: &str) -> bool {
        self.protocols.iter().any(|known| &*known.name == protocol)
    }

    /// Bytes it takes in memory.
    pub(crate) fn bytes(&self) -> usize {
        let instance = self.instance.as_ref().map_or(0, |instance| instance.len());
        MEMBER_BYTES
            + self.id.len() * 2
            + instance * 2
            + self.client_id.len()
            + protocol_bytes(&self.protocols)
            + self.assignment.len()
    }

    /// Answers its JoinGroup, if one waits.
    pub(crate) fn answer_join(&mut self, answer: JoinAnswer) {
        if let Some(waiter) = self.joining.take() {
            // Whoever waited may be gone; its deadline finds that out.
            let _ = waiter.send(answer);
        }
    }

    /// Answers its SyncGroup; whether one waited.
    pub(crate) fn answer_sync(&mut self, answer: SyncAnswer) -> bool {
        self.syncing.take().map(|waiter| waiter.send(answer)).is_some()
    }
}

fn protocol_bytes(protocols: &[Protocol]) -> usize {
    const PROTOCOL_BYTES: usize = 64;
    protocols.iter().map(|known| PROTOCOL_BYTES + known.name.len() + known.metadata.len()).sum()
}
