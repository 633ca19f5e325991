//! Fetch: record batches as they lie in the log, waited for if there are none yet.
//!
//! Guarantees: nothing above the high watermark; whole batches, the first one even when it is
//! larger than the limits, so that a reader always moves on; an answer's bytes are charged before
//! they are read.
//! Who reads what is committed gets nothing above the last stable offset, and is told what was
//! aborted below. Left out: fetch sessions, which are answered as a broker that keeps none; follower
//! fetching.

use super::fetch_answer::{self, Fetched, FetchedTopic};
use super::{Api, Pending};
use crate::LogStore;
use crate::blocking;
use crate::partition::Pieces;
use crate::segment::Aborted;
use crate::wire::WireError;
use crate::wire::broker::Broker;
use crate::wire::budget::Charge;
use crate::wire::error_code::{number, of_log_error};
use crate::wire::guard::{Field, Kind, Shape, Tag};
use crate::wire::request::{Reply, Request};
use crate::wire::topics;
use futures::FutureExt;
use futures::future::select_all;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::{
    AbortedTransaction, FetchableTopicResponse, PartitionData,
};
use kafka_protocol::messages::{FetchRequest, FetchResponse};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use tradewind_types::log::Isolation;
use tradewind_types::{Log, Offset, TopicInfo};

const PARTITION: Shape = Shape {
    fields: &[
        Field::new(Kind::Fixed(4)),
        Field::from(9, Kind::Fixed(4)),
        Field::new(Kind::Fixed(8)),
        Field::from(12, Kind::Fixed(4)),
        Field::from(5, Kind::Fixed(8)),
        Field::new(Kind::Fixed(4)),
    ],
    tags: &[
        Tag { tag: 0, from: 17, kind: Kind::Fixed(16) },
        Tag { tag: 1, from: 18, kind: Kind::Fixed(8) },
    ],
};
const TOPIC: Shape = Shape {
    fields: &[
        Field::between(0, 12, Kind::Text),
        Field::from(13, Kind::Fixed(16)),
        Field::new(Kind::Array(&PARTITION)),
    ],
    tags: &[],
};
const FORGOTTEN: Shape = Shape {
    fields: &[
        Field::between(0, 12, Kind::Text),
        Field::from(13, Kind::Fixed(16)),
        Field::new(Kind::Each(&Kind::Fixed(4))),
    ],
    tags: &[],
};
const REPLICA_STATE: Shape = Shape { fields: &[Field::new(Kind::Fixed(12))], tags: &[] };

pub(crate) const API: Api = Api {
    name: "Fetch",
    key: 1,
    min: 4,
    max: 18,
    flexible_from: 12,
    request: &Shape {
        fields: &[
            Field::between(0, 14, Kind::Fixed(4)),
            Field::new(Kind::Fixed(13)),
            Field::from(7, Kind::Fixed(8)),
            Field::new(Kind::Array(&TOPIC)),
            Field::from(7, Kind::Array(&FORGOTTEN)),
            Field::from(11, Kind::Text),
        ],
        tags: &[
            Tag { tag: 0, from: 12, kind: Kind::Text },
            Tag { tag: 1, from: 15, kind: Kind::Struct(&REPLICA_STATE) },
        ],
    },
    handle: |broker, request| handle(broker, request).boxed(),
    probe: Request::probe::<FetchRequest>,
};

/// What a fetch answers with at least when memory is short and it asked for more: small answers
/// keep every reader going while slow ones hold the rest.
const ANSWER_BYTES_MIN: usize = 64 * 1024;

/// How long data is let gather once the first has come but `min_bytes` is not reached: reading
/// again at every append would cost more than it brings.
const GATHER: Duration = Duration::from_millis(5);

async fn handle(broker: Arc<Broker>, request: Request) -> Result<Pending, WireError> {
    let asked: FetchRequest = request.decode()?;
    Ok(async move { fetch(&broker, &request, asked).await.map(Some) }.boxed())
}

