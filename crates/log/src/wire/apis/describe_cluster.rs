//! DescribeCluster: the one broker, and what the cluster is called.
//!
//! Guarantees: the same broker that Metadata names.
//! Left out: who may do what; controllers that are not brokers.

use super::operations::CLUSTER_OPERATIONS;
use super::{Api, Pending, answered};
use crate::wire::WireError;
use crate::wire::broker::{Broker, CLUSTER_ID, NODE_ID};
use crate::wire::error_code::number;
use crate::wire::guard::{Field, Kind, Shape};
use crate::wire::request::Request;
use futures::FutureExt;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::{DescribeClusterRequest, DescribeClusterResponse};
use kafka_protocol::protocol::StrBytes;
use std::sync::Arc;

pub(crate) const API: Api = Api {
    name: "DescribeCluster",
    key: 60,
    min: 0,
    max: 2,
    flexible_from: 0,
    request: &Shape {
        fields: &[
            Field::new(Kind::Fixed(1)),
            Field::from(1, Kind::Fixed(1)),
            Field::from(2, Kind::Fixed(1)),
        ],
        tags: &[],
    },
    handle: |broker, request| handle(broker, request).boxed(),
    probe: Request::probe::<DescribeClusterRequest>,
};

/// The kinds of endpoints a client may ask for.
const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

async fn handle(broker: Arc<Broker>, request: Request) -> Result<Pending, WireError> {
    let asked: DescribeClusterRequest = request.decode()?;
    let kind = if request.version >= 1 { asked.endpoint_type } else { BROKERS };
    let response = DescribeClusterResponse::default().with_endpoint_type(BROKERS);
    let refused = match kind {
        BROKERS => None,
        CONTROLLERS => Some((ResponseError::MismatchedEndpointType, "this is a broker")),
        _ => Some((ResponseError::UnsupportedEndpointType, "brokers (1) are known")),
    };
    let mut response = match refused {
        Some((error, reason)) => response
            .with_error_code(number(error))
            .with_error_message(Some(StrBytes::from_static_str(reason))),
        None => response
            .with_error_message(None)
            .with_cluster_id(StrBytes::from_static_str(CLUSTER_ID))
            .with_controller_id(NODE_ID.into())
            .with_brokers(vec![
                DescribeClusterBroker::default()
                    .with_broker_id(NODE_ID.into())
                    .with_host(broker.host.clone())
                    .with_port(broker.port)
                    .with_rack(None),
            ]),
    };
    if asked.include_cluster_authorized_operations && refused.is_none() {
        response.cluster_authorized_operations = CLUSTER_OPERATIONS;
    }
    Ok(answered(request.reply(&response)?))
}
