//! Why a group refuses a request.
//!
//! Guarantees: one variant for each thing a client acts on differently.
//! Left out: Kafka's numbers, which stand in the wire module.

use tradewind_types::LogError;
use tradewind_types::log::ProducerFault;

/// Why a group did not do what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    /// No member of that id, or a group nobody knows.
    #[error("the group has no member of that id")]
    UnknownMember,
    /// Another process has joined under the same `group.instance.id`.
    #[error("another member has taken this group.instance.id")]
    FencedInstance,
    /// The generation is not the group's.
    #[error("the generation is not the group's")]
    IllegalGeneration,
    /// The group is rebalancing: join again.
    #[error("the group is rebalancing")]
    RebalanceInProgress,
    /// Nothing all members could agree on.
    #[error("the member shares no protocol with the group")]
    InconsistentProtocol,
    /// Join again under the id that comes with this.
    #[error("join again with the member id that was given")]
    MemberIdRequired,
    /// A bound on groups, members or their bytes is reached.
    #[error("the group, or the room for groups, is full")]
    Full,
    /// Empty, or longer than 255 bytes.
    #[error("the group id is empty or longer than 255 bytes")]
    InvalidGroupId,
    /// Outside the session timeouts allowed.
    #[error("the session timeout is outside what is allowed")]
    InvalidSessionTimeout,
    /// No such group.
    #[error("there is no such group")]
    NotFound,
    /// It has members, or is about to.
    #[error("the group has members")]
    NotEmpty,
    /// Members read this topic: its offsets stay.
    #[error("members of the group read this topic")]
    Subscribed,
    /// The text committed with an offset is too long.
    #[error("the metadata of an offset is too long")]
    MetadataTooLarge,
    /// More offsets than one record batch, or the memory for offsets, holds.
    #[error("the offsets do not fit")]
    CommitTooLarge,
    /// No such topic, or it has fewer partitions.
    #[error("there is no such topic or partition")]
    UnknownPartition,
    /// A transaction that has not ended holds an offset for this partition.
    #[error("an offset of this partition is part of an open transaction")]
    Unstable,
    /// A newer producer of this transaction has taken over.
    #[error("a newer producer has taken over this transaction")]
    FencedProducer,
    /// The transaction the offsets are part of has ended, or was not asked about.
    #[error("the offsets' transaction is not open")]
    NoTransaction,
    /// `__consumer_offsets` is being read.
    #[error("the groups are being loaded")]
    Loading,
    /// Not now: the log is busy, full or closing.
    #[error("the groups cannot be stored at the moment")]
    NotAvailable,
    /// The log has failed; only a restart helps.
    #[error("the groups cannot be stored until a restart")]
    Failed,
}

impl From<&LogError> for GroupError {
    fn from(error: &LogError) -> Self {
        match error {
            LogError::Invalid(_) => Self::CommitTooLarge,
            LogError::Producer { fault: ProducerFault::StaleEpoch { .. }, .. } => {
                Self::FencedProducer
            }
            LogError::Producer { .. } => Self::NoTransaction,
            LogError::Offline { .. } | LogError::Io { .. } | LogError::Corrupt { .. } => {
                Self::Failed
            }
            _ => Self::NotAvailable,
        }
    }
}
