//! A partition's state after a start: the runs the manifest names, and the log behind them.
//!
//! Guarantees: the result agrees with the log. A manifest that is damaged, of another topic or
//! ahead of the log is not believed: the whole window is read from the log instead.
//! Left out: records without the headers `id` and `fp`, which did not come through a collector.

use super::manifest::{Manifest, io_error};
use super::run::Run;
use super::{DedupSettings, DedupState, HOUR_MS, hour_of};
use crate::error::CollectError;
use crate::identity::{EventId, FINGERPRINT_HEADER, ID_HEADER};
use bytes::Bytes;
use std::path::Path;
use tradewind_types::log::{Isolation, Watermarks};
use tradewind_types::{Log, LogError, Offset, Record};

/// Bytes of log read at a time.
const READ_BYTES: usize = 4 * 1024 * 1024;

pub(super) async fn restore(
    settings: DedupSettings,
    log: &dyn Log,
    topic: &str,
    now_ms: i64,
) -> Result<(DedupState, Offset), CollectError> {
    let failed = |source: LogError| CollectError::Log { topic: topic.to_owned(), source };
    let (disk, dir) = (settings.disk.clone(), settings.dir.clone());
    disk.create_dir_all(&dir).map_err(|source| io_error(&dir, source))?;
    let partition = settings.partition;
    let watermarks = log.watermarks(topic, partition).map_err(failed)?;
    let (mut state, from) = match usable_manifest(&settings, &watermarks)? {
        Some((manifest, state)) => {
            manifest.remove_strangers(&*disk, &dir)?;
            (state, manifest.next_offset)
        }
        None => {
            let oldest = now_ms.saturating_sub(settings.window_ms.saturating_add(HOUR_MS));
            let from = log.offset_at(topic, partition, oldest).await.map_err(failed)?;
            // Behind an open transaction times are not looked for, but ids may be.
            let from = from.unwrap_or(watermarks.last_stable);
            start_over(&settings, from)?;
            (DedupState::empty(settings, i64::MIN), from)
        }
    };
    if from < watermarks.log_start {
        let (log_start, read_to) = (watermarks.log_start, from);
        tracing::warn!(
            partition,
            read_to,
            log_start,
            "retention removed records before their ids were written down"
        );
    }
    let from = from.max(watermarks.log_start);
    let next_offset = replay(&mut state, log, topic, from).await.map_err(failed)?;
    state.roll(now_ms, next_offset);
    state.maintain(next_offset);
    Ok((state, next_offset))
}

/// The state a manifest describes, when it can be believed.
fn usable_manifest(
    settings: &DedupSettings,
    watermarks: &Watermarks,
) -> Result<Option<(Manifest, DedupState)>, CollectError> {
    let Some(manifest) = Manifest::read(&*settings.disk, &settings.dir)? else {
        return Ok(None);
    };
    let reason = if manifest.topic_id != settings.topic_id {
        "it belongs to another topic of that name".to_owned()
    } else if manifest.next_offset > watermarks.high_watermark {
        format!("it is ahead of the log, which ends at {}", watermarks.high_watermark)
    } else {
        match open_runs(settings, &manifest) {
            Ok(state) => return Ok(Some((manifest, state))),
            Err(error) => error.to_string(),
        }
    };
    tracing::warn!(
        partition = settings.partition,
        path = %settings.dir.display(),
        reason,
        "deduplication state discarded; it is rebuilt from the log"
    );
    Ok(None)
}

fn open_runs(settings: &DedupSettings, manifest: &Manifest) -> std::io::Result<DedupState> {
    let mut state = DedupState::empty(settings.clone(), i64::MIN);
    state.next_sequence = manifest.next_sequence;
    for entry in &manifest.runs {
        let path = settings.dir.join(Path::new(&entry.file).file_name().unwrap_or_default());
        let memory = &mut state.memory;
        let run = Run::open(&*settings.disk, &path, |id, fingerprint| {
            if entry.open {
                memory.insert(id, fingerprint);
            }
        })?;
        state.hour = state.hour.max(run.hour);
        if entry.open {
            state.open = Some(entry.clone());
        } else {
            state.runs.push(run);
        }
    }
    Ok(state)
}

/// Replaces whatever is in the folder by an empty state that speaks up to `from`.
fn start_over(settings: &DedupSettings, from: Offset) -> Result<(), CollectError> {
    let (disk, dir) = (&*settings.disk, &*settings.dir);
    let manifest = Manifest::new(&settings.topic_id, from, 0, Vec::new());
    manifest.write(disk, dir).map_err(|source| io_error(dir, source))?;
    manifest.remove_strangers(disk, dir)
}

/// Adds what the log holds from `from` on; the offset behind its last record.
async fn replay(
    state: &mut DedupState,
    log: &dyn Log,
    topic: &str,
    from: Offset,
) -> Result<Offset, LogError> {
    let partition = state.settings.partition;
    let end = log.watermarks(topic, partition)?.high_watermark;
    let mut next = from;
    while next < end {
        // Others may have transactions open in the topic: what we appended behind one is durable,
        // and its ids count.
        let isolation = Isolation::ReadUncommitted;
        let read = log.read_on(topic, partition, next, READ_BYTES, isolation).await?;
        if read.next == next {
            break;
        }
        for record in &read.records {
            let Some((id, fingerprint)) = identity(&record.record) else { continue };
            if hour_of(record.record.timestamp_ms) > state.hour {
                state.roll(record.record.timestamp_ms, record.offset);
            }
            if let Err(source) = state.admit(id, fingerprint) {
                return Err(unreadable(state, source));
            }
        }
        next = read.next;
        state.maintain(next);
    }
    Ok(next)
}

fn unreadable(state: &DedupState, source: std::io::Error) -> LogError {
    LogError::Io { path: state.settings.dir.display().to_string(), source }
}

fn identity(record: &Record) -> Option<(EventId, u64)> {
    let header = |name: &[u8]| -> Option<&Bytes> {
        record.headers.iter().find(|(found, _)| found == name)?.1.as_ref()
    };
    let id = EventId::from_be_bytes(header(ID_HEADER)?.as_ref().try_into().ok()?);
    let fingerprint = u64::from_be_bytes(header(FINGERPRINT_HEADER)?.as_ref().try_into().ok()?);
    Some((id, fingerprint))
}
