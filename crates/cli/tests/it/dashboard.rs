//! The dashboard in a browser, over the whole program.

use crate::support::acceptance;

#[test]
fn pages_show_what_sql_answers_also_after_the_server_was_killed() {
    let said = acceptance("dashboard.py", &[]);
    assert!(said.contains("PASSED"), "{said}");
}

#[test]
fn a_purchase_in_the_shop_is_on_the_dashboard_to_the_cent() {
    let said = acceptance("shop.py", &[]);
    assert!(said.contains("PASSED"), "{said}");
}
