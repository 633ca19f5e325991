//! The simulated shop: repeatable, and what it says of its own traffic is true.

use crate::stub::{Stub, Trick};
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::AtomicBool;
use tradewind_collect::client::ClientSettings;
use tradewind_collect::demo::{DemoRequest, DemoSettings, Facts, History, Shop, Traffic};
use tradewind_types::event::iso8601;

const START_US: i64 = 1_790_000_000_000_000;

fn requests(seed: u64, count: usize) -> Vec<DemoRequest> {
    Shop::new(DemoSettings::new(seed, START_US)).take(count).collect()
}

fn minor(value: &Value, currency: &str) -> i64 {
    let digits = if currency == "JPY" { 0 } else { 2 };
    let text = value.to_string();
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    assert!(fraction.len() <= digits, "{text} {currency}");
    format!("{whole}{fraction:0<digits$}").parse().unwrap()
}

#[test]
fn the_same_seed_is_the_same_shop() {
    let bodies = |seed| requests(seed, 300).into_iter().map(|request| request.body);
    assert!(bodies(7).eq(bodies(7)));
    assert!(!bodies(7).eq(bodies(8)));
}

/// What a server that takes each event once would hold.
fn recount(requests: &[DemoRequest]) -> Facts {
    let mut facts = Facts::default();
    let mut seen = HashSet::new();
    for request in requests {
        let Ok(body) = serde_json::from_slice::<Value>(&request.body) else {
            assert!(request.refused);
            facts.broken += 1;
            continue;
        };
        for event in body["batch"].as_array().unwrap() {
            let large = event.to_string().len() > 32 * 1024;
            let nameless = event["type"] == "track" && !event["event"].is_string();
            if large || nameless || !event["anonymousId"].is_string() {
                facts.broken += 1;
            } else if !seen.insert(event["messageId"].as_str().unwrap().to_owned()) {
                facts.duplicates += 1;
            } else {
                count(event, request.due_us, &mut facts);
            }
        }
    }
    facts
}

fn count(event: &Value, due_us: i64, facts: &mut Facts) {
    let properties = &event["properties"];
    facts.events += 1;
    let at = iso8601::parse(event["timestamp"].as_str().unwrap()).unwrap();
    // A request of 5 events at 100 a second spans 200 ms at the quietest hour; a late event is a
    // second late at least, and not sent before the last one of its request.
    facts.late += u64::from(due_us - at >= 1_000_000);
    let lines = properties["products"].as_array().map_or(0, Vec::len) as u64;
    if event["type"] == "page" {
        assert!(properties["path"].is_string());
        return;
    }
    let currency = ["EUR", "USD", "JPY"].into_iter().find(|code| properties["currency"] == *code);
    let currency = currency.unwrap();
    let total = || minor(&properties["total"], currency);
    match event["event"].as_str().unwrap() {
        "Order Completed" => {
            facts.orders += 1;
            facts.order_lines += lines;
            *facts.order_total_minor.entry(currency).or_default() += total();
            check_order(properties, currency);
        }
        "Order Refunded" => {
            facts.refunds += 1;
            facts.refund_lines += lines;
            *facts.refund_total_minor.entry(currency).or_default() += total();
        }
        _ => {}
    }
}

fn check_order(order: &Value, currency: &str) {
    let amount = |field: &str| minor(&order[field], currency);
    let lines: i64 = order["products"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| minor(&line["price"], currency) * line["quantity"].as_i64().unwrap())
        .sum();
    assert_eq!(amount("subtotal"), lines);
    assert_eq!(amount("revenue"), lines - amount("discount"));
    assert_eq!(amount("total"), amount("revenue") + amount("shipping") + amount("tax"));
}

#[test]
fn what_the_shop_says_of_its_traffic_is_true() {
    // Days before it, so that there are orders that go back.
    let settings = DemoSettings { history_days: 6, ..DemoSettings::new(42, START_US) };
    let requests: Vec<_> = Shop::new(settings).take(6_000).collect();
    let mut said = Facts::default();
    requests.iter().for_each(|request| said.add(&request.facts));
    assert_eq!(recount(&requests), said);
    for (what, count) in [
        ("orders", said.orders),
        ("late", said.late),
        ("duplicates", said.duplicates),
        ("broken", said.broken),
    ] {
        assert!(count > 20, "{what}: {count}");
    }
    // Of the days before.
    assert!(said.refunds > 2, "{said:?}");
    assert_eq!(said.order_total_minor.len(), 3);
}

