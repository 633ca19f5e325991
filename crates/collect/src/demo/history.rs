//! What the shop sold before the demo began: its orders and refunds, as a shop that begins to use
//! Tradewind brings them.
//!
//! Guarantees: as many orders an hour as the shoppers of the same hour would make; in order of time;
//! the same seed is the same history. Its orders have ids of their own, so that sending it twice is
//! sending it once.
//! Of the day of the start, by UTC, there are also the visits beside the orders, in short, so that the
//! way to an order has all its steps: two carts that were left for each that was ordered, and the
//! others who looked.
//! Left out: pages seen and carts filled on the days before.

use super::calendar::midnight_before;
use super::catalogue::MARKETS;
use super::render::EventLine;
use super::shopper::{
    self, Deed, EVENTS_PER_VISIT_PER_MILLE, ORDERS_PER_MYRIAD_VISITS, Order, Shopper,
};
use super::{DemoRequest, DemoSettings, Facts, busy, busy_sum, count_money};
use crate::client::BatchBody;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::{BTreeMap, VecDeque};
use tradewind_types::TimestampMicros;

/// Orders of one request, at most: a batch of 480 KB is full at about as many.
const REQUEST_EVENTS_MAX: usize = 250;
/// Bytes of the largest order.
const ORDER_BYTES: usize = 4_000;
/// Of a thousand orders, those of which something goes back.
const RETURNED_PER_MILLE: u32 = 176;
/// Of a thousand of these, those that are cancelled within the hour.
const CANCELLED_PER_MILLE: u32 = 150;
/// Orders that are to go back and have not yet, about 1 KB each: past it an order is kept.
const RETURNS_MAX: usize = 50_000;
/// Visits beside each that ends with an order, and carts that are left among them.
const VISITS_PER_ORDER: u64 = 10_000 / ORDERS_PER_MYRIAD_VISITS - 1;
const CARTS_LEFT_PER_ORDER: u64 = 2;
const MINUTE_US: i64 = 60_000_000;
const DAY_US: i64 = 86_400_000_000;

/// Orders that go back, by when.
#[derive(Debug, Clone, Default)]
pub(super) struct Returns(BTreeMap<(TimestampMicros, u64), Order>);

impl Returns {
    /// Decides whether and when something of an order of `at` goes back.
    pub(super) fn consider(
        &mut self,
        order: &Order,
        at: TimestampMicros,
        number: u64,
        random: &mut StdRng,
    ) {
        let returned = random.random_range(0..1_000) < RETURNED_PER_MILLE;
        if !returned || self.0.len() >= RETURNS_MAX {
            return;
        }
        let after = match random.random_range(0..1_000) < CANCELLED_PER_MILLE {
            true => random.random_range(2 * MINUTE_US..60 * MINUTE_US),
            false => random.random_range(2 * DAY_US..14 * DAY_US),
        };
        self.0.insert((at + after, number), order.clone());
    }

    /// An order that goes back by `now`, and when it did.
    pub(super) fn due(&mut self, now: TimestampMicros) -> Option<(TimestampMicros, Order)> {
        let first = self.0.first_entry().filter(|entry| entry.key().0 <= now)?;
        let at = first.key().0;
        Some((at, first.remove()))
    }
}

/// The orders and refunds before a shop's start.
#[derive(Debug)]
pub struct History {
    settings: DemoSettings,
    random: StdRng,
    now: TimestampMicros,
    orders: u64,
    events: u64,
    returns: Returns,
    over: bool,
    /// Visits beside the last order, bounded by those of one order.
    visits: VecDeque<(Shopper, Deed)>,
    shoppers: u64,
}

impl History {
    /// The history of `settings.history_days` before `settings.start_us`, from a midnight on.
    pub fn new(settings: DemoSettings) -> Self {
        let days = settings.history_days;
        let from = match days {
            0 => settings.start_us,
            days => midnight_before(settings.start_us, days, chrono_tz::UTC),
        };
        Self {
            random: StdRng::seed_from_u64(settings.seed.rotate_left(17)),
            now: from,
            settings,
            orders: 0,
            events: 0,
            returns: Returns::default(),
            over: false,
            visits: VecDeque::new(),
            shoppers: 0,
        }
    }

