//! The rows of a table's files, each with its place: how statements that change rows find them.
//!
//! Guarantees: every row of every file of one version is given once, with the number of its file
//! and its place in it, which say nothing to anybody else.
//! Left out: the tail, whose rows are their pipelines'; skipping files.

use crate::schema::conform;
use crate::{LakeError, LakeTable};
use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use bytes::Bytes;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::datasource::TableType;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::Expr;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use datafusion::parquet::errors::ParquetError;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use object_store::ObjectStoreExt;
use std::sync::Arc;

/// The number of a row's file among those of a [`crate::Rewrite`].
pub const FILE_COLUMN: &str = "_tradewind_file";
/// A row's place in its file, from 0.
pub const ROW_COLUMN: &str = "_tradewind_row";
/// Decoded batches that may wait for the engine.
const BATCHES_AHEAD: usize = 2;

/// A data file of a version.
#[derive(Debug, Clone)]
pub(crate) struct DataFile {
    pub(crate) path: String,
    pub(crate) size: i64,
    /// In the order of the partition columns.
    pub(crate) values: Vec<Option<String>>,
}

impl LakeTable {
    /// The rows of a file, with all the table's columns.
    pub(crate) async fn read_file(&self, file: &DataFile) -> Result<FileRows, LakeError> {
        let found = match self.store().get(&self.location(&file.path)).await {
            Ok(found) => found.bytes().await,
            Err(error) => Err(error),
        };
        let bytes: Bytes = found.map_err(|error| self.store_error(error))?;
        let failed = || LakeError::engine::<ParquetError>(self.name());
        let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(failed())?;
        let reader = builder.build().map_err(failed())?;
        Ok(FileRows { reader, values: file.values.clone() })
    }

    /// A batch of a file with the columns that its folder stands for.
    fn whole(
        &self,
        rows: &RecordBatch,
        values: &[Option<String>],
    ) -> Result<RecordBatch, LakeError> {
        let rows = conform(self.name(), self.file_schema(), rows)?;
        let failed = || LakeError::engine::<arrow::error::ArrowError>(self.name());
        let mut columns = Vec::with_capacity(self.schema().fields().len());
        for field in self.schema().fields() {
            if let Some(column) = rows.column_by_name(field.name()) {
                columns.push(Arc::clone(column));
                continue;
            }
            let place = self.partition_columns().iter().position(|name| name == field.name());
            let value = place.and_then(|place| values[place].as_deref());
            let texts: ArrayRef = Arc::new(StringArray::from(vec![value; rows.num_rows()]));
            columns.push(cast(&texts, field.data_type()).map_err(failed())?);
        }
        RecordBatch::try_new(Arc::clone(self.schema()), columns).map_err(failed())
    }
}

/// The rows of one file, batch by batch.
pub(crate) struct FileRows {
    reader: datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReader,
    values: Vec<Option<String>>,
}

impl FileRows {
    pub(crate) fn next(&mut self, table: &LakeTable) -> Option<Result<RecordBatch, LakeError>> {
        let rows = self.reader.next()?.map_err(LakeError::engine(table.name()));
        Some(rows.and_then(|rows| table.whole(&rows, &self.values)))
    }
}

/// The rows of a version's files as a table.
#[derive(Debug)]
pub(crate) struct PlacedRows {
    table: Arc<LakeTable>,
    files: Arc<Vec<DataFile>>,
    schema: SchemaRef,
}

impl PlacedRows {
    pub(crate) fn new(table: &Arc<LakeTable>, files: &Arc<Vec<DataFile>>) -> Self {
        let place = [
            Arc::new(Field::new(FILE_COLUMN, DataType::Int32, false)),
            Arc::new(Field::new(ROW_COLUMN, DataType::Int64, false)),
        ];
        let fields = table.schema().fields().iter().cloned().chain(place);
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        Self { table: Arc::clone(table), files: Arc::clone(files), schema }
    }
}

#[async_trait]
impl TableProvider for PlacedRows {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let columns: Vec<usize> =
            projection.cloned().unwrap_or_else(|| (0..self.schema.fields().len()).collect());
        let schema = Arc::new(self.schema.project(&columns)?);
        let count = session.config().target_partitions().clamp(1, self.files.len().max(1));
        let part = |part| {
            let numbers = (part..self.files.len()).step_by(count);
            Arc::new(PlacedPart {
                table: Arc::clone(&self.table),
                files: Arc::clone(&self.files),
                numbers: numbers.collect(),
                columns: columns.clone(),
                schema: Arc::clone(&schema),
            }) as Arc<dyn PartitionStream>
        };
        let parts = (0..count).map(part).collect();
        let exec =
            StreamingTableExec::try_new(schema, parts, None, std::iter::empty(), false, limit)?;
        Ok(Arc::new(exec))
    }
}

/// Some of the files.
#[derive(Debug, Clone)]
struct PlacedPart {
    table: Arc<LakeTable>,
    files: Arc<Vec<DataFile>>,
    numbers: Vec<usize>,
    columns: Vec<usize>,
    schema: SchemaRef,
}

impl PlacedPart {
    fn placed(&self, rows: &RecordBatch, file: usize, first: i64) -> Result<RecordBatch> {
        let count = rows.num_rows();
        let mut columns = rows.columns().to_vec();
        let file = i32::try_from(file).unwrap_or(i32::MAX);
        columns.push(Arc::new(Int32Array::from(vec![file; count])));
        columns.push(Arc::new(Int64Array::from_iter_values((first..).take(count))));
        let columns = self.columns.iter().map(|index| Arc::clone(&columns[*index]));
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(count));
        let schema = Arc::clone(&self.schema);
        Ok(RecordBatch::try_new_with_options(schema, columns.collect(), &options)?)
    }
}

impl PartitionStream for PlacedPart {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut builder =
            RecordBatchReceiverStream::builder(Arc::clone(&self.schema), BATCHES_AHEAD);
        let (part, out) = (self.clone(), builder.tx());
        let external =
            |error: LakeError| datafusion::error::DataFusionError::External(error.into());
        builder.spawn(async move {
            for number in &part.numbers {
                let file = &part.files[*number];
                let mut rows = part.table.read_file(file).await.map_err(external)?;
                let mut first = 0;
                while let Some(batch) = rows.next(&part.table) {
                    let batch = batch.map_err(external)?;
                    let placed = part.placed(&batch, *number, first)?;
                    first += batch.num_rows() as i64;
                    if out.send(Ok(placed)).await.is_err() {
                        return Ok(());
                    }
                }
            }
            Ok(())
        });
        builder.build()
    }
}
