//! One visit at a time: who comes, what is in the cart, and what comes next.
//!
//! Guarantees: nobody orders an empty cart; an order's total is its lines less the discount plus
//! shipping and tax, to the minor unit; a refund never exceeds what its order took.
//! Left out: what a visitor remembers. A customer who comes back has the same ids and an empty cart.
//!
//! Where the figures are from: of ten carts seven are left, as Baymard Institute's mean of 50 studies
//! has it ("Cart Abandonment Rate Statistics", 70.22 %), half of them before and half in the
//! checkout by our guess; 59 % of visits are by phone (Episerver, by marketingcharts.com, November
//! 2019); 17.6 % of what is sold online goes back (National Retail Federation and Appriss Retail,
//! "2023 Consumer Returns in the Retail Industry"). Guessed are: that four visits of ten see no more
//! than two pages, that three of ten are customers who have been there before, and that three of a
//! hundred are programs that run a page's scripts.

use super::catalogue::{MARKETS, Market, PRODUCTS, Product};
use super::channel::{self, Channel};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::VecDeque;

/// Different products in one cart, at most.
const CART_LINES_MAX: usize = 8;
/// Customers who come back.
const CUSTOMERS: u64 = 5_000;
/// Visits by programs, by customers, that see next to nothing, by phone: of a hundred.
const BOTS_PER_CENT: u32 = 3;
const CUSTOMERS_PER_CENT: u32 = 30;
const BOUNCES_PER_CENT: u32 = 40;
const MOBILE_PER_CENT: u32 = 59;
/// Of a thousand carts, those that are ordered.
const CARTS_ORDERED_PER_MILLE: u32 = 298;
/// Of a thousand carts that are not ordered, those that are left in the checkout.
const CARTS_LEFT_IN_CHECKOUT_PER_MILLE: u32 = 500;
/// Events of a visit on average, programs included: `tests` hold it true.
pub(super) const EVENTS_PER_VISIT_PER_MILLE: u64 = 5_150;
/// Visits that end with an order, of ten thousand, programs included.
pub(super) const ORDERS_PER_MYRIAD_VISITS: u64 = 223;

/// Someone in the shop.
#[derive(Debug, Clone)]
pub(super) struct Shopper {
    pub(super) anonymous_id: String,
    /// Known customers have one.
    pub(super) user_id: Option<String>,
    pub(super) session_id: String,
    pub(super) market: &'static Market,
    pub(super) channel: &'static Channel,
    /// Agreed to advertising; to analytics everybody has, or we would not see them.
    pub(super) advertising: bool,
    pub(super) mobile: bool,
    /// A program.
    pub(super) bot: bool,
    cart: Vec<Line>,
    looking_at: Option<&'static Product>,
    checking_out: Option<String>,
    steps: VecDeque<Step>,
}

/// What is to come in a visit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Page(&'static str),
    Look,
    Add,
    Cart,
    CheckOut,
    Order,
}

/// A product and how many of it.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) product: &'static Product,
    pub(super) quantity: i64,
    pub(super) price_minor: i64,
}

impl Line {
    fn amount_minor(&self) -> i64 {
        self.price_minor * self.quantity
    }
}

