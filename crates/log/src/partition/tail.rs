//! Recent batches in memory, for readers who keep up.
//!
//! Guarantees: at most so many bytes as it is told; what it holds is contiguous and ends where the
//! partition ends. Left out: what is readable, which the high watermark decides.

use bytes::Bytes;
use std::collections::VecDeque;
use tradewind_types::Offset;

/// What one write put into the file: whole batches.
#[derive(Debug, Clone)]
pub(super) struct Chunk {
    pub(super) base: Offset,
    pub(super) end: Offset,
    pub(super) bytes: Bytes,
}

#[derive(Debug, Default)]
pub(super) struct Tail {
    chunks: VecDeque<Chunk>,
    bytes: usize,
}

impl Tail {
    /// Adds a chunk at the end and lets go of the oldest past `bytes_max`.
    pub(super) fn push(&mut self, chunk: Chunk, bytes_max: usize) {
        if self.chunks.back().is_some_and(|last| last.end != chunk.base) {
            self.clear();
        }
        self.bytes += chunk.bytes.len();
        self.chunks.push_back(chunk);
        while self.bytes > bytes_max {
            let Some(oldest) = self.chunks.pop_front() else { break };
            self.bytes -= oldest.bytes.len();
        }
    }

    pub(super) fn clear(&mut self) {
        self.chunks.clear();
        self.bytes = 0;
    }

    /// Lets go of the chunks that end at or below `offset`.
    pub(super) fn forget_below(&mut self, offset: Offset) {
        while self.chunks.front().is_some_and(|chunk| chunk.end <= offset) {
            let Some(chunk) = self.chunks.pop_front() else { return };
            self.bytes -= chunk.bytes.len();
        }
    }

    /// The chunks from the one that holds `from` on, those that end past `high_watermark` left
    /// out; `None` when `from` is not in memory. Stops after `max_bytes`.
    pub(super) fn from(
        &self,
        from: Offset,
        high_watermark: Offset,
        max_bytes: usize,
    ) -> Option<Vec<Chunk>> {
        if self.chunks.front().is_none_or(|oldest| oldest.base > from) {
            return None;
        }
        let first = self.chunks.partition_point(|chunk| chunk.end <= from);
        let mut chunks = Vec::new();
        let mut bytes = 0;
        for chunk in self.chunks.range(first..) {
            // The first chunk may hold much before `from`, so it does not count.
            if chunk.end > high_watermark || (chunks.len() > 1 && bytes >= max_bytes) {
                break;
            }
            bytes += if chunks.is_empty() { 0 } else { chunk.bytes.len() };
            chunks.push(chunk.clone());
        }
        Some(chunks)
    }
}
