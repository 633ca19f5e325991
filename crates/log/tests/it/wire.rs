//! The Kafka port over real sockets: every version, the limits, hostile peers, real clients.

mod clients;
mod group_client;
mod group_offsets;
mod groups;
mod harness;
mod hostile;
mod memory;
mod old_versions;
mod produce_fetch;
mod topics;
mod versions;
