//! What consumers say to each other: subscriptions and assignments, as far as we read them.
//!
//! Guarantees: any bytes are taken; nothing is allocated by a count that was not held against
//! them. Left out: user data, owned partitions, racks: the broker has no use for them.

use crate::wire::guard::{Cursor, Malformed};
use tradewind_types::PartitionId;

/// The topics a subscription names, whatever its version: later ones only add to the first.
/// `None` when the bytes are not a subscription.
pub(crate) fn topics(metadata: &[u8]) -> Option<Vec<String>> {
    read_topics(metadata).ok()?
}

fn read_topics(metadata: &[u8]) -> Result<Option<Vec<String>>, Malformed> {
    let mut cursor = Cursor::new(metadata);
    cursor.i16()?;
    let mut topics = Vec::new();
    for _ in 0..cursor.count(false)? {
        match text(&mut cursor)? {
            Some(topic) => topics.push(topic),
            None => return Ok(None),
        }
    }
    Ok(Some(topics))
}

/// The partitions an assignment names, by topic. Empty when the bytes are not an assignment.
pub(crate) fn partitions(assignment: &[u8]) -> Vec<(String, Vec<PartitionId>)> {
    read_partitions(assignment).unwrap_or_default()
}

fn read_partitions(assignment: &[u8]) -> Result<Vec<(String, Vec<PartitionId>)>, Malformed> {
    let mut cursor = Cursor::new(assignment);
    cursor.i16()?;
    let mut topics = Vec::new();
    for _ in 0..cursor.count(false)? {
        let topic = text(&mut cursor)?.unwrap_or_default();
        let mut partitions = Vec::new();
        for _ in 0..cursor.count(false)? {
            partitions.push(cursor.i32()?);
        }
        topics.push((topic, partitions));
    }
    Ok(topics)
}

fn text(cursor: &mut Cursor<'_>) -> Result<Option<String>, Malformed> {
    let bytes = cursor.text(false)?;
    Ok(bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscription_and_an_assignment_are_read() {
        let subscription = [0, 3, 0, 0, 0, 2, 0, 1, b'a', 0, 1, b'b', 0xff, 0xff, 0xff, 0xff, 9];
        assert_eq!(topics(&subscription), Some(vec!["a".to_owned(), "b".to_owned()]));
        let assignment = [0, 0, 0, 0, 0, 1, 0, 1, b'a', 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 5];
        assert_eq!(partitions(&assignment), [("a".to_owned(), vec![0, 5])]);
    }

    #[test]
    fn bytes_that_are_neither_are_told_apart_from_an_empty_one() {
        assert_eq!(topics(&[]), None);
        assert_eq!(topics(&[0, 0, 0x7f, 0xff, 0xff, 0xff]), None);
        assert_eq!(topics(&[0, 0, 0, 0, 0, 0]), Some(vec![]));
        assert!(partitions(&[0, 0, 0, 0, 0, 1, 0, 1]).is_empty());
    }
}
