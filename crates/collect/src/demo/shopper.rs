//! One shopper at a time: what is in the cart, and what comes next.
//!
//! Guarantees: nobody orders an empty cart; an order's total is its lines less the discount plus
//! shipping and tax, to the minor unit; a refund never exceeds what its order took.
//! Left out: memory. A shopper who has ordered or left does not come back.

use super::catalogue::{MARKETS, Market, PRODUCTS, Product};
use rand::Rng;
use rand::rngs::StdRng;

/// Different products in one cart, at most.
const CART_LINES_MAX: usize = 8;

/// Someone in the shop.
#[derive(Debug, Clone)]
pub(super) struct Shopper {
    pub(super) anonymous_id: String,
    /// Known customers have one.
    pub(super) user_id: Option<String>,
    pub(super) market: &'static Market,
    /// Agreed to advertising; to analytics everybody has, or we would not see them.
    pub(super) advertising: bool,
    pub(super) mobile: bool,
    cart: Vec<Line>,
    looking_at: Option<&'static Product>,
    checking_out: Option<String>,
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
    Viewed(&'static Product),
    Added(Line),
    CartViewed(Vec<Line>),
    CheckoutStarted { order_id: String, lines: Vec<Line> },
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
    pub(super) fn new(seed: u64, number: u64, random: &mut StdRng) -> Self {
        let market = match random.random_range(0..10) {
            0..5 => &MARKETS[0],
            5..8 => &MARKETS[1],
            _ => &MARKETS[2],
        };
        let known = random.random_bool(0.6);
        Self {
            anonymous_id: format!("anon-{seed:x}-{number}"),
            user_id: known.then(|| format!("customer-{}", random.random_range(1..=5000))),
            market,
            advertising: random.random_bool(0.7),
            mobile: random.random_bool(0.55),
            cart: Vec::new(),
            looking_at: None,
            checking_out: None,
        }
    }

    /// What the shopper does next; `None`: leaves.
    pub(super) fn next_deed(&mut self, orders: &mut u64, random: &mut StdRng) -> Option<Deed> {
        if let Some(order_id) = self.checking_out.take() {
            return random.random_bool(0.75).then(|| Deed::Ordered(self.order(order_id, random)));
        }
        match random.random_range(0..100) {
            0..45 => Some(self.look(random)),
            45..70 if self.looking_at.is_some() && self.cart.len() < CART_LINES_MAX => {
                Some(self.add(random))
            }
            70..78 if !self.cart.is_empty() => Some(Deed::CartViewed(self.cart.clone())),
            78..90 if !self.cart.is_empty() => Some(self.check_out(orders)),
            90..100 => None,
            _ => Some(self.look(random)),
        }
    }

    /// Looks at a product; the first on the shelf sell best.
    pub(super) fn look(&mut self, random: &mut StdRng) -> Deed {
        let places = PRODUCTS.len();
        let place = random.random_range(0..places).min(random.random_range(0..places));
        self.looking_at = Some(&PRODUCTS[place]);
        Deed::Viewed(&PRODUCTS[place])
    }

    fn add(&mut self, random: &mut StdRng) -> Deed {
        let product = self.looking_at.take().unwrap_or(&PRODUCTS[0]);
        let quantity = [1, 1, 1, 1, 2, 2, 3, 6][random.random_range(0..8)];
        let line = Line { product, quantity, price_minor: self.market.price_minor(product) };
        match self.cart.iter_mut().find(|line| line.product == product) {
            Some(there) => there.quantity += quantity,
            None => self.cart.push(line.clone()),
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

    fn order(&mut self, order_id: String, random: &mut StdRng) -> Order {
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
