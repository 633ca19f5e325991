//! Quotas: how much a client may produce, fetch and ask in a second.
//!
//! Guarantees: a client, by its client id, that goes beyond a quota is told so in the answer
//! (`throttle_time_ms`) and its connection is not read from until that time is over, which brings
//! its mean down to the quota; nothing is refused. What is kept of clients is bounded by
//! [`CLIENTS_MAX`]. Left out: quotas by user, as there are none; quotas of single clients: all have
//! the same.

use super::request::Reply;
use super::{QuotaLimits, apis};
use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::Instant;

/// Clients that are known at once; at some hundred bytes each. When there are more, those that owe
/// nothing are forgotten, and if all owe something, the new ones share one quota.
const CLIENTS_MAX: usize = 10_000;
/// What is kept of a client id: strangers choose it.
const CLIENT_ID_BYTES_MAX: usize = 128;
/// A client that was silent may use this much of its quota at once, as in Kafka, whose mean is over
/// ten seconds.
const BURST: Duration = Duration::from_secs(10);
/// A connection is muted no longer than this at a time; the rest is still owed after it.
const THROTTLE_MAX: Duration = Duration::from_secs(30);

/// The quotas of one port, and what its clients have used of them.
#[derive(Debug)]
pub(crate) struct Quotas {
    limits: QuotaLimits,
    clients: Mutex<HashMap<Bytes, Client>>,
}

#[derive(Debug, Default)]
struct Client {
    produced: Account,
    fetched: Account,
    requests: Account,
}

/// When what was used so far would be used up at the quota's pace.
#[derive(Debug, Default)]
struct Account {
    paid_until: Option<Instant>,
}

impl Account {
    /// Uses `amount` of `per_second`; how long the client has to wait for it.
    fn charge(&mut self, amount: u64, per_second: Option<u64>, now: Instant) -> Duration {
        let Some(per_second) = per_second else { return Duration::ZERO };
        let taken = Duration::from_secs_f64(amount as f64 / per_second.max(1) as f64);
        let from = self.paid_until.map_or(now, |until| until.max(now));
        let until = from + taken;
        self.paid_until = Some(until);
        (until - now).saturating_sub(BURST)
    }

    fn owes(&self, now: Instant) -> bool {
        self.paid_until.is_some_and(|until| until > now)
    }
}

impl Client {
    fn owes(&self, now: Instant) -> bool {
        [&self.produced, &self.fetched, &self.requests].iter().any(|account| account.owes(now))
    }
}

impl Quotas {
    pub(crate) fn new(limits: QuotaLimits) -> Self {
        Self { limits, clients: Mutex::default() }
    }

    /// Notes a request of `client` to the API `key` that came in `asked` bytes and is answered in
    /// `answered`; how long its connection is to be muted.
    pub(crate) fn note(&self, client: &Bytes, key: i16, asked: usize, answered: usize) -> Duration {
        let limits = &self.limits;
        if *limits == QuotaLimits::default() {
            return Duration::ZERO;
        }
        let now = Instant::now();
        let mut clients = self.clients.lock();
        let client = account_of(&mut clients, client, now);
        let mut wait = client.requests.charge(1, limits.requests_per_second, now);
        if key == apis::PRODUCE_KEY {
            let limit = limits.produce_bytes_per_second;
            wait = wait.max(client.produced.charge(asked as u64, limit, now));
        }
        if key == apis::FETCH_KEY {
            let limit = limits.fetch_bytes_per_second;
            wait = wait.max(client.fetched.charge(answered as u64, limit, now));
        }
        if wait > Duration::ZERO {
            metrics::counter!("tradewind_kafka_throttled_requests_total").increment(1);
        }
        wait.min(THROTTLE_MAX)
    }
}

fn account_of<'a>(
    clients: &'a mut HashMap<Bytes, Client>,
    client: &Bytes,
    now: Instant,
) -> &'a mut Client {
    let mut name = &client[..client.len().min(CLIENT_ID_BYTES_MAX)];
    if clients.len() >= CLIENTS_MAX && !clients.contains_key(name) {
        clients.retain(|_, client| client.owes(now));
        if clients.len() >= CLIENTS_MAX {
            name = &[];
        }
    }
    clients.entry(Bytes::copy_from_slice(name)).or_default()
}

