//! Records to rows, whatever they come from.
//!
//! Guarantees: every record becomes one row, one dead letter, or nothing where a prefilter does
//! not want it; rows keep the records' order. Large batches are decoded on several cores.
//! Left out: where records come from.

use super::csv::CsvDecoder;
use super::json::{Decoded, JsonDecoder};
use super::{ReadColumn, ReadFrom, store_of};
use crate::stream::plan::Read;
use arrow::array::{
    ArrayRef, BinaryBuilder, Int32Array, Int64Array, MapArray, MapBuilder, MapFieldNames,
    RecordBatch, StringArray, StringBuilder, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Fields, SchemaRef};
use bytes::Bytes;
use rayon::iter::{IndexedParallelIterator, IntoParallelRefMutIterator, ParallelIterator};
use rayon::slice::ParallelSlice;
use std::sync::Arc;
use tradewind_sql::Format;
use tradewind_types::{
    DEFAULT_STORE, DeadLetter, Offset, PartitionId, SourceBatch, SourceError, TimestampMicros,
};

/// Fewer records than these are not worth a second core.
const PARALLEL_RECORDS_MIN: usize = 2_048;
/// Pieces for each core: what one core is late with, another takes over.
const PIECES_PER_CORE: usize = 2;

/// A record to decode.
#[derive(Debug, Clone)]
pub(super) struct RawRecord<'a> {
    pub(super) value: &'a [u8],
    pub(super) offset: Offset,
    pub(super) timestamp_us: TimestampMicros,
    /// Name and value.
    pub(super) headers: &'a [(Bytes, Option<Bytes>)],
}

impl<'a> RawRecord<'a> {
    /// A record that is a line and no more.
    pub(super) fn of_line(value: &'a [u8], offset: Offset, now_us: TimestampMicros) -> Self {
        Self { value, offset, timestamp_us: now_us, headers: &[] }
    }
}

/// Where records come from, for rows and dead letters.
#[derive(Debug, Clone)]
pub(super) struct Place<'a> {
    /// `pipeline:<name>`
    pub(super) reader: &'a str,
    /// The topic's or table's name.
    pub(super) name: &'a str,
    pub(super) partition: PartitionId,
    /// The next offset to read once the records are taken in.
    pub(super) next_offset: Offset,
    /// Now, for dead letters.
    pub(super) now_us: TimestampMicros,
}

/// Decodes the records of one source.
pub(super) struct RowDecoder {
    table: String,
    schema: SchemaRef,
    columns: Vec<ReadFrom>,
    /// One for each piece.
    values: Vec<Values>,
}

/// Decodes values.
enum Values {
    Json(Box<JsonDecoder>),
    Csv(Box<CsvDecoder>),
    Raw(RawValues),
}

/// The values as they are.
enum RawValues {
    Text(StringBuilder),
    Bytes(BinaryBuilder),
    /// Nobody asked for them.
    Ignored,
}

impl RowDecoder {
    /// A decoder of a table's records; `all_columns` are the names of all its physical columns in
    /// order, which a format without names needs.
    ///
    /// # Errors
    /// A column's type has no form in the format.
    pub(super) fn new(
        table: &str,
        format: &Format,
        read: &Read,
        all_columns: &[String],
    ) -> Result<Self, SourceError> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let decoder = |_| Values::new(format, read, all_columns);
        let pieces = if cores == 1 { 1 } else { cores * PIECES_PER_CORE };
        let values = (0..pieces).map(decoder).collect::<Result<_, _>>();
        let values = values
            .map_err(|reason| SourceError::Decode { source_name: table.to_string(), reason })?;
        let from = |column: &ReadColumn| column.from;
        let columns = read.columns.iter().map(from).collect();
        Ok(Self { table: table.to_string(), schema: read.schema(), columns, values })
    }

    pub(super) fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// Decodes records, in pieces that keep their order.
    ///
    /// # Errors
    /// A bug: columns that do not fit the schema.
    pub(super) fn decode(
        &mut self,
        records: &[RawRecord<'_>],
        place: &Place<'_>,
    ) -> Result<Vec<SourceBatch>, SourceError> {
        let Self { table, schema, columns, values } = self;
        let work = Work { schema, columns, table };
        if records.len() < PARALLEL_RECORDS_MIN || values.len() == 1 {
            return Ok(vec![work.run(&mut values[0], records, place)?]);
        }
        let share = records.len().div_ceil(values.len());
        let pieces = values.par_iter_mut().zip(records.par_chunks(share));
        pieces.map(|(values, records)| work.run(values, records, place)).collect()
    }
}

/// What every core needs.
#[derive(Clone, Copy)]
struct Work<'a> {
    schema: &'a SchemaRef,
    columns: &'a [ReadFrom],
    table: &'a str,
}

