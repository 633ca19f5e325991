//! Arrow Flight SQL: what ADBC, JDBC and pyarrow read tables with, a batch at a time.
//!
//! Guarantees: connections, sessions, prepared statements and tickets are bounded in number and
//! time; an answer is made as its client takes it; a statement ends with its time, with a cancel, or
//! with its client.
//! Left out: TLS, and asking who a client is.

mod answer;
mod catalogue;
mod connection;
mod held;
mod info;
mod parameters;
mod service;
mod sessions;
mod statements;
mod status;

use crate::ServeError;
use arrow_flight::flight_service_server::FlightServiceServer;
use service::Flight;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::time::sleep;
use tonic::transport::Server;
use tradewind_analyze::Platform;
use tradewind_types::Clock;

/// Calls of one connection at once: a pool's worth.
const STREAMS_MAX: u32 = 128;
/// A message of a client: a batch of parameters or rows.
const MESSAGE_BYTES_MAX: usize = 16 << 20;
/// The headers of a call.
const HEADER_BYTES_MAX: u32 = 16 << 10;
/// What a call may have sent that is not looked at yet, and all calls of a connection.
const WINDOW_BYTES: u32 = 1 << 20;
/// Between two pings to a client that says nothing, and how long it may take to answer one.
const PING: Duration = Duration::from_secs(30);

/// What the Flight port may cost.
#[derive(Debug, Clone)]
pub struct FlightLimits {
    /// Connections at once; more are closed as they come.
    pub connections_max: usize,
    /// How long a statement may run, its answer's way included.
    pub statement_timeout: Duration,
    /// How long calls under way may take once a stop was asked for.
    pub shutdown_timeout: Duration,
}

impl Default for FlightLimits {
    fn default() -> Self {
        Self {
            connections_max: 256,
            statement_timeout: Duration::from_secs(600),
            shutdown_timeout: Duration::from_secs(10),
        }
    }
}

/// Serves Flight SQL on `listener` until `shutdown` is done and the calls under way are answered,
/// or their time is up.
///
/// # Errors
/// The server's description of itself cannot be made.
pub fn serve(
    listener: TcpListener,
    platform: Platform,
    clock: Arc<dyn Clock>,
    limits: FlightLimits,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<impl Future<Output = ()> + Send + 'static, ServeError> {
    let flight = Flight::new(platform, clock, &limits)
        .map_err(|error| ServeError::Flight(error.to_string()))?;
    let service = FlightServiceServer::new(flight)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(usize::MAX);
    let incoming = connection::incoming(listener, limits.connections_max);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = Server::builder()
        .max_concurrent_streams(STREAMS_MAX)
        .http2_max_header_list_size(HEADER_BYTES_MAX)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .http2_keepalive_interval(Some(PING))
        .http2_keepalive_timeout(Some(PING))
        .add_service(service)
        .serve_with_incoming_shutdown(incoming, async {
            // A sender that is gone means the same.
            let _ = stopped.await;
        });
    Ok(async move {
        let stopping = async {
            shutdown.await;
            let _ = stop.send(());
            sleep(limits.shutdown_timeout).await;
        };
        tokio::select! {
            ended = serving => if let Err(error) = ended {
                tracing::error!(%error, "the Flight port has ended");
            },
            () = stopping => tracing::warn!("calls of the Flight port were cut at the stop"),
        }
    })
}
