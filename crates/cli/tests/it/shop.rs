//! A shop that knows to the cent what it has sent, and judges what a server made of it.
//!
//! Guarantees: an event is decided once and sent in the same words every time; everything is
//! decided by the generator that is handed in. The judgement is exact: what was acknowledged is
//! there once, what was not is there at most once, nothing else is there, and every amount adds
//! up.
//! Left out: how events travel and how answers are fetched, which differs between the tests.

use rand::Rng;
use rand::rngs::StdRng;
use std::collections::{BTreeMap, BTreeSet};
use tradewind_types::Decimal;
use tradewind_types::event::iso8601;

/// The rows of one answer, as text.
pub(crate) type Rows = Vec<Vec<String>>;

const MICROS_PER_CENT: i64 = 10_000;
const DAY_US: i64 = 24 * 3_600 * 1_000_000;

/// What [`Ledger::check`] wants the answers to, in this order.
pub(crate) const QUESTIONS: [&str; 6] = [
    "SELECT message_id FROM events",
    "SELECT message_id, order_id, total, currency FROM orders",
    "SELECT message_id, line_kind, sku, price, quantity, line_amount FROM order_lines",
    "SELECT message_id, order_id, total FROM refunds",
    "SELECT SUM(total) FROM orders",
    "SELECT SUM(line_amount) FROM order_lines",
];

/// A materialized view with a join of what is grouped: each order with what its lines come to.
pub(crate) const JOINED_VIEW: &str = "CREATE MATERIALIZED VIEW IF NOT EXISTS order_goods AS
    SELECT o.message_id, o.properties.order_id AS order_id, o.properties.total AS total, g.goods
    FROM order_events_stream AS o
    LEFT JOIN (
        SELECT l.message_id, SUM(line.price * line.quantity) AS goods
        FROM order_events_stream AS l
        CROSS JOIN UNNEST(l.properties.products)
            AS line (product_id, sku, name, category, brand, variant, coupon, price, quantity)
        GROUP BY l.message_id
    ) AS g ON o.message_id = g.message_id
    WHERE o.event = 'Order Completed';";

/// What [`Ledger::check_views`] wants the answers to, in this order.
pub(crate) const VIEW_QUESTIONS: [&str; 3] = [
    "SELECT SUM(gross), SUM(refunded), SUM(orders), SUM(refunds) FROM sales_per_day",
    "SELECT SUM(gross), SUM(refunded), SUM(net), SUM(orders) FROM sales_per_minute",
    "SELECT SUM(total), SUM(goods), COUNT(*), COUNT(DISTINCT order_id) FROM order_goods",
];

/// An event, decided.
#[derive(Debug)]
struct Event {
    id: String,
    /// As it is sent.
    json: String,
    kind: Kind,
    /// A request with it was answered with success.
    acknowledged: bool,
}

#[derive(Debug)]
enum Kind {
    View,
    Order(Sale),
    Refund(Sale),
    /// Nobody's: it is refused and becomes a dead letter.
    Broken,
}

#[derive(Debug)]
struct Sale {
    order_id: String,
    total_cents: i64,
    lines: Vec<Line>,
}

#[derive(Debug)]
struct Line {
    sku: String,
    price_cents: i64,
    quantity: i64,
}

/// Everything that was ever sent.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    events: Vec<Event>,
    /// Those that no answer has confirmed.
    waiting: BTreeSet<usize>,
}

impl Ledger {
    /// How many events are to be there for certain.
    pub(crate) fn acknowledged(&self) -> usize {
        let certain = |event: &&Event| event.acknowledged && !matches!(event.kind, Kind::Broken);
        self.events.iter().filter(certain).count()
    }

    /// Decides one more event, at about `now_us`.
    fn decide(&mut self, rng: &mut StdRng, now_us: i64) -> usize {
        let number = self.events.len();
        let id = format!("m{number}");
        let kind = match rng.random_range(0..20) {
            0 => Kind::Broken,
            1..=8 => Kind::Order(sale(rng, number)),
            9..=11 => Kind::Refund(sale(rng, number)),
            _ => Kind::View,
        };
        let visitor = format!("v{}", rng.random_range(0..12));
        let at = iso8601::format(now_us - rng.random_range(0..3) * DAY_US);
        let json = kind.json(&id, &visitor, &at);
        self.events.push(Event { id, json, kind, acknowledged: false });
        self.waiting.insert(number);
        number
    }

    /// Events for a request: new ones, ones that wait for an answer, now and then ones that had
    /// theirs, and one of them twice. No new ones past `events_max`.
    pub(crate) fn pick(&mut self, rng: &mut StdRng, now_us: i64, events_max: usize) -> Vec<usize> {
        let mut picked = Vec::new();
        for _ in 0..rng.random_range(1..9) {
            let old = !self.events.is_empty() && rng.random_bool(0.3);
            if old || self.events.len() >= events_max {
                picked.push(rng.random_range(0..self.events.len()));
            } else {
                picked.push(self.decide(rng, now_us));
            }
        }
        if !self.waiting.is_empty() && rng.random_bool(0.5) {
            let nth = rng.random_range(0..self.waiting.len());
            picked.extend(self.waiting.iter().nth(nth));
        }
        if rng.random_bool(0.2) {
            picked.push(picked[0]);
        }
        picked
    }

