//! The commands, one file each, and what they share.

pub mod demo;
pub mod doctor;
mod follow;
pub mod group;
pub mod pipeline;
mod prompt;
mod remote;
pub mod replay;
pub mod run;
pub mod serve;
pub mod sql;
pub mod topic;

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::runtime::{Builder, Runtime};
use tracing_subscriber::EnvFilter;

/// Memory that is counted on where the system does not say how much there is.
const MEMORY_BYTES: usize = 4 << 30;

/// What is logged when `TRADEWIND_LOG` does not say.
fn start_logging(default: &str) {
    let filter = EnvFilter::try_from_env("TRADEWIND_LOG")
        .unwrap_or_else(|_| EnvFilter::new(format!("warn,tradewind={default}")));
    // A second command in one process keeps the first one's.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).try_init();
}

fn runtime() -> anyhow::Result<Runtime> {
    Ok(Builder::new_multi_thread().enable_all().build()?)
}

/// Done at the first interrupt or termination signal.
fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// A flag that the first interrupt or termination signal sets.
fn stop_flag(runtime: &Runtime) -> io::Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    let set = Arc::clone(&flag);
    let signal = runtime.block_on(async { stop_signal() })?;
    runtime.spawn(async move {
        signal.await;
        set.store(true, Ordering::Relaxed);
    });
    Ok(flag)
}

/// Memory this process may use: the machine's, or what its container is allowed.
fn memory_bytes() -> usize {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let total = read("/proc/meminfo");
    let total = total.lines().find_map(|line| {
        let number = line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?;
        number.parse::<usize>().ok()?.checked_mul(1024)
    });
    let allowed = read("/sys/fs/cgroup/memory.max").trim().parse().ok();
    total.into_iter().chain(allowed).min().unwrap_or(MEMORY_BYTES)
}
