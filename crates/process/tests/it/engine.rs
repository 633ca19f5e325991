//! What an engine does when things go wrong, and what it says.

use crate::support::{Fault, World, insert_of, start_time_us};
use std::sync::Arc;
use std::time::Duration;
use tradewind_disk::{Disk, SimDisk};
use tradewind_process::stream::manifest::ManifestStore;
use tradewind_process::{Engine, PipelineRequest, PipelineState};
use tradewind_sql::{Dialect, Owner, PackFile, PipelineStatement};
use tradewind_types::{Log, TopicSpec};

const SCRIPT: &str = "
    CREATE TABLE t (id BIGINT, name STRING)
        WITH ('connector' = 'kafka', 'topic' = 't', 'format' = 'json');
    CREATE TABLE later (id BIGINT)
        WITH ('connector' = 'kafka', 'topic' = 'later', 'format' = 'json');
    CREATE TABLE raw (line STRING, at_offset BIGINT METADATA FROM 'offset', topic STRING METADATA)
        WITH ('connector' = 'kafka', 'topic' = 't', 'format' = 'raw');
    CREATE TABLE new (id BIGINT) WITH ('connector' = 'kafka', 'topic' = 't', 'format' = 'json',
        'scan.startup.mode' = 'latest-offset');
    CREATE TABLE a (id BIGINT, name STRING) WITH ('connector' = 'delta');
    CREATE TABLE b (id BIGINT NOT NULL) WITH ('connector' = 'delta');
    CREATE TABLE lines (line STRING, o BIGINT, topic STRING) WITH ('connector' = 'delta');
";
const INTO_A: &str = "INSERT INTO a SELECT * FROM t";

async fn world() -> World {
    let disk: Arc<dyn Disk> = SimDisk::new(1);
    World::new(disk, "/data".as_ref(), SCRIPT).await
}

