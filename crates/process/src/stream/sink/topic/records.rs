//! Rows as records: key, value, headers and time.
//!
//! Guarantees: where rows replace each other, the rows of one tick come to one record a key, the
//! last that holds; a row that is taken back and not replaced is a record without a value. A row
//! without a form is a dead letter.
//! Left out: which partition, and when.

use super::encode::{EncodedBatch, Encoder};
use crate::stream::output::{as_json, store_of};
use crate::stream::plan::SinkPlan;
use crate::stream::sink::SinkEnvironment;
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::Arc;
use tradewind_dataflow::Hidden;
use tradewind_sql::{ColumnKind, TableDefinition, TopicTable};
use tradewind_types::{Clock, DEFAULT_STORE, DeadLetter, Offset, PartitionId, Record};

/// Makes records of a table's rows.
pub(super) struct RecordMaker {
    key: Option<Encoder>,
    value: Encoder,
    /// The places of the columns that are the record's own.
    timestamp: Option<usize>,
    headers: Option<usize>,
    hidden: Hidden,
    upserts: bool,
    clock: Arc<dyn Clock>,
    /// Who writes, for dead letters.
    writer: String,
    /// The topic that rows with a place come from.
    origin: Option<String>,
}

/// A record, and the row it was.
pub(super) struct Made {
    pub(super) record: Record,
    batch: usize,
    row: usize,
}

/// What some rows came to.
#[derive(Default)]
pub(super) struct MadeRecords {
    /// In order.
    pub(super) records: Vec<Made>,
    pub(super) rejected: Vec<DeadLetter>,
}

/// A row that came or went in a tick.
struct Change {
    made: Made,
    /// How often it came more than it went.
    weight: i64,
    /// The number of its last change.
    last: usize,
}

/// What makes a record the same as another.
type Same = (Option<Bytes>, Option<Bytes>, Vec<(Bytes, Option<Bytes>)>, i64);

impl RecordMaker {
    /// For the rows that a plan writes to a table.
    ///
    /// # Errors
    /// A column's type has no form in its format.
    pub(super) fn new(
        table: &TableDefinition,
        topic: &TopicTable,
        plan: &SinkPlan,
        environment: &SinkEnvironment,
    ) -> Result<Self, String> {
        let place = |name: &str| table.written().position(|column| column.name == name);
        let placed = |name: &String| {
            let place = place(name)?;
            Some((place, table.written().nth(place)?))
        };
        let key = match &topic.key {
            None => None,
            Some(key) => {
                let columns = table.record_key().iter().filter_map(placed);
                Some(Encoder::new(&key.format, &key.json, columns, &key.prefix)?)
            }
        };
        let columns = table.record_value().filter_map(|column| placed(&column.name));
        let value = Encoder::new(&topic.format, &topic.json, columns, "")?;
        let metadata = |wanted: &str| {
            table.written().position(
                |column| matches!(&column.kind, ColumnKind::Metadata { key, .. } if key == wanted),
            )
        };
        Ok(Self {
            key,
            value,
            timestamp: metadata("timestamp"),
            headers: metadata("headers"),
            hidden: plan.hidden,
            upserts: topic.upserts,
            clock: environment.clock.clone(),
            writer: environment.name.clone(),
            origin: environment.origin.clone(),
        })
    }

    /// The records of a tick's rows.
    pub(super) fn records(&self, batches: &[RecordBatch]) -> MadeRecords {
        let mut made = MadeRecords::default();
        let now_ms = self.clock.now_ms();
        let mut rows = Vec::new();
        for (number, batch) in batches.iter().enumerate() {
            let key = self.key.as_ref().map(|key| key.batch(batch));
            let value = self.value.batch(batch);
            let weights = self.hidden.weights(batch);
            for row in 0..batch.num_rows() {
                match self.record(batch, key.as_ref(), &value, row, now_ms) {
                    Ok(record) => {
                        let weight = weights.map_or(1, |weights| weights.value(row));
                        rows.push((Made { record, batch: number, row }, weight));
                    }
                    Err(reason) => made.rejected.push(self.letter(batch, row, reason)),
                }
            }
        }
        made.records = match self.upserts && self.hidden.weight {
            true => replaced(rows),
            false => rows.into_iter().map(|(made, _)| made).collect(),
        };
        made
    }

    fn record(
        &self,
        batch: &RecordBatch,
        key: Option<&EncodedBatch<'_>>,
        value: &EncodedBatch<'_>,
        row: usize,
        now_ms: i64,
    ) -> Result<Record, String> {
        let timestamp = self.timestamp.map(|place| {
            let times = batch.column(place).as_primitive::<TimestampMicrosecondType>();
            times.is_valid(row).then(|| times.value(row).div_euclid(1_000))
        });
        Ok(Record {
            timestamp_ms: timestamp.flatten().unwrap_or(now_ms),
            key: key.map(|key| key.row(row)).transpose()?.flatten(),
            value: value.row(row)?,
            headers: self.headers.map(|place| headers(batch, place, row)).unwrap_or_default(),
        })
    }

