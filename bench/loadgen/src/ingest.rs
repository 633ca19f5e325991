//! One sender: the same prepared request over and over, with fresh ids written into it.

use crate::http::{Connection, post};
use crate::options::Options;
use std::time::{Duration, Instant};

/// Digits of the number in a message id, zeros in front.
const ID_DIGITS: usize = 12;
/// Where the number goes in the prepared text.
const ID_PLACE: &[u8] = b"############";
/// Different visitors: enough to spread over any number of partitions.
const VISITORS: u64 = 10_000;
/// The pause after an answer that asked for one.
const BUSY_PAUSE: Duration = Duration::from_millis(20);
/// Failures after which a sender gives up: the server is gone.
const FAILURES_MAX: u64 = 10;

/// What one or all senders came to.
#[derive(Debug, Default)]
pub struct Outcome {
    pub events: u64,
    pub busy: u64,
    pub failures: u64,
    pub request_us: Vec<u64>,
}

impl Outcome {
    pub fn add(&mut self, other: Outcome) {
        self.events += other.events;
        self.busy += other.busy;
        self.failures += other.failures;
        self.request_us.extend(other.request_us);
    }
}

/// Sends until the time is up.
pub fn run(options: &Options, number: u64, started: Instant) -> Outcome {
    let mut outcome = Outcome::default();
    let mut template = Template::new(options, number);
    let mut connection = None;
    let interval = options
        .rate
        .map(|rate| Duration::from_secs_f64((options.batch * options.connections) as f64 / rate));
    let end = started + Duration::from_secs_f64(options.seconds);
    // Paced senders start one after the other, so that requests are spread evenly.
    let mut due = match interval {
        Some(interval) => started + interval.mul_f64(number as f64 / options.connections as f64),
        None => started,
    };
    template.next_ids();
    while Instant::now() < end && outcome.failures < FAILURES_MAX {
        if let Some(interval) = interval {
            std::thread::sleep(due.min(end).saturating_duration_since(Instant::now()));
            if due >= end {
                break;
            }
            due += interval;
        }
        match send(&mut connection, options, &template.request) {
            Ok((200, us, taken)) if taken => {
                outcome.events += options.batch;
                outcome.request_us.push(us);
                template.next_ids();
            }
            // The same ids again: a retry is what a client would send.
            Ok((429 | 503, _, _)) => {
                outcome.busy += 1;
                std::thread::sleep(BUSY_PAUSE);
            }
            Ok((status, _, _)) => {
                eprintln!("loadgen: answered {status}, or did not take every event");
                outcome.failures += 1;
                template.next_ids();
            }
            Err(error) => {
                eprintln!("loadgen: {error}");
                outcome.failures += 1;
                connection = None;
            }
        }
    }
    outcome
}

fn send(
    connection: &mut Option<Connection>,
    options: &Options,
    request: &[u8],
) -> std::io::Result<(u16, u64, bool)> {
    let open = match connection {
        Some(open) => open,
        None => connection.insert(Connection::open(&options.address)?),
    };
    let at = Instant::now();
    let answer = open.send(request)?;
    let us = at.elapsed().as_micros() as u64;
    let expected = format!("\"accepted\":{},", options.batch);
    let taken = answer.body.windows(expected.len()).any(|part| part == expected.as_bytes());
    Ok((answer.status, us, taken))
}

/// A request with places for numbers.
struct Template {
    request: Vec<u8>,
    places: Vec<usize>,
    next: u64,
    stride: u64,
}

impl Template {
    fn new(options: &Options, number: u64) -> Self {
        let mut body = format!("{{\"writeKey\":\"{}\",\"batch\":[", options.key);
        for event in 0..options.batch {
            let visitor = (number * options.batch + event) * 7_919 % VISITORS;
            if event > 0 {
                body.push(',');
            }
            body.push_str(&event_text(&options.run, visitor));
        }
        body.push_str("]}");
        let request = post(&options.address, "/v1/batch", body.as_bytes());
        let places = (0..request.len() - ID_PLACE.len())
            .filter(|at| &request[*at..*at + ID_PLACE.len()] == ID_PLACE)
            .collect();
        Self { request, places, next: number, stride: options.connections }
    }

    fn next_ids(&mut self) {
        let count = self.places.len() as u64;
        for (event, place) in self.places.iter().enumerate() {
            let digits = format!("{:0width$}", self.next * count + event as u64, width = ID_DIGITS);
            self.request[*place..*place + ID_DIGITS].copy_from_slice(digits.as_bytes());
        }
        self.next += self.stride;
    }
}

/// An event of the size and shape of a shop's: about 400 bytes.
fn event_text(run: &str, visitor: u64) -> String {
    format!(
        "{{\"type\":\"track\",\"event\":\"Product Viewed\",\"messageId\":\"load-{run}-############\",\
         \"anonymousId\":\"visitor-{visitor:05}\",\"properties\":{{\"product_id\":\"1016\",\
         \"sku\":\"KNF-CHF-20\",\"name\":\"Chef's knife, 20 cm\",\"category\":\"Kitchen\",\
         \"brand\":\"Nordlicht\",\"price\":79.50,\"currency\":\"EUR\"}},\"context\":{{\"locale\":\
         \"de-DE\",\"page\":{{\"url\":\"https://shop.example/p/1016\",\"path\":\"/p/1016\"}}}}}}"
    )
}
