//! Keeps other sites' pages from asking SQL through a visitor's browser.
//!
//! Guarantees: a request that a browser sent for another origin is refused; so is one that reached
//! a loopback address under a name that is not loopback's, which is how a page rebinds its own
//! name to this machine.
//! Left out: who the person is. Programs without a browser send no `Origin` and are not concerned.

use axum::http::HeaderMap;
use axum::http::header::{HOST, ORIGIN};
use std::net::IpAddr;

/// Why a request is refused, if it is.
pub fn refusal(headers: &HeaderMap) -> Option<&'static str> {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let origin = headers.get(ORIGIN)?;
    let authority =
        origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, rest)| rest);
    match (authority, host) {
        (Some(authority), Some(host)) if authority.eq_ignore_ascii_case(host) && is_ours(host) => {
            None
        }
        _ => Some("a page of another origin may not ask here"),
    }
}

/// Whether a browser's `Host` is an address or `localhost`: a name could be anybody's.
fn is_ours(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn headers(host: &str, origin: Option<&str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(ORIGIN, origin.parse().unwrap());
        }
        headers
    }

    #[test]
    fn only_pages_of_this_server_may_ask() {
        assert!(refusal(&headers("127.0.0.1:8080", None)).is_none());
        assert!(refusal(&headers("localhost:8080", Some("http://localhost:8080"))).is_none());
        assert!(refusal(&headers("[::1]:8080", Some("http://[::1]:8080"))).is_none());
        assert!(refusal(&headers("127.0.0.1:8080", Some("https://shop.example"))).is_some());
        assert!(refusal(&headers("evil.example:8080", Some("http://evil.example:8080"))).is_some());
        assert!(refusal(&headers("127.0.0.1:8080", Some("null"))).is_some());
    }
}
