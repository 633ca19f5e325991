//! What the planner makes of an insert, and what it refuses, as text.
//!
//! A file in `tests/plans` is a script of tables, a line `====`, then cases: a statement, a line
//! `----`, the plan or the error, a blank line. `TRADEWIND_BLESS=1` writes what comes out.

use crate::support::{catalogue, insert_of};
use std::path::Path;
use tradewind_process::stream::plan::{explain, plan_insert};
use tradewind_sql::Dialect;

fn check(file: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plans").join(file);
    let text = std::fs::read_to_string(&path).unwrap();
    let (tables, cases) = text.split_once("====\n").unwrap();
    let (catalogue, _dir) = catalogue(tables);
    let mut found = format!("{tables}====\n");
    for case in cases.split("\n\n").map(str::trim).filter(|case| !case.is_empty()) {
        let statement = case.split("\n----").next().unwrap().trim();
        let answer = match plan_insert(&insert_of(statement), Dialect::Flink, &catalogue) {
            Ok(plan) => explain(&plan),
            Err(error) => format!("error: {error}"),
        };
        found.push_str(&format!("{statement}\n----\n{answer}\n\n"));
    }
    if std::env::var_os("TRADEWIND_BLESS").is_some() {
        std::fs::write(&path, &found).unwrap();
    }
    assert_eq!(found.trim(), text.trim(), "{file}");
}

#[test]
fn plans() {
    check("plans.txt");
}

#[test]
fn refusals() {
    check("refusals.txt");
}
