//! What the planner makes of a statement, and what it refuses, as text.
//!
//! A file in `tests/plans` is a script of tables, a line `====`, then cases: a statement, a line
//! `----`, the plan or the error, a blank line. `TRADEWIND_BLESS=1` writes what comes out.

use crate::support::catalogue;
use datafusion::sql::sqlparser::ast;
use std::path::Path;
use tradewind_process::ProcessError;
use tradewind_process::stream::plan::{StreamPlan, explain, plan_insert, plan_query, plan_view};
use tradewind_sql::{Catalogue, Dialect, StatementKind, parse_script};

fn plan(statement: &str, catalogue: &Catalogue) -> Result<StreamPlan, ProcessError> {
    let kind = parse_script(statement, Dialect::Flink).unwrap().remove(0).kind;
    match &kind {
        StatementKind::Insert(insert) => plan_insert(insert, Dialect::Flink, catalogue),
        StatementKind::CreateMaterializedView(view) => plan_view(view, Dialect::Flink, catalogue),
        StatementKind::Other(other) => match &**other {
            ast::Statement::Query(query) => plan_query(query, Dialect::Flink, catalogue),
            other => panic!("{other}"),
        },
        other => panic!("{other:?}"),
    }
}

fn check(file: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plans").join(file);
    let text = std::fs::read_to_string(&path).unwrap();
    let (tables, cases) = text.split_once("====\n").unwrap();
    let (catalogue, _dir) = catalogue(tables);
    let mut found = format!("{tables}====\n");
    for case in cases.split("\n\n").map(str::trim).filter(|case| !case.is_empty()) {
        let statement = case.split("\n----").next().unwrap().trim();
        let answer = match plan(statement, &catalogue) {
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
fn plans_with_state() {
    check("state.txt");
}

#[test]
fn plans_of_windows() {
    check("windows.txt");
}

#[test]
fn refusals() {
    check("refusals.txt");
}
