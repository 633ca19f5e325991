//! The Kafka port: the log as a broker that Kafka clients produce to and consume from.
//!
//! Guarantees: a request is decoded only after [`guard`] has held its lengths and counts against
//! the bytes that are there; what strangers can make the process hold is bounded by
//! [`WireLimits`]; answers leave in the order of the requests; `acks=all` is answered after the
//! fsync; nothing above the high watermark is served. Garbage ends the connection it came on and
//! nothing else.
//! Left out: TLS and SASL. Their place is the connection's stage.

pub(crate) mod apis;
mod broker;
mod broker_settings;
mod budget;
mod connection;
mod error_code;
mod frame;
mod group_error;
pub mod guard;
mod in_transaction;
mod limits;
mod listener;
mod message_set;
mod open_files;
mod quota;
mod request;
mod settings_change;
mod topics;

pub use apis::versions;
pub use frame::check_prologue;
pub use limits::{KeptTopics, QuotaLimits, SLOWEST_BYTES_PER_SECOND, WireLimits};
pub use listener::serve;
pub use message_set::records as message_set_records;
pub use open_files::raise_open_files;
pub use request::check_frame;

/// Why a connection of the Kafka port was closed.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The peer went away in the middle of a frame.
    #[error("the peer closed in the middle of a request or an answer")]
    Cut,
    /// The socket failed.
    #[error("the socket failed: {0}")]
    Socket(#[from] std::io::Error),
    /// A frame is longer than its kind may be, or too short to be one.
    #[error("a frame of {claimed} bytes, between 8 and {allowed} are allowed")]
    FrameLength {
        /// What the wire says.
        claimed: i32,
        /// The limit that applies, `produce_bytes_max` or `request_bytes_max`.
        allowed: usize,
    },
    /// An API this broker does not have.
    #[error("api key {key} is not served")]
    UnknownApi {
        /// The key asked for.
        key: i16,
    },
    /// A version of an API that was not advertised.
    #[error("{api} version {version} is not served")]
    UnknownVersion {
        /// The API's name.
        api: &'static str,
        /// The version asked for.
        version: i16,
    },
    /// A length or count in the request does not hold.
    #[error("{part} is malformed: {reason}")]
    Malformed {
        /// The API's name, or `request header`.
        part: &'static str,
        /// What does not hold.
        reason: guard::Malformed,
    },
    /// The request's lengths hold but its content does not.
    #[error("{api} version {version} cannot be read: {reason}")]
    Unreadable {
        /// The API's name.
        api: &'static str,
        /// The request's version.
        version: i16,
        /// The decoder's words.
        reason: String,
    },
    /// An answer could not be written in the request's version: our mistake.
    #[error("{api} version {version} cannot be answered: {reason}")]
    Unanswerable {
        /// The API's name.
        api: &'static str,
        /// The request's version.
        version: i16,
        /// The encoder's words.
        reason: String,
    },
    /// A produce with `acks=0` failed: closing is the only way to tell.
    #[error("a produce that asked for no answer failed: {0}")]
    UnansweredProduce(String),
    /// Nothing came for longer than the idle timeout.
    #[error("idle for too long")]
    Idle,
    /// A request or answer took longer than a working peer needs.
    #[error("{0} stalled")]
    Stalled(&'static str),
}
