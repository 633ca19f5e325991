//! The sample shop's back end: catalogue, orders, refunds.
//!
//! Guarantees: an order is on disk before the shopper is told of it, and its "Order Completed" goes
//! through the tracking API's own routes as any shop's back end would send it, again and again under
//! one message id until it was taken; so does "Order Refunded". A checkout sent twice is one order.
//! Prices are the catalogue's, whatever the page says.
//! Left out: payment, stock, accounts. A customer is a cookie.

mod order;

use super::catalogue::{MARKETS, Market, PRODUCTS, Product};
use crate::request::Kind;
use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Path as UrlPath, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, SET_COOKIE, USER_AGENT};
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use order::{Asked, Order};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tower::ServiceExt;
use tradewind_disk::Disk;
use tradewind_types::Clock;
use uuid::Uuid;

/// Orders the shop keeps, about 1 KB each: a demo that was left open for weeks.
const ORDERS_MAX: usize = 10_000;
/// Orders shown to a customer.
const HISTORY_MAX: usize = 100;
/// A cart of every product is 2 KB.
const REQUEST_BYTES_MAX: usize = 64 << 10;
/// How often events that could not be sent are sent again.
const OUTBOX_INTERVAL: Duration = Duration::from_secs(1);
/// The customer's cookie.
const CUSTOMER: &str = "shop_customer";
/// A year in seconds.
const CUSTOMER_AGE_S: u32 = 31_536_000;

/// Why the shop could not open.
#[derive(Debug, thiserror::Error)]
pub enum ShopError {
    /// Its folder.
    #[error("{path}: {source}", path = .path.display())]
    Disk {
        /// The file or folder.
        path: PathBuf,
        /// What the disk said.
        source: io::Error,
    },
    /// A file that is no order.
    #[error("{path} is no order of the sample shop: {reason}", path = .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// The sample shop.
pub struct Storefront {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    clock: Arc<dyn Clock>,
    /// The tracking API.
    api: Router,
    write_key: String,
    orders: Mutex<BTreeMap<String, Order>>,
    /// Held while an order changes: two clicks are one order.
    changing: tokio::sync::Mutex<()>,
}

impl std::fmt::Debug for Storefront {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Storefront").field("dir", &self.dir).finish_non_exhaustive()
    }
}

/// What a shopper is told when something cannot be done; the page has words for each code.
struct Refused(StatusCode, &'static str);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, Json(json!({"error": self.1}))).into_response()
    }
}

