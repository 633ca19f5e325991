//! A simulated shop: shoppers who look, fill carts, order and send things back.
//!
//! Guarantees: the requests depend on the settings alone, so a run repeats from its seed; what
//! each request should come to is told beside it ([`Facts`]), so that a test can add up what the
//! server must show. Amounts are whole minor units (cents, yen) until they are written as text.
//! A day is believable: when people shop is in `calendar`, where they come from and how many buy in
//! `channel`, what they do in `shopper`, each with where its figures are from. Among the events are
//! exact duplicates, late ones and broken ones, by shares of our own choice.
//! Left out: sending, which is in `traffic`; a shop's stock, and prices that change.

use crate::client::BatchBody;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::{BTreeMap, VecDeque};
use tradewind_types::TimestampMicros;

mod calendar;
mod catalogue;
mod channel;
mod history;
mod render;
mod shopper;
mod storefront;
mod traffic;

pub use catalogue::{Market, Product};
pub use history::History;
pub use storefront::{ShopError, Storefront, router as shop_router};
pub use traffic::{Traffic, TrafficTotals};

use catalogue::MARKETS;
use history::Returns;
use render::EventLine;
use shopper::{Deed, Shopper};

/// Seconds between two things that one shopper does, on average.
const PAUSE_S: u64 = 30;
/// Shoppers in the shop at a time, at most, about 1 KB each; at such rates they hurry.
const SHOPPERS_MAX: u64 = 20_000;
/// Shoppers in the shop at a time, at least: events of one are not all there is.
const SHOPPERS_MIN: u64 = 20;
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
#[derive(Debug, Clone, Default)]
pub struct DemoSettings {
    /// What everything random follows from. Message ids carry it: the same seed twice against one
    /// server is a day of duplicates.
    pub seed: u64,
    /// When the shop opens, in microseconds since the Unix epoch.
    pub start_us: TimestampMicros,
    /// Events a second on average over a year, at least 1.
    pub events_per_second: u64,
    /// Days before the start of which there are orders and refunds, from a midnight of UTC on.
    pub history_days: u32,
    /// Events sent a second time, unchanged.
    pub duplicate_per_mille: u32,
    /// Events that happened up to two hours before they are sent.
    pub late_per_mille: u32,
    /// Things no server should accept: broken JSON, oversize events, events without what they need.
    pub broken_per_mille: u32,
}

impl DemoSettings {
    /// A hundred events a second with 2 % duplicates, 3 % late and 0.5 % broken ones, and no history.
    pub fn new(seed: u64, start_us: TimestampMicros) -> Self {
        Self {
            seed,
            start_us,
            events_per_second: 100,
            history_days: 0,
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
    /// When what it tells of happened, about.
    pub at_us: TimestampMicros,
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
    returns: Returns,
    now_us: TimestampMicros,
    busy: [u64; MARKETS.len()],
    recent: VecDeque<Vec<u8>>,
    events_made: u64,
    refused_next: Option<DemoRequest>,
}

impl Shop {
    /// Opens a shop.
    pub fn new(settings: DemoSettings) -> Self {
        let random = StdRng::seed_from_u64(settings.seed);
        let returns = History::new(settings.clone()).outstanding();
        Self {
            now_us: settings.start_us,
            busy: busy(settings.start_us),
            settings,
            random,
            shoppers: Vec::new(),
            shoppers_made: 0,
            orders_made: 0,
            returns,
            recent: VecDeque::new(),
            events_made: 0,
            refused_next: None,
        }
    }

    /// What the shop was opened with.
    pub fn settings(&self) -> &DemoSettings {
        &self.settings
    }

    fn new_shopper(&mut self) -> Shopper {
        self.shoppers_made += 1;
        let market = shopper::market(&self.busy, &mut self.random);
        Shopper::new(self.settings.seed, self.shoppers_made, market, &mut self.random)
    }

    /// Thousandths of an event a second, at this time of this day.
    fn rate_per_mille(&self) -> u64 {
        (self.settings.events_per_second.max(1) * busy_sum(&self.busy)).max(1)
    }

    /// Goes on to the next event.
    fn advance(&mut self) {
        self.events_made += 1;
        self.now_us += (1_000_000_000 / self.rate_per_mille()).max(1) as i64;
        self.busy = busy(self.now_us);
    }

    /// Someone in the shop, in which there are as many as its rate asks for.
    fn someone(&mut self) -> usize {
        let wanted = (self.rate_per_mille() * PAUSE_S / 1_000).clamp(SHOPPERS_MIN, SHOPPERS_MAX);
        // Those who are there when the shop opens are somewhere in their visits.
        let opening = self.shoppers.is_empty();
        while self.shoppers.len() < wanted as usize {
            let mut shopper = self.new_shopper();
            if opening {
                shopper.skip_some(&mut self.orders_made, &mut self.random);
            }
            self.shoppers.push(shopper);
        }
        self.random.random_range(0..self.shoppers.len())
    }

    fn chance(&mut self, per_mille: u32) -> bool {
        self.random.random_range(0..1000) < per_mille
    }

    /// Adds one event, or what goes wrong in its place, to a request.
    fn add_event(&mut self, body: &mut BatchBody, facts: &mut Facts) {
        self.advance();
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
        let deed = match self.returns.due(self.now_us) {
            Some((_, order)) => {
                let refund = order.refund(&mut self.random);
                (*order.shopper, Deed::Refunded(refund))
            }
            None => self.deed(),
        };
        let late = self.chance(self.settings.late_per_mille);
        let delay_us = if late { self.random.random_range(1_000_000..LATE_MAX_US) } else { 0 };
        let (who, deed) = deed;
        facts.events += 1;
        facts.late += u64::from(late);
        count_money(&deed, who.market.currency, facts);
        EventLine {
            message_id: format!("demo-{:x}-{}", self.settings.seed, self.events_made),
            event_time: self.now_us - delay_us,
            shopper: &who,
            deed: &deed,
        }
        .json()
    }

    fn deed(&mut self) -> (Shopper, Deed) {
        loop {
            let place = self.someone();
            let shopper = &mut self.shoppers[place];
            match shopper.next_deed(&mut self.orders_made, &mut self.random) {
                Some(deed) => {
                    let who = shopper.clone();
                    if let Deed::Ordered(order) = &deed {
                        let (at, number) = (self.now_us, self.events_made);
                        self.returns.consider(order, at, number, &mut self.random);
                    }
                    return (who, deed);
                }
                // Left; whoever comes in next has a page to open.
                None => drop(self.shoppers.swap_remove(place)),
            }
        }
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
        let now = self.now_us;
        let request = DemoRequest { due_us: now, at_us: now, body, refused: true, facts };
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
        let now = self.now_us;
        Some(DemoRequest { due_us: now, at_us: now, body: body.take(), refused: false, facts })
    }
}

/// How busy each market is at a time: thousandths of its mean, by its share of the visits.
fn busy(at: TimestampMicros) -> [u64; MARKETS.len()] {
    let share =
        |market: &Market| calendar::busy_per_mille(at, market.zone) * market.visits_per_cent;
    std::array::from_fn(|place| share(&MARKETS[place]))
}

/// How busy the shop is, in thousandths of its mean.
fn busy_sum(busy: &[u64; MARKETS.len()]) -> u64 {
    (busy.iter().sum::<u64>() / 100).max(1)
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
