//! Flight SQL, by the library's own client over a real socket.

use crate::support::PATIENCE;
use arrow::array::{Array, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Decimal128Type, Int64Type, TimestampNanosecondType};
use arrow_flight::sql::client::FlightSqlServiceClient;
use arrow_flight::sql::{CommandGetDbSchemas, CommandGetTables, CommandGetXdbcTypeInfo, SqlInfo};
use arrow_flight::{Action, CancelFlightInfoRequest, FlightInfo};
use futures::TryStreamExt;
use prost::Message;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint};
use tradewind_analyze::{AnalyzeSettings, Platform, PlatformParts};
use tradewind_serve::flight::{FlightLimits, serve};
use tradewind_types::SystemClock;

struct Port {
    address: String,
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
}

type Client = FlightSqlServiceClient<Channel>;

impl Port {
    async fn start(limits: FlightLimits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        // One query at a time: what is not given back is missed at once.
        let settings = AnalyzeSettings { queries_max: 1, ..AnalyzeSettings::default() };
        let parts = PlatformParts { settings, ..PlatformParts::default() };
        let platform = Platform::new(parts).unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async {
            let _ = stopped.await;
        };
        let served = serve(listener, platform, Arc::new(SystemClock), limits, shutdown).unwrap();
        Self { address, stop, running: tokio::spawn(served) }
    }

    async fn client(&self) -> Client {
        let endpoint = Endpoint::from_shared(self.address.clone()).unwrap();
        FlightSqlServiceClient::new(endpoint.connect().await.unwrap())
    }

    async fn stop(self) {
        let _ = self.stop.send(());
        tokio::time::timeout(PATIENCE, self.running).await.unwrap().unwrap();
    }
}

async fn rows(client: &mut Client, info: &FlightInfo) -> Vec<RecordBatch> {
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    let stream = client.do_get(ticket).await.unwrap();
    let described = info.clone().try_decode_schema().unwrap();
    let batches: Vec<RecordBatch> = stream.try_collect().await.unwrap();
    for batch in &batches {
        assert_eq!(batch.schema().as_ref(), &described, "the flight was of other columns");
    }
    batches
}

fn count(batches: &[RecordBatch]) -> usize {
    batches.iter().map(RecordBatch::num_rows).sum()
}

