//! Clients that stall, flood and send garbage cost their own connection.

use crate::support::Served;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

#[test]
fn stalled_heads_silent_connections_and_garbage_are_closed() {
    let folder = tempfile::tempdir().unwrap();
    let more = [
        "--set",
        "server.http_header_timeout_ms=500",
        "--set",
        "server.http_body_timeout_ms=500",
        "--set",
        "server.http_idle_timeout_ms=1 s",
    ];
    let server = Served::start(&folder.path().join("data"), &more);
    for first in [
        &b""[..],
        b"POST /api/sql HTTP/1.1\r\nHost: x\r\n",
        b"POST /api/sql HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nSELECT",
        b"\x00\x01\x02\x03garbage\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(&server.http).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.write_all(first).unwrap();
        // The server closes every one of them; a reset is as good as an end.
        let mut answer = Vec::new();
        if let Err(error) = stream.read_to_end(&mut answer) {
            assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "{first:?} was kept open");
        }
    }
    assert_eq!(server.rows("SELECT 1").unwrap(), [["1"]]);
}

#[test]
fn a_head_without_end_and_a_body_too_large_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let server = Served::start(&folder.path().join("data"), &[]);
    let mut stream = TcpStream::connect(&server.http).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut head = b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: ".to_vec();
    head.extend(std::iter::repeat_n(b'a', 1 << 20));
    // The server may close before all of it is written.
    let _ = stream.write_all(&head);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 431"), "{answer:?}");
    let large = format!("SELECT '{}'", "x".repeat(2 << 20));
    let refused = crate::support::agent().post(format!("{}/api/sql", server.url())).send(&large);
    if let Ok(response) = refused {
        assert_eq!(response.status(), 413);
    }
    assert_eq!(server.rows("SELECT 1").unwrap(), [["1"]]);
}

#[test]
fn more_connections_than_allowed_are_closed_and_the_others_served() {
    let folder = tempfile::tempdir().unwrap();
    let server =
        Served::start(&folder.path().join("data"), &["--set", "server.http_connections_max=20"]);
    let held: Vec<TcpStream> = (0..19).map(|_| TcpStream::connect(&server.http).unwrap()).collect();
    server.wait_for("SELECT 1", &["1"]);
    let more: Vec<TcpStream> =
        (0..40).filter_map(|_| TcpStream::connect(&server.http).ok()).collect();
    drop((held, more));
    server.wait_for("SELECT 1", &["1"]);
}
