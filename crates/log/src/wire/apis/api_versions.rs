//! ApiVersions: which versions of which APIs this broker serves.
//!
//! Guarantees: a version from the future is answered in the oldest form with
//! UNSUPPORTED_VERSION and the range of this API, so that the client can ask again. The ranges
//! are those of one Kafka release, since kafka-python infers the broker's age from them; Produce
//! starts at 0, since librdkafka stops compressing otherwise.

use super::{APIS, Api, Pending, answered};
use crate::wire::WireError;
use crate::wire::broker::Broker;
use crate::wire::error_code::number;
use crate::wire::guard::{Field, Kind, Shape};
use crate::wire::request::{Request, encode};
use futures::FutureExt;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};
use std::sync::Arc;

pub(crate) const API: Api = Api {
    name: "ApiVersions",
    key: 18,
    min: 0,
    max: 4,
    flexible_from: 3,
    request: &Shape {
        fields: &[Field::from(3, Kind::Text), Field::from(3, Kind::Text)],
        tags: &[],
    },
    handle: |broker, request| handle(broker, request).boxed(),
    probe: Request::probe::<ApiVersionsRequest>,
};

async fn handle(_: Arc<Broker>, request: Request) -> Result<Pending, WireError> {
    request.probe::<ApiVersionsRequest>()?;
    let apis = APIS.iter().map(|api| described(api)).collect();
    Ok(answered(request.reply(&ApiVersionsResponse::default().with_api_keys(apis))?))
}

/// The answer to a version this broker does not know.
pub(crate) fn future(correlation: i32) -> Result<Pending, WireError> {
    let response = ApiVersionsResponse::default()
        .with_error_code(number(ResponseError::UnsupportedVersion))
        .with_api_keys(vec![described(&API)]);
    encode(correlation, 0, &response).map(answered).map_err(|reason| WireError::Unanswerable {
        api: API.name,
        version: 0,
        reason,
    })
}

fn described(api: &Api) -> ApiVersion {
    ApiVersion::default().with_api_key(api.key).with_min_version(api.min).with_max_version(api.max)
}
