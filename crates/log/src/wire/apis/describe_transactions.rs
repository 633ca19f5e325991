//! DescribeTransactions and ListTransactions: what the coordinator knows.
//!
//! Guarantees: each transactional id has its own result; lists are in the order of the ids; answers
//! are charged before they are made, and past [`PARTITIONS_TOLD_MAX`] partitions ids are refused.
//! Left out: expressions that need to go back over the text, which Kafka does not take either.

use super::{Api, Pending};
use crate::transactions::{Phase, Summary, Transaction, TransactionError};
use crate::wire::WireError;
use crate::wire::broker::Broker;
use crate::wire::budget::Charge;
use crate::wire::error_code::{number, of_transaction_error};
use crate::wire::guard::{Field, Kind, Shape};
use crate::wire::request::{Reply, Request};
use futures::FutureExt;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_transactions_response::{TopicData, TransactionState};
use kafka_protocol::messages::list_transactions_response::TransactionState as Listed;
use kafka_protocol::messages::{
    DescribeTransactionsRequest, DescribeTransactionsResponse, ListTransactionsRequest,
    ListTransactionsResponse, TopicName, TransactionalId,
};
use kafka_protocol::protocol::StrBytes;
use regex::{Regex, RegexBuilder};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) const DESCRIBE: Api = Api {
    name: "DescribeTransactions",
    key: 65,
    min: 0,
    max: 0,
    flexible_from: 0,
    request: &Shape { fields: &[Field::new(Kind::Each(&Kind::Text))], tags: &[] },
    handle: |broker, request| describe(broker, request).boxed(),
    probe: Request::probe::<DescribeTransactionsRequest>,
};

pub(crate) const LIST: Api = Api {
    name: "ListTransactions",
    key: 66,
    min: 0,
    max: 2,
    flexible_from: 0,
    request: &Shape {
        fields: &[
            Field::new(Kind::Each(&Kind::Text)),
            Field::new(Kind::Each(&Kind::Fixed(8))),
            Field::from(1, Kind::Fixed(8)),
            Field::from(2, Kind::Text),
        ],
        tags: &[],
    },
    handle: |broker, request| list(broker, request).boxed(),
    probe: Request::probe::<ListTransactionsRequest>,
};

/// Partitions one answer names at most: those of many usual transactions.
const PARTITIONS_TOLD_MAX: usize = 100_000;
/// What a partition takes in an answer, with its part of the topic's name.
const PARTITION_BYTES: usize = 64;
/// What a listed transaction takes in an answer.
const LISTED_BYTES: usize = 256;
/// What the pattern of one list may take in memory: strangers write it.
const PATTERN_BYTES_MAX: usize = 1 << 20;

async fn describe(broker: Arc<Broker>, request: Request) -> Result<Pending, WireError> {
    let asked: DescribeTransactionsRequest = request.decode()?;
    Ok(async move {
        let mut charge = Charge::default();
        let mut left = PARTITIONS_TOLD_MAX;
        let mut states = Vec::with_capacity(asked.transactional_ids.len());
        for id in asked.transactional_ids {
            let found = broker.transactions.describe(&id).await;
            let partitions = found.as_ref().map_or(0, |known| known.partitions.len());
            broker.answers.charge(&mut charge, partitions * PARTITION_BYTES).await;
            states.push(described(id, found, &mut left));
        }
        let response = DescribeTransactionsResponse::default().with_transaction_states(states);
        charged(request.reply(&response)?, charge)
    }
    .boxed())
}

fn charged(mut reply: Reply, mut charge: Charge) -> Result<Option<Reply>, WireError> {
    charge.shrink_to(reply.len());
    reply.charge = charge;
    Ok(Some(reply))
}

fn described(
    id: TransactionalId,
    found: Result<Transaction, TransactionError>,
    left: &mut usize,
) -> TransactionState {
    let state = TransactionState::default().with_transactional_id(id);
    match found {
        Ok(transaction) => match left.checked_sub(transaction.partitions.len()) {
            Some(rest) => {
                *left = rest;
                filled(state, &transaction)
            }
            None => state.with_error_code(number(ResponseError::PolicyViolation)),
        },
        Err(error) => {
            let code = match of_transaction_error(&error, true) {
                ResponseError::InvalidProducerIdMapping => ResponseError::TransactionalIdNotFound,
                other => other,
            };
            state.with_error_code(number(code))
        }
    }
}

