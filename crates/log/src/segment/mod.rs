//! Segments: a partition's files, their indexes, and how arbitrary bytes are made sense of.
//!
//! Guarantees: nothing in here trusts a file. Left out: which segment is written to (partition).

mod cache;
mod index;
mod recovery_point;
mod scan;
mod txn_index;

pub(crate) use cache::{OpenSegment, SegmentCache};
pub(crate) use index::{Index, IndexFault};
pub(crate) use recovery_point::{Numbered, RecoveryPoint};
pub use scan::{Bad, ScanOutcome, scan_bytes};
pub(crate) use scan::{Scan, ScanStart, find_batch, scan, walk};
pub(crate) use txn_index::{
    ABORTED_PER_SEGMENT_MAX, Aborted, AbortedBatches, get_aborted, put_aborted, read_aborted,
    write_aborted,
};

use std::path::{Path, PathBuf};
use tradewind_types::Offset;

/// How many bytes of a segment one index entry stands for: a read looks at no more than this
/// beyond what it returns, and 256 MiB are indexed by 230 KB.
pub(crate) const INDEX_INTERVAL_BYTES: u32 = 32 << 10;

/// The files of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileKind {
    Log,
    Index,
    TimeIndex,
    /// Only of a segment in which a transaction was aborted.
    TxnIndex,
}

impl FileKind {
    fn extension(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Index => "index",
            Self::TimeIndex => "timeindex",
            Self::TxnIndex => "txnindex",
        }
    }
}

/// The path of a segment's file.
pub(crate) fn path(dir: &Path, base: Offset, kind: FileKind) -> PathBuf {
    dir.join(format!("{base:020}.{}", kind.extension()))
}

/// The segment and kind a path names, if it names one.
pub(crate) fn parse_path(path: &Path) -> Option<(Offset, FileKind)> {
    let kind = match path.extension()?.to_str()? {
        "log" => FileKind::Log,
        "index" => FileKind::Index,
        "timeindex" => FileKind::TimeIndex,
        "txnindex" => FileKind::TxnIndex,
        _ => return None,
    };
    let stem = path.file_stem()?.to_str()?;
    if stem.len() != 20 || !stem.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some((stem.parse().ok()?, kind))
}
