//! `COPY … FROM STDIN`: text and CSV into a table, as one batch that is there or not.
//!
//! Guarantees: a line that does not fit says which it is and nothing is inserted; no more than a
//! batch is in memory besides what the table itself takes in.
//! Left out: the binary form.

use super::WireError;
use super::connection::Connection;
use super::copy_out::Marks;
use super::decode;
use super::failure::{Failure, refused};
use super::message::{self, Message as Asked};
use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::ScalarValue;
use pgwire::messages::PgWireBackendMessage as Message;
use pgwire::messages::copy::CopyInResponse;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tradewind_analyze::connection::{Copied, Copy, CopyFormat};
use tradewind_analyze::{AnalyzeError, ErrorClass};

/// Rows of a batch.
const ROWS_MAX: usize = 8_192;
/// Bytes of text in a batch.
const BATCH_BYTES_MAX: usize = 4 << 20;
/// The longest line, in bytes: a row beyond that is a file without line ends.
const LINE_BYTES_MAX: usize = 16 << 20;
/// Batches that wait for the table.
const WAITING_MAX: usize = 1;

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub(crate) async fn copy_in(&mut self, copy: &Copy) -> Result<(), Failure> {
        let Copied::Table { name, columns, .. } = &copy.what else {
            return Err(refused(ErrorClass::Syntax, "COPY FROM is into a table").into());
        };
        if copy.format == CopyFormat::Binary {
            let error = refused(ErrorClass::NotSupported, "COPY FROM in binary");
            return Err(error.hint("use the text format or CSV").into());
        }
        let marks = Marks::of(copy)?;
        let schema = self.session.insert_fields(name, columns)?;
        let width = schema.fields().len();
        let response = CopyInResponse::new(0, width as i16, vec![0; width]);
        self.io.put(Message::CopyInResponse(response))?;
        self.io.flush().await?;
        let zone = self.session.setting("timezone").unwrap_or("UTC").to_string();
        let mut reader = LineReader::new(marks, copy.header, schema, zone);
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        let rows = futures::stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.map(|batch| (batch, receiver))
        });
        let inserting = self.session.insert_batches(name, columns, rows);
        let io = &mut self.io;
        let feeding = async move {
            let outcome = feed(io, &mut reader, &sender).await;
            if let Err(Fed::Statement(error)) = &outcome {
                // Nobody listens where the table has refused already.
                let _ = sender.send(Err(error.clone())).await;
            }
            drop(sender);
            outcome
        };
        let (inserted, fed) = futures::join!(inserting, feeding);
        let rows = match (inserted, fed) {
            (_, Err(Fed::Connection(error))) => return Err(error.into()),
            // What the client sent was wrong, or the table refused it: the table has both.
            (Err(error), _) | (Ok(_), Err(Fed::Statement(error))) => return Err(error.into()),
            (Ok(rows), Ok(())) => rows,
        };
        Ok(self.complete(format!("COPY {rows}"))?)
    }
}

/// Why no more lines come.
enum Fed {
    Statement(AnalyzeError),
    Connection(WireError),
}

impl From<WireError> for Fed {
    fn from(error: WireError) -> Self {
        Self::Connection(error)
    }
}

type Batches = mpsc::Sender<Result<RecordBatch, AnalyzeError>>;

