//! Consumer groups: who reads what, and how far, as Apache Kafka's classic protocol has it.
//!
//! Guarantees: a committed offset is answered, and visible, once it is durable, and never goes
//! back; members are told an assignment once it is stored; everything a client can make grow has a
//! bound in [`GroupSettings`]. Groups survive a restart with their generation, members,
//! assignments and offsets, as records in [`OFFSETS_TOPIC`] that Kafka's own tools can read.
//! Left out: the newer protocol in which the broker assigns (KIP-848), and share groups.
//!
//! [`machine`], [`rebalance`] and [`session`] are one group without disk and clock; [`registry`]
//! is all of them; [`lanes`] and [`load`] are the log; [`coordinator`] joins these and is what the
//! wire calls.

mod coordinator;
mod error;
mod lanes;
mod load;
mod machine;
mod member;
#[cfg(test)]
mod model;
mod offsets;
mod rebalance;
mod registry;
mod session;
mod settings;
mod stored;
mod subscription;

pub use coordinator::{GroupCoordinator, GroupView, MemberView, OffsetView};
pub use error::GroupError;
pub use lanes::OFFSETS_TOPIC;
pub use machine::GroupState;
pub use settings::GroupSettings;

pub(crate) use coordinator::Commit;
pub(crate) use lanes::PartOf;
pub(crate) use machine::Group;
pub(crate) use member::{Identity, Join, JoinAnswer, Protocol, Subscription, Sync};
pub(crate) use offsets::{Committed, Place};