    /// The letter for a row of `batches` that is too large.
    pub(super) fn too_large(
        &self,
        batches: &[RecordBatch],
        made: &Made,
        reason: String,
    ) -> DeadLetter {
        self.letter(&batches[made.batch], made.row, reason)
    }

    fn letter(&self, batch: &RecordBatch, row: usize, reason: String) -> DeadLetter {
        let one = batch.slice(row, 1);
        let origin = self.hidden.origin_of(batch, row).zip(self.origin.as_ref());
        let position = |((partition, offset), topic): ((PartitionId, Offset), &String)| {
            (topic.clone(), partition, offset)
        };
        DeadLetter {
            store_id: store_of(&one).unwrap_or_else(|| DEFAULT_STORE.to_string()),
            source: self.writer.clone(),
            reason,
            // Arrow's JSON has a form for every type that a sink is opened for.
            raw: as_json(&one, self.hidden).unwrap_or_default(),
            received_at: self.clock.now_us(),
            position: origin.map(position),
        }
    }
}

fn headers(batch: &RecordBatch, place: usize, row: usize) -> Vec<(Bytes, Option<Bytes>)> {
    let map = batch.column(place).as_map();
    if map.is_null(row) {
        return Vec::new();
    }
    let entries = map.value(row);
    let (names, values) =
        (entries.column(0).as_string::<i32>(), entries.column(1).as_binary::<i32>());
    let header = |entry| {
        let value = values.is_valid(entry).then(|| Bytes::copy_from_slice(values.value(entry)));
        (Bytes::copy_from_slice(names.value(entry).as_bytes()), value)
    };
    (0..entries.len()).map(header).collect()
}

/// One record for each key that has changed: what came last and was not taken back, or that the key
/// is gone.
fn replaced(rows: Vec<(Made, i64)>) -> Vec<Made> {
    let mut known: HashMap<Same, usize> = HashMap::new();
    let mut changes: Vec<Change> = Vec::new();
    for (last, (made, weight)) in rows.into_iter().enumerate() {
        let Record { key, value, headers, timestamp_ms } = made.record.clone();
        let index = *known.entry((key, value, headers, timestamp_ms)).or_insert(changes.len());
        match changes.get_mut(index) {
            Some(change) => (change.weight, change.last) = (change.weight + weight, last),
            None => changes.push(Change { made, weight, last }),
        }
    }
    drop(known);
    changes.retain(|change| change.weight != 0);
    changes.sort_unstable_by_key(|change| change.last);
    let mut keys: HashMap<Option<Bytes>, usize> = HashMap::new();
    for (index, change) in changes.iter().enumerate() {
        let kept = keys.entry(change.made.record.key.clone()).or_insert(index);
        if change.weight > 0 || changes[*kept].weight < 0 {
            *kept = index;
        }
    }
    let kept = changes.into_iter().enumerate();
    kept.filter(|(index, change)| keys.get(&change.made.record.key) == Some(index))
        .map(|(_, Change { mut made, weight, .. })| {
            if weight < 0 {
                made.record.value = None;
            }
            made
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(key: &'static str, value: &'static str, weight: i64) -> (Made, i64) {
        let record = Record {
            key: Some(Bytes::from_static(key.as_bytes())),
            value: Some(Bytes::from_static(value.as_bytes())),
            ..Record::default()
        };
        (Made { record, batch: 0, row: 0 }, weight)
    }

    fn net(rows: Vec<(Made, i64)>) -> Vec<String> {
        let text = |bytes: &Option<Bytes>| {
            bytes.as_ref().map_or("-".into(), |bytes| String::from_utf8_lossy(bytes).into_owned())
        };
        let one = |made: Made| format!("{}={}", text(&made.record.key), text(&made.record.value));
        replaced(rows).into_iter().map(one).collect()
    }

    #[test]
    fn a_tick_is_one_record_a_key() {
        assert_eq!(net(vec![row("a", "1", 1)]), ["a=1"]);
        assert_eq!(net(vec![row("a", "1", -1), row("a", "2", 1)]), ["a=2"]);
        // In whichever order the two come.
        assert_eq!(net(vec![row("a", "2", 1), row("a", "1", -1)]), ["a=2"]);
        assert_eq!(net(vec![row("a", "1", -1)]), ["a=-"]);
        // What came and went, or went and came, was never there or never away.
        assert!(net(vec![row("a", "1", 1), row("a", "1", -1)]).is_empty());
        assert!(net(vec![row("a", "1", -1), row("a", "1", 1)]).is_empty());
        let passing =
            vec![row("a", "1", -1), row("a", "2", 1), row("a", "2", -1), row("a", "3", 1)];
        assert_eq!(net(passing), ["a=3"]);
        let two = vec![row("b", "1", 1), row("a", "1", 1), row("b", "1", -1), row("b", "2", 1)];
        assert_eq!(net(two), ["a=1", "b=2"]);
    }
}
