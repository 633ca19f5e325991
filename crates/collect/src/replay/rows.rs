//! Rows of a file, one at a time, each with the line it starts on and its bytes as they are.
//!
//! Guarantees: every line of the file is a row or an unreadable one, none is passed over except
//! blank lines and the CSV header; line numbers are an editor's (from 1, the header counted).
//! Left out: types. A CSV field is text; a JSON value is its own text.

use super::ReplayError;
use flate2::read::MultiGzDecoder;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of one row: past it a quote was never closed, or the file is not text.
const ROW_BYTES_MAX: usize = 1024 * 1024;

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFormat {
    /// Comma-separated, the first line a header.
    Csv,
    /// One JSON object a line.
    JsonLines,
}

impl FileFormat {
    /// By the file's name, `.gz` aside.
    pub fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?.to_ascii_lowercase();
        let name = name.strip_suffix(".gz").unwrap_or(&name);
        match name.rsplit_once('.')?.1 {
            "csv" => Some(Self::Csv),
            "json" | "jsonl" | "ndjson" => Some(Self::JsonLines),
            _ => None,
        }
    }
}

/// One field of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell<'a> {
    /// Text: a CSV field, or a JSON string.
    Text(Cow<'a, str>),
    /// The text of any other JSON value: number, true, false, object, array.
    Json(&'a str),
}

impl Cell<'_> {
    /// The field as text, whatever it is.
    pub fn text(&self) -> &str {
        match self {
            Cell::Text(text) => text,
            Cell::Json(text) => text,
        }
    }

    /// Nothing in it: an empty field.
    pub fn empty(&self) -> bool {
        self.text().is_empty()
    }
}

/// One row of a file.
#[derive(Debug)]
pub struct Row {
    /// The line it starts on, from 1.
    pub line: u64,
    /// Its bytes, without the line end.
    pub raw: Vec<u8>,
    /// Its fields, or why it cannot be read.
    pub fields: Result<Fields, String>,
}

/// The fields of a row.
#[derive(Debug)]
pub enum Fields {
    /// By the header's order.
    Csv(csv::StringRecord, Arc<Header>),
    /// By name.
    Json(HashMap<String, Box<RawValue>>),
}

/// The names of a CSV file's columns.
#[derive(Debug, Default)]
pub struct Header {
    /// In the file's order.
    pub names: Vec<String>,
    places: HashMap<String, usize>,
}

impl Fields {
    /// The field called `column`. `None` when the row has none of that name, or it is null or
    /// empty.
    pub fn get(&self, column: &str) -> Option<Cell<'_>> {
        let cell = match self {
            Self::Csv(record, header) => {
                Cell::Text(Cow::Borrowed(record.get(*header.places.get(column)?)?))
            }
            Self::Json(fields) => json_cell(fields.get(column)?.get())?,
        };
        Some(cell).filter(|cell| !cell.empty())
    }

    /// The names of this row's columns, in the file's order for CSV and sorted for JSON.
    pub fn columns(&self) -> Vec<&str> {
        match self {
            Self::Csv(_, header) => header.names.iter().map(String::as_str).collect(),
            Self::Json(fields) => {
                let mut names: Vec<_> = fields.keys().map(String::as_str).collect();
                names.sort_unstable();
                names
            }
        }
    }
}

fn json_cell(text: &str) -> Option<Cell<'_>> {
    match text.as_bytes().first()? {
        b'n' => None,
        b'"' => serde_json::from_str(text).ok().map(|text: String| Cell::Text(Cow::Owned(text))),
        _ => Some(Cell::Json(text)),
    }
}

/// The rows of one open file.
#[derive(Debug)]
pub struct Rows {
    path: String,
    kind: Kind,
    read: Arc<AtomicU64>,
}

enum Kind {
    Csv { reader: Box<csv::Reader<Window>>, window: Window, header: Arc<Header> },
    JsonLines { reader: Box<dyn BufRead>, line: u64 },
}

impl std::fmt::Debug for Kind {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.write_str(match self {
            Self::Csv { .. } => "Csv",
            Self::JsonLines { .. } => "JsonLines",
        })
    }
}

