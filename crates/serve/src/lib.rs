//! The serving edge over HTTP: `POST /api/sql`, `/api/subscribe`, `/healthz`, `/metrics`, and the
//! loop that runs every HTTP route of the server.
//!
//! Guarantees: what one connection, one request or one answer may cost is bounded by [`Limits`]
//! and [`SqlLimits`]; a client that goes away ends its query.
//! Left out: which routes there are beside these; the binary merges the collectors' in.

mod changes;
mod figures;
pub mod health;
mod home;
pub mod http;
pub mod metrics;
mod origin;
pub mod render;
mod sql;
mod subscribe;

pub use health::Health;
pub use home::home;
pub use http::Limits;
pub use origin::refusal as origin_refusal;
pub use sql::{SqlLimits, sql_router};
pub use subscribe::{SubscribeLimits, Subscribers, subscribe_router};

/// Why the edge could not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Another recorder was installed in this process.
    #[error("metrics cannot be recorded: {0}")]
    Metrics(String),
}
