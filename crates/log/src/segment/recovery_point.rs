//! What a partition knows to be durable, kept across a crash.
//!
//! Guarantees: there is always one whole slot, because the two are written in turn and synced.
//! Left out: when it moves (partition).

use std::io;
use std::path::{Path, PathBuf};
use tradewind_disk::{Create, Disk};
use tradewind_types::Offset;

const MAGIC: [u8; 4] = *b"TWRP";
const VERSION: u32 = 1;
const SLOT_BYTES: usize = 64;
/// Slots lie in pages of their own, so that tearing one leaves the other whole.
const SLOT_POSITIONS: [u64; 2] = [0, 4096];
const CRC_AT: usize = 60;

/// A partition's durable facts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct RecoveryPoint {
    /// Counts the writes; its parity names the slot.
    pub(crate) sequence: u64,
    /// Records below were given up by retention.
    pub(crate) log_start: Offset,
    /// Everything below is durable.
    pub(crate) offset: Offset,
    /// The segment that holds `offset`.
    pub(crate) segment_base: Offset,
    /// Where `offset` lies in that segment.
    pub(crate) position: u64,
    /// Compaction has been over everything below.
    pub(crate) compacted_to: Offset,
    /// Which snapshot of the producers speaks of every numbered batch below `offset`.
    pub(crate) numbered: Numbered,
}

/// Where the numbered batches below a recovery point are, as far as it says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Numbered(u32);

impl Numbered {
    /// Some lie above the newest snapshot.
    pub(crate) const ABOVE: Self = Self(1);

    /// All lie below the snapshot of this offset; without a snapshot there are none.
    pub(crate) fn below(snapshot: Option<Offset>) -> Self {
        // Two bits tell it from the other two; the rest only has to tell snapshots apart.
        Self(crc32c::crc32c(&snapshot.unwrap_or(-1).to_be_bytes()) | 0b11)
    }

    /// Whether the file says so: those of releases that did not look do not.
    pub(crate) fn known(self) -> bool {
        self != Self::default()
    }
}

impl RecoveryPoint {
    pub(crate) fn path(dir: &Path) -> PathBuf {
        dir.join("recovery-point")
    }

    /// The newest whole slot; `None` when there is no file or no slot is whole.
    pub(crate) fn read(disk: &dyn Disk, dir: &Path) -> io::Result<Option<Self>> {
        let bytes = match disk.read(&Self::path(dir)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let slots = SLOT_POSITIONS.iter().filter_map(|at| {
            let at = *at as usize;
            Self::decode(bytes.get(at..at + SLOT_BYTES)?)
        });
        Ok(slots.max_by_key(|point| point.sequence))
    }

    /// Writes the point that comes after this one, durably. The file's name is not synced.
    pub(crate) fn write(&self, disk: &dyn Disk, dir: &Path) -> io::Result<()> {
        let file = disk.open(&Self::path(dir), Create::IfMissing)?;
        file.write_all_at(&self.encode(), SLOT_POSITIONS[(self.sequence % 2) as usize])?;
        file.sync()
    }

    fn encode(&self) -> [u8; SLOT_BYTES] {
        let mut out = [0; SLOT_BYTES];
        out[..4].copy_from_slice(&MAGIC);
        out[4..8].copy_from_slice(&VERSION.to_be_bytes());
        out[8..16].copy_from_slice(&self.sequence.to_be_bytes());
        out[16..24].copy_from_slice(&self.log_start.to_be_bytes());
        out[24..32].copy_from_slice(&self.offset.to_be_bytes());
        out[32..40].copy_from_slice(&self.segment_base.to_be_bytes());
        out[40..48].copy_from_slice(&self.position.to_be_bytes());
        out[48..56].copy_from_slice(&self.compacted_to.to_be_bytes());
        out[56..60].copy_from_slice(&self.numbered.0.to_be_bytes());
        let crc = crc32c::crc32c(&out[..CRC_AT]);
        out[CRC_AT..].copy_from_slice(&crc.to_be_bytes());
        out
    }

    fn decode(slot: &[u8]) -> Option<Self> {
        let u64_at = |at: usize| {
            u64::from_be_bytes(slot[at..at + 8].try_into().expect("a slot has 64 bytes"))
        };
        let crc = u32::from_be_bytes(slot[CRC_AT..].try_into().expect("a slot has 64 bytes"));
        let known = slot[..4] == MAGIC && slot[4..8] == VERSION.to_be_bytes();
        if !known || crc != crc32c::crc32c(&slot[..CRC_AT]) {
            return None;
        }
        Some(Self {
            sequence: u64_at(8),
            log_start: u64_at(16) as i64,
            offset: u64_at(24) as i64,
            segment_base: u64_at(32) as i64,
            position: u64_at(40),
            compacted_to: u64_at(48) as i64,
            numbered: Numbered(u64_at(52) as u32),
        })
    }
}
