//! `GET /api/openapi.json`: the description of everything the HTTP port answers, as
//! `docs/openapi.json` has it.
//!
//! Guarantees: it is the file; a test walks the server's routes, and fails when one is not in it, or
//! it describes one that is not there.
//! Left out: making it from the code, which would put its words into every crate that has a route.

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;

/// The description.
pub const OPENAPI: &str = include_str!("../../../docs/openapi.json");

/// The route.
pub fn openapi_router() -> Router {
    let json = [(CONTENT_TYPE, "application/json")];
    Router::new().route("/api/openapi.json", get(async move || (json, OPENAPI)))
}
