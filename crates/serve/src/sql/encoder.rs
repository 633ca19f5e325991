//! Rows in the format of an answer, piece by piece.
//!
//! Guarantees: what was written is handed on and not kept; the text formats say at their end what
//! became of the answer.
//! Left out: an end for an Arrow stream that failed. The connection is cut instead: a stream has no
//! place for a reason, and one without its end mark is known to be a part.

use super::failure::error_json;
use super::request::Format;
use crate::render::{self, ArrowStream};
use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use tradewind_analyze::AnalyzeError;

/// An answer being written.
pub(super) struct Encoder {
    format: Format,
    text: String,
    arrow: Option<ArrowStream>,
    /// Rows written.
    pub(super) rows: usize,
}

/// How an answer ended.
#[derive(Debug, Default)]
pub(super) struct End<'a> {
    pub(super) truncated: bool,
    pub(super) error: Option<&'a AnalyzeError>,
    /// Of an answer in pages: where the next one is.
    pub(super) next: Option<Option<&'a str>>,
    pub(super) elapsed_ms: u64,
}

impl Encoder {
    /// An answer with these columns.
    pub(super) fn new(format: Format, schema: &Schema) -> Result<Self, AnalyzeError> {
        let (mut text, mut arrow) = (String::new(), None);
        match format {
            Format::Json => {
                let columns = render::json_columns(schema);
                text = format!("{{\"columns\":{columns},\"rows\":[");
            }
            Format::Csv => text = render::csv_header(schema),
            Format::Arrow => arrow = Some(ArrowStream::new(schema).map_err(unwritable)?),
        }
        Ok(Self { format, text, arrow, rows: 0 })
    }

    /// Bytes that wait to be taken.
    pub(super) fn len(&self) -> usize {
        self.arrow.as_ref().map_or(self.text.len(), ArrowStream::len)
    }

    /// What was written since the last time.
    pub(super) fn take(&mut self) -> Vec<u8> {
        match &mut self.arrow {
            Some(arrow) => arrow.take(),
            None => std::mem::take(&mut self.text).into_bytes(),
        }
    }

    /// Adds rows.
    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<(), AnalyzeError> {
        let count = batch.num_rows();
        if count == 0 {
            return Ok(());
        }
        let written = match &mut self.arrow {
            Some(arrow) => arrow.write(batch),
            None if self.format == Format::Csv => render::csv_rows(batch, count, &mut self.text),
            None => {
                if self.rows > 0 {
                    self.text.push_str(",\n");
                }
                render::json_rows(batch, count, &mut self.text)
            }
        };
        self.rows += count;
        written.map_err(unwritable)
    }

    /// Adds the end.
    pub(super) fn finish(&mut self, end: &End<'_>) -> Result<(), AnalyzeError> {
        let count = self.rows;
        match (&mut self.arrow, self.format) {
            (Some(arrow), _) => match end.error {
                Some(error) => return Err(error.clone()),
                None => arrow.finish().map_err(unwritable)?,
            },
            (None, Format::Csv) => {
                if end.truncated {
                    self.text.push_str(&format!("# truncated after {count} rows\n"));
                }
                if let Some(error) = end.error {
                    self.text.push_str(&format!("# error: {error}\n"));
                }
            }
            (None, _) => {
                let truncated = end.truncated;
                self.text.push_str(&format!("],\"row_count\":{count},\"truncated\":{truncated}"));
                if let Some(next) = end.next {
                    self.text.push_str(&format!(",\"next\":{}", serde_json::json!(next)));
                }
                if let Some(error) = end.error {
                    self.text.push_str(&format!(",\"error\":{}", error_json(error)));
                }
                self.text.push_str(&format!(",\"elapsed_ms\":{}}}\n", end.elapsed_ms));
            }
        }
        Ok(())
    }
}

fn unwritable(error: arrow::error::ArrowError) -> AnalyzeError {
    AnalyzeError::user(error.to_string())
}
