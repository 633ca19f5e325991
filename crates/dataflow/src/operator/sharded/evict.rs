//! Shards out of memory and back.

use super::log::Log;
use super::{Part, Sharded};
use crate::operator::Stateful;
use crate::{DataflowError, EvictedRows};

/// A shard that is in memory.
pub(crate) struct Resident {
    pub(crate) place: usize,
    pub(crate) bytes: usize,
    /// Ticks since one had rows for it.
    pub(crate) idle: u64,
}

impl Sharded {
    /// Puts the state of a whole worker into shards, all of them in memory. For a moment it is
    /// there twice.
    pub(crate) fn split(mut self, mut whole: Stateful) -> Result<Self, DataflowError> {
        let worker = whole.worker();
        let changes = worker.take_changes()?;
        if super::has_rows(&changes) {
            let file = self.scratch.create()?;
            let extent = file.append(&changes)?;
            self.unsaved.push(EvictedRows { file, extent });
        }
        drop(changes);
        let all = worker.take_all()?;
        self.complete = worker.complete();
        (self.target, self.complete_saved) = (self.complete, self.complete);
        drop(whole);
        for batch in all {
            self.put(&batch)?;
        }
        Ok(self)
    }

    /// The shards in memory.
    pub(crate) fn residents(&self) -> Vec<Resident> {
        let resident = |(place, part): (usize, &Part)| {
            let bytes = part.worker.as_ref()?.held().bytes();
            Some(Resident { place, bytes, idle: self.ticks - part.touched })
        };
        self.parts.iter().enumerate().filter_map(resident).collect()
    }

    /// Whether a shard with state is not in memory.
    pub(crate) fn has_evicted(&self) -> bool {
        self.parts.iter().any(|part| part.worker.is_none() && part.log.is_some())
    }

    /// The shards that are not in memory and had rows in the last tick, with the bytes they have
    /// on disk.
    pub(crate) fn wanted(&self) -> Vec<(usize, u64)> {
        let wanted = |(place, part): (usize, &Part)| {
            let log = part.log.as_ref().filter(|_| part.worker.is_none())?;
            (part.touched == self.ticks && self.ticks > 0).then(|| (place, log.bytes()))
        };
        self.parts.iter().enumerate().filter_map(wanted).collect()
    }

    /// Takes a shard out of memory.
    pub(crate) fn evict(&mut self, place: usize) -> Result<(), DataflowError> {
        let part = &mut self.parts[place];
        let Some(mut worker) = part.worker.take() else { return Ok(()) };
        let at = worker.worker();
        (part.due, part.keys) = (at.due(), at.keys());
        part.stale_ms = self.now_ms.saturating_add(self.ttl_ms);
        if part.log.is_some() {
            return part.append_changes(at);
        }
        let changes = at.take_changes()?;
        part.log = Log::write(&self.scratch, &at.take_all()?)?;
        if super::has_rows(&changes) {
            let file = self.scratch.create()?;
            let extent = file.append(&changes)?;
            part.unsaved.push(EvictedRows { file, extent });
        }
        Ok(())
    }

    /// Takes a shard into memory for good.
    pub(crate) fn bring_back(&mut self, place: usize) -> Result<(), DataflowError> {
        let mut worker = self.fresh(place)?;
        let Some(log) = &self.parts[place].log else { return Ok(()) };
        log.read_into(worker.worker(), None)?;
        self.parts[place].worker = Some(worker);
        Ok(())
    }
}