async fn fetch(
    broker: &Broker,
    request: &Request,
    asked: FetchRequest,
) -> Result<Reply, WireError> {
    if asked.session_id != 0 {
        let error = number(ResponseError::FetchSessionIdNotFound);
        return request.reply(&FetchResponse::default().with_error_code(error));
    }
    let wait = Duration::from_millis(u64::try_from(asked.max_wait_ms).unwrap_or(0));
    let deadline = Instant::now() + wait.min(broker.limits.fetch_wait_max);
    let limit = usize::try_from(asked.max_bytes).unwrap_or(0).min(broker.limits.fetch_bytes_max);
    let enough = usize::try_from(asked.min_bytes).unwrap_or(0);
    let isolation = isolation(asked.isolation_level);
    let asked = Arc::new(asked);
    loop {
        let mut charge = Charge::default();
        let limit = broker.answers.charge_up_to(&mut charge, limit, ANSWER_BYTES_MIN).await;
        let enough = enough.min(limit);
        let gathered = gather(&broker.store, &asked, request.version, limit).await;
        let late = Instant::now() >= deadline || *broker.closing.borrow();
        if gathered.failed || gathered.bytes >= enough || late || asked.topics.is_empty() {
            return answer(request, gathered, charge);
        }
        // Nothing is held while waiting.
        let seen = gathered.seen;
        let some = gathered.bytes > 0;
        drop((gathered.topics, charge));
        wait_for_more(broker, &seen, isolation, deadline).await;
        if some {
            let _ = timeout_at(deadline, tokio::time::sleep(GATHER)).await;
        }
    }
}

/// One pass over the asked partitions: from memory, or when that does not hold all of it, with the
/// disk's help and one change of thread.
async fn gather(
    store: &LogStore,
    asked: &Arc<FetchRequest>,
    version: i16,
    limit: usize,
) -> Gathered {
    let pass = Pass { store: store.clone(), asked: Arc::clone(asked), version, limit };
    match pass.run(false) {
        Some(gathered) => gathered,
        None => {
            let whole = move || pass.run(true).expect("a pass that may block brings everything");
            blocking::run(whole).await
        }
    }
}

fn answer(request: &Request, gathered: Gathered, mut charge: Charge) -> Result<Reply, WireError> {
    metrics::counter!("tradewind_kafka_fetched_bytes_total").increment(gathered.bytes as u64);
    let mut reply = fetch_answer::reply(request, gathered.topics)?;
    charge.shrink_to(reply.len());
    reply.charge = charge;
    Ok(reply)
}

/// Returns when what can be read of a partition has grown past what `seen` names, at the deadline,
/// or at closing.
async fn wait_for_more(
    broker: &Broker,
    seen: &BTreeMap<String, Vec<Offset>>,
    isolation: Isolation,
    deadline: Instant,
) {
    let grown =
        seen.iter().map(|(topic, seen)| broker.store.wait_for(topic, seen, isolation).boxed());
    let grown = grown.collect::<Vec<_>>();
    if grown.is_empty() {
        return;
    }
    tokio::select! {
        // An error (the topic is gone) is found again, and answered, by the next read.
        _ = timeout_at(deadline, select_all(grown)) => {}
        () = broker.closed() => {}
    }
}

/// A pass over the asked partitions.
struct Pass {
    store: LogStore,
    asked: Arc<FetchRequest>,
    version: i16,
    limit: usize,
}

/// What one pass has found.
#[derive(Default)]
struct Gathered {
    bytes: usize,
    failed: bool,
    topics: Vec<FetchedTopic>,
    /// By topic, how far each partition reached; those not asked for are never waited for.
    seen: BTreeMap<String, Vec<Offset>>,
}

impl Pass {
    /// What can be read now; `None` when that takes the disk and `may_block` is false.
    fn run(&self, may_block: bool) -> Option<Gathered> {
        let mut gathered = Gathered::default();
        for topic in &self.asked.topics {
            let partitions = self.topic(topic, &mut gathered, may_block)?;
            let head = FetchableTopicResponse::default()
                .with_topic(topic.topic.clone())
                .with_topic_id(topic.topic_id);
            gathered.topics.push(FetchedTopic { head, partitions });
        }
        Some(gathered)
    }

