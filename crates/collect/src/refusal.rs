//! Why a whole request is refused, to be told to its sender.
//!
//! Left out: HTTP status codes, which exist only at the edge (see `http::answer`).

/// A request that was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The sender is not known.
    #[error("{reason}")]
    Unauthorized {
        /// What is missing or wrong.
        reason: &'static str,
    },
    /// The body cannot be read. It was kept as a dead letter, as far as `kept` says.
    #[error("{reason}")]
    Unreadable {
        /// What is wrong with it.
        reason: String,
        /// Bytes of it that are in `dead_letters`.
        kept_bytes: usize,
    },
    /// More is under way than there is room for: the sender shall come back soon.
    #[error("{reason}")]
    Busy {
        /// Which bound was met.
        reason: &'static str,
    },
    /// Nothing can be made durable now: the sender shall come back later. Some events of the
    /// request may have been taken; sent again under their message ids they are duplicates.
    #[error("{reason}")]
    Unavailable {
        /// What stands in the way.
        reason: String,
    },
}
