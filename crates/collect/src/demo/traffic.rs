//! Sends a simulated shop's requests when they are due.
//!
//! Guarantees: what should be accepted is retried until it is; what should be refused is sent once
//! and its answer is checked. A server that falls behind is not flooded: requests wait their turn.
//! Left out: threads. The caller decides where this runs and when it ends.

use super::{DemoRequest, Facts, History, Shop};
use crate::client::{Client, ClientError, ClientSettings, Done, Pool};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tradewind_types::TimestampMicros;

/// The longest wait between two looks at the clock and the stop flag.
const WAIT_MAX: Duration = Duration::from_millis(50);

/// What has come of the traffic so far.
#[derive(Debug, Clone, Default)]
pub struct TrafficTotals {
    /// What the accepted requests add up to.
    pub facts: Facts,
    /// Requests the server accepted.
    pub requests: u64,
    /// Events the server said it had already, retries of ours included.
    pub duplicates_seen: u64,
    /// Events the server turned down in requests it otherwise took.
    pub events_turned_down: u64,
    /// Requests that were to be refused and were.
    pub refused: u64,
    /// Requests that were to be refused and were not, or the other way round: the server's bug.
    pub surprises: u64,
    /// How far the requests that were sent reach.
    pub reached_us: TimestampMicros,
    /// What the server or the network makes us wait for, if anything.
    pub trouble: Option<String>,
}

/// A shop's requests and its connections to a server.
pub struct Traffic {
    requests: Box<dyn Iterator<Item = DemoRequest> + Send>,
    start_us: TimestampMicros,
    pool: Pool<Facts>,
    broken: Client,
    started: Instant,
    totals: TrafficTotals,
}

impl Traffic {
    /// Prepares to send; the shop opens now.
    pub fn new(shop: Shop, client: &ClientSettings) -> Result<Self, ClientError> {
        let start_us = shop.settings().start_us;
        Self::of(Box::new(shop), start_us, client)
    }

    /// Prepares to send what was before the shop opened, as fast as the server takes it.
    pub fn before(
        history: History,
        start_us: TimestampMicros,
        client: &ClientSettings,
    ) -> Result<Self, ClientError> {
        Self::of(Box::new(history), start_us, client)
    }

    fn of(
        requests: Box<dyn Iterator<Item = DemoRequest> + Send>,
        start_us: TimestampMicros,
        client: &ClientSettings,
    ) -> Result<Self, ClientError> {
        Ok(Self {
            requests,
            start_us,
            pool: Pool::start(client)?,
            broken: Client::new(client, Arc::new(AtomicBool::new(false)))?,
            started: Instant::now(),
            totals: TrafficTotals::default(),
        })
    }

    /// Sends until `stop` is set or `requests_max` requests are through (`None`: no end), telling
    /// `progress` after each request, and waits for the answers.
    pub fn run(
        mut self,
        requests_max: Option<u64>,
        stop: &AtomicBool,
        progress: &mut dyn FnMut(&TrafficTotals),
    ) -> Result<TrafficTotals, ClientError> {
        let mut sent = 0;
        while requests_max.is_none_or(|most| sent < most) {
            let Some(request) = self.requests.next() else { break };
            let at_us = request.at_us;
            if !self.wait_until(request.due_us, stop)? {
                break;
            }
            self.send(request, stop)?;
            sent += 1;
            self.totals.reached_us = at_us;
            progress(&self.totals);
        }
        while self.pool.in_flight() > 0 {
            if stop.load(Ordering::Relaxed) {
                self.pool.stop();
            }
            self.take_answers(WAIT_MAX)?;
        }
        progress(&self.totals);
        Ok(self.totals)
    }

    /// False when told to stop.
    fn wait_until(&mut self, due_us: i64, stop: &AtomicBool) -> Result<bool, ClientError> {
        let since_start = (due_us - self.start_us).max(0);
        let due = self.started + Duration::from_micros(since_start as u64);
        while let Some(left) = due.checked_duration_since(Instant::now()) {
            if stop.load(Ordering::Relaxed) {
                return Ok(false);
            }
            std::thread::sleep(left.min(WAIT_MAX));
            self.take_answers(Duration::ZERO)?;
        }
        Ok(!stop.load(Ordering::Relaxed))
    }

    fn send(&mut self, request: DemoRequest, stop: &AtomicBool) -> Result<(), ClientError> {
        if request.refused {
            self.send_refused(&request);
            return Ok(());
        }
        let mut job = (request.body, request.facts);
        while let Err(back) = self.pool.submit(job.0, job.1) {
            job = back;
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            self.take_answers(WAIT_MAX)?;
        }
        self.take_answers(Duration::ZERO)
    }

    fn send_refused(&mut self, request: &DemoRequest) {
        match self.broken.send_once(&request.body) {
            Ok(400 | 413) => {
                self.totals.refused += 1;
                self.totals.facts.add(&request.facts);
            }
            // Busy or going away: nothing was promised for a broken request.
            Ok(408 | 429 | 503) | Err(_) => {}
            Ok(_) => self.totals.surprises += 1,
        }
    }

    fn take_answers(&mut self, wait: Duration) -> Result<(), ClientError> {
        let mut wait = wait;
        while let Some(Done { tag, outcome }) = self.pool.done(wait) {
            wait = Duration::ZERO;
            match outcome {
                Ok(answer) => {
                    let turned_down: u64 =
                        answer.rejected.iter().map(|rejection| rejection.count as u64).sum();
                    self.totals.requests += 1;
                    self.totals.duplicates_seen += answer.duplicates;
                    self.totals.events_turned_down += turned_down;
                    self.totals.surprises += u64::from(turned_down != tag.broken);
                    self.totals.facts.add(&tag);
                }
                Err(ClientError::Stopped) => {}
                Err(error) => return Err(error),
            }
        }
        self.totals.trouble = self.pool.trouble();
        Ok(())
    }
}
