//! A simulated shop: shoppers who look, fill carts, order and send things back.
//!
//! Guarantees: the requests depend on the settings alone, so a run repeats from its seed; what
//! each request should come to is told beside it ([`Facts`]), so that a test can add up what the
//! server must show. Amounts are whole minor units (cents, yen) until they are written as text.
//! Left out: sending, which is in `traffic`, and realism beyond what exercises a store: events in
//! three currencies, exact duplicates, late ones and broken ones.

use crate::client::BatchBody;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::{BTreeMap, VecDeque};
use tradewind_types::TimestampMicros;

mod catalogue;
mod render;
mod shopper;
mod storefront;
mod traffic;

pub use catalogue::{Market, Product};
pub use storefront::{ShopError, Storefront, router as shop_router};
pub use traffic::{Traffic, TrafficTotals};

use render::EventLine;
use shopper::{Deed, Order, Shopper};

/// Shoppers in the shop at a time.
const SHOPPERS: usize = 200;
/// Orders that may still be sent back: older ones are kept for good.
const RETURNABLE_MAX: usize = 500;
/// Events kept for being sent again as duplicates.
const RECENT_MAX: usize = 500;
/// Events of one request, at most.
const REQUEST_EVENTS_MAX: u64 = 100;
/// Requests a second, at most: above it requests grow instead.
const REQUESTS_PER_SECOND: u64 = 20;
/// The latest a late event comes, in microseconds: two hours, past every window of the packs.
const LATE_MAX_US: i64 = 2 * 3_600 * 1_000_000;
/// Bytes that make one event larger than the tracking API takes.
const OVERSIZE_BYTES: usize = 40_000;

/// How the shop behaves. Shares are in thousandths of all events.
#[derive(Debug, Clone)]
pub struct DemoSettings {
    /// What everything random follows from. Message ids carry it: the same seed twice against one
    /// server is a day of duplicates.
    pub seed: u64,
    /// When the shop opens, in microseconds since the Unix epoch.
    pub start_us: TimestampMicros,
    /// Events a second, at least 1.
    pub events_per_second: u64,
    /// Events sent a second time, unchanged.
    pub duplicate_per_mille: u32,
    /// Events that happened up to two hours before they are sent.
    pub late_per_mille: u32,
    /// Things no server should accept: broken JSON, oversize events, events without what they need.
    pub broken_per_mille: u32,
}

impl DemoSettings {
    /// A hundred events a second with 2 % duplicates, 3 % late and 0.5 % broken ones.
    pub fn new(seed: u64, start_us: TimestampMicros) -> Self {
        Self {
            seed,
            start_us,
            events_per_second: 100,
            duplicate_per_mille: 20,
            late_per_mille: 30,
            broken_per_mille: 5,
        }
    }
}

/// What requests add up to, when every event is taken in once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// Distinct events that must be accepted.
    pub events: u64,
    /// Events sent again.
    pub duplicates: u64,
    /// Of the distinct events, those that come late.
    pub late: u64,
    /// Events or whole requests that must be refused.
    pub broken: u64,
    /// "Order Completed" events.
    pub orders: u64,
    /// Products in them.
    pub order_lines: u64,
    /// "Order Refunded" events.
    pub refunds: u64,
    /// Products in them.
    pub refund_lines: u64,
    /// Sum of the orders' totals in minor units, by currency.
    pub order_total_minor: BTreeMap<&'static str, i64>,
    /// Sum of the refunds' totals in minor units, by currency.
    pub refund_total_minor: BTreeMap<&'static str, i64>,
}

impl Facts {
    /// Adds another request's facts.
    pub fn add(&mut self, other: &Facts) {
        self.events += other.events;
        self.duplicates += other.duplicates;
        self.late += other.late;
        self.broken += other.broken;
        self.orders += other.orders;
        self.order_lines += other.order_lines;
        self.refunds += other.refunds;
        self.refund_lines += other.refund_lines;
        for (currency, minor) in &other.order_total_minor {
            *self.order_total_minor.entry(currency).or_default() += minor;
        }
        for (currency, minor) in &other.refund_total_minor {
            *self.refund_total_minor.entry(currency).or_default() += minor;
        }
    }
}

/// One request to `POST /v1/batch`.
#[derive(Debug, Clone)]
pub struct DemoRequest {
    /// When it is sent, in microseconds since the Unix epoch.
    pub due_us: TimestampMicros,
    /// The body, as JSON unless it is broken on purpose.
    pub body: Vec<u8>,
    /// The server must answer 400: nothing in it can be taken in.
    pub refused: bool,
    /// What it should come to.
    pub facts: Facts,
}

/// The shop: an endless iterator of requests.
#[derive(Debug)]
pub struct Shop {
    settings: DemoSettings,
    random: StdRng,
    shoppers: Vec<Shopper>,
    shoppers_made: u64,
    orders_made: u64,
    returnable: VecDeque<Order>,
    recent: VecDeque<Vec<u8>>,
    events_made: u64,
    refused_next: Option<DemoRequest>,
}

impl Shop {
    /// Opens a shop.
    pub fn new(settings: DemoSettings) -> Self {
        let random = StdRng::seed_from_u64(settings.seed);
        let mut shop = Self {
            settings,
            random,
            shoppers: Vec::with_capacity(SHOPPERS),
            shoppers_made: 0,
            orders_made: 0,
            returnable: VecDeque::new(),
            recent: VecDeque::new(),
            events_made: 0,
            refused_next: None,
        };
        for _ in 0..SHOPPERS {
            let shopper = shop.new_shopper();
            shop.shoppers.push(shopper);
        }
        shop
    }

