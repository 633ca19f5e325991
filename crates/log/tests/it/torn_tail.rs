//! What a crash leaves at the end of a partition.

use crate::support::{Fixture, TOPIC, append, numbers};
use tradewind_disk::{Create, Disk};

#[tokio::test]
async fn a_tail_torn_at_any_byte_is_cut_at_the_last_whole_batch() {
    let mut fixture = Fixture::new(1);
    fixture.settings.topic.segment_bytes = 1 << 20;
    let store = fixture.with_topic().await;
    append(&store, 0..3).await.unwrap();
    let whole = store.stats()[0].bytes;
    append(&store, 3..5).await.unwrap();
    let end = store.stats()[0].bytes;
    drop(store);
    let path = &fixture.files("log")[0];
    let bytes = fixture.disk.read(path).unwrap();
    for cut in whole..=end {
        let file = fixture.disk.open(path, Create::Truncate).unwrap();
        file.write_all_at(&bytes[..cut as usize], 0).unwrap();
        drop_recovery_point(&fixture);
        let (store, report) = fixture.open();
        let kept = if cut == end { 5 } else { 3 };
        assert_eq!(numbers(&store).await, (0..kept).collect::<Vec<_>>(), "cut at {cut}");
        match report.torn_tails.as_slice() {
            [] => assert!(cut == whole || cut == end, "cut at {cut}"),
            [torn] => {
                assert_eq!((torn.position, torn.bytes), (whole, cut - whole));
                assert_eq!((torn.topic.as_str(), torn.partition), (TOPIC, 0));
                assert_eq!(torn.kept_as, None);
            }
            more => panic!("{more:?}"),
        }
        assert!(report.corruptions.is_empty());
        // And it goes on from there.
        assert_eq!(append(&store, kept..kept + 1).await.unwrap(), kept as i64);
        assert_eq!(numbers(&store).await, (0..=kept).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_garbled_byte_above_the_recovery_point_is_cut_and_later_batches_are_kept_aside() {
    let mut fixture = Fixture::new(2);
    fixture.settings.topic.segment_bytes = 1 << 20;
    let store = fixture.with_topic().await;
    append(&store, 0..3).await.unwrap();
    let whole = store.stats()[0].bytes;
    append(&store, 3..5).await.unwrap();
    append(&store, 5..6).await.unwrap();
    let end = store.stats()[0].bytes;
    drop(store);
    fixture.garble(&fixture.files("log")[0], whole + 80);
    let (store, report) = fixture.open();
    let [torn] = report.torn_tails.as_slice() else { panic!("{report:?}") };
    assert_eq!((torn.position, torn.bytes), (whole, end - whole));
    assert!(torn.reason.contains("checksum"), "{}", torn.reason);
    let aside = fixture.disk.read(torn.kept_as.as_ref().unwrap()).unwrap();
    assert_eq!(aside.len() as u64, torn.bytes);
    assert_eq!(numbers(&store).await, [0, 1, 2]);
}

/// Without it nothing is known to be durable, so that everything may be torn.
fn drop_recovery_point(fixture: &Fixture) {
    let dir = crate::support::partition_dir();
    fixture.disk.remove_file(&dir.join("recovery-point")).unwrap();
}
