//! Queries of the whole language over made-up rows: however a stream runs, it leaves the table
//! that DataFusion's batch engine answers.
//!
//! Every case is a seed. Left out: late rows, which a batch does not have, and sums of floats,
//! whose last digits depend on their order.

use crate::slt::{Case, Expect, How};
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use std::fmt::Write;

/// Queries tried in one run.
const CASES: u32 = 64;
/// Most rows of an input.
const ROWS_MAX: usize = 60;

const SCRIPT: &str = "
CREATE TABLE orders (
  id INT, customer STRING, item STRING, amount DECIMAL(10, 2), quantity INT, big BIGINT,
  ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '5' SECOND
) WITH ('connector'='filesystem', 'path'='{dir}/orders.json', 'format'='json');
CREATE TABLE customers (
  name STRING, city STRING, score INT
) WITH ('connector'='filesystem', 'path'='{dir}/customers.json', 'format'='json');";

const NAMES: [&str; 5] = ["ann", "bob", "cat", "dan", ""];
const ITEMS: [&str; 4] = ["tea", "mug", "Käse", "a b"];

/// A text of these or, one time in eight, null.
fn text(random: &mut StdRng, of: &[&str]) -> String {
    match random.random_ratio(1, 8) {
        true => "null".into(),
        false => format!("{:?}", of.choose(random).unwrap()),
    }
}

fn number(random: &mut StdRng, range: std::ops::Range<i64>) -> String {
    match random.random_ratio(1, 8) {
        true => "null".into(),
        false => random.random_range(range).to_string(),
    }
}

fn orders(random: &mut StdRng) -> String {
    let (mut rows, mut second) = (String::new(), 0);
    for id in 0..random.random_range(0..ROWS_MAX) {
        second += random.random_range(0..9);
        // Not in order, and never later than the watermark allows.
        let at = second - random.random_range(0..5.min(second + 1));
        let (minute, second) = (at / 60, at % 60);
        let amount = match random.random_ratio(1, 8) {
            true => "null".into(),
            false => {
                format!("\"{}.{:02}\"", random.random_range(-20..90), random.random_range(0..100))
            }
        };
        writeln!(
            rows,
            "{{\"id\":{id},\"customer\":{},\"item\":{},\"amount\":{amount},\"quantity\":{},\
             \"big\":{},\"ts\":\"2024-01-01 00:{minute:02}:{second:02}\"}}",
            text(random, &NAMES),
            text(random, &ITEMS),
            number(random, -3..6),
            number(random, -4_000_000_000..4_000_000_000),
        )
        .unwrap();
    }
    rows
}

fn customers(random: &mut StdRng) -> String {
    let mut rows = String::new();
    for _ in 0..random.random_range(0..ROWS_MAX / 4) {
        let (name, city) = (text(random, &NAMES), text(random, &["Köln", "Paris", "Rome"]));
        let score = number(random, -2..5);
        writeln!(rows, "{{\"name\":{name},\"city\":{city},\"score\":{score}}}").unwrap();
    }
    rows
}

fn one<'a>(random: &mut StdRng, of: &[&'a str]) -> &'a str {
    of.choose(random).unwrap()
}

/// Some of these, at least one, in their order.
fn some(random: &mut StdRng, of: &[&str], most: usize) -> Vec<String> {
    let wanted = random.random_range(1..=most);
    let mut picked: Vec<String> = of.iter().map(|one| one.to_string()).collect();
    while picked.len() > wanted {
        picked.remove(random.random_range(0..picked.len()));
    }
    picked
}