    /// What the shop was opened with.
    pub fn settings(&self) -> &DemoSettings {
        &self.settings
    }

    fn new_shopper(&mut self) -> Shopper {
        self.shoppers_made += 1;
        Shopper::new(self.settings.seed, self.shoppers_made, &mut self.random)
    }

    fn now_us(&self) -> TimestampMicros {
        let rate = self.settings.events_per_second.max(1);
        let since = u128::from(self.events_made) * 1_000_000 / u128::from(rate);
        self.settings.start_us + since as i64
    }

    fn chance(&mut self, per_mille: u32) -> bool {
        self.random.random_range(0..1000) < per_mille
    }

    /// Adds one event, or what goes wrong in its place, to a request.
    fn add_event(&mut self, body: &mut BatchBody, facts: &mut Facts) {
        self.events_made += 1;
        if self.chance(self.settings.broken_per_mille) {
            self.add_broken(body, facts);
        } else if self.chance(self.settings.duplicate_per_mille) && !self.recent.is_empty() {
            let again = self.random.random_range(0..self.recent.len());
            body.push(&self.recent[again]);
            facts.duplicates += 1;
        } else {
            let line = self.next_event(facts);
            body.push(&line);
            if self.recent.len() == RECENT_MAX {
                self.recent.pop_front();
            }
            self.recent.push_back(line);
        }
    }

    fn next_event(&mut self, facts: &mut Facts) -> Vec<u8> {
        let place = self.random.random_range(0..self.shoppers.len());
        let deed = match self.returned_order() {
            Some((shopper, refund)) => (shopper, refund),
            None => self.deed_of(place),
        };
        let late = self.chance(self.settings.late_per_mille);
        let delay_us = if late { self.random.random_range(1_000_000..LATE_MAX_US) } else { 0 };
        let (who, deed) = deed;
        facts.events += 1;
        facts.late += u64::from(late);
        count_money(&deed, who.market.currency, facts);
        EventLine {
            message_id: format!("demo-{:x}-{}", self.settings.seed, self.events_made),
            event_time: self.now_us() - delay_us,
            shopper: &who,
            deed: &deed,
        }
        .json()
    }

    fn deed_of(&mut self, place: usize) -> (Shopper, Deed) {
        if let Some(deed) = self.shoppers[place].next_deed(&mut self.orders_made, &mut self.random)
        {
            let who = self.shoppers[place].clone();
            if let Deed::Ordered(order) = &deed {
                if self.returnable.len() == RETURNABLE_MAX {
                    self.returnable.pop_front();
                }
                self.returnable.push_back(order.clone());
                self.shoppers[place] = self.new_shopper();
            }
            return (who, deed);
        }
        // The shopper left; another one comes in, and a newcomer always looks at something.
        self.shoppers[place] = self.new_shopper();
        let deed = self.shoppers[place].look(&mut self.random);
        (self.shoppers[place].clone(), deed)
    }

    /// Now and then an earlier order comes back, whole or in part, at most once.
    fn returned_order(&mut self) -> Option<(Shopper, Deed)> {
        if self.returnable.len() < 20 || !self.chance(4) {
            return None;
        }
        let place = self.random.random_range(0..self.returnable.len());
        let order = self.returnable.remove(place)?;
        let who = order.shopper.clone();
        Some((*who, Deed::Refunded(order.refund(&mut self.random))))
    }

    fn add_broken(&mut self, body: &mut BatchBody, facts: &mut Facts) {
        let number = self.events_made;
        match self.random.random_range(0..4) {
            0 => self.refuse(br#"{"batch":[{"type":"track","event":"Product Viewed","#.to_vec()),
            1 => {
                facts.broken += 1;
                body.push(&render::oversize(self.settings.seed, number, OVERSIZE_BYTES));
            }
            2 => {
                facts.broken += 1;
                body.push(&render::without_event_name(self.settings.seed, number));
            }
            _ => {
                facts.broken += 1;
                body.push(&render::without_visitor(self.settings.seed, number));
            }
        }
    }

    fn refuse(&mut self, body: Vec<u8>) {
        let facts = Facts { broken: 1, ..Facts::default() };
        let request = DemoRequest { due_us: self.now_us(), body, refused: true, facts };
        self.refused_next = Some(request);
    }
}

impl Iterator for Shop {
    type Item = DemoRequest;

    fn next(&mut self) -> Option<DemoRequest> {
        if let Some(refused) = self.refused_next.take() {
            return Some(refused);
        }
        let rate = self.settings.events_per_second.max(1);
        let wanted = (rate / REQUESTS_PER_SECOND).clamp(1, REQUEST_EVENTS_MAX) as usize;
        let mut body = BatchBody::default();
        let mut facts = Facts::default();
        while body.events() < wanted && body.fits(OVERSIZE_BYTES) && self.refused_next.is_none() {
            self.add_event(&mut body, &mut facts);
        }
        if body.events() == 0 {
            return self.refused_next.take();
        }
        Some(DemoRequest { due_us: self.now_us(), body: body.take(), refused: false, facts })
    }
}

fn count_money(deed: &Deed, currency: &'static str, facts: &mut Facts) {
    match deed {
        Deed::Ordered(order) => {
            facts.orders += 1;
            facts.order_lines += order.lines.len() as u64;
            *facts.order_total_minor.entry(currency).or_default() += order.total_minor();
        }
        Deed::Refunded(refund) => {
            facts.refunds += 1;
            facts.refund_lines += refund.lines.len() as u64;
            *facts.refund_total_minor.entry(currency).or_default() += refund.total_minor;
        }
        _ => {}
    }
}
