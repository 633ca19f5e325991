//! Produce: record batches into the log, stored as they were sent.
//!
//! Guarantees: batches of one connection are written in its order; `acks=all` is answered after
//! the fsync, `acks=1` after the write, `acks=0` not at all, and in no case is anything readable
//! before its fsync. The message sets of versions 0 to 2 become batches, durably, whatever they
//! ask for.
//! Left out: checking sequence numbers and transactions; a transactional batch is refused.

use super::{Api, Pending, answered, produce_old};
use crate::batch;
use crate::wire::broker::Broker;
use crate::wire::error_code::{number, of_log_error};
use crate::wire::guard::{Field, Kind, Shape};
use crate::wire::request::{Reply, Request};
use crate::wire::{WireError, message_set, topics};
use crate::{LogStore, RawAppended};
use bytes::Bytes;
use futures::FutureExt;
use futures::future::{join_all, ready};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::{ProduceRequest, ProduceResponse};
use kafka_protocol::protocol::StrBytes;
use std::sync::Arc;
use tradewind_types::{LogError, Offset, PartitionId, TopicInfo};

const PARTITION: Shape =
    Shape { fields: &[Field::new(Kind::Fixed(4)), Field::new(Kind::Blob)], tags: &[] };
const TOPIC: Shape = Shape {
    fields: &[
        Field::between(0, 12, Kind::Text),
        Field::from(13, Kind::Fixed(16)),
        Field::new(Kind::Array(&PARTITION)),
    ],
    tags: &[],
};

pub(crate) const API: Api = Api {
    name: "Produce",
    key: 0,
    min: 0,
    max: 13,
    flexible_from: 9,
    request: &Shape {
        fields: &[
            Field::from(3, Kind::Text),
            Field::new(Kind::Fixed(6)),
            Field::new(Kind::Array(&TOPIC)),
        ],
        tags: &[],
    },
    handle: |broker, request| handle(broker, request).boxed(),
    probe: |request| decode(request).map(drop),
};

/// Whom a producer wants to have its records before it is answered.
const ACKS_ALL: i16 = -1;
const ACKS_NONE: i16 = 0;
const COMPRESSION_BITS: i16 = 0b111;
const ZSTD: i16 = 4;
const TRANSACTIONAL_BIT: i16 = 1 << 4;
const CONTROL_BIT: i16 = 1 << 5;
/// The first version whose batches may be compressed with zstd.
const ZSTD_FROM: i16 = 7;

/// Why a partition's records were not taken.
struct Refusal {
    code: ResponseError,
    reason: String,
}

/// One partition's records, written; for `acks=all` the fsync is still to come.
struct Written {
    topic: Arc<TopicInfo>,
    partition: PartitionId,
    base_offset: Offset,
    /// The offset after the last record.
    end: Offset,
    log_start: Offset,
    /// The time the log gave them, milliseconds, or -1.
    append_time_ms: i64,
}

type Outcome = Result<Written, Refusal>;

fn decode(request: &Request) -> Result<ProduceRequest, WireError> {
    if request.version < produce_old::NEWER_FROM {
        produce_old::decode(request)
    } else {
        request.decode()
    }
}

async fn handle(broker: Arc<Broker>, request: Request) -> Result<Pending, WireError> {
    let asked = decode(&request)?;
    let mut topics = Vec::with_capacity(asked.topic_data.len());
    for topic in asked.topic_data {
        topics.push(write_topic(&broker.store, topic, asked.acks, request.version).await);
    }
    match asked.acks {
        ACKS_ALL => Ok(async move {
            let durable = topics.into_iter().map(|topic| topic.durable(&broker.store));
            reply(&request, join_all(durable).await).map(Some)
        }
        .boxed()),
        ACKS_NONE => Ok(ready(unanswered(&topics)).boxed()),
        _ => reply(&request, topics).map(answered),
    }
}

/// One topic of a produce, its partitions worked on.
struct Topic {
    head: TopicProduceResponse,
    partitions: Vec<(PartitionId, Outcome)>,
}

impl Topic {
    /// Waits until what was written is durable; what then fails is refused after all.
    async fn durable(mut self, store: &LogStore) -> Self {
        let waits = self.partitions.into_iter().map(async |(index, outcome)| match outcome {
            Err(refusal) => (index, Err(refusal)),
            Ok(written) => {
                let durable =
                    store.synced_to(&written.topic.name, written.partition, written.end).await;
                (index, durable.map(|()| written).map_err(|error| Refusal::of(&error)))
            }
        });
        self.partitions = join_all(waits).await;
        self
    }
}

async fn write_topic(store: &LogStore, topic: TopicProduceData, acks: i16, version: i16) -> Topic {
    let known = topics::resolve(store, version >= 13, &topic.name, topic.topic_id);
    let known = known.and_then(|info| match topics::is_internal(&info.name) {
        true => Err(ResponseError::InvalidTopicException),
        false => Ok(Arc::new(info)),
    });
    let mut partitions = Vec::with_capacity(topic.partition_data.len());
    for data in topic.partition_data {
        let index = data.index;
        let outcome = match &known {
            Ok(info) => write(store, info, data, acks, version).await,
            Err(code) => Err(Refusal::of_topic(*code)),
        };
        partitions.push((index, outcome));
    }
    let head = TopicProduceResponse::default().with_name(topic.name).with_topic_id(topic.topic_id);
    Topic { head, partitions }
}

