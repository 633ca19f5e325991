//! The changes of a materialized view as they come: what `SUBSCRIBE` answers with.
//!
//! Guarantees: rows come in the order they take effect; behind each [`Change::Progress`] the rows
//! before it leave the view as it was at one moment; an answer with a limit ends with that row.
//! Left out: where changes come from, which is the engine's.

use crate::error::AnalyzeError;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use std::collections::BTreeMap;
use tradewind_sql::text::RowKind;
use tradewind_types::connector::Positions;

/// What comes next.
#[derive(Debug, Clone)]
pub enum Change {
    /// Rows that are added or taken back.
    Rows {
        /// The view's columns.
        batch: RecordBatch,
        /// The places of rows in the batch and what becomes of each, in order; a row that counts
        /// several times stands here as often.
        kinds: Vec<(usize, RowKind)>,
    },
    /// What has come leaves the view as it was at one moment.
    Progress {
        /// Whoever comes back with it goes on from here.
        token: String,
        /// Up to which records that is the answer: the next one by topic and partition.
        positions: BTreeMap<String, Positions>,
    },
    /// What has come before does not count any more: the view comes anew.
    Reset,
}

/// Where changes come from. Dropping it ends the subscription.
#[async_trait]
pub trait ChangeStream: Send {
    /// The view's columns.
    fn schema(&self) -> SchemaRef;

    /// Waits for what comes next. Whoever stops waiting misses nothing.
    ///
    /// # Errors
    /// Why nothing more comes: the view was dropped, or the reader has fallen behind.
    async fn next(&mut self) -> Result<Change, AnalyzeError>;
}

/// The answer to a `SUBSCRIBE`.
pub struct Changes {
    stream: Box<dyn ChangeStream>,
    /// Rows until its end.
    left: Option<u64>,
}

impl Changes {
    pub(crate) fn new(stream: Box<dyn ChangeStream>, limit: Option<u64>) -> Self {
        Self { stream, left: limit }
    }

    /// The view's columns.
    pub fn schema(&self) -> SchemaRef {
        self.stream.schema()
    }

    /// Waits for what comes next; `None` when all rows that were asked for have come. Whoever
    /// stops waiting misses nothing.
    ///
    /// # Errors
    /// As [`ChangeStream::next`].
    pub async fn next(&mut self) -> Result<Option<Change>, AnalyzeError> {
        if self.left == Some(0) {
            return Ok(None);
        }
        let mut change = self.stream.next().await?;
        if let (Change::Rows { kinds, .. }, Some(left)) = (&mut change, &mut self.left) {
            kinds.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= kinds.len() as u64;
        }
        Ok(Some(change))
    }
}
