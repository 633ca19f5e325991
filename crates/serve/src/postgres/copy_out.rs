//! `COPY … TO STDOUT`: rows as text, CSV or PostgreSQL's binary form.
//!
//! Guarantees: what is written reads back as the same rows, in PostgreSQL too; rows are sent as
//! they are made.
//! Left out: files of the server's.

use super::answer::{RowSource, Sender};
use super::connection::Connection;
use super::encode::{self, Form};
use super::failure::{Failure, refused};
use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use bytes::{BufMut, BytesMut};
use pgwire::messages::PgWireBackendMessage as Message;
use pgwire::messages::copy::{CopyDone, CopyOutResponse};
use tokio::io::{AsyncRead, AsyncWrite};
use tradewind_analyze::ErrorClass;
use tradewind_analyze::connection::{Copied, Copy, CopyFormat};

/// What a binary copy begins with: a signature, flags, and no header beyond.
const HEAD: &[u8; HEAD_BYTES] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const HEAD_BYTES: usize = 19;

/// How fields of text and CSV are marked.
#[derive(Debug, Clone)]
pub(crate) struct Marks {
    pub(crate) format: CopyFormat,
    pub(crate) delimiter: u8,
    pub(crate) null: Vec<u8>,
    pub(crate) quote: u8,
    pub(crate) escape: u8,
}

impl Marks {
    /// What `COPY` says, and what it leaves to the format.
    ///
    /// # Errors
    /// Marks that cannot be told apart.
    pub(crate) fn of(copy: &Copy) -> Result<Self, Failure> {
        let csv = copy.format == CopyFormat::Csv;
        let byte = |mark: Option<char>| mark.and_then(|mark| u8::try_from(mark).ok());
        let quote = byte(copy.quote).unwrap_or(b'"');
        let null = match &copy.null {
            Some(null) => null.clone(),
            None if csv => String::new(),
            None => "\\N".into(),
        };
        let marks = Self {
            format: copy.format,
            delimiter: byte(copy.delimiter).unwrap_or(if csv { b',' } else { b'\t' }),
            null: null.into_bytes(),
            quote,
            escape: byte(copy.escape).unwrap_or(quote),
        };
        let wrong = |message: &str| Err(refused(ErrorClass::InvalidParameter, message).into());
        match () {
            () if marks.null.iter().any(|byte| b"\r\n".contains(byte)) => {
                wrong("NULL has no line ends in it")
            }
            () if marks.null.contains(&marks.delimiter) => wrong("NULL has no delimiter in it"),
            () if csv && marks.delimiter == marks.quote => {
                wrong("DELIMITER and QUOTE are different characters")
            }
            () if !csv && (copy.quote.is_some() || copy.escape.is_some()) => {
                wrong("QUOTE and ESCAPE are for CSV")
            }
            () if copy.format == CopyFormat::Binary
                && (copy.header || copy.delimiter.is_some() || copy.null.is_some()) =>
            {
                wrong("HEADER, DELIMITER and NULL are not for BINARY")
            }
            () => Ok(marks),
        }
    }

    /// The form of every column.
    pub(crate) fn form(&self) -> Form {
        match self.format {
            CopyFormat::Binary => Form::Binary,
            _ => Form::Text,
        }
    }

    fn write(&self, value: Option<&[u8]>, only: bool, out: &mut BytesMut) {
        match (value, self.format) {
            (None, _) => out.put_slice(&self.null),
            (Some(value), CopyFormat::Csv) => self.write_csv(value, only, out),
            (Some(value), _) => self.write_text(value, out),
        }
    }

    fn write_csv(&self, value: &[u8], only: bool, out: &mut BytesMut) {
        let special = |byte: &u8| [self.delimiter, self.quote, b'\n', b'\r'].contains(byte);
        // A line of nothing but `\.` would end the copy for readers of old.
        let plain = value != self.null && !value.iter().any(special) && !(only && value == b"\\.");
        if plain {
            out.put_slice(value);
            return;
        }
        out.put_u8(self.quote);
        for byte in value {
            if *byte == self.quote || *byte == self.escape {
                out.put_u8(self.escape);
            }
            out.put_u8(*byte);
        }
        out.put_u8(self.quote);
    }

    fn write_text(&self, value: &[u8], out: &mut BytesMut) {
        for byte in value {
            let short = match byte {
                8 => b'b',
                12 => b'f',
                b'\n' => b'n',
                b'\r' => b'r',
                b'\t' => b't',
                11 => b'v',
                byte if *byte == b'\\' || *byte == self.delimiter => *byte,
                byte => {
                    out.put_u8(*byte);
                    continue;
                }
            };
            out.put_u8(b'\\');
            out.put_u8(short);
        }
    }
}

/// Rows as pieces of a copy.
struct CopyRows {
    marks: Marks,
    forms: Vec<Form>,
    value: BytesMut,
    /// The head of the binary form, until it has gone out with the first piece, where readers
    /// expect it.
    head: Option<[u8; HEAD_BYTES]>,
}

