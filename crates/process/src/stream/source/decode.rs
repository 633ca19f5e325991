//! Records to rows, whatever they come from.
//!
//! Guarantees: every record becomes one row, one dead letter, or nothing where a prefilter does
//! not want it; rows keep the records' order. Large batches are decoded on several cores.
//! Left out: where records come from.

use super::csv::CsvDecoder;
use super::json::{Decoded, JsonDecoder};
use super::{KeyRead, Prefilter, ReadColumn, ReadFrom, store_of};
use crate::stream::plan::Read;
use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanArray, Int32Array, Int64Array, MapArray, MapBuilder,
    MapFieldNames, RecordBatch, StringArray, StringBuilder, TimestampMicrosecondArray,
};
use arrow::compute::filter;
use arrow::datatypes::{DataType, Field, Fields, SchemaRef};
use arrow::error::ArrowError;
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
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: &'a [u8],
    pub(super) offset: Offset,
    pub(super) timestamp_us: TimestampMicros,
    /// Name and value.
    pub(super) headers: &'a [(Bytes, Option<Bytes>)],
}

impl<'a> RawRecord<'a> {
    /// A record that is a line and no more.
    pub(super) fn of_line(value: &'a [u8], offset: Offset, now_us: TimestampMicros) -> Self {
        Self { key: None, value, offset, timestamp_us: now_us, headers: &[] }
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
    decoders: Vec<Decoders>,
}

/// What decodes one piece of the records.
struct Decoders {
    /// Of the keys, where columns are in them.
    key: Option<Values>,
    value: Values,
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
    /// A decoder of a table's records; `all_columns` are the names of all columns that their values
    /// hold, in order, which a format without names needs.
    ///
    /// # Errors
    /// A column's type has no form in the format.
    pub(super) fn new(
        table: &str,
        format: &Format,
        all_columns: &[String],
        key: Option<&KeyRead>,
        read: &Read,
    ) -> Result<Self, SourceError> {
        let of = |from: ReadFrom| -> Fields {
            let columns = read.columns.iter().filter(|column| column.from == from);
            columns.map(|column| column.field.clone()).collect()
        };
        let decoders = |_| {
            let key = key.filter(|_| !of(ReadFrom::Key).is_empty());
            let key = key.map(|key| Values::of_key(key, &of(ReadFrom::Key))).transpose()?;
            let value = Values::new(format, &of(ReadFrom::Value), &read.prefilters, all_columns)?;
            Ok(Decoders { key, value })
        };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let pieces = if cores == 1 { 1 } else { cores * PIECES_PER_CORE };
        let decoders = (0..pieces).map(decoders).collect::<Result<_, _>>();
        let decoders = decoders
            .map_err(|reason| SourceError::Decode { source_name: table.to_string(), reason })?;
        let from = |column: &ReadColumn| column.from;
        let columns = read.columns.iter().map(from).collect();
        Ok(Self { table: table.to_string(), schema: read.schema(), columns, decoders })
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
        let Self { table, schema, columns, decoders } = self;
        let work = Work { schema, columns, table };
        if records.len() < PARALLEL_RECORDS_MIN || decoders.len() == 1 {
            return Ok(vec![work.run(&mut decoders[0], records, place)?]);
        }
        let share = records.len().div_ceil(decoders.len());
        let pieces = decoders.par_iter_mut().zip(records.par_chunks(share));
        pieces.map(|(decoders, records)| work.run(decoders, records, place)).collect()
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
        decoders: &mut Decoders,
        records: &[RawRecord<'_>],
        place: &Place<'_>,
    ) -> Result<SourceBatch, SourceError> {
        let (mut rows, mut rejected) = (Vec::with_capacity(records.len()), Vec::new());
        let Decoders { key, value } = decoders;
        let failed = |error: ArrowError| SourceError::Decode {
            source_name: self.table.to_string(),
            reason: error.to_string(),
        };
        // The keys first: of what has one, the row may still fail by its value.
        let keyed = key.as_mut().map(|key| keyed(key, records, place, &mut rejected));
        let records = keyed.as_deref().map_or_else(|| records.iter().collect(), <[_]>::to_vec);
        let mut kept = Vec::with_capacity(records.len());
        value.reserve(records.len());
        for record in records {
            let decoded = value.decode(record.value);
            kept.push(matches!(decoded, Decoded::Row));
            match decoded {
                Decoded::Row => rows.push(record),
                Decoded::Skipped => {}
                Decoded::Rejected(reason) => rejected.push(letter(record, reason, place)),
            }
        }
        let of_key = key.as_mut().map_or_else(Vec::new, Values::finish);
        let kept = BooleanArray::from(kept);
        let of_key = of_key.iter().map(|column| filter(column, &kept));
        let of_key = of_key.collect::<Result<Vec<_>, _>>().map_err(failed)?;
        let columns = self.arrays(of_key, value.finish(), &rows, place);
        let batch = RecordBatch::try_new(self.schema.clone(), columns).map_err(failed)?;
        let Place { partition, next_offset, .. } = *place;
        Ok(SourceBatch { partition, batch, rejected, next_offset })
    }

    fn arrays(
        self,
        of_key: Vec<ArrayRef>,
        of_value: Vec<ArrayRef>,
        rows: &[&RawRecord<'_>],
        place: &Place<'_>,
    ) -> Vec<ArrayRef> {
        let (mut of_key, mut of_value) = (of_key.into_iter(), of_value.into_iter());
        let offsets: ArrayRef = Arc::new(rows.iter().map(|row| row.offset).collect::<Int64Array>());
        let numbers: ArrayRef = Arc::new(Int32Array::from(vec![place.partition; rows.len()]));
        let mut columns = Vec::with_capacity(self.columns.len() + 2);
        for from in self.columns {
            columns.push(match from {
                ReadFrom::Value => of_value.next().expect("one array for each column of the value"),
                ReadFrom::Key => of_key.next().expect("one array for each column of the key"),
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

/// The records whose keys can be read.
fn keyed<'a, 'b>(
    key: &mut Values,
    records: &'a [RawRecord<'b>],
    place: &Place<'_>,
    rejected: &mut Vec<DeadLetter>,
) -> Vec<&'a RawRecord<'b>> {
    key.reserve(records.len());
    let mut kept = Vec::with_capacity(records.len());
    for record in records {
        match key.decode_key(record.key) {
            Decoded::Row => kept.push(record),
            Decoded::Skipped => {}
            Decoded::Rejected(reason) => {
                rejected.push(letter(record, format!("its key: {reason}"), place));
            }
        }
    }
    kept
}

fn letter(record: &RawRecord<'_>, reason: String, place: &Place<'_>) -> DeadLetter {
    DeadLetter {
        store_id: store_of(record.value).unwrap_or_else(|| DEFAULT_STORE.into()),
        source: place.reader.to_string(),
        reason,
        raw: Bytes::copy_from_slice(record.value),
        received_at: place.now_us,
        position: Some((place.name.to_string(), place.partition, record.offset)),
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
    fn new(
        format: &Format,
        fields: &Fields,
        prefilters: &[Prefilter],
        all_columns: &[String],
    ) -> Result<Self, String> {
        match format {
            Format::Json => {
                let decoder = JsonDecoder::new(fields, prefilters.to_vec())?;
                Ok(Self::Json(Box::new(decoder)))
            }
            Format::Csv(format) => {
                let decoder = CsvDecoder::new(format, fields, all_columns)?;
                Ok(Self::Csv(Box::new(decoder)))
            }
            Format::Raw => match fields.first().map(|field| field.data_type()) {
                Some(DataType::Utf8) => Ok(Self::Raw(RawValues::Text(StringBuilder::new()))),
                Some(_) => Ok(Self::Raw(RawValues::Bytes(BinaryBuilder::new()))),
                None => Ok(Self::Raw(RawValues::Ignored)),
            },
        }
    }

    /// A decoder of keys: the columns `fields`, whose names in the key lack the prefix.
    fn of_key(key: &KeyRead, fields: &Fields) -> Result<Self, String> {
        let short = |name: &str| name.strip_prefix(&*key.prefix).unwrap_or(name).to_string();
        let fields = fields.iter().map(|field| {
            let name = short(field.name());
            Field::clone(field).with_name(name)
        });
        let all_columns: Vec<String> = key.all_columns.iter().map(|name| short(name)).collect();
        Self::new(&key.format, &fields.collect(), &[], &all_columns)
    }

    /// Decodes a key. A record without one has nulls in JSON, and in other formats no row.
    fn decode_key(&mut self, key: Option<&[u8]>) -> Decoded {
        match (key, &self) {
            (Some(key), _) => self.decode(key),
            (None, Self::Json(_)) => self.decode(b"{}"),
            (None, _) => Decoded::Rejected("there is none".into()),
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
