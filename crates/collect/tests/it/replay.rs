//! Replaying files: every row once, whatever the server and the connection do in between.

use crate::stub::{Stub, Trick};
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tradewind_collect::client::{ClientError, ClientSettings};
use tradewind_collect::replay::{
    Mapping, Progress, ReplayError, ReplaySettings, Speed, Summary, inputs, replay,
};

const ORDERS: &str = "\
InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country
536365,85123A,\"HEART, WHITE\",6,12/1/2010 8:26,2.55,17850,United Kingdom
536366,22633,,1,7/1/2011 8:28,1.850,,France
C536379,D,Discount,-1,12/1/2010 9:41,27.50,14527,United Kingdom
536367,84406B,BROKEN PRICE,8,12/1/2010 8:34,two,13047,United Kingdom
";

const MAPPING: &str = r#"
[event]
name = "Order Completed"
[[event.rules]]
column = "InvoiceNo"
starts_with = "C"
name = "Order Refunded"
[time]
column = "InvoiceDate"
format = "%m/%d/%Y %H:%M"
zone = "Europe/London"
[user_id]
column = "CustomerID"
[anonymous_id]
column = "InvoiceNo"
[properties]
order_id = { column = "InvoiceNo" }
currency = { value = "GBP" }
country = { column = "Country" }
[product]
product_id = { column = "StockCode" }
name = { column = "Description" }
price = { column = "UnitPrice", type = "number" }
quantity = { column = "Quantity", type = "number" }
"#;

struct Bench {
    folder: TempDir,
    stub: Stub,
    settings: ReplaySettings,
}

impl Bench {
    fn new(mapping: Mapping) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let stub = Stub::start();
        let mut client = ClientSettings::new(&stub.url, "key");
        client.connections = 3;
        client.retry_for = Duration::from_secs(30);
        let mut settings = ReplaySettings::new(client, mapping);
        settings.state_dir = folder.path().join("state");
        fs::create_dir(&settings.state_dir).unwrap();
        Self { folder, stub, settings }
    }

    fn write(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path.display().to_string()
    }

    fn replay(&self, path: &str) -> Result<Summary, ReplayError> {
        self.replay_until(path, &AtomicBool::new(false), &mut |_| {})
    }

    fn replay_until(
        &self,
        path: &str,
        stop: &AtomicBool,
        progress: &mut dyn FnMut(&Progress),
    ) -> Result<Summary, ReplayError> {
        let (inputs, _) = inputs(path, None)?;
        replay(&inputs, &self.settings, stop, progress)
    }

    fn event(&self, id: &str) -> Value {
        serde_json::from_str(&self.stub.seen.lock().events[id]).unwrap()
    }

    fn event_ids(&self) -> Vec<String> {
        self.stub.seen.lock().events.keys().cloned().collect()
    }
}

fn numbered_rows(rows: usize) -> Vec<u8> {
    let mut text = b"n\n".to_vec();
    for row in 0..rows {
        writeln!(text, "{row}").unwrap();
    }
    text
}

#[test]
fn rows_become_the_events_the_mapping_says() {
    let bench = Bench::new(Mapping::parse(MAPPING).unwrap());
    let path = bench.write("orders.csv", ORDERS.as_bytes());
    let summary = bench.replay(&path).unwrap();

    assert_eq!(bench.event_ids(), ["orders.csv:2", "orders.csv:3", "orders.csv:4"]);
    let sale = bench.event("orders.csv:2");
    assert_eq!(sale["event"], "Order Completed");
    assert_eq!(sale["timestamp"], "2010-12-01T08:26:00.000000Z");
    assert_eq!(sale["userId"], "17850");
    assert_eq!(sale["properties"]["products"][0]["name"], "HEART, WHITE");
    let summer = bench.event("orders.csv:3");
    assert_eq!(summer["timestamp"], "2011-07-01T07:28:00.000000Z");
    assert!(summer.get("userId").is_none());
    assert!(summer["properties"]["products"][0].get("name").is_none());
    assert_eq!(bench.event("orders.csv:4")["event"], "Order Refunded");

    assert_eq!(summary.progress.rows_acknowledged, 3);
    assert_eq!(summary.progress.rows_rejected, 1);
    let rejected =
        fs::read_to_string(bench.settings.state_dir.join("orders.csv.rejected")).unwrap();
    let rejected: Value = serde_json::from_str(&rejected).unwrap();
    assert_eq!(rejected["line"], 5);
    assert!(rejected["reason"].as_str().unwrap().contains("\"UnitPrice\": \"two\""), "{rejected}");
    assert!(rejected["raw"].as_str().unwrap().starts_with("536367,"));
}

