//! One group: its state, its members, its offsets.
//!
//! Guarantees: no disk and no clock in here; time is an argument, what is to be stored is handed
//! back, and waiting members hold a channel. A generation begins when every member has joined or
//! was given up, and is over when any of them goes or changes.
//! Left out: the steps themselves (`rebalance`, `session`) and which groups there are.

use super::error::GroupError;
use super::member::{Identity, Joined, Member, MemberId, Subscription};
use super::offsets::Offsets;
use super::settings::GroupSettings;
use super::stored::{StoredGroup, StoredMember};
use super::subscription;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The protocol type of consumers, whose subscriptions can be read.
pub(crate) const CONSUMER: &str = "consumer";
/// What a group takes in memory before it has anyone.
const GROUP_BYTES: usize = 1024;

/// How far a group is in forming a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupState {
    /// No members; offsets perhaps.
    Empty,
    /// Waits for the members to join.
    PreparingRebalance,
    /// Waits for the leader to share out the work.
    CompletingRebalance,
    /// Everybody knows what to do.
    Stable,
}

impl GroupState {
    /// Kafka's name of it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }
}

/// What a step is given, and hands back.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    /// Now, on a clock that never goes back.
    pub(crate) now_ms: u64,
    /// Now, milliseconds since the Unix epoch.
    pub(crate) wall_ms: i64,
    pub(crate) settings: &'a GroupSettings,
    /// What is to be stored, in this order.
    pub(crate) to_store: Vec<Store>,
}

/// A group's record to be stored, and what follows once it is.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) record: StoredGroup,
    pub(crate) then: Then,
}

/// What follows a stored record.
#[derive(Debug)]
pub(crate) enum Then {
    /// Nothing: nobody waits for it.
    Nothing,
    /// The members are told their assignments.
    Assign { generation: i32, assignments: BTreeMap<MemberId, Bytes> },
    /// A static member that came back is told what it had.
    AnswerStatic { member: MemberId, answer: Joined },
}

/// What the first rebalance of a group without members still may wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Initial {
    /// The wait under way.
    pub(crate) delay_ms: u64,
    /// What is left of the rebalance timeout.
    pub(crate) remaining_ms: u64,
    /// Somebody joined since the wait began: it is worth another.
    pub(crate) somebody_came: bool,
}

/// A group.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) id: Arc<str>,
    pub(crate) state: GroupState,
    /// When it came into this state, milliseconds since the Unix epoch.
    pub(crate) since_ms: i64,
    pub(crate) generation: i32,
    pub(crate) protocol_type: Option<Arc<str>>,
    pub(crate) protocol: Option<Arc<str>>,
    pub(crate) leader: Option<MemberId>,
    pub(crate) members: BTreeMap<MemberId, Member>,
    /// `group.instance.id` to member.
    pub(crate) static_members: BTreeMap<Arc<str>, MemberId>,
    /// Ids that were given out and not come back yet, with their deadline.
    pub(crate) expected: BTreeMap<MemberId, u64>,
    /// While it prepares: when it goes on without those who are missing.
    pub(crate) join_deadline_ms: Option<u64>,
    pub(crate) initial: Option<Initial>,
    /// While it completes: who has not asked for his assignment, and until when he may.
    pub(crate) unsynced: BTreeSet<MemberId>,
    pub(crate) sync_deadline_ms: Option<u64>,
    /// How many members the last generation had.
    pub(crate) members_before: usize,
    /// What the members subscribe to, when it can be told.
    pub(crate) topics: Option<BTreeSet<String>>,
    /// The log has, or is about to have, a record of it.
    pub(crate) stored: bool,
    pub(crate) offsets: Offsets,
    member_bytes: usize,
}

impl Group {
    pub(crate) fn new(id: Arc<str>, wall_ms: i64) -> Self {
        Self {
            id,
            state: GroupState::Empty,
            since_ms: wall_ms,
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            static_members: BTreeMap::new(),
            expected: BTreeMap::new(),
            join_deadline_ms: None,
            initial: None,
            unsynced: BTreeSet::new(),
            sync_deadline_ms: None,
            members_before: 0,
            topics: None,
            stored: false,
            offsets: Offsets::default(),
            member_bytes: 0,
        }
    }

    /// The group a record tells of. Its members have until their session timeout to be heard of.
    pub(crate) fn from_stored(id: Arc<str>, stored: StoredGroup, now_ms: u64) -> Self {
        let mut group = Self::new(id, stored.state_at_ms);
        group.generation = stored.generation;
        group.protocol_type = Some(stored.protocol_type).filter(|kind| !kind.is_empty());
        group.protocol = stored.protocol.clone();
        group.leader = stored.leader.filter(|_| !stored.members.is_empty());
        for member in stored.members {
            let member = member.revived(stored.protocol.as_ref(), now_ms);
            if let Some(instance) = &member.instance {
                group.static_members.insert(Arc::clone(instance), Arc::clone(&member.id));
            }
            group.members.insert(Arc::clone(&member.id), member);
        }
        if !group.members.is_empty() {
            group.state = GroupState::Stable;
        }
        group.members_before = group.members.len();
        group.stored = true;
        group.topics = group.subscribed_topics();
        group.weigh_members();
        group
    }