    /// Events that no answer has confirmed.
    pub(crate) fn waiting(&self) -> Vec<usize> {
        self.waiting.iter().copied().collect()
    }

    /// The body of a `/v1/batch` request.
    pub(crate) fn body(&self, numbers: &[usize]) -> String {
        let events: Vec<&str> = numbers.iter().map(|&n| self.events[n].json.as_str()).collect();
        format!("{{\"batch\":[{}]}}", events.join(","))
    }

    /// A request with these was answered with success.
    pub(crate) fn acknowledge(&mut self, numbers: &[usize]) {
        for &number in numbers {
            self.events[number].acknowledged = true;
            self.waiting.remove(&number);
        }
    }

    /// How many dead letters there are at least.
    pub(crate) fn letters_min(&self) -> usize {
        let broken = |event: &&Event| event.acknowledged && matches!(event.kind, Kind::Broken);
        self.events.iter().filter(broken).count()
    }

    /// Judges the message ids that are somewhere; returns them.
    pub(crate) fn check_ids(
        &self,
        place: &str,
        found: &[String],
    ) -> Result<BTreeSet<String>, String> {
        let mut ids = BTreeSet::new();
        for id in found {
            if !ids.insert(id.clone()) {
                return Err(format!("{id} is in {place} twice"));
            }
        }
        let sent = self.events.iter().filter(|event| !matches!(event.kind, Kind::Broken));
        let mut strangers = ids.clone();
        for event in sent {
            strangers.remove(&event.id);
            if event.acknowledged && !ids.contains(&event.id) {
                return Err(format!("{} was acknowledged and is not in {place}", event.id));
            }
        }
        match strangers.first() {
            None => Ok(ids),
            Some(id) => Err(format!("{id} is in {place} and was never to be accepted")),
        }
    }

    /// Judges the answers to [`QUESTIONS`], asked of tables that must hold exactly the events
    /// `logged`.
    pub(crate) fn check(&self, logged: &BTreeSet<String>, answers: &[Rows]) -> Result<(), String> {
        let [events, orders, lines, refunds, orders_sum, lines_sum] = answers else {
            return Err(format!("{} answers to {} questions", answers.len(), QUESTIONS.len()));
        };
        let ids: Vec<String> = events.iter().map(|row| row[0].clone()).collect();
        let ids = self.check_ids("table events", &ids)?;
        if let Some(id) = ids.symmetric_difference(logged).next() {
            return Err(format!("{id} is in only one of log and table events"));
        }
        let expected = self.expected(logged);
        compare("orders", orders, &[2], &expected.orders)?;
        compare("order_lines", lines, &[3, 4, 5], &expected.lines)?;
        compare("refunds", refunds, &[2], &expected.refunds)?;
        compare_sum("SUM(total) of orders", orders_sum, expected.orders_sum_cents)?;
        compare_sum("SUM(line_amount) of order_lines", lines_sum, expected.lines_sum_cents)
    }

    /// Judges the answers to [`VIEW_QUESTIONS`], asked of views over exactly the events `logged`.
    pub(crate) fn check_views(
        &self,
        logged: &BTreeSet<String>,
        answers: &[Rows],
    ) -> Result<(), String> {
        let (mut gross, mut refunded, mut goods) = (0, 0, 0);
        let (mut orders, mut refunds) = (0, 0);
        for event in self.events.iter().filter(|event| logged.contains(&event.id)) {
            match &event.kind {
                Kind::View | Kind::Broken => {}
                Kind::Order(sale) => {
                    gross += sale.total_cents;
                    goods += sale.goods_cents();
                    orders += 1;
                }
                Kind::Refund(sale) => {
                    refunded += sale.total_cents;
                    refunds += 1;
                }
            }
        }
        let count = |count: i64| count * 100;
        let expected = [
            [gross, refunded, count(orders), count(refunds)],
            [gross, refunded, gross - refunded, count(orders)],
            [gross, goods, count(orders), count(orders)],
        ];
        for ((question, rows), expected) in VIEW_QUESTIONS.iter().zip(answers).zip(expected) {
            let [row] = &rows[..] else { return Err(format!("{question}: {rows:?}")) };
            for (found, expected) in row.iter().zip(expected) {
                let found = if found.is_empty() { amount(0) } else { amount_of(found)? };
                if found != amount(expected) {
                    return Err(format!("{question}: {row:?}, and {expected} cents expected"));
                }
            }
        }
        Ok(())
    }

    fn expected(&self, present: &BTreeSet<String>) -> Expected {
        let mut expected = Expected::default();
        for event in self.events.iter().filter(|event| present.contains(&event.id)) {
            expected.add(event);
        }
        expected
    }
}

/// What the tables must hold.
#[derive(Debug, Default)]
struct Expected {
    orders: Rows,
    lines: Rows,
    refunds: Rows,
    orders_sum_cents: Option<i64>,
    lines_sum_cents: Option<i64>,
}

