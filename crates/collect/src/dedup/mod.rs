//! One partition's memory of the events it has accepted, as `docs/formats/dedup.md` describes it.
//!
//! Guarantees: an id is remembered for the whole window, or its eviction is counted; only ids
//! whose records are durable are ever written down; a failure to write one down loses nothing,
//! since the log has them.
//! Left out: the log and its failures, which are the appender's (see `appender`), and how the
//! state is rebuilt (see `restore`).

mod filter;
mod manifest;
mod restore;
mod run;

use crate::error::CollectError;
use crate::identity::EventId;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use manifest::{Manifest, RunEntry};
use run::Run;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::runtime::{Handle, RuntimeFlavor};
use tradewind_disk::Disk;
use tradewind_types::Offset;

/// Ids held in memory before they become a run of their own: about 10 MB.
const MEMORY_IDS_MAX: u64 = 262_144;
/// New ids before the ids in memory are written down, so that a restart reads at most so many
/// records of a partition: about 50 MB of log.
const SNAPSHOT_IDS: u64 = 65_536;
/// When runs cannot be written, memory grows to this many times [`MEMORY_IDS_MAX`] before events
/// are refused.
const MEMORY_OVERRUN: u64 = 4;
const HOUR_MS: i64 = 3_600_000;

/// Where a partition's state lives and how much of it is kept.
#[derive(Debug, Clone)]
pub(crate) struct DedupSettings {
    pub(crate) disk: Arc<dyn Disk>,
    /// The partition's folder.
    pub(crate) dir: PathBuf,
    /// The topic's id in hex.
    pub(crate) topic_id: String,
    pub(crate) partition: i32,
    pub(crate) window_ms: i64,
    /// This partition's share of `dedup_ids_max`.
    pub(crate) ids_max: u64,
}

/// What is known of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    /// Nothing: it is remembered from now on.
    New,
    /// It was accepted before, with the same content.
    Duplicate,
    /// Its id was accepted before, with other content.
    Conflict,
}

/// A partition's state. Owned by its appender; no locks.
#[derive(Debug)]
pub(crate) struct DedupState {
    settings: DedupSettings,
    /// Ids that are in no closed run.
    memory: HashMap<EventId, u64>,
    /// The hour `memory` is labelled with; never goes back.
    hour: i64,
    /// Closed runs, oldest first.
    runs: Vec<Run>,
    /// The run that holds `memory` as it was at the last snapshot.
    open: Option<RunEntry>,
    /// Files no longer needed once the next manifest is written.
    garbage: Vec<PathBuf>,
    next_sequence: u64,
    /// Ids in `memory` that are in no run yet.
    unsaved: u64,
    /// `unsaved` at which the next snapshot is due.
    snapshot_at: u64,
    evicted: u64,
}

impl DedupState {
    fn empty(settings: DedupSettings, hour: i64) -> Self {
        let snapshot_at = SNAPSHOT_IDS.min(memory_ids_max(&settings));
        Self {
            settings,
            memory: HashMap::new(),
            hour,
            runs: Vec::new(),
            open: None,
            garbage: Vec::new(),
            next_sequence: 0,
            unsaved: 0,
            snapshot_at,
            evicted: 0,
        }
    }

    /// Ids remembered.
    pub(crate) fn ids(&self) -> u64 {
        self.memory.len() as u64 + self.runs.iter().map(|run| run.ids).sum::<u64>()
    }

    /// Ids evicted before their time since the last call.
    pub(crate) fn take_evicted(&mut self) -> u64 {
        std::mem::take(&mut self.evicted)
    }

    /// Looks an event up and remembers it when it is new.
    ///
    /// # Errors
    /// What the disk says when a run cannot be read: then nothing is known of the event.
    pub(crate) fn admit(&mut self, id: EventId, fingerprint: u64) -> io::Result<Known> {
        let known = |first: u64| {
            if first == fingerprint { Known::Duplicate } else { Known::Conflict }
        };
        let vacant = match self.memory.entry(id) {
            Entry::Occupied(first) => return Ok(known(*first.get())),
            Entry::Vacant(vacant) => vacant,
        };
        for run in self.runs.iter().rev() {
            if let Some(first) = run.find(id)? {
                return Ok(known(first));
            }
        }
        vacant.insert(fingerprint);
        self.unsaved += 1;
        Ok(Known::New)
    }

    /// Forgets an event that [`DedupState::admit`] called new and that did not become durable.
    /// No snapshot may have been taken between the two.
    pub(crate) fn forget(&mut self, id: EventId) {
        if self.memory.remove(&id).is_some() {
            self.unsaved -= 1;
        }
    }

    /// Moves to the hour of `now_ms`: closes what is in memory, drops what has expired. To be
    /// called when everything remembered is durable below `next_offset`.
    pub(crate) fn roll(&mut self, now_ms: i64, next_offset: Offset) {
        let hour = now_ms.div_euclid(HOUR_MS);
        if hour <= self.hour {
            return;
        }
        if !self.memory.is_empty() {
            self.close_memory(next_offset);
        }
        // Ids that could not be written down are labelled anew: kept too long rather than too
        // short.
        self.hour = hour;
        let window_ms = self.settings.window_ms;
        let expired =
            |run: &Run| (run.hour + 1).saturating_mul(HOUR_MS).saturating_add(window_ms) <= now_ms;
        let expired: Vec<Run> = self.runs.extract_if(.., |run| expired(run)).collect();
        self.garbage.extend(expired.into_iter().map(|run| run.path));
    }

