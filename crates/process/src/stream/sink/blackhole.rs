//! Nowhere: `'connector' = 'blackhole'`. Rows are counted and forgotten.

use arrow::array::RecordBatch;
use async_trait::async_trait;
use tradewind_types::{Epoch, Sink, SinkError, Staged};

/// Takes rows and forgets them.
#[derive(Debug, Default)]
pub(super) struct BlackholeSink {
    rows: u64,
}

#[async_trait]
impl Sink for BlackholeSink {
    async fn write(&mut self, batches: Vec<RecordBatch>) -> Result<(), SinkError> {
        self.rows += batches.iter().map(|batch| batch.num_rows() as u64).sum::<u64>();
        Ok(())
    }

    fn open_bytes(&self) -> usize {
        0
    }

    async fn stage(&mut self, epoch: Epoch) -> Result<Staged, SinkError> {
        let rows = std::mem::take(&mut self.rows);
        Ok(Staged { table: "blackhole".into(), epoch, rows, work: serde_json::Value::Null })
    }

    async fn commit(&mut self, _staged: &Staged) -> Result<(), SinkError> {
        Ok(())
    }

    async fn recover(&mut self, _last: Option<&Staged>) -> Result<(), SinkError> {
        Ok(())
    }
}
