//! The protocol message by message.

use super::{Port, Wire, kinds};
use bytes::{BufMut, BytesMut};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tradewind_serve::PostgresLimits;

/// `Parse` of the unnamed statement, or a named one.
fn parse(name: &str, sql: &str, types: &[u32]) -> Vec<u8> {
    let mut body = BytesMut::new();
    body.extend_from_slice(format!("{name}\0{sql}\0").as_bytes());
    body.put_u16(types.len() as u16);
    types.iter().for_each(|of| body.put_u32(*of));
    body.to_vec()
}

/// `Bind` of texts.
fn bind(portal: &str, statement: &str, values: &[Option<&str>], formats: &[i16]) -> Vec<u8> {
    let mut body = BytesMut::new();
    body.extend_from_slice(format!("{portal}\0{statement}\0").as_bytes());
    body.put_u16(0);
    body.put_u16(values.len() as u16);
    for value in values {
        match value {
            None => body.put_i32(-1),
            Some(text) => {
                body.put_i32(text.len() as i32);
                body.extend_from_slice(text.as_bytes());
            }
        }
    }
    body.put_u16(formats.len() as u16);
    formats.iter().for_each(|format| body.put_i16(*format));
    body.to_vec()
}

fn execute(portal: &str, rows: u32) -> Vec<u8> {
    let mut body = format!("{portal}\0").into_bytes();
    body.extend(rows.to_be_bytes());
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_begins_with_what_a_client_wants_to_know() {
    let port = Port::start(PostgresLimits::default()).await;
    let mut wire = Wire(TcpStream::connect(port.address).await.unwrap());
    // TLS and GSSAPI encryption are refused, and the client goes on without.
    for code in [80_877_103_u32, 80_877_104] {
        wire.0.write_all(&[0, 0, 0, 8]).await.unwrap();
        wire.0.write_u32(code).await.unwrap();
        assert_eq!(wire.0.read_u8().await.unwrap(), b'N');
    }
    wire.startup(&[
        ("user", "ann"),
        ("application_name", "test"),
        ("options", "-c statement_timeout=90s -c TimeZone=Asia/Kolkata"),
    ])
    .await;
    let said = wire.until_ready().await;
    assert_eq!(kinds(&said), "RKZ");
    let told: Vec<String> =
        said.iter().filter(|said| said.kind == 'S').map(|said| said.text()).collect();
    for setting in [
        "application_name\0test",
        "client_encoding\0UTF8",
        "TimeZone\0Asia/Kolkata",
        "integer_datetimes\0on",
        "standard_conforming_strings\0on",
        "session_authorization\0ann",
    ] {
        assert!(told.iter().any(|told| told == setting), "{setting} of {told:?}");
    }
    assert_eq!(wire.rows("SHOW statement_timeout").await, ["90s"]);
    let said = wire.query("SET application_name = 'other'").await;
    assert!(said.iter().any(|said| said.kind == 'S' && said.text() == "application_name\0other"));
    let mut wire = Wire(TcpStream::connect(port.address).await.unwrap());
    wire.startup(&[("user", "ann"), ("datestyle", "German")]).await;
    assert_eq!(wire.said().await.unwrap().field(b'C'), "22023");
    assert!(wire.said().await.is_none());
    port.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_is_answered_statement_by_statement() {
    let port = Port::start(PostgresLimits::default()).await;
    let mut wire = port.connect().await;
    let said = wire
        .query("SELECT 1 AS a, NULL AS b, 2.50 AS c; SET jit = off;; SELECT 'x' WHERE false")
        .await;
    assert_eq!(kinds(&said), "TDCCTCZ");
    assert_eq!(said[1].row(), [Some(b"1".to_vec()), None, Some(b"2.50".to_vec())]);
    assert_eq!([said[2].text(), said[3].text()], ["SELECT 1", "SET"]);
    assert_eq!(kinds(&wire.query(" -- nothing\n").await), "IZ");
    // What stands before the mistake is done, what stands behind it is not begun.
    let said =
        wire.query("SET application_name = 'a'; SELECT 1/0; SET application_name = 'b'").await;
    assert!(kinds(&said).contains('E'), "{}", kinds(&said));
    assert_eq!(wire.rows("SHOW application_name").await, ["a"]);
    let error = wire.error("SELECT 1 AS \"ü\",\n  nothing FROM (SELECT 1 AS a) AS t").await;
    assert_eq!((&*error.field(b'C'), &*error.field(b'P')), ("42703", "20"));
    assert!(error.field(b'H').contains("there are"), "{}", error.field(b'H'));
    let error = wire.error("SELECT 1; SELCT 2").await;
    assert_eq!((&*error.field(b'C'), &*error.field(b'P')), ("42601", "11"));
    assert!(!error.field(b'M').contains("column 11"), "{}", error.field(b'M'));
    port.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn portals_give_as_many_rows_as_are_asked_for() {
    let port = Port::start(PostgresLimits::default()).await;
    let mut wire = port.connect().await;
    wire.query("BEGIN").await;
    wire.send(
        b'P',
        &parse("s", "SELECT value, $2 FROM generate_series(1, 99) AS t WHERE value <= $1", &[20]),
    )
    .await;
    wire.send(b'D', b"Ss\0").await;
    wire.send(b'B', &bind("p", "s", &[Some("5"), None], &[1, 0])).await;
    wire.send(b'D', b"Pp\0").await;
    for _ in 0..3 {
        wire.send(b'E', &execute("p", 2)).await;
    }
    wire.send(b'S', &[]).await;
    let said = wire.until_ready().await;
    assert_eq!(kinds(&said), "1tT2TDDsDDsDCZ");
    assert_eq!(said[1].body, [0, 2, 0, 0, 0, 20, 0, 0, 0, 25]);
    assert_eq!(said[5].row(), [Some(1_i64.to_be_bytes().to_vec()), None]);
    assert_eq!(said[12].text(), "SELECT 1");
    // The portal lives as long as its transaction.
    wire.query("COMMIT").await;
    wire.send(b'E', &execute("p", 0)).await;
    wire.send(b'S', &[]).await;
    let said = wire.until_ready().await;
    assert_eq!(said[0].field(b'C'), "34000");
    port.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_mistake_the_group_is_passed_by() {
    let port = Port::start(PostgresLimits::default()).await;
    let mut wire = port.connect().await;
    wire.send(b'P', &parse("", "SELECT nothing FROM (SELECT 1 AS a) AS t", &[])).await;
    wire.send(b'B', &bind("", "", &[], &[])).await;
    wire.send(b'E', &execute("", 0)).await;
    wire.send(b'S', &[]).await;
    assert_eq!(kinds(&wire.until_ready().await), "EZ");
    for (sql, values, code) in [
        ("SELECT $1::int", vec![Some("x")], "22P02"),
        ("SELECT $1", vec![], "08P01"),
        ("SELECT 1; SELECT 2", vec![], "42601"),
    ] {
        wire.send(b'P', &parse("", sql, &[])).await;
        wire.send(b'B', &bind("", "", &values, &[])).await;
        wire.send(b'E', &execute("", 0)).await;
        wire.send(b'S', &[]).await;
        let said = wire.until_ready().await;
        let error = said.iter().find(|said| said.kind == 'E').unwrap();
        assert_eq!(error.field(b'C'), code, "{sql}: {}", error.field(b'M'));
    }
    assert_eq!(wire.rows("SELECT 1").await, ["1"]);
    port.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_connection_keeps_has_bounds() {
    let limits = PostgresLimits { statements_max: 2, portals_max: 1, ..PostgresLimits::default() };
    let port = Port::start(limits).await;
    let mut wire = port.connect().await;
    for (name, kind) in [("a", '1'), ("b", '1'), ("a", 'E'), ("c", 'E'), ("", 'E')] {
        wire.send(b'P', &parse(name, "SELECT 1", &[])).await;
        wire.send(b'S', &[]).await;
        assert_eq!(wire.until_ready().await[0].kind, kind, "{name}");
    }
    wire.query("DEALLOCATE a").await;
    wire.query("BEGIN; DECLARE one CURSOR FOR SELECT 1").await;
    assert_eq!(wire.error("DECLARE two CURSOR FOR SELECT 2").await.field(b'C'), "53300");
    wire.query("ROLLBACK").await;
    assert_eq!(wire.error("FETCH 1 FROM one").await.field(b'C'), "34000");
    port.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cursors_go_on_where_they_were() {
    let port = Port::start(PostgresLimits::default()).await;
    let mut wire = port.connect().await;
    assert_eq!(wire.error("DECLARE c CURSOR FOR SELECT 1").await.field(b'C'), "25P01");
    wire.query("BEGIN; DECLARE c NO SCROLL CURSOR FOR SELECT value FROM generate_series(1, 10)")
        .await;
    assert_eq!(wire.rows("FETCH 2 FROM c").await, ["1", "2"]);
    let said = wire.query("MOVE FORWARD 3 IN c").await;
    assert_eq!((kinds(&said), said[0].text()), ("CZ".into(), "MOVE 3".into()));
    assert_eq!(wire.rows("FETCH NEXT FROM c").await, ["6"]);
    assert_eq!(wire.rows("FETCH ALL c").await.len(), 4);
    assert_eq!(wire.rows("FETCH ALL c").await.len(), 0);
    assert_eq!(wire.query("CLOSE c").await[0].text(), "CLOSE CURSOR");
    wire.query("DECLARE kept CURSOR WITH HOLD FOR SELECT 7; COMMIT").await;
    assert_eq!(wire.rows("FETCH kept").await, ["7"]);
    assert_eq!(wire.error("FETCH PRIOR FROM kept").await.field(b'C'), "0A000");
    wire.query("PREPARE p (int, numeric) AS SELECT $1 + 1, $2").await;
    assert_eq!(wire.rows("EXECUTE p (41, 1.50)").await, ["42|1.50"]);
    assert_eq!(wire.error("EXECUTE q").await.field(b'C'), "26000");
    wire.query("DISCARD ALL").await;
    assert_eq!(wire.error("EXECUTE p (1, 2)").await.field(b'C'), "26000");
    port.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_ends_when_somebody_asks_for_it() {
    let port = Port::start(PostgresLimits::default()).await;
    let mut wire = Wire(TcpStream::connect(port.address).await.unwrap());
    wire.startup(&[("user", "ann")]).await;
    let said = wire.until_ready().await;
    let key = said.iter().find(|said| said.kind == 'K').unwrap().body.clone();
    let endless =
        "SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b";
    wire.query("SET statement_timeout = 300").await;
    let began = Instant::now();
    assert_eq!(wire.error(endless).await.field(b'C'), "57014");
    assert!(began.elapsed() >= Duration::from_millis(300));
    wire.query("RESET statement_timeout").await;
    for (key, ends) in [(vec![0, 0, 0, 1, 0, 0, 0, 1], false), (key, true)] {
        if !ends {
            cancel(&port, &key).await;
            assert_eq!(wire.rows("SELECT 1").await, ["1"]);
            continue;
        }
        wire.send(b'Q', format!("{endless}\0").as_bytes()).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        cancel(&port, &key).await;
        let said = wire.until_ready().await;
        let error = said.iter().find(|said| said.kind == 'E').unwrap();
        assert_eq!(error.field(b'C'), "57014");
    }
    assert_eq!(wire.rows("SELECT 1").await, ["1"]);
    // All queries' places are free again: the port has four.
    for _ in 0..8 {
        let mut gone = port.connect().await;
        gone.send(b'Q', format!("{endless}\0").as_bytes()).await;
        drop(gone);
    }
    let end = Instant::now() + Duration::from_secs(60);
    while wire.query("SELECT count(*) FROM generate_series(1, 10)").await[0].kind == 'E' {
        assert!(Instant::now() < end, "queries of clients that are gone run on");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    port.stop().await;
}

async fn cancel(port: &Port, key: &[u8]) {
    let mut stream = TcpStream::connect(port.address).await.unwrap();
    stream.write_all(&[0, 0, 0, 16]).await.unwrap();
    stream.write_u32(80_877_102).await.unwrap();
    stream.write_all(key).await.unwrap();
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_are_in_three_forms() {
    let port = Port::start(PostgresLimits::default()).await;
    let mut wire = port.connect().await;
    let copied = |said: Vec<super::Said>| -> Vec<u8> {
        said.iter().filter(|said| said.kind == 'd').flat_map(|said| said.body.clone()).collect()
    };
    let query = "SELECT 1 AS a, NULL AS b, 'x,\ty' AS c";
    let said = wire.query(&format!("COPY ({query}) TO STDOUT")).await;
    assert_eq!(said.iter().rev().nth(1).unwrap().text(), "COPY 1");
    assert_eq!(copied(said), b"1\t\\N\tx,\\ty\n");
    let said =
        wire.query(&format!("COPY ({query}) TO STDOUT WITH (FORMAT csv, HEADER, NULL '-')")).await;
    assert_eq!(copied(said), b"a,b,c\n1,-,\"x,\ty\"\n");
    let said = wire.query(&format!("COPY ({query}) TO STDOUT (FORMAT binary)")).await;
    let bytes = copied(said);
    assert!(bytes.starts_with(b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0"));
    assert!(bytes.ends_with(b"\0\0\0\x04x,\ty\xff\xff"), "{bytes:?}");
    assert_eq!(wire.error("COPY t FROM '/etc/passwd'").await.field(b'C'), "42601");
    port.stop().await;
}
