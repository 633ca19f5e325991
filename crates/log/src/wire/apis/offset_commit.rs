//! OffsetCommit: a group says how far it has read.
//!
//! Guarantees: answered after the fsync, which commits that come together share; each partition
//! has its own result. Left out: who may commit when, which is the group's.

use super::{Api, Pending};
use crate::group::{Commit, Committed, GroupError, Identity, Place};
use crate::wire::WireError;
use crate::wire::broker::Broker;
use crate::wire::group_error::{code, group_error, own};
use crate::wire::guard::{Field, Kind, Shape};
use crate::wire::request::{Reply, Request};
use futures::FutureExt;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::{OffsetCommitRequest, OffsetCommitResponse};
use std::sync::Arc;
use tradewind_types::{Log, PartitionId};

const PARTITION: Shape = Shape {
    fields: &[Field::new(Kind::Fixed(12)), Field::from(6, Kind::Fixed(4)), Field::new(Kind::Text)],
    tags: &[],
};
const TOPIC: Shape =
    Shape { fields: &[Field::new(Kind::Text), Field::new(Kind::Array(&PARTITION))], tags: &[] };

pub(crate) const API: Api = Api {
    name: "OffsetCommit",
    key: 8,
    min: 2,
    max: 9,
    flexible_from: 8,
    request: &Shape {
        fields: &[
            Field::new(Kind::Text),
            Field::new(Kind::Fixed(4)),
            Field::new(Kind::Text),
            Field::from(7, Kind::Text),
            Field::between(2, 4, Kind::Fixed(8)),
            Field::new(Kind::Array(&TOPIC)),
        ],
        tags: &[],
    },
    handle: |broker, request| handle(broker, request).boxed(),
    probe: Request::probe::<OffsetCommitRequest>,
};

/// The first version that is told that a group does not exist.
const KNOWS_NOT_FOUND_FROM: i16 = 9;

/// An offset as the client says it.
pub(super) fn said(offset: i64, leader_epoch: i32, metadata: Option<Arc<str>>) -> Committed {
    Committed {
        offset,
        leader_epoch,
        metadata: metadata.unwrap_or_else(|| "".into()),
        committed_at_ms: 0,
        expires_at_ms: None,
        record: 0,
    }
}

/// Offsets to commit, sorted into those whose partition exists and the others, and put together
/// again with their results.
#[derive(Debug, Default)]
pub(super) struct Sorted {
    pub(super) offsets: Vec<(Place, Committed)>,
    /// For each partition of the request, in its order, whether it exists.
    exists: Vec<bool>,
}

impl Sorted {
    pub(super) fn add(&mut self, broker: &Broker, place: Place, offset: Committed) {
        let partitions = broker.store.topic(&place.0).map_or(0, |topic| topic.partitions);
        let exists = (0..partitions).contains(&place.1);
        self.exists.push(exists);
        if exists {
            self.offsets.push((place, offset));
        }
    }

    /// The partitions' error codes, in the order of the request.
    pub(super) fn codes(
        exists: Vec<bool>,
        committed: Result<Vec<Result<(), GroupError>>, i16>,
    ) -> impl Iterator<Item = i16> {
        let (mut results, all) = match committed {
            Ok(results) => (results.into_iter(), 0),
            Err(error) => (Vec::new().into_iter(), error),
        };
        exists.into_iter().map(move |exists| match exists {
            true => results.next().map_or(all, |result| code(&result)),
            false => ResponseError::UnknownTopicOrPartition.code(),
        })
    }

    pub(super) fn take(&mut self) -> (Vec<(Place, Committed)>, Vec<bool>) {
        (std::mem::take(&mut self.offsets), std::mem::take(&mut self.exists))
    }
}

async fn handle(broker: Arc<Broker>, request: Request) -> Result<Pending, WireError> {
    let asked: OffsetCommitRequest = request.decode()?;
    // The fsync is waited for while nothing else of this connection is served: a client commits
    // and then looks.
    Ok(async move { serve(&broker, &request, asked).await.map(Some) }.boxed())
}

async fn serve(
    broker: &Broker,
    request: &Request,
    asked: OffsetCommitRequest,
) -> Result<Reply, WireError> {
    let mut sorted = Sorted::default();
    for topic in &asked.topics {
        let name = own(&topic.name.0);
        for partition in &topic.partitions {
            let metadata = partition.committed_metadata.as_ref().map(own);
            let epoch = partition.committed_leader_epoch;
            let offset = said(partition.committed_offset, epoch, metadata);
            sorted.add(broker, (Arc::clone(&name), partition.partition_index), offset);
        }
    }
    let (offsets, exists) = sorted.take();
    let commit = Commit {
        group: own(&asked.group_id.0),
        who: Identity {
            member_id: own(&asked.member_id),
            instance: asked.group_instance_id.as_ref().map(own),
            generation: asked.generation_id_or_member_epoch,
        },
        producer: None,
        offsets,
        retention_ms: Some(asked.retention_time_ms).filter(|kept| *kept >= 0),
    };
    let committed = match commit.offsets.is_empty() && !exists.is_empty() {
        true => Ok(Vec::new()),
        false => broker.groups.commit(commit).await,
    };
    let committed = committed.map_err(|error| refused(error, request.version));
    let mut codes = Sorted::codes(exists, committed);
    let topics = asked.topics.into_iter().map(|topic| {
        let code = |index: PartitionId| {
            OffsetCommitResponsePartition::default()
                .with_partition_index(index)
                .with_error_code(codes.next().unwrap_or(0))
        };
        let partitions = topic.partitions.iter().map(|it| it.partition_index).map(code).collect();
        OffsetCommitResponseTopic::default().with_name(topic.name).with_partitions(partitions)
    });
    let topics = topics.collect();
    request.reply(&OffsetCommitResponse::default().with_topics(topics))
}

fn refused(error: GroupError, version: i16) -> i16 {
    match error {
        GroupError::NotFound if version < KNOWS_NOT_FOUND_FROM => {
            group_error(GroupError::IllegalGeneration).code()
        }
        error => group_error(error).code(),
    }
}
