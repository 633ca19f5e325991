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
    /// Where the next line begins, where the last whole line ends, and where the bytes end.
    next: usize,
    whole: usize,
    filled: usize,
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
        let rest = &self.buffer[self.whole..self.filled];
        if buffer.len() < rest.len() {
            buffer.resize(rest.len(), 0);
        }
        buffer[..rest.len()].copy_from_slice(rest);
        let position = self.position + (self.whole - self.next) as u64;
        Self { buffer, next: 0, whole: 0, filled: rest.len(), position }
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
        debug_assert!(self.next == self.whole, "lines are taken before more is read");
        self.buffer.copy_within(self.next..self.filled, 0);
        self.filled -= self.next;
        (self.next, self.whole) = (0, 0);
        if self.buffer.len() < self.filled + bytes {
            self.buffer.resize(self.filled + bytes, 0);
        }
        &mut self.buffer[self.filled..][..bytes]
    }

    /// So many bytes have come into the room.
    pub(super) fn filled(&mut self, bytes: usize) {
        let came = self.filled..self.filled + bytes;
        self.filled = came.end;
        match memchr::memrchr(b'\n', &self.buffer[came.clone()]) {
            Some(last) => self.whole = came.start + last + 1,
            // A line without an end is cut: what is read of it cannot be decoded, and says so.
            None if self.filled - self.next > LINE_BYTES_MAX => self.whole = self.filled,
            None => {}
        }
    }

    /// The input has ended: what is left is a line too.
    pub(super) fn finish(&mut self) {
        self.whole = self.filled;
    }

    /// Whether [`Self::take`] would give something.
    pub(super) fn has_line(&self) -> bool {
        self.next < self.whole
    }

    /// Where the next line begins.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Up to `max` lines. Empty lines are lines.
    pub(super) fn take(&mut self, max: usize) -> Taken<'_> {
        let bytes = &self.buffer[self.next..self.whole];
        let mut lines = Vec::with_capacity(max.min(bytes.len() / 64 + 1));
        let mut begin = 0;
        while lines.len() < max && begin < bytes.len() {
            let rest = &bytes[begin..];
            let end = memchr::memchr(b'\n', rest);
            let text = &rest[..end.unwrap_or(rest.len())];
            let text = text.strip_suffix(b"\r").unwrap_or(text);
            lines.push(Line { text, position: self.position + begin as u64 });
            begin += end.map_or(rest.len(), |end| end + 1);
        }
        self.next += begin;
        self.position += begin as u64;
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
