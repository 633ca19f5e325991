//! An answer that comes whole, as it is made.
//!
//! Guarantees: as text it holds at most `rows_max` rows and `bytes_max` bytes and says when it was
//! cut; as Arrow it is whole or broken off. A batch is asked for when the one before it was sent.

use super::SqlLimits;
use super::encoder::{Encoder, End};
use super::failure::Failure;
use super::request::Format;
use super::running::Statement;
use arrow::array::RecordBatch;
use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream;
use std::io;
use tradewind_analyze::{AnalyzeError, Rows};

/// Rows written between two looks at the limit on bytes.
const ROWS_AT_ONCE: usize = 256;

/// Answers with rows. The first batch is waited for, so that most errors still have a status.
pub(super) async fn answer(
    mut rows: Rows,
    format: Format,
    limits: SqlLimits,
    statement: Statement,
) -> Result<Response, Failure> {
    let encoder = Encoder::new(format, &rows.schema())?;
    let first = statement.bound(rows.next()).await?.transpose()?;
    // Arrow costs nothing but time: neither its rows nor its bytes are kept by anybody.
    let limits = match format {
        Format::Arrow => SqlLimits { rows_max: usize::MAX, bytes_max: usize::MAX, ..limits },
        _ => limits,
    };
    let whole = Whole { rows: Some(rows), first, encoder, limits, statement, bytes: 0 };
    let body = stream::unfold(whole, |mut whole| async move {
        let chunk = whole.chunk().await?;
        Some((chunk.map(Bytes::from), whole))
    });
    let kind = [(CONTENT_TYPE, format.media_type())];
    Ok((kind, Body::from_stream(body)).into_response())
}

/// Writes an answer chunk by chunk.
struct Whole {
    /// `None` when the last chunk was written.
    rows: Option<Rows>,
    first: Option<RecordBatch>,
    encoder: Encoder,
    limits: SqlLimits,
    statement: Statement,
    bytes: usize,
}

impl Whole {
    async fn chunk(&mut self) -> Option<io::Result<Vec<u8>>> {
        let rows = self.rows.as_mut()?;
        let batch = match self.first.take() {
            Some(batch) => Ok(Some(batch)),
            None => self.statement.bound(rows.next()).await.and_then(Option::transpose),
        };
        let ended = match batch {
            Ok(Some(batch)) => match self.write(&batch) {
                Ok(false) => Ok(()),
                Ok(true) => self.end(true, None),
                Err(error) => self.end(false, Some(&error)),
            },
            Ok(None) => self.end(false, None),
            Err(error) => self.end(false, Some(&error)),
        };
        let chunk = self.encoder.take();
        self.bytes += chunk.len();
        Some(ended.map(|()| chunk).map_err(|error| io::Error::other(error.to_string())))
    }

    /// Writes a batch; says whether the answer is full.
    fn write(&mut self, batch: &RecordBatch) -> Result<bool, AnalyzeError> {
        let mut left = 0;
        // In slices, so that wide rows meet the limit on bytes before memory does.
        let step = if self.limits.bytes_max == usize::MAX { usize::MAX } else { ROWS_AT_ONCE };
        while left < batch.num_rows() {
            let slice = batch.slice(left, step.min(batch.num_rows() - left));
            let room = self.limits.rows_max - self.encoder.rows;
            let taken = slice.num_rows().min(room);
            self.encoder.write(&slice.slice(0, taken))?;
            left += slice.num_rows();
            let full = self.bytes + self.encoder.len() >= self.limits.bytes_max;
            if taken < slice.num_rows() || (full && left < batch.num_rows()) {
                return Ok(true);
            }
        }
        Ok(self.bytes + self.encoder.len() >= self.limits.bytes_max)
    }

    fn end(&mut self, truncated: bool, error: Option<&AnalyzeError>) -> Result<(), AnalyzeError> {
        self.rows = None;
        let elapsed_ms = self.statement.elapsed_ms();
        self.encoder.finish(&End { truncated, error, elapsed_ms, next: None })
    }
}
