//! The APIs of the Kafka port, one file each.
//!
//! Guarantees: [`APIS`] is the whole list; what is advertised, guarded and dispatched comes from
//! it. To add an API, write its file and its line here.

mod add_offsets_to_txn;
mod add_partitions_to_txn;
mod alter_configs;
mod alter_partition_reassignments;
mod alter_replica_log_dirs;
mod api_versions;
mod create_partitions;
mod create_topics;
mod delete_groups;
mod delete_records;
mod delete_topics;
mod describe_cluster;
mod describe_configs;
mod describe_groups;
mod describe_log_dirs;
mod describe_producers;
mod describe_topic_partitions;
mod describe_transactions;
mod elect_leaders;
mod end_txn;
mod fetch;
mod fetch_answer;
mod find_coordinator;
mod heartbeat;
mod incremental_alter_configs;
mod init_producer_id;
mod join_group;
mod leave_group;
mod list_config_resources;
mod list_groups;
mod list_offsets;
mod list_partition_reassignments;
mod metadata;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod offset_for_leader_epoch;
mod offsets_by_id;
mod operations;
mod produce;
mod produce_old;
mod sync_group;
mod txn_offset_commit;
mod write_txn_markers;

pub(crate) use api_versions::future as future_api_versions;
pub(crate) use describe_configs::{
    BROKER as BROKER_RESOURCE, TOPIC as TOPIC_RESOURCE, check_broker, unknown_kind,
};

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
    &offset_commit::API,
    &offset_fetch::API,
    &find_coordinator::API,
    &join_group::API,
    &heartbeat::API,
    &leave_group::API,
    &sync_group::API,
    &describe_groups::API,
    &list_groups::API,
    &api_versions::API,
    &create_topics::API,
    &delete_topics::API,
    &init_producer_id::API,
    &txn_offset_commit::API,
    &delete_groups::API,
    &offset_delete::API,
    &create_partitions::API,
    &describe_configs::API,
    &incremental_alter_configs::API,
    &alter_configs::API,
    &delete_records::API,
    &offset_for_leader_epoch::API,
    &describe_cluster::API,
    &describe_topic_partitions::API,
    &describe_log_dirs::API,
    &alter_replica_log_dirs::API,
    &list_config_resources::API,
    &elect_leaders::API,
    &alter_partition_reassignments::API,
    &list_partition_reassignments::API,
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
/// Fetch's key: its answers count against a quota.
pub(crate) const FETCH_KEY: i16 = fetch::API.key;
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

/// Whether a request of this API may wait for other clients, as long as a rebalance takes.
pub(crate) fn parks(api: &Api) -> bool {
    [join_group::API.key, sync_group::API.key].contains(&api.key)
}

/// The versions served: name, key, lowest, highest.
pub fn versions() -> impl Iterator<Item = (&'static str, i16, i16, i16)> {
    APIS.iter().map(|api| (api.name, api.key, api.min, api.max))
}
