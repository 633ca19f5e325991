//! Opening a partition: what a crash left is made whole.
//!
//! Guarantees: what was acknowledged is never cut; offsets are never given twice; what is shown as
//! readable has been fsynced. Left out: half-made and half-removed topics (store).

use super::producers::{Bounds, Found, Rebuilt, rebuild};
use super::{Active, Partition, Sealed, Shared, State, tail::Tail};
use crate::metrics_names as names;
use crate::report::{Corruption, RecoveryReport, TornTail};
use crate::segment::{
    self, Bad, FileKind, Index, IndexFault, RecoveryPoint, Scan, ScanStart, scan,
};
use crate::settings::LiveSettings;
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::Notify;
use tradewind_disk::{Create, Disk, DiskFile, Entry};
use tradewind_types::{LogError, Offset, PartitionId};

/// A torn tail is copied aside in pieces of this size.
const COPY_BYTES: usize = 1 << 20;

/// Producers one partition knows at most: 2.5 MB, and what a snapshot of them takes to write.
const PRODUCERS_PER_PARTITION_MAX: usize = 10_000;

/// What a partition is opened with.
pub(crate) struct Place {
    pub(crate) shared: Arc<Shared>,
    pub(crate) topic: Arc<str>,
    pub(crate) id: PartitionId,
    pub(crate) dir: PathBuf,
    pub(crate) config: Arc<LiveSettings>,
    pub(crate) changed: Arc<Notify>,
}

/// The segments of a partition, sound.
struct Segments {
    sealed: Vec<Arc<Sealed>>,
    active: Active,
    next_offset: Offset,
}

impl Place {
    /// Makes the partition's folder and opens it, empty.
    pub(crate) fn create(self, report: &mut RecoveryReport) -> Result<Partition, LogError> {
        let dir = self.dir.clone();
        self.shared.disk.create_dir_all(&dir).map_err(|source| self.io(&dir, source))?;
        self.open(report)
    }

    /// Opens the partition as it lies there. Blocks.
    pub(crate) fn open(self, report: &mut RecoveryReport) -> Result<Partition, LogError> {
        let dir = self.dir.clone();
        let io = |source| self.io(&dir, source);
        let known = RecoveryPoint::read(self.disk(), &dir).map_err(io)?;
        let point = known.unwrap_or_default();
        super::swap::finish(self.disk(), &dir).map_err(io)?;
        let files = self.clean_up(point.log_start)?;
        if known.is_none() && !files.is_empty() {
            let path = RecoveryPoint::path(&dir);
            tracing::warn!(file = %path.display(), "recovery point is missing: the last segment is checked whole");
        }
        let mut segments = self.segments(files, known, report)?;
        let rebuilt = self.producers(&segments, known)?;
        for sealed in &mut segments.sealed {
            let sealed = Arc::get_mut(sealed).expect("nobody else has been given it");
            sealed.aborted = rebuilt.indexed.contains(&sealed.base);
        }
        report.scanned_bytes += rebuilt.scanned_bytes;
        let log_start = segments.sealed.first().map_or(segments.active.base, |oldest| oldest.base);
        let now_ms = self.shared.clock.now_ms();
        let state = State {
            next_offset: segments.next_offset,
            high_watermark: segments.next_offset,
            log_start: log_start.max(point.log_start),
            sealed: segments.sealed,
            active: segments.active,
            tail: Tail::default(),
            producers: rebuilt.producers,
            snapshot_offset: rebuilt.snapshot_offset,
            unsnapped_bytes: rebuilt.scanned_bytes,
            unsynced_batches: 0,
            flush_due: false,
            recovery_point: point,
            recovery_point_at_ms: now_ms,
            holds: BTreeMap::new(),
            swaps: 0,
            stopped: None,
        };
        let partition = self.partition(state);
        partition.remember_recovery(known)?;
        Ok(partition)
    }

    /// The producers of the log that was found.
    fn producers(
        &self,
        segments: &Segments,
        known: Option<RecoveryPoint>,
    ) -> Result<Rebuilt, LogError> {
        let settings = &self.shared.settings;
        let bounds = Bounds {
            producers_max: settings.producers_max.min(PRODUCERS_PER_PARTITION_MAX),
            all_max: settings.producers_max,
            all: Arc::clone(&self.shared.producers),
            expiration_ms: settings.producer_expiration_ms,
        };
        let found = Found {
            disk: self.disk(),
            dir: &self.dir,
            sealed: &segments.sealed,
            active: &segments.active,
            end: segments.next_offset,
            known,
            now_ms: self.shared.clock.now_ms(),
        };
        rebuild(&found, bounds).map_err(|source| self.io(&self.dir, source))
    }

