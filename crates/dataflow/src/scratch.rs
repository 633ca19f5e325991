//! Where evicted state goes: files of rows that live as long as what they hold is wanted.
//!
//! Guarantees asked of a [`ScratchFile`]: what was appended is read back as it was, as long as the
//! file is held by anyone; nothing is asked of it after a crash.
//! Left out: the files themselves. Nothing durable names them: a checkpoint copies what it needs.

use crate::DataflowError;
use arrow::array::RecordBatch;
use std::fmt::Debug;
use std::sync::Arc;

/// Makes files for evicted state.
pub trait Scratch: Debug + Send + Sync {
    /// A new, empty file. It is removed when nobody holds it any more.
    ///
    /// # Errors
    /// The disk.
    fn create(&self) -> Result<Arc<dyn ScratchFile>, DataflowError>;
}

/// A file of evicted state. One worker appends; anyone who holds it reads.
pub trait ScratchFile: Debug + Send + Sync {
    /// Writes batches, of any schemas, behind what is there.
    ///
    /// # Errors
    /// The disk.
    fn append(&self, batches: &[RecordBatch]) -> Result<Extent, DataflowError>;

    /// What one call of [`ScratchFile::append`] wrote.
    ///
    /// # Errors
    /// The disk, or what is there is not what was written.
    fn read(&self, extent: Extent) -> Result<Vec<RecordBatch>, DataflowError>;
}

/// Part of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Where it begins, in bytes.
    pub start: u64,
    /// How long it is.
    pub bytes: u64,
}

/// Rows in a scratch file, which stays as long as this does.
#[derive(Debug, Clone)]
pub struct EvictedRows {
    pub(crate) file: Arc<dyn ScratchFile>,
    pub(crate) extent: Extent,
}

impl EvictedRows {
    /// The rows.
    ///
    /// # Errors
    /// The disk.
    pub fn read(&self) -> Result<Vec<RecordBatch>, DataflowError> {
        self.file.read(self.extent)
    }
}
