//! Joining a group, and how a generation comes about.
//!
//! Guarantees: those of Kafka's classic protocol. A join is answered when every member has joined
//! or its time is over; members that did not join again are out, static ones excepted; the
//! protocol is the one most members like best among those all know.
//! Left out: cooperative rebalancing needs nothing here: its members simply join twice.

use super::error::GroupError;
use super::machine::{Context, Group, GroupState, Initial, Then};
use super::member::{Join, JoinAnswer, Joined, Member, MemberId, Protocol, Synced};
use super::settings::millis;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::oneshot;

/// A new group whose last generation had at most one member waits this share of the delay.
const ALONE_SHARE: u64 = 10;

/// Who waits for a join's answer.
type Waiter = oneshot::Sender<JoinAnswer>;

impl Group {
    /// Serves a JoinGroup: `waiter` is answered now or when the generation begins.
    pub(crate) fn join(&mut self, join: &Join, waiter: Waiter, context: &mut Context<'_>) {
        let new = join.member_id.is_empty();
        if let Err(error) = self.check_join(join, context) {
            if error == GroupError::Full {
                // Kafka's way of making a group smaller: who comes last to a rebalance is out.
                self.remove(&join.member_id);
            }
            let id = if error == GroupError::Full { "".into() } else { join.member_id.clone() };
            let _ = waiter.send(Err((error, id)));
            return;
        }
        if new {
            self.join_new(join, waiter, context);
        } else if self.expected.contains_key(&join.member_id) && join.instance.is_none() {
            self.add(join, Arc::clone(&join.member_id), waiter, context);
        } else {
            self.join_again(join, waiter, context);
        }
        self.weigh_members();
    }

    fn check_join(&self, join: &Join, context: &Context<'_>) -> Result<(), GroupError> {
        let settings = context.settings;
        self.check_size(&join.member_id, settings.members_max)?;
        let known = self.members.get(&join.member_id).map_or(0, Member::bytes);
        let bytes = self.member_bytes().saturating_sub(known) + join.member_bytes();
        if join.protocol_bytes() > settings.member_bytes_max || bytes > settings.group_bytes_max {
            return Err(GroupError::Full);
        }
        match self.shares_protocol(&join.protocol_type, &join.protocols) {
            true => Ok(()),
            false => Err(GroupError::InconsistentProtocol),
        }
    }

    /// Whether there is room for one more, or for this member to stay.
    fn check_size(&self, member: &str, members_max: usize) -> Result<(), GroupError> {
        let taken = match self.state {
            GroupState::Empty => 0,
            // Who is back already counts: a group that is too large loses its last comers.
            GroupState::PreparingRebalance => {
                if self.members.get(member).is_some_and(|known| known.joining.is_some()) {
                    return Ok(());
                }
                self.members.values().filter(|known| known.joining.is_some()).count()
            }
            GroupState::CompletingRebalance | GroupState::Stable => {
                if self.members.contains_key(member) {
                    return Ok(());
                }
                self.members.len()
            }
        };
        let expected = self.expected.keys().filter(|known| ***known != *member).count();
        if taken + expected >= members_max { Err(GroupError::Full) } else { Ok(()) }
    }

    /// Whether somebody with these protocols can work with the members there are.
    fn shares_protocol(&self, protocol_type: &str, protocols: &[Protocol]) -> bool {
        if self.state == GroupState::Empty {
            return !protocol_type.is_empty() && !protocols.is_empty();
        }
        let all_know = |name: &str| self.members.values().all(|member| member.knows(name));
        self.protocol_type.as_deref() == Some(protocol_type)
            && protocols.iter().any(|offered| all_know(&offered.name))
    }

    fn join_new(&mut self, join: &Join, waiter: Waiter, context: &mut Context<'_>) {
        let fresh = Arc::clone(&join.fresh_id);
        let replaced =
            join.instance.as_ref().and_then(|instance| self.static_members.get(instance).cloned());
        if let Some(old) = replaced {
            self.replace_static(join, &old, fresh, waiter, context);
        } else if join.instance.is_none() && join.asks_for_id {
            let deadline = context.now_ms + join.session_timeout_ms;
            self.expected.insert(Arc::clone(&fresh), deadline);
            let _ = waiter.send(Err((GroupError::MemberIdRequired, fresh)));
        } else {
            self.add(join, fresh, waiter, context);
        }
    }

