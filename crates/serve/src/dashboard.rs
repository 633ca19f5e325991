//! The dashboard's files, the sample shop's and the tracker, as `npm run build` in `web/` has left them in `web/dist`.
//!
//! Guarantees: everything a page needs comes from here, and the policy sent with it lets a browser
//! load nothing from elsewhere; what has its hash in its name is kept by browsers for good, the
//! rest is asked for again each time and answered 304 where it is the same.
//! Left out: making the files. A binary that was built without them says how they are made.

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{
    ACCEPT_ENCODING, ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_ENCODING,
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderName, IF_NONE_MATCH, REFERRER_POLICY, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use rust_embed::{EmbeddedFile, RustEmbed};

#[derive(RustEmbed)]
#[folder = "../../web/dist"]
#[allow_missing = true]
struct Files;

/// The addresses of pages; which page it is the script in it decides.
const PAGES: [&str; 6] = ["/", "/live", "/sales", "/data", "/sql", "/page/{name}"];

/// Styles are files; what the charts and the editor set they set through the object model.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data:; connect-src 'self'; manifest-src 'self'; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'none'";

/// The tracker. A page that has it asks for a newer one after an hour.
const TRACKER: &str = "tw.js";
/// Files with their hash in their name.
const HASHED: &str = "assets/";

/// The routes. `kafka` is the address of the Kafka port.
pub fn dashboard(kafka: String) -> Router {
    let mut router = Router::new()
        .route("/assets/{*path}", get(asset))
        .route("/icon.svg", get(async |headers: HeaderMap| file("icon.svg", &headers)));
    for page in PAGES {
        router = router.route(page, get(index));
    }
    router.with_state(kafka)
}

/// The tracker, for pages of any origin.
pub fn tracker() -> Router {
    Router::new().route("/tw.js", get(tracker_file))
}

async fn tracker_file(headers: HeaderMap) -> Response {
    let mut answer = file(TRACKER, &headers);
    let from_anywhere = [
        (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (HeaderName::from_static("cross-origin-resource-policy"), "cross-origin"),
    ];
    for (name, value) in from_anywhere {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer
}

/// The sample shop's pages; which page it is the script in it decides.
pub fn shop_pages() -> Router {
    let page = async |headers: HeaderMap| file("shop.html", &headers);
    Router::new().route("/shop", get(page)).route("/shop/{*path}", get(page))
}

async fn asset(Path(path): Path<String>, headers: HeaderMap) -> Response {
    file(&format!("{HASHED}{path}"), &headers)
}

async fn index(State(kafka): State<String>, headers: HeaderMap) -> Response {
    match Files::get("index.html") {
        Some(_) => file("index.html", &headers),
        None => missing(&kafka),
    }
}

/// A file in the best encoding that the client takes.
fn file(path: &str, headers: &HeaderMap) -> Response {
    let accepted = headers.get(ACCEPT_ENCODING).and_then(|accept| accept.to_str().ok());
    let accepted = accepted.unwrap_or_default();
    let found =
        [("br", ".br"), ("gzip", ".gz"), ("", "")].into_iter().find_map(|(name, ending)| {
            let takes = name.is_empty() || takes(accepted, name);
            Some((name, takes.then(|| Files::get(&format!("{path}{ending}")))??))
        });
    let Some((encoding, found)) = found else { return StatusCode::NOT_FOUND.into_response() };
    let mut answer = HeaderMap::new();
    let cache = match path {
        TRACKER => "public, max-age=3600",
        hashed if hashed.starts_with(HASHED) => "public, max-age=31536000, immutable",
        _ => "no-cache",
    };
    let fixed: [(HeaderName, &'static str); 6] = [
        (CONTENT_TYPE, content_type(path)),
        (CACHE_CONTROL, cache),
        (VARY, "accept-encoding"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CONTENT_SECURITY_POLICY, POLICY),
    ];
    for (name, value) in fixed {
        answer.insert(name, HeaderValue::from_static(value));
    }
    if !encoding.is_empty() {
        answer.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    let tag = tag(&found);
    let same = headers.get(IF_NONE_MATCH).and_then(|tags| tags.to_str().ok());
    let same = same.is_some_and(|tags| tags.split(',').any(|one| one.trim() == tag));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        answer.insert(ETAG, tag);
    }
    match same {
        true => (StatusCode::NOT_MODIFIED, answer).into_response(),
        false => (answer, Body::from(found.data.into_owned())).into_response(),
    }
}

/// Whether an `Accept-Encoding` takes an encoding: named, and not with a weight of nothing.
fn takes(accepted: &str, encoding: &str) -> bool {
    accepted.split(',').any(|one| {
        let (name, weight) = one.split_once(';').unwrap_or((one, ""));
        let refused = matches!(weight.trim(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000");
        name.trim().eq_ignore_ascii_case(encoding) && !refused
    })
}

fn tag(file: &EmbeddedFile) -> String {
    let hash = file.metadata.sha256_hash();
    let half: String = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{half}\"")
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, ending)| ending) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("json" | "map") => "application/json",
        _ => "application/octet-stream",
    }
}

/// What stands where the dashboard would.
fn missing(kafka: &str) -> Response {
    let page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Tradewind</title>\
         <style>body{{font:16px/1.5 sans-serif;max-width:44rem;margin:3rem auto;padding:0 1rem}}\
         code{{background:#f0f0f0;padding:.1rem .3rem}}</style>\
         <h1>Tradewind</h1><p>The server is running. Its dashboard is not in this binary: it was \
         built without <code>web/dist</code>. <code>make build</code> makes both; by hand it is \
         <code>npm ci</code> and <code>npm run build</code> in <code>web/</code>, then \
         <code>cargo build</code> again.</p><ul>\
         <li><code>POST /v1/track</code>, <code>/v1/page</code>, <code>/v1/identify</code>, \
         <code>/v1/batch</code> &hellip;: send events (Segment's HTTP API)</li>\
         <li><code>POST /api/sql</code>: ask in SQL, for example \
         <code>SELECT * FROM sys.tables</code></li>\
         <li><a href=\"/healthz\">/healthz</a>: whether it can serve</li>\
         <li><a href=\"/metrics\">/metrics</a>: Prometheus metrics</li>\
         <li>Kafka protocol: <code>{kafka}</code></li></ul>\
         <p>At a terminal: <code>tradewind sql --url http://this-address</code></p></html>"
    );
    Html(page).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_are_taken_as_they_are_offered() {
        assert!(takes("gzip, deflate, br", "br"));
        assert!(takes("gzip;q=0.5", "gzip"));
        assert!(!takes("br;q=0, gzip", "br"));
        assert!(!takes("identity", "gzip"));
    }
}