impl Storefront {
    /// Opens the shop with the orders it has. `api` are the tracking API's routes.
    ///
    /// # Errors
    /// See [`ShopError`].
    pub async fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        clock: Arc<dyn Clock>,
        api: Router,
        write_key: String,
    ) -> Result<Arc<Self>, ShopError> {
        let (reader, folder) = (Arc::clone(&disk), dir.to_path_buf());
        let read = tokio::task::spawn_blocking(move || read_orders(&*reader, &folder)).await;
        let orders = read.unwrap_or_else(|panic| {
            let source = io::Error::other(panic.to_string());
            Err(ShopError::Disk { path: dir.to_path_buf(), source })
        })?;
        Ok(Arc::new(Self {
            disk,
            dir: dir.to_path_buf(),
            clock,
            api,
            write_key,
            orders: Mutex::new(orders),
            changing: tokio::sync::Mutex::default(),
        }))
    }

    /// Sends what could not be sent at once, for ever.
    pub async fn run(&self) {
        loop {
            tokio::time::sleep(OUTBOX_INTERVAL).await;
            let _changing = self.changing.lock().await;
            let unsent: Vec<Order> =
                self.orders.lock().values().filter(|order| !order.told()).cloned().collect();
            for order in unsent {
                self.tell(order).await;
            }
        }
    }

    async fn place(&self, asked: Asked, customer: &str, agent: &str) -> Result<Order, Refused> {
        let _changing = self.changing.lock().await;
        let again = |order: &&Order| order.customer == customer && order.is_of(&asked);
        if let Some(order) = self.orders.lock().values().find(again) {
            return Ok(order.clone());
        }
        if self.orders.lock().len() >= ORDERS_MAX {
            return Err(Refused(StatusCode::SERVICE_UNAVAILABLE, "full"));
        }
        let order = Order::new(asked, customer, agent, self.clock.now_us())
            .map_err(|code| Refused(StatusCode::BAD_REQUEST, code))?;
        self.save(&order).await?;
        Ok(self.tell(order).await)
    }

    async fn refund(&self, order_id: &str, customer: &str) -> Result<Order, Refused> {
        let _changing = self.changing.lock().await;
        let found = self.orders.lock().get(order_id).cloned();
        let mut order = found
            .filter(|order| order.customer == customer)
            .ok_or(Refused(StatusCode::NOT_FOUND, "not_found"))?;
        if order.refunded_at.is_none() {
            order.refunded_at = Some(self.clock.now_us());
            self.save(&order).await?;
        }
        Ok(self.tell(order).await)
    }

    /// Keeps an order durably, then in memory.
    async fn save(&self, order: &Order) -> Result<(), Refused> {
        let failed = |error: String| {
            tracing::error!(order = order.order_id, error, "the sample shop cannot keep an order");
            Refused(StatusCode::SERVICE_UNAVAILABLE, "unavailable")
        };
        let bytes = serde_json::to_vec(order).map_err(|error| failed(error.to_string()))?;
        let (disk, path) = (Arc::clone(&self.disk), self.dir.join(file_name(&order.order_id)));
        let written = tokio::task::spawn_blocking(move || disk.write_atomic(&path, &bytes)).await;
        written
            .map_err(|panic| failed(panic.to_string()))?
            .map_err(|error| failed(error.to_string()))?;
        self.orders.lock().insert(order.order_id.clone(), order.clone());
        Ok(())
    }

    /// Sends the events of an order that were not taken yet, and notes which were.
    async fn tell(&self, mut order: Order) -> Order {
        for event in order.untold() {
            match self.track(event.body).await {
                Ok(()) => order.was_told(event.name),
                Err(reason) => {
                    let order = &order.order_id;
                    tracing::warn!(order, event = event.name, reason, "not taken; sent again");
                    break;
                }
            }
        }
        // Where this is not written the event is sent again, and is a duplicate.
        let _ = self.save(&order).await;
        order
    }

    /// `POST /v1/track`, as a back end sends it.
    async fn track(&self, body: String) -> Result<(), String> {
        let key = STANDARD.encode(format!("{}:", self.write_key));
        let request = Request::post(format!("/v1/{}", Kind::Track.name()))
            .header(AUTHORIZATION, format!("Basic {key}"))
            .header(CONTENT_TYPE, "application/json")
            .body(Body::from(body))
            .map_err(|error| error.to_string())?;
        let answer = match self.api.clone().oneshot(request).await {
            Ok(answer) => answer,
            Err(never) => match never {},
        };
        match answer.status() {
            StatusCode::OK => Ok(()),
            status => Err(format!("answered {status}")),
        }
    }

    fn history(&self, customer: &str) -> Vec<Value> {
        let orders = self.orders.lock();
        let mut own: Vec<&Order> =
            orders.values().filter(|order| order.customer == customer).collect();
        own.sort_by_key(|order| std::cmp::Reverse(order.placed_at));
        own.into_iter().take(HISTORY_MAX).map(Order::shown).collect()
    }
}

fn file_name(order_id: &str) -> String {
    format!("{order_id}.json")
}

fn read_orders(disk: &dyn Disk, dir: &Path) -> Result<BTreeMap<String, Order>, ShopError> {
    let failed = |path: &Path, source| ShopError::Disk { path: path.to_path_buf(), source };
    disk.create_dir_all(dir).map_err(|error| failed(dir, error))?;
    let mut orders = BTreeMap::new();
    for entry in disk.list(dir).map_err(|error| failed(dir, error))? {
        let path = entry.path;
        if path.extension().is_none_or(|ending| ending != "json") {
            continue;
        }
        let bytes = disk.read(&path).map_err(|error| failed(&path, error))?;
        let order: Order = serde_json::from_slice(&bytes)
            .map_err(|error| ShopError::File { path: path.clone(), reason: error.to_string() })?;
        orders.insert(order.order_id.clone(), order);
    }
    Ok(orders)
}

