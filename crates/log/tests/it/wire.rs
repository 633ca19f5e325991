//! The Kafka port over real sockets: every version, the limits, hostile peers, real clients.

mod clients;
pub(crate) mod harness;
mod hostile;
mod memory;
mod old_versions;
mod produce_fetch;
mod producers;
mod topics;
mod transactional_clients;
mod transactions;
mod versions;
