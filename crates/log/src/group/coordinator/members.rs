//! Members' requests: join, sync, heartbeat, leave.
//!
//! Guarantees: a request that waits holds nothing but its channel; when its connection is gone,
//! the group goes on without it. Left out: what the answers mean (machine).

use super::{GroupCoordinator, check_id};
use crate::group::error::GroupError;
use crate::group::member::{Identity, Join, JoinAnswer, Sync, SyncAnswer};
use crate::group::settings::millis;
use std::sync::Arc;
use tokio::sync::oneshot;

impl GroupCoordinator {
    /// Serves a JoinGroup; may wait as long as a rebalance takes.
    pub(crate) async fn join(&self, group: &Arc<str>, mut join: Join) -> JoinAnswer {
        let refuse = |error, join: &Join| Err((error, Arc::clone(&join.member_id)));
        if let Err(error) = self.check_join(group, &mut join) {
            return refuse(error, &join);
        }
        // A generation is stored: without a topic none can begin.
        if let Err(error) = self.lanes().await {
            return refuse(error, &join);
        }
        let (waiter, answer) = oneshot::channel();
        if let Err(error) = self.begin_join(group, &join, waiter) {
            return refuse(error, &join);
        }
        drop(join);
        // Nobody answers a join that another of the same member has replaced.
        answer.await.unwrap_or_else(|_| Err((GroupError::NotAvailable, "".into())))
    }

    fn check_join(&self, group: &str, join: &mut Join) -> Result<(), GroupError> {
        check_id(group)?;
        let settings = &self.inner.settings;
        let allowed = millis(settings.session_timeout_min)..=millis(settings.session_timeout_max);
        if !allowed.contains(&join.session_timeout_ms) {
            return Err(GroupError::InvalidSessionTimeout);
        }
        let longest = millis(settings.rebalance_timeout_max);
        join.rebalance_timeout_ms = join.rebalance_timeout_ms.min(longest);
        Ok(())
    }

    fn begin_join(
        &self,
        group: &Arc<str>,
        join: &Join,
        waiter: oneshot::Sender<JoinAnswer>,
    ) -> Result<(), GroupError> {
        let inner = &self.inner;
        inner.change(|registry| {
            let now = inner.now();
            if !registry.has_room(join.member_bytes()) {
                return Err(GroupError::Full);
            }
            let ((), stores) = if join.member_id.is_empty() {
                registry.step_or_make(group, now, |it, context| it.join(join, waiter, context))?
            } else {
                registry
                    .step(group, now, |it, context| it.join(join, waiter, context))
                    .ok_or(GroupError::UnknownMember)?
            };
            inner.store_groups(registry, group, stores);
            Ok(())
        })
    }

    /// Serves a SyncGroup; may wait for the leader.
    pub(crate) async fn sync(&self, group: &Arc<str>, sync: Sync) -> SyncAnswer {
        check_id(group)?;
        self.lanes().await?;
        let (waiter, answer) = oneshot::channel();
        let inner = &self.inner;
        inner.change(|registry| {
            let now = inner.now();
            if !registry.has_room(sync.assignment_bytes()) {
                return Err(GroupError::Full);
            }
            let ((), stores) = registry
                .step(group, now, |it, context| it.sync(sync, waiter, context))
                .ok_or(GroupError::UnknownMember)?;
            inner.store_groups(registry, group, stores);
            Ok::<(), GroupError>(())
        })?;
        answer.await.unwrap_or(Err(GroupError::NotAvailable))
    }

    /// Serves a Heartbeat.
    pub(crate) async fn heartbeat(&self, group: &str, who: &Identity) -> Result<(), GroupError> {
        check_id(group)?;
        self.ready().await?;
        let inner = &self.inner;
        inner.change(|registry| {
            let now = inner.now();
            let stepped = registry.step(group, now, |it, context| it.heartbeat(who, context));
            stepped.ok_or(GroupError::UnknownMember)?.0
        })
    }

    /// Serves a LeaveGroup: one result for each who leaves. That a group became empty is stored
    /// soon after: should the power fail before, its members are there and never heard of.
    pub(crate) async fn leave(
        &self,
        group: &Arc<str>,
        leaving: &[Identity],
    ) -> Result<Vec<Result<(), GroupError>>, GroupError> {
        check_id(group)?;
        self.ready().await?;
        let inner = &self.inner;
        inner.change(|registry| {
            let now = inner.now();
            let stepped = registry.step(group, now, |it, context| it.leave(leaving, context));
            let Some((results, stores)) = stepped else {
                return Ok(vec![Err(GroupError::UnknownMember); leaving.len()]);
            };
            inner.store_groups(registry, group, stores);
            Ok(results)
        })
    }
}
