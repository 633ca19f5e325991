//! Arbitrary bytes where segments and batches are expected. The fuzz targets go further.

use crate::support::record;
use proptest::prelude::*;
use tradewind_log::{batch, scan_bytes};
use tradewind_types::Log;

/// A segment of ten batches.
fn segment() -> Vec<u8> {
    futures::executor::block_on(async {
        let mut fixture = crate::support::Fixture::new(0);
        fixture.settings.topic.segment_bytes = 1 << 20;
        let store = fixture.with_topic().await;
        for n in 0..10 {
            let records = (n * 3..n * 3 + 3).map(|n| record(n, 30)).collect();
            store.append(crate::support::TOPIC, 0, records).await.unwrap();
        }
        store.read_raw(crate::support::TOPIC, 0, 0, usize::MAX).await.unwrap().bytes.to_vec()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn any_bytes_are_recovered_without_a_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..2000),
        base in any::<i64>(),
        durable_to in any::<u64>(),
    ) {
        let found = scan_bytes(&bytes, base, durable_to);
        prop_assert!(found.position <= bytes.len() as u64);
        let _ = batch::check_produced(&bytes, usize::MAX);
    }

    #[test]
    fn a_damaged_segment_keeps_its_whole_batches(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
        durable in any::<bool>(),
    ) {
        let whole = segment();
        let mut bytes = whole.clone();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(cut.index(whole.len()) + 1);
        let found = scan_bytes(&bytes, 0, if durable { u64::MAX } else { 0 });
        let same = bytes.iter().zip(&whole).take_while(|(a, b)| a == b).count();
        let mut sound = 0;
        for span in batch::parse_batches(&whole).unwrap() {
            if span.position + span.header.bytes <= same {
                sound = span.position + span.header.bytes;
            }
        }
        prop_assert!(found.position >= sound as u64, "{} of {sound}", found.position);
        prop_assert_eq!(found.torn.is_some() && durable, false);
    }
}
