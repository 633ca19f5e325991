//! DescribeLogDirs: the folder of the log, and what each partition takes in it.
//!
//! Guarantees: sizes as they are now. Left out: more than one folder.

use super::{Api, Pending};
use crate::PartitionStats;
use crate::wire::WireError;
use crate::wire::broker::Broker;
use crate::wire::budget::Charge;
use crate::wire::error_code::{number, of_log_error};
use crate::wire::guard::{Field, Kind, Shape};
use crate::wire::request::Request;
use futures::FutureExt;
use kafka_protocol::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use kafka_protocol::messages::{DescribeLogDirsRequest, DescribeLogDirsResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const TOPIC: Shape =
    Shape { fields: &[Field::new(Kind::Text), Field::new(Kind::Each(&Kind::Fixed(4)))], tags: &[] };

pub(crate) const API: Api = Api {
    name: "DescribeLogDirs",
    key: 35,
    min: 1,
    max: 4,
    flexible_from: 2,
    request: &Shape { fields: &[Field::new(Kind::Array(&TOPIC))], tags: &[] },
    handle: |broker, request| handle(broker, request).boxed(),
    probe: Request::probe::<DescribeLogDirsRequest>,
};

/// What a partition takes while the answer is made, and sent.
const ENTRY_BYTES: usize = 256;

/// The partitions asked for, by topic; `None` is all of them.
type Wanted = Option<BTreeMap<String, BTreeSet<i32>>>;

async fn handle(broker: Arc<Broker>, request: Request) -> Result<Pending, WireError> {
    let asked: DescribeLogDirsRequest = request.decode()?;
    let wanted: Wanted = asked.topics.map(|topics| {
        let mut wanted = BTreeMap::<String, BTreeSet<i32>>::new();
        for topic in topics {
            wanted.entry(topic.topic.to_string()).or_default().extend(topic.partitions);
        }
        wanted
    });
    Ok(async move {
        let stats = broker.store.stats();
        let mut charge = Charge::default();
        broker.answers.charge(&mut charge, stats.len() * ENTRY_BYTES).await;
        let result = DescribeLogDirsResult::default();
        let response = DescribeLogDirsResponse::default();
        let response = response.with_results(vec![match broker.store.place() {
            Err(error) => result.with_error_code(number(of_log_error(&error))),
            Ok((dir, available)) => {
                let used: u64 = stats.iter().map(|partition| partition.bytes).sum();
                let result = result
                    .with_log_dir(StrBytes::from_string(dir.display().to_string()))
                    .with_topics(topics(&stats, &wanted));
                match request.version {
                    4.. => result
                        .with_total_bytes(clamped(available.saturating_add(used)))
                        .with_usable_bytes(clamped(available)),
                    _ => result,
                }
            }
        }]);
        let mut reply = request.reply(&response)?;
        charge.shrink_to(reply.len());
        reply.charge = charge;
        Ok(Some(reply))
    }
    .boxed())
}

fn topics(stats: &[PartitionStats], wanted: &Wanted) -> Vec<DescribeLogDirsTopic> {
    let mut topics = BTreeMap::<&str, Vec<DescribeLogDirsPartition>>::new();
    let is_wanted = |stats: &&PartitionStats| {
        let of = |wanted: &BTreeMap<String, BTreeSet<i32>>| {
            wanted.get(&stats.topic).is_some_and(|numbers| numbers.contains(&stats.partition))
        };
        wanted.as_ref().is_none_or(of)
    };
    for partition in stats.iter().filter(is_wanted) {
        let described = DescribeLogDirsPartition::default()
            .with_partition_index(partition.partition)
            .with_partition_size(clamped(partition.bytes));
        topics.entry(&partition.topic).or_default().push(described);
    }
    let named = |(name, partitions): (&str, Vec<_>)| {
        DescribeLogDirsTopic::default()
            .with_name(TopicName(StrBytes::from_string(name.to_owned())))
            .with_partitions(partitions)
    };
    topics.into_iter().map(named).collect()
}

fn clamped(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
