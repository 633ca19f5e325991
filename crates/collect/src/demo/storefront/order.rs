//! An order of the sample shop: what was asked for, what it costs, and the events it is.
//!
//! Guarantees: amounts are whole minor units until they are written as text; the total is the lines
//! and the shipping and the tax, to the minor unit; an event's id follows from its order's.
//! Left out: where orders are kept.

use super::super::catalogue::{MARKETS, Market, PRODUCTS, Product};
use super::super::render::{Object, product_object};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tradewind_types::TimestampMicros;
use tradewind_types::event::iso8601;
use uuid::Uuid;

/// Of one product in an order: the page offers as many.
const QUANTITY_MAX: i64 = 99;
/// Characters of an id or name that comes from a page.
const TEXT_CHARS_MAX: usize = 100;
/// Characters of a browser's name that are passed on.
const AGENT_CHARS_MAX: usize = 512;

/// What a page asks for.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// Made by the page for one checkout: sent twice, it is one order.
    checkout_id: String,
    currency: String,
    lines: Vec<AskedLine>,
    /// The tracker's visitor and session, where it may say them.
    anonymous_id: Option<String>,
    session_id: Option<String>,
    /// The campaign the visit came by, as the tracker has it.
    campaign: Option<Campaign>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct AskedLine {
    product_id: String,
    quantity: i64,
}

/// Where a visit came from.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct Campaign {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    medium: Option<String>,
}

/// An order as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Order {
    format_version: u32,
    pub(super) order_id: String,
    checkout_id: String,
    pub(super) customer: String,
    pub(super) placed_at: TimestampMicros,
    currency: String,
    lines: Vec<Line>,
    shipping_minor: i64,
    tax_minor: i64,
    anonymous_id: Option<String>,
    session_id: Option<String>,
    campaign: Option<Campaign>,
    user_agent: String,
    pub(super) refunded_at: Option<TimestampMicros>,
    /// Which of its events were taken.
    completed_told: bool,
    refunded_told: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Line {
    product_id: String,
    quantity: i64,
    price_minor: i64,
}

/// An event to send.
pub(super) struct Event {
    pub(super) name: &'static str,
    pub(super) body: String,
}

const COMPLETED: &str = "Order Completed";
const REFUNDED: &str = "Order Refunded";

