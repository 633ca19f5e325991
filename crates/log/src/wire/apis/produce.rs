//! Produce: record batches into the log, stored as they were sent.
//!
//! Guarantees: batches of one connection are written in its order; `acks=all` is answered after
//! the fsync, `acks=1` after the write, `acks=0` not at all, and in no case is anything readable
//! before its fsync. The message sets of versions 0 to 2 become batches, durably, whatever they
//! ask for.
//! A numbered batch is stored once, in its producer's order; a transactional one only as part of a
//! transaction that its coordinator says spans the partition (from version 12 on it makes it so).

use super::{Api, Pending, answered, produce_old};
use crate::batch;
use crate::transactions::{Identity, TransactionError};
use crate::wire::broker::Broker;
use crate::wire::error_code::{number, of_log_error};
use crate::wire::guard::{Field, Kind, Shape};
use crate::wire::in_transaction::{InTransaction, Unverified, VERIFIED_AGAIN_MAX};
use crate::wire::request::{Reply, Request};
use crate::wire::{WireError, message_set, topics};
use crate::{LogStore, RawAppended};
use bytes::Bytes;
use futures::FutureExt;
use futures::future::{join_all, ready};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::{
    BatchIndexAndErrorMessage, PartitionProduceResponse, TopicProduceResponse,
};
use kafka_protocol::messages::{ProduceRequest, ProduceResponse};
use kafka_protocol::protocol::StrBytes;
use std::sync::Arc;
use tradewind_types::log::ProducerFault;
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
/// The first version whose batches may be compressed with zstd.
const ZSTD_FROM: i16 = 7;
/// The first version that tells what only an abort helps from other wrong states.
const ABORTABLE_FROM: i16 = 11;
/// The first version whose transactional batches make their partition part of the transaction.
const ADDS_PARTITIONS_FROM: i16 = 12;
/// The first version whose answers say in words why a batch is not taken, and name its bad records.
const REASONS_FROM: i16 = 8;
/// Bad records that one answer names: it stays small whatever was sent.
const BAD_RECORDS_TOLD_MAX: usize = 1_000;

/// Why a partition's records were not taken.
struct Refusal {
    code: ResponseError,
    reason: String,
    /// The records that are at fault, by number, where single ones are.
    records: Vec<i32>,
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
    let by = Asked {
        broker: &broker,
        acks: asked.acks,
        version: request.version,
        transactional_id: asked.transactional_id.as_ref().map(|id| id.as_str()),
    };
    for topic in asked.topic_data {
        topics.push(by.write_topic(topic).await);
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

/// What holds for every partition of a request.
struct Asked<'a> {
    broker: &'a Broker,
    acks: i16,
    version: i16,
    transactional_id: Option<&'a str>,
}

impl Asked<'_> {
    async fn write_topic(&self, topic: TopicProduceData) -> Topic {
        let by_id = self.version >= 13;
        let known = topics::resolve(&self.broker.store, by_id, &topic.name, topic.topic_id);
        let known = known.map(Arc::new);
        let writes = topic.partition_data.into_iter().map(async |data| {
            let index = data.index;
            let outcome = match &known {
                Ok(info) => self.write(info, data).await,
                Err(code) => Err(Refusal::of_topic(*code)),
            };
            (index, outcome)
        });
        // Side by side: each is a change of thread, which takes long on a busy machine. Each puts
        // itself in its partition's line before it waits.
        let partitions = join_all(writes).await;
        let head =
            TopicProduceResponse::default().with_name(topic.name).with_topic_id(topic.topic_id);
        Topic { head, partitions }
    }

