//! Deeds as tracking events in JSON, and the broken ones.
//!
//! Guarantees: amounts are written from whole minor units as JSON numbers with the currency's
//! digits; no float is involved.
//! Left out: anything a server could not tell from a real shop's events, but for the ids.

use super::catalogue::{Market, Product};
use super::shopper::{Deed, Line, Order, Shopper};
use serde_json::{Map, Value, json};
use tradewind_types::TimestampMicros;
use tradewind_types::event::iso8601;

/// How a program that reads shops calls itself.
const BOT_AGENT: &str = "Mozilla/5.0 (compatible; ShelfBot/1.0; +https://bot.example)";

/// An event about to be written.
pub(super) struct EventLine<'a> {
    pub(super) message_id: String,
    pub(super) event_time: TimestampMicros,
    pub(super) shopper: &'a Shopper,
    pub(super) deed: &'a Deed,
}

impl EventLine<'_> {
    /// The event as one JSON object.
    pub(super) fn json(&self) -> Vec<u8> {
        let who = self.shopper;
        let (event, properties) = self.deed_json();
        let kind = if matches!(self.deed, Deed::Paged(_)) { "page" } else { "track" };
        let named = if kind == "page" { "name" } else { "event" };
        let mut line = format!(
            r#"{{"type":"{kind}","messageId":{},"timestamp":"{}","anonymousId":{},"#,
            text(&self.message_id),
            iso8601::format(self.event_time),
            text(&who.anonymous_id),
        );
        if let Some(user_id) = &who.user_id {
            line.push_str(&format!(r#""userId":{},"#, text(user_id)));
        }
        line.push_str(&format!(
            r#""{named}":{},"properties":{},"context":{}}}"#,
            text(event),
            properties.0,
            self.context()
        ));
        line.into_bytes()
    }

    fn deed_json(&self) -> (&'static str, Object) {
        let market = self.shopper.market;
        match self.deed {
            Deed::Paged(path) => {
                let mut object = Object::open();
                object.text("path", path);
                object.text("url", &format!("https://shop.example{path}"));
                (if *path == "/" { "Home" } else { &path[1..] }, object.close())
            }
            Deed::Viewed(product) => {
                let mut object = product_object(product);
                object.amount("price", market, market.price_minor(product));
                object.text("currency", market.currency);
                ("Product Viewed", object.close())
            }
            Deed::Added(line) => {
                let mut object = line_object(line, market);
                object.text("currency", market.currency);
                ("Product Added", object.close())
            }
            Deed::CartViewed(lines) => ("Cart Viewed", with_lines(Object::open(), lines, market)),
            Deed::CheckoutStarted { order_id, lines } => {
                let mut object = Object::open();
                object.text("order_id", order_id);
                let value = lines.iter().map(|line| line.price_minor * line.quantity).sum();
                object.amount("value", market, value);
                ("Checkout Started", with_lines(object, lines, market))
            }
            Deed::Ordered(order) => ("Order Completed", order_object(order, market)),
            Deed::Refunded(refund) => {
                let mut object = Object::open();
                object.text("order_id", &refund.order_id);
                object.amount("total", market, refund.total_minor);
                ("Order Refunded", with_lines(object, &refund.lines, market))
            }
        }
    }

    fn context(&self) -> Value {
        let who = self.shopper;
        let device = if who.mobile { "mobile" } else { "desktop" };
        let mut context = json!({
            "library": {"name": "tradewind-demo", "version": env!("CARGO_PKG_VERSION")},
            "locale": who.market.locale,
            "location": {"country": who.market.country},
            "device": {"type": device},
            "sessionId": who.session_id,
            "consent": {"categoryPreferences": {"analytics": true, "advertising": who.advertising}},
        });
        if let Some((medium, source)) = who.channel.utm {
            context["campaign"] = json!({"medium": medium, "source": source});
        }
        if let Some(referrer) = who.channel.referrer {
            context["page"] = json!({"referrer": referrer});
        }
        if who.bot {
            context["userAgent"] = json!(BOT_AGENT);
        }
        context
    }
}

fn order_object(order: &Order, market: &Market) -> Object {
    let mut object = Object::open();
    object.text("order_id", &order.order_id);
    object.text("affiliation", "Tradewind demo shop");
    object.amount("subtotal", market, order.subtotal_minor());
    object.amount("revenue", market, order.revenue_minor());
    object.amount("shipping", market, order.shipping_minor);
    object.amount("tax", market, order.tax_minor);
    object.amount("discount", market, order.discount_minor);
    object.amount("total", market, order.total_minor());
    if let Some(coupon) = order.coupon {
        object.text("coupon", coupon);
    }
    with_lines(object, &order.lines, market)
}

fn with_lines(mut object: Object, lines: &[Line], market: &Market) -> Object {
    object.text("currency", market.currency);
    let lines: Vec<String> = lines.iter().map(|line| line_object(line, market).close().0).collect();
    object.raw("products", &format!("[{}]", lines.join(",")));
    object.close()
}

fn line_object(line: &Line, market: &Market) -> Object {
    let mut object = product_object(line.product);
    object.amount("price", market, line.price_minor);
    object.raw("quantity", &line.quantity.to_string());
    object
}

pub(super) fn product_object(product: &Product) -> Object {
    let mut object = Object::open();
    object.text("product_id", product.product_id);
    object.text("sku", product.sku);
    object.text("name", product.name);
    object.text("category", product.category);
    object.text("brand", product.brand);
    object
}

/// A JSON object as text: `serde_json` would write amounts as floats.
pub(super) struct Object(pub(super) String);

impl Object {
    pub(super) fn open() -> Self {
        Self("{".to_owned())
    }

    pub(super) fn raw(&mut self, key: &str, json: &str) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        self.0.push_str(&format!("\"{key}\":{json}"));
    }

    pub(super) fn text(&mut self, key: &str, value: &str) {
        self.raw(key, &text(value));
    }

    pub(super) fn amount(&mut self, key: &str, market: &Market, minor: i64) {
        self.raw(key, &market.amount_text(minor));
    }

    pub(super) fn close(mut self) -> Self {
        self.0.push('}');
        self
    }
}

pub(super) fn text(value: &str) -> String {
    Value::from(value).to_string()
}

/// An event that is larger than the API takes.
pub(super) fn oversize(seed: u64, number: u64, bytes: usize) -> Vec<u8> {
    let mut event = bare_event(seed, number);
    event.insert("event".to_owned(), "Product Viewed".into());
    event.insert("anonymousId".to_owned(), "demo-oversize".into());
    event.insert("properties".to_owned(), json!({"description": "x".repeat(bytes)}));
    Value::Object(event).to_string().into_bytes()
}

/// A track event that does not say what happened.
pub(super) fn without_event_name(seed: u64, number: u64) -> Vec<u8> {
    let mut event = bare_event(seed, number);
    event.insert("anonymousId".to_owned(), "demo-nameless".into());
    Value::Object(event).to_string().into_bytes()
}

/// A track event that nobody did.
pub(super) fn without_visitor(seed: u64, number: u64) -> Vec<u8> {
    let mut event = bare_event(seed, number);
    event.insert("event".to_owned(), "Product Viewed".into());
    Value::Object(event).to_string().into_bytes()
}

fn bare_event(seed: u64, number: u64) -> Map<String, Value> {
    let mut event = Map::new();
    event.insert("type".to_owned(), "track".into());
    event.insert("messageId".to_owned(), format!("demo-{seed:x}-{number}").into());
    event
}
