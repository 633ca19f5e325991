//! OffsetDelete: an administrator removes a group's offsets.
//!
//! Guarantees: answered once the removal is durable; topics the members read keep theirs.
//! Left out: removing the group itself.

use super::{Api, Pending, answered};
use crate::group::{GroupError, Place};
use crate::wire::WireError;
use crate::wire::broker::Broker;
use crate::wire::group_error::{code, own};
use crate::wire::guard::{Field, Kind, Shape};
use crate::wire::request::Request;
use futures::FutureExt;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use kafka_protocol::messages::{OffsetDeleteRequest, OffsetDeleteResponse};
use std::sync::Arc;
use tradewind_types::{Log, PartitionId};

const PARTITION: Shape = Shape { fields: &[Field::new(Kind::Fixed(4))], tags: &[] };
const TOPIC: Shape =
    Shape { fields: &[Field::new(Kind::Text), Field::new(Kind::Array(&PARTITION))], tags: &[] };

pub(crate) const API: Api = Api {
    name: "OffsetDelete",
    key: 47,
    min: 0,
    max: 0,
    flexible_from: i16::MAX,
    request: &Shape {
        fields: &[Field::new(Kind::Text), Field::new(Kind::Array(&TOPIC))],
        tags: &[],
    },
    handle: |broker, request| handle(broker, request).boxed(),
    probe: Request::probe::<OffsetDeleteRequest>,
};

async fn handle(broker: Arc<Broker>, request: Request) -> Result<Pending, WireError> {
    let asked: OffsetDeleteRequest = request.decode()?;
    let exists = |topic: &str, partition: PartitionId| {
        let partitions = broker.store.topic(topic).map_or(0, |topic| topic.partitions);
        (0..partitions).contains(&partition)
    };
    let mut places: Vec<Place> = Vec::new();
    for topic in &asked.topics {
        let name = own(&topic.name.0);
        let indexes = topic.partitions.iter().map(|partition| partition.partition_index);
        let known = indexes.filter(|index| exists(&name, *index));
        places.extend(known.map(|index| (Arc::clone(&name), index)));
    }
    let deleted = broker.groups.delete_offsets(&own(&asked.group_id.0), places).await;
    let response = OffsetDeleteResponse::default().with_error_code(code(&deleted));
    let Ok(results) = deleted else { return Ok(answered(request.reply(&response)?)) };
    let mut results = results.into_iter();
    let mut partition = |topic: &str, index: PartitionId| {
        let code = match exists(topic, index) {
            true => results.next().map_or(0, |result: Result<(), GroupError>| code(&result)),
            false => ResponseError::UnknownTopicOrPartition.code(),
        };
        OffsetDeleteResponsePartition::default().with_partition_index(index).with_error_code(code)
    };
    let mut topics = Vec::with_capacity(asked.topics.len());
    for topic in asked.topics {
        let indexes = topic.partitions.iter().map(|partition| partition.partition_index);
        let partitions = indexes.map(|index| partition(&topic.name, index)).collect();
        let name = topic.name.clone();
        topics
            .push(OffsetDeleteResponseTopic::default().with_name(name).with_partitions(partitions));
    }
    Ok(answered(request.reply(&response.with_topics(topics))?))
}
