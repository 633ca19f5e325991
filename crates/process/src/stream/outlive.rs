//! A view whose definition has changed, until the new one has caught up.
//!
//! Guarantees: its readers see the stream go on meanwhile; it ends when the new one answers.
//! Left out: everything durable. The new definition reads all records again: dead letters and late
//! events are its own to write, and it alone holds the log.

use super::checkpoint::Runtime;
use crate::ProcessError;
use futures::FutureExt;
use std::panic::AssertUnwindSafe;

/// Follows the stream for the readers of a view until it is closed.
pub(crate) async fn outlive(mut runtime: Runtime) {
    let name = runtime.pipeline.name.clone();
    let followed = AssertUnwindSafe(follow(&mut runtime)).catch_unwind().await;
    let reason = match followed {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error.to_string(),
        Err(_) => "a panic".to_string(),
    };
    tracing::warn!(view = name, reason, "the old definition does not go on; it answers as it is");
}

async fn follow(runtime: &mut Runtime) -> Result<(), ProcessError> {
    let Some(view) = runtime.view.clone() else { return Ok(()) };
    let mut epochs = view.watch();
    while !view.is_closed() {
        tokio::select! {
            biased;
            // Its own ticks show here too.
            changed = epochs.changed() => if changed.is_err() { return Ok(()) },
            ready = runtime.job.ready() => {
                ready?;
                runtime.follow_on().await?;
                tokio::task::yield_now().await;
            }
        }
    }
    Ok(())
}
