//! A text file as records: lines, or JSON values that spread over lines; plain or gzip.
//!
//! Guarantees: memory is bounded by [`RECORD_BYTES_MAX`] whatever the file holds; a range of a
//! plain file yields exactly the lines that start in it, so ranges side by side yield each line
//! once.
//! Left out: what a record means.

use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

/// How much is read at once: large enough for the disk, small enough for the cache.
const READ_BYTES: usize = 512 << 10;
/// The longest line or JSON value: one record must fit memory, and a file without a single line
/// break must not fill it.
pub(super) const RECORD_BYTES_MAX: usize = 64 << 20;

/// A file that was found.
#[derive(Debug, Clone)]
pub(super) struct Input {
    pub(super) path: PathBuf,
    pub(super) gzip: bool,
    /// Bytes on disk.
    pub(super) len: u64,
}

/// What one reader reads: a file, or a range of a plain one.
#[derive(Debug, Clone)]
pub(super) struct Chunk {
    pub(super) input: Arc<Input>,
    pub(super) range: Option<Range<u64>>,
}

/// How records are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// One record a line.
    Lines,
    /// JSON objects one after another or in an array, over any number of lines.
    Values,
}

impl Input {
    /// The file's bytes, unpacked.
    pub(super) fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        let file = File::open(&self.path)?;
        Ok(match self.gzip {
            true => Box::new(MultiGzDecoder::new(io::BufReader::with_capacity(64 << 10, file))),
            false => Box::new(file),
        })
    }

    /// The line (from 1) that the byte at `position` is in. For messages: reads the file again.
    pub(super) fn line_at(&self, position: u64) -> io::Result<u64> {
        let mut before = self.open()?.take(position);
        let mut buffer = vec![0; READ_BYTES];
        let mut lines = 1;
        loop {
            match before.read(&mut buffer)? {
                0 => return Ok(lines),
                read => lines += memchr::memchr_iter(b'\n', &buffer[..read]).count() as u64,
            }
        }
    }
}

/// Reads a chunk record by record.
pub(super) struct Records {
    reader: Box<dyn Read + Send>,
    layout: Layout,
    buffer: Vec<u8>,
    /// The part of `buffer` that was read and not given out.
    ready: Range<usize>,
    /// Where `buffer[0]` lies in the (unpacked) file.
    position: u64,
    /// Records that start here or later belong to the next chunk.
    end: u64,
    ended: bool,
    values: ValueScan,
}

/// What stopped a reader.
#[derive(Debug)]
pub(super) enum ReadFault {
    /// The file system, or broken gzip.
    Io(io::Error),
    /// The file's content, at a byte of it.
    Content { position: u64, reason: String },
}

impl From<io::Error> for ReadFault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Records {
    pub(super) fn open(chunk: &Chunk, layout: Layout) -> Result<Self, ReadFault> {
        let mut records = Self {
            reader: Box::new(io::empty()),
            layout,
            buffer: vec![0; READ_BYTES],
            ready: 0..0,
            position: 0,
            end: chunk.range.as_ref().map_or(u64::MAX, |range| range.end),
            ended: false,
            values: ValueScan::default(),
        };
        match chunk.range.as_ref().map_or(0, |range| range.start) {
            0 => {
                records.reader = chunk.input.open()?;
                records.skip_byte_order_mark()?;
            }
            start => {
                let mut file = File::open(&chunk.input.path)?;
                file.seek(SeekFrom::Start(start - 1))?;
                records.reader = Box::new(file);
                records.position = start - 1;
                // The line that the byte before the range is in belongs to the chunk before.
                records.end = u64::MAX;
                records.next()?;
                records.end = chunk.range.as_ref().map_or(u64::MAX, |range| range.end);
            }
        }
        Ok(records)
    }

    /// The next record and the byte it starts at; `None` at the end of the chunk.
    pub(super) fn next(&mut self) -> Result<Option<(&[u8], u64)>, ReadFault> {
        let mut scanned = 0;
        loop {
            let start = self.position + self.ready.start as u64;
            if self.layout == Layout::Lines && start >= self.end {
                return Ok(None);
            }
            if let Some((record, used)) = self.split(&mut scanned)? {
                let at = self.position + record.start as u64;
                self.ready.start += used;
                return Ok(Some((&self.buffer[record], at)));
            }
            if self.ended {
                return self.last();
            }
            self.fill()?;
        }
    }

    /// A whole record in what is ready, as a range of the buffer, and the bytes it takes up.
    /// `scanned` bytes are known to hold no end.
    fn split(&mut self, scanned: &mut usize) -> Result<Option<(Range<usize>, usize)>, ReadFault> {
        let base = self.ready.start;
        let bytes = &self.buffer[self.ready.clone()];
        match self.layout {
            Layout::Lines => {
                let found = memchr::memchr(b'\n', &bytes[*scanned..]).map(|at| at + *scanned);
                *scanned = bytes.len();
                Ok(found.map(|end| {
                    let text = end - usize::from(end > 0 && bytes[end - 1] == b'\r');
                    (base..base + text, end + 1)
                }))
            }
            Layout::Values => match self.values.scan(bytes) {
                Ok(found) => {
                    Ok(found.map(|value| (base + value.start..base + value.end, value.end)))
                }
                Err((at, reason)) => {
                    let position = self.position + (base + at) as u64;
                    Err(ReadFault::Content { position, reason })
                }
            },
        }
    }