fn filled(state: TransactionState, transaction: &Transaction) -> TransactionState {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for (topic, partition) in &transaction.partitions {
        topics.entry(topic).or_default().push(*partition);
    }
    let topics = topics.into_iter().map(|(topic, partitions)| {
        let name = TopicName(StrBytes::from_string(topic.to_owned()));
        TopicData::default().with_topic(name).with_partitions(partitions)
    });
    state
        .with_transaction_state(name(transaction.phase))
        .with_transaction_timeout_ms(transaction.timeout_ms)
        .with_transaction_start_time_ms(transaction.started_ms)
        .with_producer_id(transaction.producer_id.into())
        .with_producer_epoch(transaction.epoch)
        .with_topics(topics.collect())
}

fn name(phase: Phase) -> StrBytes {
    StrBytes::from_static_str(phase.name())
}

async fn list(broker: Arc<Broker>, request: Request) -> Result<Pending, WireError> {
    let asked: ListTransactionsRequest = request.decode()?;
    Ok(async move {
        let Ok(pattern) = pattern(&asked) else {
            let code = number(ResponseError::InvalidRegularExpression);
            let response = ListTransactionsResponse::default().with_error_code(code);
            return Ok(Some(request.reply(&response)?));
        };
        let known = |filter: &StrBytes| Phase::ALL.iter().any(|phase| phase.name() == &**filter);
        let unknown = asked.state_filters.iter().filter(|filter| !known(filter)).cloned();
        let response =
            ListTransactionsResponse::default().with_unknown_state_filters(unknown.collect());
        let mut charge = Charge::default();
        let response = match broker.transactions.list().await {
            Ok(all) => {
                broker.answers.charge(&mut charge, all.len() * LISTED_BYTES).await;
                let now_ms = broker.transactions.now_ms();
                let wanted = all.iter().filter(|(id, state)| {
                    pattern.as_ref().is_none_or(|pattern| pattern.is_match(id))
                        && wanted(&asked, state, now_ms)
                });
                response.with_transaction_states(wanted.map(listed).collect())
            }
            Err(error) => response.with_error_code(number(of_transaction_error(&error, true))),
        };
        charged(request.reply(&response)?, charge)
    }
    .boxed())
}

/// What an id is to match from its first to its last character; `None` where all are wanted.
fn pattern(asked: &ListTransactionsRequest) -> Result<Option<Regex>, regex::Error> {
    let Some(pattern) = asked.transactional_id_pattern.as_deref().filter(|text| !text.is_empty())
    else {
        return Ok(None);
    };
    let compiled = |text: &str| RegexBuilder::new(text).size_limit(PATTERN_BYTES_MAX).build();
    // By itself first: what surrounds it must not lend it brackets.
    compiled(pattern)?;
    compiled(&format!(r"\A(?:{pattern})\z")).map(Some)
}

fn wanted(asked: &ListTransactionsRequest, transaction: &Summary, now_ms: i64) -> bool {
    let phase = transaction.phase.name();
    let state = &asked.state_filters;
    let producer = &asked.producer_id_filters;
    (state.is_empty() || state.iter().any(|filter| &**filter == phase))
        && (producer.is_empty() || producer.iter().any(|id| id.0 == transaction.producer_id))
        && (asked.duration_filter < 0
            || (transaction.started_ms >= 0
                && now_ms.saturating_sub(transaction.started_ms) > asked.duration_filter))
}

fn listed((id, transaction): &(Arc<str>, Summary)) -> Listed {
    Listed::default()
        .with_transactional_id(TransactionalId(StrBytes::from_string(id.to_string())))
        .with_producer_id(transaction.producer_id.into())
        .with_transaction_state(name(transaction.phase))
}
