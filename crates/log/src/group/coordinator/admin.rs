//! What administrators do to groups: remove them, and move them to other offsets.
//!
//! Guarantees: only groups without members are touched; answered once it is durable.
//! Left out: looking at groups (view).

use super::commits::wait_all;
use super::{Commit, GroupCoordinator, check_id_or_empty};
use crate::group::error::GroupError;
use crate::group::machine::GroupState;
use crate::group::member::Identity;
use crate::group::offsets::Committed;
use std::sync::Arc;
use tradewind_types::{Log, Offset, PartitionId};

impl GroupCoordinator {
    /// Removes a group and its offsets.
    ///
    /// # Errors
    /// [`GroupError::NotFound`], [`GroupError::NotEmpty`] while it has members, and what keeps
    /// the log from storing it.
    pub async fn delete_group(&self, group: &str) -> Result<(), GroupError> {
        check_id_or_empty(group)?;
        self.lanes().await?;
        let group: Arc<str> = group.into();
        let waits = self.inner.change(|registry| {
            let known = registry.get(&group).ok_or(GroupError::NotFound)?;
            if known.state != GroupState::Empty {
                return Err(GroupError::NotEmpty);
            }
            Ok(self.inner.remove(&group, &known.offsets.places(), true))
        })?;
        wait_all(waits).await
    }

    /// Commits offsets for a group without members, as an administrator. The group is made if it
    /// is not there.
    ///
    /// # Errors
    /// [`GroupError::NotEmpty`] while it has members, [`GroupError::UnknownPartition`], and what
    /// keeps the log from storing it.
    pub async fn reset_offsets(
        &self,
        group: &str,
        offsets: &[(String, PartitionId, Offset)],
    ) -> Result<(), GroupError> {
        let exists = |(topic, partition, _): &(String, PartitionId, Offset)| {
            let partitions = self.inner.store.topic(topic).map_or(0, |topic| topic.partitions);
            (0..partitions).contains(partition)
        };
        if !offsets.iter().all(exists) {
            return Err(GroupError::UnknownPartition);
        }
        let committed = |offset| Committed {
            offset,
            leader_epoch: -1,
            metadata: "".into(),
            committed_at_ms: 0,
            expires_at_ms: None,
            record: 0,
        };
        let offsets = offsets.iter().map(|(topic, partition, offset)| {
            ((topic.as_str().into(), *partition), committed(*offset))
        });
        let commit = Commit {
            group: group.into(),
            who: Identity { member_id: "".into(), instance: None, generation: -1 },
            part_of: None,
            offsets: offsets.collect(),
            retention_ms: None,
        };
        match self.commit(commit).await {
            Ok(_) => Ok(()),
            Err(GroupError::UnknownMember) => Err(GroupError::NotEmpty),
            Err(error) => Err(error),
        }
    }
}
