//! Against a model: whatever is sent, in whatever order, repeated and through kills, the log holds
//! the first of every id, and the counts add up.

use crate::support::memory_log::Fate;
use crate::support::{HOUR_US, Store, batch, event, post, send};
use axum::http::StatusCode;
use proptest::prelude::*;
use std::collections::BTreeSet;

#[derive(Debug, Clone)]
enum Step {
    /// A batch of (message, visitor) numbers, repeated until it is answered with success.
    Send(Vec<(u8, u8)>),
    Refuse,
    Unknown {
        kept: bool,
    },
    Hours(i8),
    Kill,
    Stop,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => prop::collection::vec((0..40u8, 0..6u8), 1..8).prop_map(Step::Send),
        1 => Just(Step::Refuse),
        1 => any::<bool>().prop_map(|kept| Step::Unknown { kept }),
        2 => (-1..2i8).prop_map(Step::Hours),
        1 => Just(Step::Kill),
        1 => Just(Step::Stop),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn every_answered_event_is_there_once(steps in prop::collection::vec(step(), 1..24)) {
        let store = Store::new();
        let mut answered = BTreeSet::new();
        let mut rest = &steps[..];
        while !rest.is_empty() {
            rest = store.life(async |collector| run(&store, &collector, rest, &mut answered).await)?;
            store.log.restart();
        }
        let ids = store.message_ids();
        let unique: BTreeSet<_> = ids.iter().cloned().collect();
        prop_assert_eq!(unique.len(), ids.len(), "twice in the log: {:?}", ids);
        prop_assert!(answered.is_subset(&unique), "lost: {:?}", answered.difference(&unique));
    }
}

/// Runs steps until one ends this life; what is left to do in the next.
async fn run<'s>(
    store: &Store,
    collector: &std::sync::Arc<tradewind_collect::Collector>,
    steps: &'s [Step],
    answered: &mut BTreeSet<String>,
) -> Result<&'s [Step], TestCaseError> {
    for (number, step) in steps.iter().enumerate() {
        match step {
            Step::Send(events) => {
                let id = |(message, visitor): &(u8, u8)| format!("{message}-{visitor}");
                let body: Vec<_> =
                    events.iter().map(|it| event(&id(it), &format!("v{}", it.1))).collect();
                // One try more than fates can be waiting.
                let mut tries = 0;
                let reply = loop {
                    let reply = send(collector, post("/v1/batch", batch(&body))).await;
                    tries += 1;
                    if reply.status == StatusCode::OK || tries > steps.len() {
                        break reply;
                    }
                };
                if reply.status != StatusCode::OK {
                    // A partition is offline: the client tries again after the restart.
                    prop_assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
                    return Ok(&steps[number..]);
                }
                let (accepted, duplicates, rejected) = reply.counts();
                prop_assert_eq!(accepted + duplicates, events.len() as u64);
                prop_assert_eq!((rejected, reply.body.get("conflicts")), (0, None));
                answered.extend(events.iter().map(id));
            }
            Step::Refuse => store.log.next_fate(Fate::DiskReserve),
            Step::Unknown { kept: true } => store.log.next_fate(Fate::FailedButKept),
            Step::Unknown { kept: false } => store.log.next_fate(Fate::FailedAndLost),
            Step::Hours(hours) => store.clock.advance_us(i64::from(*hours) * HOUR_US),
            Step::Kill => return Ok(&steps[number + 1..]),
            Step::Stop => {
                collector.close().await.unwrap();
                return Ok(&steps[number + 1..]);
            }
        }
    }
    Ok(&[])
}