const SCALARS: [&str; 16] = [
    "id",
    "customer",
    "UPPER(item)",
    "quantity + 1",
    "amount * quantity",
    "amount / 3",
    "big - quantity",
    "quantity % 3",
    "CASE WHEN quantity > 1 THEN amount ELSE quantity END",
    "COALESCE(customer, item, 'nobody')",
    "CAST(amount AS INT)",
    "CAST(quantity AS STRING) || '!'",
    "EXTRACT(MINUTE FROM ts)",
    "quantity IS NULL",
    "customer LIKE '%a%'",
    "ROUND(amount, 1)",
];
const CONDITIONS: [&str; 8] = [
    "quantity > 0",
    "amount BETWEEN 0 AND 50",
    "customer IN ('ann', 'bob')",
    "item <> 'tea' OR quantity IS NULL",
    "NOT (big < 0)",
    "customer IS NOT NULL AND amount > quantity",
    "ts >= TIMESTAMP '2024-01-01 00:00:30'",
    "customer IN (SELECT name FROM customers WHERE score > 0)",
];
const AGGREGATES: [&str; 12] = [
    "COUNT(*)",
    "COUNT(customer)",
    "COUNT(DISTINCT item)",
    "SUM(quantity)",
    "SUM(amount)",
    "SUM(big)",
    "AVG(quantity)",
    "AVG(amount)",
    "MIN(amount)",
    "MAX(item)",
    "SUM(DISTINCT quantity)",
    "COUNT(*) FILTER (WHERE quantity > 0)",
];
const KEYS: [&str; 4] = ["customer", "item", "quantity", "UPPER(customer)"];

fn filter(random: &mut StdRng) -> String {
    match random.random_bool(0.6) {
        true => format!(" WHERE {}", one(random, &CONDITIONS)),
        false => String::new(),
    }
}

fn named(columns: Vec<String>) -> String {
    let named = columns.iter().enumerate().map(|(index, column)| format!("{column} AS c{index}"));
    named.collect::<Vec<_>>().join(", ")
}

fn projection(random: &mut StdRng) -> String {
    let distinct = if random.random_ratio(1, 4) { "DISTINCT " } else { "" };
    let columns = named(some(random, &SCALARS, 5));
    format!("SELECT {distinct}{columns} FROM orders{}", filter(random))
}

fn grouped(random: &mut StdRng) -> String {
    let keys = some(random, &KEYS, 2);
    let mut columns = keys.clone();
    columns.extend(some(random, &AGGREGATES, 4));
    let having = ["", "", " HAVING COUNT(*) > 1", " HAVING SUM(quantity) > 2"];
    let (columns, having) = (named(columns), one(random, &having));
    format!("SELECT {columns} FROM orders{} GROUP BY {}{having}", filter(random), keys.join(", "))
}

/// The left sides of joins: rows that only come, and rows that change and are there twice.
const LEFTS: [&str; 3] = [
    "orders",
    "(SELECT customer, item, MAX(id) AS id, SUM(amount) AS amount, SUM(quantity) AS quantity
      FROM orders GROUP BY customer, item)",
    "(SELECT t.customer, 'x' AS item, t.n AS id, t.amount, t.n AS quantity
      FROM (SELECT customer, item, COUNT(*) AS n, MIN(amount) AS amount
            FROM orders GROUP BY customer, item) AS t)",
];
/// The right sides, some of whose rows go away altogether.
const RIGHTS: [&str; 4] = [
    "customers",
    "(SELECT customer AS name, MAX(item) AS city, COUNT(*) AS score
      FROM orders GROUP BY customer)",
    "(SELECT customer AS name, MIN(item) AS city, SUM(quantity) AS score
      FROM orders GROUP BY customer HAVING SUM(quantity) BETWEEN 1 AND 6)",
    "(SELECT t.name, 'x' AS city, t.score
      FROM (SELECT customer AS name, item, COUNT(*) AS score
            FROM orders GROUP BY customer, item HAVING SUM(quantity) > 0) AS t)",
];

fn joined(random: &mut StdRng) -> String {
    let kind = one(random, &["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"]);
    let also = one(random, &["", " AND o.quantity > c.score"]);
    let (left, right) = (one(random, &LEFTS), one(random, &RIGHTS));
    let from = format!("{left} AS o {kind} {right} AS c ON o.customer = c.name{also}");
    match random.random_bool(0.5) {
        true => format!("SELECT o.id, o.item, c.city, c.score FROM {from}"),
        false => format!(
            "SELECT c.city, COUNT(*) AS n, SUM(o.amount) AS total, MAX(c.score) AS best \
             FROM {from} GROUP BY c.city"
        ),
    }
}

