//! The hot tail: rows a table has that no commit holds yet.
//!
//! Guarantees: the rows of one `write` become visible together; merging never changes which rows
//! are visible; a tail of any number of small writes is a few batches.
//! Left out: durability. Tail rows are in the log, from which a restart reads them again.

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tradewind_types::Epoch;

/// Merging stops at batches of so many rows: large enough to scan at full speed, small enough to
/// copy in a few milliseconds.
const RUN_ROWS_MAX: usize = 64 * 1024;

/// Some rows that came together or were merged.
#[derive(Debug, Clone)]
struct Run {
    batch: RecordBatch,
    bytes: usize,
}

/// The rows of one writer in one epoch: runs that shrink towards the end, as in a merge tree, so
/// that each row is copied a logarithmic number of times and there are as few runs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rows {
    runs: Vec<Run>,
    rows: usize,
    bytes: usize,
}

impl Rows {
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn batches(&self) -> impl Iterator<Item = &RecordBatch> {
        self.runs.iter().map(|run| &run.batch)
    }

    fn push(&mut self, batch: RecordBatch, bytes: usize) {
        self.rows += batch.num_rows();
        self.bytes += bytes;
        self.runs.push(Run { batch, bytes });
    }

    /// The runs at the end that are due to become one: each no larger than what follows it.
    fn due(&self) -> &[Run] {
        let mut first = self.runs.len();
        let mut rows = 0;
        while let Some(run) = first.checked_sub(1).map(|index| &self.runs[index]) {
            let next = run.batch.num_rows();
            if rows + next > RUN_ROWS_MAX || (rows > 0 && next > rows) {
                break;
            }
            rows += next;
            first -= 1;
        }
        &self.runs[first..]
    }

    fn replace_last(&mut self, count: usize, merged: RecordBatch) {
        let bytes = batch_bytes(&merged);
        let kept = self.runs.len() - count;
        let old: usize = self.runs.drain(kept..).map(|run| run.bytes).sum();
        self.bytes = self.bytes - old + bytes;
        self.runs.push(Run { batch: merged, bytes });
    }
}

/// Bytes of memory a batch holds on to, without what it shares with larger ones.
pub(crate) fn batch_bytes(batch: &RecordBatch) -> usize {
    let columns = batch.columns().iter();
    columns.map(|column| column.to_data().get_slice_memory_size().unwrap_or_default()).sum()
}

/// One writer's rows: the open epoch and those that are staged.
#[derive(Debug, Default)]
struct WriterTail {
    open: Rows,
    staged: BTreeMap<Epoch, Rows>,
}

/// A table's rows by writer. Whoever holds it holds the table's lock.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    writers: BTreeMap<String, WriterTail>,
    bytes: usize,
    rows: usize,
}

impl Tail {
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Every visible row.
    pub(crate) fn batches(&self) -> Vec<RecordBatch> {
        let tails = self.writers.values();
        tails
            .flat_map(|tail| tail.staged.values().chain([&tail.open]))
            .flat_map(Rows::batches)
            .cloned()
            .collect()
    }

    /// The open epoch of a writer.
    pub(crate) fn open(&self, writer: &str) -> Rows {
        self.writers.get(writer).map(|tail| tail.open.clone()).unwrap_or_default()
    }

    pub(crate) fn open_bytes(&self, writer: &str) -> usize {
        self.writers.get(writer).map_or(0, |tail| tail.open.bytes)
    }

    /// Bytes of a writer, staged epochs and the open one.
    pub(crate) fn writer_bytes(&self, writer: &str) -> usize {
        self.writers.get(writer).map_or(0, |tail| {
            tail.open.bytes + tail.staged.values().map(Rows::bytes).sum::<usize>()
        })
    }

    /// Writers with epochs that wait for their commit.
    pub(crate) fn staged_writers(&self) -> Vec<String> {
        let waiting = self.writers.iter().filter(|(_, tail)| !tail.staged.is_empty());
        waiting.map(|(writer, _)| writer.clone()).collect()
    }

    pub(crate) fn staged_epochs(&self) -> usize {
        self.writers.values().map(|tail| tail.staged.len()).sum()
    }

    /// Adds to a writer's open epoch.
    pub(crate) fn push(&mut self, writer: &str, batch: RecordBatch, bytes: usize) {
        self.change(writer, |tail| tail.open.push(batch, bytes));
    }

