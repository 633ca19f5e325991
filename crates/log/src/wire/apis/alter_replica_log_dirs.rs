//! AlterReplicaLogDirs: every partition stays in the one folder.
//!
//! Guarantees: each partition asked about is answered; moving one to the folder it is in works and
//! changes nothing, another folder is LOG_DIR_NOT_FOUND. Left out: moving. There is one folder.

use super::{Api, Pending, answered};
use crate::wire::WireError;
use crate::wire::broker::Broker;
use crate::wire::error_code::number;
use crate::wire::guard::{Field, Kind, Shape};
use crate::wire::request::Request;
use futures::FutureExt;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::alter_replica_log_dirs_response::{
    AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult,
};
use kafka_protocol::messages::{AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse};
use std::path::Path;
use std::sync::Arc;
use tradewind_types::Log;

const TOPIC: Shape =
    Shape { fields: &[Field::new(Kind::Text), Field::new(Kind::Each(&Kind::Fixed(4)))], tags: &[] };
const DIR: Shape =
    Shape { fields: &[Field::new(Kind::Text), Field::new(Kind::Array(&TOPIC))], tags: &[] };

pub(crate) const API: Api = Api {
    name: "AlterReplicaLogDirs",
    key: 34,
    min: 1,
    max: 2,
    flexible_from: 2,
    request: &Shape { fields: &[Field::new(Kind::Array(&DIR))], tags: &[] },
    handle: |broker, request| handle(broker, request).boxed(),
    probe: Request::probe::<AlterReplicaLogDirsRequest>,
};

async fn handle(broker: Arc<Broker>, request: Request) -> Result<Pending, WireError> {
    let asked: AlterReplicaLogDirsRequest = request.decode()?;
    let mut results = Vec::new();
    for dir in asked.dirs {
        let is_ours = Path::new(&*dir.path) == broker.store.dir();
        for topic in dir.topics {
            let known = broker.store.topic(&topic.name).map_or(0, |info| info.partitions);
            let partitions = topic.partitions.into_iter().map(|partition| {
                let error = match (is_ours, (0..known).contains(&partition)) {
                    (false, _) => number(ResponseError::LogDirNotFound),
                    (true, false) => number(ResponseError::UnknownTopicOrPartition),
                    (true, true) => 0,
                };
                AlterReplicaLogDirPartitionResult::default()
                    .with_partition_index(partition)
                    .with_error_code(error)
            });
            let partitions = partitions.collect();
            let result = AlterReplicaLogDirTopicResult::default();
            results.push(result.with_topic_name(topic.name).with_partitions(partitions));
        }
    }
    let response = AlterReplicaLogDirsResponse::default().with_results(results);
    Ok(answered(request.reply(&response)?))
}
