//! OffsetCommit: a group says how far it has read.
//!
//! Guarantees: answered after the fsync, which commits that come together share; each partition
//! has its own result. From version 10 on topics are named by id.
//! Left out: who may commit when, which is the group's.

use super::offsets_by_id::{self, BY_ID_FROM};
use super::{Api, Pending};
use crate::group::{Commit, Committed, GroupError, Identity, Place};
use crate::wire::WireError;
use crate::wire::broker::Broker;
use crate::wire::group_error::{code, group_error, own};
use crate::wire::guard::{Field, Kind, Shape};
use crate::wire::request::{Reply, Request};
use crate::wire::topics;
use futures::FutureExt;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::{OffsetCommitRequest, OffsetCommitResponse};
use std::sync::Arc;
use tradewind_types::PartitionId;
use uuid::Uuid;

const PARTITION: Shape = Shape {
    fields: &[Field::new(Kind::Fixed(12)), Field::from(6, Kind::Fixed(4)), Field::new(Kind::Text)],
    tags: &[],
};
const TOPIC: Shape = Shape {
    fields: &[
        Field::between(0, 9, Kind::Text),
        Field::from(10, Kind::Fixed(16)),
        Field::new(Kind::Array(&PARTITION)),
    ],
    tags: &[],
};

pub(crate) const API: Api = Api {
    name: "OffsetCommit",
    key: 8,
    min: 2,
    max: 10,
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
    probe: |request| decode(request).map(drop),
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
    /// For each partition of the request, in its order, what is wrong with its name.
    unknown: Vec<Option<ResponseError>>,
}

impl Sorted {
    /// Adds a partition of `topic`, which was looked up.
    pub(super) fn add(
        &mut self,
        topic: &Result<Named, ResponseError>,
        partition: PartitionId,
        offset: Committed,
    ) {
        let place = match topic {
            Err(unknown) => Err(*unknown),
            Ok((name, partitions)) if (0..*partitions).contains(&partition) => {
                Ok((Arc::clone(name), partition))
            }
            Ok(_) => Err(ResponseError::UnknownTopicOrPartition),
        };
        self.unknown.push(place.as_ref().err().copied());
        self.offsets.extend(place.ok().map(|place| (place, offset)));
    }

    /// The partitions' error codes, in the order of the request.
    pub(super) fn codes(
        unknown: Vec<Option<ResponseError>>,
        committed: Result<Vec<Result<(), GroupError>>, i16>,
    ) -> impl Iterator<Item = i16> {
        let (mut results, all) = match committed {
            Ok(results) => (results.into_iter(), 0),
            Err(error) => (Vec::new().into_iter(), error),
        };
        unknown.into_iter().map(move |unknown| match unknown {
            None => results.next().map_or(all, |result| code(&result)),
            Some(error) => error.code(),
        })
    }

    pub(super) fn take(&mut self) -> (Vec<(Place, Committed)>, Vec<Option<ResponseError>>) {
        (std::mem::take(&mut self.offsets), std::mem::take(&mut self.unknown))
    }
}

/// A topic's name and how many partitions it has.
pub(super) type Named = (Arc<str>, PartitionId);

/// The topic that a request names.
pub(super) fn named(
    broker: &Broker,
    by_id: bool,
    name: &str,
    id: Uuid,
) -> Result<Named, ResponseError> {
    let topic = topics::resolve(&broker.store, by_id, name, id)?;
    Ok((topic.name.into(), topic.partitions))
}

fn decode(request: &Request) -> Result<OffsetCommitRequest, WireError> {
    if request.version >= BY_ID_FROM { offsets_by_id::commit(request) } else { request.decode() }
}

async fn handle(broker: Arc<Broker>, request: Request) -> Result<Pending, WireError> {
    let asked = decode(&request)?;
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
        let by_id = request.version >= BY_ID_FROM;
        let known = named(broker, by_id, &topic.name, topic.topic_id);
        for partition in &topic.partitions {
            let metadata = partition.committed_metadata.as_ref().map(own);
            let epoch = partition.committed_leader_epoch;
            let offset = said(partition.committed_offset, epoch, metadata);
            sorted.add(&known, partition.partition_index, offset);
        }
    }
    let (offsets, unknown) = sorted.take();
    let commit = Commit {
        group: own(&asked.group_id.0),
        who: Identity {
            member_id: own(&asked.member_id),
            instance: asked.group_instance_id.as_ref().map(own),
            generation: asked.generation_id_or_member_epoch,
        },
        part_of: None,
        offsets,
        retention_ms: Some(asked.retention_time_ms).filter(|kept| *kept >= 0),
    };
    let committed = match commit.offsets.is_empty() && !unknown.is_empty() {
        true => Ok(Vec::new()),
        false => broker.groups.commit(commit).await,
    };
    let committed = committed.map_err(|error| refused(error, request.version));
    let mut codes = Sorted::codes(unknown, committed);
    let topics = asked.topics.into_iter().map(|topic| {
        let code = |index: PartitionId| {
            OffsetCommitResponsePartition::default()
                .with_partition_index(index)
                .with_error_code(codes.next().unwrap_or(0))
        };
        let partitions = topic.partitions.iter().map(|it| it.partition_index).map(code).collect();
        OffsetCommitResponseTopic::default()
            .with_name(topic.name)
            .with_topic_id(topic.topic_id)
            .with_partitions(partitions)
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