    /// What of a writer's open epoch is due for merging.
    pub(crate) fn due(&self, writer: &str) -> Vec<RecordBatch> {
        let due = self.writers.get(writer).map(|tail| tail.open.due()).unwrap_or_default();
        due.iter().map(|run| run.batch.clone()).collect()
    }

    /// Puts the merged batch in the place of the writer's last `count`.
    pub(crate) fn replace_last(&mut self, writer: &str, count: usize, merged: RecordBatch) {
        self.change(writer, |tail| tail.open.replace_last(count, merged));
    }

    /// Closes the open epoch: its rows stay visible until they are committed.
    pub(crate) fn stage(&mut self, writer: &str, epoch: Epoch) {
        self.change(writer, |tail| {
            let rows = std::mem::take(&mut tail.open);
            if rows.rows > 0 {
                tail.staged.insert(epoch, rows);
            }
        });
    }

    /// Drops the epochs up to `epoch`, which a snapshot holds now.
    pub(crate) fn committed(&mut self, writer: &str, epoch: Epoch) {
        self.change(writer, |tail| tail.staged.retain(|staged, _| *staged > epoch));
    }

    /// Drops everything of a writer.
    pub(crate) fn forget(&mut self, writer: &str) {
        self.change(writer, |tail| *tail = WriterTail::default());
        self.writers.remove(writer);
    }

    fn change(&mut self, writer: &str, change: impl FnOnce(&mut WriterTail)) {
        let tail = self.writers.entry(writer.to_owned()).or_default();
        change(tail);
        let all =
            || self.writers.values().flat_map(|tail| tail.staged.values().chain([&tail.open]));
        self.bytes = all().map(Rows::bytes).sum();
        self.rows = all().map(Rows::rows).sum();
    }
}

/// Bytes in the tails of all tables of a process.
#[derive(Debug, Default)]
pub(crate) struct TailTotal(AtomicUsize);

impl TailTotal {
    pub(crate) fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// A table's tail went from `before` to `after` bytes.
    pub(crate) fn changed(&self, before: usize, after: usize) {
        if after >= before {
            self.0.fetch_add(after - before, Ordering::Relaxed);
        } else {
            self.0.fetch_sub(before - after, Ordering::Relaxed);
        }
    }
}

/// One batch of several. Its memory is its own.
pub(crate) fn merge(
    schema: &SchemaRef,
    batches: &[RecordBatch],
) -> Result<RecordBatch, ArrowError> {
    concat_batches(schema, batches)
}

/// Shared by the tables of a lake.
pub(crate) type SharedTotal = Arc<TailTotal>;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use arrow::array::{AsArray, Int64Array};
    use arrow::datatypes::{DataType, Field, Int64Type, Schema};

    fn batch(from: i64, rows: i64) -> RecordBatch {
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
        let column = Int64Array::from((from..from + rows).collect::<Vec<_>>());
        RecordBatch::try_new(schema, vec![Arc::new(column)]).unwrap()
    }

    fn write(tail: &mut Tail, batch: RecordBatch) {
        let bytes = batch_bytes(&batch);
        tail.push("w", batch, bytes);
        let due = tail.due("w");
        if due.len() > 1 {
            let merged = merge(due[0].schema_ref(), &due).unwrap();
            tail.replace_last("w", due.len(), merged);
        }
    }

    #[test]
    fn a_million_rows_in_tiny_writes_are_a_few_batches() {
        let mut tail = Tail::default();
        let mut next = 0;
        while next < 1_000_000 {
            let rows = 1 + next % 97;
            write(&mut tail, batch(next, rows));
            next += rows;
        }
        let batches = tail.batches();
        assert!(batches.len() < 60, "{} batches", batches.len());
        assert_eq!(tail.rows(), next as usize);
        assert_eq!(tail.bytes(), batches.iter().map(batch_bytes).sum::<usize>());
        let mut seen: Vec<i64> = batches
            .iter()
            .flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec())
            .collect();
        seen.sort_unstable();
        assert!(seen.iter().copied().eq(0..next));
    }

    #[test]
    fn epochs_leave_when_they_are_committed() {
        let mut tail = Tail::default();
        write(&mut tail, batch(0, 3));
        tail.stage("w", 1);
        write(&mut tail, batch(3, 4));
        tail.stage("w", 2);
        write(&mut tail, batch(7, 5));
        assert_eq!((tail.rows(), tail.staged_epochs()), (12, 2));
        tail.committed("w", 1);
        assert_eq!(tail.rows(), 9);
        tail.forget("w");
        assert_eq!((tail.rows(), tail.bytes(), tail.batches().len()), (0, 0, 0));
    }
}
