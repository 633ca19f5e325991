//! The rules of sequences, epochs and transactions in one partition, without a disk.
#![allow(clippy::unwrap_used)]
use super::draft::Refused;
use super::*;
use crate::batch::{BatchHeader, Marker};
use tradewind_types::log::ProducerFault;

const TRANSACTIONAL: i16 = 1 << 4;

fn bounds(producers_max: usize) -> Bounds {
    Bounds { producers_max, all_max: 1_000, all: Arc::default(), expiration_ms: 86_400_000 }
}

fn producers() -> Producers {
    Producers::new(bounds(100))
}

/// A partition that takes everything it admits.
struct Log {
    producers: Producers,
    end: Offset,
    now_ms: i64,
}

impl Log {
    fn new() -> Self {
        Self { producers: producers(), end: 0, now_ms: 1_000_000 }
    }

    fn append(&mut self, origin: Origin, header: &BatchHeader) -> Result<Admitted, Refused> {
        let mut draft = Draft::default();
        let admitted = self.producers.admit(&mut draft, origin, header, self.end, self.now_ms)?;
        if admitted == Admitted::New {
            self.end += i64::from(header.records);
            self.producers.commit(draft);
        }
        Ok(admitted)
    }

    fn send(&mut self, id: i64, epoch: i16, first: i32, records: i32) -> Result<Admitted, Refused> {
        self.append(Origin::Client { verified: None }, &header(id, epoch, first, records))
    }

    fn send_in_transaction(&mut self, id: i64, first: i32) -> Result<Admitted, Refused> {
        let verified = Some(self.producers.guard(id));
        let header = BatchHeader { attributes: TRANSACTIONAL, ..header(id, 0, first, 1) };
        self.append(Origin::Client { verified }, &header)
    }

    fn end_transaction(&mut self, id: i64, epoch: i16, committed: bool) -> Result<(), Refused> {
        let marker = Marker { producer_id: id, producer_epoch: epoch, committed };
        let header = BatchHeader { base_sequence: -1, ..header(id, epoch, 0, 1) };
        self.append(Origin::Marker(marker), &header).map(drop)
    }
}

fn header(producer_id: i64, producer_epoch: i16, base_sequence: i32, records: i32) -> BatchHeader {
    BatchHeader {
        base_offset: 0,
        bytes: 100,
        crc: 0,
        attributes: 0,
        base_timestamp: 5,
        max_timestamp: 9,
        producer_id,
        producer_epoch,
        base_sequence,
        last_offset_delta: records - 1,
        records,
    }
}

fn out_of_order(sent: i32, due: i32) -> Refused {
    ProducerFault::OutOfOrder { producer_id: 1, sent, due }.into()
}

#[test]
fn sequences_follow_each_other_and_gaps_are_refused() {
    let mut log = Log::new();
    assert_eq!(log.send(1, 0, 0, 3), Ok(Admitted::New));
    assert_eq!(log.send(1, 0, 4, 1), Err(out_of_order(4, 3)));
    assert_eq!(log.send(1, 0, 2, 2), Err(out_of_order(2, 3)), "it overlaps");
    assert_eq!(log.send(1, 0, 3, 1), Ok(Admitted::New));
}

#[test]
fn the_last_five_batches_are_recognised_with_their_offsets() {
    let mut log = Log::new();
    for n in 0..7 {
        log.send(1, 0, n * 2, 2).unwrap();
        log.send(2, 0, n, 1).unwrap();
    }
    for n in 2..7 {
        assert_eq!(log.send(1, 0, n * 2, 2), Ok(Admitted::Repeated(i64::from(n) * 3)));
    }
    assert_eq!(log.send(1, 0, 2, 2), Err(out_of_order(2, 14)), "the sixth from the end is not");
    assert_eq!(log.send(1, 0, 12, 1), Err(out_of_order(12, 14)), "a part of one is not");
    assert_eq!(log.end, 21);
}

#[test]
fn a_repeat_is_recognised_within_one_write() {
    let mut producers = producers();
    let mut draft = Draft::default();
    let client = Origin::Client { verified: None };
    let header = header(1, 0, 0, 2);
    assert_eq!(producers.admit(&mut draft, client, &header, 10, 0), Ok(Admitted::New));
    assert_eq!(producers.admit(&mut draft, client, &header, 12, 0), Ok(Admitted::Repeated(10)));
    drop(draft);
    let mut draft = Draft::default();
    let again = producers.admit(&mut draft, client, &header, 10, 0);
    assert_eq!(again, Ok(Admitted::New), "a write that failed has left no trace");
}

#[test]
fn sequences_wrap_after_the_largest() {
    let mut log = Log::new();
    log.send(1, 0, i32::MAX - 1, 1).unwrap();
    log.send(1, 0, i32::MAX, 3).unwrap();
    assert_eq!(log.send(1, 0, i32::MAX, 3), Ok(Admitted::Repeated(1)));
    assert_eq!(log.send(1, 0, 2, 1), Ok(Admitted::New), "2^31-1, 0 and 1 were three");
    log.send(2, 0, i32::MAX, 1).unwrap();
    assert_eq!(log.send(2, 0, 0, 1), Ok(Admitted::New));
}

#[test]
fn a_new_epoch_begins_at_zero_and_an_old_one_is_fenced() {
    let mut log = Log::new();
    log.send(1, 0, 0, 5).unwrap();
    assert_eq!(log.send(1, 1, 5, 1), Err(out_of_order(5, 0)));
    log.send(1, 1, 0, 1).unwrap();
    let stale = ProducerFault::StaleEpoch { producer_id: 1, sent: 0, known: 1 };
    assert_eq!(log.send(1, 0, 5, 1), Err(stale.into()));
    assert_eq!(log.send(1, 0, 0, 5), Err(stale.into()), "of an old epoch nothing is recognised");
}

