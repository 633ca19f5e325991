//! A year of a real shop through the whole program, counted by three other readers.

use crate::support::acceptance;

/// Where the data is not on the machine, the script says that it skips, and why.
#[test]
fn real_orders_come_out_as_duckdb_counts_them() {
    let said = acceptance("online_retail.py", &[]);
    assert!(said.contains("PASSED") || said.contains("SKIPPED"), "{said}");
}
