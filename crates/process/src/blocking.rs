//! Calls that wait for the disk.
//!
//! Guarantees: on a runtime with several threads the others go on; on one with a single thread the
//! call runs where it stands, so that a simulation stays in one order.
//! Left out: long work; a manifest is a few kilobytes.

use tokio::runtime::{Handle, RuntimeFlavor};

/// Runs something that may wait for the disk.
pub(crate) fn blocking<T>(run: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(run),
        _ => run(),
    }
}
