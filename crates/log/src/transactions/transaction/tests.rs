//! A transactional id's states, one change at a time.
#![allow(clippy::unwrap_used)]
use super::*;

fn place(partition: PartitionId) -> Place {
    ("orders".to_owned(), partition)
}

fn begun() -> Transaction {
    let Init::Write(begun) = Transaction::new(7, 1_000, 0).init(None, 1_000, None, 0).unwrap()
    else {
        panic!("nothing is open");
    };
    begun
}

fn ongoing() -> Transaction {
    begun().add((7, 0), [place(0)].into(), 0, 10).unwrap().unwrap()
}

fn ending(identity: Identity, commit: bool) -> Ending {
    Ending { identity, commit, bumps: false }
}

fn written(end: Result<End, TransactionError>) -> (Transaction, Identity) {
    match end.unwrap() {
        End::Write(next, identity) => (next, identity),
        End::Done(identity) => panic!("done as {identity:?}"),
    }
}

#[test]
fn a_transaction_begins_spans_and_ends() {
    let ongoing = ongoing();
    assert_eq!((ongoing.phase, ongoing.started_ms), (Phase::Ongoing, 10));
    assert_eq!(ongoing.add((7, 0), [place(0)].into(), 0, 20), Ok(None), "it spans it already");
    assert_eq!(ongoing.verify((7, 0), &place(0)), Ok(()));
    assert_eq!(ongoing.verify((7, 0), &place(1)), Err(TransactionError::WrongState));
    for commit in [true, false] {
        let (prepared, identity) = written(ongoing.end(ending((7, 0), commit), None, 30));
        assert!(prepared.phase.prepared() && identity == (7, 0));
        let concurrent = Err(TransactionError::Concurrent);
        assert_eq!(prepared.add((7, 0), [place(1)].into(), 0, 40), concurrent);
        assert_eq!(prepared.verify((7, 0), &place(0)), Err(TransactionError::Concurrent));
        let again = prepared.end(ending((7, 0), commit), None, 40);
        assert_eq!(again, Err(TransactionError::Concurrent));
        let otherwise = prepared.end(ending((7, 0), !commit), None, 40);
        assert_eq!(otherwise, Err(TransactionError::WrongState));
        let complete = prepared.completed(50);
        assert!(complete.partitions.is_empty() && complete.started_ms == -1);
        assert_eq!(complete.end(ending((7, 0), commit), None, 60), Ok(End::Done((7, 0))));
        let otherwise = complete.end(ending((7, 0), !commit), None, 60);
        assert_eq!(otherwise, Err(TransactionError::WrongState));
        let next = complete.add((7, 0), [place(3)].into(), 0, 70).unwrap().unwrap();
        assert_eq!(next.partitions, [place(3)].into());
    }
    assert_eq!(begun().end(ending((7, 0), true), None, 9), Err(TransactionError::WrongState));
}

#[test]
fn beginning_anew_raises_the_epoch_and_shuts_out_who_was_there() {
    let second = match begun().init(None, 500, None, 10).unwrap() {
        Init::Write(next) => next,
        Init::Fence(_) => panic!("nothing is open"),
    };
    assert_eq!((second.identity(), second.timeout_ms), ((7, 1), 500));
    let zombie = second.add((7, 0), [place(0)].into(), 0, 20);
    assert_eq!(zombie, Err(TransactionError::Fenced));
    let stranger = second.add((8, 1), [place(0)].into(), 0, 20);
    assert_eq!(stranger, Err(TransactionError::UnknownProducer));
    let Init::Fence(fence) = ongoing().init(None, 500, None, 20).unwrap() else {
        panic!("one is open");
    };
    assert_eq!((fence.phase, fence.identity()), (Phase::PrepareAbort, (7, 1)));
    assert_eq!(fence.partitions, [place(0)].into());
    assert_eq!(fence.init(None, 500, None, 20), Err(TransactionError::Concurrent));
    let Init::Write(after) = fence.completed(30).init(None, 500, None, 40).unwrap() else {
        panic!("it is complete");
    };
    assert_eq!(after.identity(), (7, 2));
}