/// Asks until there is a place for a query: the one before has given its back.
async fn is_free(client: &mut Client) {
    let free = async {
        loop {
            if let Ok(info) = client.execute("SELECT 1".into(), None).await
                && client.do_get(info.endpoint[0].ticket.clone().unwrap()).await.is_ok()
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, free).await.expect("a query that has ended kept its place");
}

const LONG: &str =
    "SELECT a.value FROM generate_series(1, 1000000) AS a, generate_series(1, 100000) AS b";

#[tokio::test(flavor = "multi_thread")]
async fn values_arrive_as_they_are() {
    let port = Port::start(FlightLimits::default()).await;
    let mut client = port.client().await;
    let query = "SELECT 123456789012345678901.25::DECIMAL(38, 2) AS amount, 'x' || 'y' AS text, \
                 TIMESTAMPTZ '2026-03-29T01:30:00.123456Z' AS at, NULL AS nothing";
    let info = client.execute(query.into(), None).await.unwrap();
    assert!(info.endpoint[0].expiration_time.is_some());
    let batches = rows(&mut client, &info).await;
    let batch = &batches[0];
    assert_eq!(
        batch.column(0).as_primitive::<Decimal128Type>().value(0),
        12_345_678_901_234_567_890_125
    );
    assert_eq!(batch.schema().field(0).data_type(), &DataType::Decimal128(38, 2));
    assert_eq!(batch.column(1).as_string::<i32>().value(0), "xy");
    let at = batch.column(2).as_primitive::<TimestampNanosecondType>();
    assert_eq!(at.value(0).rem_euclid(1_000_000_000), 123_456_000);
    // A ticket may be taken again until it ends.
    assert_eq!(count(&rows(&mut client, &info).await), 1);
    port.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_million_rows_arrive_once_each() {
    let port = Port::start(FlightLimits::default()).await;
    let mut client = port.client().await;
    let query =
        "SELECT value, 'row ' || value AS text FROM generate_series(1, 1000000) AS t(value)";
    let info = client.execute(query.into(), None).await.unwrap();
    let batches = rows(&mut client, &info).await;
    assert_eq!(count(&batches), 1_000_000);
    let sums = batches
        .iter()
        .map(|batch| batch.column(0).as_primitive::<Int64Type>().values().iter().sum::<i64>());
    assert_eq!(sums.sum::<i64>(), 500_000_500_000);
    port.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_ends_with_its_client_a_cancel_or_its_time() {
    let limits =
        FlightLimits { statement_timeout: Duration::from_secs(5), ..FlightLimits::default() };
    let port = Port::start(limits).await;
    let mut client = port.client().await;
    // Its client lets go of it.
    let info = client.execute(LONG.into(), None).await.unwrap();
    let mut stream = client.do_get(info.endpoint[0].ticket.clone().unwrap()).await.unwrap();
    assert!(stream.try_next().await.unwrap().is_some());
    drop(stream);
    is_free(&mut client).await;
    // Somebody cancels it.
    let info = client.execute(LONG.into(), None).await.unwrap();
    let mut stream = client.do_get(info.endpoint[0].ticket.clone().unwrap()).await.unwrap();
    assert!(stream.try_next().await.unwrap().is_some());
    let cancel = CancelFlightInfoRequest::new(info.clone()).encode_to_vec();
    let action = Action::new("CancelFlightInfo", cancel.clone());
    port.client().await.do_action(tonic::Request::new(action)).await.unwrap();
    let error = loop {
        match stream.try_next().await {
            Ok(batch) => assert!(batch.is_some(), "it came to its end"),
            Err(error) => break error.to_string(),
        }
    };
    assert!(error.contains("cancelled"), "{error}");
    let again = Action::new("CancelFlightInfo", cancel);
    assert!(client.do_action(tonic::Request::new(again)).await.is_err(), "cancelled twice");
    is_free(&mut client).await;
    // It takes too long, while nobody reads.
    let info = client.execute(LONG.into(), None).await.unwrap();
    let stalled = client.do_get(info.endpoint[0].ticket.clone().unwrap()).await.unwrap();
    is_free(&mut client).await;
    drop(stalled);
    port.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn prepared_statements_take_rows_of_parameters() {
    let port = Port::start(FlightLimits::default()).await;
    let mut client = port.client().await;
    let query =
        "SELECT value * $1 AS product FROM generate_series(1, 3) AS t(value) WHERE value < $2";
    let mut statement = client.prepare(query.into(), None).await.unwrap();
    assert_eq!(statement.parameter_schema().unwrap().fields().len(), 2);
    let batch = RecordBatch::try_from_iter([
        ("a", Arc::new(Int64Array::from(vec![10, 100])) as Arc<dyn Array>),
        ("b", Arc::new(StringArray::from(vec!["3", "2"]))),
    ])
    .unwrap();
    statement.set_parameters(batch).unwrap();
    let info = statement.execute().await.unwrap();
    let batches = rows(&mut client, &info).await;
    let products: Vec<i64> = batches
        .iter()
        .flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec())
        .collect();
    assert_eq!(products, [10, 20, 100]);
    let wrong = RecordBatch::try_from_iter([(
        "a",
        Arc::new(StringArray::from(vec!["ten"])) as Arc<dyn Array>,
    )])
    .unwrap();
    statement.set_parameters(wrong).unwrap();
    let error = statement.execute().await.unwrap_err().to_string();
    assert!(error.contains("2 parameters, and 1"), "{error}");
    statement.close().await.unwrap();
    port.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_are_told_with_what_to_do() {
    let port = Port::start(FlightLimits::default()).await;
    let mut client = port.client().await;
    for (query, code, said) in [
        ("SELEC 1", "InvalidArgument", "SELEC"),
        ("SELECT lenght('x')", "InvalidArgument", "did you mean"),
        ("SELECT 1 / 0 FROM generate_series(1, 2)", "InvalidArgument", "division by zero"),
        ("", "InvalidArgument", "no statement"),
    ] {
        let error = match client.execute(query.into(), None).await {
            Err(error) => error.to_string(),
            Ok(info) => {
                let ticket = info.endpoint[0].ticket.clone().unwrap();
                match client.do_get(ticket).await {
                    Err(error) => error.to_string(),
                    Ok(stream) => stream.try_collect::<Vec<_>>().await.unwrap_err().to_string(),
                }
            }
        };
        assert!(error.contains(said), "{query}: {error}");
        let spaced = error.replace(' ', "").to_lowercase();
        assert!(
            spaced.contains(&code.to_lowercase())
                || spaced.contains("invalidargument")
                || spaced.contains("clientspecifiedaninvalidargument"),
            "{query}: {error}"
        );
    }
    let nothing = arrow_flight::Ticket::new(b"garbage".to_vec());
    assert!(client.do_get(nothing).await.is_err());
    port.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn drivers_are_told_what_there_is() {
    let port = Port::start(FlightLimits::default()).await;
    let mut client = port.client().await;
    let info = client.get_catalogs().await.unwrap();
    let catalogs = rows(&mut client, &info).await;
    assert_eq!(catalogs[0].column(0).as_string::<i32>().value(0), "tradewind");
    let info = client.get_db_schemas(CommandGetDbSchemas::default()).await.unwrap();
    assert!(count(&rows(&mut client, &info).await) >= 3);
    let info = client
        .get_tables(CommandGetTables { include_schema: true, ..CommandGetTables::default() })
        .await
        .unwrap();
    rows(&mut client, &info).await;
    let info = client.get_table_types().await.unwrap();
    assert_eq!(count(&rows(&mut client, &info).await), 3);
    let info = client.get_sql_info(vec![SqlInfo::FlightSqlServerName]).await.unwrap();
    assert_eq!(count(&rows(&mut client, &info).await), 1);
    let info = client.get_sql_info(vec![]).await.unwrap();
    assert!(count(&rows(&mut client, &info).await) > 60);
    let info = client.get_xdbc_type_info(CommandGetXdbcTypeInfo { data_type: None }).await.unwrap();
    assert!(count(&rows(&mut client, &info).await) > 8);
    client.handshake("anybody", "anything").await.unwrap();
    port.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_beyond_the_limit_are_closed() {
    let limits = FlightLimits { connections_max: 1, ..FlightLimits::default() };
    let port = Port::start(limits).await;
    let mut first = port.client().await;
    first.get_catalogs().await.unwrap();
    let second = Endpoint::from_shared(port.address.clone()).unwrap().connect().await;
    if let Ok(channel) = second {
        assert!(FlightSqlServiceClient::new(channel).get_catalogs().await.is_err());
    }
    first.get_catalogs().await.unwrap();
    port.stop().await;
}
