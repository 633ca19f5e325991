//! The APIs of the Kafka port, one file each.
//!
//! Guarantees: [`APIS`] is the whole list; what is advertised, guarded and dispatched comes from
//! it. To add an API, write its file and its line here.
//! Left out: groups; [`find_coordinator`] says so to clients that ask.

mod add_offsets_to_txn;
mod add_partitions_to_txn;
mod api_versions;
mod create_topics;
mod delete_topics;
mod describe_producers;
mod describe_transactions;
mod end_txn;
mod fetch;
mod find_coordinator;
mod init_producer_id;
mod list_offsets;
mod metadata;
mod produce;
mod produce_old;
mod write_txn_markers;

pub(crate) use api_versions::future as future_api_versions;

use super::WireError;
use super::broker::Broker;
use super::guard::Shape;
use super::request::{Reply, Request};
use futures::future::{BoxFuture, FutureExt, ready};
use std::sync::Arc;

/// Every API, in the order it is advertised.
const APIS: &[&Api] = &[
    &produce::API,
    &fetch::API,
    &list_offsets::API,
    &metadata::API,
    &find_coordinator::API,
    &api_versions::API,
    &create_topics::API,
    &delete_topics::API,
    &init_producer_id::API,
    &add_partitions_to_txn::API,
    &add_offsets_to_txn::API,
    &end_txn::API,
    &write_txn_markers::API,
    &describe_producers::API,
    &describe_transactions::DESCRIBE,
    &describe_transactions::LIST,
];

/// Produce's key: its frames may be larger and may overlap.
pub(crate) const PRODUCE_KEY: i16 = produce::API.key;
/// ApiVersions' key: it is answered in every version.
pub(crate) const API_VERSIONS_KEY: i16 = api_versions::API.key;

/// One API: its versions, its shape and what serves it.
#[derive(Debug)]
pub(crate) struct Api {
    pub(crate) name: &'static str,
    pub(crate) key: i16,
    /// The versions advertised.
    pub(crate) min: i16,
    pub(crate) max: i16,
    /// The first version with compact lengths and tags.
    pub(crate) flexible_from: i16,
    pub(crate) request: &'static Shape,
    pub(crate) handle: Handle,
    /// Decodes a request and drops it.
    pub(crate) probe: fn(&Request) -> Result<(), WireError>,
}

/// Serves a request: the future does what must happen in the order of the requests, and gives
/// what may still be waited for while others start.
pub(crate) type Handle = fn(Arc<Broker>, Request) -> BoxFuture<'static, Result<Pending, WireError>>;

/// An answer under way. `None` is a request that asked for none.
pub(crate) type Pending = BoxFuture<'static, Result<Option<Reply>, WireError>>;

/// An answer that is ready.
pub(crate) fn answered(reply: Reply) -> Pending {
    ready(Ok(Some(reply))).boxed()
}

/// The API of `key`.
pub(crate) fn by_key(key: i16) -> Option<&'static Api> {
    APIS.iter().copied().find(|api| api.key == key)
}

/// Whether a frame (from its API key on) is a produce.
pub(crate) fn is_produce(frame: &[u8]) -> bool {
    frame.starts_with(&PRODUCE_KEY.to_be_bytes())
}

/// The versions served: name, key, lowest, highest.
pub fn versions() -> impl Iterator<Item = (&'static str, i16, i16, i16)> {
    APIS.iter().map(|api| (api.name, api.key, api.min, api.max))
}
