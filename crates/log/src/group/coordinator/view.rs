//! Groups as tables and commands show them.
//!
//! Guarantees: a view is of one moment; lag counts records that are durable.
//! Left out: how it is shown.

use super::GroupCoordinator;
use crate::group::error::GroupError;
use crate::group::machine::{CONSUMER, Group, GroupState};
use crate::group::offsets::{Committed, Place};
use crate::group::subscription;
use std::collections::{BTreeMap, BTreeSet};
use tradewind_types::{Log, Offset, PartitionId};

/// A group as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupView {
    /// Its id.
    pub group: String,
    /// How far it is in forming a generation.
    pub state: GroupState,
    /// `consumer`, `connect` …; empty for a group that only commits offsets.
    pub protocol_type: String,
    /// How its members share out partitions, once they have agreed.
    pub protocol: Option<String>,
    /// How many generations it has had.
    pub generation: i32,
    /// The member that assigns.
    pub leader: Option<String>,
    /// Its members, by id.
    pub members: Vec<MemberView>,
    /// The partitions it has committed offsets for, or that a member is assigned.
    pub offsets: Vec<OffsetView>,
}

/// A member as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberView {
    /// Its id.
    pub member_id: String,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<String>,
    /// What the client calls itself.
    pub client_id: String,
    /// Where it connects from.
    pub client_host: String,
    /// The partitions it reads, by topic; empty unless it is a consumer.
    pub partitions: Vec<(String, Vec<PartitionId>)>,
}

/// How far a group has read a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetView {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: PartitionId,
    /// The offset committed: the next record the group wants.
    pub committed: Option<Offset>,
    /// The end of the partition, when it is there.
    pub end: Option<Offset>,
    /// Records between the two.
    pub lag: Option<i64>,
    /// What the client said about the offset.
    pub metadata: String,
    /// When it was committed, milliseconds since the Unix epoch.
    pub committed_at_ms: Option<i64>,
    /// The member that reads the partition.
    pub member_id: Option<String>,
}

impl GroupCoordinator {
    /// Every group, by id.
    ///
    /// # Errors
    /// [`GroupError::Loading`] when the groups are still being read.
    pub async fn groups(&self) -> Result<Vec<GroupView>, GroupError> {
        self.ready().await?;
        let mut views: Vec<GroupView> = self.look(|registry| registry.iter().map(view).collect());
        views.sort_by(|a, b| a.group.cmp(&b.group));
        for offset in views.iter_mut().flat_map(|view| &mut view.offsets) {
            let marks = self.inner.store.watermarks(&offset.topic, offset.partition);
            offset.end = marks.ok().map(|marks| marks.high_watermark);
            offset.lag = lag(offset.committed, offset.end);
        }
        Ok(views)
    }
}

fn lag(committed: Option<Offset>, end: Option<Offset>) -> Option<i64> {
    // A topic made anew ends before what was committed for the one before.
    Some(end?.saturating_sub(committed?).max(0))
}

fn view(group: &Group) -> GroupView {
    let consumers = group.protocol_type.as_deref() == Some(CONSUMER);
    let assigned = consumers && group.state == GroupState::Stable;
    let members: Vec<MemberView> = (group.members.values())
        .map(|member| MemberView {
            member_id: member.id.to_string(),
            instance_id: member.instance.as_ref().map(ToString::to_string),
            client_id: member.client_id.to_string(),
            client_host: member.client_host.to_string(),
            partitions: match assigned {
                true => subscription::partitions(&member.assignment),
                false => Vec::new(),
            },
        })
        .collect();
    GroupView {
        group: group.id.to_string(),
        state: group.state,
        protocol_type: group.protocol_type.as_deref().unwrap_or_default().to_owned(),
        protocol: group.protocol.as_ref().map(ToString::to_string),
        generation: group.generation,
        leader: group.leader.as_ref().map(ToString::to_string),
        offsets: offsets(group, &members),
        members,
    }
}

/// Every partition that is committed or assigned.
fn offsets(group: &Group, members: &[MemberView]) -> Vec<OffsetView> {
    let mut owners: BTreeMap<(&str, PartitionId), &str> = BTreeMap::new();
    for member in members {
        for (topic, partitions) in &member.partitions {
            let places = partitions.iter().map(|partition| (topic.as_str(), *partition));
            owners.extend(places.map(|place| (place, member.member_id.as_str())));
        }
    }
    let committed: BTreeMap<(&str, PartitionId), &Committed> = (group.offsets.iter())
        .map(|((topic, partition), offset): (&Place, _)| ((&**topic, *partition), offset))
        .collect();
    let places: BTreeSet<_> = owners.keys().chain(committed.keys()).copied().collect();
    let of = |place: (&str, PartitionId)| {
        let offset = committed.get(&place);
        OffsetView {
            topic: place.0.to_owned(),
            partition: place.1,
            committed: offset.map(|offset| offset.offset),
            end: None,
            lag: None,
            metadata: offset.map(|offset| offset.metadata.to_string()).unwrap_or_default(),
            committed_at_ms: offset.map(|offset| offset.committed_at_ms),
            member_id: owners.get(&place).map(|owner| (*owner).to_owned()),
        }
    };
    places.into_iter().map(of).collect()
}