impl Order {
    /// Prices what was asked for.
    ///
    /// # Errors
    /// A word for what is wrong with it.
    pub(super) fn new(
        asked: Asked,
        customer: &str,
        agent: &str,
        now: TimestampMicros,
    ) -> Result<Self, &'static str> {
        let market = market(&asked.currency).ok_or("currency")?;
        let texts =
            [Some(&asked.checkout_id), asked.anonymous_id.as_ref(), asked.session_id.as_ref()];
        if texts.into_iter().flatten().any(|text| text.chars().count() > TEXT_CHARS_MAX) {
            return Err("text");
        }
        let mut lines: Vec<Line> = Vec::new();
        for AskedLine { product_id, quantity } in asked.lines {
            let product = product(&product_id).ok_or("product")?;
            if !(1..=QUANTITY_MAX).contains(&quantity)
                || lines.iter().any(|line| line.product_id == product_id)
            {
                return Err("quantity");
            }
            lines.push(Line { product_id, quantity, price_minor: market.price_minor(product) });
        }
        if lines.is_empty() {
            return Err("empty");
        }
        let subtotal = subtotal(&lines);
        let free = subtotal >= market.free_shipping_minor;
        Ok(Self {
            format_version: 1,
            order_id: format!("S-{}", &Uuid::new_v4().simple().to_string()[..12]).to_uppercase(),
            checkout_id: asked.checkout_id,
            customer: customer.to_owned(),
            placed_at: now,
            currency: asked.currency,
            lines,
            shipping_minor: if free { 0 } else { market.shipping_minor },
            tax_minor: (subtotal * market.tax_per_mille + 500) / 1000,
            anonymous_id: asked.anonymous_id.filter(|id| !id.is_empty()),
            session_id: asked.session_id,
            campaign: asked.campaign.map(Campaign::short),
            user_agent: agent.chars().take(AGENT_CHARS_MAX).collect(),
            refunded_at: None,
            completed_told: false,
            refunded_told: false,
        })
    }

    /// Whether it is the order of this checkout.
    pub(super) fn is_of(&self, asked: &Asked) -> bool {
        self.checkout_id == asked.checkout_id
    }

    /// Whether all its events were taken.
    pub(super) fn told(&self) -> bool {
        self.completed_told && (self.refunded_at.is_none() || self.refunded_told)
    }

    /// Its events that were not taken yet, in order.
    pub(super) fn untold(&self) -> Vec<Event> {
        let mut events = Vec::new();
        if !self.completed_told {
            events.push(self.event(COMPLETED, self.placed_at));
        }
        if let Some(at) = self.refunded_at.filter(|_| !self.refunded_told) {
            events.push(self.event(REFUNDED, at));
        }
        events
    }

    pub(super) fn was_told(&mut self, name: &str) {
        match name {
            COMPLETED => self.completed_told = true,
            _ => self.refunded_told = true,
        }
    }

    fn total_minor(&self) -> i64 {
        subtotal(&self.lines) + self.shipping_minor + self.tax_minor
    }

    /// As its customer sees it.
    pub(super) fn shown(&self) -> Value {
        let line = |line: &Line| {
            json!({"product_id": line.product_id, "quantity": line.quantity,
                   "price_minor": line.price_minor})
        };
        json!({
            "order_id": self.order_id, "placed_at": iso8601::format(self.placed_at),
            "currency": self.currency, "lines": self.lines.iter().map(line).collect::<Vec<_>>(),
            "subtotal_minor": subtotal(&self.lines), "shipping_minor": self.shipping_minor,
            "tax_minor": self.tax_minor, "total_minor": self.total_minor(),
            "refunded_at": self.refunded_at.map(iso8601::format), "customer": self.customer,
        })
    }

    fn event(&self, name: &'static str, at: TimestampMicros) -> Event {
        let (market, suffix) = (self.market(), if name == COMPLETED { "order" } else { "refund" });
        let mut body = Object::open();
        body.text("event", name);
        body.text("messageId", &format!("{}-{suffix}", self.order_id));
        body.text("userId", &self.customer);
        if let Some(anonymous) = &self.anonymous_id {
            body.text("anonymousId", anonymous);
        }
        body.text("timestamp", &iso8601::format(at));
        body.raw("properties", &self.properties(name, market).0);
        body.raw("context", &self.context(market).to_string());
        Event { name, body: body.close().0 }
    }

    fn properties(&self, name: &str, market: &Market) -> Object {
        let mut object = Object::open();
        object.text("order_id", &self.order_id);
        object.text("checkout_id", &self.checkout_id);
        object.text("affiliation", "Tradewind sample shop");
        object.text("currency", &self.currency);
        object.amount("total", market, self.total_minor());
        if name == COMPLETED {
            object.amount("subtotal", market, subtotal(&self.lines));
            object.amount("revenue", market, subtotal(&self.lines));
            object.amount("shipping", market, self.shipping_minor);
            object.amount("tax", market, self.tax_minor);
        }
        let lines = self.lines.iter().filter_map(|line| {
            let mut object = product_object(product(&line.product_id)?);
            object.amount("price", market, line.price_minor);
            object.raw("quantity", &line.quantity.to_string());
            Some(object.close().0)
        });
        object.raw("products", &format!("[{}]", lines.collect::<Vec<_>>().join(",")));
        object.close()
    }

    /// What the shop knows of the visit. The shopper's address is none of it.
    fn context(&self, market: &Market) -> Value {
        let mut context = json!({
            "library": {"name": "tradewind-shop", "version": env!("CARGO_PKG_VERSION")},
            "ip": "0.0.0.0", "location": {"country": market.country},
        });
        if !self.user_agent.is_empty() {
            context["userAgent"] = json!(self.user_agent);
        }
        if let Some(session) = &self.session_id {
            context["sessionId"] = json!(session);
        }
        if let Some(campaign) = &self.campaign {
            context["campaign"] = json!(campaign);
        }
        context
    }

    fn market(&self) -> &'static Market {
        market(&self.currency).unwrap_or(&MARKETS[0])
    }
}

impl Campaign {
    fn short(self) -> Self {
        let short =
            |text: Option<String>| text.map(|text| text.chars().take(TEXT_CHARS_MAX).collect());
        Self { name: short(self.name), source: short(self.source), medium: short(self.medium) }
    }
}

fn subtotal(lines: &[Line]) -> i64 {
    lines.iter().map(|line| line.price_minor * line.quantity).sum()
}

fn market(currency: &str) -> Option<&'static Market> {
    MARKETS.iter().find(|market| market.currency == currency)
}

fn product(product_id: &str) -> Option<&'static Product> {
    PRODUCTS.iter().find(|product| product.product_id == product_id)
}
