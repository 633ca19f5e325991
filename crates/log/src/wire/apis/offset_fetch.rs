//! OffsetFetch: how far groups have read.
//!
//! Guarantees: only what is durable; a partition an open transaction holds an offset of is
//! UNSTABLE_OFFSET_COMMIT for those who ask for stable ones; an answer's bytes are charged before
//! it is built. From version 10 on topics are named by id. Left out: nothing of the classic protocol.

use super::offsets_by_id::{self, BY_ID_FROM};
use super::{Api, Pending};
use crate::group::{Committed, Group, GroupError};
use crate::wire::WireError;
use crate::wire::broker::Broker;
use crate::wire::budget::Charge;
use crate::wire::group_error::{group_error, sent};
use crate::wire::guard::{Field, Kind, Shape};
use crate::wire::request::{Reply, Request};
use futures::FutureExt;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{GroupId, OffsetFetchRequest, OffsetFetchResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use std::collections::BTreeSet;
use std::sync::Arc;
use tradewind_types::{Log, PartitionId};
use uuid::Uuid;

const TOPIC: Shape = Shape {
    fields: &[
        Field::between(0, 9, Kind::Text),
        Field::from(10, Kind::Fixed(16)),
        Field::new(Kind::Each(&Kind::Fixed(4))),
    ],
    tags: &[],
};
const GROUP: Shape = Shape {
    fields: &[
        Field::new(Kind::Text),
        Field::from(9, Kind::Text),
        Field::from(9, Kind::Fixed(4)),
        Field::new(Kind::Array(&TOPIC)),
    ],
    tags: &[],
};

pub(crate) const API: Api = Api {
    name: "OffsetFetch",
    key: 9,
    min: 1,
    max: 10,
    flexible_from: 6,
    request: &Shape {
        fields: &[
            Field::between(0, 7, Kind::Text),
            Field::between(0, 7, Kind::Array(&TOPIC)),
            Field::from(8, Kind::Array(&GROUP)),
            Field::from(7, Kind::Fixed(1)),
        ],
        tags: &[],
    },
    handle: |broker, request| handle(broker, request).boxed(),
    probe: |request| decode(request).map(drop),
};

/// The first version that asks for many groups.
const MANY_FROM: i16 = 8;
/// The first version with an error for the whole group.
const GROUP_ERROR_FROM: i16 = 2;
/// What an offset takes in an answer while it is built, beside its metadata.
const OFFSET_BYTES: usize = 256;

/// A topic as it is named in an answer: its id is nil where the version has none.
#[derive(Debug, Clone)]
struct Topic {
    name: TopicName,
    id: Uuid,
    /// Nobody knows the id.
    unknown: bool,
}

/// A topic's partitions; of one group, or asked of it.
type Places = Vec<(Topic, Vec<PartitionId>)>;

/// What is asked of one group. `None` asks for all its topics.
struct Asked {
    group: GroupId,
    topics: Option<Places>,
}

/// What is known of one partition.
struct Found {
    partition: PartitionId,
    offset: Result<Option<Committed>, ResponseError>,
}

fn decode(request: &Request) -> Result<OffsetFetchRequest, WireError> {
    if request.version >= BY_ID_FROM { offsets_by_id::fetch(request) } else { request.decode() }
}

async fn handle(broker: Arc<Broker>, request: Request) -> Result<Pending, WireError> {
    let asked = decode(&request)?;
    Ok(async move { serve(&broker, &request, asked).await.map(Some) }.boxed())
}

async fn serve(
    broker: &Broker,
    request: &Request,
    asked: OffsetFetchRequest,
) -> Result<Reply, WireError> {
    let stable = asked.require_stable;
    // Each once: asked for all its topics, a group's answer has no bound in the request.
    let mut seen = BTreeSet::new();
    let mut groups = groups(broker, asked, request.version);
    groups.retain(|asked| seen.insert(asked.group.clone()));
    let ready = broker.groups.ready().await;
    let mut charge = Charge::default();
    broker.answers.charge(&mut charge, estimate(broker, &groups)).await;
    let mut answers = groups.into_iter().map(|asked| {
        let Asked { group, topics } = asked;
        let found = ready
            .map(|()| broker.groups.look(|all| find(all.get(&group.0), topics.as_ref(), stable)));
        let found = found.map(|found| match request.version >= BY_ID_FROM {
            true => with_ids(broker, found),
            false => found,
        });
        (group, topics, found)
    });
    let response = if request.version >= MANY_FROM {
        let groups = answers.map(|(group, _, found)| many(group, found)).collect();
        OffsetFetchResponse::default().with_groups(groups)
    } else {
        let (_, topics, found) = answers.next().expect("older versions ask for one group");
        one(topics, found, request.version)
    };
    let mut reply = request.reply(&response)?;
    charge.shrink_to(reply.len());
    reply.charge = charge;
    Ok(reply)
}

fn groups(broker: &Broker, asked: OffsetFetchRequest, version: i16) -> Vec<Asked> {
    if version >= MANY_FROM {
        let places = |topics: Vec<_>| {
            let of = |it: OffsetFetchRequestTopics| {
                let topic = match version >= BY_ID_FROM {
                    true => Topic::of_id(broker, it.topic_id),
                    false => Topic::of_name(it.name),
                };
                (topic, it.partition_indexes)
            };
            topics.into_iter().map(of).collect()
        };
        let of = |it: OffsetFetchRequestGroup| Asked {
            group: it.group_id,
            topics: it.topics.map(places),
        };
        return asked.groups.into_iter().map(of).collect();
    }
    let topics = asked.topics.map(|topics| {
        let of = |it: OffsetFetchRequestTopic| (Topic::of_name(it.name), it.partition_indexes);
        topics.into_iter().map(of).collect::<Places>()
    });
    vec![Asked { group: asked.group_id, topics }]
}

impl Topic {
    fn of_name(name: TopicName) -> Self {
        Self { name, id: Uuid::nil(), unknown: false }
    }

    fn of_id(broker: &Broker, id: Uuid) -> Self {
        match broker.store.topic_by_id(id.into_bytes()) {
            Some(topic) => {
                Self { name: TopicName(StrBytes::from_string(topic.name)), id, unknown: false }
            }
            None => Self { name: TopicName::default(), id, unknown: true },
        }
    }
}

/// The same with the topics' ids; offsets of a topic that is gone are nobody's.
fn with_ids(broker: &Broker, mut found: Vec<(Topic, Vec<Found>)>) -> Vec<(Topic, Vec<Found>)> {
    for (topic, _) in &mut found {
        if topic.id.is_nil() && !topic.unknown {
            let known = broker.store.topic(&topic.name);
            topic.id = known.map_or(Uuid::nil(), |known| Uuid::from_bytes(known.id));
        }
    }
    found.retain(|(topic, _)| topic.unknown || !topic.id.is_nil());
    found
}

fn estimate(broker: &Broker, groups: &[Asked]) -> usize {
    broker.groups.look(|all| {
        let of = |asked: &Asked| -> usize {
            let group = all.get(&asked.group.0);
            let Some(topics) = &asked.topics else {
                return group.map_or(0, |group| group.offsets.bytes() * 2);
            };
            let one = |topic: &str, partition| {
                let known = group.and_then(|group| group.offsets.get(topic, partition));
                OFFSET_BYTES + known.map_or(0, |offset| offset.metadata.len() * 2)
            };
            let each = topics.iter().flat_map(|(topic, partitions)| {
                partitions.iter().map(move |partition| one(&topic.name, *partition))
            });
            each.sum()
        };
        groups.iter().map(of).sum()
    })
}

/// What a group has of the topics asked for, or of all.
fn find(group: Option<&Group>, topics: Option<&Places>, stable: bool) -> Vec<(Topic, Vec<Found>)> {
    let offset = |topic: &Topic, partition| {
        if topic.unknown {
            return Err(ResponseError::UnknownTopicId);
        }
        let Some(group) = group else { return Ok(None) };
        match stable && group.offsets.is_pending(&topic.name, partition) {
            true => Err(group_error(GroupError::Unstable)),
            false => Ok(group.offsets.get(&topic.name, partition).cloned()),
        }
    };
    let found = |topic: &Topic, partitions: &[PartitionId]| {
        let of = |partition: &PartitionId| Found {
            partition: *partition,
            offset: offset(topic, *partition),
        };
        (topic.clone(), partitions.iter().map(of).collect())
    };
    match topics {
        Some(topics) => topics.iter().map(|(topic, all)| found(topic, all)).collect(),
        None => all(group).iter().map(|(topic, all)| found(topic, all)).collect(),
    }
}

/// Every partition a group has committed.
fn all(group: Option<&Group>) -> Places {
    let mut places: Places = Vec::new();
    for ((topic, partition), _) in group.into_iter().flat_map(|group| group.offsets.iter()) {
        match places.last_mut() {
            Some((last, partitions)) if last.name.as_str() == &**topic => {
                partitions.push(*partition);
            }
            _ => places.push((Topic::of_name(TopicName(sent(topic))), vec![*partition])),
        }
    }
    places
}

fn many(
    group: GroupId,
    found: Result<Vec<(Topic, Vec<Found>)>, GroupError>,
) -> OffsetFetchResponseGroup {
    let response = OffsetFetchResponseGroup::default().with_group_id(group);
    let topics = match found {
        Ok(topics) => topics,
        Err(error) => return response.with_error_code(group_error(error).code()),
    };
    let partition = |found: Found| {
        let (offset, epoch, metadata, code) = told(&found.offset);
        OffsetFetchResponsePartitions::default()
            .with_partition_index(found.partition)
            .with_committed_offset(offset)
            .with_committed_leader_epoch(epoch)
            .with_metadata(Some(metadata))
            .with_error_code(code)
    };
    let topics = topics.into_iter().map(|(topic, found)| {
        let partitions = found.into_iter().map(partition).collect();
        OffsetFetchResponseTopics::default()
            .with_name(topic.name)
            .with_topic_id(topic.id)
            .with_partitions(partitions)
    });
    response.with_topics(topics.collect())
}

fn one(
    asked: Option<Places>,
    found: Result<Vec<(Topic, Vec<Found>)>, GroupError>,
    version: i16,
) -> OffsetFetchResponse {
    let error = found.as_ref().err().copied();
    // The first version says what concerns the group with each partition.
    let refused = |error: GroupError| {
        let of = |partition| Found { partition, offset: Err(group_error(error)) };
        let topics = asked.unwrap_or_default().into_iter();
        topics.map(|(topic, all)| (topic, all.into_iter().map(of).collect())).collect()
    };
    let topics: Vec<(Topic, Vec<Found>)> = found.unwrap_or_else(refused);
    let partition = |found: Found| {
        let (offset, epoch, metadata, code) = told(&found.offset);
        OffsetFetchResponsePartition::default()
            .with_partition_index(found.partition)
            .with_committed_offset(offset)
            .with_committed_leader_epoch(if version >= 5 { epoch } else { -1 })
            .with_metadata(Some(metadata))
            .with_error_code(code)
    };
    let topics = topics.into_iter().map(|(topic, found)| {
        let partitions = found.into_iter().map(partition).collect();
        OffsetFetchResponseTopic::default().with_name(topic.name).with_partitions(partitions)
    });
    let response = OffsetFetchResponse::default().with_topics(topics.collect());
    match error {
        Some(error) if version >= GROUP_ERROR_FROM => {
            response.with_error_code(group_error(error).code())
        }
        _ => response,
    }
}

/// Offset, leader epoch, metadata and error code of a partition.
fn told(offset: &Result<Option<Committed>, ResponseError>) -> (i64, i32, StrBytes, i16) {
    match offset {
        Ok(Some(offset)) => (offset.offset, offset.leader_epoch, sent(&offset.metadata), 0),
        Ok(None) => (-1, -1, StrBytes::default(), 0),
        Err(error) => (-1, -1, StrBytes::default(), error.code()),
    }
}
