//! A declared topic can be queried.

use crate::support::{MemoryLog, catalogue};
use datafusion::prelude::SessionContext;
use std::sync::Arc;
use tradewind_process::TopicTable;
use tradewind_types::{Log, TopicSpec};

#[tokio::test]
async fn a_query_sees_the_records_decoded() {
    let (catalogue, _dir) = catalogue(
        "CREATE TABLE t (id BIGINT, r ROW<x STRING>, o BIGINT METADATA FROM 'offset')
            WITH ('connector' = 'kafka', 'topic' = 't', 'format' = 'json');
         CREATE TABLE l (id BIGINT) WITH ('connector' = 'delta');",
    );
    let log = Arc::new(MemoryLog::new());
    log.create_topic(&TopicSpec::new("t", 3)).await.unwrap();
    for id in 0..20_000 {
        let text = format!(r#"{{"id": {id}, "r": {{"x": "v{}"}}}}"#, id % 2);
        log.put("t", id % 3, Some(text.as_bytes()));
    }
    log.put("t", 0, Some(b"no json"));
    let table = TopicTable::new(&catalogue.table("t").unwrap(), log.clone()).unwrap();
    assert!(TopicTable::new(&catalogue.table("l").unwrap(), log).is_none());
    let session = SessionContext::new();
    session.register_table("t", Arc::new(table)).unwrap();
    let query =
        "SELECT r['x'] AS x, count(*) AS n, sum(id) AS total, max(o) AS o, max(_offset) AS last,
        count(DISTINCT _partition) AS p FROM t GROUP BY 1 ORDER BY 1";
    let batches = session.sql(query).await.unwrap().collect().await.unwrap();
    datafusion::assert_batches_eq!(
        [
            "+----+-------+-----------+------+------+---+",
            "| x  | n     | total     | o    | last | p |",
            "+----+-------+-----------+------+------+---+",
            "| v0 | 10000 | 99990000  | 6666 | 6666 | 3 |",
            "| v1 | 10000 | 100000000 | 6666 | 6666 | 3 |",
            "+----+-------+-----------+------+------+---+",
        ],
        &batches
    );
    let count = session.sql("SELECT count(*) FROM t").await.unwrap().collect().await.unwrap();
    datafusion::assert_batches_eq!(
        ["+----------+", "| count(*) |", "+----------+", "| 20000    |", "+----------+"],
        &count
    );
}
