//! DeleteRecords: moves a partition's log start.
//!
//! Guarantees: answered once it is durable. Topics that the server or a table needs keep their
//! records, and so do those that are compacted only, as in Kafka.
//! Left out: removing records from the middle.

use super::{Api, Pending, answered};
use crate::wire::WireError;
use crate::wire::broker::Broker;
use crate::wire::error_code::{number, of_log_error};
use crate::wire::guard::{Field, Kind, Shape};
use crate::wire::request::Request;
use futures::FutureExt;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::delete_records_request::DeleteRecordsPartition;
use kafka_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use kafka_protocol::messages::{DeleteRecordsRequest, DeleteRecordsResponse};
use std::sync::Arc;
use tradewind_types::{LogError, Offset};

const PARTITION: Shape = Shape { fields: &[Field::new(Kind::Fixed(12))], tags: &[] };
const TOPIC: Shape =
    Shape { fields: &[Field::new(Kind::Text), Field::new(Kind::Array(&PARTITION))], tags: &[] };

pub(crate) const API: Api = Api {
    name: "DeleteRecords",
    key: 21,
    min: 0,
    max: 2,
    flexible_from: 2,
    request: &Shape {
        fields: &[Field::new(Kind::Array(&TOPIC)), Field::new(Kind::Fixed(4))],
        tags: &[],
    },
    handle: |broker, request| handle(broker, request).boxed(),
    probe: Request::probe::<DeleteRecordsRequest>,
};

/// Stands for the high watermark.
const ALL: Offset = -1;

async fn handle(broker: Arc<Broker>, request: Request) -> Result<Pending, WireError> {
    let asked: DeleteRecordsRequest = request.decode()?;
    let mut topics = Vec::with_capacity(asked.topics.len());
    for topic in &asked.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for partition in &topic.partitions {
            let result = DeleteRecordsPartitionResult::default()
                .with_partition_index(partition.partition_index);
            partitions.push(match delete(&broker, &topic.name, partition).await {
                Ok(log_start) => result.with_low_watermark(log_start),
                Err(error) => result.with_low_watermark(-1).with_error_code(number(error)),
            });
        }
        let result = DeleteRecordsTopicResult::default().with_name(topic.name.clone());
        topics.push(result.with_partitions(partitions));
    }
    Ok(answered(request.reply(&DeleteRecordsResponse::default().with_topics(topics))?))
}

async fn delete(
    broker: &Broker,
    topic: &str,
    asked: &DeleteRecordsPartition,
) -> Result<Offset, ResponseError> {
    let store = &broker.store;
    let settings = store.topic_settings(topic).ok_or(ResponseError::UnknownTopicOrPartition)?;
    if let Some(reason) = broker.limits.kept_topics.why(topic) {
        tracing::info!(topic, reason, "a client's request to delete records was refused");
        return Err(ResponseError::PolicyViolation);
    }
    if !settings.cleanup.delete {
        return Err(ResponseError::PolicyViolation);
    }
    let before = (asked.offset != ALL).then_some(asked.offset);
    match store.delete_records(topic, asked.partition_index, before).await {
        Err(LogError::Invalid(reason)) => {
            tracing::info!(topic, reason, "a client's request to delete records was refused");
            Err(ResponseError::PolicyViolation)
        }
        other => other.map_err(|error| of_log_error(&error)),
    }
}