    async fn write(&self, topic: &Arc<TopicInfo>, data: PartitionProduceData) -> Outcome {
        let acks = self.acks;
        if !(-1..=1).contains(&acks) {
            let reason = format!("acks is {acks}, -1, 0 and 1 are known");
            return Err(Refusal::new(ResponseError::InvalidRequiredAcks, reason));
        }
        if topics::is_internal(&topic.name) {
            let reason = format!("only this server writes to {}", topic.name);
            return Err(Refusal::new(ResponseError::InvalidTopicException, reason));
        }
        let partition = data.index;
        let records = data.records.unwrap_or_default();
        metrics::counter!("tradewind_kafka_produced_bytes_total").increment(records.len() as u64);
        let topic = Arc::clone(topic);
        match message_set::magic(&records) {
            Some(0 | 1) if self.version < produce_old::NEWER_FROM => {
                write_set(&self.broker.store, topic, partition, &records).await
            }
            _ => self.write_batches(topic, partition, records).await,
        }
    }

    async fn write_batches(
        &self,
        topic: Arc<TopicInfo>,
        partition: PartitionId,
        batches: Bytes,
    ) -> Outcome {
        let Checked { records, transaction } = check_attributes(&batches, self.version)?;
        let store = &self.broker.store;
        let (id, adds) = (self.transactional_id, self.version >= ADDS_PARTITIONS_FROM);
        let by =
            transaction.map(|client| InTransaction { id: id.unwrap_or_default(), client, adds });
        let mut again = 0;
        let appended = loop {
            let verified = match by {
                Some(by) => by.verify(self.broker, &topic.name, partition).await,
                None => Ok(None),
            };
            let verified = verified.map_err(|error| self.unverified(&error))?;
            let sent = batches.clone();
            match store.append_verified(&topic.name, partition, sent, false, verified).await {
                Err(LogError::Producer { fault: ProducerFault::NoTransaction { .. }, .. })
                    if by.is_some() && again < VERIFIED_AGAIN_MAX =>
                {
                    again += 1;
                }
                other => break other,
            }
        };
        let appended = appended.map_err(|error| Refusal::of_append(&error, &batches))?;
        let RawAppended { base_offset, log_start, append_time_ms } = appended;
        let end = base_offset + records;
        Ok(Written { topic, partition, base_offset, end, log_start, append_time_ms })
    }

    /// What a producer is told whose batch is not part of a transaction, in codes that every
    /// version's clients know how to take.
    fn unverified(&self, error: &Unverified) -> Refusal {
        let error = match error {
            Unverified::Log(error) => return Refusal::of(error),
            Unverified::Transaction(error) => error,
        };
        let code = match error {
            TransactionError::Fenced => ResponseError::InvalidProducerEpoch,
            TransactionError::Concurrent if self.version >= ADDS_PARTITIONS_FROM => {
                ResponseError::ConcurrentTransactions
            }
            // They are told to come back, as while a partition moves.
            TransactionError::Concurrent | TransactionError::Unavailable(_) => {
                ResponseError::NotEnoughReplicas
            }
            TransactionError::UnknownProducer => ResponseError::InvalidProducerIdMapping,
            TransactionError::WrongState if self.version >= ABORTABLE_FROM => {
                ResponseError::TransactionAbortable
            }
            _ => ResponseError::InvalidTxnState,
        };
        Refusal::new(code, error.to_string())
    }
}

async fn write_set(
    store: &LogStore,
    topic: Arc<TopicInfo>,
    partition: PartitionId,
    set: &Bytes,
) -> Outcome {
    let records =
        message_set::records(set).map_err(|error| Refusal::new(error.code, error.to_string()))?;
    let count = records.len() as i64;
    let appended = store.append_records(&topic.name, partition, records).await;
    let appended = appended.map_err(|error| match error {
        LogError::Invalid(reason) => Refusal::new(ResponseError::MessageTooLarge, reason),
        error => Refusal::of(&error),
    })?;
    let RawAppended { base_offset, log_start, append_time_ms } = appended;
    let end = base_offset + count;
    Ok(Written { topic, partition, base_offset, end, log_start, append_time_ms })
}

