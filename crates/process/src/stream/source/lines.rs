//! Bytes to lines.
//!
//! Guarantees: a line is handed out once it is whole, without its end (`\n` or `\r\n`); bytes of a
//! line that is not whole yet wait.
//! Left out: what a line means.

/// Longest line, in bytes: longer ones are cut and told apart by the caller.
pub(super) const LINE_BYTES_MAX: usize = 16 << 20;

/// Bytes that came and are not handed out yet.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// What is behind `filled` is room for more.
    buffer: Vec<u8>,
    /// Where the bytes end.
    filled: usize,
    /// Where each whole line ends, and how many were handed out.
    ends: Vec<usize>,
    taken: usize,
    /// Where the next line begins.
    next: usize,
    /// Bytes handed out or dropped so far: where the next line begins in the input.
    position: u64,
}

/// A line and where it begins.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    pub(super) text: &'a [u8],
    pub(super) position: u64,
}

/// Lines that were taken, and where the next one begins.
#[derive(Debug)]
pub(super) struct Taken<'a> {
    pub(super) lines: Vec<Line<'a>>,
    pub(super) next: u64,
}

impl Lines {
    /// Begins at a byte of a file.
    pub(super) fn at(position: u64) -> Self {
        Self { position, ..Self::default() }
    }

    /// What comes behind the whole lines, in a buffer of its own.
    pub(super) fn rest(&self, mut buffer: Vec<u8>) -> Self {
        let whole = self.ends.last().copied().unwrap_or(self.next);
        let rest = &self.buffer[whole..self.filled];
        if buffer.len() < rest.len() {
            buffer.resize(rest.len(), 0);
        }
        buffer[..rest.len()].copy_from_slice(rest);
        let position = self.position + (whole - self.next) as u64;
        Self { buffer, filled: rest.len(), position, ..Self::default() }
    }

    /// The buffer, for other lines.
    pub(super) fn into_buffer(self) -> Vec<u8> {
        self.buffer
    }

    /// Gives the room back.
    pub(super) fn shrink(&mut self) {
        self.buffer.truncate(self.filled);
        self.buffer.shrink_to_fit();
    }

    /// Room for so many bytes more, to be told of by [`Self::filled`]. Lines are taken before.
    pub(super) fn room(&mut self, bytes: usize) -> &mut [u8] {
        debug_assert!(!self.has_line(), "lines are taken before more is read");
        self.buffer.copy_within(self.next..self.filled, 0);
        self.filled -= self.next;
        (self.next, self.taken) = (0, 0);
        self.ends.clear();
        if self.buffer.len() < self.filled + bytes {
            self.buffer.resize(self.filled + bytes, 0);
        }
        &mut self.buffer[self.filled..][..bytes]
    }

    /// So many bytes have come into the room.
    pub(super) fn filled(&mut self, bytes: usize) {
        let came = &self.buffer[self.filled..][..bytes];
        self.ends.extend(memchr::memchr_iter(b'\n', came).map(|at| self.filled + at + 1));
        self.filled += bytes;
        // A line without an end is cut: what is read of it cannot be decoded, and says so.
        if self.ends.is_empty() && self.filled > LINE_BYTES_MAX {
            self.ends.push(self.filled);
        }
    }

    /// The input has ended: what is left is a line too.
    pub(super) fn finish(&mut self) {
        if self.ends.last().copied().unwrap_or(self.next) < self.filled {
            self.ends.push(self.filled);
        }
    }

    /// Whether [`Self::take`] would give something.
    pub(super) fn has_line(&self) -> bool {
        self.taken < self.ends.len()
    }

    /// Where the next line begins.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Up to `max` lines. Empty lines are lines.
    pub(super) fn take(&mut self, max: usize) -> Taken<'_> {
        let ends = &self.ends[self.taken..];
        let ends = &ends[..max.min(ends.len())];
        let begin = self.next;
        let mut lines = Vec::with_capacity(ends.len());
        for end in ends {
            let text = &self.buffer[self.next..*end];
            let text = text.strip_suffix(b"\n").unwrap_or(text);
            let text = text.strip_suffix(b"\r").unwrap_or(text);
            let position = self.position + (self.next - begin) as u64;
            lines.push(Line { text, position });
            self.next = *end;
        }
        self.taken += ends.len();
        self.position += (self.next - begin) as u64;
        Taken { lines, next: self.position }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(lines: &mut Lines) -> Vec<(String, u64)> {
        let text =
            |line: &Line<'_>| (String::from_utf8_lossy(line.text).into_owned(), line.position);
        let taken = lines.take(usize::MAX);
        let texts = taken.lines.iter().map(text).collect();
        assert_eq!(taken.next, lines.position());
        texts
    }

    #[test]
    fn lines_come_whole_however_the_bytes_are_cut() {
        let input = b"one\r\n\ntwo two\nthree";
        for cut in 1..input.len() {
            let (mut lines, mut ahead) = (Lines::default(), Lines::default());
            let mut found = Vec::new();
            let mut found_ahead = Vec::new();
            for piece in input.chunks(cut) {
                lines.room(piece.len()).copy_from_slice(piece);
                lines.filled(piece.len());
                found.extend(texts(&mut lines));
                // The same, each piece in a buffer that has been used, before lines are taken.
                let mut next = ahead.rest(b"used before".to_vec());
                next.room(piece.len()).copy_from_slice(piece);
                next.filled(piece.len());
                found_ahead.extend(texts(&mut ahead));
                ahead = next;
            }
            lines.finish();
            found.extend(texts(&mut lines));
            ahead.finish();
            found_ahead.extend(texts(&mut ahead));
            let expected = [("one", 0), ("", 5), ("two two", 6), ("three", 14)];
            let expected = expected.map(|(text, at)| (text.to_string(), at));
            assert_eq!(found, expected);
            assert_eq!(found_ahead, expected);
        }
    }

    #[test]
    fn as_many_lines_as_asked_for_are_taken() {
        let mut lines = Lines::at(100);
        lines.room(7).copy_from_slice(b"a\nb\nc\nd");
        lines.filled(7);
        assert_eq!(lines.take(2).next, 104);
        assert!(lines.has_line());
        assert_eq!(lines.take(2).lines, [Line { text: b"c", position: 104 }]);
        assert!(!lines.has_line());
    }

    #[test]
    fn a_line_without_an_end_is_cut() {
        let mut lines = Lines::default();
        while !lines.has_line() {
            lines.room(1 << 20).fill(b'x');
            lines.filled(1 << 20);
        }
        assert_eq!(lines.take(1).next as usize, LINE_BYTES_MAX + (1 << 20));
    }
}
