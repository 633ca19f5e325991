//! The description of the HTTP port against its routes, and against its answers.

use crate::support::acceptance;
use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tower::ServiceExt;
use tradewind_cli::server::{Server, ServerOptions};
use tradewind_disk::OsDisk;
use tradewind_types::SystemClock;
use tradewind_types::config::Config;

/// What a description can have. HEAD is answered wherever GET is.
const METHODS: [&str; 6] = ["delete", "get", "options", "patch", "post", "put"];

/// The methods of each path, as the description has them.
fn described() -> BTreeMap<String, BTreeSet<String>> {
    let description: Value = serde_json::from_str(tradewind_serve::OPENAPI).unwrap();
    let paths = description["paths"].as_object().unwrap().iter();
    let paths = paths.map(|(path, item)| {
        let methods = item.as_object().unwrap().keys();
        let methods = methods.filter(|name| METHODS.contains(&name.as_str()));
        (path.clone(), methods.cloned().collect())
    });
    paths.collect()
}

/// The paths that a router answers, in the words of a description. A router says its routes to
/// nobody but whoever debugs it: `paths: {RouteId(1): "/v1/track", ...}`.
fn routed(router: &Router) -> BTreeSet<String> {
    let shown = format!("{router:?}");
    let routes = shown.split("RouteId(").filter_map(|part| part.split_once("): \""));
    let routes = routes.filter(|(id, _)| id.bytes().all(|byte| byte.is_ascii_digit()));
    let paths = routes.filter_map(|(_, rest)| rest.split('"').next());
    // The router's own, for what has no route.
    let paths = paths.filter(|path| !path.contains("__private__"));
    paths.map(|path| path.replace("{*", "{")).collect()
}

async fn started(folder: &std::path::Path) -> Server {
    let free = |name: &str| format!("server.{name}_listen=127.0.0.1:0");
    let mut set: Vec<String> = ["http", "kafka", "postgres", "flight"].map(free).into();
    set.push("log.disk_reserve_bytes=16 MiB".into());
    set.push("demo.shop=true".into());
    let options = ServerOptions {
        data_dir: folder.join("data"),
        config: Config::resolve(None, [], &set).unwrap(),
        settings: Vec::new(),
        disk: Arc::new(OsDisk),
        clock: Arc::new(SystemClock),
    };
    Server::start(options).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_is_described_and_every_description_is_a_route() {
    let folder = tempfile::tempdir().unwrap();
    let server = started(folder.path()).await;
    let router = server.router().unwrap().clone();
    let described = described();
    let paths: BTreeSet<String> = described.keys().cloned().collect();
    let routed = routed(&router);
    assert!(routed.len() > 20, "{routed:?}");
    assert_eq!(routed, paths, "left: the routes; right: docs/openapi.json");
    for (path, methods) in &described {
        // A place in a path is filled with what is of no use to anybody.
        let place = path.split('{').nth(1).and_then(|rest| rest.split('}').next());
        let mut address = path.clone();
        if place.is_some() {
            address = address.replace("{page}", "1");
            while let Some((before, rest)) = address.split_once('{') {
                let (_, after) = rest.split_once('}').unwrap();
                address = format!("{before}nothing{after}");
            }
        }
        for method in METHODS {
            let name = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let request = Request::builder().method(name).uri(&address).body(Body::empty());
            let answer = router.clone().oneshot(request.unwrap()).await.unwrap();
            let answered = answer.status() != StatusCode::METHOD_NOT_ALLOWED;
            assert_eq!(answered, methods.contains(method), "{method} {path}: {}", answer.status());
        }
    }
    server.shutdown().await.unwrap();
}

#[test]
fn answers_are_as_described() {
    let said = acceptance("openapi.py", &[]);
    assert!(said.contains("PASSED"), "{said}");
}
