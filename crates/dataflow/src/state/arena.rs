//! Byte strings by slot, in one piece of memory.
//!
//! Guarantees: at most half of it is garbage, small arenas apart.

/// Below this many bytes garbage is not worth a move.
const COMPACT_BYTES_MIN: usize = 64 * 1024;

#[derive(Debug, Default)]
pub(super) struct Arena {
    bytes: Vec<u8>,
    /// Where each slot's bytes begin, and how many they are.
    spans: Vec<(usize, u32)>,
    garbage: usize,
}

impl Arena {
    #[inline]
    pub(super) fn get(&self, slot: u32) -> &[u8] {
        let (start, len) = self.spans[slot as usize];
        &self.bytes[start..start + len as usize]
    }

    /// Sets an empty slot's bytes; slots up to it come to be.
    pub(super) fn set(&mut self, slot: u32, value: &[u8]) {
        if self.spans.len() <= slot as usize {
            self.spans.resize(slot as usize + 1, (0, 0));
        }
        self.spans[slot as usize] = (self.bytes.len(), value.len() as u32);
        self.bytes.extend_from_slice(value);
    }

    /// Empties a slot.
    pub(super) fn remove(&mut self, slot: u32) {
        let (_, len) = std::mem::take(&mut self.spans[slot as usize]);
        self.garbage += len as usize;
        if self.bytes.len() >= COMPACT_BYTES_MIN && self.garbage * 2 > self.bytes.len() {
            self.compact();
        }
    }

    fn compact(&mut self) {
        let mut kept = Vec::with_capacity(self.bytes.len() - self.garbage);
        for (start, len) in &mut self.spans {
            let from = *start;
            *start = kept.len();
            kept.extend_from_slice(&self.bytes[from..from + *len as usize]);
        }
        self.bytes = kept;
        self.garbage = 0;
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.capacity() + self.spans.capacity() * size_of::<(usize, u32)>()
    }
}