/// What the batches of a partition are.
struct Checked {
    records: i64,
    /// Whose transaction they are part of.
    transaction: Option<Identity>,
}

/// Refuses what this broker would store and not serve rightly.
fn check_attributes(batches: &[u8], version: i16) -> Result<Checked, Refusal> {
    let mut rest = batches;
    let mut checked = Checked { records: 0, transaction: None };
    while !rest.is_empty() {
        let header = batch::parse_header(rest)
            .map_err(|reason| Refusal::new(ResponseError::InvalidRecord, reason))?;
        // A batch that reaches past the end is the log's to refuse.
        rest = rest.get(header.bytes..).unwrap_or_default();
        let alone = checked.records == 0 && rest.is_empty();
        if let Some((code, reason)) = fault(&header, version, alone) {
            return Err(Refusal::new(code, reason));
        }
        checked.records += i64::from(header.records);
        if header.transactional() {
            checked.transaction = Some((header.producer_id, header.producer_epoch));
        }
    }
    Ok(checked)
}

/// What is wrong with a batch, by its header. `alone` says that there is no other.
fn fault(
    header: &batch::BatchHeader,
    version: i16,
    alone: bool,
) -> Option<(ResponseError, &'static str)> {
    let invalid = |reason| Some((ResponseError::InvalidRecord, reason));
    let numbered = header.producer_id >= 0;
    if header.control() {
        invalid("clients do not write control batches")
    } else if header.transactional() && !numbered {
        invalid("a transactional batch names no producer")
    } else if numbered && (header.base_sequence < 0 || header.producer_epoch < 0) {
        invalid("a producer that has an id numbers its batches from 0 on")
    } else if numbered && !alone {
        invalid("numbered batches are sent one at a time")
    } else if version < ZSTD_FROM && header.attributes & COMPRESSION_BITS == ZSTD {
        let reason = "zstd needs Produce version 7";
        Some((ResponseError::UnsupportedCompressionType, reason))
    } else {
        None
    }
}

impl Refusal {
    fn new(code: ResponseError, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into(), records: Vec::new() }
    }

    fn of_topic(code: ResponseError) -> Self {
        let reason = match code {
            ResponseError::InvalidTopicException => "only the server writes to this topic",
            _ => "there is no such topic",
        };
        Self::new(code, reason)
    }

    fn of(error: &LogError) -> Self {
        let records = match error {
            LogError::InvalidRecord(bad) | LogError::InvalidTimestamp(bad) => bad.records.clone(),
            _ => Vec::new(),
        };
        Self { code: of_log_error(error), reason: error.to_string(), records }
    }

    /// A refused append: the log says what is wrong in words, clients need to know which kind.
    fn of_append(error: &LogError, batches: &[u8]) -> Self {
        let code = match error {
            LogError::Invalid(_) if batches.is_empty() => ResponseError::InvalidRecord,
            LogError::Invalid(_) if batch::parse_batches(batches).is_err() => {
                ResponseError::CorruptMessage
            }
            LogError::Invalid(_) => ResponseError::MessageTooLarge,
            error => return Self::of(error),
        };
        Self::new(code, error.to_string())
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
    let mut told = BAD_RECORDS_TOLD_MAX;
    let responses = topics.into_iter().map(|Topic { head, partitions }| {
        let partitions = partitions
            .into_iter()
            .map(|(index, outcome)| partition_response(index, outcome, request.version, &mut told));
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
    told: &mut usize,
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
            if version < REASONS_FROM {
                return response;
            }
            let records = refusal.records.into_iter().take(*told).map(|record| {
                BatchIndexAndErrorMessage::default()
                    .with_batch_index(record)
                    .with_batch_index_error_message(None)
            });
            let records: Vec<_> = records.collect();
            *told -= records.len();
            let reason = Some(StrBytes::from_string(refusal.reason));
            response.with_record_errors(records).with_error_message(reason)
        }
    }
}