impl Expected {
    fn add(&mut self, event: &Event) {
        match &event.kind {
            Kind::View | Kind::Broken => {}
            Kind::Order(sale) => {
                let total = amount(sale.total_cents);
                self.orders.push(vec![
                    event.id.clone(),
                    sale.order_id.clone(),
                    total,
                    "EUR".to_owned(),
                ]);
                *self.orders_sum_cents.get_or_insert(0) += sale.total_cents;
                self.add_lines(event, sale, "sale", 1);
            }
            Kind::Refund(sale) => {
                let total = amount(sale.total_cents);
                self.refunds.push(vec![event.id.clone(), sale.order_id.clone(), total]);
                self.add_lines(event, sale, "refund", -1);
            }
        }
    }

    fn add_lines(&mut self, event: &Event, sale: &Sale, line_kind: &str, sign: i64) {
        for line in &sale.lines {
            let quantity = sign * line.quantity;
            *self.lines_sum_cents.get_or_insert(0) += line.price_cents * quantity;
            self.lines.push(vec![
                event.id.clone(),
                line_kind.to_owned(),
                line.sku.clone(),
                amount(line.price_cents),
                amount(quantity * 100),
                amount(line.price_cents * quantity),
            ]);
        }
    }
}

impl Kind {
    fn json(&self, id: &str, visitor: &str, at: &str) -> String {
        let (event, properties) = match self {
            Self::Broken => {
                return format!(r#"{{"type":"track","event":"Nobody's","messageId":"{id}"}}"#);
            }
            Self::View => ("Product Viewed", r#"{"product_id":"p1"}"#.to_owned()),
            Self::Order(sale) => ("Order Completed", sale.json()),
            Self::Refund(sale) => ("Order Refunded", sale.json()),
        };
        format!(
            r#"{{"type":"track","event":"{event}","messageId":"{id}","anonymousId":"{visitor}","timestamp":"{at}","properties":{properties}}}"#
        )
    }
}

impl Sale {
    fn goods_cents(&self) -> i64 {
        self.lines.iter().map(|line| line.price_cents * line.quantity).sum()
    }

    fn json(&self) -> String {
        let lines = self.lines.iter().map(|line| {
            let Line { sku, quantity, .. } = line;
            let price = cents(line.price_cents);
            format!(
                r#"{{"product_id":"{sku}","sku":"{sku}","price":{price},"quantity":{quantity}}}"#
            )
        });
        let lines: Vec<String> = lines.collect();
        let (order, total) = (&self.order_id, cents(self.total_cents));
        format!(
            r#"{{"order_id":"{order}","total":{total},"currency":"EUR","products":[{}]}}"#,
            lines.join(",")
        )
    }
}

/// One to four lines and some cents of shipping.
fn sale(rng: &mut StdRng, number: usize) -> Sale {
    let line = |nth: usize, rng: &mut StdRng| Line {
        sku: format!("s{number}-{nth}"),
        price_cents: rng.random_range(1..100_000),
        quantity: rng.random_range(1..10),
    };
    let lines: Vec<Line> = (0..rng.random_range(1..5)).map(|nth| line(nth, rng)).collect();
    let goods: i64 = lines.iter().map(|line| line.price_cents * line.quantity).sum();
    let total_cents = goods + rng.random_range(0..1_000);
    Sale { order_id: format!("o{number}"), total_cents, lines }
}

/// Cents as a shop writes them: `12.05`.
fn cents(cents: i64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

/// Cents in the one spelling that amounts are compared in.
fn amount(cents: i64) -> String {
    (cents * MICROS_PER_CENT).to_string()
}

/// An answer's amount in that spelling.
fn amount_of(text: &str) -> Result<String, String> {
    let parsed: Result<Decimal, _> = text.parse();
    let parsed = parsed.map_err(|error| format!("{text:?} is no amount: {error}"))?;
    Ok(parsed.units().to_string())
}

fn compare(table: &str, rows: &Rows, amounts: &[usize], expected: &Rows) -> Result<(), String> {
    let mut difference: BTreeMap<Vec<String>, i64> = BTreeMap::new();
    for row in rows {
        let mut row = row.clone();
        for &column in amounts {
            row[column] = amount_of(&row[column])?;
        }
        *difference.entry(row).or_default() += 1;
    }
    for row in expected {
        *difference.entry(row.clone()).or_default() -= 1;
    }
    difference.retain(|_, count| *count != 0);
    match difference.first_key_value() {
        None => Ok(()),
        Some((row, count)) => Err(format!(
            "table {table} differs in {} rows; {row:?} is there {count:+} times too often",
            difference.len()
        )),
    }
}

fn compare_sum(what: &str, rows: &Rows, cents: Option<i64>) -> Result<(), String> {
    let found = rows.first().and_then(|row| row.first()).map_or("", String::as_str);
    let expected = cents.map(amount).unwrap_or_default();
    let found = if found.is_empty() { String::new() } else { amount_of(found)? };
    if found == expected {
        Ok(())
    } else {
        Err(format!("{what} is {found}, not {expected}, in millionths"))
    }
}