    /// A member comes again, or somebody pretends to be one.
    fn join_again(&mut self, join: &Join, waiter: Waiter, context: &mut Context<'_>) {
        let who = super::member::Identity {
            member_id: Arc::clone(&join.member_id),
            instance: join.instance.clone(),
            generation: self.generation,
        };
        if let Err(error) = self.check_member(&who) {
            let _ = waiter.send(Err((error, who.member_id)));
            return;
        }
        let member = &self.members[&who.member_id];
        let same = member.protocols == join.protocols;
        let as_before = match self.state {
            GroupState::Empty | GroupState::PreparingRebalance => false,
            // The answer to its first try may have been lost.
            GroupState::CompletingRebalance => same,
            // A leader that joins again wants a rebalance: its topics may have changed.
            GroupState::Stable => same && !self.leads(&who.member_id),
        };
        if as_before {
            let joined = self.joined(&who.member_id);
            let _ = waiter.send(Ok(joined));
            return;
        }
        let member = self.members.get_mut(&who.member_id).expect("it was checked just now");
        member.update(join);
        member.joining = Some(waiter);
        self.rebalance_or_complete(context);
    }

    fn add(&mut self, join: &Join, id: MemberId, waiter: Waiter, context: &mut Context<'_>) {
        let mut member = Member::new(Arc::clone(&id), join);
        member.joining = Some(waiter);
        member.deadline_ms =
            Some(context.now_ms + millis(context.settings.new_member_join_timeout));
        if let Some(initial) = &mut self.initial {
            initial.somebody_came = true;
        }
        if self.members.is_empty() {
            self.protocol_type = Some(Arc::clone(&join.protocol_type));
        }
        if let Some(instance) = &join.instance {
            self.static_members.insert(Arc::clone(instance), Arc::clone(&id));
        }
        self.leader.get_or_insert_with(|| Arc::clone(&id));
        self.expected.remove(&id);
        self.members.insert(id, member);
        self.rebalance_or_complete(context);
    }

    /// A static member was restarted: it takes its own place, under a new id.
    fn replace_static(
        &mut self,
        join: &Join,
        old: &str,
        id: MemberId,
        waiter: Waiter,
        context: &mut Context<'_>,
    ) {
        let leader_before = self.leader.clone();
        let mut member = self.members.remove(old).expect("a static member's id is a member's");
        member.answer_join(Err((GroupError::FencedInstance, old.into())));
        member.answer_sync(Err(GroupError::FencedInstance));
        member.id = Arc::clone(&id);
        member.update(join);
        member.joining = Some(waiter);
        member.deadline_ms = Some(context.now_ms + member.session_timeout_ms);
        if let Some(instance) = &member.instance {
            self.static_members.insert(Arc::clone(instance), Arc::clone(&id));
        }
        if self.leads(old) {
            self.leader = Some(Arc::clone(&id));
        }
        self.unsynced.remove(old);
        self.members.insert(Arc::clone(&id), member);
        match self.state {
            GroupState::Stable if self.protocol == self.select_protocol() => {
                self.welcome_back(join, &id, leader_before, context);
            }
            // The leader may have been told the old id: what it assigns would be lost.
            _ => self.rebalance_or_complete(context),
        }
    }

    /// The static member `id` goes on with what it had, without a rebalance.
    fn welcome_back(
        &mut self,
        join: &Join,
        id: &MemberId,
        leader_before: Option<MemberId>,
        context: &mut Context<'_>,
    ) {
        let leads = self.leads(id);
        let mut answer = self.joined(id);
        if join.may_skip_assignment {
            answer.skip_assignment = leads;
        } else {
            // An older client that leads is told of its old id, so that it does not assign.
            answer.members = Vec::new();
            answer.leader = leader_before.unwrap_or(answer.leader);
        }
        let assignments = self.assignments();
        let then = Then::AnswerStatic { member: Arc::clone(id), answer };
        self.store(&assignments, then, context);
    }

