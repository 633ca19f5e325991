//! ListConfigResources: what has settings that can be described.
//!
//! Guarantees: every topic, and the broker; answers are charged before they are made.
//! Left out: loggers, groups and clients' metrics, which have no settings here: lists of them are
//! empty.

use super::{Api, BROKER_RESOURCE, Pending, TOPIC_RESOURCE};
use crate::wire::WireError;
use crate::wire::broker::{Broker, NODE_ID};
use crate::wire::budget::Charge;
use crate::wire::error_code::number;
use crate::wire::guard::{Field, Kind, Shape};
use crate::wire::request::Request;
use futures::FutureExt;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::list_config_resources_response::ConfigResource;
use kafka_protocol::messages::{ListConfigResourcesRequest, ListConfigResourcesResponse};
use kafka_protocol::protocol::StrBytes;
use std::sync::Arc;
use tradewind_types::Log;

pub(crate) const API: Api = Api {
    name: "ListConfigResources",
    key: 74,
    min: 0,
    max: 1,
    flexible_from: 0,
    request: &Shape { fields: &[Field::from(1, Kind::Each(&Kind::Fixed(1)))], tags: &[] },
    handle: |broker, request| handle(broker, request).boxed(),
    probe: Request::probe::<ListConfigResourcesRequest>,
};

/// Kinds that Kafka lists and that are empty here: loggers, clients' metrics, groups.
const EMPTY_KINDS: [i8; 3] = [8, 16, 32];
/// What a resource takes while the answer is made, and sent.
const ENTRY_BYTES: usize = 320;

async fn handle(broker: Arc<Broker>, request: Request) -> Result<Pending, WireError> {
    let asked: ListConfigResourcesRequest = request.decode()?;
    Ok(async move {
        let mut charge = Charge::default();
        let response = ListConfigResourcesResponse::default();
        let kinds = asked.resource_types;
        let served = |kind: &i8| [TOPIC_RESOURCE, BROKER_RESOURCE].contains(kind);
        let response = if !kinds.iter().all(|kind| served(kind) || EMPTY_KINDS.contains(kind)) {
            response.with_error_code(number(ResponseError::UnsupportedVersion))
        } else {
            // The first version lists nothing but clients' metrics.
            let wanted = |kind| request.version > 0 && (kinds.is_empty() || kinds.contains(&kind));
            let mut resources = Vec::new();
            if wanted(TOPIC_RESOURCE) {
                let topics = broker.store.topics();
                broker.answers.charge(&mut charge, topics.len() * ENTRY_BYTES).await;
                resources
                    .extend(topics.into_iter().map(|topic| resource(TOPIC_RESOURCE, topic.name)));
            }
            if wanted(BROKER_RESOURCE) {
                resources.push(resource(BROKER_RESOURCE, NODE_ID.to_string()));
            }
            response.with_config_resources(resources)
        };
        let mut reply = request.reply(&response)?;
        charge.shrink_to(reply.len());
        reply.charge = charge;
        Ok(Some(reply))
    }
    .boxed())
}

fn resource(kind: i8, name: String) -> ConfigResource {
    ConfigResource::default()
        .with_resource_type(kind)
        .with_resource_name(StrBytes::from_string(name))
}
