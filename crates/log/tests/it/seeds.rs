//! Random histories, each from a seed that is printed when one goes wrong. The model of the log's
//! contract (`src/simulation`) has this, too.
//!
//! `TRADEWIND_SEED=n` runs one seed, `TRADEWIND_RUNS=n` so many, `TRADEWIND_FIRST=n` from there on.

use std::env::var;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use tokio::runtime::Runtime;

/// Runs the seeds that the environment says, or `runs` of them, and adds up what happened in them.
/// Answers how many those were; `None` for a single one, of which nothing more can be expected.
pub(crate) fn each<T>(
    runs: u64,
    run: impl Fn(u64) -> Result<T, String>,
    mut add: impl FnMut(T),
) -> Option<u64> {
    let number = |name: &str| var(name).ok().map(|number| number.parse::<u64>().unwrap());
    if let Some(seed) = number("TRADEWIND_SEED") {
        run(seed).unwrap();
        return None;
    }
    let runs = number("TRADEWIND_RUNS").unwrap_or(runs);
    let first = number("TRADEWIND_FIRST").unwrap_or(0);
    for seed in first..first + runs {
        match run(seed) {
            Ok(tally) => add(tally),
            Err(broken) => panic!("TRADEWIND_SEED={seed}: {broken}"),
        }
    }
    Some(runs)
}

/// The first `count` of `runs` seeds that notice what was broken on purpose, and what they say.
pub(crate) fn noticed<T>(
    runs: u64,
    count: usize,
    run: impl Fn(u64) -> Result<T, String>,
) -> Vec<(u64, String)> {
    (0..runs).filter_map(|seed| run(seed).err().map(|broken| (seed, broken))).take(count).collect()
}

/// What a history comes to. What is broken may also panic on its way; that is noticing, too.
pub(crate) fn caught<T>(
    runtime: &Runtime,
    history: impl Future<Output = Result<T, String>>,
) -> Result<T, String> {
    let result = catch_unwind(AssertUnwindSafe(|| runtime.block_on(history)));
    result.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(text.unwrap_or_else(|| "it panicked".into()))
    })
}