    /// What each member has to do.
    pub(crate) fn assignments(&self) -> BTreeMap<MemberId, Bytes> {
        let of = |member: &Member| (Arc::clone(&member.id), member.assignment.clone());
        self.members.values().map(of).collect()
    }

    /// The present generation as `member` is told of it.
    pub(crate) fn joined(&self, member: &MemberId) -> Joined {
        let leads = self.leads(member);
        Joined {
            member_id: Arc::clone(member),
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone().unwrap_or_else(|| "".into()),
            skip_assignment: false,
            members: if leads { self.subscriptions() } else { Vec::new() },
        }
    }

    /// The members have changed: begins a rebalance, or ends one that waited for this.
    pub(crate) fn rebalance_or_complete(&mut self, context: &mut Context<'_>) {
        match self.state {
            GroupState::PreparingRebalance => self.complete_join_if_all_came(context),
            _ => self.prepare_rebalance(context),
        }
    }

    /// Asks every member to join again.
    pub(crate) fn prepare_rebalance(&mut self, context: &mut Context<'_>) {
        if self.state == GroupState::CompletingRebalance {
            self.refuse_syncs(GroupError::RebalanceInProgress, context);
        }
        self.unsynced.clear();
        self.sync_deadline_ms = None;
        let initial = self.state == GroupState::Empty;
        self.enter(GroupState::PreparingRebalance, context.wall_ms);
        metrics::counter!("tradewind_kafka_group_rebalances_total").increment(1);
        tracing::debug!(group = %self.id, generation = self.generation, "group rebalances");
        if initial {
            self.wait_for_company(context);
        } else {
            self.join_deadline_ms = Some(context.now_ms + self.rebalance_timeout_ms());
            self.complete_join_if_all_came(context);
        }
    }

    /// The first members are given time to come together.
    fn wait_for_company(&mut self, context: &Context<'_>) {
        let whole = millis(context.settings.initial_rebalance_delay);
        let delay_ms = if self.members_before > 1 { whole } else { whole / ALONE_SHARE };
        let remaining_ms = self.rebalance_timeout_ms().saturating_sub(delay_ms);
        self.initial = Some(Initial { delay_ms, remaining_ms, somebody_came: false });
        self.join_deadline_ms = Some(context.now_ms + delay_ms);
    }

    /// Called when the time to join is over.
    pub(crate) fn join_time_is_over(&mut self, context: &mut Context<'_>) {
        match &mut self.initial {
            Some(initial) if initial.somebody_came && initial.remaining_ms > 0 => {
                let next = initial.delay_ms.min(initial.remaining_ms);
                initial.remaining_ms = initial.remaining_ms.saturating_sub(initial.delay_ms);
                initial.somebody_came = false;
                self.join_deadline_ms = Some(context.now_ms + next);
            }
            _ => self.complete_join(context),
        }
    }

    /// Ends the joining if nobody is missing. A first rebalance always takes its time.
    pub(crate) fn complete_join_if_all_came(&mut self, context: &mut Context<'_>) {
        let all = self.members.values().all(|member| member.joining.is_some());
        if self.initial.is_none() && self.expected.is_empty() && all {
            self.complete_join(context);
        }
    }

    fn complete_join(&mut self, context: &mut Context<'_>) {
        self.initial = None;
        self.join_deadline_ms = None;
        self.remove_missing();
        if !self.members.is_empty() && !self.elect_leader() {
            // Only static members are left and none came: they have until their session ends.
            self.join_deadline_ms = Some(context.now_ms + self.rebalance_timeout_ms());
            return;
        }
        self.generation = self.generation.checked_add(1).unwrap_or(1);
        if self.members.is_empty() {
            self.become_empty(context);
        } else {
            self.begin_generation(context);
        }
    }

    fn become_empty(&mut self, context: &mut Context<'_>) {
        self.protocol = None;
        self.leader = None;
        self.enter(GroupState::Empty, context.wall_ms);
        self.topics = self.subscribed_topics();
        self.weigh_members();
        tracing::info!(group = %self.id, generation = self.generation, "group is empty");
        // A group that never was more than an attempt leaves nothing behind.
        if self.stored || !self.offsets.is_empty() {
            self.store(&BTreeMap::new(), Then::Nothing, context);
        }
    }