    fn partition(self, state: State) -> Partition {
        Partition {
            life: self.shared.lives.fetch_add(1, Ordering::Relaxed),
            shared: self.shared,
            topic: self.topic,
            id: self.id,
            dir: self.dir,
            config: self.config,
            queue: Mutex::default(),
            write_lead: Arc::default(),
            sync_lead: Arc::default(),
            sync_lock: Mutex::default(),
            files_lock: RwLock::default(),
            compacting: Mutex::default(),
            state: Mutex::new(state),
            synced: Notify::new(),
            changed: self.changed,
        }
    }

    /// The segments' files in order, after removing what retention gave up and indexes without a
    /// segment.
    fn clean_up(&self, log_start: Offset) -> Result<Vec<(Offset, Entry)>, LogError> {
        let entries = self.disk().list(&self.dir).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => LogError::Corrupt {
                file: self.dir.display().to_string(),
                position: 0,
                reason: "the partition's folder is missing: restore it, or remove the topic".into(),
            },
            _ => self.io(&self.dir, source),
        })?;
        let mut logs = BTreeMap::new();
        let mut indexes = Vec::new();
        for entry in entries {
            match segment::parse_path(&entry.path) {
                Some((base, FileKind::Log)) => drop(logs.insert(base, entry)),
                Some((base, _)) => indexes.push((base, entry.path)),
                None => {}
            }
        }
        // The last segment stays, whatever the log start says: offsets go on from its end.
        let kept_from = logs.keys().copied().rfind(|base| *base <= log_start).unwrap_or(0);
        let given_up: Vec<Offset> = logs.range(..kept_from).map(|(base, _)| *base).collect();
        for base in &given_up {
            if let Some(entry) = logs.remove(base) {
                self.remove(&entry.path)?;
            }
        }
        for (_, path) in indexes.iter().filter(|(base, _)| !logs.contains_key(base)) {
            self.remove(path)?;
        }
        Ok(logs.into_iter().collect())
    }

    fn remove(&self, path: &Path) -> Result<(), LogError> {
        self.disk().remove_file(path).map_err(|source| self.io(path, source))
    }

    fn segments(
        &self,
        mut files: Vec<(Offset, Entry)>,
        known: Option<RecoveryPoint>,
        report: &mut RecoveryReport,
    ) -> Result<Segments, LogError> {
        let due = known.map_or(0, |point| point.offset);
        let Some((last_base, last)) = files.pop() else {
            return self.begin(Vec::new(), due, known, report);
        };
        let mut sealed = Vec::with_capacity(files.len() + 1);
        let ends: Vec<Offset> =
            files.iter().skip(1).map(|(base, _)| *base).chain([last_base]).collect();
        for ((base, entry), end) in files.into_iter().zip(ends) {
            sealed.push(Arc::new(self.open_sealed(base, end, &entry, report)?));
        }
        let known_name = known.is_some_and(|point| point.segment_base == last_base);
        if last.len == 0 && last_base >= due && !known_name {
            // Made anew: should the sync of its name have failed, no later one would help it.
            self.remove(&last.path)?;
            return self.begin(sealed, last_base, known, report);
        }
        self.recover_last(sealed, (last_base, last), known, report)
    }

    /// Goes on in a new segment at `offset`, after `sealed`.
    fn begin(
        &self,
        sealed: Vec<Arc<Sealed>>,
        offset: Offset,
        known: Option<RecoveryPoint>,
        report: &mut RecoveryReport,
    ) -> Result<Segments, LogError> {
        if sealed.is_empty() && known.is_some_and(|point| point.log_start < offset) {
            let path = segment::path(&self.dir, offset, FileKind::Log);
            let reason = format!("all segments before offset {offset} are missing");
            self.report_corruption(report, path, Bad { position: 0, reason });
        }
        let now_ms = self.shared.clock.now_ms();
        let active = Active::open_new(self.disk(), &self.dir, offset, now_ms)
            .and_then(|active| self.disk().sync_dir(&self.dir).map(|()| active))
            .map_err(|source| self.io(&self.dir, source))?;
        Ok(Segments { sealed, active, next_offset: offset })
    }

    fn open_sealed(
        &self,
        base: Offset,
        end: Offset,
        entry: &Entry,
        report: &mut RecoveryReport,
    ) -> Result<Sealed, LogError> {
        let io = |source| self.io(&entry.path, source);
        let (max_timestamp, bytes) =
            match Index::sealed_max_timestamp(self.disk(), &self.dir, base, end, entry.len) {
                Ok(max_timestamp) => (max_timestamp, entry.len),
                Err(IndexFault::Io(source)) => return Err(io(source)),
                Err(IndexFault::Wrong) => self.rescan_sealed(base, end, entry, report)?,
            };
        let last_append_ms = entry.modified_ms;
        Ok(Sealed { base, end, bytes, max_timestamp, last_append_ms, aborted: false })
    }

    fn rescan_sealed(
        &self,
        base: Offset,
        end: Offset,
        entry: &Entry,
        report: &mut RecoveryReport,
    ) -> Result<(i64, u64), LogError> {
        let io = |source| self.io(&entry.path, source);
        let file = self.disk().open(&entry.path, Create::No).map_err(io)?;
        let start = ScanStart { position: 0, offset: base, durable_to: u64::MAX };
        let mut found = scan(&*file, Index::new(base), start).map_err(io)?;
        let mut bytes = entry.len;
        if found.offset == end
            && found.corrupt.pop_if(|bad| bad.position == found.position).is_some()
        {
            // Nothing that is due is missing: a torn tail whose cut was undone by a power cut.
            bytes = found.position;
            file.set_len(bytes).and_then(|()| file.sync()).map_err(io)?;
        }
        self.report_scan(report, &entry.path, &found);
        if found.offset != end
            && found.corrupt.last().is_none_or(|bad| bad.position != found.position)
        {
            let reason = format!("it ends at offset {}, the next begins at {end}", found.offset);
            let bad = Bad { position: found.position, reason };
            self.report_corruption(report, entry.path.clone(), bad);
        }
        found.index.seal(end, bytes);
        found.index.rewrite(self.disk(), &self.dir).map_err(io)?;
        report.indexes_rebuilt += 1;
        Ok((found.index.max_timestamp(), bytes))
    }

    fn recover_last(
        &self,
        mut sealed: Vec<Arc<Sealed>>,
        (base, entry): (Offset, Entry),
        known: Option<RecoveryPoint>,
        report: &mut RecoveryReport,
    ) -> Result<Segments, LogError> {
        let io = |source| self.io(&entry.path, source);
        let file = self.disk().open(&entry.path, Create::No).map_err(io)?;
        let mut found = self.scan_last(&*file, base, &entry, known, report)?;
        let end = found.offset.max(known.map_or(0, |point| point.offset));
        let broken = found.corrupt.last().is_some_and(|bad| bad.position == found.position);
        if end > found.offset && !broken {
            let reason = format!("offsets {}..{end} were durable and are missing", found.offset);
            let bad = Bad { position: found.position, reason };
            self.report_corruption(report, entry.path.clone(), bad);
        }
        if let Some(torn) = found.torn.take() {
            self.cut(&*file, &entry, &found, torn, report)?;
        }
        let bytes = file.len().map_err(io)?;
        let durable = known.filter(|point| point.segment_base == base);
        rewrite(&*file, durable.map_or(0, |point| point.position), bytes).map_err(io)?;
        // What a crash left in the page cache is made durable before it is shown.
        file.sync().map_err(io)?;
        self.disk().sync_dir(&self.dir).map_err(io)?;
        if end == found.offset && !broken {
            let active = Active {
                base,
                file,
                bytes,
                synced_bytes: bytes,
                index: found.index,
                first_append_ms: entry.modified_ms,
                last_append_ms: entry.modified_ms,
            };
            return Ok(Segments { sealed, active, next_offset: end });
        }
        let max_timestamp = found.index.max_timestamp();
        found.index.seal(end, bytes);
        found.index.rewrite(self.disk(), &self.dir).map_err(io)?;
        let last_append_ms = entry.modified_ms;
        let aborted = false;
        sealed.push(Arc::new(Sealed { base, end, bytes, max_timestamp, last_append_ms, aborted }));
        self.begin(sealed, end, known, report)
    }

    /// Scans the last segment from its last index entry that is known to be durable.
    fn scan_last(
        &self,
        file: &dyn DiskFile,
        base: Offset,
        entry: &Entry,
        known: Option<RecoveryPoint>,
        report: &mut RecoveryReport,
    ) -> Result<Scan, LogError> {
        let io = |source| self.io(&entry.path, source);
        let durable_to = match known {
            Some(point) if point.segment_base == base => point.position,
            // The segment the recovery point speaks of was made after this one was sealed.
            Some(point) if point.segment_base > base => u64::MAX,
            _ => 0,
        };
        let readable_to = durable_to.min(entry.len);
        let (index, whole) =
            Index::read_prefix(self.disk(), &self.dir, base, readable_to).map_err(io)?;
        let start = ScanStart {
            position: index.last().map_or(0, |entry| u64::from(entry.position)),
            offset: index.last().map_or(base, |entry| base + i64::from(entry.relative)),
            durable_to,
        };
        let entries = index.entries_to(readable_to);
        let mut found = scan(file, index, start).map_err(io)?;
        if !whole || found.index.entries_to(readable_to) > entries {
            found.index.rewrite(self.disk(), &self.dir).map_err(io)?;
            report.indexes_rebuilt += 1;
        }
        self.report_scan(report, &entry.path, &found);
        Ok(found)
    }

    fn report_scan(&self, report: &mut RecoveryReport, file: &Path, found: &Scan) {
        report.scanned_bytes += found.scanned;
        for bad in &found.corrupt {
            self.report_corruption(report, file.to_path_buf(), bad.clone());
        }
    }

    fn report_corruption(&self, report: &mut RecoveryReport, file: PathBuf, bad: Bad) {
        tracing::error!(
            topic = %self.topic, partition = self.id, file = %file.display(),
            position = bad.position, reason = bad.reason,
            "acknowledged records cannot be read: restore the file from a backup"
        );
        metrics::counter!(names::CORRUPTIONS).increment(1);
        report.corruptions.push(Corruption {
            topic: self.topic.to_string(),
            partition: self.id,
            file,
            position: bad.position,
            reason: bad.reason,
        });
    }

    /// Cuts a torn tail off the last segment.
    fn cut(
        &self,
        file: &dyn DiskFile,
        entry: &Entry,
        found: &Scan,
        torn: Bad,
        report: &mut RecoveryReport,
    ) -> Result<(), LogError> {
        let io = |source| self.io(&entry.path, source);
        let position = found.position;
        let bytes = entry.len - position;
        let whole = segment::find_batch(file, position + 1, found.offset).map_err(io)?;
        let kept_as = match whole {
            Some(_) => Some(self.keep_aside(file, entry, position).map_err(io)?),
            None => None,
        };
        file.set_len(position).map_err(io)?;
        tracing::warn!(
            topic = %self.topic, partition = self.id, file = %entry.path.display(), position, bytes,
            reason = torn.reason, kept_as = ?kept_as, "cut a torn tail that was never acknowledged"
        );
        metrics::counter!(names::TORN_BYTES).increment(bytes);
        report.torn_tails.push(TornTail {
            topic: self.topic.to_string(),
            partition: self.id,
            file: entry.path.clone(),
            position,
            bytes,
            reason: torn.reason,
            kept_as,
        });
        Ok(())
    }

    fn keep_aside(&self, file: &dyn DiskFile, entry: &Entry, position: u64) -> io::Result<PathBuf> {
        let stem = entry.path.file_stem().unwrap_or_default().to_string_lossy();
        let path = self.dir.join(format!("{stem}-{position}.cut"));
        let aside = self.disk().open(&path, Create::Truncate)?;
        let mut buffer = vec![0; COPY_BYTES];
        let mut at = position;
        while at < entry.len {
            let piece = &mut buffer[..COPY_BYTES.min((entry.len - at) as usize)];
            file.read_exact_at(piece, at)?;
            aside.write_all_at(piece, at - position)?;
            at += piece.len() as u64;
        }
        aside.sync()?;
        self.disk().sync_dir(&self.dir)?;
        Ok(path)
    }

    fn disk(&self) -> &dyn Disk {
        &*self.shared.disk
    }

    fn io(&self, path: &Path, source: io::Error) -> LogError {
        crate::topic_file::io_error(path, source)
    }
}

/// Writes what lies between `from` and `to` over itself. When a sync of it failed before, the page
/// cache holds it for written and a sync would do nothing: so it is made dirty again.
fn rewrite(file: &dyn DiskFile, from: u64, to: u64) -> io::Result<()> {
    let mut buffer = vec![0; COPY_BYTES.min(to.saturating_sub(from) as usize)];
    let mut at = from;
    while at < to {
        let piece = &mut buffer[..COPY_BYTES.min((to - at) as usize)];
        file.read_exact_at(piece, at)?;
        file.write_all_at(piece, at)?;
        at += piece.len() as u64;
    }
    Ok(())
}

impl Partition {
    /// Moves the recovery point to where recovery ended, and makes a new partition's files durable.
    fn remember_recovery(&self, known: Option<RecoveryPoint>) -> Result<(), LogError> {
        let current = {
            let state = self.state.lock();
            let next = state.next_recovery_point();
            known.is_some_and(|point| RecoveryPoint { sequence: next.sequence, ..point } == next)
        };
        if current {
            return Ok(());
        }
        let _sync = self.sync_lock.lock();
        self.move_recovery_point()?;
        self.disk().sync_dir(&self.dir).map_err(|source| self.io_error(&self.dir, source))
    }
}
