//! Load for the tracking API: prepared batches over kept-alive sockets, at a rate or flat out, and
//! how long an accepted event takes to show up in SQL.
//!
//! Guarantees: every event has an id of its own; an event counts only once its request was answered
//! with 200 and every event of it was taken; latencies are measured from one clock.
//! Left out: realism. `tradewind demo` is a shop, this is a hammer.

mod http;
mod ingest;
mod options;
mod probe;

use options::Options;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

fn main() {
    let options = match Options::from_arguments(std::env::args().skip(1)) {
        Ok(options) => Arc::new(options),
        Err(reason) => {
            eprintln!("loadgen: {reason}\n{}", options::USAGE);
            std::process::exit(2);
        }
    };
    let stop = Arc::new(AtomicBool::new(false));
    let started = Instant::now();
    let prober = options.probe_key.clone().map(|key| {
        let (options, stop) = (options.clone(), stop.clone());
        std::thread::spawn(move || probe::run(&options, &key, &stop))
    });
    let senders: Vec<_> = (0..options.connections)
        .map(|number| {
            let options = options.clone();
            std::thread::spawn(move || ingest::run(&options, number, started))
        })
        .collect();
    let mut sum = ingest::Outcome::default();
    for sender in senders {
        sum.add(sender.join().expect("a sender panics only on a bug"));
    }
    let seconds = started.elapsed().as_secs_f64();
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let fresh = prober.map(|prober| prober.join().expect("the prober panics only on a bug"));
    print_result(&sum, seconds, fresh);
    if sum.failures > 0 {
        std::process::exit(1);
    }
}

fn print_result(sum: &ingest::Outcome, seconds: f64, fresh: Option<probe::Outcome>) {
    let mut line = format!(
        "{{\"events\":{},\"seconds\":{seconds:.3},\"events_per_second\":{:.0},\"requests\":{},\
         \"busy_answers\":{},\"failures\":{},\"request_p50_ms\":{:.2},\"request_p99_ms\":{:.2}",
        sum.events,
        sum.events as f64 / seconds,
        sum.request_us.len(),
        sum.busy,
        sum.failures,
        percentile_ms(&sum.request_us, 50),
        percentile_ms(&sum.request_us, 99),
    );
    if let Some(fresh) = fresh {
        line.push_str(&format!(
            ",\"markers\":{},\"fresh_p50_ms\":{:.2},\"fresh_p99_ms\":{:.2},\"fresh_max_ms\":{:.2},\
             \"polls\":{},\"poll_p50_ms\":{:.2}",
            fresh.fresh_us.len(),
            percentile_ms(&fresh.fresh_us, 50),
            percentile_ms(&fresh.fresh_us, 99),
            percentile_ms(&fresh.fresh_us, 100),
            fresh.poll_us.len(),
            percentile_ms(&fresh.poll_us, 50),
        ));
    }
    println!("{line}}}");
}

/// The nearest-rank percentile in milliseconds; 0 without samples.
fn percentile_ms(samples_us: &[u64], percent: usize) -> f64 {
    let mut sorted = samples_us.to_vec();
    sorted.sort_unstable();
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).map_or(0.0, |us| *us as f64 / 1_000.0)
}