/// The routes under `/shop/api`.
pub fn router(shop: Arc<Storefront>) -> Router {
    Router::new()
        .route("/shop/api/catalogue", get(products))
        .route("/shop/api/orders", get(history).post(place))
        .route("/shop/api/orders/{order_id}/refund", post(refund))
        .layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX))
        .with_state(shop)
}

async fn products(State(shop): State<Arc<Storefront>>) -> Response {
    Json(catalogue(&shop.write_key)).into_response()
}

async fn history(State(shop): State<Arc<Storefront>>, headers: HeaderMap) -> Response {
    let orders = customer_of(&headers).map_or_else(Vec::new, |customer| shop.history(&customer));
    Json(json!({ "orders": orders })).into_response()
}

async fn place(
    State(shop): State<Arc<Storefront>>,
    headers: HeaderMap,
    // A page of another site cannot send this type without being asked for its leave first.
    Json(asked): Json<Asked>,
) -> Response {
    let customer = customer_of(&headers).unwrap_or_else(|| Uuid::new_v4().simple().to_string());
    let agent = headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    match shop.place(asked, &customer, agent).await {
        Ok(order) => {
            let cookie = format!(
                "{CUSTOMER}={customer}; Path=/shop; HttpOnly; SameSite=Lax; Max-Age={CUSTOMER_AGE_S}"
            );
            let mut answer = (StatusCode::CREATED, Json(order.shown())).into_response();
            if let Ok(cookie) = HeaderValue::from_str(&cookie) {
                answer.headers_mut().insert(SET_COOKIE, cookie);
            }
            answer
        }
        Err(refused) => refused.into_response(),
    }
}

async fn refund(
    State(shop): State<Arc<Storefront>>,
    UrlPath(order_id): UrlPath<String>,
    headers: HeaderMap,
    Json(_): Json<Value>,
) -> Response {
    let Some(customer) = customer_of(&headers) else {
        return Refused(StatusCode::NOT_FOUND, "not_found").into_response();
    };
    match shop.refund(&order_id, &customer).await {
        Ok(order) => Json(order.shown()).into_response(),
        Err(refused) => refused.into_response(),
    }
}

/// The customer a browser says it is: one of our ids, or nobody.
fn customer_of(headers: &HeaderMap) -> Option<String> {
    let cookies = headers.get(COOKIE)?.to_str().ok()?;
    let value = cookies.split(';').find_map(|one| {
        let (name, value) = one.trim().split_once('=')?;
        (name == CUSTOMER).then_some(value)
    })?;
    Uuid::try_parse(value).ok().map(|id| id.simple().to_string())
}

/// What is sold, where, and the key the page's tracker sends with; it is no secret.
fn catalogue(write_key: &str) -> Value {
    let prices = |product: &Product| -> Value {
        MARKETS.iter().map(|market| (market.currency, market.price_minor(product))).collect()
    };
    let products = PRODUCTS.iter().map(|product| {
        json!({
            "product_id": product.product_id, "sku": product.sku, "name": product.name,
            "category": product.category, "brand": product.brand,
            "prices_minor": prices(product),
        })
    });
    let market = |market: &Market| {
        json!({
            "country": market.country, "currency": market.currency,
            "minor_digits": market.minor_digits, "tax_per_mille": market.tax_per_mille,
            "shipping_minor": market.shipping_minor,
            "free_shipping_minor": market.free_shipping_minor,
        })
    };
    json!({
        "products": products.collect::<Vec<_>>(),
        "markets": MARKETS.iter().map(market).collect::<Vec<_>>(),
        "write_key": write_key,
    })
}