/// Hands on what the client sends; after a mistake reads on to the end, as the client does.
async fn feed<S: AsyncRead + AsyncWrite + Unpin>(
    io: &mut super::io::Io<S>,
    reader: &mut LineReader,
    batches: &Batches,
) -> Result<(), Fed> {
    let mut failed: Option<AnalyzeError> = None;
    loop {
        if !io.ready().await? {
            return Err(WireError::Cut.into());
        }
        let frame = io.message().await?;
        match message::message(frame.kind, frame.body.clone()).map_err(WireError::from)? {
            Asked::CopyData(bytes) if failed.is_none() => {
                let mut ready = Vec::new();
                match reader.take(&bytes, &mut ready) {
                    Ok(()) => {
                        for batch in ready {
                            if batches.send(Ok(batch)).await.is_err() {
                                // The table has refused, and says why when the client is done.
                                failed = Some(refused(ErrorClass::Refused, "the table refused"));
                                break;
                            }
                        }
                    }
                    Err(error) => failed = Some(error),
                }
                if let Some(error) = &failed {
                    let _ = batches.send(Err(error.clone())).await;
                }
            }
            Asked::CopyData(_) | Asked::Flush | Asked::Sync => {}
            Asked::CopyDone => break,
            Asked::CopyFail(reason) => {
                let message = format!("COPY from stdin failed: {reason}");
                return Err(Fed::Statement(refused(ErrorClass::Cancelled, message)));
            }
            _ => return Err(WireError::Order("COPY was under way").into()),
        }
    }
    if let Some(error) = failed {
        return Err(Fed::Statement(error));
    }
    match reader.finish() {
        Ok(Some(batch)) => drop(batches.send(Ok(batch)).await),
        Ok(None) => {}
        Err(error) => return Err(Fed::Statement(error)),
    }
    Ok(())
}

/// Takes lines apart and gathers them into batches.
struct LineReader {
    marks: Marks,
    schema: SchemaRef,
    zone: String,
    /// The first line is no row.
    header: bool,
    /// What has come of the line that is not complete.
    rest: Vec<u8>,
    /// Within quotes of CSV, and just behind an escape, at the end of `rest`.
    quoted: bool,
    line: u64,
    columns: Vec<Vec<Option<String>>>,
    bytes: usize,
    /// `\.` has come.
    ended: bool,
}

impl LineReader {
    fn new(marks: Marks, header: bool, schema: SchemaRef, zone: String) -> Self {
        let columns = vec![Vec::new(); schema.fields().len()];
        Self {
            marks,
            schema,
            zone,
            header,
            rest: Vec::new(),
            quoted: false,
            line: 0,
            columns,
            bytes: 0,
            ended: false,
        }
    }

    /// Takes in what has come; batches that are full are appended to `ready`.
    fn take(&mut self, bytes: &[u8], ready: &mut Vec<RecordBatch>) -> Result<(), AnalyzeError> {
        let csv = self.marks.format == CopyFormat::Csv;
        let mut start = 0;
        for (at, byte) in bytes.iter().enumerate() {
            if csv && *byte == self.marks.quote {
                // A quote that is doubled, or escaped by another mark, comes out even below.
                let before = if at > start { bytes.get(at - 1) } else { self.rest.last() };
                let escaped = self.quoted
                    && self.marks.escape != self.marks.quote
                    && before == Some(&self.marks.escape);
                self.quoted ^= !escaped;
            }
            if *byte == b'\n' && !self.quoted {
                self.rest.extend_from_slice(&bytes[start..at]);
                start = at + 1;
                let line = std::mem::take(&mut self.rest);
                self.line(&line)?;
                if self.columns.first().is_some_and(|column| column.len() >= ROWS_MAX)
                    || self.bytes >= BATCH_BYTES_MAX
                {
                    ready.extend(self.batch()?);
                }
            }
        }
        self.rest.extend_from_slice(&bytes[start..]);
        match self.rest.len() > LINE_BYTES_MAX {
            true => Err(self.wrong(format!("a line is longer than {LINE_BYTES_MAX} bytes"))),
            false => Ok(()),
        }
    }

    /// The rows that are left.
    fn finish(&mut self) -> Result<Option<RecordBatch>, AnalyzeError> {
        if self.quoted {
            return Err(self.wrong("unterminated CSV quoted field"));
        }
        let line = std::mem::take(&mut self.rest);
        if !line.is_empty() {
            self.line(&line)?;
        }
        self.batch()
    }

    fn wrong(&self, message: impl Into<String>) -> AnalyzeError {
        let message = format!("line {}: {}", self.line, message.into());
        AnalyzeError::user(message).class(ErrorClass::BadCopy)
    }

