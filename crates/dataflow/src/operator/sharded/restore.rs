//! The state of shards as rows, out and in.
//!
//! Rows of shards that are not in memory go from and to their files as they are: a restore needs
//! no more memory than a tick.

use super::Sharded;
use super::inbox::by_shard;
use super::log::Log;
use crate::executor::StatePiece;
use crate::{DataflowError, EvictedRows, WATERMARK_NONE};
use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;

impl Sharded {
    /// What has changed since the last call, or everything.
    pub(crate) fn take(&mut self, all: bool) -> Result<Vec<StatePiece>, DataflowError> {
        let mut pieces = evicted(std::mem::take(&mut self.unsaved));
        if all {
            pieces.clear();
        }
        for part in &mut self.parts {
            let unsaved = evicted(std::mem::take(&mut part.unsaved));
            let Some(worker) = &mut part.worker else {
                match (all, &part.log) {
                    (true, log) => {
                        pieces.extend(log.iter().flat_map(Log::rows).map(StatePiece::Evicted))
                    }
                    (false, _) => pieces.extend(unsaved),
                }
                continue;
            };
            let rows = match all {
                true => worker.worker().take_all()?,
                false => worker.worker().take_changes()?,
            };
            if super::has_rows(&rows) {
                // It has not what the worker has given out.
                part.log = None;
            }
            if !all {
                pieces.extend(unsaved);
            }
            pieces.extend(rows.into_iter().map(StatePiece::Rows));
        }
        self.take_complete(all, &mut pieces)?;
        Ok(pieces)
    }

    /// Up to where windows have been given: shards whose turn it was not do not know.
    fn take_complete(&mut self, all: bool, to: &mut Vec<StatePiece>) -> Result<(), DataflowError> {
        if !self.has_windows() || (!all && self.complete == self.complete_saved) {
            return Ok(());
        }
        let mut worker = self.fresh(0)?;
        let worker = worker.worker();
        worker.advance(self.complete);
        to.extend(worker.take_all()?.into_iter().map(StatePiece::Rows));
        self.complete_saved = self.complete;
        Ok(())
    }

    /// Takes in rows of state, each where its shard is.
    pub(super) fn put(&mut self, rows: &RecordBatch) -> Result<(), DataflowError> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        let mut any = self.fresh(0)?;
        let Some(hashes) = any.worker().state_hashes(rows)? else {
            any.worker().restore(rows)?;
            self.complete = self.complete.max(any.worker().complete());
            (self.target, self.complete_saved) = (self.complete, self.complete);
            return (0..self.parts.len()).try_for_each(|place| self.put_into(place, rows, false));
        };
        let (order, starts) = by_shard(&hashes, &self.shards);
        for place in 0..self.parts.len() {
            let of_shard = &order[starts[place]..starts[place + 1]];
            if !of_shard.is_empty() {
                let indices = UInt32Array::from(of_shard.to_vec());
                self.put_into(place, &take_record_batch(rows, &indices)?, true)?;
            }
        }
        Ok(())
    }

    /// Takes rows into a shard; one without state is made only where told to.
    fn put_into(
        &mut self,
        place: usize,
        rows: &RecordBatch,
        make: bool,
    ) -> Result<(), DataflowError> {
        let has_windows = self.has_windows();
        let is_new = self.parts[place].worker.is_none() && self.parts[place].log.is_none();
        if is_new && make {
            self.parts[place].worker = Some(self.fresh(place)?);
        }
        let part = &mut self.parts[place];
        if let Some(worker) = &mut part.worker {
            worker.worker().restore(rows)?;
            part.due = worker.held().due();
            part.log = None;
        } else if let Some(log) = &mut part.log {
            log.append(std::slice::from_ref(rows))?;
            part.stale_ms = part.stale_ms.min(self.now_ms.saturating_add(self.ttl_ms));
            // Its windows are looked at by the first tick.
            part.due = has_windows.then_some(WATERMARK_NONE);
        }
        Ok(())
    }
}

fn evicted(rows: Vec<EvictedRows>) -> Vec<StatePiece> {
    rows.into_iter().map(StatePiece::Evicted).collect()
}
