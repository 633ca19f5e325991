//! `GET /`: a plain page that says what is where.
//!
//! Guarantees: no script, nothing loaded from anywhere.
//! Left out: the dashboard.

use axum::Router;
use axum::response::Html;
use axum::routing::get;

/// The route. `kafka` is the address of the Kafka port.
pub fn home(kafka: String) -> Router {
    let page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Tradewind</title>\
         <style>body{{font:16px/1.5 sans-serif;max-width:44rem;margin:3rem auto;padding:0 1rem}}\
         code{{background:#f0f0f0;padding:.1rem .3rem}}</style>\
         <h1>Tradewind</h1><p>The server is running.</p><ul>\
         <li><code>POST /v1/track</code>, <code>/v1/page</code>, <code>/v1/identify</code>, \
         <code>/v1/batch</code> &hellip;: send events (Segment's HTTP API)</li>\
         <li><code>POST /api/sql</code>: ask in SQL, for example \
         <code>SELECT * FROM sys.tables</code></li>\
         <li><a href=\"/healthz\">/healthz</a>: whether it can serve</li>\
         <li><a href=\"/metrics\">/metrics</a>: Prometheus metrics</li>\
         <li>Kafka protocol: <code>{kafka}</code></li></ul>\
         <p>At a terminal: <code>tradewind sql --url http://this-address</code></p></html>"
    );
    Router::new().route("/", get(move || async move { Html(page) }))
}
