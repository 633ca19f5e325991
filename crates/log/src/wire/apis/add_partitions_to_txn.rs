//! AddPartitionsToTxn: which partitions a transaction is going to write to.
//!
//! Guarantees: a transaction takes all of the partitions that are named, durably, or none.
//! Versions from 4 on are the form of brokers that ask for several transactions at once.
//! Left out: nothing; in a cluster of one, every partition and every coordinator is here.

use super::{Api, Pending};
use crate::transactions::{Coordinator, Identity, Place};
use crate::wire::WireError;
use crate::wire::broker::Broker;
use crate::wire::error_code::{number, of_transaction_error};
use crate::wire::guard::{Field, Kind, Shape};
use crate::wire::request::Request;
use futures::FutureExt;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::add_partitions_to_txn_request::{
    AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction,
};
use kafka_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResult, AddPartitionsToTxnTopicResult,
};
use kafka_protocol::messages::{AddPartitionsToTxnRequest, AddPartitionsToTxnResponse};
use std::collections::BTreeSet;
use std::sync::Arc;
use tradewind_types::Log;

const TOPIC: Shape =
    Shape { fields: &[Field::new(Kind::Text), Field::new(Kind::Each(&Kind::Fixed(4)))], tags: &[] };
const TRANSACTION: Shape = Shape {
    fields: &[Field::new(Kind::Text), Field::new(Kind::Fixed(11)), Field::new(Kind::Array(&TOPIC))],
    tags: &[],
};

pub(crate) const API: Api = Api {
    name: "AddPartitionsToTxn",
    key: 24,
    min: 0,
    max: 5,
    flexible_from: 3,
    request: &Shape {
        fields: &[
            Field::between(0, 3, Kind::Text),
            Field::between(0, 3, Kind::Fixed(10)),
            Field::between(0, 3, Kind::Array(&TOPIC)),
            Field::from(4, Kind::Array(&TRANSACTION)),
        ],
        tags: &[],
    },
    handle: |broker, request| handle(broker, request).boxed(),
    probe: Request::probe::<AddPartitionsToTxnRequest>,
};

/// The first version that tells a fenced producer from one with an old epoch.
const FENCED_FROM: i16 = 2;
/// The first version of the form for several transactions.
const BATCHED_FROM: i16 = 4;

async fn handle(broker: Arc<Broker>, request: Request) -> Result<Pending, WireError> {
    let asked: AddPartitionsToTxnRequest = request.decode()?;
    Ok(async move {
        let response = AddPartitionsToTxnResponse::default();
        let response = if request.version >= BATCHED_FROM {
            let mut results = Vec::with_capacity(asked.transactions.len());
            for transaction in &asked.transactions {
                let topics = add(&broker, transaction, request.version).await;
                results.push(
                    AddPartitionsToTxnResult::default()
                        .with_transactional_id(transaction.transactional_id.clone())
                        .with_topic_results(topics),
                );
            }
            response.with_results_by_transaction(results)
        } else {
            let transaction = AddPartitionsToTxnTransaction::default()
                .with_transactional_id(asked.v3_and_below_transactional_id)
                .with_producer_id(asked.v3_and_below_producer_id)
                .with_producer_epoch(asked.v3_and_below_producer_epoch)
                .with_topics(asked.v3_and_below_topics);
            let topics = add(&broker, &transaction, request.version).await;
            response.with_results_by_topic_v3_and_below(topics)
        };
        request.reply(&response).map(Some)
    }
    .boxed())
}

/// Adds, or looks for, the partitions of one transaction.
async fn add(
    broker: &Broker,
    asked: &AddPartitionsToTxnTransaction,
    version: i16,
) -> Vec<AddPartitionsToTxnTopicResult> {
    let client = (asked.producer_id.0, asked.producer_epoch);
    let id = asked.transactional_id.as_str();
    let places: BTreeSet<Place> = asked
        .topics
        .iter()
        .flat_map(|topic| topic.partitions.iter().map(|p| (topic.name.to_string(), *p)))
        .collect();
    if places.iter().any(|place| !exists(broker, place)) {
        return results(&asked.topics, |place| {
            if exists(broker, place) {
                Some(ResponseError::OperationNotAttempted)
            } else {
                Some(ResponseError::UnknownTopicOrPartition)
            }
        });
    }
    let fenced = version >= FENCED_FROM;
    if asked.verify_only {
        return verified(&broker.transactions, id, client, &asked.topics, fenced).await;
    }
    let added = broker.transactions.add_partitions(id, client, places, 0).await;
    let error = added.err().map(|error| of_transaction_error(&error, fenced));
    results(&asked.topics, |_| error)
}

async fn verified(
    coordinator: &Coordinator,
    id: &str,
    client: Identity,
    topics: &[AddPartitionsToTxnTopic],
    fenced: bool,
) -> Vec<AddPartitionsToTxnTopicResult> {
    let mut out = Vec::with_capacity(topics.len());
    for topic in topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for partition in &topic.partitions {
            let place = (topic.name.to_string(), *partition);
            let error = coordinator.verify(id, client, &place).await.err();
            let error = error.map(|error| of_transaction_error(&error, fenced));
            partitions.push(result(*partition, error));
        }
        out.push(
            AddPartitionsToTxnTopicResult::default()
                .with_name(topic.name.clone())
                .with_results_by_partition(partitions),
        );
    }
    out
}

fn exists(broker: &Broker, (topic, partition): &Place) -> bool {
    broker.store.topic(topic).is_some_and(|info| (0..info.partitions).contains(partition))
}

fn results(
    topics: &[AddPartitionsToTxnTopic],
    error_of: impl Fn(&Place) -> Option<ResponseError>,
) -> Vec<AddPartitionsToTxnTopicResult> {
    let topic = |topic: &AddPartitionsToTxnTopic| {
        let partitions = topic
            .partitions
            .iter()
            .map(|partition| result(*partition, error_of(&(topic.name.to_string(), *partition))));
        AddPartitionsToTxnTopicResult::default()
            .with_name(topic.name.clone())
            .with_results_by_partition(partitions.collect())
    };
    topics.iter().map(topic).collect()
}

fn result(partition: i32, error: Option<ResponseError>) -> AddPartitionsToTxnPartitionResult {
    AddPartitionsToTxnPartitionResult::default()
        .with_partition_index(partition)
        .with_partition_error_code(error.map_or(0, number))
}
