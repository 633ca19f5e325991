//! The Postgres port: SQL sessions for PostgreSQL's clients, one for each connection.
//!
//! Guarantees: what strangers can make the process hold is bounded by [`PostgresLimits`]; answers
//! are streamed, portals and cursors included, and none is kept; garbage ends the connection it
//! came on and nothing else; a client that goes away, or asks through another connection, ends its
//! statement; a stop lets statements under way finish.
//! Left out: TLS, which is refused politely, and passwords. Their place is `startup`.

mod answer;
mod cancel;
mod civil;
mod connection;
mod copy_in;
mod copy_out;
mod decode;
mod encode;
mod extended;
mod failure;
mod io;
mod limits;
mod message;
mod numeric;
mod portal;
mod query;
mod startup;
mod types;

pub use limits::PostgresLimits;

use crate::subscribe::Subscribers;
use cancel::Cancels;
use connection::Shared;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tradewind_analyze::Platform;

/// Waiting after `accept` failed: out of file handles, most likely, and they come back.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);
/// Connections that are told that there are too many, at once; further ones are just closed.
const REFUSALS_MAX: usize = 64;

/// Why a connection of the Postgres port was closed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    /// The peer went away.
    #[error("the peer closed in the middle of a message or an answer")]
    Cut,
    /// The socket failed.
    #[error("the socket failed: {0}")]
    Socket(#[from] std::io::Error),
    /// A message that says it is too long.
    #[error("a message of {length} bytes, and {most} are allowed")]
    TooLong {
        /// What it says.
        length: usize,
        /// What its kind may be.
        most: usize,
    },
    /// A length that is none.
    #[error("a message's length is less than itself")]
    Length,
    /// Nothing moved for too long.
    #[error("a message or an answer stalled")]
    Stalled,
    /// The budget for long messages is used up.
    #[error("too many long messages are being received")]
    Busy,
    /// The message's parts do not hold.
    #[error("{0}")]
    Malformed(#[from] message::Malformed),
    /// A message of ours could not be written: our mistake.
    #[error("a message cannot be written: {0}")]
    Unwritable(String),
    /// The client broke the order of messages.
    #[error("{0}")]
    Order(&'static str),
    /// A client that does not say who it is, or says what cannot be.
    #[error("{0}")]
    Startup(String),
    /// Nothing came for longer than the idle timeout.
    #[error("idle for too long")]
    Idle,
    /// The server is stopping.
    #[error("the server is stopping")]
    Stopping,
}

/// Serves connections on `listener` until `shutdown` is done and the statements under way are
/// answered, or their time is up.
pub async fn serve(
    listener: TcpListener,
    platform: Platform,
    subscribers: Subscribers,
    limits: PostgresLimits,
    shutdown: impl Future<Output = ()>,
) {
    let (stop, stopping) = watch::channel(false);
    let slots = Arc::new(Semaphore::new(limits.connections_max));
    let refusals = Arc::new(Semaphore::new(REFUSALS_MAX));
    let shared = Arc::new(Shared {
        platform,
        subscribers,
        cancels: Arc::<Cancels>::default(),
        budget: Arc::new(io::budget(&limits)),
        limits: Arc::new(limits),
        stopping,
    });
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a Postgres connection could not be accepted");
                tokio::time::sleep(ACCEPT_BACKOFF).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let shared = Arc::clone(&shared);
        let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
            metrics::counter!("postgres_connections_refused_total").increment(1);
            if let Ok(place) = Arc::clone(&refusals).try_acquire_owned() {
                tokio::spawn(async move {
                    startup::refuse(stream, &shared).await;
                    drop(place);
                });
            }
            continue;
        };
        tokio::spawn(async move {
            metrics::gauge!("postgres_connections").increment(1.0);
            if let Err(error) = connection::run(stream, shared).await {
                tracing::debug!(%peer, %error, "a Postgres connection was closed");
            }
            metrics::gauge!("postgres_connections").decrement(1.0);
            drop(slot);
        });
    }
    drop(listener);
    let _ = stop.send(true);
    // All slots are free again when the last connection has ended.
    let all = u32::try_from(shared.limits.connections_max).unwrap_or(u32::MAX);
    let _ = timeout(shared.limits.drain_timeout, slots.acquire_many(all)).await;
}
