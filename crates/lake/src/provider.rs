//! Tables as the SQL engine reads them: a Delta version and the tail beside it, as one.
//!
//! Guarantees: a scan reads one `ReadSnapshot`, taken when the scan is planned or, where the
//! session carries `ReadSnapshots`, when the statement first scanned the table; row counts in
//! statistics are exact. Minima and maxima never are, so no aggregate is answered from them.
//! Left out: hiding `_partition` and `_offset` from `SELECT *`, which is the session's.

use crate::read::{ReadSnapshot, ReadSnapshots};
use crate::table::{LakeTable, scan_config};
use arrow::array::RecordBatch;
use arrow::compute::cast;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, Statistics};
use datafusion::datasource::TableType;
use datafusion::datasource::source::{DataSource, DataSourceExec};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::SchedulingType;
use datafusion::physical_plan::memory::MemoryStream;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{DisplayFormatType, ExecutionPlan};
use deltalake::delta_datafusion::DeltaScanNext;
use std::fmt;
use std::sync::Arc;

impl LakeTable {
    /// The table for the SQL engine: visible columns, then `_partition` and `_offset`. Text and
    /// bytes are views (`Utf8View`, `BinaryView`), as in other Parquet scans.
    pub fn provider(self: &Arc<Self>) -> Arc<dyn TableProvider> {
        Arc::new(LakeProvider { table: self.clone() })
    }
}

#[derive(Debug)]
struct LakeProvider {
    table: Arc<LakeTable>,
}

impl LakeProvider {
    fn snapshot(&self, session: &dyn Session) -> Arc<ReadSnapshot> {
        match session.config().get_extension::<ReadSnapshots>() {
            Some(snapshots) => snapshots.of(&self.table),
            None => self.table.read_snapshot(),
        }
    }
}

#[async_trait]
impl TableProvider for LakeProvider {
    fn schema(&self) -> SchemaRef {
        self.table.scan_schema().clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    /// Filters skip files and pages; the tail is not filtered here, so a filter stays above.
    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let snapshot = self.snapshot(session);
        let store = Arc::new(self.table.store().clone());
        session.runtime_env().register_object_store(self.table.store_url().as_ref(), store);
        let delta = DeltaScanNext::new(snapshot.published().snapshot.clone(), scan_config())?;
        let files = delta.scan(session, projection, filters, limit).await?;
        let columns = match projection {
            Some(columns) => columns.clone(),
            None => (0..self.table.scan_schema().fields().len()).collect(),
        };
        let tail = TailSource {
            schema: Arc::new(self.table.scan_schema().project(&columns)?),
            partitions: partitions(snapshot.tail(), session.config().target_partitions()),
            columns,
            batch_rows: session.config().batch_size(),
            snapshot,
        };
        UnionExec::try_new(vec![files, DataSourceExec::from_data_source(tail)])
    }
}

/// Deals batches out, largest first, so that partitions get about as many rows each.
fn partitions(batches: &[RecordBatch], count_max: usize) -> Vec<Vec<RecordBatch>> {
    let count = batches.len().clamp(1, count_max.max(1));
    let mut partitions = vec![(0, Vec::new()); count];
    let mut batches = batches.to_vec();
    batches.sort_by_key(|batch| std::cmp::Reverse(batch.num_rows()));
    for batch in batches {
        if let Some(least) = partitions.iter_mut().min_by_key(|(rows, _)| *rows) {
            least.0 += batch.num_rows();
            least.1.push(batch);
        }
    }
    partitions.into_iter().map(|(_, batches)| batches).collect()
}

/// Scans the tail. It is in every scan, with no rows if need be: it holds the snapshot, so that
/// vacuum keeps the files the scan beside it reads.
#[derive(Debug)]
struct TailSource {
    snapshot: Arc<ReadSnapshot>,
    partitions: Vec<Vec<RecordBatch>>,
    columns: Vec<usize>,
    schema: SchemaRef,
    batch_rows: usize,
}

impl TailSource {
    fn rows(&self, partition: Option<usize>) -> usize {
        match partition {
            Some(index) => self.partitions[index].iter().map(RecordBatch::num_rows).sum(),
            None => self.snapshot.tail_rows(),
        }
    }

    /// Projects to the query's columns and types, without copying text.
    fn projected(&self, batch: &RecordBatch) -> Result<Vec<RecordBatch>> {
        let kept = batch.project(&self.columns)?;
        let columns = kept.columns().iter().zip(self.schema.fields());
        let columns: Result<Vec<_>, _> =
            columns.map(|(column, field)| cast(column, field.data_type())).collect();
        let rows = kept.num_rows();
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows));
        let whole = RecordBatch::try_new_with_options(self.schema.clone(), columns?, &options)?;
        let step = self.batch_rows.max(1);
        let slice = |start| whole.slice(start, step.min(rows - start));
        Ok((0..rows).step_by(step).map(slice).collect())
    }
}

impl DataSource for TailSource {
    fn open(
        &self,
        partition: usize,
        _context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let mut batches = Vec::new();
        for batch in &self.partitions[partition] {
            batches.extend(self.projected(batch)?);
        }
        Ok(Box::pin(MemoryStream::try_new(batches, self.schema.clone(), None)?))
    }

    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let (version, rows) = (self.snapshot.version(), self.snapshot.tail_rows());
        write!(f, "tail: rows={rows}, beside version={version}")
    }

    fn output_partitioning(&self) -> Partitioning {
        Partitioning::UnknownPartitioning(self.partitions.len())
    }

    fn eq_properties(&self) -> EquivalenceProperties {
        EquivalenceProperties::new(self.schema.clone())
    }

    fn scheduling_type(&self) -> SchedulingType {
        SchedulingType::NonCooperative
    }

    fn partition_statistics(&self, partition: Option<usize>) -> Result<Arc<Statistics>> {
        let mut statistics = Statistics::new_unknown(&self.schema);
        statistics.num_rows = Precision::Exact(self.rows(partition));
        Ok(Arc::new(statistics))
    }

    fn with_fetch(&self, _limit: Option<usize>) -> Option<Arc<dyn DataSource>> {
        None
    }

    fn fetch(&self) -> Option<usize> {
        None
    }

    fn try_swapping_with_projection(
        &self,
        _projection: &ProjectionExprs,
    ) -> Result<Option<Arc<dyn DataSource>>> {
        Ok(None)
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }
}
