//! AlterConfigs: a resource's settings, all of them at once; what is not named goes back to its
//! default.
//!
//! Guarantees: those of `settings_change`. Left out: brokers' settings, which are in its file.

use super::{Api, Pending, answered};
use crate::wire::WireError;
use crate::wire::broker::Broker;
use crate::wire::guard::{Field, Kind, Shape};
use crate::wire::request::Request;
use crate::wire::settings_change::{self, Outcome, Resource, replace};
use futures::FutureExt;
use kafka_protocol::messages::alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::{AlterConfigsRequest, AlterConfigsResponse};
use std::sync::Arc;

const CONFIG: Shape =
    Shape { fields: &[Field::new(Kind::Text), Field::new(Kind::Text)], tags: &[] };
const RESOURCE: Shape = Shape {
    fields: &[Field::new(Kind::Fixed(1)), Field::new(Kind::Text), Field::new(Kind::Array(&CONFIG))],
    tags: &[],
};

pub(crate) const API: Api = Api {
    name: "AlterConfigs",
    key: 33,
    min: 0,
    max: 2,
    flexible_from: 2,
    request: &Shape {
        fields: &[Field::new(Kind::Array(&RESOURCE)), Field::new(Kind::Fixed(1))],
        tags: &[],
    },
    handle: |broker, request| handle(broker, request).boxed(),
    probe: Request::probe::<AlterConfigsRequest>,
};

async fn handle(broker: Arc<Broker>, request: Request) -> Result<Pending, WireError> {
    let asked: AlterConfigsRequest = request.decode()?;
    let resources = asked.resources.iter().map(|resource| Resource {
        kind: resource.resource_type,
        name: resource.resource_name.clone(),
        names: resource.configs.iter().map(|config| config.name.clone()).collect(),
    });
    let resources: Vec<Resource> = resources.collect();
    let twice = settings_change::named_twice(&resources);
    let mut responses = Vec::with_capacity(resources.len());
    for (resource, asked_for) in resources.iter().zip(asked.resources) {
        let settings = asked_for.configs.into_iter().map(|config| (config.name, config.value));
        let change = replace(settings.collect());
        let changed =
            settings_change::apply(&broker, &twice, resource, asked.validate_only, change);
        let Outcome { code, message } = changed.await;
        responses.push(
            AlterConfigsResourceResponse::default()
                .with_resource_type(resource.kind)
                .with_resource_name(resource.name.clone())
                .with_error_code(code)
                .with_error_message(message),
        );
    }
    Ok(answered(request.reply(&AlterConfigsResponse::default().with_responses(responses))?))
}
