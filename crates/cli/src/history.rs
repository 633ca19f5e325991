//! Lake tables of events as the history of their topic.
//!
//! Guarantees: a read sees committed files and the tail as one, in order of offset; files whose
//! statistics say that they hold no such offset are not opened.
//! Left out: what the rows mean, which the engine knows.

use async_trait::async_trait;
use datafusion::arrow::array::{AsArray, RecordBatch};
use datafusion::arrow::datatypes::{Int32Type, Int64Type};
use datafusion::common::Result;
use datafusion::dataframe::DataFrame;
use datafusion::functions_aggregate::expr_fn::min;
use datafusion::prelude::{SessionConfig, SessionContext, col, lit};
use std::fmt;
use std::sync::Arc;
use tradewind_lake::LakeTable;
use tradewind_process::History;
use tradewind_types::connector::Positions;
use tradewind_types::{Offset, PartitionId};

/// A table to read back.
pub(crate) struct LakeHistory {
    table: Arc<LakeTable>,
    session: SessionContext,
}

impl fmt::Debug for LakeHistory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LakeHistory").field("table", &self.table).finish_non_exhaustive()
    }
}

impl LakeHistory {
    pub(crate) fn new(table: Arc<LakeTable>) -> Self {
        let config = SessionConfig::new().with_target_partitions(1);
        Self { table, session: SessionContext::new_with_config(config) }
    }

    fn rows(&self) -> Result<DataFrame> {
        self.session.read_table(self.table.provider())
    }

    async fn first_offsets(&self) -> Result<Positions> {
        let first = vec![min(col("_offset"))];
        let batches = self.rows()?.aggregate(vec![col("_partition")], first)?.collect().await?;
        let mut begins = Positions::new();
        for batch in &batches {
            let partitions = batch.column(0).as_primitive::<Int32Type>();
            let offsets = batch.column(1).as_primitive::<Int64Type>();
            begins
                .extend(partitions.values().iter().copied().zip(offsets.values().iter().copied()));
        }
        // Rows of no record, if the table has such, are no history.
        begins.retain(|partition, _| *partition >= 0);
        Ok(begins)
    }
}

#[async_trait]
impl History for LakeHistory {
    async fn begins(&self) -> std::result::Result<Positions, String> {
        self.first_offsets().await.map_err(|error| error.to_string())
    }

    async fn read(
        &self,
        partition: PartitionId,
        from: Offset,
        to: Offset,
    ) -> std::result::Result<Vec<RecordBatch>, String> {
        let wanted = col("_partition")
            .eq(lit(partition))
            .and(col("_offset").gt_eq(lit(from)))
            .and(col("_offset").lt(lit(to)));
        let read = async {
            let sorted =
                self.rows()?.filter(wanted)?.sort(vec![col("_offset").sort(true, false)])?;
            sorted.collect().await
        };
        read.await.map_err(|error| error.to_string())
    }
}
