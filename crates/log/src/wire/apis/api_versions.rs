//! ApiVersions: which versions of which APIs this broker serves.
//!
//! Guarantees: a version from the future is answered in the oldest form with
//! UNSUPPORTED_VERSION and the range of this API, so that the client can ask again. The ranges
//! are those of one Kafka release, since kafka-python infers the broker's age from them; Produce
//! starts at 0, since librdkafka stops compressing otherwise. Of the features clients look at one
//! is announced: [`TRANSACTION_VERSION`].

use super::{APIS, Api, Pending, answered};
use crate::transactions::RISING_EPOCHS;
use crate::wire::WireError;
use crate::wire::broker::Broker;
use crate::wire::error_code::number;
use crate::wire::guard::{Field, Kind, Shape};
use crate::wire::request::{Request, encode};
use futures::FutureExt;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::api_versions_response::{
    ApiVersion, FinalizedFeatureKey, SupportedFeatureKey,
};
use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};
use kafka_protocol::protocol::StrBytes;
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

/// The feature that tells clients to leave out AddPartitionsToTxn and AddOffsetsToTxn, because
/// Produce and TxnOffsetCommit do what those do, and to expect a new epoch from each EndTxn
/// (KIP-890). Kafka's name and level.
const TRANSACTION_VERSION: (&str, i16) = ("transaction.version", RISING_EPOCHS);
/// Features never change while a server runs, so neither does their epoch.
const FEATURES_EPOCH: i64 = 0;
/// The first version with features.
const FEATURES_FROM: i16 = 3;
/// The first version that may be told of a feature that begins at level 0.
const LEVEL_ZERO_FROM: i16 = 4;

async fn handle(_: Arc<Broker>, request: Request) -> Result<Pending, WireError> {
    request.probe::<ApiVersionsRequest>()?;
    let apis = APIS.iter().map(|api| described(api)).collect();
    let response = ApiVersionsResponse::default().with_api_keys(apis);
    Ok(answered(request.reply(&with_features(response, request.version))?))
}

fn with_features(response: ApiVersionsResponse, version: i16) -> ApiVersionsResponse {
    if version < FEATURES_FROM {
        return response;
    }
    let (name, level) = TRANSACTION_VERSION;
    let name = StrBytes::from_static_str(name);
    let finalized = FinalizedFeatureKey::default()
        .with_name(name.clone())
        .with_min_version_level(level)
        .with_max_version_level(level);
    let response = response
        .with_finalized_features_epoch(FEATURES_EPOCH)
        .with_finalized_features(vec![finalized]);
    if version < LEVEL_ZERO_FROM {
        return response;
    }
    let supported =
        SupportedFeatureKey::default().with_name(name).with_min_version(0).with_max_version(level);
    response.with_supported_features(vec![supported])
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