impl Work<'_> {
    fn run(
        self,
        values: &mut Values,
        records: &[RawRecord<'_>],
        place: &Place<'_>,
    ) -> Result<SourceBatch, SourceError> {
        let (mut rows, mut rejected) = (Vec::with_capacity(records.len()), Vec::new());
        values.reserve(records.len());
        for record in records {
            match values.decode(record.value) {
                Decoded::Row => rows.push(record),
                Decoded::Skipped => {}
                Decoded::Rejected(reason) => rejected.push(DeadLetter {
                    store_id: store_of(record.value).unwrap_or_else(|| DEFAULT_STORE.into()),
                    source: place.reader.to_string(),
                    reason,
                    raw: Bytes::copy_from_slice(record.value),
                    received_at: place.now_us,
                    position: Some((place.name.to_string(), place.partition, record.offset)),
                }),
            }
        }
        let columns = self.arrays(values, &rows, place);
        let batch = RecordBatch::try_new(self.schema.clone(), columns);
        let batch = batch.map_err(|error| SourceError::Decode {
            source_name: self.table.to_string(),
            reason: error.to_string(),
        })?;
        let Place { partition, next_offset, .. } = *place;
        Ok(SourceBatch { partition, batch, rejected, next_offset })
    }

    fn arrays(
        self,
        values: &mut Values,
        rows: &[&RawRecord<'_>],
        place: &Place<'_>,
    ) -> Vec<ArrayRef> {
        let mut of_value = values.finish().into_iter();
        let offsets: ArrayRef = Arc::new(rows.iter().map(|row| row.offset).collect::<Int64Array>());
        let numbers: ArrayRef = Arc::new(Int32Array::from(vec![place.partition; rows.len()]));
        let mut columns = Vec::with_capacity(self.columns.len() + 2);
        for from in self.columns {
            columns.push(match from {
                ReadFrom::Value => of_value.next().expect("one array for each column of the value"),
                ReadFrom::Partition => numbers.clone(),
                ReadFrom::Offset => offsets.clone(),
                ReadFrom::Timestamp => {
                    let times = rows.iter().map(|row| row.timestamp_us);
                    let times = TimestampMicrosecondArray::from_iter_values(times);
                    Arc::new(times.with_timezone("UTC"))
                }
                ReadFrom::Topic => Arc::new(StringArray::from(vec![place.name; rows.len()])),
                ReadFrom::Headers => Arc::new(headers(rows)),
            });
        }
        columns.extend([numbers, offsets]);
        columns
    }
}

/// The headers of each record as a map from name to value.
fn headers(rows: &[&RawRecord<'_>]) -> MapArray {
    // As the language's type MAP<STRING, BYTES> has them.
    let names = MapFieldNames { entry: "entries".into(), key: "key".into(), value: "value".into() };
    let mut maps = MapBuilder::new(Some(names), StringBuilder::new(), BinaryBuilder::new());
    for row in rows {
        for (index, (name, value)) in row.headers.iter().enumerate() {
            if row.headers[index + 1..].iter().any(|(later, _)| later == name) {
                continue;
            }
            maps.keys().append_value(String::from_utf8_lossy(name));
            maps.values().append_option(value.as_deref());
        }
        maps.append(true).expect("a key was appended with each value");
    }
    maps.finish()
}

impl Values {
    fn new(format: &Format, read: &Read, all_columns: &[String]) -> Result<Self, String> {
        let of_value = read.columns.iter().filter(|column| column.from == ReadFrom::Value);
        let fields: Fields = of_value.map(|column| column.field.clone()).collect();
        match format {
            Format::Json => {
                let decoder = JsonDecoder::new(&fields, read.prefilters.clone())?;
                Ok(Self::Json(Box::new(decoder)))
            }
            Format::Csv(format) => {
                let decoder = CsvDecoder::new(format, &fields, all_columns)?;
                Ok(Self::Csv(Box::new(decoder)))
            }
            Format::Raw => match fields.first().map(|field| field.data_type()) {
                Some(DataType::Utf8) => Ok(Self::Raw(RawValues::Text(StringBuilder::new()))),
                Some(_) => Ok(Self::Raw(RawValues::Bytes(BinaryBuilder::new()))),
                None => Ok(Self::Raw(RawValues::Ignored)),
            },
        }
    }

    /// Makes room for the rows of a batch.
    fn reserve(&mut self, rows: usize) {
        if let Self::Json(decoder) = self {
            decoder.reserve(rows);
        }
    }

    fn decode(&mut self, value: &[u8]) -> Decoded {
        match self {
            Self::Json(decoder) => return decoder.decode(value),
            Self::Csv(decoder) => return decoder.decode(value),
            Self::Raw(RawValues::Ignored) => {}
            Self::Raw(RawValues::Bytes(builder)) => builder.append_value(value),
            Self::Raw(RawValues::Text(builder)) => match std::str::from_utf8(value) {
                Ok(text) => builder.append_value(text),
                Err(error) => return Decoded::Rejected(format!("it is no text: {error}")),
            },
        }
        Decoded::Row
    }

    fn finish(&mut self) -> Vec<ArrayRef> {
        match self {
            Self::Json(decoder) => decoder.finish(),
            Self::Csv(decoder) => decoder.finish(),
            Self::Raw(RawValues::Text(builder)) => vec![Arc::new(builder.finish())],
            Self::Raw(RawValues::Bytes(builder)) => vec![Arc::new(builder.finish())],
            Self::Raw(RawValues::Ignored) => Vec::new(),
        }
    }
}