impl Rows {
    /// Opens a file; reads the header of a CSV one.
    pub fn open(path: &Path, format: FileFormat) -> Result<Self, ReplayError> {
        let name = path.display().to_string();
        let fail = |error| ReplayError::File { path: name.clone(), source: error };
        let read = Arc::new(AtomicU64::new(0));
        let file = Counted { inner: File::open(path).map_err(fail)?, read: read.clone() };
        let gz = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("gz"));
        let mut text: Box<dyn BufRead> = if gz {
            Box::new(BufReader::new(MultiGzDecoder::new(BufReader::new(file))))
        } else {
            Box::new(BufReader::new(file))
        };
        skip_byte_order_mark(&mut text).map_err(fail)?;
        let kind = match format {
            FileFormat::Csv => open_csv(&name, text)?,
            FileFormat::JsonLines => Kind::JsonLines { reader: text, line: 0 },
        };
        Ok(Self { path: name, kind, read })
    }

    /// Bytes of the file read so far, as they are on disk.
    pub fn bytes_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// A CSV file's columns; `None` where every row names its own.
    pub fn header(&self) -> Option<&Header> {
        match &self.kind {
            Kind::Csv { header, .. } => Some(header),
            Kind::JsonLines { .. } => None,
        }
    }

    /// The next row, `None` at the end. An error means that what follows cannot be told apart.
    pub fn next_row(&mut self) -> Result<Option<Row>, ReplayError> {
        match &mut self.kind {
            Kind::Csv { reader, window, header } => next_csv(&self.path, reader, window, header),
            Kind::JsonLines { reader, line } => next_json(&self.path, reader, line),
        }
    }
}

fn open_csv(path: &str, text: Box<dyn BufRead>) -> Result<Kind, ReplayError> {
    let window = Window::over(text);
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(window.clone());
    let mut header = Header::default();
    if let Some(row) = next_csv(path, &mut reader, &window, &Arc::default())? {
        let Ok(Fields::Csv(record, _)) = row.fields else {
            let reason = "the header is not UTF-8".to_owned();
            return Err(ReplayError::Framing { path: path.to_owned(), line: row.line, reason });
        };
        header.names = record.iter().map(str::to_owned).collect();
        for (place, name) in header.names.iter().enumerate() {
            if header.places.insert(name.clone(), place).is_some() {
                let reason = format!("the header names column {name:?} twice");
                return Err(ReplayError::Framing { path: path.to_owned(), line: row.line, reason });
            }
        }
    }
    Ok(Kind::Csv { reader: Box::new(reader), window, header: Arc::new(header) })
}

fn next_csv(
    path: &str,
    reader: &mut csv::Reader<Window>,
    window: &Window,
    header: &Arc<Header>,
) -> Result<Option<Row>, ReplayError> {
    let (start, start_line) = (reader.position().byte(), reader.position().line());
    let mut record = csv::ByteRecord::new();
    match reader.read_byte_record(&mut record) {
        Ok(true) => {}
        Ok(false) => return Ok(None),
        Err(error) => {
            let reason = error.to_string();
            return Err(ReplayError::Framing { path: path.to_owned(), line: start_line, reason });
        }
    }
    let raw = window.take(start, reader.position().byte());
    // The reader passes over blank lines before a record: the row starts after them.
    let blank = raw.iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
    let line = start_line + raw[..blank].iter().filter(|byte| **byte == b'\n').count() as u64;
    let raw = trim_line_end(&raw[blank..]).to_vec();
    let fields = match quote_left_open(&raw) {
        true => Err("a quote is opened and never closed".to_owned()),
        false => csv_fields(record, header),
    };
    Ok(Some(Row { line, raw, fields }))
}

/// Only a quoted field spans lines; with an odd number of quotes it ended at the file's end or at
/// a quote of another row.
fn quote_left_open(raw: &[u8]) -> bool {
    raw.contains(&b'\n') && raw.iter().filter(|byte| **byte == b'"').count() % 2 == 1
}

fn csv_fields(record: csv::ByteRecord, header: &Arc<Header>) -> Result<Fields, String> {
    let record = csv::StringRecord::from_byte_record(record)
        .map_err(|error| format!("field {} is not UTF-8", error.utf8_error().field() + 1))?;
    let (has, wants) = (record.len(), header.names.len());
    if wants > 0 && has != wants {
        return Err(format!("{has} fields where the header has {wants}"));
    }
    Ok(Fields::Csv(record, header.clone()))
}

fn next_json(
    path: &str,
    reader: &mut Box<dyn BufRead>,
    line: &mut u64,
) -> Result<Option<Row>, ReplayError> {
    loop {
        let mut raw = Vec::new();
        let taken = reader.as_mut().take(ROW_BYTES_MAX as u64 + 1).read_until(b'\n', &mut raw);
        let fail = |source| ReplayError::File { path: path.to_owned(), source };
        if taken.map_err(fail)? == 0 {
            return Ok(None);
        }
        *line += 1;
        if raw.len() > ROW_BYTES_MAX {
            let reason = format!("a line of more than {ROW_BYTES_MAX} bytes");
            return Err(ReplayError::Framing { path: path.to_owned(), line: *line, reason });
        }
        let text = trim_line_end(&raw);
        if text.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let fields = serde_json::from_slice(text)
            .map(Fields::Json)
            .map_err(|error| format!("not a JSON object: {error}"));
        return Ok(Some(Row { line: *line, raw: text.to_vec(), fields }));
    }
}

fn trim_line_end(raw: &[u8]) -> &[u8] {
    let raw = raw.strip_suffix(b"\n").unwrap_or(raw);
    raw.strip_suffix(b"\r").unwrap_or(raw)
}