    /// The record of the group as it is, with these assignments.
    pub(crate) fn to_stored(&self, assignments: &BTreeMap<MemberId, Bytes>) -> StoredGroup {
        let protocol = self.protocol.as_deref();
        let members = self.members.values().map(|member| {
            let assignment = assignments.get(&member.id).cloned().unwrap_or_default();
            StoredMember::of(member, protocol, assignment)
        });
        StoredGroup {
            protocol_type: self.protocol_type.clone().unwrap_or_else(|| "".into()),
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            state_at_ms: self.since_ms,
            members: members.collect(),
        }
    }

    /// Has the group stored as it is, with these assignments; `then` follows.
    pub(crate) fn store(
        &mut self,
        assignments: &BTreeMap<MemberId, Bytes>,
        then: Then,
        context: &mut Context<'_>,
    ) {
        self.stored = true;
        context.to_store.push(Store { record: self.to_stored(assignments), then });
    }

    pub(crate) fn enter(&mut self, state: GroupState, wall_ms: i64) {
        self.state = state;
        self.since_ms = wall_ms;
    }

    pub(crate) fn leads(&self, member: &str) -> bool {
        self.leader.as_deref() == Some(member)
    }

    /// Whether nothing is left of it that anyone could ask for.
    pub(crate) fn is_nothing(&self) -> bool {
        self.state == GroupState::Empty
            && self.expected.is_empty()
            && self.offsets.is_empty()
            && !self.stored
    }

    /// Bytes it takes in memory.
    pub(crate) fn bytes(&self) -> usize {
        const EXPECTED_BYTES: usize = 256;
        let expected = self.expected.len() * EXPECTED_BYTES;
        GROUP_BYTES + self.id.len() + self.member_bytes + expected + self.offsets.bytes()
    }

    /// Bytes of the members alone.
    pub(crate) fn member_bytes(&self) -> usize {
        self.member_bytes
    }

    /// Counts the members' bytes anew: called when any of them changed.
    pub(crate) fn weigh_members(&mut self) {
        self.member_bytes = self.members.values().map(Member::bytes).sum();
    }

    /// When something happens of itself.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        let members = self.members.values().filter_map(|member| member.deadline_ms);
        let expected = self.expected.values().copied();
        members.chain(expected).chain(self.join_deadline_ms).chain(self.sync_deadline_ms).min()
    }

    /// The longest any member asks a rebalance to wait.
    pub(crate) fn rebalance_timeout_ms(&self) -> u64 {
        self.members.values().map(|member| member.rebalance_timeout_ms).max().unwrap_or(0)
    }

    /// Whether `who` is a member, and the only one under his instance id.
    pub(crate) fn check_member(&self, who: &Identity) -> Result<(), GroupError> {
        if let Some(instance) = &who.instance {
            match self.static_members.get(instance) {
                None => return Err(GroupError::UnknownMember),
                Some(known) if *known != who.member_id => return Err(GroupError::FencedInstance),
                Some(_) => {}
            }
        }
        match self.members.contains_key(&who.member_id) {
            true => Ok(()),
            false => Err(GroupError::UnknownMember),
        }
    }

    /// As [`Group::check_member`], in the group's generation.
    pub(crate) fn check_generation(&self, who: &Identity) -> Result<(), GroupError> {
        self.check_member(who)?;
        match who.generation == self.generation {
            true => Ok(()),
            false => Err(GroupError::IllegalGeneration),
        }
    }

    /// Whether `who` may commit offsets now.
    pub(crate) fn check_commit(
        &self,
        who: &Identity,
        transactional: bool,
    ) -> Result<(), GroupError> {
        // Consumers that share out their partitions by themselves, and administrators.
        if who.generation < 0 && self.state == GroupState::Empty {
            return Ok(());
        }
        if who.generation >= 0 || !who.member_id.is_empty() || who.instance.is_some() {
            self.check_generation(who)?;
        } else if !transactional {
            return Err(GroupError::UnknownMember);
        }
        if !transactional && self.state == GroupState::CompletingRebalance {
            return Err(GroupError::RebalanceInProgress);
        }
        Ok(())
    }

    /// The members as the leader is told of them.
    pub(crate) fn subscriptions(&self) -> Vec<Subscription> {
        let protocol = self.protocol.as_deref();
        let of = |member: &Member| Subscription {
            member_id: Arc::clone(&member.id),
            instance: member.instance.clone(),
            metadata: member.metadata(protocol),
        };
        self.members.values().map(of).collect()
    }

    /// Every topic a member subscribes to; `None` when that cannot be told.
    pub(crate) fn subscribed_topics(&self) -> Option<BTreeSet<String>> {
        if self.protocol_type.as_deref() != Some(CONSUMER) {
            return None;
        }
        let protocol = self.protocol.as_deref();
        let mut topics = BTreeSet::new();
        for member in self.members.values() {
            topics.extend(subscription::topics(&member.metadata(protocol))?);
        }
        Some(topics)
    }

    /// Whether members may read `topic`. Consumers whose subscription cannot be read may.
    pub(crate) fn reads(&self, topic: &str) -> bool {
        match &self.topics {
            Some(topics) => topics.contains(topic),
            None => !self.members.is_empty() && self.protocol_type.as_deref() == Some(CONSUMER),
        }
    }
}
