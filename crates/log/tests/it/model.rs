//! Random operations against a model that is a list.

use crate::support::{Fixture, TOPIC, number, record};
use proptest::prelude::*;
use tradewind_log::LogStore;
use tradewind_types::{Log, LogError};

#[derive(Debug, Clone)]
enum Operation {
    Append { records: u8, bytes: u16 },
    Read { from: u16, max_bytes: u16 },
    OffsetAt { timestamp_ms: u16 },
    Reopen { close: bool },
    Retain,
    Hold { from: u16 },
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        8 => (1..5_u8, 10..600_u16).prop_map(|(records, bytes)| Operation::Append { records, bytes }),
        8 => (any::<u16>(), 1..5000_u16).prop_map(|(from, max_bytes)| Operation::Read { from, max_bytes }),
        2 => (0..2000_u16).prop_map(|timestamp_ms| Operation::OffsetAt { timestamp_ms }),
        1 => any::<bool>().prop_map(|close| Operation::Reopen { close }),
        1 => Just(Operation::Retain),
        1 => any::<u16>().prop_map(|from| Operation::Hold { from }),
    ]
}

struct Model {
    fixture: Fixture,
    store: LogStore,
    /// How many were appended: record `n` has offset `n` and timestamp `10 n`.
    end: u64,
    held: Option<i64>,
}

impl Model {
    fn log_start(&self) -> i64 {
        self.store.watermarks(TOPIC, 0).unwrap().log_start
    }

    async fn apply(&mut self, operation: Operation) {
        match operation {
            Operation::Append { records, bytes } => {
                let records = u64::from(records);
                let made =
                    (self.end..self.end + records).map(|n| record(n, bytes.into())).collect();
                let appended = self.store.append(TOPIC, 0, made).await.unwrap();
                assert_eq!(appended.base_offset, self.end as i64);
                self.end += records;
            }
            Operation::Read { from, max_bytes } => self.read(from, max_bytes.into()).await,
            Operation::OffsetAt { timestamp_ms } => {
                let first =
                    i64::from(timestamp_ms).div_euclid(10) + i64::from(timestamp_ms % 10 != 0);
                let first = first.max(self.log_start());
                let expected = (first < self.end as i64).then_some(first);
                let found = self.store.offset_at(TOPIC, 0, timestamp_ms.into()).await.unwrap();
                assert_eq!(found, expected);
            }
            Operation::Reopen { close } => self.reopen(close).await,
            Operation::Retain => {
                let before = self.log_start();
                self.store.maintain_once().await.unwrap();
                let start = self.log_start();
                assert!(start >= before);
                assert!(start == before || self.held.is_none_or(|held| start <= held));
            }
            Operation::Hold { from } => {
                self.held = (from % 3 > 0).then(|| i64::from(from) % (self.end as i64 + 1));
                self.store.hold("pipeline", TOPIC, 0, self.held);
            }
        }
        let marks = self.store.watermarks(TOPIC, 0).unwrap();
        assert_eq!(marks.high_watermark, self.end as i64);
    }

    async fn read(&self, from: u16, max_bytes: usize) {
        let from = i64::from(from) % (self.end as i64 + 2);
        let start = self.log_start();
        match self.store.read(TOPIC, 0, from, max_bytes).await {
            Ok(read) => {
                assert!((start..=self.end as i64).contains(&from));
                assert_eq!(read.is_empty(), from == self.end as i64);
                for (found, due) in read.iter().zip(from..) {
                    assert_eq!((found.offset, number(&found.record)), (due, due as u64));
                }
            }
            Err(LogError::OutOfRange { .. }) => {
                assert!(from < start || from > self.end as i64, "{from}");
            }
            Err(other) => panic!("{other}"),
        }
    }

    async fn reopen(&mut self, close: bool) {
        let start = self.log_start();
        if close {
            self.store.close().await.unwrap();
        }
        // The old store lets go of its lock before the new one takes it.
        let placeholder = Fixture::new(0).open().0;
        drop(std::mem::replace(&mut self.store, placeholder));
        let (store, report) = self.fixture.open();
        self.store = store;
        self.store.hold("pipeline", TOPIC, 0, self.held);
        assert!(report.torn_tails.is_empty() && report.corruptions.is_empty(), "{report:?}");
        assert_eq!(self.log_start(), start);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn the_log_is_a_list(
        operations in prop::collection::vec(operation(), 1..120),
        retention_bytes in prop::option::of(0..20_000_u64),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut fixture = Fixture::new(1);
            fixture.settings.topic.retention_bytes = retention_bytes;
            let store = fixture.with_topic().await;
            let mut model = Model { fixture, store, end: 0, held: None };
            for operation in operations {
                model.apply(operation).await;
            }
        });
    }
}
