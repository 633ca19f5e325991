//! The demo without a terminal: a line a second, and an end that adds up.

use crate::support::tradewind;

#[test]
fn the_demo_runs_ends_by_itself_and_adds_up() {
    let output = tradewind()
        .args(["demo", "--rate", "200", "--duration", "4", "--seed", "7"])
        .args(["--history-days", "1"])
        .args(["--http-listen", "127.0.0.1:0", "--kafka-listen", "127.0.0.1:0"])
        .args(["--postgres-listen", "127.0.0.1:0"])
        .args(["--set", "server.flight_listen=127.0.0.1:0"])
        .args(["--set", "log.disk_reserve_bytes=16 MiB"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{stderr}");
    assert!(text.lines().filter(|line| line.starts_with("events ")).count() >= 1, "{text}");
    let last = text.lines().last().unwrap();
    let numbers: Vec<u64> = last
        .split(|character: char| !character.is_ascii_digit())
        .filter_map(|digits| digits.parse().ok())
        .collect();
    let [sent, orders_sent, seen, orders_seen] = numbers[..] else { panic!("{last}") };
    assert!(sent > 0, "{last}");
    assert_eq!((seen, orders_seen), (sent, orders_sent), "{last}");
}