    fn line(&mut self, line: &[u8]) -> Result<(), AnalyzeError> {
        self.line += 1;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if std::mem::take(&mut self.header) || self.ended {
            return Ok(());
        }
        if line == b"\\." {
            self.ended = true;
            return Ok(());
        }
        let text = std::str::from_utf8(line).map_err(|_| self.wrong("the text is not UTF-8"))?;
        let fields = match self.marks.format {
            CopyFormat::Csv => csv_fields(text, &self.marks),
            _ => text_fields(text, &self.marks),
        };
        let (given, wanted) = (fields.len(), self.columns.len());
        if given != wanted {
            let message = match given < wanted {
                true => format!("missing data for column \"{}\"", self.schema.field(given).name()),
                false => "extra data after last expected column".to_string(),
            };
            return Err(self.wrong(message));
        }
        self.bytes += line.len();
        for (column, field) in self.columns.iter_mut().zip(fields) {
            column.push(field);
        }
        Ok(())
    }

    fn batch(&mut self) -> Result<Option<RecordBatch>, AnalyzeError> {
        let rows = self.columns.first().map_or(0, Vec::len);
        if rows == 0 {
            return Ok(None);
        }
        self.bytes = 0;
        let first = self.line + 1 - rows as u64;
        let mut arrays = Vec::with_capacity(self.columns.len());
        for (field, texts) in self.schema.fields().iter().zip(&mut self.columns) {
            let texts = std::mem::take(texts);
            let array = column(&texts, field.data_type(), &self.zone).map_err(|(row, error)| {
                let at = first + row as u64;
                let message =
                    format!("{} (COPY, line {at}, column {})", error.message, field.name());
                AnalyzeError { message, ..error }
            })?;
            arrays.push(array);
        }
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), arrays);
        batch.map(Some).map_err(|error| {
            AnalyzeError::user(error.to_string()).class(ErrorClass::NullNotAllowed)
        })
    }
}

/// A column's texts as its values; a mistake comes with its row.
fn column(
    texts: &[Option<String>],
    target: &DataType,
    zone: &str,
) -> Result<ArrayRef, (usize, AnalyzeError)> {
    let plain = matches!(
        target,
        DataType::Utf8
            | DataType::LargeUtf8
            | DataType::Utf8View
            | DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::Date32
    );
    if plain {
        let strings = StringArray::from_iter(texts.iter().map(|text| text.as_deref()));
        let strict = CastOptions { safe: false, ..CastOptions::default() };
        if let Ok(array) = cast_with_options(&strings, target, &strict) {
            return Ok(array);
        }
    }
    let values = texts.iter().enumerate().map(|(row, text)| {
        let value = match text {
            None => ScalarValue::try_new_null(target).map_err(AnalyzeError::from),
            Some(text) => {
                decode::read_text(text, target, zone).and_then(|value| Ok(value.cast_to(target)?))
            }
        };
        value.map_err(|error| (row, error))
    });
    let values = values.collect::<Result<Vec<_>, _>>()?;
    ScalarValue::iter_to_array(values).map_err(|error| (0, error.into()))
}

/// The fields of a line of PostgreSQL's text form.
fn text_fields(line: &str, marks: &Marks) -> Vec<Option<String>> {
    let mut fields = Vec::new();
    let (mut raw, mut value) = (String::new(), String::new());
    let delimiter = char::from(marks.delimiter);
    let mut characters = line.chars();
    loop {
        let next = characters.next();
        match next {
            Some('\\') => {
                raw.push('\\');
                match characters.next() {
                    Some(escaped) => {
                        raw.push(escaped);
                        value.push(unescaped(escaped));
                    }
                    None => value.push('\\'),
                }
            }
            Some(character) if character != delimiter => {
                raw.push(character);
                value.push(character);
            }
            _ => {
                let null = raw.as_bytes() == marks.null;
                fields.push((!null).then(|| std::mem::take(&mut value)));
                value.clear();
                raw.clear();
                if next.is_none() {
                    return fields;
                }
            }
        }
    }
}

fn unescaped(character: char) -> char {
    match character {
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\u{b}',
        other => other,
    }
}