#[test]
fn no_refund_exceeds_its_order() {
    let mut paid = BTreeMap::new();
    let mut seen = HashSet::new();
    let mut refunds = 0;
    let settings =
        DemoSettings { events_per_second: 5, history_days: 9, ..DemoSettings::new(3, START_US) };
    for request in History::new(settings.clone()).chain(Shop::new(settings).take(4_000)) {
        let Ok(body) = serde_json::from_slice::<Value>(&request.body) else { continue };
        for event in body["batch"].as_array().unwrap() {
            let properties = &event["properties"];
            let order = properties["order_id"].to_string();
            let currency = properties["currency"].as_str().unwrap_or_default();
            if !seen.insert(event["messageId"].to_string()) {
                continue;
            }
            match event["event"].as_str().unwrap_or_default() {
                "Order Completed" => {
                    paid.insert(order, minor(&properties["total"], currency));
                }
                "Order Refunded" => {
                    refunds += 1;
                    let left = paid.get_mut(&order).unwrap();
                    *left -= minor(&properties["total"], currency);
                    assert!(*left >= 0);
                }
                _ => {}
            }
        }
    }
    assert!(refunds > 20);
}

#[test]
fn history_is_of_the_days_before_as_busy_as_the_shop_and_repeats() {
    let settings =
        DemoSettings { events_per_second: 10, history_days: 8, ..DemoSettings::new(9, START_US) };
    let bodies = |settings: &DemoSettings| {
        History::new(settings.clone()).map(|request| request.body).collect::<Vec<_>>()
    };
    assert_eq!(bodies(&settings), bodies(&settings));
    let (mut facts, mut reached) = (Facts::default(), i64::MIN);
    let mut by_hour: BTreeMap<i64, u64> = BTreeMap::new();
    for request in History::new(settings.clone()) {
        assert!(!request.refused && request.at_us >= reached && request.at_us <= START_US);
        reached = request.at_us;
        facts.add(&request.facts);
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        for event in body["batch"].as_array().unwrap() {
            let at = iso8601::parse(event["timestamp"].as_str().unwrap()).unwrap();
            assert!((START_US - 9 * 86_400_000_000..START_US).contains(&at));
            let ordered = event["event"] == "Order Completed";
            *by_hour.entry(at.div_euclid(3_600_000_000) % 24).or_default() += u64::from(ordered);
        }
    }
    // 10 events a second are 3,700 orders a day; September is a little quieter than the mean.
    let a_day =
        facts.orders as i64 * 86_400_000_000 / (8 * 86_400_000_000 + START_US % 86_400_000_000);
    assert!((3_000..4_700).contains(&a_day), "{a_day} orders a day");
    assert!(facts.refunds > 250 && facts.broken == 0 && facts.duplicates == 0, "{facts:?}");
    let (least, most) = (by_hour.values().min().unwrap(), by_hour.values().max().unwrap());
    // Three continents even it out.
    assert!(most * 10 > least * 15, "{by_hour:?}");
    assert_eq!(History::new(DemoSettings::new(9, START_US)).count(), 0, "no days, no history");
}

#[test]
fn a_shop_sells_as_much_in_an_hour_as_its_history_did() {
    let settings =
        DemoSettings { events_per_second: 200, history_days: 1, ..DemoSettings::new(4, START_US) };
    let orders = |requests: &mut dyn Iterator<Item = DemoRequest>, from: i64| {
        let inside = requests.filter(|request| request.at_us >= from);
        inside.map(|request| request.facts.orders).sum::<u64>()
    };
    const HOUR_US: i64 = 3_600_000_000;
    let live =
        Shop::new(settings.clone()).take_while(|request| request.due_us < START_US + HOUR_US);
    let live = orders(&mut live.into_iter(), 0);
    let before = orders(&mut History::new(settings), START_US - HOUR_US);
    // Neighbouring hours, and the dice.
    assert!(live * 100 / before > 75 && live * 100 / before < 135, "{live} after {before}");
}

#[test]
fn traffic_arrives_whole_and_broken_things_are_refused() {
    let stub = Stub::start();
    stub.seen.lock().tricks = [Trick::Busy, Trick::TakeAndHangUp].repeat(3);
    let settings = DemoSettings {
        events_per_second: 20_000,
        broken_per_mille: 30,
        ..DemoSettings::new(11, START_US)
    };
    let shop = Shop::new(settings);
    let traffic = Traffic::new(shop, &ClientSettings::new(&stub.url, "key")).unwrap();
    let totals = traffic.run(Some(100), &AtomicBool::new(false), &mut |_| {}).unwrap();
    let seen = stub.seen.lock();
    assert_eq!(totals.surprises, 0);
    assert!(totals.refused > 5 && totals.events_turned_down > 20, "{totals:?}");
    assert_eq!(seen.events.len() as u64, totals.facts.events);
    assert!(totals.duplicates_seen >= totals.facts.duplicates);
}