/// Something a shopper does, as an event.
#[derive(Debug, Clone)]
pub(super) enum Deed {
    /// A page of the shop was opened.
    Paged(&'static str),
    Viewed(&'static Product),
    Added(Line),
    CartViewed(Vec<Line>),
    CheckoutStarted {
        order_id: String,
        lines: Vec<Line>,
    },
    Ordered(Order),
    Refunded(Refund),
}

/// A finished order; amounts in minor units of the market's currency.
#[derive(Debug, Clone)]
pub(super) struct Order {
    pub(super) order_id: String,
    pub(super) shopper: Box<Shopper>,
    pub(super) lines: Vec<Line>,
    pub(super) coupon: Option<&'static str>,
    pub(super) discount_minor: i64,
    pub(super) shipping_minor: i64,
    pub(super) tax_minor: i64,
}

/// What goes back of an order.
#[derive(Debug, Clone)]
pub(super) struct Refund {
    pub(super) order_id: String,
    pub(super) lines: Vec<Line>,
    pub(super) total_minor: i64,
}

impl Shopper {
    /// Visit `number` of a shop, by a shopper of `market`.
    pub(super) fn new(
        seed: u64,
        number: u64,
        market: &'static Market,
        random: &mut StdRng,
    ) -> Self {
        let channel = channel::any(random);
        let mut shopper = Self::someone(seed, number, market, channel, random);
        shopper.bot = random.random_range(0..100) < BOTS_PER_CENT;
        shopper.plan(random);
        shopper
    }

    /// A shopper with a full cart at the checkout.
    pub(super) fn ordering(
        seed: u64,
        number: u64,
        market: &'static Market,
        random: &mut StdRng,
    ) -> Self {
        let channel = channel::of_order(random);
        let mut shopper = Self::someone(seed, number, market, channel, random);
        for _ in 0..cart_size(random) {
            shopper.look(random);
            shopper.add(random);
        }
        shopper
    }

    /// How the cart came to be, in short; with an id also that the checkout began.
    pub(super) fn cart_story(&self, order_id: Option<String>) -> Vec<Deed> {
        let Some(line) = self.cart.first() else { return Vec::new() };
        let mut story = vec![Deed::Viewed(line.product), Deed::Added(line.clone())];
        let checkout = |order_id| Deed::CheckoutStarted { order_id, lines: self.cart.clone() };
        story.extend(order_id.map(checkout));
        story
    }

    fn someone(
        seed: u64,
        number: u64,
        market: &'static Market,
        channel: &'static Channel,
        random: &mut StdRng,
    ) -> Self {
        let mut shopper = Self {
            anonymous_id: format!("anon-{seed:x}-{number}"),
            user_id: None,
            session_id: format!("session-{seed:x}-{number}"),
            market,
            channel,
            advertising: random.random_bool(0.7),
            mobile: random.random_range(0..100) < MOBILE_PER_CENT,
            bot: false,
            cart: Vec::new(),
            looking_at: None,
            checking_out: None,
            steps: VecDeque::new(),
        };
        if random.random_range(0..100) < CUSTOMERS_PER_CENT {
            shopper.recognise(seed, random.random_range(1..=CUSTOMERS));
        }
        shopper
    }

    /// Makes the shopper a customer, who is the same at every visit.
    fn recognise(&mut self, seed: u64, customer: u64) {
        let mut own = StdRng::seed_from_u64(seed ^ customer.rotate_left(32));
        self.anonymous_id = format!("anon-{seed:x}-c{customer}");
        self.user_id = Some(format!("customer-{customer}"));
        self.advertising = own.random_bool(0.7);
        self.mobile = own.random_range(0..100) < MOBILE_PER_CENT;
    }

    /// Decides how the visit goes.
    fn plan(&mut self, random: &mut StdRng) {
        self.steps.push_back(Step::Page("/"));
        if self.bot {
            // Programs read whatever there is and put nothing into a cart.
            self.steps.extend((0..random.random_range(10..40)).map(|_| Step::Look));
            return;
        }
        let orders = random.random_range(0..10_000) < self.channel.orders_per_myriad;
        // Each order stands for the carts that are left beside it.
        let others = 1_000 - CARTS_ORDERED_PER_MILLE;
        let left = self.channel.orders_per_myriad * others / CARTS_ORDERED_PER_MILLE;
        let fills = orders || random.random_range(0..10_000) < left;
        if !fills {
            let looks = match random.random_range(0..100) < BOUNCES_PER_CENT {
                true => random.random_range(0..2),
                false => random.random_range(1..9),
            };
            self.steps.extend((0..looks).map(|_| Step::Look));
            return;
        }
        for _ in 0..cart_size(random) {
            self.steps.extend((0..random.random_range(1..4)).map(|_| Step::Look));
            self.steps.push_back(Step::Add);
        }
        self.steps.extend([Step::Page("/cart"), Step::Cart]);
        if orders || random.random_range(0..1_000) < CARTS_LEFT_IN_CHECKOUT_PER_MILLE {
            self.steps.extend([Step::Page("/checkout"), Step::CheckOut]);
        }
        if orders {
            self.steps.push_back(Step::Order);
        }
    }

    /// What the shopper does next; `None`: leaves.
    pub(super) fn next_deed(&mut self, orders: &mut u64, random: &mut StdRng) -> Option<Deed> {
        Some(match self.steps.pop_front()? {
            Step::Page(path) => Deed::Paged(path),
            Step::Look => self.look(random),
            Step::Add => self.add(random),
            Step::Cart => Deed::CartViewed(self.cart.clone()),
            Step::CheckOut => self.check_out(orders),
            Step::Order => {
                let order_id = self.checking_out.take()?;
                Deed::Ordered(self.order(order_id, random))
            }
        })
    }

    /// Does some of what is to come without anybody seeing it.
    pub(super) fn skip_some(&mut self, orders: &mut u64, random: &mut StdRng) {
        for _ in 0..random.random_range(0..self.steps.len()) {
            let _ = self.next_deed(orders, random);
        }
    }

    /// Looks at a product; the first on the shelf sell best.
    fn look(&mut self, random: &mut StdRng) -> Deed {
        let places = PRODUCTS.len();
        let place = random.random_range(0..places).min(random.random_range(0..places));
        self.looking_at = Some(&PRODUCTS[place]);
        Deed::Viewed(&PRODUCTS[place])
    }

    fn add(&mut self, random: &mut StdRng) -> Deed {
        let product = self.looking_at.take().unwrap_or(&PRODUCTS[0]);
        let quantity = [1, 1, 1, 1, 1, 2, 2, 3][random.random_range(0..8)];
        let line = Line { product, quantity, price_minor: self.market.price_minor(product) };
        let room = self.cart.len() < CART_LINES_MAX;
        match self.cart.iter_mut().find(|line| line.product == product) {
            Some(there) => there.quantity += quantity,
            None if room => self.cart.push(line.clone()),
            None => return Deed::CartViewed(self.cart.clone()),
        }
        Deed::Added(line)
    }

    fn check_out(&mut self, orders: &mut u64) -> Deed {
        *orders += 1;
        let shop = self.anonymous_id.split('-').nth(1).unwrap_or_default();
        let order_id = format!("O-{shop}-{orders:06}");
        self.checking_out = Some(order_id.clone());
        Deed::CheckoutStarted { order_id, lines: self.cart.clone() }
    }

    pub(super) fn order(&mut self, order_id: String, random: &mut StdRng) -> Order {
        let lines = std::mem::take(&mut self.cart);
        let subtotal: i64 = lines.iter().map(Line::amount_minor).sum();
        let coupon = random.random_bool(0.15).then_some("WELCOME10");
        let discount_minor = if coupon.is_some() { subtotal / 10 } else { 0 };
        let revenue = subtotal - discount_minor;
        let free = revenue >= self.market.free_shipping_minor;
        Order {
            order_id,
            shopper: Box::new(self.clone()),
            lines,
            coupon,
            discount_minor,
            shipping_minor: if free { 0 } else { self.market.shipping_minor },
            tax_minor: (revenue * self.market.tax_per_mille + 500) / 1000,
        }
    }
}

/// Products in a cart: most hold one or two.
fn cart_size(random: &mut StdRng) -> usize {
    [1, 1, 1, 1, 2, 2, 2, 3, 3, 4][random.random_range(0..10)]
}

/// The market of someone who comes at a time when each is as busy as `busy` says.
pub(super) fn market(busy: &[u64; MARKETS.len()], random: &mut StdRng) -> &'static Market {
    let mut place = random.random_range(0..busy.iter().sum::<u64>().max(1));
    for (market, weight) in MARKETS.iter().zip(busy) {
        if place < *weight {
            return market;
        }
        place -= weight;
    }
    &MARKETS[0]
}

impl Order {
    pub(super) fn subtotal_minor(&self) -> i64 {
        self.lines.iter().map(Line::amount_minor).sum()
    }