/// The fields of a line of CSV, whose quotes are known to be even.
fn csv_fields(line: &str, marks: &Marks) -> Vec<Option<String>> {
    let mark = |byte: u8| char::from(byte);
    let mut fields = Vec::new();
    let (mut value, mut quoted, mut was_quoted) = (String::new(), false, false);
    let mut characters = line.chars().peekable();
    loop {
        let next = characters.next();
        match next {
            Some(character) if quoted => {
                let after = characters.peek().copied();
                let escapes = character == mark(marks.escape)
                    && (after == Some(mark(marks.quote)) || after == Some(mark(marks.escape)));
                if escapes && let Some(escaped) = characters.next() {
                    value.push(escaped);
                } else if character == mark(marks.quote) {
                    quoted = false;
                } else {
                    value.push(character);
                }
            }
            Some(character) if character == mark(marks.quote) => {
                (quoted, was_quoted) = (true, true);
            }
            Some(character) if character != mark(marks.delimiter) => value.push(character),
            _ => {
                let null = !was_quoted && value.as_bytes() == marks.null;
                fields.push((!null).then(|| std::mem::take(&mut value)));
                value.clear();
                was_quoted = false;
                if next.is_none() {
                    return fields;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use arrow::datatypes::{Field, Schema};
    use arrow::util::pretty::pretty_format_batches;

    fn marks(format: CopyFormat) -> Marks {
        let (delimiter, null) = match format {
            CopyFormat::Csv => (b',', ""),
            _ => (b'\t', "\\N"),
        };
        Marks { format, delimiter, null: null.into(), quote: b'"', escape: b'"' }
    }

    fn reader(format: CopyFormat) -> LineReader {
        let schema = Schema::new(vec![
            Field::new("id", DataType::Int32, true),
            Field::new("name", DataType::Utf8, true),
            Field::new("price", DataType::Decimal128(12, 2), true),
        ]);
        LineReader::new(marks(format), format == CopyFormat::Csv, Arc::new(schema), "UTC".into())
    }

    /// However a text is cut into pieces, its rows are the same.
    fn read(format: CopyFormat, text: &str) -> String {
        let mut seen: Option<String> = None;
        for size in [1, 3, 1_000] {
            let mut reader = reader(format);
            let mut batches = Vec::new();
            for piece in text.as_bytes().chunks(size) {
                reader.take(piece, &mut batches).unwrap();
            }
            batches.extend(reader.finish().unwrap());
            let shown = pretty_format_batches(&batches).unwrap().to_string();
            assert_eq!(*seen.get_or_insert_with(|| shown.clone()), shown);
        }
        seen.unwrap()
    }

    #[test]
    fn csv_is_read_as_it_is_written() {
        let text = "id,name,price\r\n1,\"a,\"\"b\"\"\nc\",2.50\n2,,\n3,\"\",12345.67";
        let shown = read(CopyFormat::Csv, text);
        assert!(shown.contains("| 1  | a,\"b\"") && shown.contains("12345.67"), "{shown}");
        assert_eq!(
            csv_fields("\"\",,a", &marks(CopyFormat::Csv)),
            [Some(String::new()), None, Some("a".into())]
        );
    }

    #[test]
    fn text_is_read_as_it_is_written() {
        let shown = read(CopyFormat::Text, "1\ta\\tb\\\\\t2.5\n2\t\\N\t\\N\n\\.\n");
        assert!(shown.contains("| 2.50") && shown.lines().count() == 6, "{shown}");
        let fields = text_fields("\\N\t\\\\N\t", &marks(CopyFormat::Text));
        assert_eq!(fields, [None, Some("\\N".into()), Some(String::new())]);
    }

    #[test]
    fn a_mistake_says_its_line() {
        for (text, part) in [
            ("h\n1,a\n", "line 2: missing data for column \"price\""),
            ("h\n1,a,2,3\n", "line 2: extra data"),
            ("h\n1,a,2\nx,a,2\n", "(COPY, line 3, column id)"),
            ("h\n1,\"a,2\n", "unterminated"),
        ] {
            let mut reader = reader(CopyFormat::Csv);
            let mut batches = Vec::new();
            let outcome = reader.take(text.as_bytes(), &mut batches);
            let error = outcome.and_then(|()| reader.finish().map(drop)).unwrap_err();
            assert!(error.message.contains(part), "{error}");
        }
    }
}