/// APIs whose answers begin with the throttle time, and the first version that has it.
const LEADING: &[(i16, i16)] = &[
    (1, 1),
    (2, 2),
    (3, 3),
    (8, 3),
    (9, 3),
    (10, 1),
    (11, 2),
    (12, 1),
    (13, 1),
    (14, 1),
    (15, 1),
    (16, 1),
    (19, 2),
    (20, 1),
    (21, 0),
    (22, 0),
    (23, 2),
    (24, 0),
    (25, 0),
    (26, 0),
    (28, 0),
    (32, 0),
    (33, 0),
    (34, 1),
    (35, 0),
    (37, 0),
    (42, 0),
    (43, 0),
    (44, 0),
    (45, 0),
    (46, 0),
    (48, 0),
    (49, 0),
    (60, 0),
    (61, 0),
    (65, 0),
    (66, 0),
    (68, 0),
    (69, 0),
    (74, 0),
    (75, 0),
];
/// The first version of Produce whose answers end with it.
const PRODUCE_FROM: i16 = 1;
/// Length and correlation id.
const HEAD_BYTES: usize = 8;

/// Writes `throttle` into an encoded answer that says 0, where its version has a place for it.
pub(crate) fn stamp(reply: &mut Reply, key: i16, version: i16, throttle: Duration) {
    let Some(flexible) = apis::by_key(key).map(|api| version >= api.flexible_from) else { return };
    let at = if key == apis::PRODUCE_KEY {
        // Before the tags, of which there are none. The answer is in one piece.
        let after = 4 + usize::from(flexible);
        (version >= PRODUCE_FROM).then(|| reply.len() - after)
    } else {
        let leads = LEADING.iter().any(|(leading, from)| *leading == key && version >= *from);
        leads.then_some(HEAD_BYTES + usize::from(flexible))
    };
    let (Some(at), Some(first)) = (at, reply.pieces.front_mut()) else { return };
    let millis = i32::try_from(throttle.as_millis()).unwrap_or(i32::MAX);
    let mut bytes = BytesMut::from(std::mem::take(first));
    if let Some(place) = bytes.get_mut(at..at + 4) {
        place.copy_from_slice(&millis.to_be_bytes());
    }
    *first = bytes.freeze();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quotas(bytes: u64) -> Quotas {
        let limits = QuotaLimits { produce_bytes_per_second: Some(bytes), ..Default::default() };
        Quotas::new(limits)
    }

    #[tokio::test(start_paused = true)]
    async fn the_mean_comes_down_to_the_quota() {
        let quotas = quotas(1_000);
        let client = Bytes::from_static(b"loud");
        let began = Instant::now();
        let mut sent = 0;
        while sent < 100_000 {
            let wait = quotas.note(&client, apis::PRODUCE_KEY, 5_000, 10);
            sent += 5_000;
            tokio::time::sleep(wait).await;
        }
        let taken = began.elapsed().as_secs();
        assert!((85..=100).contains(&taken), "100 KB at 1 KB/s, 10 s of it at once: {taken} s");
        // Others are not held up by it.
        assert_eq!(quotas.note(&Bytes::new(), apis::PRODUCE_KEY, 5_000, 10), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn what_strangers_call_themselves_is_bounded() {
        let quotas = quotas(1);
        for number in 0..3 * CLIENTS_MAX {
            let name = Bytes::from(format!("{number:0>9}{}", "x".repeat(1_000)));
            quotas.note(&name, apis::PRODUCE_KEY, 1_000_000, 0);
        }
        assert!(quotas.clients.lock().len() <= CLIENTS_MAX + 1);
        tokio::time::sleep(Duration::from_secs(2_000_000_000)).await;
        quotas.note(&Bytes::from_static(b"one more"), apis::PRODUCE_KEY, 1, 0);
        assert!(quotas.clients.lock().len() <= 2, "who owes nothing is forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn without_quotas_nothing_is_kept() {
        let quotas = Quotas::new(QuotaLimits::default());
        let wait = quotas.note(&Bytes::from_static(b"a"), apis::PRODUCE_KEY, usize::MAX, 0);
        assert_eq!((wait, quotas.clients.lock().len()), (Duration::ZERO, 0));
    }
}
