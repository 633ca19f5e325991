//! The dashboard in a browser, over the whole program.

use crate::support::acceptance;

#[test]
fn pages_show_what_sql_answers_also_after_the_server_was_killed() {
    let said = acceptance("dashboard.py", &[]);
    assert!(said.contains("PASSED"), "{said}");
}