    /// What is left when the file has ended.
    fn last(&mut self) -> Result<Option<(&[u8], u64)>, ReadFault> {
        let rest = self.ready.clone();
        let position = self.position + rest.start as u64;
        self.ready.start = rest.end;
        if self.layout == Layout::Values {
            return match self.values.open_at_end() {
                true => Err(ReadFault::Content {
                    position,
                    reason: "the file ends in the middle of a value".into(),
                }),
                false => Ok(None),
            };
        }
        match rest.is_empty() {
            true => Ok(None),
            false => Ok(Some((&self.buffer[rest], position))),
        }
    }

    /// Reads more behind what is ready.
    fn fill(&mut self) -> Result<(), ReadFault> {
        if self.ready.start > 0 {
            self.buffer.copy_within(self.ready.clone(), 0);
            self.position += self.ready.start as u64;
            self.ready = 0..self.ready.len();
        }
        if self.ready.end == self.buffer.len() {
            if self.buffer.len() >= RECORD_BYTES_MAX {
                return Err(ReadFault::Content {
                    position: self.position,
                    reason: format!("a record is longer than {RECORD_BYTES_MAX} bytes"),
                });
            }
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        loop {
            match self.reader.read(&mut self.buffer[self.ready.end..]) {
                Ok(0) => self.ended = true,
                Ok(read) => self.ready.end += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            }
            return Ok(());
        }
    }

    fn skip_byte_order_mark(&mut self) -> Result<(), ReadFault> {
        while self.ready.len() < 3 && !self.ended {
            self.fill()?;
        }
        if self.buffer[self.ready.clone()].starts_with(b"\xef\xbb\xbf") {
            self.ready.start += 3;
            // The mark belongs to the first line, which starts at byte 0.
            self.end = self.end.max(4);
        }
        Ok(())
    }
}

/// Finds objects one after another, between them white space, commas and an array's brackets.
#[derive(Debug, Default)]
struct ValueScan {
    /// Where the scan goes on, and where the open object starts, both from the ready bytes' start.
    at: usize,
    start: Option<usize>,
    depth: usize,
    in_text: bool,
    escaped: bool,
    brackets: usize,
}

impl ValueScan {
    fn scan(&mut self, bytes: &[u8]) -> Result<Option<Range<usize>>, (usize, String)> {
        while let Some(&byte) = bytes.get(self.at) {
            self.at += 1;
            match self.start {
                None => self.between(byte, self.at - 1)?,
                Some(start) => {
                    if self.inside(byte) {
                        let value = start..self.at;
                        // The caller takes everything up to the value's end.
                        (self.at, self.start) = (0, None);
                        return Ok(Some(value));
                    }
                }
            }
        }
        Ok(None)
    }

    fn between(&mut self, byte: u8, at: usize) -> Result<(), (usize, String)> {
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' | b',' => {}
            b'[' if self.brackets == 0 => self.brackets = 1,
            b']' if self.brackets == 1 => self.brackets = 0,
            b'{' => (self.start, self.depth) = (Some(at), 1),
            _ => return Err((at, "an object is expected here".into())),
        }
        Ok(())
    }

    /// Whether `byte` closes the object.
    fn inside(&mut self, byte: u8) -> bool {
        if self.in_text {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_text = false,
                _ => {}
            }
            return false;
        }
        match byte {
            b'"' => self.in_text = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth -= 1,
            _ => {}
        }
        self.depth == 0
    }

    fn open_at_end(&self) -> bool {
        self.start.is_some() || self.brackets > 0
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::io::Write;

    fn chunk(text: &[u8]) -> (tempfile::NamedTempFile, Arc<Input>) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text).unwrap();
        let path = file.path().to_path_buf();
        (file, Arc::new(Input { path, gzip: false, len: text.len() as u64 }))
    }

    fn read(input: &Arc<Input>, range: Option<Range<u64>>, layout: Layout) -> Vec<String> {
        let chunk = Chunk { input: Arc::clone(input), range };
        let mut records = Records::open(&chunk, layout).unwrap();
        let mut all = Vec::new();
        while let Some((record, _)) = records.next().unwrap() {
            all.push(String::from_utf8(record.to_vec()).unwrap());
        }
        all
    }

    #[test]
    fn ranges_side_by_side_yield_each_line_once_wherever_they_are_cut() {
        let text = b"\xef\xbb\xbfone\ntwo\r\n\nfour\nfive";
        let (_file, input) = chunk(text);
        let whole = read(&input, None, Layout::Lines);
        assert_eq!(whole, ["one", "two", "", "four", "five"]);
        for cut in 1..text.len() as u64 {
            let mut both = read(&input, Some(0..cut), Layout::Lines);
            both.extend(read(&input, Some(cut..text.len() as u64), Layout::Lines));
            assert_eq!(both, whole, "cut at byte {cut}");
        }
    }

    #[test]
    fn values_over_lines_and_in_arrays_are_found() {
        let (_file, input) = chunk(b"[ {\"a\": \"}\\\"]\"},\n {\"b\": [1, {\"c\": 2}]\n} ]\n");
        assert_eq!(
            read(&input, None, Layout::Values),
            ["{\"a\": \"}\\\"]\"}", "{\"b\": [1, {\"c\": 2}]\n}"]
        );
    }

    #[test]
    fn a_value_cut_short_is_an_error() {
        let (_file, input) = chunk(b"[{\"a\":1}, {\"a\":");
        let mut records = Records::open(&Chunk { input, range: None }, Layout::Values).unwrap();
        assert!(records.next().unwrap().is_some());
        assert!(matches!(records.next(), Err(ReadFault::Content { .. })));
    }

    #[test]
    fn a_line_longer_than_the_buffer_is_whole() {
        let long = "x".repeat(READ_BYTES * 3);
        let (_file, input) = chunk(format!("{long}\nend\n").as_bytes());
        assert_eq!(read(&input, None, Layout::Lines), [long.as_str(), "end"]);
    }
}
