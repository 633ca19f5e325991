//! How long an accepted event takes to be seen by SQL: a marker is sent, and from its 200 on SQL is
//! asked for the newest marker until it is that one.
//!
//! Guarantees: what is measured includes the query that saw it, as it would for anybody.
//! Left out: the request itself, which the senders measure.

use crate::http::{Connection, post};
use crate::options::Options;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Between two markers: rests the server from our own questions.
const PAUSE: Duration = Duration::from_millis(20);
/// A marker not seen by then counts as lost, and the run as failed.
const SEEN_WITHIN: Duration = Duration::from_secs(60);
const NEWEST: &str = "{\"sql\":\"SELECT max(message_id) FROM events WHERE store_id = 'probe'\"}";

/// What was measured.
#[derive(Debug, Default)]
pub struct Outcome {
    pub fresh_us: Vec<u64>,
    pub poll_us: Vec<u64>,
}

/// Probes until told to stop.
pub fn run(options: &Options, key: &str, stop: &AtomicBool) -> Outcome {
    let mut outcome = Outcome::default();
    let open = || Connection::open(&options.address).expect("the server takes connections");
    let (mut sender, mut asker) = (open(), open());
    let question = post(&options.address, "/api/sql", NEWEST.as_bytes());
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        let id = format!("probe-{}-{number:09}", options.run);
        let body = format!(
            "{{\"writeKey\":\"{key}\",\"batch\":[{{\"type\":\"track\",\"event\":\"Marker\",\
             \"messageId\":\"{id}\",\"anonymousId\":\"probe-{number}\"}}]}}"
        );
        let answer = sender.send(&post(&options.address, "/v1/batch", body.as_bytes()));
        if !matches!(&answer, Ok(answer) if answer.status == 200) {
            std::thread::sleep(PAUSE);
            continue;
        }
        let accepted = Instant::now();
        loop {
            let asked = Instant::now();
            let answer = asker.send(&question).expect("SQL is answered");
            outcome.poll_us.push(asked.elapsed().as_micros() as u64);
            if answer.body.windows(id.len()).any(|part| part == id.as_bytes()) {
                break;
            }
            if accepted.elapsed() > SEEN_WITHIN {
                let said = String::from_utf8_lossy(&answer.body).into_owned();
                eprintln!("loadgen: marker {id} not seen: {} {said}", answer.status);
                std::process::exit(1);
            }
        }
        outcome.fresh_us.push(accepted.elapsed().as_micros() as u64);
        std::thread::sleep(PAUSE);
    }
    outcome
}
