//! What a member does between joins: fetch its work, say it lives, leave; and what time does.
//!
//! Guarantees: a member that is not heard of within its session timeout is out, except while it
//! waits for us; a generation whose leader never assigns ends after the rebalance timeout.
//! Left out: joining.

use super::error::GroupError;
use super::machine::{Context, Group, GroupState, Store, Then};
use super::member::{Identity, MemberId, Sync, SyncAnswer};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::oneshot;

impl Group {
    /// Serves a SyncGroup: `waiter` is answered now or when the leader's assignment is stored.
    pub(crate) fn sync(
        &mut self,
        sync: Sync,
        waiter: oneshot::Sender<SyncAnswer>,
        context: &mut Context<'_>,
    ) {
        if let Err(error) = self.check_sync(&sync, context) {
            let _ = waiter.send(Err(error));
            return;
        }
        let id = Arc::clone(&sync.who.member_id);
        self.unsynced.remove(&id);
        if self.unsynced.is_empty() {
            self.sync_deadline_ms = None;
        }
        let stable = self.state == GroupState::Stable;
        let member = self.members.get_mut(&id).expect("it was checked just now");
        if stable {
            let member = &self.members[&id];
            let _ = waiter.send(Ok(self.synced(member)));
            return;
        }
        member.syncing = Some(waiter);
        if self.leads(&id) {
            self.take_assignments(sync.assignments, context);
        }
    }

    fn check_sync(&self, sync: &Sync, context: &Context<'_>) -> Result<(), GroupError> {
        if self.state == GroupState::Empty {
            return Err(GroupError::UnknownMember);
        }
        self.check_generation(&sync.who)?;
        let differs =
            |asked: &Option<Arc<str>>, is: &Option<Arc<str>>| asked.is_some() && asked != is;
        if differs(&sync.protocol_type, &self.protocol_type)
            || differs(&sync.protocol, &self.protocol)
        {
            return Err(GroupError::InconsistentProtocol);
        }
        if self.state == GroupState::PreparingRebalance {
            return Err(GroupError::RebalanceInProgress);
        }
        match self.member_bytes() + sync.assignment_bytes() > context.settings.group_bytes_max {
            true => Err(GroupError::Full),
            false => Ok(()),
        }
    }

    /// The leader has shared out the work: nobody is told before it is stored.
    fn take_assignments(&mut self, said: Vec<(MemberId, Bytes)>, context: &mut Context<'_>) {
        let mut assignments: BTreeMap<MemberId, Bytes> = said.into_iter().collect();
        assignments.retain(|id, _| self.members.contains_key(id));
        let then = Then::Assign { generation: self.generation, assignments: assignments.clone() };
        self.store(&assignments, then, context);
        // The record tells of a generation everybody agreed on: on a restart it is stable.
        if let Some(Store { record, .. }) = context.to_store.last_mut() {
            record.state_at_ms = context.wall_ms;
        }
    }

    /// Goes on once a record is stored, or was not.
    pub(crate) fn after_store(
        &mut self,
        then: Then,
        result: Result<(), GroupError>,
        context: &mut Context<'_>,
    ) {
        match then {
            Then::Nothing => {}
            Then::Assign { generation, assignments } => {
                // Somebody may have joined or left while it was being stored.
                let still =
                    self.state == GroupState::CompletingRebalance && self.generation == generation;
                match result {
                    _ if !still => {}
                    Ok(()) => self.assign(assignments, context),
                    Err(error) => {
                        self.refuse_syncs(error, context);
                        self.rebalance_or_complete(context);
                    }
                }
            }
            Then::AnswerStatic { member, answer } => {
                // In a rebalance that began meanwhile it waits like everybody else.
                let still =
                    self.state == GroupState::Stable && self.generation == answer.generation;
                if let Some(found) = self.members.get_mut(&member).filter(|_| still) {
                    found.deadline_ms = Some(context.now_ms + found.session_timeout_ms);
                    found.new = false;
                    found.answer_join(match result {
                        Ok(()) => Ok(answer),
                        Err(error) => Err((error, "".into())),
                    });
                }
            }
        }
    }

    fn assign(&mut self, mut assignments: BTreeMap<MemberId, Bytes>, context: &Context<'_>) {
        for member in self.members.values_mut() {
            member.assignment = assignments.remove(&member.id).unwrap_or_default();
        }
        self.enter(GroupState::Stable, context.wall_ms);
        let ids: Vec<MemberId> = self.members.keys().cloned().collect();
        for id in ids {
            let answer = self.synced(&self.members[&id]);
            let member = self.members.get_mut(&id).expect("the ids were taken just now");
            if member.answer_sync(Ok(answer)) {
                member.deadline_ms = Some(context.now_ms + member.session_timeout_ms);
            }
        }
        self.weigh_members();
    }

