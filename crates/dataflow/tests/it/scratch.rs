//! A scratch in memory, and executors whose state does not fit.

use crate::aggregate_support::{Chain, call};
use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tradewind_dataflow::operator::AggregateFunction::{Count, Sum};
use tradewind_dataflow::operator::{Aggregate, Materialize};
use tradewind_dataflow::{
    DataflowError, Eviction, Executor, Extent, Hidden, OperatorKind, Scratch, ScratchFile,
    SourceInput, StateBudget,
};

const INT: DataType = DataType::Int64;

#[derive(Debug, Default)]
pub(crate) struct MemoryScratch {
    files: Arc<AtomicUsize>,
    written: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct MemoryFile {
    parts: Mutex<Vec<Vec<RecordBatch>>>,
    files: Arc<AtomicUsize>,
    written: Arc<AtomicUsize>,
}

impl Scratch for MemoryScratch {
    fn create(&self) -> Result<Arc<dyn ScratchFile>, DataflowError> {
        self.files.fetch_add(1, Ordering::Relaxed);
        let (files, written) = (self.files.clone(), self.written.clone());
        Ok(Arc::new(MemoryFile { parts: Mutex::default(), files, written }))
    }
}

impl ScratchFile for MemoryFile {
    fn append(&self, batches: &[RecordBatch]) -> Result<Extent, DataflowError> {
        let mut parts = self.parts.lock().unwrap();
        parts.push(batches.to_vec());
        self.written.fetch_add(1, Ordering::Relaxed);
        let bytes = batches.iter().map(RecordBatch::get_array_memory_size).sum::<usize>();
        Ok(Extent { start: parts.len() as u64 - 1, bytes: bytes as u64 })
    }

