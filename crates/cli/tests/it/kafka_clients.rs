//! Other people's Kafka clients before the whole program.

use crate::support::acceptance;

/// Java's, Go's, JavaScript's, Python's and librdkafka's: what each can do, and the programs of
/// `examples/kafka_messages`.
#[test]
fn every_kafka_client_does_its_work() {
    let said = acceptance("kafka_clients.py", &[]);
    assert!(said.contains("PASSED"), "{said}");
}
