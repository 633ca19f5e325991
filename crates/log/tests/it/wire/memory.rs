//! What hostile and idle peers cost in memory, measured as the process's resident size.
//!
//! Each case runs in a process of its own, or it would measure its neighbours.

use super::harness::*;
use super::hostile::{assert_well, header, send_body};
use bytes::Bytes;
use kafka_protocol::messages::ApiVersionsRequest;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tradewind_log::wire::{WireLimits, raise_open_files, versions};
use tradewind_types::Log;

const CASES: [&str; 6] = [
    "ten_thousand_idle_connections",
    "counts_that_lie_are_refused_in_every_version_of_every_api",
    "frames_that_never_end_hold_what_they_sent_until_they_time_out",
    "a_flood_of_large_half_frames_stays_within_the_budget",
    "readers_that_do_not_read_hold_bounded_memory_and_are_cut",
    "a_compressed_bomb_is_refused_or_read_within_bounds",
];

#[test]
fn memory_stays_bounded() {
    for case in CASES {
        let name = format!("{}::{case}", module_path!().split_once("::").unwrap().1);
        let output = Command::new(std::env::current_exe().unwrap())
            .args([&name, "--exact", "--ignored", "--nocapture", "--test-threads=1"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let complained = String::from_utf8_lossy(&output.stderr);
        println!("{said}");
        assert!(output.status.success(), "{case}\n{said}\n{complained}");
        assert!(said.contains("1 passed"), "{case} did not run\n{said}");
    }
}

/// Resident memory of this process, bytes.
pub(super) fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    let kilobytes: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kilobytes * 1024
}

const IDLE: usize = 10_000;
/// What one silent connection may cost the port, bytes: its task and its counters.
const CONNECTION_BYTES_MAX: usize = 8 * 1024;

/// Both ends of every connection are in one process and would need twenty thousand descriptors
/// in it; the far ends are held by a child. It asks for the versions on every hundredth, and
/// waits, so that the queue of the listening socket never overflows.
fn crowd(port: u16) -> Option<std::process::Child> {
    let script = format!(
        "import resource,socket,sys\n\
         hard=resource.getrlimit(resource.RLIMIT_NOFILE)[1]\n\
         resource.setrlimit(resource.RLIMIT_NOFILE,(hard,hard))\n\
         held=[]\n\
         for number in range({IDLE}):\n\
         \x20   held.append(socket.create_connection(('127.0.0.1',{port})))\n\
         \x20   if number%100==99:\n\
         \x20       held[-1].sendall(bytes([0,0,0,10,0,18,0,0,0,0,0,1,255,255]))\n\
         \x20       held[-1].recv(1000)\n\
         print('connected',flush=True)\n\
         sys.stdin.read()\n"
    );
    Command::new("python3")
        .args(["-c", &script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .ok()
}

#[tokio::test]
#[ignore = "run in a process of its own by memory_stays_bounded"]
async fn ten_thousand_idle_connections() {
    let files = raise_open_files();
    assert!(files > IDLE + 1_000, "the limit on open files is {files}; raise it to run this test");
    let port = Port::start(WireLimits::default()).await;
    let mut first = port.client().await;
    first.call(0, &ApiVersionsRequest::default()).await;
    let before = resident_bytes();
    let mut crowd = crowd(port.address.port()).expect("python3 is needed for the far ends");
    let stdout = crowd.stdout.take().unwrap();
    let told = tokio::task::spawn_blocking(move || {
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).unwrap();
        line
    });
    assert_eq!(told.await.unwrap(), "connected\n");
    // Once a newcomer is answered, everyone before it has been taken in.
    let mut newcomer = port.client().await;
    newcomer.call(0, &ApiVersionsRequest::default()).await;
    let grown = resident_bytes().saturating_sub(before);
    println!("{IDLE} idle connections: {grown} bytes, {} each", grown / IDLE);
    assert!(grown < IDLE * CONNECTION_BYTES_MAX, "{grown} bytes");
    assert_eq!(first.call(0, &ApiVersionsRequest::default()).await.error_code, 0);
    drop(crowd.stdin.take());
    crowd.wait().unwrap();
    // Their places come back.
    assert!(TcpStream::connect(port.address).await.is_ok());
    port.stop().await;
}

#[tokio::test]
#[ignore = "run in a process of its own by memory_stays_bounded"]
async fn counts_that_lie_are_refused_in_every_version_of_every_api() {
    let port = Port::with_topic(1).await;
    let before = resident_bytes();
    for (api, key, min, max) in versions() {
        for version in min..=max {
            // Wherever the first count of the body stands, it reads two billion or four.
            for filler in [0x7f, 0xff] {
                let mut body = header(key, version);
                if version > 0 {
                    body.push(0);
                }
                body.extend_from_slice(&[filler; 64]);
                let mut client = send_body(&port, &body).await;
                let answer = client.receive_frame().await;
                // Minus one is null, and some APIs count nothing.
                let counts_nothing = matches!(api, "ApiVersions" | "InitProducerId")
                    || (api == "ListGroups" && version < 4);
                let tolerated = filler == 0xff || counts_nothing;
                assert!(answer.is_none() || tolerated, "{api} version {version}");
            }
        }
    }
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes for requests of 80");
    assert_well(&port).await;
    port.stop().await;
}

#[tokio::test]
#[ignore = "run in a process of its own by memory_stays_bounded"]
async fn frames_that_never_end_hold_what_they_sent_until_they_time_out() {
    let limits = WireLimits {
        requests_in_flight_bytes_max: 8 << 20,
        stall_timeout: Duration::from_secs(3),
        // So that the length adds nothing to the patience.
        produce_bytes_max: 60 << 10,
        ..WireLimits::default()
    };
    let port = Port::start(limits).await;
    let before = resident_bytes();
    let mut stalled = Vec::new();
    for _ in 0..500 {
        let mut client = port.client().await;
        client.stream.write_all(&(60_i32 << 10).to_be_bytes()).await.unwrap();
        client.stream.write_all(&header(0, 9)).await.unwrap();
        client.stream.write_all(&[0; 100]).await.unwrap();
        stalled.push(client);
    }
    assert_well(&port).await;
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 60 << 20, "{grown} bytes for 500 frames that claim 30 MB");
    for mut client in stalled {
        client.expect_closed().await;
    }
    assert_well(&port).await;
    port.stop().await;
}

#[tokio::test]
#[ignore = "run in a process of its own by memory_stays_bounded"]
async fn a_flood_of_large_half_frames_stays_within_the_budget() {
    let limits = WireLimits {
        requests_in_flight_bytes_max: 16 << 20,
        produce_bytes_max: 8 << 20,
        stall_timeout: Duration::from_secs(2),
        ..WireLimits::default()
    };
    let port = Port::start(limits).await;
    port.topic("t", 1).await;
    let before = resident_bytes();
    let chunk: Arc<[u8]> = vec![1; 7 << 20].into();
    let flood = (0..40).map(|_| {
        let (address, chunk) = (port.address, Arc::clone(&chunk));
        tokio::spawn(async move {
            let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
            let mut start = (8_i32 << 20).to_be_bytes().to_vec();
            start.extend(header(0, 9));
            let _ = stream.write_all(&start).await;
            // All but the last megabyte; the port reads only as much as it has room for.
            let written = stream.write_all(&chunk);
            let _ = tokio::time::timeout(Duration::from_secs(5), written).await;
        })
    });
    let flood: Vec<_> = flood.collect();
    let mut peak = 0;
    while !flood.iter().all(|peer| peer.is_finished()) {
        peak = peak.max(resident_bytes());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // The budget, one overdraft, what growing a buffer copies, and the chunk all senders share.
    let grown = peak.saturating_sub(before);
    assert!(grown < 60 << 20, "{grown} bytes for 280 MB of half frames");
    let topic = ("t", port.topic_id("t"));
    let answer = port.client().await.produce(9, -1, topic, 0, one(b"still served")).await;
    assert_eq!(answer.error_code, 0);
    port.stop().await;
}

#[tokio::test]
#[ignore = "run in a process of its own by memory_stays_bounded"]
async fn readers_that_do_not_read_hold_bounded_memory_and_are_cut() {
    let limits = WireLimits {
        answers_in_flight_bytes_max: 16 << 20,
        fetch_bytes_max: 4 << 20,
        stall_timeout: Duration::from_secs(1),
        ..WireLimits::default()
    };
    let port = Port::start(limits).await;
    port.topic("t", 1).await;
    let topic = ("t", port.topic_id("t"));
    let mut writer = port.client().await;
    for _ in 0..8 {
        writer.produce(9, -1, topic, 0, one(&vec![7; 1 << 20])).await;
    }
    let before = resident_bytes();
    let want = Want { max_bytes: 8 << 20, partition_max_bytes: 8 << 20, ..Want::default() };
    let mut slow = Vec::new();
    for _ in 0..60 {
        let mut client = port.client().await;
        for _ in 0..20 {
            client.send(12, &fetch_request(12, topic, &[(0, 0)], want)).await;
        }
        slow.push(client);
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 120 << 20, "{grown} bytes for 1,200 answers of 4 MB nobody reads");
    // A reader that does read is served, in its turn.
    let response = writer.call(12, &fetch_request(12, topic, &[(0, 0)], want)).await;
    assert!(!fetched(&response).is_empty());
    let mut cut = 0;
    for mut client in slow {
        let _ = client.stream.shutdown().await;
        let mut sink = Vec::new();
        let drained = client.stream.read_to_end(&mut sink);
        let ended = tokio::time::timeout(PATIENCE, drained).await.expect("an end in time");
        cut += usize::from(ended.is_err() || sink.len() < 20 * (4 << 20));
    }
    assert!(cut > 0, "those who held answers were cut");
    assert_well(&port).await;
    port.stop().await;
}

#[tokio::test]
#[ignore = "run in a process of its own by memory_stays_bounded"]
async fn a_compressed_bomb_is_refused_or_read_within_bounds() {
    let port = Port::with_topic(1).await;
    let topic = ("t", port.topic_id("t"));
    let mut client = port.client().await;
    let before = resident_bytes();
    let bomb = bomb();
    assert!(bomb.len() < 2 << 20, "a small frame");
    let answer = client.produce(9, -1, topic, 0, bomb.clone()).await;
    if answer.error_code == 0 {
        let response = client.call(12, &fetch_request(12, topic, &[(0, 0)], Want::default())).await;
        let partition = &response.responses[0].partitions[0];
        assert_eq!(partition.records.as_ref().unwrap().len(), bomb.len(), "as it was sent");
        assert!(port.store.read("t", 0, 0, 1 << 20).await.is_err(), "and not inflated for us");
    }
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 160 << 20, "{grown} bytes for a bomb that makes 256 MB");
    assert_well(&port).await;
    port.stop().await;
}

/// A batch whose gzip makes a quarter of a gigabyte.
fn bomb() -> Bytes {
    use std::io::Write;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    let zeros = vec![0; 1 << 20];
    for _ in 0..256 {
        gzip.write_all(&zeros).unwrap();
    }
    let compressed = gzip.finish().unwrap();
    let mut batch = one(b"").slice(..61).to_vec();
    batch.extend_from_slice(&compressed);
    let length = (batch.len() - 12) as i32;
    batch[8..12].copy_from_slice(&length.to_be_bytes());
    batch[22] = 1;
    let crc = crc32c::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    batch.into()
}