impl CopyRows {
    fn names(&self, schema: &Schema, out: &mut BytesMut) {
        piece(out, |out| {
            let only = schema.fields().len() == 1;
            for (index, field) in schema.fields().iter().enumerate() {
                if index > 0 {
                    out.put_u8(self.marks.delimiter);
                }
                self.marks.write(Some(field.name().as_bytes()), only, out);
            }
            out.put_u8(b'\n');
        });
    }
}

impl Sender for CopyRows {
    fn forms(&self) -> &[Form] {
        &self.forms
    }

    fn row(
        &mut self,
        rows: &encode::Rows<'_>,
        row: usize,
        out: &mut BytesMut,
    ) -> Result<(), ArrowError> {
        let (marks, value) = (&self.marks, &mut self.value);
        let mut outcome = Ok(());
        let head = self.head.take();
        piece(out, |out| {
            out.put_slice(head.as_ref().map_or(&[], |head| &head[..]));
            outcome = match marks.format {
                CopyFormat::Binary => rows.tuple(row, out),
                _ => line(marks, value, rows, row, out),
            };
        });
        outcome
    }
}

fn line(
    marks: &Marks,
    value: &mut BytesMut,
    rows: &encode::Rows<'_>,
    row: usize,
    out: &mut BytesMut,
) -> Result<(), ArrowError> {
    let only = rows.width() == 1;
    for column in 0..rows.width() {
        if column > 0 {
            out.put_u8(marks.delimiter);
        }
        value.clear();
        let found = rows.value(column, row, value)?;
        marks.write(found.then_some(&value[..]), only, out);
    }
    out.put_u8(b'\n');
    Ok(())
}

/// Appends a `CopyData` message with what `write` appends.
fn piece(out: &mut BytesMut, write: impl FnOnce(&mut BytesMut)) {
    out.put_u8(b'd');
    let start = out.len();
    out.put_i32(0);
    write(out);
    // A row of more than 2 GiB is refused value by value.
    let length = (out.len() - start) as i32;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub(crate) async fn copy_out(&mut self, copy: &Copy) -> Result<(), Failure> {
        let marks = Marks::of(copy)?;
        let mut source = self.copied(&copy.what).await?;
        let columns = source.schema().fields().len();
        let binary = copy.format == CopyFormat::Binary;
        let mut rows = CopyRows {
            forms: vec![marks.form(); columns],
            value: BytesMut::new(),
            head: binary.then_some(*HEAD),
            marks,
        };
        let format = i8::from(binary);
        let response =
            CopyOutResponse::new(format, columns as i16, vec![i16::from(format); columns]);
        self.io.put(Message::CopyOutResponse(response))?;
        if copy.header {
            rows.names(source.schema(), self.io.out());
        }
        let until = Self::until(&self.session, &self.flag);
        let zone = self.zone();
        let (count, _) = source.send(&mut self.io, until, &zone, None, &mut rows).await?;
        if binary {
            let head = rows.head.take();
            piece(self.io.out(), |out| {
                out.put_slice(head.as_ref().map_or(&[], |head| &head[..]));
                out.put_i16(-1);
            });
        }
        self.io.put(Message::CopyDone(CopyDone::new()))?;
        Ok(self.complete(format!("COPY {count}"))?)
    }

    async fn copied(&mut self, what: &Copied) -> Result<RowSource, Failure> {
        let until = Self::until(&self.session, &self.flag);
        let answer = match what {
            Copied::Query(statement) if statement.is_query() => {
                let running = self.session.run(statement);
                until.guard(&mut self.io, running).await?
            }
            Copied::Query(_) => {
                return Err(refused(ErrorClass::NotSupported, "COPY is for queries").into());
            }
            Copied::Table { sql, columns_sql, .. } => {
                let list = columns_sql.trim_start_matches('(').trim_end_matches(')');
                let list = if list.is_empty() { "*" } else { list };
                let query = format!("SELECT {list} FROM {sql}");
                let running = self.session.execute(&query);
                until.guard(&mut self.io, running).await?
            }
        };
        self.source(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(format: CopyFormat, delimiter: u8, null: &str) -> Marks {
        Marks { format, delimiter, null: null.into(), quote: b'"', escape: b'"' }
    }

    fn text(marks: &Marks, value: Option<&str>) -> String {
        let mut out = BytesMut::new();
        marks.write(value.map(str::as_bytes), true, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn fields_are_marked_as_postgresql_marks_them() {
        let csv = marks(CopyFormat::Csv, b',', "");
        for (value, shown) in [
            (None, ""),
            (Some(""), "\"\""),
            (Some("a"), "a"),
            (Some("a,b"), "\"a,b\""),
            (Some("say \"x\""), "\"say \"\"x\"\"\""),
            (Some("\\."), "\"\\.\""),
            (Some("two\nlines"), "\"two\nlines\""),
        ] {
            assert_eq!(text(&csv, value), shown);
        }
        let plain = marks(CopyFormat::Text, b'\t', "\\N");
        for (value, shown) in
            [(None, "\\N"), (Some("\\N"), "\\\\N"), (Some("a\tb\n"), "a\\tb\\n"), (Some(""), "")]
        {
            assert_eq!(text(&plain, value), shown);
        }
    }
}