    fn read(&self, extent: Extent) -> Result<Vec<RecordBatch>, DataflowError> {
        Ok(self.parts.lock().unwrap()[extent.start as usize].clone())
    }
}

impl Drop for MemoryFile {
    fn drop(&mut self) {
        self.files.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An executor that evicts state beyond so many bytes.
pub(crate) fn within(executor: Executor, bytes: Option<usize>) -> Executor {
    let Some(bytes) = bytes else { return executor };
    let (budget, scratch) =
        (StateBudget::new(bytes, usize::MAX), Arc::new(MemoryScratch::default()));
    executor.evicting(Eviction { budget, scratch })
}

fn sums(workers: usize) -> Chain {
    let calls = vec![call(Count, None, INT), call(Sum, Some(1), INT)];
    let kind = OperatorKind::Aggregate(Aggregate { keys: vec![0], calls });
    let output = (&[("k", INT), ("c", INT), ("s", INT)][..], Hidden::CHANGES);
    Chain::new(&[("k", INT), ("v", INT)], Hidden::CHANGES, kind, output, workers)
}

/// So many rows of each key.
fn rows(keys: std::ops::Range<i64>, value: i64) -> String {
    keys.map(|key| format!("+ {key} {value}\n")).collect()
}

#[test]
fn state_stays_within_its_bound_and_goes_on_where_it_was() {
    let mut chain = sums(1);
    let scratch = Arc::new(MemoryScratch::default());
    let budget = StateBudget::new(150_000, usize::MAX);
    chain.executor = crate::aggregate_support::executor(&chain.graph, 1)
        .evicting(Eviction { budget: budget.clone(), scratch: scratch.clone() });
    for part in 0..20 {
        assert_eq!(chain.tick(&rows(part * 500..part * 500 + 500, 1)).len(), 500);
        assert!(budget.state_bytes() <= 150_000, "{}", budget.state_bytes());
    }
    let (_, keys, bytes) = chain.executor.state_sizes()[0].clone();
    assert_eq!((keys, bytes), (10_000, budget.state_bytes()));
    assert!(chain.executor.is_sharded() && scratch.files.load(Ordering::Relaxed) > 50);
    let mut given = chain.tick(&rows(0..10_000, 2));
    given.sort();
    let wanted = (0..10_000).flat_map(|key| [format!("+ {key} 2 3"), format!("- {key} 1 1")]);
    let mut wanted: Vec<String> = wanted.collect();
    wanted.sort();
    assert_eq!(given, wanted);
    assert!(budget.state_bytes() <= 150_000);
    drop(chain);
    assert_eq!((scratch.files.load(Ordering::Relaxed), budget.state_bytes()), (0, 0));
}

#[test]
fn a_restore_needs_no_more_memory_than_there_is() {
    let mut chain = sums(1);
    for part in 0..10 {
        chain.tick(&rows(part * 1_000..part * 1_000 + 1_000, 1));
    }
    let taken = chain.take(true);
    let budget = StateBudget::new(100_000, usize::MAX);
    let scratch = Arc::new(MemoryScratch::default());
    chain.executor = crate::aggregate_support::executor(&chain.graph, 3)
        .evicting(Eviction { budget: budget.clone(), scratch: scratch.clone() });
    taken.iter().for_each(|rows| chain.executor.restore(rows).unwrap());
    assert!(budget.state_bytes() <= 100_000);
    assert_eq!(chain.executor.state_sizes()[0].1, 10_000);
    // What a checkpoint of it holds is the whole state again.
    let taken = chain.take(true);
    drop(chain);
    let mut chain = sums(2);
    taken.iter().for_each(|rows| chain.executor.restore(rows).unwrap());
    assert_eq!(chain.tick("+ 9999 5"), ["- 9999 1 1", "+ 9999 2 6"]);
    assert_eq!(chain.executor.state_sizes()[0].1, 10_000);
    // The files live as long as the checkpoint does that reads them.
    assert!(scratch.files.load(Ordering::Relaxed) > 0);
    drop(taken);
    assert_eq!(scratch.files.load(Ordering::Relaxed), 0);
}

/// What readers read stays in memory, and says so before there is none.
#[test]
fn a_view_that_grows_beyond_its_bound_ends_the_tick_and_names_the_setting() {
    let schema = Hidden::NONE.behind(&crate::aggregate_support::schema(&[("k", INT), ("v", INT)]));
    let view = OperatorKind::Materialize(Materialize { key: vec![] });
    let mut chain =
        Chain::of(&[("k", INT), ("v", INT)], Hidden::NONE, vec![(view, schema, Hidden::NONE)], 1);
    let eviction = Eviction {
        budget: StateBudget::new(0, 100_000),
        scratch: Arc::new(MemoryScratch::default()),
    };
    chain.executor = crate::aggregate_support::executor(&chain.graph, 1).evicting(eviction);
    assert_eq!(chain.tick(&rows(0..1_000, 1)).len(), 1_000);
    let batch = crate::aggregate_support::rows(&chain.input, Hidden::NONE, &rows(0..9_000, 2));
    let input = SourceInput { batches: vec![batch], ..SourceInput::default() };
    let error = chain.executor.tick(vec![input]).unwrap_err().to_string();
    assert!(error.contains("process.view_memory_bytes is 100000"), "{error}");
}

/// A shard that is touched again and again is written anew before its changes outgrow it.
#[test]
fn logs_of_shards_do_not_grow_without_end() {
    let mut chain = sums(1).within(0);
    let mut last = Vec::new();
    for round in 0..300 {
        last = chain.tick(&rows(0..3, round));
        chain.take(round % 50 == 0);
    }
    last.sort();
    assert_eq!(last[..3], ["+ 0 300 44850", "+ 1 300 44850", "+ 2 300 44850"]);
}

/// Windows whose rows are out of memory are given when their time has come, though no row wakes
/// their shards.
#[test]
fn windows_fire_from_out_of_memory() {
    let spec = crate::window::spec(10, 10);
    let time = DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None);
    let calls = vec![call(Count, None, INT)];
    let mut chain = crate::window::windows(spec, time, calls, false, 2).within(0);
    let rows: String = (0..100).map(|key| format!("+ 1 {key} 0 1\n")).collect();
    assert!(chain.tick(&rows).is_empty());
    assert!(chain.tick("+ 3 7 0 9").is_empty());
    let mut given = chain.tick("+ 12 1000 0 10");
    given.sort();
    assert_eq!(given.len(), 100);
    let of_seven = "+ 7 2 00:00:00 00:00:10 00:00:09.999";
    assert_eq!(given.iter().filter(|line| *line == of_seven).count(), 1);
    assert_eq!(chain.end().len(), 1);
}

/// What an operator has given out as changes once is given out again when it changes again.
#[test]
fn groups_of_a_window_are_in_every_checkpoint_after_which_they_changed() {
    let time = DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None);
    let calls = vec![call(Count, None, INT)];
    let spec = crate::window::spec(10, 10);
    let mut chain = crate::window::windows(spec, time, calls, false, 1);
    chain.tick("+ 1 1 0 1");
    let mut log = chain.take(false);
    chain.tick("+ 2 1 0 1");
    log.extend(chain.take(false));
    chain.hand_over(1, &log);
    assert_eq!(chain.end(), ["+ 1 2 00:00:00 00:00:10 00:00:09.999"]);
}
