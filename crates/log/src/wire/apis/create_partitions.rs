//! CreatePartitions: more partitions for topics that are there.
//!
//! Guarantees: answered once they are durable; each topic has its own result. Topics that the
//! server or a table needs keep the partitions they have: what reads them counts on their number.
//! Left out: replicas; assignments only count partitions.

use super::{Api, Pending, answered};
use crate::wire::WireError;
use crate::wire::broker::{Broker, NODE_ID};
use crate::wire::error_code::{number, of_log_error};
use crate::wire::guard::{Field, Kind, Shape};
use crate::wire::request::Request;
use futures::FutureExt;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::{CreatePartitionsRequest, CreatePartitionsResponse};
use kafka_protocol::protocol::StrBytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use tradewind_types::{Log, LogError};

const ASSIGNMENT: Shape = Shape { fields: &[Field::new(Kind::Each(&Kind::Fixed(4)))], tags: &[] };
const TOPIC: Shape = Shape {
    fields: &[
        Field::new(Kind::Text),
        Field::new(Kind::Fixed(4)),
        Field::new(Kind::Array(&ASSIGNMENT)),
    ],
    tags: &[],
};

pub(crate) const API: Api = Api {
    name: "CreatePartitions",
    key: 37,
    min: 0,
    max: 3,
    flexible_from: 2,
    request: &Shape {
        fields: &[Field::new(Kind::Array(&TOPIC)), Field::new(Kind::Fixed(5))],
        tags: &[],
    },
    handle: |broker, request| handle(broker, request).boxed(),
    probe: Request::probe::<CreatePartitionsRequest>,
};

/// Why a topic gets no partitions.
type Refusal = (ResponseError, String);

async fn handle(broker: Arc<Broker>, request: Request) -> Result<Pending, WireError> {
    let asked: CreatePartitionsRequest = request.decode()?;
    let mut named = BTreeMap::<StrBytes, u32>::new();
    for topic in &asked.topics {
        *named.entry(topic.name.0.clone()).or_default() += 1;
    }
    let mut results = Vec::with_capacity(asked.topics.len());
    for topic in &asked.topics {
        let added = match named[&topic.name.0] {
            1 => add(&broker, topic, asked.validate_only).await,
            _ => Err((ResponseError::InvalidRequest, "the request names this topic twice".into())),
        };
        let result = CreatePartitionsTopicResult::default().with_name(topic.name.clone());
        results.push(match added {
            Ok(()) => result.with_error_message(None),
            Err((error, reason)) => result
                .with_error_code(number(error))
                .with_error_message(Some(StrBytes::from_string(reason))),
        });
    }
    Ok(answered(request.reply(&CreatePartitionsResponse::default().with_results(results))?))
}

async fn add(
    broker: &Broker,
    topic: &CreatePartitionsTopic,
    check_only: bool,
) -> Result<(), Refusal> {
    let name = topic.name.as_str();
    let of_log = |error: LogError| (of_log_error(&error), error.to_string());
    let info = broker.store.topic(name).ok_or_else(|| {
        let error = LogError::NoTopic { topic: name.to_owned() };
        (of_log_error(&error), error.to_string())
    })?;
    if topic.count <= info.partitions {
        let reason =
            format!("it has {} partitions, {} were asked for", info.partitions, topic.count);
        return Err((ResponseError::InvalidPartitions, reason));
    }
    if let Some(reason) = broker.limits.kept_topics.why(name) {
        return Err((ResponseError::PolicyViolation, format!("its partitions stay: {reason}")));
    }
    check_assignments(topic, info.partitions)?;
    match broker.store.add_partitions(name, topic.count, check_only).await {
        Err(LogError::Invalid(reason)) => Err((ResponseError::InvalidPartitions, reason)),
        other => other.map_err(of_log),
    }
}

/// Assignments name one replica, this broker, for each new partition.
fn check_assignments(topic: &CreatePartitionsTopic, there: i32) -> Result<(), Refusal> {
    let Some(assignments) = &topic.assignments else { return Ok(()) };
    let due = usize::try_from(topic.count - there).unwrap_or(0);
    let here = assignments.iter().all(|replicas| replicas.broker_ids == [NODE_ID]);
    if assignments.len() == due && here {
        return Ok(());
    }
    let reason = format!("{due} assignments are due, each to broker {NODE_ID}");
    Err((ResponseError::InvalidReplicaAssignment, reason))
}