fn put(world: &World, ids: std::ops::Range<i64>) {
    for id in ids {
        world.put((id % 2) as i32, &format!(r#"{{"id": {id}, "name": "n{id}"}}"#));
    }
}

#[tokio::test]
async fn rows_are_visible_before_they_are_committed_and_once_after() {
    let world = world().await;
    let engine = world.engine().await.unwrap();
    world.create(&engine, "a", INTO_A).await;
    put(&world, 0..10);
    assert_eq!(world.texts("a", 10).await.len(), 10);
    assert!(world.lake.committed("a").is_empty());
    engine.checkpoint("a").await.unwrap();
    assert_eq!(world.lake.committed("a").len(), 10);
    assert_eq!(world.lake.visible("a").len(), 10);
    let status = engine.status("a").unwrap();
    assert_eq!((status.state, status.lag, status.rows_out), (PipelineState::Running, 0, 10));
    assert_eq!(status.sources[0].positions, [(0, 5), (1, 5)].into());
    assert_eq!(status.committed_at, Some(start_time_us()));
    assert_eq!(world.log.held("pipeline a", "t", 1), Some(5));
}

#[tokio::test]
async fn a_restart_goes_on_where_the_manifest_stands() {
    let mut world = world().await;
    let engine = world.engine().await.unwrap();
    world.create(&engine, "a", INTO_A).await;
    put(&world, 0..10);
    world.texts("a", 10).await;
    engine.checkpoint("a").await.unwrap();
    put(&world, 10..16);
    world.texts("a", 16).await;
    engine.shutdown().await.unwrap();
    world.restart();
    assert_eq!(world.lake.committed("a").len(), 16);
    let engine = world.engine().await.unwrap();
    put(&world, 16..20);
    assert_eq!(world.texts("a", 20).await.len(), 20);
    assert_eq!(engine.status("a").unwrap().records_in, 4);
}

#[tokio::test]
async fn one_pipeline_fails_and_the_others_go_on() {
    let world = world().await;
    world.lake.faults.lock().insert("b".into(), Fault::Write(u32::MAX));
    let engine = world.engine().await.unwrap();
    world.create(&engine, "a", INTO_A).await;
    world.create(&engine, "b", "INSERT INTO b SELECT id FROM t").await;
    put(&world, 0..10);
    world.texts("a", 10).await;
    let failed = world.status(&engine, "b", |status| status.state == PipelineState::Failed).await;
    assert!(failed.reason.unwrap().contains("this write fails on purpose"));
    assert_eq!(engine.status("a").unwrap().state, PipelineState::Running);
    world.lake.faults.lock().clear();
    engine.resume("b").await.unwrap();
    assert_eq!(world.texts("b", 10).await.len(), 10);
    engine.checkpoint_all().await.unwrap();
    assert_eq!(world.lake.committed("b").len(), 10);
}

#[tokio::test]
async fn a_panic_and_failing_commits_are_got_over() {
    for fault in [Fault::Panic, Fault::Commit(3), Fault::Write(2)] {
        let world = world().await;
        let engine = world.engine().await.unwrap();
        world.create(&engine, "a", INTO_A).await;
        world.lake.faults.lock().insert("a".into(), fault);
        put(&world, 0..10);
        world.texts("a", 10).await;
        engine.checkpoint("a").await.unwrap();
        assert_eq!(world.lake.committed("a").len(), 10, "{fault:?}");
        assert_eq!(world.lake.visible("a").len(), 10, "{fault:?}");
    }
}

#[tokio::test]
async fn ticks_go_on_while_a_commit_takes_its_time() {
    let mut world = world().await;
    world.settings.commit_interval_ms = 10;
    let engine = world.engine().await.unwrap();
    world.create(&engine, "a", INTO_A).await;
    world.lake.faults.lock().insert("a".into(), Fault::CommitStalls);
    put(&world, 0..10);
    world.status(&engine, "a", |_| !world.lake.visible("a").is_empty()).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    put(&world, 10..20);
    assert_eq!(world.texts("a", 20).await.len(), 20);
    assert!(world.lake.committed("a").is_empty());
    world.lake.faults.lock().clear();
    engine.checkpoint("a").await.unwrap();
    assert_eq!(world.lake.committed("a").len(), 20);
    assert!(world.lake.commits("a") >= 2);
}

#[tokio::test]
async fn a_sink_without_committers_commits_in_line() {
    let mut world = world().await;
    Arc::get_mut(&mut world.lake).unwrap().committers = false;
    let engine = world.engine().await.unwrap();
    world.create(&engine, "a", INTO_A).await;
    put(&world, 0..10);
    world.texts("a", 10).await;
    engine.checkpoint("a").await.unwrap();
    assert_eq!(world.lake.committed("a").len(), 10);
}

#[tokio::test]
async fn a_checkpoint_past_the_logs_end_refuses_to_start() {
    let mut world = world().await;
    let engine = world.engine().await.unwrap();
    world.create(&engine, "a", INTO_A).await;
    put(&world, 0..10);
    world.texts("a", 10).await;
    engine.shutdown().await.unwrap();
    world.log.cut_end("t", 1, 3);
    world.restart();
    let engine = world.engine().await.unwrap();
    let status = world.status(&engine, "a", |status| status.state == PipelineState::Failed).await;
    assert!(
        status.reason.unwrap().contains("position 5 of partition 1 is past the log's end at 3")
    );
}

#[tokio::test]
async fn what_retention_took_is_counted_and_the_rest_is_read() {
    let mut world = world().await;
    let engine = world.engine().await.unwrap();
    world.create(&engine, "a", INTO_A).await;
    put(&world, 0..10);
    world.texts("a", 10).await;
    engine.shutdown().await.unwrap();
    put(&world, 10..20);
    world.log.cut_start("t", 0, 8);
    world.restart();
    let engine = world.engine().await.unwrap();
    assert_eq!(world.texts("a", 17).await.len(), 17);
    let status = world.status(&engine, "a", |status| status.lost_records > 0).await;
    assert_eq!(status.lost_records, 3);
}

#[tokio::test]
async fn another_topic_under_the_old_name_is_refused() {
    let mut world = world().await;
    let engine = world.engine().await.unwrap();
    world.create(&engine, "a", INTO_A).await;
    engine.checkpoint("a").await.unwrap();
    engine.shutdown().await.unwrap();
    world.restart();
    world.log.create_topic(&TopicSpec::new("between", 1)).await.unwrap();
    world.log.delete_topic("t").await.unwrap();
    world.log.create_topic(&TopicSpec::new("t", 2)).await.unwrap();
    let engine = world.engine().await.unwrap();
    let status = world.status(&engine, "a", |status| status.state == PipelineState::Failed).await;
    assert!(status.reason.unwrap().contains("drop the pipeline and make it anew"));
}

#[tokio::test]
async fn a_damaged_manifest_is_not_passed_over() {
    let mut world = world().await;
    let engine = world.engine().await.unwrap();
    let id = world.create(&engine, "a", INTO_A).await.id;
    put(&world, 0..4);
    world.texts("a", 4).await;
    engine.shutdown().await.unwrap();
    let folder = world.dir.join("pipelines").join(id);
    let newest =
        world.disk.list(&folder).unwrap().into_iter().map(|entry| entry.path).max().unwrap();
    let mut bytes = world.disk.read(&newest).unwrap();
    bytes[100] ^= 1;
    world.disk.write_atomic(&newest, &bytes).unwrap();
    world.restart();
    let engine = world.engine().await.unwrap();
    let status = world.status(&engine, "a", |status| status.state == PipelineState::Failed).await;
    assert!(status.reason.unwrap().contains("CRC"));
}

#[tokio::test]
async fn two_manifests_are_kept() {
    let world = world().await;
    let engine = world.engine().await.unwrap();
    let id = world.create(&engine, "a", INTO_A).await.id;
    for round in 0..5 {
        put(&world, round * 2..round * 2 + 2);
        world.texts("a", (round as usize + 1) * 2).await;
        engine.checkpoint("a").await.unwrap();
    }
    let folder = world.dir.join("pipelines").join(id);
    assert_eq!(world.disk.list(&folder).unwrap().len(), 2);
    let newest = ManifestStore::open(world.disk.clone(), folder).unwrap().newest().unwrap();
    assert_eq!(newest.unwrap().epoch, 6);
}

#[tokio::test]
async fn a_topic_that_comes_later_is_waited_for() {
    let world = world().await;
    let engine = world.engine().await.unwrap();
    world.create(&engine, "b", "INSERT INTO b SELECT id FROM later").await;
    world.status(&engine, "b", |status| status.state == PipelineState::Waiting).await;
    world.log.create_topic(&TopicSpec::new("later", 1)).await.unwrap();
    world.log.put("later", 0, Some(br#"{"id": 1}"#));
    assert_eq!(world.texts("b", 1).await, ["1"]);
}

#[tokio::test]
async fn a_paused_pipeline_stays_paused_over_restarts() {
    let mut world = world().await;
    let engine = world.engine().await.unwrap();
    world.create(&engine, "a", INTO_A).await;
    put(&world, 0..4);
    world.texts("a", 4).await;
    engine.pause("a").await.unwrap();
    world.status(&engine, "a", |status| status.state == PipelineState::Paused).await;
    engine.shutdown().await.unwrap();
    world.restart();
    let engine = world.engine().await.unwrap();
    world.status(&engine, "a", |status| status.state == PipelineState::Paused).await;
    put(&world, 4..6);
    engine.resume("a").await.unwrap();
    assert_eq!(world.texts("a", 6).await.len(), 6);
}

#[tokio::test]
async fn a_null_where_none_may_be_is_a_dead_letter_with_its_record() {
    let world = world().await;
    let engine = world.engine().await.unwrap();
    world.create(&engine, "b", "INSERT INTO b SELECT id FROM t").await;
    put(&world, 0..2);
    world.put(0, r#"{"name": "no id", "store_id": "s9"}"#);
    world.put(0, "not json");
    world.texts("b", 2).await;
    let dead = world.texts("dead_letters", 2).await;
    assert!(
        dead.iter().any(|row| row.starts_with("s9|") && row.contains("column \"id\" is NOT NULL"))
    );
    assert!(dead.iter().any(|row| row.contains("it is no JSON object")), "{dead:?}");
    engine.checkpoint("b").await.unwrap();
    assert_eq!(world.lake.committed("dead_letters").len(), 2);
}

#[tokio::test]
async fn a_topic_can_be_read_raw_and_with_what_a_record_has_besides() {
    let world = world().await;
    let engine = world.engine().await.unwrap();
    world
        .create(&engine, "lines", "INSERT INTO lines SELECT line, at_offset, topic FROM raw")
        .await;
    world.put(1, "first");
    world.put(1, "second");
    assert_eq!(world.texts("lines", 2).await, ["first|0|t", "second|1|t"]);
}

#[tokio::test]
async fn latest_is_the_end_as_it_was_when_the_pipeline_was_made() {
    let mut world = world().await;
    put(&world, 0..10);
    let engine = world.engine().await.unwrap();
    world.create(&engine, "b", "INSERT INTO b SELECT id FROM new").await;
    world.status(&engine, "b", |status| status.epoch == 1).await;
    engine.shutdown().await.unwrap();
    put(&world, 10..12);
    world.restart();
    let _engine = world.engine().await.unwrap();
    assert_eq!(world.texts("b", 2).await, ["10", "11"]);
}

#[tokio::test]
async fn dropping_a_pipeline_keeps_its_rows_and_lets_go_of_the_log() {
    let world = world().await;
    let engine = world.engine().await.unwrap();
    world.create(&engine, "a", INTO_A).await;
    put(&world, 0..4);
    world.texts("a", 4).await;
    assert!(engine.drop_pipeline("a", false).await.unwrap());
    assert_eq!(world.lake.committed("a").len(), 4);
    assert_eq!(world.log.held("pipeline a", "t", 0), None);
    assert!(engine.pipelines().is_empty());
    assert!(!engine.drop_pipeline("a", true).await.unwrap());
    let missing = engine.drop_pipeline("a", false).await.unwrap_err().to_string();
    assert_eq!(missing, "pipeline \"a\" does not exist");
}

#[tokio::test]
async fn a_changed_pack_goes_on_as_a_new_incarnation() {
    let mut world = world().await;
    let pack = |sql: &str| vec![PackFile { name: "p.sql".into(), text: sql.to_string() }];
    world.catalogue.apply_pack("p", &pack(INTO_A)).unwrap();
    let engine = world.engine().await.unwrap();
    put(&world, 0..10);
    world.texts("a", 10).await;
    let changed = "INSERT INTO a SELECT id + 1000, name FROM t";
    let report = world.catalogue.apply_pack("p", &pack(changed)).unwrap();
    assert_eq!(report.changed.len(), 1, "{report:?}");
    engine.refresh().await;
    put(&world, 10..12);
    let rows = world.texts("a", 12).await;
    assert!(rows.contains(&"1010|n10".to_string()) && rows.contains(&"9|n9".to_string()));
    engine.shutdown().await.unwrap();
    world.restart();
    let engine = world.engine().await.unwrap();
    put(&world, 12..13);
    assert_eq!(world.texts("a", 13).await.len(), 13);
    assert_eq!(engine.status("a").unwrap().incarnation, 2);
}

#[tokio::test]
async fn a_name_is_given_once() {
    let world = world().await;
    let engine: Engine = world.engine().await.unwrap();
    world.create(&engine, "a", INTO_A).await;
    let request = PipelineRequest {
        name: None,
        statement: PipelineStatement::Insert(insert_of(INTO_A)),
        dialect: Dialect::Flink,
        owner: Owner::Sql,
    };
    let error = engine.create(request).await.unwrap_err().to_string();
    assert_eq!(error, "pipeline \"a\" exists already");
}