#[test]
fn one_who_says_who_he_is_goes_on_and_may_ask_twice() {
    let raise = |state: &Transaction, expected| match state.init(Some(expected), 1, None, 0) {
        Ok(Init::Write(next)) => Ok(next),
        Ok(Init::Fence(_)) => panic!("nothing is open"),
        Err(error) => Err(error),
    };
    let raised = raise(&begun(), (7, 0)).unwrap();
    assert_eq!(raised.identity(), (7, 1));
    assert_eq!(raise(&raised, (7, 0)).unwrap().identity(), (7, 1), "the answer was lost");
    let twice = raise(&raised, (7, 1)).unwrap();
    assert_eq!(raise(&twice, (7, 0)), Err(TransactionError::Fenced));
    assert_eq!(raise(&twice, (9, 2)), Err(TransactionError::Fenced), "another producer");
    let old = ongoing().init(Some((7, -1)), 1, None, 0);
    assert_eq!(old, Err(TransactionError::Fenced), "and what is open stays open");
}

#[test]
fn epochs_that_are_used_up_give_way_to_another_id() {
    let last = Transaction { epoch: EPOCH_MAX, ..begun() };
    assert!(last.exhausted());
    let Init::Write(fresh) = last.init(Some((7, EPOCH_MAX)), 1, Some(99), 0).unwrap() else {
        panic!("nothing is open");
    };
    assert_eq!((fresh.identity(), fresh.previous_id), ((99, 0), 7));
    let open = Transaction { epoch: EPOCH_MAX, ..ongoing() };
    let Init::Fence(fenced) = open.init(None, 1, None, 0).unwrap() else { panic!("one is open") };
    assert_eq!(fenced.epoch, i16::MAX, "kept for fencing");
    let bumps = Ending { identity: (7, EPOCH_MAX), commit: true, bumps: true };
    let (prepared, identity) = written(open.end(bumps, Some(99), 0));
    assert_eq!((prepared.identity(), identity), ((7, i16::MAX), (99, 0)));
    let complete = prepared.completed(0);
    assert_eq!((complete.identity(), complete.next_id), ((99, 0), NO_ID));
    assert_eq!(complete.end(bumps, None, 0), Ok(End::Done((99, 0))), "the answer was lost");
}

#[test]
fn with_the_newest_version_the_epoch_rises_with_each_end() {
    let bumps = |epoch, commit| Ending { identity: (7, epoch), commit, bumps: true };
    let (prepared, identity) = written(ongoing().end(bumps(0, true), None, 0));
    assert_eq!((identity, prepared.identity()), ((7, 1), (7, 1)), "and so do the markers'");
    assert_eq!(prepared.end(bumps(0, true), None, 0), Err(TransactionError::Concurrent));
    let complete = prepared.completed(0);
    assert_eq!(complete.end(bumps(0, true), None, 0), Ok(End::Done((7, 1))));
    assert_eq!(complete.end(bumps(0, false), None, 0), Err(TransactionError::WrongState));
    assert_eq!(complete.end(bumps(1, true), None, 0), Err(TransactionError::WrongState));
    let (empty, identity) = written(complete.end(bumps(1, false), None, 0));
    assert_eq!(
        (empty.phase, identity, empty.partitions.len()),
        (Phase::PrepareAbort, (7, 2), 0),
        "an abort of nothing raises it too"
    );
    let next = complete.add((7, 1), [place(0)].into(), 2, 0).unwrap().unwrap();
    assert_eq!(next.end(bumps(0, true), None, 0), Err(TransactionError::Fenced));
}

#[test]
fn what_is_open_too_long_is_overdue_and_what_is_idle_expires() {
    assert!(!ongoing().overdue(1_010) && ongoing().overdue(1_011));
    assert!(!begun().overdue(i64::MAX) && !ongoing().expired(5, i64::MAX));
    assert!(begun().expired(5, 5) && !begun().expired(5, 4));
}
