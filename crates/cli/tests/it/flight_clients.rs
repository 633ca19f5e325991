//! Other people's Flight SQL clients before the whole program.

use crate::support::acceptance;

/// ADBC with pandas, pyarrow's own client, and the JDBC driver.
#[test]
fn every_flight_client_does_its_work() {
    let said = acceptance("flight_clients.py", &[]);
    assert!(said.contains("PASSED"), "{said}");
}
