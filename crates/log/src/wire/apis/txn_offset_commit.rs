//! TxnOffsetCommit: how far a group has read, as part of a producer's transaction.
//!
//! Guarantees: answered after the fsync; the offsets count once the transaction is committed, and
//! an older producer of the same id is fenced as soon as a newer one has written here. Nothing is
//! written but as part of a transaction that its coordinator says spans the group's partition;
//! from version 5 on this request makes it so, and AddOffsetsToTxn is left out.

use super::offset_commit::{Sorted, named, said};
use super::{Api, Pending};
use crate::group::{Commit, GroupError, Identity, PartOf};
use crate::transactions::{OFFSETS_TOPIC, TransactionError};
use crate::wire::WireError;
use crate::wire::broker::Broker;
use crate::wire::error_code::{number, of_log_error, of_transaction_error};
use crate::wire::group_error::{group_error, own};
use crate::wire::guard::{Field, Kind, Shape};
use crate::wire::in_transaction::{InTransaction, Unverified, VERIFIED_AGAIN_MAX};
use crate::wire::request::{Reply, Request};
use futures::FutureExt;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_protocol::messages::{TxnOffsetCommitRequest, TxnOffsetCommitResponse};
use std::sync::Arc;
use tradewind_types::PartitionId;
use uuid::Uuid;

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
    max: 5,
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

/// The first version that tells what only an abort helps from other wrong states.
const ABORTABLE_FROM: i16 = 4;
/// The first version that makes the group's partition part of the transaction.
const ADDS_PARTITIONS_FROM: i16 = 5;

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
        let known = named(broker, false, &topic.name, Uuid::nil());
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
            generation: asked.generation_id,
        },
        part_of: None,
        offsets,
        retention_ms: None,
    };
    let client = (asked.producer_id.0, asked.producer_epoch);
    let adds = request.version >= ADDS_PARTITIONS_FROM;
    let by = InTransaction { id: &asked.transactional_id, client, adds };
    let committed = match commit.offsets.is_empty() {
        true => Ok(Vec::new()),
        false => commit_in(by, broker, commit, request.version).await,
    };
    let mut codes = Sorted::codes(unknown, committed.map_err(number));
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

async fn commit_in(
    by: InTransaction<'_>,
    broker: &Broker,
    commit: Commit,
    version: i16,
) -> Result<Vec<Result<(), GroupError>>, ResponseError> {
    if commit.group.is_empty() {
        return Err(ResponseError::InvalidGroupId);
    }
    let groups = &broker.groups;
    let partition = groups.offsets_partition_of(&commit.group).await.map_err(group_error)?;
    let mut again = 0;
    loop {
        let verified = by.verify(broker, OFFSETS_TOPIC, partition).await;
        let verified = verified.map_err(|error| unverified(&error, version))?;
        let part_of = Some(PartOf { producer: by.client, verified });
        match groups.commit(Commit { part_of, ..commit.clone() }).await {
            Err(GroupError::NoTransaction) if again < VERIFIED_AGAIN_MAX => again += 1,
            Err(GroupError::NotFound) => return Err(ResponseError::IllegalGeneration),
            other => return other.map_err(group_error),
        }
    }
}

fn unverified(error: &Unverified, version: i16) -> ResponseError {
    match error {
        Unverified::Log(error) => of_log_error(error),
        Unverified::Transaction(TransactionError::WrongState) if version >= ABORTABLE_FROM => {
            ResponseError::TransactionAbortable
        }
        // Of being fenced clients expect to hear as they do from Produce.
        Unverified::Transaction(error) => of_transaction_error(error, false),
    }
}
