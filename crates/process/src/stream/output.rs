//! What a tick has put out, on its way to the sinks.
//!
//! Guarantees: a row that failed and a row that came late each become one letter, with the record
//! they came from where they came from one.
//! Left out: writing.

use super::job::JobTick;
use super::plan::StreamPlan;
use crate::ProcessError;
use arrow::array::{Array, ArrayRef, Int32Array, Int64Array, RecordBatch};
use arrow::json::LineDelimitedWriter;
use bytes::Bytes;
use std::sync::Arc;
use tradewind_dataflow::{Hidden, LateRows, OperatorId, RowError};
use tradewind_types::{Clock, DEFAULT_STORE, DeadLetter, Log, Offset, PartitionId};

/// A row of no one record has no offset.
const NO_RECORD: i64 = -1;

/// Makes letters of what a tick could not use.
pub(super) struct LetterWriter<'a> {
    pub(super) pipeline: &'a str,
    pub(super) plan: &'a StreamPlan,
    pub(super) log: &'a Arc<dyn Log>,
    pub(super) clock: &'a Arc<dyn Clock>,
}

impl LetterWriter<'_> {
    /// The dead letters of a tick: what could not be decoded or computed.
    pub(super) async fn dead(&self, tick: &mut JobTick) -> Result<Vec<DeadLetter>, ProcessError> {
        let mut letters = std::mem::take(&mut tick.rejected);
        for error in std::mem::take(&mut tick.errors) {
            letters.push(self.failed(error).await?);
        }
        Ok(letters)
    }

    /// The late events of a tick.
    pub(super) fn late(&self, tick: &mut JobTick) -> Result<Vec<DeadLetter>, ProcessError> {
        let mut letters = Vec::new();
        for LateRows { operator, rows, hidden } in std::mem::take(&mut tick.late) {
            for row in 0..rows.num_rows() {
                let watermark = hidden.watermarks(&rows).map(|marks| marks.value(row));
                let reason = match watermark.and_then(chrono_text) {
                    Some(at) => {
                        format!("{operator}: its windows had ended, the watermark was {at}")
                    }
                    None => format!("{operator}: its windows had ended"),
                };
                let one = rows.slice(row, 1);
                let origin = hidden.origin_of(&one, 0);
                letters.push(self.letter(&operator, &one, hidden, origin, reason)?);
            }
        }
        Ok(letters)
    }

    async fn failed(&self, error: RowError) -> Result<DeadLetter, ProcessError> {
        let reason = format!("{}: {} ({})", error.expression, error.reason, error.operator);
        let mut letter =
            self.letter(&error.operator, &error.row, error.hidden, error.origin, reason)?;
        // The record itself tells more than the columns that were read of it.
        if let Some((topic, partition, offset)) = &letter.position
            && let Some(raw) = self.record(topic, *partition, *offset).await?
        {
            if let Some(store) = super::source::store_of(&raw) {
                letter.store_id = store;
            }
            letter.raw = raw;
        }
        Ok(letter)
    }

    async fn record(
        &self,
        topic: &str,
        partition: PartitionId,
        offset: Offset,
    ) -> Result<Option<Bytes>, ProcessError> {
        let records = self.log.read(topic, partition, offset, 1).await;
        let records = records.map_err(tradewind_types::SourceError::from)?;
        let found = records.into_iter().find(|record| record.offset == offset);
        Ok(found.and_then(|record| record.record.value))
    }

    fn letter(
        &self,
        operator: &OperatorId,
        row: &RecordBatch,
        hidden: Hidden,
        origin: Option<(PartitionId, Offset)>,
        reason: String,
    ) -> Result<DeadLetter, ProcessError> {
        let topic = self.topic_of(operator);
        Ok(DeadLetter {
            store_id: store_of(row).unwrap_or_else(|| DEFAULT_STORE.to_string()),
            source: format!("pipeline:{}", self.pipeline),
            reason,
            raw: as_json(row, hidden)?,
            received_at: self.clock.now_us(),
            position: origin
                .zip(topic)
                .map(|((partition, offset), topic)| (topic.to_string(), partition, offset)),
        })
    }

    /// The topic an operator's rows come from, if it is just one.
    fn topic_of(&self, operator: &OperatorId) -> Option<&str> {
        let nodes = &self.plan.graph.nodes;
        let node = nodes.iter().position(|node| node.id == *operator)?;
        let source = self.plan.graph.source_of(node)?;
        let tradewind_dataflow::OperatorKind::Source(number) = nodes[source].kind else {
            return None;
        };
        self.plan.sources[number].definition.topic().map(|topic| topic.topic.as_str())
    }
}

fn chrono_text(us: i64) -> Option<String> {
    let at = arrow::temporal_conversions::timestamp_us_to_datetime(us)?;
    Some(at.format("%Y-%m-%dT%H:%M:%S%.fZ").to_string())
}

pub(super) fn store_of(row: &RecordBatch) -> Option<String> {
    use arrow::array::AsArray;
    let column = row.column_by_name("store_id")?.as_string_opt::<i32>()?;
    (column.len() == 1 && column.is_valid(0)).then(|| column.value(0).to_string())
}

/// A row's visible columns as a JSON object.
pub(super) fn as_json(row: &RecordBatch, hidden: Hidden) -> Result<Bytes, ProcessError> {
    let bug = |error: arrow::error::ArrowError| ProcessError::Internal(error.to_string());
    let visible: Vec<usize> = (0..hidden.visible(row)).collect();
    let mut writer = LineDelimitedWriter::new(Vec::new());
    writer.write(&row.project(&visible).map_err(bug)?).map_err(bug)?;
    writer.finish().map_err(bug)?;
    let mut text = writer.into_inner();
    while text.last() == Some(&b'\n') {
        text.pop();
    }
    Ok(text.into())
}

/// Rows as a lake table takes them: visible columns, `_partition`, `_offset`. Rows that come from
/// no one record have -1 for both.
pub(super) fn lake_rows(rows: &RecordBatch, hidden: Hidden) -> Result<RecordBatch, ProcessError> {
    let visible = hidden.visible(rows);
    let mut columns: Vec<ArrayRef> = rows.columns()[..visible].to_vec();
    if hidden.origin {
        columns.extend_from_slice(&rows.columns()[visible..visible + 2]);
    } else {
        columns.push(Arc::new(Int32Array::from(vec![NO_RECORD as i32; rows.num_rows()])));
        columns.push(Arc::new(Int64Array::from(vec![NO_RECORD; rows.num_rows()])));
    }
    let visible: Vec<usize> = (0..visible).collect();
    let bug = |error: arrow::error::ArrowError| ProcessError::Internal(error.to_string());
    let schema = Hidden::ORIGIN.behind(&rows.schema().project(&visible).map_err(bug)?);
    RecordBatch::try_new(schema, columns).map_err(bug)
}
