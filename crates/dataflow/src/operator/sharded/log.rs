//! A shard's state in a scratch file: all of it, then changes.

use crate::operator::StateWorker;
use crate::{DataflowError, EvictedRows, Extent, Scratch, ScratchFile};
use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use hashbrown::HashSet;
use std::sync::Arc;

/// Changes of fewer bytes are not worth writing a shard anew.
const CHANGES_BYTES_MIN: u64 = 64 * 1024;
/// Changes in so many parts are, as each is read by a call of its own.
const CHANGES_MAX: usize = 64;

/// The log of a shard.
pub(super) struct Log {
    file: Arc<dyn ScratchFile>,
    /// To be restored in this order.
    parts: Vec<Extent>,
    /// Bytes of the first part and of the others.
    base: u64,
    changes: u64,
}

impl Log {
    /// A log of rows that are all of a shard's state, or none where there are no rows.
    pub(super) fn write(
        scratch: &Arc<dyn Scratch>,
        rows: &[RecordBatch],
    ) -> Result<Option<Self>, DataflowError> {
        if !super::has_rows(rows) {
            return Ok(None);
        }
        let file = scratch.create()?;
        let base = file.append(rows)?;
        Ok(Some(Self { file, parts: vec![base], base: base.bytes, changes: 0 }))
    }

    /// Writes changes behind what is there.
    pub(super) fn append(&mut self, rows: &[RecordBatch]) -> Result<EvictedRows, DataflowError> {
        let extent = self.file.append(rows)?;
        self.changes += extent.bytes;
        self.parts.push(extent);
        Ok(EvictedRows { file: self.file.clone(), extent })
    }

    /// Whether its changes have become so many that it is better written anew.
    pub(super) fn is_long(&self) -> bool {
        self.changes > self.base.max(CHANGES_BYTES_MIN) || self.parts.len() > CHANGES_MAX
    }

    pub(super) fn bytes(&self) -> u64 {
        self.base + self.changes
    }

    /// All of its parts.
    pub(super) fn rows(&self) -> impl Iterator<Item = EvictedRows> {
        self.parts.iter().map(|extent| EvictedRows { file: self.file.clone(), extent: *extent })
    }

    /// Gives a worker the state: all, or that of the keys with these hashes.
    pub(super) fn read_into(
        &self,
        worker: &mut dyn StateWorker,
        wanted: Option<&HashSet<u64>>,
    ) -> Result<(), DataflowError> {
        for extent in &self.parts {
            for batch in self.file.read(*extent)? {
                match wanted {
                    None => worker.restore(&batch)?,
                    Some(wanted) => restore_some(worker, &batch, wanted)?,
                }
            }
        }
        Ok(())
    }
}

fn restore_some(
    worker: &mut dyn StateWorker,
    batch: &RecordBatch,
    wanted: &HashSet<u64>,
) -> Result<(), DataflowError> {
    let Some(hashes) = worker.state_hashes(batch)? else { return worker.restore(batch) };
    let rows = hashes.iter().enumerate().filter(|(_, hash)| wanted.contains(*hash));
    let rows: Vec<u32> = rows.map(|(row, _)| row as u32).collect();
    match rows.len() {
        0 => Ok(()),
        all if all == batch.num_rows() => worker.restore(batch),
        _ => worker.restore(&take_record_batch(batch, &UInt32Array::from(rows))?),
    }
}