    fn begin_generation(&mut self, context: &mut Context<'_>) {
        self.protocol = self.select_protocol();
        self.enter(GroupState::CompletingRebalance, context.wall_ms);
        self.topics = self.subscribed_topics();
        self.members_before = self.members.len();
        tracing::info!(group = %self.id, generation = self.generation,
            members = self.members.len(), "group has a new generation");
        let ids: Vec<MemberId> = self.members.keys().cloned().collect();
        for id in ids {
            let answer = self.joined_if_waiting(&id);
            let member = self.members.get_mut(&id).expect("the ids were taken just now");
            if let Some(answer) = answer {
                member.answer_join(Ok(answer));
            }
            member.new = false;
            member.assignment = Bytes::new();
            member.deadline_ms = Some(context.now_ms + member.session_timeout_ms);
            self.unsynced.insert(id);
        }
        self.weigh_members();
        self.sync_deadline_ms = Some(context.now_ms + self.rebalance_timeout_ms());
    }

    fn joined_if_waiting(&self, id: &MemberId) -> Option<Joined> {
        self.members.get(id)?.joining.as_ref()?;
        Some(self.joined(id))
    }

    /// Drops members that did not join: dynamic ones that stayed away, and new ones whose
    /// connection is gone, of whom nothing else would be heard.
    fn remove_missing(&mut self) {
        let missing = |member: &Member| match &member.joining {
            None => member.instance.is_none(),
            Some(waiter) => member.new && waiter.is_closed(),
        };
        let gone: Vec<MemberId> =
            self.members.values().filter(|member| missing(member)).map(|m| m.id.clone()).collect();
        for id in gone {
            tracing::info!(group = %self.id, member = %id, "member did not join again");
            self.remove(&id);
        }
    }

    /// Keeps the leader if it joined, or takes the first that did; whether there is one.
    fn elect_leader(&mut self) -> bool {
        let came = |member: &Member| member.joining.is_some();
        let leader = self.leader.as_ref().and_then(|leader| self.members.get(leader));
        if leader.is_some_and(came) {
            return true;
        }
        let first = self.members.values().find(|member| came(member));
        match first.map(|member| Arc::clone(&member.id)) {
            Some(id) => {
                self.leader = Some(id);
                true
            }
            None => false,
        }
    }

    /// The protocol most members like best of those all know; `None` without members.
    fn select_protocol(&self) -> Option<Arc<str>> {
        let first = self.members.values().next()?;
        let all_know = |name: &str| self.members.values().all(|member| member.knows(name));
        let common: Vec<&Arc<str>> =
            first.protocols.iter().map(|known| &known.name).filter(|name| all_know(name)).collect();
        let mut votes = vec![0_usize; common.len()];
        for member in self.members.values() {
            let liked = member
                .protocols
                .iter()
                .find_map(|known| common.iter().position(|name| **name == known.name));
            if let Some(liked) = liked {
                votes[liked] += 1;
            }
        }
        let most = votes.iter().copied().max()?;
        votes.iter().position(|count| *count == most).map(|at| Arc::clone(common[at]))
    }

    /// Takes a member out, whatever it waits for.
    pub(crate) fn remove(&mut self, id: &str) {
        self.expected.remove(id);
        self.unsynced.remove(id);
        let Some(mut member) = self.members.remove(id) else { return };
        member.answer_join(Err((GroupError::UnknownMember, "".into())));
        member.answer_sync(Err(GroupError::UnknownMember));
        if let Some(instance) = &member.instance {
            self.static_members.remove(instance);
        }
        if self.leads(id) {
            self.leader = self.members.keys().next().cloned();
        }
        self.weigh_members();
    }

    /// Takes back the assignment of a generation that is over.
    pub(crate) fn refuse_syncs(&mut self, error: GroupError, context: &Context<'_>) {
        for member in self.members.values_mut() {
            member.assignment = Bytes::new();
            if member.answer_sync(Err(error)) {
                member.deadline_ms = Some(context.now_ms + member.session_timeout_ms);
            }
        }
    }

    /// What `member` is to do.
    pub(crate) fn synced(&self, member: &Member) -> Synced {
        Synced {
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            assignment: member.assignment.clone(),
        }
    }
}