    /// What was earned: without shipping and tax.
    pub(super) fn revenue_minor(&self) -> i64 {
        self.subtotal_minor() - self.discount_minor
    }

    /// What was paid.
    pub(super) fn total_minor(&self) -> i64 {
        self.revenue_minor() + self.shipping_minor + self.tax_minor
    }

    /// The whole order goes back, or some of one line.
    pub(super) fn refund(&self, random: &mut StdRng) -> Refund {
        if random.random_bool(0.4) {
            return Refund {
                order_id: self.order_id.clone(),
                lines: self.lines.clone(),
                total_minor: self.total_minor(),
            };
        }
        let mut line = self.lines[random.random_range(0..self.lines.len())].clone();
        line.quantity = random.random_range(1..=line.quantity);
        // Less its part of the discount, so that the parts never add up to more than was paid.
        let total_minor = line.amount_minor()
            - line.amount_minor() * self.discount_minor / self.subtotal_minor().max(1);
        Refund { order_id: self.order_id.clone(), lines: vec![line], total_minor }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn visits_come_to_what_the_rates_are_made_from() {
        let mut random = StdRng::seed_from_u64(5);
        let (mut events, mut orders, mut carts, mut made) = (0, 0_u64, 0_u64, 0);
        const VISITS: u64 = 40_000;
        for number in 0..VISITS {
            let mut shopper = Shopper::new(1, number, &MARKETS[0], &mut random);
            let mut filled = false;
            while let Some(deed) = shopper.next_deed(&mut made, &mut random) {
                events += 1;
                filled |= matches!(deed, Deed::Added(_));
                orders += u64::from(matches!(deed, Deed::Ordered(_)));
            }
            carts += u64::from(filled);
        }
        let per_visit = events * 1_000 / VISITS;
        assert!(per_visit.abs_diff(EVENTS_PER_VISIT_PER_MILLE) < 150, "{per_visit}");
        let per_myriad = orders * 10_000 / VISITS;
        assert!(per_myriad.abs_diff(ORDERS_PER_MYRIAD_VISITS) < 20, "{per_myriad}");
        let left = 1_000 - orders * 1_000 / carts;
        assert!(left.abs_diff(702) < 25, "{left}");
    }
}
