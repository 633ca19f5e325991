//! Bytes to lines.
//!
//! Guarantees: a line is handed out once it is whole, without its end (`\n` or `\r\n`); bytes of a
//! line that is not whole yet wait.
//! Left out: what a line means.

use bytes::{Buf, Bytes, BytesMut};

/// Longest line, in bytes: longer ones are cut and told apart by the caller.
pub(super) const LINE_BYTES_MAX: usize = 16 << 20;

/// Bytes that came and are not handed out yet.
#[derive(Debug, Default)]
pub(super) struct Lines {
    whole: Bytes,
    rest: BytesMut,
    /// Bytes handed out or dropped so far: where `whole` begins.
    position: u64,
}

/// A line and where it begins.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) text: Bytes,
    pub(super) position: u64,
}

impl Lines {
    /// Begins at a byte of a file.
    pub(super) fn at(position: u64) -> Self {
        Self { position, ..Self::default() }
    }

    /// Takes bytes in.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        debug_assert!(self.whole.is_empty(), "lines are taken before more is read");
        match memchr::memrchr(b'\n', bytes) {
            None if self.rest.len() + bytes.len() <= LINE_BYTES_MAX => {
                self.rest.extend_from_slice(bytes);
            }
            // A line without an end is cut: what is read of it cannot be decoded, and says so.
            None => {
                self.rest.extend_from_slice(bytes);
                self.whole = std::mem::take(&mut self.rest).freeze();
            }
            Some(last) => {
                self.rest.extend_from_slice(&bytes[..=last]);
                self.whole = std::mem::take(&mut self.rest).freeze();
                self.rest.extend_from_slice(&bytes[last + 1..]);
            }
        }
    }

    /// The input has ended: what is left is a line too.
    pub(super) fn finish(&mut self) {
        if self.whole.is_empty() {
            self.whole = std::mem::take(&mut self.rest).freeze();
        }
    }

    /// Whether [`Self::take`] would give something.
    pub(super) fn has_line(&self) -> bool {
        !self.whole.is_empty()
    }

    /// Where the next line begins.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Up to `max` lines. Empty lines are lines.
    pub(super) fn take(&mut self, max: usize) -> Vec<Line> {
        let mut lines = Vec::with_capacity(max.min(self.whole.len() / 16 + 1));
        while lines.len() < max && !self.whole.is_empty() {
            let (end, next) = match memchr::memchr(b'\n', &self.whole) {
                Some(end) => (end, end + 1),
                None => (self.whole.len(), self.whole.len()),
            };
            let text = self.whole.slice(..end);
            let text = if text.ends_with(b"\r") { text.slice(..end - 1) } else { text };
            lines.push(Line { text, position: self.position });
            self.whole.advance(next);
            self.position += next as u64;
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(lines: Vec<Line>) -> Vec<(String, u64)> {
        let text = |line: Line| (String::from_utf8_lossy(&line.text).into_owned(), line.position);
        lines.into_iter().map(text).collect()
    }

    #[test]
    fn lines_come_whole_however_the_bytes_are_cut() {
        let input = b"one\r\n\ntwo two\nthree";
        for cut in 1..input.len() {
            let mut lines = Lines::default();
            let mut found = Vec::new();
            for piece in input.chunks(cut) {
                lines.push(piece);
                found.extend(texts(lines.take(usize::MAX)));
            }
            lines.finish();
            found.extend(texts(lines.take(usize::MAX)));
            let expected = [("one", 0), ("", 5), ("two two", 6), ("three", 14)];
            assert_eq!(found, expected.map(|(text, at)| (text.to_string(), at)));
        }
    }
}
