//! The serving edge over HTTP: `POST /api/sql`, `/api/subscribe`, `/api/live`, the dashboard and its
//! panels, `/healthz`, `/metrics`, and the loop that runs every HTTP route of the server.
//!
//! Guarantees: what one connection, one request or one answer may cost is bounded by [`Limits`]
//! and [`SqlLimits`]; a client that goes away ends its query.
//! Left out: which routes there are beside these; the binary merges the collectors' in.

mod changes;
mod dashboard;
mod figures;
mod filter;
pub mod flight;
pub mod health;
pub mod http;
mod live;
pub mod metrics;
mod openapi;
mod origin;
mod panels;
pub mod postgres;
pub mod render;
mod rendered;
mod sql;
mod subscribe;

pub use dashboard::{dashboard, shop_pages, tracker};
pub use health::Health;
pub use http::Limits;
pub use live::live_router;
pub use openapi::{OPENAPI, openapi_router};
pub use origin::refusal as origin_refusal;
pub use panels::panels_router;
pub use postgres::PostgresLimits;
pub use sql::{SqlLimits, sql_router};
pub use subscribe::{SubscribeLimits, Subscribers, subscribe_router};

/// Why the edge could not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Another recorder was installed in this process.
    #[error("metrics cannot be recorded: {0}")]
    Metrics(String),
    /// The Flight port cannot describe itself.
    #[error("the Flight port cannot start: {0}")]
    Flight(String),
}