    /// Serves a Heartbeat.
    pub(crate) fn heartbeat(
        &mut self,
        who: &Identity,
        context: &Context<'_>,
    ) -> Result<(), GroupError> {
        self.check_generation(who)?;
        self.heard_of(&who.member_id, context);
        match self.state {
            GroupState::Empty => Err(GroupError::UnknownMember),
            GroupState::PreparingRebalance => Err(GroupError::RebalanceInProgress),
            GroupState::CompletingRebalance | GroupState::Stable => Ok(()),
        }
    }

    /// The member lives.
    pub(crate) fn heard_of(&mut self, member: &str, context: &Context<'_>) {
        if let Some(member) = self.members.get_mut(member) {
            member.deadline_ms = Some(context.now_ms + member.session_timeout_ms);
        }
    }

    /// Serves a LeaveGroup: one result for each of those that leave.
    pub(crate) fn leave(
        &mut self,
        leaving: &[Identity],
        context: &mut Context<'_>,
    ) -> Vec<Result<(), GroupError>> {
        let results: Vec<_> = leaving.iter().map(|who| self.take_leave(who)).collect();
        if results.iter().any(Result::is_ok) {
            match self.state {
                GroupState::Stable | GroupState::CompletingRebalance => {
                    self.rebalance_or_complete(context);
                }
                GroupState::PreparingRebalance => self.complete_join_if_all_came(context),
                GroupState::Empty => {}
            }
        }
        results
    }

    fn take_leave(&mut self, who: &Identity) -> Result<(), GroupError> {
        // Administrators name static members by their instance alone.
        if who.member_id.is_empty() {
            let known = who.instance.as_ref().and_then(|it| self.static_members.get(it)).cloned();
            let known = known.ok_or(GroupError::UnknownMember)?;
            self.remove(&known);
        } else if self.expected.contains_key(&who.member_id) {
            self.expected.remove(&who.member_id);
        } else {
            self.check_member(who)?;
            self.remove(&who.member_id);
        }
        tracing::info!(group = %self.id, member = %who.member_id, "member left");
        Ok(())
    }

    /// Does what is due at `context.now_ms`.
    pub(crate) fn tick(&mut self, context: &mut Context<'_>) {
        self.expire_expected(context);
        self.expire_members(context);
        let due = |deadline: Option<u64>| deadline.is_some_and(|at| at <= context.now_ms);
        let (joins_over, syncs_over) = (due(self.join_deadline_ms), due(self.sync_deadline_ms));
        if syncs_over {
            self.sync_deadline_ms = None;
            self.expire_syncs(context);
        }
        if joins_over {
            // What is due is never left standing: the timer would fire for ever.
            self.join_deadline_ms = None;
            if self.state == GroupState::PreparingRebalance {
                self.join_time_is_over(context);
            }
        }
    }

    fn expire_expected(&mut self, context: &mut Context<'_>) {
        let before = self.expected.len();
        self.expected.retain(|_, deadline| *deadline > context.now_ms);
        if self.expected.len() < before && self.state == GroupState::PreparingRebalance {
            self.complete_join_if_all_came(context);
        }
    }

    fn expire_members(&mut self, context: &mut Context<'_>) {
        let mut gone = Vec::new();
        for member in self.members.values_mut() {
            if member.deadline_ms.is_none_or(|deadline| deadline > context.now_ms) {
                continue;
            }
            // Who waits for us need not be heard of; a new member is given up all the same.
            let waits = member.joining.is_some() || member.syncing.is_some();
            if waits && !member.new {
                member.deadline_ms = None;
            } else {
                gone.push(Arc::clone(&member.id));
            }
        }
        for id in &gone {
            tracing::info!(group = %self.id, member = %id, "member was not heard of in time");
            self.remove(id);
        }
        if !gone.is_empty() {
            match self.state {
                GroupState::Stable | GroupState::CompletingRebalance => {
                    self.prepare_rebalance(context);
                }
                GroupState::PreparingRebalance => self.complete_join_if_all_came(context),
                GroupState::Empty => {}
            }
        }
    }

    /// Members that joined a generation and never asked for their assignment are out.
    fn expire_syncs(&mut self, context: &mut Context<'_>) {
        if !matches!(self.state, GroupState::CompletingRebalance | GroupState::Stable) {
            return;
        }
        let silent = std::mem::take(&mut self.unsynced);
        for id in &silent {
            tracing::info!(group = %self.id, member = %id, "member never asked for its assignment");
            self.remove(id);
        }
        if !silent.is_empty() {
            self.prepare_rebalance(context);
        }
    }
}
