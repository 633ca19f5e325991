//! Clients that mean no good.

use super::{Port, Wire};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tradewind_serve::PostgresLimits;

/// What this process holds, in bytes.
fn held() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

fn impatient() -> PostgresLimits {
    PostgresLimits { stall_timeout: Duration::from_millis(300), ..PostgresLimits::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_ends_its_connection_and_no_other() {
    let port = Port::start(impatient()).await;
    let mut other = port.connect().await;
    for bytes in [
        &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..],
        b"\0\0\0\x08\x04\xd2\x16\x30",
        b"\0\0\0\x04",
        b"\0\0\0\0",
        b"\xff\xff\xff\xff",
        b"\0\0\0\x09\0\x03\0\0\0",
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
    ] {
        let mut wire = Wire(TcpStream::connect(port.address).await.unwrap());
        wire.0.write_all(bytes).await.unwrap();
        let _ = wire.0.shutdown().await;
        while wire.said().await.is_some() {}
    }
    for (kind, body) in [
        (b'Q', &b"no end"[..]),
        (b'P', b"\0SELECT 1\0\xff\xff"),
        (b'B', b"\0\0\0\0\0\x01\x7f\xff\xff\xff"),
        (b'B', b"\0\0\xff\xff"),
        (b'E', b"\0"),
        (b'D', b""),
        (b'z', b"what"),
        (b'p', b"password\0"),
    ] {
        let mut wire = port.connect().await;
        wire.send(kind, body).await;
        let said = wire.said().await.unwrap();
        assert_eq!((said.kind, &*said.field(b'S')), ('E', "FATAL"), "{kind}");
        assert!(wire.said().await.is_none(), "{kind}");
    }
    assert_eq!(other.rows("SELECT 1").await, ["1"]);
    port.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lengths_that_lie_cost_no_memory() {
    let port = Port::start(impatient()).await;
    let mut other = port.connect().await;
    other.rows("SELECT 1").await;
    let before = held();
    let mut liars = Vec::new();
    for _ in 0..200 {
        let mut wire = port.connect().await;
        // Within what is allowed, and never sent.
        wire.0.write_all(b"B\x03\xff\xff\xff").await.unwrap();
        liars.push(wire);
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let grown = held().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes for messages that never came");
    let mut too_long = port.connect().await;
    too_long.0.write_all(b"Q\x7f\xff\xff\xff").await.unwrap();
    assert_eq!(too_long.said().await.unwrap().field(b'C'), "08P01");
    for mut wire in liars {
        while wire.said().await.is_some() {}
    }
    assert_eq!(other.rows("SELECT 1").await, ["1"]);
    port.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_no_answer_is_cut() {
    let port = Port::start(impatient()).await;
    let mut lazy = port.connect().await;
    let before = held();
    let long = "SELECT value, repeat('x', 1000) FROM generate_series(1, 10000000)";
    lazy.send(b'Q', format!("{long}\0").as_bytes()).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let grown = held().saturating_sub(before);
    assert!(grown < 256 << 20, "{grown} bytes for an answer nobody takes");
    while lazy.said().await.is_some_and(|said| said.kind != 'C') {}
    // Its query's place is free again: there are four.
    let mut other = port.connect().await;
    for _ in 0..4 {
        assert_eq!(other.rows("SELECT 1").await, ["1"]);
    }
    port.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_room_for_so_many() {
    let limits = PostgresLimits { connections_max: 2, ..PostgresLimits::default() };
    let port = Port::start(limits).await;
    let (one, _two) = (port.connect().await, port.connect().await);
    let mut third = Wire(TcpStream::connect(port.address).await.unwrap());
    third.startup(&[("user", "ann")]).await;
    assert_eq!(third.said().await.unwrap().field(b'C'), "53300");
    drop(one);
    let mut tries = 0;
    loop {
        let mut wire = Wire(TcpStream::connect(port.address).await.unwrap());
        wire.startup(&[("user", "ann")]).await;
        if wire.said().await.unwrap().kind == 'R' {
            break;
        }
        tries += 1;
        assert!(tries < 1_000, "the place is not given back");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    port.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_says_goodbye_to_who_is_idle() {
    let port = Port::start(PostgresLimits::default()).await;
    let mut wire = port.connect().await;
    port.stop().await;
    assert_eq!(wire.said().await.unwrap().field(b'C'), "57P01");
    assert!(wire.said().await.is_none());
}
