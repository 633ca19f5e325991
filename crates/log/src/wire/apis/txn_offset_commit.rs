//! TxnOffsetCommit: how far a group has read, as part of a producer's transaction.
//!
//! Guarantees: answered after the fsync; the offsets count once the transaction is committed, and
//! an older producer of the same id is fenced as soon as a newer one has written here.
//! Left out: whether the transaction is open. The transaction's coordinator knows; it has the
//! group's partition among the transaction's before this is sent (AddOffsetsToTxn). Version 5,
//! which leaves that to this request, is not served.

use super::offset_commit::{Sorted, said};
use super::{Api, Pending};
use crate::group::{Commit, GroupError, Identity};
use crate::wire::WireError;
use crate::wire::broker::Broker;
use crate::wire::group_error::{group_error, own};
use crate::wire::guard::{Field, Kind, Shape};
use crate::wire::request::{Reply, Request};
use futures::FutureExt;
use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_protocol::messages::{TxnOffsetCommitRequest, TxnOffsetCommitResponse};
use std::sync::Arc;
use tradewind_types::PartitionId;

const PARTITION: Shape = Shape {
    fields: &[Field::new(Kind::Fixed(12)), Field::from(2, Kind::Fixed(4)), Field::new(Kind::Text)],
    tags: &[],
};
const TOPIC: Shape =
    Shape { fields: &[Field::new(Kind::Text), Field::new(Kind::Array(&PARTITION))], tags: &[] };

pub(crate) const API: Api = Api {
    name: "TxnOffsetCommit",
    key: 28,
    min: 0,
    max: 4,
    flexible_from: 3,
    request: &Shape {
        fields: &[
            Field::new(Kind::Text),
            Field::new(Kind::Text),
            Field::new(Kind::Fixed(10)),
            Field::from(3, Kind::Fixed(4)),
            Field::from(3, Kind::Text),
            Field::from(3, Kind::Text),
            Field::new(Kind::Array(&TOPIC)),
        ],
        tags: &[],
    },
    handle: |broker, request| handle(broker, request).boxed(),
    probe: Request::probe::<TxnOffsetCommitRequest>,
};

async fn handle(broker: Arc<Broker>, request: Request) -> Result<Pending, WireError> {
    let asked: TxnOffsetCommitRequest = request.decode()?;
    Ok(async move { serve(&broker, &request, asked).await.map(Some) }.boxed())
}

async fn serve(
    broker: &Broker,
    request: &Request,
    asked: TxnOffsetCommitRequest,
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
            generation: asked.generation_id,
        },
        producer: Some((asked.producer_id.0, asked.producer_epoch)),
        offsets,
        retention_ms: None,
    };
    let committed = match &*commit.group {
        "" => Err(GroupError::InvalidGroupId),
        _ => broker.groups.commit(commit).await,
    };
    let committed = committed.map_err(|error| match error {
        GroupError::NotFound => group_error(GroupError::IllegalGeneration).code(),
        error => group_error(error).code(),
    });
    let mut codes = Sorted::codes(exists, committed);
    let topics = asked.topics.into_iter().map(|topic| {
        let code = |index: PartitionId| {
            TxnOffsetCommitResponsePartition::default()
                .with_partition_index(index)
                .with_error_code(codes.next().unwrap_or(0))
        };
        let partitions = topic.partitions.iter().map(|it| it.partition_index).map(code).collect();
        TxnOffsetCommitResponseTopic::default().with_name(topic.name).with_partitions(partitions)
    });
    let topics = topics.collect();
    request.reply(&TxnOffsetCommitResponse::default().with_topics(topics))
}