fn windowed(random: &mut StdRng) -> String {
    let window = one(
        random,
        &[
            "TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '10' SECOND)",
            "TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '1' MINUTE)",
            "HOP(TABLE orders, DESCRIPTOR(ts), INTERVAL '10' SECOND, INTERVAL '30' SECOND)",
        ],
    );
    let key = one(random, &["", "customer, ", "item, "]);
    let aggregates = named(some(random, &AGGREGATES, 4));
    // The last condition is a join, which has no windows of its own behind it.
    let filter = match random.random_bool(0.6) {
        true => format!(" WHERE {}", one(random, &CONDITIONS[..CONDITIONS.len() - 1])),
        false => String::new(),
    };
    format!(
        "SELECT {key}window_start, window_end, {aggregates} FROM TABLE({window}){filter} \
         GROUP BY {key}window_start, window_end"
    )
}

fn united(random: &mut StdRng) -> String {
    let all = if random.random_bool(0.6) { "UNION ALL" } else { "UNION" };
    let other = one(
        random,
        &[
            "SELECT name, score FROM customers",
            "SELECT item, quantity FROM orders WHERE quantity > 1",
            "SELECT city, MAX(score) FROM customers GROUP BY city",
        ],
    );
    let both =
        format!("SELECT customer AS a, quantity AS b FROM orders{} {all} {other}", filter(random));
    match random.random_bool(0.5) {
        true => both,
        false => format!("SELECT a, COUNT(*) AS n, SUM(b) AS s FROM ({both}) AS u GROUP BY a"),
    }
}

fn cascade(random: &mut StdRng) -> String {
    let inner = "SELECT customer, COUNT(*) AS n, SUM(amount) AS total FROM orders";
    let inner = format!("{inner}{} GROUP BY customer", filter(random));
    let outer = one(
        random,
        &[
            "SELECT n, COUNT(*) AS m, MAX(total) AS best FROM ({}) AS t GROUP BY n",
            "SELECT t.customer, t.total, c.city FROM ({}) AS t JOIN customers AS c ON t.n = c.score",
            "SELECT customer, total / n AS mean FROM ({}) AS t WHERE n > 1",
        ],
    );
    outer.replace("{}", &inner)
}

/// A case from a seed; its table is what the batch engine answers.
fn case(seed: u64) -> Case {
    let random = &mut StdRng::seed_from_u64(seed);
    let inputs = vec![
        ("orders.json".to_string(), orders(random)),
        ("customers.json".to_string(), customers(random)),
    ];
    // Joins have the most that can go wrong.
    let kinds = [projection, grouped, joined, joined, windowed, united, cascade];
    let query = kinds.choose(random).unwrap()(random);
    Case {
        name: format!("seed {seed}: {query}"),
        inputs,
        script: SCRIPT.to_string(),
        query,
        late: 0,
        expect: Expect::Error,
        batch_differs: false,
    }
}

fn how(random: &mut impl Rng) -> Vec<How> {
    let sizes = [1, 2, 5, 17, usize::MAX];
    let mut hows = Vec::new();
    for workers in [1, 2, 4] {
        let tick_rows = *sizes.choose(random).unwrap();
        let kill = random.random_bool(0.5);
        let kill = kill.then(|| (random.random_range(1..6), random.random_range(1..4)));
        let memory = *[usize::MAX, 16_384, 0].choose(random).unwrap();
        hows.push(How { workers, tick_rows, memory, kill });
    }
    hows
}

async fn judge(seed: u64) -> Result<(), String> {
    let mut case = case(seed);
    case.expect =
        Expect::Table(case.batch().await.map_err(|error| format!("{}: {error}", case.name))?);
    for how in how(&mut StdRng::seed_from_u64(!seed)) {
        case.check(how).await.map_err(|reason| format!("{}\n{how:?}: {reason}", case.name))?;
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, max_shrink_iters: 0, ..ProptestConfig::default() })]

    #[test]
    fn streams_leave_what_a_batch_answers(seed in any::<u64>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let judged = runtime.block_on(judge(seed));
        prop_assert!(judged.is_ok(), "{}", judged.unwrap_err());
    }
}
