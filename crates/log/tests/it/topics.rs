//! Making and removing topics, their settings, format versions and bounds.

use crate::support::{DIR, Fixture, TOPIC, append, numbers};
use std::path::Path;
use tradewind_disk::Disk;
use tradewind_types::{Log, LogError, TopicSpec};

#[tokio::test]
async fn topics_are_found_by_name_and_id_and_are_there_after_a_restart() {
    let fixture = Fixture::new(1);
    let (store, _) = fixture.open();
    let mut spec = TopicSpec::new("a.topic_1-x", 3);
    spec.settings.insert("retention.ms".into(), "60000".into());
    spec.settings.insert("cleanup.policy".into(), "delete".into());
    store.create_topic(&spec).await.unwrap();
    let info = store.topic("a.topic_1-x").unwrap();
    assert_eq!((info.partitions, &info.settings), (3, &spec.settings));
    assert_eq!(store.topic_by_id(info.id), Some(info.clone()));
    let again = store.create_topic(&spec).await.unwrap_err();
    assert!(matches!(again, LogError::TopicExists { .. }));
    store.close().await.unwrap();
    let (store, _) = fixture.open();
    assert_eq!(store.topics(), std::slice::from_ref(&info));
    store.delete_topic(&info.name).await.unwrap();
    assert!(store.topic(&info.name).is_none() && store.topic_by_id(info.id).is_none());
    assert!(fixture.disk.metadata(&Path::new(DIR).join(&info.name)).is_err());
    let gone = store.read(&info.name, 0, 0, 1).await.unwrap_err();
    assert!(matches!(gone, LogError::NoTopic { .. }));
    // A new topic of the old name is another topic, from offset 0.
    store.create_topic(&spec).await.unwrap();
    assert_ne!(store.topic(&info.name).unwrap().id, info.id);
    assert_eq!(store.watermarks(&info.name, 2).unwrap().high_watermark, 0);
}

#[tokio::test]
async fn a_topic_made_anew_is_not_read_from_the_old_ones_files() {
    let mut fixture = Fixture::new(7);
    fixture.settings.tail_bytes_max = 0;
    let store = fixture.with_topic().await;
    append(&store, 0..40).await.unwrap();
    append(&store, 40..80).await.unwrap();
    assert_eq!(numbers(&store).await.len(), 80);
    store.delete_topic(TOPIC).await.unwrap();
    store.create_topic(&TopicSpec::new(TOPIC, 1)).await.unwrap();
    append(&store, 100..140).await.unwrap();
    append(&store, 140..180).await.unwrap();
    assert_eq!(numbers(&store).await, (100..180).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_the_setting_at_fault() {
    let mut fixture = Fixture::new(2);
    fixture.settings.partitions_max = 4;
    let (store, _) = fixture.open();
    let with = |name: &str, value: &str| {
        let mut spec = TopicSpec::new("t", 1);
        spec.settings.insert(name.into(), value.into());
        spec
    };
    let refused = [
        (TopicSpec::new("", 1), "topic name"),
        (TopicSpec::new("a/b", 1), "topic name"),
        (TopicSpec::new("..", 1), "reserved"),
        (TopicSpec::new("LOCK", 1), "reserved"),
        (TopicSpec::new("x".repeat(250), 1), "topic name"),
        (TopicSpec::new("t", 0), "at least one partition"),
        (TopicSpec::new("t", 5), "log.partitions_max"),
        (with("cleanup.policy", "burn"), "cleanup.policy"),
        (with("retention.ms", "soon"), "retention.ms"),
        (with("segment.bytes", "10"), "segment.bytes"),
        (with("min.insync.replicas", "2"), "min.insync.replicas"),
    ];
    for (spec, names) in refused {
        match store.create_topic(&spec).await {
            Err(LogError::Invalid(message)) => assert!(message.contains(names), "{message}"),
            other => panic!("{spec:?}: {other:?}"),
        }
    }
    assert!(store.topics().is_empty());
}

#[tokio::test]
async fn batches_larger_than_the_topic_allows_are_refused() {
    let fixture = Fixture::new(3);
    let (store, _) = fixture.open();
    let mut spec = TopicSpec::new(TOPIC, 1);
    spec.settings.insert("max.message.bytes".into(), "1000".into());
    store.create_topic(&spec).await.unwrap();
    append(&store, 0..5).await.unwrap();
    let error = append(&store, 5..20).await.unwrap_err();
    assert!(matches!(&error, LogError::Invalid(text) if text.contains("max.message.bytes")));
    assert!(store.append(TOPIC, 0, vec![]).await.is_err());
    assert_eq!(numbers(&store).await, [0, 1, 2, 3, 4]);
}

#[tokio::test]
async fn another_format_version_is_refused_in_one_line() {
    for (version, advice) in [(2, "or a newer one"), (0, "upgrade from there")] {
        let fixture = Fixture::new(4);
        let store = fixture.with_topic().await;
        store.close().await.unwrap();
        let path = Path::new(DIR).join(TOPIC).join("topic.json");
        let text = String::from_utf8(fixture.disk.read(&path).unwrap()).unwrap();
        let changed = text
            .replace(r#""format_version":1"#, &format!(r#""format_version":{version},"new":true"#));
        fixture.disk.write_atomic(&path, changed.as_bytes()).unwrap();
        let error = fixture.try_open().unwrap_err().to_string();
        assert!(error.contains("topic.json") && error.contains(advice), "{error}");
        assert!(!error.contains('\n'));
    }
}

#[tokio::test]
async fn a_topic_without_its_file_is_refused_when_it_has_records() {
    let fixture = Fixture::new(5);
    let store = fixture.with_topic().await;
    append(&store, 0..1).await.unwrap();
    store.close().await.unwrap();
    fixture.disk.remove_file(&Path::new(DIR).join(TOPIC).join("topic.json")).unwrap();
    let error = fixture.try_open().unwrap_err().to_string();
    assert!(error.contains("topic.json") && error.contains("restore it"), "{error}");
}

#[tokio::test]
async fn a_closed_store_takes_nothing_and_lets_another_in() {
    let fixture = Fixture::new(6);
    let store = fixture.with_topic().await;
    append(&store, 0..1).await.unwrap();
    assert!(matches!(fixture.try_open(), Err(LogError::Busy(_))));
    store.close().await.unwrap();
    assert!(append(&store, 1..2).await.is_err());
    assert!(store.create_topic(&TopicSpec::new("other", 1)).await.is_err());
    let (again, _) = fixture.open();
    assert_eq!(numbers(&again).await, [0]);
}