#[test]
fn numbers_keep_their_text_on_the_way() {
    // Not through `Value`, which would make a float of them.
    let bench = Bench::new(Mapping::parse(MAPPING).unwrap());
    let fields = tradewind_collect::replay::Rows::open(
        Path::new(&bench.write("orders.csv", ORDERS.as_bytes())),
        tradewind_collect::replay::FileFormat::Csv,
    );
    let mut rows = fields.unwrap();
    let mut texts = Vec::new();
    while let Some(row) = rows.next_row().unwrap() {
        if let Ok(mapped) = bench.settings.mapping.apply(&row.fields.unwrap(), "id") {
            texts.push(String::from_utf8(mapped.json).unwrap());
        }
    }
    assert!(
        texts[0].contains(r#""price":2.55,"product_id":"85123A","quantity":6}"#),
        "{}",
        texts[0]
    );
    assert!(texts[1].contains(r#""price":1.850,"#), "{}", texts[1]);
    assert!(texts[2].contains(r#""price":27.50,"product_id":"D","quantity":-1}"#), "{}", texts[2]);
}

#[test]
fn without_a_mapping_every_column_is_a_property() {
    let bench = Bench::new(Mapping::every_column("Row Seen"));
    let path =
        bench.write("t.jsonl", b"{\"a\":1.10,\"b\":\"x\",\"c\":null}\nnot json\n{\"a\":2}\n");
    let summary = bench.replay(&path).unwrap();
    assert_eq!(bench.event_ids(), ["t.jsonl:1", "t.jsonl:3"]);
    let event = bench.event("t.jsonl:1");
    assert_eq!(event["event"], "Row Seen");
    assert_eq!(event["properties"]["b"], "x");
    assert!(event["properties"].get("c").is_none());
    assert_eq!(summary.progress.rows_rejected, 1);
    assert!(summary.rejected_first[0].contains("line 2"), "{:?}", summary.rejected_first);
}

#[test]
fn trouble_on_the_way_loses_nothing_and_the_server_sees_repeats_as_such() {
    let mut bench = Bench::new(Mapping::every_column("Row Seen"));
    bench.settings.batch_events = 10;
    let tricks = [Trick::HangUp, Trick::Busy, Trick::TakeAndHangUp];
    bench.stub.seen.lock().tricks = tricks.repeat(5);
    let path = bench.write("t.csv", &numbered_rows(1_000));
    let summary = bench.replay(&path).unwrap();
    assert_eq!(bench.event_ids().len(), 1_000);
    assert_eq!(summary.progress.rows_acknowledged, 1_000);
    assert_eq!(bench.stub.seen.lock().arrivals.len(), 1_050);
    // A batch that hung up twice is a duplicate once: only its last answer arrived.
    let duplicates = summary.progress.rows_duplicate;
    assert!((10..=50).contains(&duplicates) && duplicates.is_multiple_of(10), "{duplicates}");
}

/// A replay that gives up when the server has answered 37 batches of ten rows, and its
/// continuation; returns how many rows the continuation did not send again.
fn interrupted_and_resumed(bench: &mut Bench) -> u64 {
    bench.settings.batch_events = 10;
    bench.settings.client.retry_for = Duration::ZERO;
    let path = bench.write("t.csv", &numbered_rows(1_000));
    bench.stub.seen.lock().requests_max = Some(37);
    let error = bench.replay(&path).unwrap_err();
    assert!(matches!(error, ReplayError::Client(ClientError::GaveUp { .. })), "{error}");

    let before = bench.stub.seen.lock().arrivals.len();
    bench.stub.seen.lock().requests_max = None;
    let summary = bench.replay(&path).unwrap();
    let resumed = summary.progress.rows_resumed;
    assert_eq!(summary.progress.rows_acknowledged, 1_000 - resumed);
    let again = bench.stub.seen.lock().arrivals.len() - before;
    assert_eq!(again as u64, 1_000 - resumed);
    assert_eq!(bench.event_ids().len(), 1_000);
    // Done: the record is gone, and the next run starts over.
    assert!(!bench.settings.state_dir.join("t.csv.replay.json").exists());
    assert_eq!(bench.replay(&path).unwrap().progress.rows_duplicate, 1_000);
    resumed
}

#[test]
fn an_interrupted_replay_goes_on_where_it_stood() {
    let mut bench = Bench::new(Mapping::every_column("Row Seen"));
    // One connection: batches are answered in their order, and all 37 are on record.
    bench.settings.client.connections = 1;
    assert_eq!(interrupted_and_resumed(&mut bench), 370);
}

#[test]
fn an_interrupted_replay_over_several_connections_skips_no_row() {
    let mut bench = Bench::new(Mapping::every_column("Row Seen"));
    // Which of the batches the server did not answer is chance, the first one of all included:
    // everything from there on is sent again.
    assert!(interrupted_and_resumed(&mut bench) <= 370);
}

#[test]
fn a_stopped_replay_says_so_and_rejects_no_row_twice() {
    let mut bench = Bench::new(Mapping::every_column("Row Seen"));
    bench.settings.batch_events = 1;
    bench.settings.client.connections = 1;
    let mut text = b"n,m\n".to_vec();
    for row in 0..400 {
        writeln!(text, "{row}{}", if row % 10 == 0 { "" } else { ",1" }).unwrap();
    }
    let path = bench.write("t.csv", &text);
    bench.settings.speed = Speed::PerSecond(400.0);
    let stop = AtomicBool::new(false);
    let summary = bench.replay_until(&path, &stop, &mut |progress| {
        if progress.rows_acknowledged > 20 {
            stop.store(true, Ordering::Relaxed);
        }
    });
    let summary = summary.unwrap();
    assert!(summary.stopped && summary.progress.rows_acknowledged < 360);
    bench.settings.speed = Speed::Max;
    let rest = bench.replay(&path).unwrap();
    assert!(!rest.stopped && rest.progress.rows_resumed > 20);
    assert_eq!(bench.event_ids().len(), 360);
    let rejected = fs::read_to_string(bench.settings.state_dir.join("t.csv.rejected")).unwrap();
    assert_eq!(rejected.lines().count(), 40);
}

#[test]
fn what_the_server_turns_down_is_written_down() {
    let bench = Bench::new(Mapping::every_column("Row Seen"));
    bench.stub.seen.lock().unwelcome = vec!["t.csv:3".to_owned()];
    let summary = bench.replay(&bench.write("t.csv", b"n\n1\n2\n3\n")).unwrap();
    assert_eq!((summary.progress.rows_acknowledged, summary.progress.rows_rejected), (2, 1));
    assert!(summary.rejected_first[0].contains("line 3: the server: unwelcome"));
}

#[test]
fn a_folder_goes_file_by_file_gz_or_not() {
    let bench = Bench::new(Mapping::every_column("Row Seen"));
    let folder = bench.folder.path().join("days");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("b.csv"), b"n\n1\n2\n").unwrap();
    let file = fs::File::create(folder.join("a.csv.gz")).unwrap();
    // Two members, as `cat a.gz b.gz` makes them.
    for part in ["n\n1\n", "2\n"] {
        let mut encoder = flate2::write::GzEncoder::new(&file, flate2::Compression::fast());
        encoder.write_all(part.as_bytes()).unwrap();
        encoder.finish().unwrap();
    }
    let summary = bench.replay(&folder.display().to_string()).unwrap();
    assert_eq!(bench.event_ids(), ["a.csv:2", "a.csv:3", "b.csv:2", "b.csv:3"]);
    assert_eq!(summary.progress.bytes_read, summary.progress.bytes_total);
}

#[test]
fn speeds_hold_rows_back() {
    let mut bench = Bench::new(Mapping::every_column("Row Seen"));
    bench.settings.speed = Speed::PerSecond(200.0);
    let started = Instant::now();
    bench.replay(&bench.write("t.csv", &numbered_rows(101))).unwrap();
    // A lower bound cannot fail on a slow machine.
    assert!(started.elapsed() >= Duration::from_millis(490));

    let mut bench = Bench::new(Mapping::parse(MAPPING).unwrap());
    bench.settings.speed = Speed::Factor(3_600.0);
    let path = bench.write("t.csv", ORDERS.replace("7/1/2011 8:28", "12/1/2010 8:56").as_bytes());
    let started = Instant::now();
    bench.replay(&path).unwrap();
    // 8:26 to 9:41 at an hour a second.
    assert!(started.elapsed() >= Duration::from_millis(1_240));
}

#[test]
fn mistakes_are_named() {
    let bench = Bench::new(Mapping::parse(MAPPING).unwrap());
    let error = bench.replay(&bench.write("t.csv", b"a,b\n1,2\n")).unwrap_err().to_string();
    assert!(error.contains("t.csv: no column") && error.contains("a, b"), "{error}");

    let mut bench = Bench::new(Mapping::every_column("x"));
    bench.settings.speed = Speed::Factor(2.0);
    let error = bench.replay(&bench.write("t.csv", b"a\n1\n")).unwrap_err().to_string();
    assert!(error.contains("[time]"), "{error}");

    for (text, said) in [
        ("[time]\ncolumn = \"a\"\nformat = \"%Y\"", "needs a name"),
        ("[event]\nname = \"x\"\n[time]\ncolumn = \"a\"\nformat = \"%d/%m/%Y\"", "zone"),
        ("[event]\nname = \"x\"\n[properties]\na = { value = 1.5 }", "number"),
        ("[event]\nname = \"x\"\n[properties]\na = { colum = \"b\" }", "colum"),
        ("type = \"sale\"\n[event]\nname = \"x\"", "sale"),
    ] {
        let error = Mapping::parse(text).unwrap_err();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn bodies_go_compressed_when_asked() {
    let mut bench = Bench::new(Mapping::every_column("Row Seen"));
    bench.settings.client.gzip = true;
    bench.replay(&bench.write("t.csv", &numbered_rows(100))).unwrap();
    assert_eq!(bench.event_ids().len(), 100);
    let headers = bench.stub.seen.lock().headers.clone();
    assert_eq!(headers["content-encoding"], "gzip");
    assert_eq!(headers["authorization"], "Basic a2V5Og==");
}