    /// What of it goes back after the shop has opened.
    pub(super) fn outstanding(mut self) -> Returns {
        while self.step(None).is_some() {}
        self.returns
    }

    /// One event later; `None` at the shop's start. Written only where somebody wants the text.
    fn step(&mut self, written: Option<(&mut BatchBody, &mut Facts)>) -> Option<()> {
        let (at, who, deed) = match self.returns.due(self.now) {
            Some((at, order)) => {
                let refund = order.refund(&mut self.random);
                (at, *order.shopper, Deed::Refunded(refund))
            }
            None => match self.visits.pop_front() {
                Some((who, deed)) => (self.now, who, deed),
                None => self.order()?,
            },
        };
        self.events += 1;
        let Some((body, facts)) = written else { return Some(()) };
        facts.events += 1;
        count_money(&deed, who.market.currency, facts);
        let message_id = format!("demo-{:x}-h{}", self.settings.seed, self.events);
        body.push(&EventLine { message_id, event_time: at, shopper: &who, deed: &deed }.json());
        Some(())
    }

    fn order(&mut self) -> Option<(TimestampMicros, Shopper, Deed)> {
        let busy = busy(self.now);
        let pace = u128::from(self.settings.events_per_second.max(1))
            * u128::from(busy_sum(&busy))
            * u128::from(ORDERS_PER_MYRIAD_VISITS);
        // Seconds between two orders: visits are events by their mean, orders are visits by theirs.
        let mean_us =
            1_000_000_u128 * u128::from(EVENTS_PER_VISIT_PER_MILLE) * 10_000 / pace.max(1);
        let mean_us = (mean_us as i64).max(1);
        self.now += self.random.random_range(1..=2 * mean_us);
        if self.now >= self.settings.start_us {
            return None;
        }
        self.orders += 1;
        let market = shopper::market(&busy, &mut self.random);
        // Numbers of their own, beside those of the shoppers who come later.
        let number = 1_000_000_000 + self.orders;
        let seed = self.settings.seed;
        let mut who = Shopper::ordering(seed, number, market, &mut self.random);
        let order_id = format!("H-{seed:x}-{:06}", self.orders);
        if self.now >= midnight_before(self.settings.start_us, 0, chrono_tz::UTC) {
            let story = who.cart_story(Some(order_id.clone()));
            self.visits.extend(story.into_iter().map(|deed| (who.clone(), deed)));
            self.others(&busy);
        }
        let order = who.order(order_id, &mut self.random);
        self.returns.consider(&order, self.now, self.orders, &mut self.random);
        Some((self.now, who, Deed::Ordered(order)))
    }
}

impl History {
    /// Those who came and did not order, for one who did.
    fn others(&mut self, busy: &[u64; MARKETS.len()]) {
        let seed = self.settings.seed;
        for place in 0..VISITS_PER_ORDER {
            self.shoppers += 1;
            let number = 2_000_000_000 + self.shoppers;
            let market = shopper::market(busy, &mut self.random);
            if place < CARTS_LEFT_PER_ORDER {
                let who = Shopper::ordering(seed, number, market, &mut self.random);
                let checkout = (place == 0).then(|| format!("H-{seed:x}-left-{number}"));
                let story = who.cart_story(checkout);
                self.visits.extend(story.into_iter().map(|deed| (who.clone(), deed)));
                continue;
            }
            let mut who = Shopper::new(seed, number, market, &mut self.random);
            // The page they came to, or the product behind it.
            let mut unused = 0;
            let first = who.next_deed(&mut unused, &mut self.random);
            let deed = who.next_deed(&mut unused, &mut self.random).or(first);
            self.visits.extend(deed.map(|deed| (who, deed)));
        }
    }
}

impl Iterator for History {
    type Item = DemoRequest;

    fn next(&mut self) -> Option<DemoRequest> {
        let mut body = BatchBody::default();
        let mut facts = Facts::default();
        while body.events() < REQUEST_EVENTS_MAX && body.fits(ORDER_BYTES) {
            if self.over || self.step(Some((&mut body, &mut facts))).is_none() {
                self.over = true;
                break;
            }
        }
        let due_us = self.settings.start_us;
        let at_us = self.now.min(due_us);
        (body.events() > 0).then(|| DemoRequest {
            due_us,
            at_us,
            body: body.take(),
            refused: false,
            facts,
        })
    }
}
