//! From one operator to the next: through those without state, up to those with state and sinks.
//!
//! Guarantees: rows of one key go to one worker, in the order they come.
//! Left out: running operators with state.

use super::meter::Meter;
use crate::operator::Keyed;
use crate::state::hash::hash_columns;
use crate::{
    DataflowError, Graph, Hidden, Node, NodeIndex, OperatorKind, RowError, ShardRange, shard_of,
};
use arrow::array::{ArrayRef, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use std::sync::Arc;

/// Knows the ways of a graph.
pub(super) struct Router {
    pub(super) graph: Arc<Graph>,
    /// What each node has done.
    pub(super) meters: Vec<Meter>,
    users: Vec<Vec<(NodeIndex, usize)>>,
    workers: usize,
}

/// What has come out of some work and goes elsewhere.
#[derive(Default)]
pub(super) struct Outbox {
    /// For which node, as which of its inputs, for which worker.
    pub(super) keyed: Vec<(NodeIndex, usize, usize, Keyed)>,
    /// For which sink.
    pub(super) sinks: Vec<(usize, RecordBatch)>,
    /// For which `AssignWatermark`.
    pub(super) marked: Vec<(NodeIndex, RecordBatch)>,
    pub(super) errors: Vec<RowError>,
    /// There is more to come from where this came from.
    pub(super) unfinished: bool,
}

impl Router {
    pub(super) fn new(graph: Arc<Graph>, workers: usize) -> Self {
        let meters = graph.nodes.iter().map(|_| Meter::default()).collect();
        Self { meters, users: graph.users(), graph, workers }
    }

    /// Hands what a node has given to all who use it.
    pub(super) fn forward(
        &self,
        from: NodeIndex,
        batch: RecordBatch,
        outbox: &mut Outbox,
    ) -> Result<(), DataflowError> {
        let rows = batch.num_rows();
        if rows == 0 {
            return Ok(());
        }
        let hidden = self.graph.nodes[from].hidden;
        self.meters[from].gave(rows);
        for (to, input) in &self.users[from] {
            let (node, meter) = (&self.graph.nodes[*to], &self.meters[*to]);
            meter.came(rows);
            match &node.kind {
                OperatorKind::Sink(sink) => {
                    meter.gave(rows);
                    outbox.sinks.push((*sink, batch.clone()));
                }
                OperatorKind::AssignWatermark(_) => outbox.marked.push((*to, batch.clone())),
                OperatorKind::Union => {
                    let batch = same_hidden(&batch, hidden, node)?;
                    self.forward(*to, batch, outbox)?;
                }
                kind => match kind.exchange(*input) {
                    Some(keys) => {
                        meter.time(|| self.exchange(*to, *input, keys, &batch, outbox))?;
                    }
                    None => {
                        let run = || node.run(batch.clone(), hidden, &mut outbox.errors);
                        for batch in meter.time(run) {
                            self.forward(*to, batch, outbox)?;
                        }
                    }
                },
            }
        }
        Ok(())
    }

    /// Divides rows among the workers by their keys.
    fn exchange(
        &self,
        to: NodeIndex,
        input: usize,
        keys: &[usize],
        batch: &RecordBatch,
        outbox: &mut Outbox,
    ) -> Result<(), DataflowError> {
        let columns: Vec<ArrayRef> = keys.iter().map(|key| batch.column(*key).clone()).collect();
        let hashes = hash_columns(&columns, batch.num_rows())?;
        if self.workers == 1 {
            outbox.keyed.push((to, input, 0, Keyed { rows: batch.clone(), hashes }));
            return Ok(());
        }
        let mut places = vec![Vec::new(); self.workers];
        for (row, hash) in hashes.iter().enumerate() {
            places[ShardRange::worker(shard_of(*hash), self.workers)].push(row as u32);
        }
        for (worker, rows) in places.into_iter().enumerate().filter(|(_, rows)| !rows.is_empty()) {
            let keyed = match rows.len() == batch.num_rows() {
                true => Keyed { rows: batch.clone(), hashes: hashes.clone() },
                false => Keyed {
                    hashes: rows.iter().map(|row| hashes[*row as usize]).collect(),
                    rows: take_record_batch(batch, &UInt32Array::from(rows))?,
                },
            };
            outbox.keyed.push((to, input, worker, keyed));
        }
        Ok(())
    }
}

/// A batch with the hidden columns of the union it goes into: those the union has not are left
/// out, and rows without a weight count once.
fn same_hidden(
    batch: &RecordBatch,
    from: Hidden,
    union: &Node,
) -> Result<RecordBatch, DataflowError> {
    let visible = from.visible(batch);
    let mut columns = batch.columns()[..visible].to_vec();
    let hidden = &batch.columns()[visible..];
    if union.hidden.origin {
        columns.extend_from_slice(&hidden[..2]);
    }
    if union.hidden.watermark {
        columns.push(hidden[2 * from.origin as usize].clone());
    }
    if union.hidden.weight {
        columns.push(match from.weight {
            true => hidden[from.count() - 1].clone(),
            false => Arc::new(Int64Array::from(vec![1; batch.num_rows()])),
        });
    }
    Ok(RecordBatch::try_new(union.schema.clone(), columns)?)
}
