//! How the engine works, resolved.

use tradewind_dataflow::ExecutorSettings;

/// What an operator of the server may set. See `[process]` and `[lake]` in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineSettings {
    /// A pipeline commits when this many bytes are due.
    pub commit_bytes: usize,
    /// A pipeline commits when its oldest uncommitted row is this old, in milliseconds.
    pub commit_interval_ms: u64,
    /// Records one tick takes in at most.
    pub tick_rows_max: usize,
    /// A tick takes in no further records after this long, in milliseconds.
    pub tick_budget_ms: u64,
    /// The wait after the first failure, in milliseconds; it doubles with each further one.
    pub retry_backoff_ms_min: u64,
    /// The longest wait between attempts, in milliseconds.
    pub retry_backoff_ms_max: u64,
    /// Attempts before a pipeline stands still with the reason in its status.
    pub retry_attempts_max: u32,
    /// What operators of all pipelines keep in memory; the rest is on disk.
    pub state_memory_bytes: usize,
    /// What the rows of all materialized views may take; one that grows beyond stands still.
    pub view_memory_bytes: usize,
    /// After how long without a write state is forgotten, in milliseconds; 0 for never.
    pub state_ttl_ms: u64,
    /// How operators run, but for that.
    pub executor: ExecutorSettings,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            commit_bytes: 64 << 20,
            commit_interval_ms: 60_000,
            tick_rows_max: 65_536,
            tick_budget_ms: 20,
            retry_backoff_ms_min: 100,
            retry_backoff_ms_max: 30_000,
            retry_attempts_max: 10,
            state_memory_bytes: 1 << 30,
            view_memory_bytes: 2 << 30,
            state_ttl_ms: 0,
            executor: ExecutorSettings::default(),
        }
    }
}

impl EngineSettings {
    /// The wait before attempt `attempt`, counted from 1.
    pub(crate) fn backoff(&self, attempt: u32) -> std::time::Duration {
        let doubled =
            self.retry_backoff_ms_min.saturating_mul(1 << attempt.saturating_sub(1).min(20));
        std::time::Duration::from_millis(doubled.min(self.retry_backoff_ms_max))
    }
}
