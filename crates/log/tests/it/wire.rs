//! The Kafka port over real sockets: every version, the limits, hostile peers, real clients.

mod admin;
mod clients;
mod group_client;
mod group_offsets;
mod groups;
pub(crate) mod harness;
mod hostile;
mod memory;
mod old_versions;
mod own_client;
mod placement;
mod produce_fetch;
mod producers;
mod quotas;
mod topics;
mod transactional_clients;
mod transactional_offsets;
mod transactions;
mod versions;
