//! How many files and sockets the process may have open.
//!
//! Guarantees: raising never goes past what the system's administrator allows.
//! Left out: raising the administrator's own limit.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What is kept for segments and the lake when sockets are counted against the limit: two files
/// for each of the 2,000 partitions there may be by default.
const KEPT_FOR_FILES: usize = 4_096;

/// Raises the soft limit on open files to the hard one and answers what then holds. Called once
/// at start: with the usual soft limit of 1,024, a thousand idle clients would stop the log.
pub fn raise_open_files() -> usize {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::warn!(%error, "the limit on open files stays as it is");
        }
    }
    open_files_max()
}

/// Sockets that may be open so that the log can still open its files.
pub(crate) fn sockets_max() -> usize {
    let all = open_files_max();
    all.saturating_sub(KEPT_FOR_FILES).max(all / 2)
}

fn open_files_max() -> usize {
    match getrlimit(Resource::Nofile).current {
        Some(current) => usize::try_from(current).unwrap_or(usize::MAX),
        None => usize::MAX,
    }
}
