//! DescribeTransactions and ListTransactions: what the coordinator knows.
//!
//! Guarantees: each transactional id has its own result; lists are in the order of the ids.
//! Left out: the newest list's pattern, which needs Kafka's regular expressions.

use super::{Api, Pending};
use crate::transactions::{Phase, Transaction};
use crate::wire::WireError;
use crate::wire::broker::Broker;
use crate::wire::error_code::{number, of_transaction_error};
use crate::wire::guard::{Field, Kind, Shape};
use crate::wire::request::Request;
use futures::FutureExt;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_transactions_response::{TopicData, TransactionState};
use kafka_protocol::messages::list_transactions_response::TransactionState as Listed;
use kafka_protocol::messages::{
    DescribeTransactionsRequest, DescribeTransactionsResponse, ListTransactionsRequest,
    ListTransactionsResponse, TopicName, TransactionalId,
};
use kafka_protocol::protocol::StrBytes;
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
    max: 1,
    flexible_from: 0,
    request: &Shape {
        fields: &[
            Field::new(Kind::Each(&Kind::Text)),
            Field::new(Kind::Each(&Kind::Fixed(8))),
            Field::from(1, Kind::Fixed(8)),
        ],
        tags: &[],
    },
    handle: |broker, request| list(broker, request).boxed(),
    probe: Request::probe::<ListTransactionsRequest>,
};

async fn describe(broker: Arc<Broker>, request: Request) -> Result<Pending, WireError> {
    let asked: DescribeTransactionsRequest = request.decode()?;
    Ok(async move {
        let mut states = Vec::with_capacity(asked.transactional_ids.len());
        for id in asked.transactional_ids {
            states.push(described(&broker, id).await);
        }
        let response = DescribeTransactionsResponse::default().with_transaction_states(states);
        request.reply(&response).map(Some)
    }
    .boxed())
}

async fn described(broker: &Broker, id: TransactionalId) -> TransactionState {
    let state = TransactionState::default().with_transactional_id(id.clone());
    match broker.transactions.describe(&id).await {
        Ok(transaction) => filled(state, &transaction),
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
        let known = |filter: &StrBytes| Phase::ALL.iter().any(|phase| phase.name() == &**filter);
        let unknown = asked.state_filters.iter().filter(|filter| !known(filter)).cloned();
        let response =
            ListTransactionsResponse::default().with_unknown_state_filters(unknown.collect());
        let response = match broker.transactions.list().await {
            Ok(all) => {
                let now_ms = broker.transactions.now_ms();
                let wanted = all.iter().filter(|(_, state)| wanted(&asked, state, now_ms));
                response.with_transaction_states(wanted.map(listed).collect())
            }
            Err(error) => response.with_error_code(number(of_transaction_error(&error, true))),
        };
        request.reply(&response).map(Some)
    }
    .boxed())
}

fn wanted(asked: &ListTransactionsRequest, transaction: &Transaction, now_ms: i64) -> bool {
    let phase = transaction.phase.name();
    let state = &asked.state_filters;
    let producer = &asked.producer_id_filters;
    (state.is_empty() || state.iter().any(|filter| &**filter == phase))
        && (producer.is_empty() || producer.iter().any(|id| id.0 == transaction.producer_id))
        && (asked.duration_filter < 0
            || (transaction.started_ms >= 0
                && now_ms.saturating_sub(transaction.started_ms) > asked.duration_filter))
}

fn listed((id, transaction): &(Arc<str>, Transaction)) -> Listed {
    Listed::default()
        .with_transactional_id(TransactionalId(StrBytes::from_string(id.to_string())))
        .with_producer_id(transaction.producer_id.into())
        .with_transaction_state(name(transaction.phase))
}