async fn write(
    store: &LogStore,
    topic: &Arc<TopicInfo>,
    data: PartitionProduceData,
    acks: i16,
    version: i16,
) -> Outcome {
    if !(-1..=1).contains(&acks) {
        let reason = format!("acks is {acks}, -1, 0 and 1 are known");
        return Err(Refusal { code: ResponseError::InvalidRequiredAcks, reason });
    }
    let partition = data.index;
    let records = data.records.unwrap_or_default();
    metrics::counter!("tradewind_kafka_produced_bytes_total").increment(records.len() as u64);
    let topic = Arc::clone(topic);
    match message_set::magic(&records) {
        Some(0 | 1) if version < produce_old::NEWER_FROM => {
            write_set(store, topic, partition, &records).await
        }
        _ => write_batches(store, topic, partition, records, version).await,
    }
}

async fn write_batches(
    store: &LogStore,
    topic: Arc<TopicInfo>,
    partition: PartitionId,
    batches: Bytes,
    version: i16,
) -> Outcome {
    let records = check_attributes(&batches, version)?;
    let appended = store.append_raw(&topic.name, partition, batches.clone(), false).await;
    let appended = appended.map_err(|error| Refusal::of_append(&error, &batches))?;
    let RawAppended { base_offset, log_start, append_time_ms } = appended;
    let end = base_offset + records;
    Ok(Written { topic, partition, base_offset, end, log_start, append_time_ms })
}

async fn write_set(
    store: &LogStore,
    topic: Arc<TopicInfo>,
    partition: PartitionId,
    set: &Bytes,
) -> Outcome {
    let records = message_set::records(set)
        .map_err(|error| Refusal { code: error.code, reason: error.to_string() })?;
    let count = records.len() as i64;
    let appended = store.append_records(&topic.name, partition, records).await;
    let appended = appended.map_err(|error| match error {
        LogError::Invalid(reason) => Refusal { code: ResponseError::MessageTooLarge, reason },
        error => Refusal::of(&error),
    })?;
    let RawAppended { base_offset, log_start, append_time_ms } = appended;
    let end = base_offset + count;
    Ok(Written { topic, partition, base_offset, end, log_start, append_time_ms })
}

/// Refuses what this broker would store and not serve rightly; answers how many records there are.
fn check_attributes(batches: &[u8], version: i16) -> Result<i64, Refusal> {
    let mut rest = batches;
    let mut records = 0;
    while !rest.is_empty() {
        let header = batch::parse_header(rest)
            .map_err(|reason| Refusal { code: ResponseError::InvalidRecord, reason })?;
        let refusal = if header.attributes & TRANSACTIONAL_BIT != 0 {
            Some((ResponseError::InvalidTxnState, "transactions are not served"))
        } else if header.attributes & CONTROL_BIT != 0 {
            Some((ResponseError::InvalidRecord, "clients do not write control batches"))
        } else if version < ZSTD_FROM && header.attributes & COMPRESSION_BITS == ZSTD {
            let reason = "zstd needs Produce version 7";
            Some((ResponseError::UnsupportedCompressionType, reason))
        } else {
            None
        };
        if let Some((code, reason)) = refusal {
            return Err(Refusal { code, reason: reason.into() });
        }
        // A batch that reaches past the end is the log's to refuse.
        rest = rest.get(header.bytes..).unwrap_or_default();
        records += i64::from(header.records);
    }
    Ok(records)
}

impl Refusal {
    fn of_topic(code: ResponseError) -> Self {
        let reason = match code {
            ResponseError::InvalidTopicException => "only the server writes to this topic",
            _ => "there is no such topic",
        };
        Self { code, reason: reason.into() }
    }

    fn of(error: &LogError) -> Self {
        Self { code: of_log_error(error), reason: error.to_string() }
    }

    /// A refused append: the log says what is wrong in words, clients need to know which kind.
    fn of_append(error: &LogError, batches: &[u8]) -> Self {
        let code = match error {
            LogError::Invalid(_) if batches.is_empty() => ResponseError::InvalidRecord,
            LogError::Invalid(_) if batch::parse_batches(batches).is_err() => {
                ResponseError::CorruptMessage
            }
            LogError::Invalid(_) => ResponseError::MessageTooLarge,
            error => of_log_error(error),
        };
        Self { code, reason: error.to_string() }
    }
}

/// What a producer that wants no answer gets: nothing, or the end of its connection, which makes
/// it look for the topics anew.
fn unanswered(topics: &[Topic]) -> Result<Option<Reply>, WireError> {
    let outcomes = topics.iter().flat_map(|topic| &topic.partitions);
    match outcomes.filter_map(|(_, outcome)| outcome.as_ref().err()).next() {
        None => Ok(None),
        Some(refusal) => Err(WireError::UnansweredProduce(refusal.reason.clone())),
    }
}

fn reply(request: &Request, topics: Vec<Topic>) -> Result<Reply, WireError> {
    let responses = topics.into_iter().map(|Topic { head, partitions }| {
        let partitions = partitions
            .into_iter()
            .map(|(index, outcome)| partition_response(index, outcome, request.version));
        head.with_partition_responses(partitions.collect())
    });
    let response = ProduceResponse::default().with_responses(responses.collect());
    if request.version < produce_old::NEWER_FROM {
        Ok(produce_old::reply(request, &response))
    } else {
        request.reply(&response)
    }
}

fn partition_response(
    index: PartitionId,
    outcome: Outcome,
    version: i16,
) -> PartitionProduceResponse {
    let response = PartitionProduceResponse::default().with_index(index);
    match outcome {
        Ok(written) => {
            let response = response
                .with_base_offset(written.base_offset)
                .with_log_append_time_ms(written.append_time_ms);
            if version >= 5 { response.with_log_start_offset(written.log_start) } else { response }
        }
        Err(refusal) => {
            let response = response.with_error_code(number(refusal.code)).with_base_offset(-1);
            let reason = (version >= 8).then(|| StrBytes::from_string(refusal.reason));
            response.with_error_message(reason)
        }
    }
}