#[test]
fn whom_nobody_knows_may_begin_anywhere() {
    let mut log = Log::new();
    assert_eq!(log.send(1, 3, 77, 1), Ok(Admitted::New));
    log.now_ms += 86_400_000;
    log.producers.expire(log.now_ms);
    assert!(log.producers.facts().is_empty());
    assert_eq!(log.send(1, 3, 99, 1), Ok(Admitted::New), "after it expired, too");
}

#[test]
fn transactions_open_and_end_and_hold_what_is_stable() {
    let mut log = Log::new();
    log.send(9, 0, 0, 4).unwrap();
    log.send_in_transaction(1, 0).unwrap();
    log.send_in_transaction(2, 0).unwrap();
    assert_eq!(log.producers.unstable_from(), Some(4));
    log.end_transaction(1, 0, false).unwrap();
    assert_eq!(log.producers.unstable_from(), Some(4), "its marker is not durable");
    log.producers.settle(6);
    assert_eq!(log.producers.unstable_from(), Some(4), "the marker lies at 6");
    log.producers.settle(7);
    assert_eq!(log.producers.unstable_from(), Some(5));
    let aborted = Aborted { producer_id: 1, first: 4, last: 6, last_stable: 5 };
    assert_eq!(log.producers.aborted(), [aborted]);
    log.end_transaction(2, 0, true).unwrap();
    log.producers.settle(8);
    assert_eq!((log.producers.unstable_from(), log.producers.aborted().len()), (None, 1));
    log.send_in_transaction(2, 1).expect("the epoch goes on, and so do its sequences");
}

#[test]
fn a_transactional_batch_needs_a_transaction_and_no_other_may_come_between() {
    let mut log = Log::new();
    let outside = Err(ProducerFault::NoTransaction { producer_id: 1 }.into());
    let transactional = BatchHeader { attributes: TRANSACTIONAL, ..header(1, 0, 0, 1) };
    let unverified = Origin::Client { verified: None };
    assert_eq!(log.append(unverified, &transactional), outside);
    log.send_in_transaction(1, 0).unwrap();
    let next = BatchHeader { base_sequence: 1, ..transactional };
    assert_eq!(log.append(unverified, &next), Ok(Admitted::New), "it is open");
    assert_eq!(log.send(1, 0, 2, 1), outside, "not transactional");
    let late = log.producers.guard(1);
    log.end_transaction(1, 0, true).unwrap();
    let next = BatchHeader { base_sequence: 2, ..transactional };
    let verified_before = Origin::Client { verified: Some(late) };
    assert_eq!(log.append(verified_before, &next), outside, "it ended after it was verified");
}

#[test]
fn a_marker_with_a_newer_epoch_fences() {
    let mut log = Log::new();
    log.send_in_transaction(1, 0).unwrap();
    log.end_transaction(1, 1, false).unwrap();
    let stale = ProducerFault::StaleEpoch { producer_id: 1, sent: 0, known: 1 };
    assert_eq!(log.send_in_transaction(1, 1), Err(stale.into()));
    assert_eq!(log.end_transaction(1, 0, false), Err(stale.into()));
}

#[test]
fn who_was_silent_makes_room_and_who_was_not_does_not() {
    let mut log = Log { producers: Producers::new(bounds(3)), ..Log::new() };
    log.send_in_transaction(1, 0).unwrap();
    log.send(2, 0, 0, 1).unwrap();
    log.now_ms += SILENT_MS_MIN;
    log.send(3, 0, 0, 1).unwrap();
    assert_eq!(log.send(4, 0, 0, 1), Ok(Admitted::New), "in place of the second");
    let known: Vec<_> = log.producers.facts().iter().map(|facts| facts.producer_id).collect();
    assert_eq!(known, [1, 3, 4], "an open transaction stays");
    assert_eq!(log.send(5, 0, 0, 1), Err(Refused::Full));
    assert_eq!(log.producers.bounds.all.load(Ordering::Relaxed), 3);
}

#[test]
fn what_a_groups_coordinator_writes_opens_a_transaction_without_sequences() {
    let mut log = Log::new();
    let offsets =
        BatchHeader { attributes: TRANSACTIONAL, base_sequence: -1, ..header(1, 3, 0, 2) };
    let none = ProducerFault::NoTransaction { producer_id: 1 };
    let unverified = Origin::Offsets { verified: None };
    assert_eq!(log.append(unverified, &offsets), Err(none.into()), "nobody asked the coordinator");
    let verified = Origin::Offsets { verified: Some(log.producers.guard(1)) };
    for origin in [verified, unverified, unverified] {
        assert_eq!(log.append(origin, &offsets), Ok(Admitted::New));
    }
    assert_eq!(log.producers.unstable_from(), Some(0));
    let older = BatchHeader { producer_epoch: 2, ..offsets };
    let stale = ProducerFault::StaleEpoch { producer_id: 1, sent: 2, known: 3 };
    assert_eq!(log.append(unverified, &older), Err(stale.into()));
    log.end_transaction(1, 3, true).unwrap();
    log.producers.settle(log.end);
    assert_eq!(log.producers.unstable_from(), None);
    assert_eq!(log.append(verified, &offsets), Err(none.into()), "it has ended since");
}
