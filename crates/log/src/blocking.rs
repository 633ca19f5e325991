//! Where blocking disk calls run.
//!
//! Guarantees: never on a worker of a multi-threaded runtime. On a current-thread runtime they run
//! in place, in the order of their calls, so that a simulation repeats from its seed.
//! Left out: cancelling. A call that was begun ends, whoever waits for it.

use tokio::runtime::{Handle, RuntimeFlavor};

/// Runs `work`; a panic in it is the caller's.
pub(crate) async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let inline = Handle::try_current()
        .map_or(true, |handle| handle.runtime_flavor() == RuntimeFlavor::CurrentThread);
    if inline {
        return work();
    }
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => panic!("the runtime stopped while the disk was at work: {error}"),
        },
    }
}