    fn topic(
        &self,
        topic: &FetchTopic,
        gathered: &mut Gathered,
        may_block: bool,
    ) -> Option<Vec<Fetched>> {
        let by_id = self.version >= 13;
        let known = topics::resolve(&self.store, by_id, &topic.topic, topic.topic_id);
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for asked in &topic.partitions {
            let fetched = match &known {
                Err(error) => Err(*error),
                Ok(info) => match self.partition(&info.name, asked, gathered, may_block) {
                    Ok(fetched) => {
                        let fetched = fetched?;
                        self.note_seen(info, &fetched.data, gathered);
                        Ok(fetched)
                    }
                    Err(error) => Err(error),
                },
            };
            partitions.push(fetched.unwrap_or_else(|error| {
                gathered.failed = true;
                Fetched { data: refused(asked, error), records: Vec::new() }
            }));
        }
        Some(partitions)
    }

    /// Remembers how far the partition reached when it was looked at.
    fn note_seen(&self, topic: &TopicInfo, data: &PartitionData, gathered: &mut Gathered) {
        let count = usize::try_from(topic.partitions).unwrap_or(0);
        let seen = gathered.seen.entry(topic.name.clone());
        let seen = seen.or_insert_with(|| vec![Offset::MAX; count]);
        let index = usize::try_from(data.partition_index).unwrap_or(usize::MAX);
        if let Some(seen) = seen.get_mut(index) {
            let end = match isolation(self.asked.isolation_level) {
                Isolation::ReadCommitted => data.last_stable_offset,
                Isolation::ReadUncommitted => data.high_watermark,
            };
            *seen = end.min(*seen);
        }
    }

    fn partition(
        &self,
        topic: &str,
        asked: &FetchPartition,
        gathered: &mut Gathered,
        may_block: bool,
    ) -> Result<Option<Fetched>, ResponseError> {
        topics::check_leader_epoch(asked.current_leader_epoch)?;
        let left = self.limit.saturating_sub(gathered.bytes);
        let room = usize::try_from(asked.partition_max_bytes).unwrap_or(0).min(left);
        let read = if room == 0 && gathered.bytes > 0 {
            // The answer is full: what a read would bring could not be sent.
            self.store.watermarks(topic, asked.partition).map(|marks| Some(Pieces::none(marks)))
        } else {
            let (place, from) = ((topic, asked.partition), (asked.fetch_offset, room));
            self.store.read_pieces(place, from, isolation(self.asked.isolation_level), may_block)
        };
        let Some(read) = read.map_err(|error| of_log_error(&error))? else { return Ok(None) };
        let bytes = read.bytes();
        // A batch is returned even if it is too large; only the answer's first may stay.
        let fits = bytes <= room || gathered.bytes == 0;
        gathered.bytes += if fits { bytes } else { 0 };
        let committed = isolation(self.asked.isolation_level) == Isolation::ReadCommitted;
        let aborted = committed.then(|| read.aborted.iter().map(aborted_transaction).collect());
        let data = PartitionData::default()
            .with_partition_index(asked.partition)
            .with_high_watermark(read.watermarks.high_watermark)
            .with_last_stable_offset(read.watermarks.last_stable)
            .with_log_start_offset(read.watermarks.log_start)
            .with_aborted_transactions(aborted);
        Ok(Some(Fetched { data, records: if fits { read.pieces } else { Vec::new() } }))
    }
}

/// What a client's number for it means.
pub(super) fn isolation(level: i8) -> Isolation {
    if level == 0 { Isolation::ReadUncommitted } else { Isolation::ReadCommitted }
}

fn aborted_transaction(aborted: &Aborted) -> AbortedTransaction {
    AbortedTransaction::default()
        .with_producer_id(aborted.producer_id.into())
        .with_first_offset(aborted.first)
}

fn refused(asked: &FetchPartition, error: ResponseError) -> PartitionData {
    PartitionData::default()
        .with_partition_index(asked.partition)
        .with_error_code(number(error))
        .with_high_watermark(-1)
        .with_aborted_transactions(None)
}
