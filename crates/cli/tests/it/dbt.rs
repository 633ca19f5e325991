//! A dbt project through the Postgres port: seeds, views, tables, an incremental table, tests.

use crate::support::acceptance;

#[test]
fn a_dbt_project_is_built_and_its_figures_are_right() {
    let said = acceptance("dbt_project.py", &[]);
    assert!(said.contains("PASSED"), "{said}");
}

/// Where the data is not on the machine, the script says that it skips, and why.
#[test]
fn a_dbt_project_over_real_orders_has_their_figures() {
    let said = acceptance("dbt_project.py", &["--real-data"]);
    assert!(said.contains("PASSED") || said.contains("SKIPPED"), "{said}");
}
