//! The answer to a `SUBSCRIBE`.

use crate::support::{Edge, PATIENCE, generous, read_all, request, request_to};
use arrow::array::{Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::AsyncWriteExt;
use tokio::time::{sleep, timeout};
use tradewind_analyze::{
    AnalyzeError, Asked, Change, ChangeStream, Control, Dialect, PipelineRow, RowKind,
};
use tradewind_serve::Limits;
use tradewind_sql::{PipelineStatement, TableDefinition};
use tradewind_types::Source;

/// Has views by the names of what becomes of them, and nothing else.
#[derive(Default)]
struct Views {
    /// How many changes were asked for.
    asked: Arc<AtomicUsize>,
}

fn nothing_else<T>() -> Result<T, AnalyzeError> {
    Err(AnalyzeError::user("there are views only"))
}

#[async_trait]
impl Control for Views {
    async fn run(&self, _asked: Asked<'_>) -> Result<String, AnalyzeError> {
        nothing_else()
    }

    fn explain(&self, _: &PipelineStatement, _: Dialect) -> Result<String, AnalyzeError> {
        nothing_else()
    }

    fn view(&self, _: &str) -> Result<(SchemaRef, Vec<RecordBatch>), AnalyzeError> {
        nothing_else()
    }

    async fn pipelines(&self) -> Vec<PipelineRow> {
        Vec::new()
    }

    async fn subscribe(
        &self,
        view: &str,
        _: Option<&str>,
    ) -> Result<Box<dyn ChangeStream>, AnalyzeError> {
        Ok(Box::new(Told { view: view.to_string(), asked: self.asked.clone(), step: 0 }))
    }

    fn open_topic(&self, _: &TableDefinition, _: &[&str]) -> Result<Box<dyn Source>, AnalyzeError> {
        nothing_else()
    }
}

struct Told {
    view: String,
    asked: Arc<AtomicUsize>,
    step: usize,
}

impl Told {
    fn rows(&self, count: i64) -> Change {
        let numbers = Arc::new(Int64Array::from_iter_values(0..count));
        let batch = RecordBatch::try_new(self.schema(), vec![numbers]).unwrap();
        let kinds = (0..count as usize).map(|row| (row, RowKind::Insert)).collect();
        Change::Rows { batch, kinds }
    }
}

#[async_trait]
impl ChangeStream for Told {
    fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]))
    }

    async fn next(&mut self) -> Result<Change, AnalyzeError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.step += 1;
        match (self.view.as_str(), self.step) {
            ("endless", _) => Ok(self.rows(10_000)),
            (_, 1) => Ok(self.rows(2)),
            (_, 2) => {
                let positions = [("t".to_string(), [(0, 17), (3, 4)].into())].into();
                Ok(Change::Progress { token: "1-7".to_string(), positions })
            }
            (_, 3) => Ok(Change::Reset),
            ("broken", _) => Err(AnalyzeError::environment("fallen behind").hint("read faster")),
            _ => std::future::pending().await,
        }
    }
}

async fn edge() -> (Edge, Arc<AtomicUsize>) {
    let views = Views::default();
    let asked = views.asked.clone();
    (Edge::of(Limits::default(), generous(), Some(Arc::new(views))).await, asked)
}

/// The lines of a chunked answer.
fn lines(answer: &str) -> Vec<&str> {
    let text = answer.split_once("\r\n\r\n").unwrap().1;
    let lines = text.split(['\r', '\n']).filter(|line| !line.is_empty());
    lines.filter(|line| usize::from_str_radix(line, 16).is_err()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_line_says_why_nothing_more_comes() {
    let (edge, _) = edge().await;
    let answer = edge.ask("SUBSCRIBE broken").await;
    assert_eq!(
        lines(&answer),
        [
            r#"{"columns":[{"name":"n","type":"BIGINT"}]}"#,
            r#"{"kind":"+I","weight":1,"row":[0]}"#,
            r#"{"kind":"+I","weight":1,"row":[1]}"#,
            r#"{"positions":{"t":{"0":17,"3":4}},"progress":"1-7"}"#,
            r#"{"reset":true}"#,
            r#"{"error":{"code":"58000","detail":null,"hint":"read faster","message":"fallen behind","position":null},"token":null}"#,
        ]
    );
    let mut stream = edge.connect().await;
    let csv = request_to("/api/sql?format=csv", "SUBSCRIBE broken");
    stream.write_all(csv.as_bytes()).await.unwrap();
    let answer = read_all(&mut stream).await;
    assert_eq!(
        lines(&answer),
        [
            "_kind,_weight,_token,n",
            "+I,1,,0",
            "+I,1,,1",
            "progress,,1-7,",
            "reset,,,",
            "# error: fallen behind (read faster)",
        ]
    );
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_taken_for_a_reader_that_reads_nothing() {
    let (edge, asked) = edge().await;
    let mut stream = edge.connect().await;
    stream.write_all(request("SUBSCRIBE endless").as_bytes()).await.unwrap();
    // The connection's buffers fill; then nobody asks for more.
    let still = async {
        let mut before = 0;
        loop {
            sleep(std::time::Duration::from_millis(300)).await;
            let now = asked.load(Ordering::Relaxed);
            if now > 0 && now == before {
                return;
            }
            before = now;
        }
    };
    timeout(PATIENCE, still).await.expect("changes are taken though nobody reads them");
    // There is room for one subscriber, and again once he is gone.
    let refused = edge.ask("SUBSCRIBE broken").await;
    assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("retry-after"), "{refused}");
    drop(stream);
    let again = async {
        while !edge.ask("SUBSCRIBE broken").await.starts_with("HTTP/1.1 200") {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, again).await.expect("a subscriber that went away keeps his place");
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_what_has_no_end() {
    let (edge, asked) = edge().await;
    let mut stream = edge.connect().await;
    let timed = r#"{"sql": "SUBSCRIBE silent", "timeout_ms": 20}"#;
    let timed =
        request(timed).replace("Connection:", "Content-Type: application/json\r\nConnection:");
    stream.write_all(timed.as_bytes()).await.unwrap();
    let answer = read_all(&mut stream).await;
    assert!(lines(&answer).last().unwrap().starts_with(r#"{"end":"timeout""#), "{answer}");
    let mut stream = edge.connect().await;
    stream.write_all(request("SUBSCRIBE silent").as_bytes()).await.unwrap();
    let reading = tokio::spawn(async move { read_all(&mut stream).await });
    // It is there when it waits for its fourth change, as the one before did.
    let there = async {
        while asked.load(Ordering::Relaxed) < 8 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, there).await.expect("nobody follows the view");
    edge.stop().await;
    let answer = timeout(PATIENCE, reading).await.unwrap().unwrap();
    assert!(lines(&answer).last().unwrap().starts_with(r#"{"end":"stopping""#), "{answer}");
}
