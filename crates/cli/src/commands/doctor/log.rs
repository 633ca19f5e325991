//! Topics: every batch of every segment, checked.
//!
//! Guarantees: bytes that are known to be durable and are not what was written are a problem;
//! what lies behind them was never acknowledged and is a note.
//! Left out: indexes. A start rebuilds one that does not fit its segment.

use super::{Findings, LogEnds};
use std::path::Path;
use std::sync::Arc;
use tradewind_disk::Disk;
use tradewind_log::scan_bytes;

/// Checks every topic in `dir`.
pub(super) fn check(disk: &Arc<dyn Disk>, dir: &Path, findings: &mut Findings) -> LogEnds {
    let mut ends = LogEnds::new();
    let mut topics = match disk.list(dir) {
        Ok(topics) => topics,
        Err(error) => {
            findings.problem(&format!("{}: {}", dir.display(), crate::data_dir::plain(&error)));
            return ends;
        }
    };
    topics.sort_by(|one, other| one.path.cmp(&other.path));
    for topic in topics.iter().filter(|entry| entry.dir) {
        let name = topic.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match partitions_of(disk, &topic.path) {
            Ok(count) => {
                for partition in 0..count {
                    if let Some(end) = partition_end(disk, &topic.path, &name, partition, findings)
                    {
                        ends.insert((name.clone(), partition), end);
                    }
                }
            }
            Err(reason) => findings
                .problem(&format!("topic {name}: topic.json {reason}; restore it from a backup")),
        }
    }
    ends
}

fn partitions_of(disk: &Arc<dyn Disk>, topic: &Path) -> Result<i32, String> {
    let text =
        disk.read(&topic.join("topic.json")).map_err(|error| crate::data_dir::plain(&error))?;
    let facts: serde_json::Value =
        serde_json::from_slice(&text).map_err(|error| format!("is not JSON ({error})"))?;
    let count = facts["partitions"].as_i64().ok_or("names no number of partitions")?;
    i32::try_from(count).map_err(|_| "names too many partitions".to_string())
}

/// Checks a partition; returns the offset at its end.
fn partition_end(
    disk: &Arc<dyn Disk>,
    topic: &Path,
    name: &str,
    partition: i32,
    findings: &mut Findings,
) -> Option<i64> {
    let dir = topic.join(partition.to_string());
    let what = format!("log {name}-{partition}");
    let mut segments = match disk.list(&dir) {
        Ok(entries) => entries,
        Err(error) => {
            findings.problem(&format!(
                "{what}: {}; restore {} from a backup",
                crate::data_dir::plain(&error),
                dir.display()
            ));
            return None;
        }
    };
    let swaps: Vec<(i64, i64)> =
        segments.iter().filter_map(|entry| swap_range(&entry.path)).collect();
    if !swaps.is_empty() {
        findings.note(&format!("{what}: a compaction was interrupted; the next start finishes it"));
    }
    segments.retain(|entry| entry.path.extension().is_some_and(|ending| ending == "log"));
    segments.sort_by(|one, other| one.path.cmp(&other.path));
    let durable = recovery_point(disk, &dir);
    let before = findings.problems;
    let (mut start, mut due, mut bytes) = (None, None, 0);
    for (index, segment) in segments.iter().enumerate() {
        let last = index + 1 == segments.len();
        let Some((base, end)) = segment_ends(disk, &segment.path, last, durable, findings) else {
            continue;
        };
        // What an unfinished swap stands for may be removed already.
        let swapped = |due: i64| swaps.iter().any(|(from, to)| *from <= due && base <= *to);
        if let Some(due) = due.filter(|due| *due != base && !swapped(*due)) {
            findings.problem(&format!(
                "{what}: records {due}..{base} are missing before {}; restore the segment from a backup",
                segment.path.display()
            ));
        }
        start = start.or(Some(base));
        bytes += segment.len;
        due = Some(end);
    }
    let end = due.unwrap_or_default();
    if findings.problems == before {
        findings.fine(&format!(
            "{what}: {} records, {} segments, {bytes} bytes",
            end - start.unwrap_or_default(),
            segments.len()
        ));
    }
    Some(end)
}

/// The offsets that a compacted segment stands for which is not in its place yet.
fn swap_range(path: &Path) -> Option<(i64, i64)> {
    let ending = path.extension()?.to_str()?;
    let (from, to) = path.file_stem()?.to_str()?.split_once('-')?;
    ["swap", "swap-again"].contains(&ending).then_some((from.parse().ok()?, to.parse().ok()?))
}

/// Checks a segment; returns its first offset and the one due after it.
fn segment_ends(
    disk: &Arc<dyn Disk>,
    path: &Path,
    last: bool,
    durable: Option<(i64, u64)>,
    findings: &mut Findings,
) -> Option<(i64, i64)> {
    let file = path.display();
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let Ok(base) = stem.parse::<i64>() else {
        findings.problem(&format!("{file}: the name is no offset; move the file away"));
        return None;
    };
    let content = match disk.read(path) {
        Ok(content) => content,
        Err(error) => {
            findings.problem(&format!("{file}: {}", crate::data_dir::plain(&error)));
            return None;
        }
    };
    let bytes = content.len() as u64;
    // Every segment but the last is durable to its end.
    let durable_to = match durable {
        _ if !last => bytes,
        Some((segment, position)) if segment == base => position,
        _ => 0,
    };
    let found = scan_bytes(&content, base, durable_to);
    for bad in &found.corrupt {
        findings.problem(&format!(
            "{file}: damaged at byte {}: {}; restore the segment from a backup",
            bad.position, bad.reason
        ));
    }
    if let Some(torn) = &found.torn {
        findings.note(&format!(
            "{file}: {} bytes from byte {} on were never acknowledged ({}); the next start cuts them",
            bytes.saturating_sub(found.position),
            found.position,
            torn.reason
        ));
    }
    Some((base, found.offset))
}

/// Segment and position up to which a partition is known to be durable.
fn recovery_point(disk: &Arc<dyn Disk>, dir: &Path) -> Option<(i64, u64)> {
    const SLOTS: [usize; 2] = [0, 4096];
    const SLOT_BYTES: usize = 64;
    let file = disk.read(&dir.join("recovery-point")).ok()?;
    let number = |slot: &[u8], at: usize| -> Option<u64> {
        Some(u64::from_be_bytes(slot.get(at..at + 8)?.try_into().ok()?))
    };
    let valid = SLOTS.iter().filter_map(|start| {
        let slot = file.get(*start..start + SLOT_BYTES)?;
        let sum = u32::from_be_bytes(slot[60..64].try_into().ok()?);
        let holds = slot.starts_with(b"TWRP") && crc32c::crc32c(&slot[..60]) == sum;
        holds.then_some(())?;
        Some((number(slot, 8)?, number(slot, 32)? as i64, number(slot, 40)?))
    });
    valid.max_by_key(|(sequence, ..)| *sequence).map(|(_, base, position)| (base, position))
}
