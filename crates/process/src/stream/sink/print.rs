//! Standard output: `'connector' = 'print'`, one row a line as Flink prints it.
//!
//! Left out: exactly once. After a crash rows since the last checkpoint are printed again.

use crate::stream::changelog::Changelog;
use crate::stream::plan::SinkPlan;
use arrow::array::RecordBatch;
use async_trait::async_trait;
use std::io::Write;
use tradewind_sql::PrintTable;
use tradewind_types::{Epoch, Sink, SinkError, Staged};

/// Prints rows.
#[derive(Debug)]
pub(super) struct PrintSink {
    table: String,
    prefix: String,
    changelog: Changelog,
    rows: u64,
}

impl PrintSink {
    pub(super) fn new(print: &PrintTable, plan: &SinkPlan) -> Self {
        let prefix = print.identifier.as_ref().map(|text| format!("{text}> ")).unwrap_or_default();
        let table = plan.target.name().to_string();
        Self { table, prefix, changelog: Changelog::new(plan), rows: 0 }
    }
}

#[async_trait]
impl Sink for PrintSink {
    async fn write(&mut self, batches: Vec<RecordBatch>) -> Result<(), SinkError> {
        let mut text = Vec::new();
        for batch in batches {
            for line in self.changelog.lines(&batch) {
                text.extend_from_slice(self.prefix.as_bytes());
                text.extend_from_slice(line.as_bytes());
                text.push(b'\n');
                self.rows += 1;
            }
        }
        std::io::stdout().lock().write_all(&text).map_err(|error| SinkError::Permanent {
            table: self.table.clone(),
            reason: format!("standard output: {error}"),
        })
    }

    fn open_bytes(&self) -> usize {
        0
    }

    async fn stage(&mut self, epoch: Epoch) -> Result<Staged, SinkError> {
        let rows = std::mem::take(&mut self.rows);
        Ok(Staged { table: self.table.clone(), epoch, rows, work: serde_json::Value::Null })
    }

    async fn commit(&mut self, _staged: &Staged) -> Result<(), SinkError> {
        Ok(())
    }

    async fn recover(&mut self, _last: Option<&Staged>) -> Result<(), SinkError> {
        Ok(())
    }
}