fn skip_byte_order_mark(text: &mut Box<dyn BufRead>) -> std::io::Result<()> {
    if text.fill_buf()?.starts_with(b"\xef\xbb\xbf") {
        text.consume(3);
    }
    Ok(())
}

struct Counted<R> {
    inner: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(into)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// What the CSV reader has taken in and not yet given out as rows, so that a row's own bytes can
/// be shown.
#[derive(Clone)]
struct Window(Rc<RefCell<WindowBytes>>);

struct WindowBytes {
    text: Box<dyn BufRead>,
    bytes: Vec<u8>,
    start: u64,
}

impl Window {
    fn over(text: Box<dyn BufRead>) -> Self {
        Self(Rc::new(RefCell::new(WindowBytes { text, bytes: Vec::new(), start: 0 })))
    }

    /// The bytes between two positions of the text; what lies before `end` is forgotten once it
    /// outweighs what is kept.
    fn take(&self, start: u64, end: u64) -> Vec<u8> {
        let mut window = self.0.borrow_mut();
        let from = (start - window.start) as usize;
        let to = (end - window.start) as usize;
        let raw = window.bytes[from..to].to_vec();
        if to * 2 > window.bytes.len() {
            window.bytes.drain(..to);
            window.start = end;
        }
        raw
    }
}

impl Read for Window {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let window = &mut *self.0.borrow_mut();
        if window.bytes.len() > ROW_BYTES_MAX {
            return Err(std::io::Error::other(format!(
                "a row of more than {ROW_BYTES_MAX} bytes: is a quote never closed?"
            )));
        }
        let count = window.text.read(into)?;
        window.bytes.extend_from_slice(&into[..count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn rows_of(name: &str, bytes: &[u8]) -> Vec<Row> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let mut rows = Rows::open(&path, FileFormat::of(&path).unwrap()).unwrap();
        std::iter::from_fn(|| rows.next_row().unwrap()).collect()
    }

    #[test]
    fn csv_rows_know_their_line_and_their_bytes() {
        let text = b"\xef\xbb\xbfa,b\n1,\"x\ny\"\n\n\r\n2,\"q \"\"z\"\"\"\r\nshort\n3,\xff\n4,last";
        let rows = rows_of("t.csv", text);
        let lines: Vec<_> = rows.iter().map(|row| row.line).collect();
        assert_eq!(lines, [2, 6, 7, 8, 9]);
        assert_eq!(rows[0].raw, b"1,\"x\ny\"");
        assert_eq!(rows[0].fields.as_ref().unwrap().get("b").unwrap().text(), "x\ny");
        assert_eq!(rows[1].raw, b"2,\"q \"\"z\"\"\"");
        assert_eq!(rows[1].fields.as_ref().unwrap().get("b").unwrap().text(), "q \"z\"");
        assert!(rows[2].fields.as_ref().unwrap_err().contains("1 fields where the header has 2"));
        assert!(rows[3].fields.as_ref().unwrap_err().contains("field 2 is not UTF-8"));
        assert_eq!(rows[3].raw, b"3,\xff");
        assert_eq!(rows[4].raw, b"4,last");
    }

    #[test]
    fn json_numbers_keep_their_text() {
        let text =
            b"{\"a\":1.10,\"b\":\"\",\"c\":null}\n\n[1]\n{\"a\":12345678901234567890.123456}";
        let rows = rows_of("t.jsonl", text);
        let fields = rows[0].fields.as_ref().unwrap();
        assert_eq!(fields.get("a"), Some(Cell::Json("1.10")));
        assert_eq!((fields.get("b"), fields.get("c"), fields.get("d")), (None, None, None));
        assert_eq!(rows[1].line, 3);
        assert!(rows[1].fields.is_err());
        let fields = rows[2].fields.as_ref().unwrap();
        assert_eq!(fields.get("a"), Some(Cell::Json("12345678901234567890.123456")));
    }

    #[test]
    fn a_quote_open_at_the_end_is_not_a_row() {
        let rows = rows_of("t.csv", b"a,b\n1,2\n3,\"x\n5,6\n");
        assert_eq!(rows.len(), 2);
        assert!(rows[1].fields.as_ref().unwrap_err().contains("never closed"));
        assert_eq!(rows[1].raw, b"3,\"x\n5,6");
    }

    #[test]
    fn a_quote_that_never_closes_ends_the_file_with_its_line() {
        let mut text = b"a,b\n1,2\n3,\"".to_vec();
        text.resize(text.len() + 2 * ROW_BYTES_MAX, b'x');
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.csv");
        std::fs::write(&path, &text).unwrap();
        let mut rows = Rows::open(&path, FileFormat::Csv).unwrap();
        assert!(rows.next_row().unwrap().is_some());
        let error = rows.next_row().unwrap_err().to_string();
        assert!(error.contains("line 3") && error.contains("quote"), "{error}");
    }
}
