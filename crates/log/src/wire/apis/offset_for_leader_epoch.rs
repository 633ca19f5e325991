//! OffsetForLeaderEpoch: where an epoch of leadership ended, for consumers that check their
//! position after a change of leaders.
//!
//! Guarantees: the one epoch there is ends at the high watermark, which never goes back; of any
//! other nothing is known.
//! Left out: replicas; there are none that could ask.

use super::{Api, Pending, answered};
use crate::LogStore;
use crate::wire::WireError;
use crate::wire::broker::{Broker, LEADER_EPOCH};
use crate::wire::error_code::{number, of_log_error};
use crate::wire::guard::{Field, Kind, Shape};
use crate::wire::request::Request;
use crate::wire::topics;
use futures::FutureExt;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_for_leader_epoch_request::OffsetForLeaderPartition;
use kafka_protocol::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderTopicResult,
};
use kafka_protocol::messages::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};
use std::sync::Arc;
use tradewind_types::{Log, Offset};

const PARTITION: Shape = Shape { fields: &[Field::new(Kind::Fixed(12))], tags: &[] };
const TOPIC: Shape =
    Shape { fields: &[Field::new(Kind::Text), Field::new(Kind::Array(&PARTITION))], tags: &[] };

pub(crate) const API: Api = Api {
    name: "OffsetForLeaderEpoch",
    key: 23,
    min: 2,
    max: 4,
    flexible_from: 4,
    request: &Shape {
        fields: &[Field::from(3, Kind::Fixed(4)), Field::new(Kind::Array(&TOPIC))],
        tags: &[],
    },
    handle: |broker, request| handle(broker, request).boxed(),
    probe: Request::probe::<OffsetForLeaderEpochRequest>,
};

/// What is said of an epoch that was never.
const UNDEFINED: (i32, Offset) = (-1, -1);

async fn handle(broker: Arc<Broker>, request: Request) -> Result<Pending, WireError> {
    let asked: OffsetForLeaderEpochRequest = request.decode()?;
    let answer = asked.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            let answer = EpochEndOffset::default().with_partition(partition.partition);
            match end(&broker.store, &topic.topic, partition) {
                Ok((epoch, offset)) => answer.with_leader_epoch(epoch).with_end_offset(offset),
                Err(error) => answer
                    .with_error_code(number(error))
                    .with_leader_epoch(UNDEFINED.0)
                    .with_end_offset(UNDEFINED.1),
            }
        });
        let partitions = partitions.collect();
        OffsetForLeaderTopicResult::default().with_topic(topic.topic).with_partitions(partitions)
    });
    let response = OffsetForLeaderEpochResponse::default().with_topics(answer.collect());
    Ok(answered(request.reply(&response)?))
}

fn end(
    store: &LogStore,
    topic: &str,
    asked: &OffsetForLeaderPartition,
) -> Result<(i32, Offset), ResponseError> {
    let marks = store.watermarks(topic, asked.partition).map_err(|e| of_log_error(&e))?;
    topics::check_leader_epoch(asked.current_leader_epoch)?;
    Ok(match asked.leader_epoch {
        LEADER_EPOCH => (LEADER_EPOCH, marks.high_watermark),
        _ => UNDEFINED,
    })
}
