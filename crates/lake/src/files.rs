//! Writing data files: rows in, durable Parquet and Delta `add` actions out.
//!
//! Guarantees: a returned action's file is on the disk, whole, under its name; each row is in
//! exactly one file; the rows of a file share their partition values.
//! Left out: making files part of the table, which is the commit's.

use crate::LakeError;
use crate::names;
use crate::stats::FileStats;
use crate::table::LakeTable;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{SortColumn, lexsort_to_indices, partition, take_record_batch};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::{Compression, ZstdLevel};
use datafusion::parquet::errors::ParquetError;
use datafusion::parquet::file::properties::WriterProperties;
use deltalake::kernel::Add;
use object_store::path::Path;
use object_store::{Error, ObjectStore, PutPayload};
use std::collections::HashMap;
use std::sync::Arc;

/// Rows are sorted by it inside of a file, where there is one, so that time ranges skip pages.
const TIME_COLUMN: &str = "event_time";
/// Fast to write, and within a few percent of slower levels on rows of a shop.
const ZSTD_LEVEL: i32 = 3;

/// The values of a lake partition, in the order of its columns.
pub(crate) type PartitionValues = Vec<Option<String>>;

/// A data file in memory.
pub(crate) struct Encoded {
    pub(crate) values: PartitionValues,
    pub(crate) bytes: Vec<u8>,
    pub(crate) stats: String,
    pub(crate) rows: usize,
}

/// Writes one data file, batch by batch, in memory.
pub(crate) struct Encoder {
    values: PartitionValues,
    writer: ArrowWriter<Vec<u8>>,
    stats: FileStats,
}

impl Encoder {
    /// `schema` is that of data files: without the partition columns.
    pub(crate) fn new(schema: SchemaRef, values: PartitionValues) -> Result<Self, ParquetError> {
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
            .set_created_by(concat!("tradewind ", env!("CARGO_PKG_VERSION")).to_owned())
            .build();
        let writer = ArrowWriter::try_new(Vec::new(), schema.clone(), Some(properties))?;
        Ok(Self { values, writer, stats: FileStats::new(schema) })
    }

    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<(), ParquetError> {
        self.stats.add(batch);
        self.writer.write(batch)
    }

    pub(crate) fn finish(self) -> Result<Encoded, ParquetError> {
        let (rows, stats) = (self.stats.rows(), self.stats.to_json());
        Ok(Encoded { values: self.values, bytes: self.writer.into_inner()?, stats, rows })
    }
}

impl LakeTable {
    /// Sorts rows, splits them by lake partition and makes a file of each part.
    pub(crate) fn encode(&self, batches: &[RecordBatch]) -> Result<Vec<Encoded>, LakeError> {
        let failed = || LakeError::engine(self.name());
        let all = crate::tail::merge(self.schema(), batches).map_err(failed())?;
        let sorted = self.sorted(&all)?;
        let keys = self.partition_arrays(&sorted);
        let parts = if keys.is_empty() {
            std::iter::once(0..sorted.num_rows()).collect()
        } else {
            partition(&keys).map_err(failed())?.ranges()
        };
        let mut files = Vec::with_capacity(parts.len());
        for part in parts {
            let values = keys.iter().map(|key| value_text(key, part.start)).collect();
            let mut encoder = Encoder::new(self.file_schema().clone(), values)
                .map_err(LakeError::engine::<ParquetError>(self.name()))?;
            let rows = self.without_partition_columns(&sorted.slice(part.start, part.len()))?;
            encoder.write(&rows).map_err(LakeError::engine::<ParquetError>(self.name()))?;
            files.push(encoder.finish().map_err(LakeError::engine::<ParquetError>(self.name()))?);
        }
        Ok(files)
    }

    fn partition_arrays(&self, batch: &RecordBatch) -> Vec<ArrayRef> {
        let columns = self.partition_columns().iter();
        columns.filter_map(|name| batch.column_by_name(name).cloned()).collect()
    }

    fn sorted(&self, batch: &RecordBatch) -> Result<RecordBatch, LakeError> {
        let mut keys = self.partition_arrays(batch);
        keys.extend(batch.column_by_name(TIME_COLUMN).cloned());
        if keys.is_empty() {
            return Ok(batch.clone());
        }
        let keys: Vec<_> =
            keys.into_iter().map(|values| SortColumn { values, options: None }).collect();
        let order = lexsort_to_indices(&keys, None).map_err(LakeError::engine(self.name()))?;
        take_record_batch(batch, &order).map_err(LakeError::engine(self.name()))
    }

    fn without_partition_columns(&self, batch: &RecordBatch) -> Result<RecordBatch, LakeError> {
        let schema = self.file_schema();
        let columns =
            schema.fields().iter().filter_map(|f| batch.column_by_name(f.name()).cloned());
        RecordBatch::try_new(schema.clone(), columns.collect())
            .map_err(LakeError::engine(self.name()))
    }

    /// Writes a file under `file_name` into the folder of its partition, durably.
    pub(crate) async fn put_file(
        &self,
        file: Encoded,
        file_name: &str,
        data_change: bool,
    ) -> Result<Add, LakeError> {
        let columns = self.partition_columns();
        let mut path = String::new();
        for (column, value) in columns.iter().zip(&file.values) {
            path.push_str(&names::folder(column, value.as_deref()));
            path.push('/');
        }
        path.push_str(file_name);
        let size = file.bytes.len();
        let location = self.location(&path);
        let payload = PutPayload::from(file.bytes);
        let put = self.store().put_opts(&location, payload, Default::default()).await;
        put.map_err(|error| self.store_error(error))?;
        let values = columns.iter().cloned().zip(file.values).collect::<HashMap<_, _>>();
        Ok(Add {
            path,
            size: size as i64,
            partition_values: values,
            modification_time: self.clock().now_ms(),
            data_change,
            stats: Some(file.stats),
            ..Add::default()
        })
    }

    /// The store's path of a file named relative to the table's folder.
    pub(crate) fn location(&self, relative: &str) -> Path {
        Path::from_iter(std::iter::once(self.name()).chain(relative.split('/')))
    }

    /// The store's path of the table's folder.
    pub(crate) fn folder(&self) -> Path {
        Path::from(self.name())
    }

    pub(crate) fn store_error(&self, source: Error) -> LakeError {
        LakeError::delta(self.name())(source.into())
    }
}

/// A partition value as Delta writes it; Delta has no empty text there.
fn value_text(key: &ArrayRef, row: usize) -> Option<String> {
    if key.is_null(row) {
        return None;
    }
    if key.data_type() == &DataType::Utf8 {
        let text = key.as_string::<i32>().value(row);
        return (!text.is_empty()).then(|| text.to_owned());
    }
    let options = FormatOptions::new();
    let formatter = ArrayFormatter::try_new(key.as_ref(), &options).ok()?;
    Some(formatter.value(row).to_string())
}

/// Encodes off the async workers where there are several, inline where there is one.
pub(crate) async fn encode(
    table: &Arc<LakeTable>,
    batches: Vec<RecordBatch>,
) -> Result<Vec<Encoded>, LakeError> {
    let encoder = table.clone();
    table
        .store()
        .blocking(move |_| Ok(encoder.encode(&batches)))
        .await
        .map_err(|error| table.store_error(error))?
}
