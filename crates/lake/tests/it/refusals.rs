//! What a lake refuses, and in which words.

use crate::support::*;
use arrow::datatypes::{DataType, Field, Schema};
use std::sync::Arc;
use tradewind_disk::OsDisk;
use tradewind_lake::{Lake, LakeError, LakeSettings, TableSpec};
use tradewind_types::SinkError;

async fn open_error(dir: &std::path::Path) -> String {
    let opened = Lake::open(Arc::new(OsDisk), dir, LakeSettings::default(), clock()).await;
    let error = opened.unwrap_err();
    assert!(matches!(error, LakeError::Foreign { .. }), "{error:?}");
    let text = error.to_string();
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.contains(&dir.display().to_string()), "{text}");
    text
}

fn edit_log(dir: &std::path::Path, from: &str, to: &str) {
    let path = dir.join("orders/_delta_log/00000000000000000000.json");
    let log = std::fs::read_to_string(&path).unwrap();
    assert!(log.contains(from), "{log}");
    std::fs::write(&path, log.replace(from, to)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_and_newer_folders_are_refused_in_one_line() {
    let made = || async {
        let dir = tempfile::tempdir().unwrap();
        open(dir.path()).await.create_table(&orders()).await.unwrap();
        dir
    };
    let newer = made().await;
    edit_log(
        newer.path(),
        "\"tradewind.formatVersion\":\"1\"",
        "\"tradewind.formatVersion\":\"2\"",
    );
    assert!(open_error(newer.path()).await.contains("table format 2, this version reads 1"));

    let foreign = made().await;
    edit_log(foreign.path(), "tradewind.formatVersion", "other.formatVersion");
    assert!(open_error(foreign.path()).await.contains("that Tradewind did not make"));

    let strange = made().await;
    std::fs::create_dir(strange.path().join("lost+found")).unwrap();
    assert!(open_error(strange.path()).await.contains("not a table of ours"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_with_other_columns_is_not_made_over() {
    let dir = tempfile::tempdir().unwrap();
    let lake = open(dir.path()).await;
    lake.create_table(&orders()).await.unwrap();
    let mut fields = orders().schema.fields().to_vec();
    fields[3] = Arc::new(Field::new("n", DataType::Int32, false));
    let changed = TableSpec { schema: Arc::new(Schema::new(fields)), ..orders() };
    let error = lake.create_table(&changed).await.unwrap_err().to_string();
    assert!(error.contains("column 3") && error.contains("Int32"), "{error}");
    let unpartitioned = TableSpec { partition_columns: vec![], ..orders() };
    assert!(
        lake.create_table(&unpartitioned).await.unwrap_err().to_string().contains("partitioned")
    );
    for name in ["", "../up", "a b", "_delta_log"] {
        let spec = TableSpec { name: name.to_owned(), ..orders() };
        assert!(matches!(lake.create_table(&spec).await, Err(LakeError::TableName(_))), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_do_not_fit_are_refused_whole() {
    let dir = tempfile::tempdir().unwrap();
    let lake = open(dir.path()).await;
    lake.create_table(&orders()).await.unwrap();
    let mut own = sink(&lake, "p/1").await;
    let without_offset = order_rows(0, 3).project(&[0, 1, 2, 3, 4, 5]).unwrap();
    let error = own.write(vec![order_rows(0, 3), without_offset]).await.unwrap_err();
    assert!(matches!(error, SinkError::Permanent { .. }), "{error}");
    assert_eq!(number(&lake, "SELECT count(*) FROM orders").await, 0);
    assert!(lake.sink("orders", "").is_err());
    assert!(matches!(lake.sink("nothing", "p/1"), Err(LakeError::NoSuchTable(_))));
    own.stage(4).await.unwrap();
    assert!(matches!(own.stage(4).await, Err(SinkError::Permanent { .. })), "epochs only grow");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_table_is_gone_and_its_name_is_free() {
    let dir = tempfile::tempdir().unwrap();
    let lake = open(dir.path()).await;
    lake.create_table(&orders()).await.unwrap();
    let mut own = sink(&lake, "p/1").await;
    own.write(vec![order_rows(0, 10)]).await.unwrap();
    let staged = own.stage(1).await.unwrap();
    own.commit(&staged).await.unwrap();
    drop(own);
    lake.drop_table("orders").await.unwrap();
    assert!(lake.table("orders").is_none());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    assert!(matches!(lake.drop_table("orders").await, Err(LakeError::NoSuchTable(_))));
    lake.create_table(&orders()).await.unwrap();
    let mut own = sink(&lake, "p/1").await;
    own.write(vec![order_rows(0, 5)]).await.unwrap();
    assert_eq!(number(&lake, "SELECT count(*) FROM orders").await, 5);
    drop((own, lake));
    // A drop that was begun before a crash.
    std::fs::write(dir.path().join("orders.dropping"), b"").unwrap();
    let lake = open(dir.path()).await;
    assert!(lake.tables().is_empty());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}