    /// Writes down what is due. To be called like [`DedupState::roll`].
    pub(crate) fn maintain(&mut self, next_offset: Offset) {
        if self.memory.len() as u64 >= memory_ids_max(&self.settings) && self.due() {
            self.close_memory(next_offset);
        } else if self.due() {
            self.snapshot_or_warn(next_offset);
        }
        while self.ids() > self.settings.ids_max && !self.runs.is_empty() {
            let oldest = self.runs.remove(0);
            self.evicted += oldest.ids;
            self.garbage.push(oldest.path);
        }
    }

    /// Whether more ids may be remembered. False when memory is full of ids that cannot be written
    /// down, which is tried once more first.
    pub(crate) fn has_room(&mut self, next_offset: Offset) -> bool {
        let most = memory_ids_max(&self.settings) * MEMORY_OVERRUN;
        if self.memory.len() as u64 >= most {
            self.close_memory(next_offset);
        }
        (self.memory.len() as u64) < most
    }

    fn due(&self) -> bool {
        self.unsaved >= self.snapshot_at
    }

    /// Makes what is in memory a closed run; when that fails it stays in memory.
    fn close_memory(&mut self, next_offset: Offset) {
        match blocking(|| self.write_memory()) {
            Ok(run) => {
                self.garbage.extend(self.open.take().map(|open| self.settings.dir.join(open.file)));
                self.memory = HashMap::new();
                self.runs.push(run);
                if let Err(error) = self.write_manifest(next_offset) {
                    self.warn(&error);
                }
                self.saved();
            }
            Err(error) => self.warn(&error),
        }
    }

    fn snapshot_or_warn(&mut self, next_offset: Offset) {
        if let Err(error) = self.snapshot(next_offset) {
            self.warn(&error);
        }
    }

    /// Writes down everything remembered; `next_offset` is the offset behind its last record.
    ///
    /// # Errors
    /// What the disk says. Nothing is lost: the log is read from the last snapshot's offset.
    pub(crate) fn snapshot(&mut self, next_offset: Offset) -> io::Result<()> {
        let old = self.open.take();
        if !self.memory.is_empty() {
            // The file stays on disk; only the manifest and this state refer to it as open.
            match blocking(|| self.write_memory()) {
                Ok(run) => self.open = Some(entry_of(&run, true)),
                Err(error) => {
                    self.open = old;
                    return Err(error);
                }
            }
        }
        self.garbage.extend(old.map(|old| self.settings.dir.join(old.file)));
        self.write_manifest(next_offset)?;
        self.saved();
        Ok(())
    }

    fn saved(&mut self) {
        self.unsaved = 0;
        self.snapshot_at = SNAPSHOT_IDS.min(memory_ids_max(&self.settings));
    }

    fn write_memory(&mut self) -> io::Result<Run> {
        let mut entries: Vec<(EventId, u64)> =
            self.memory.iter().map(|(id, fingerprint)| (*id, *fingerprint)).collect();
        entries.sort_unstable();
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        let path = self.settings.dir.join(format!("{}-{sequence:010}.ids", self.hour));
        Run::write(&*self.settings.disk, &path, self.hour, &entries)
    }

    fn write_manifest(&mut self, next_offset: Offset) -> io::Result<()> {
        let runs = self.runs.iter().map(|run| entry_of(run, false)).chain(self.open.clone());
        let runs = runs.collect();
        let DedupSettings { disk, dir, topic_id, .. } = &self.settings;
        let manifest = Manifest::new(topic_id, next_offset, self.next_sequence, runs);
        blocking(|| {
            manifest.write(&**disk, dir)?;
            for path in self.garbage.drain(..) {
                // What stays is removed at the next start.
                let _ = disk.remove_file(&path);
            }
            Ok(())
        })
    }

    /// Says that a snapshot failed, and tries again only after as many ids once more.
    fn warn(&mut self, error: &io::Error) {
        self.snapshot_at = self.unsaved + SNAPSHOT_IDS.min(memory_ids_max(&self.settings));
        metrics::counter!("tradewind_collect_dedup_snapshot_failures_total").increment(1);
        tracing::warn!(
            partition = self.settings.partition,
            path = %self.settings.dir.display(),
            %error,
            "deduplication snapshot failed; a restart will read more of the log"
        );
    }
}

/// Runs disk work without holding up the other tasks of a runtime that has several threads; in
/// place on one that has not, as simulations want it.
fn blocking<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

/// Ids a partition keeps in memory: small caps are kept in at least four steps.
fn memory_ids_max(settings: &DedupSettings) -> u64 {
    MEMORY_IDS_MAX.min((settings.ids_max / 4).max(1))
}

fn entry_of(run: &Run, open: bool) -> RunEntry {
    let file = run.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    RunEntry { file, hour: run.hour, ids: run.ids, open }
}

fn hour_of(timestamp_ms: i64) -> i64 {
    timestamp_ms.div_euclid(HOUR_MS)
}

impl DedupState {
    /// Opens the state of a partition and brings it up to date with the log.
    ///
    /// # Errors
    /// [`CollectError::Newer`]; what the disk and the log say.
    pub(crate) async fn restore(
        settings: DedupSettings,
        log: &dyn tradewind_types::Log,
        topic: &str,
        now_ms: i64,
    ) -> Result<(Self, Offset), CollectError> {
        restore::restore(settings, log, topic, now_ms).await
    }
}
