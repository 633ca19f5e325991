//! An executor's state, out and in.
//!
//! Guarantees: an executor that is restored from what another gave out goes on as that one would
//! have, on any number of workers.
//! Left out: files.

use super::Executor;
use crate::operator::Stateful;
use crate::operator::assign_watermark::WatermarkState;
use crate::{DataflowError, EvictedRows, OperatorId};
use arrow::array::RecordBatch;
use std::collections::BTreeMap;

/// State of one operator, or changes to it.
#[derive(Debug, Clone)]
pub struct StateRows {
    /// Whose.
    pub operator: OperatorId,
    /// To be restored in this order.
    pub pieces: Vec<StatePiece>,
}

/// Part of an operator's state.
#[derive(Debug, Clone)]
pub enum StatePiece {
    /// What was in memory.
    Rows(RecordBatch),
    /// What was not.
    Evicted(EvictedRows),
}

impl StatePiece {
    /// The rows, which are read from disk where they are there.
    ///
    /// # Errors
    /// The disk.
    pub fn read(&self) -> Result<Vec<RecordBatch>, DataflowError> {
        match self {
            Self::Rows(batch) => Ok(vec![batch.clone()]),
            Self::Evicted(rows) => rows.read(),
        }
    }
}

impl Executor {
    /// The operators with state.
    pub fn stateful(&self) -> Vec<OperatorId> {
        let nodes = self.router.graph.nodes.iter().zip(&self.states);
        let with = nodes.filter(|(_, states)| !states.is_empty());
        with.map(|(node, _)| node.id.clone()).collect()
    }

    /// What has changed in an operator's state since the last call, or since the start; `None`
    /// where nothing has. Between ticks only.
    ///
    /// # Errors
    /// A bug.
    pub fn take_changes(
        &mut self,
        operator: &OperatorId,
    ) -> Result<Option<StateRows>, DataflowError> {
        self.take(operator, false)
    }

    /// All of an operator's state. Counts as taking the changes too.
    ///
    /// # Errors
    /// A bug.
    pub fn take_all(&mut self, operator: &OperatorId) -> Result<Option<StateRows>, DataflowError> {
        self.take(operator, true)
    }

    fn take(
        &mut self,
        operator: &OperatorId,
        all: bool,
    ) -> Result<Option<StateRows>, DataflowError> {
        let index = self.index_of(operator)?;
        let mut pieces = Vec::new();
        for state in &mut self.states[index] {
            let batches = match state {
                Stateful::Sharded(sharded) => {
                    pieces.extend(sharded.take(all)?);
                    continue;
                }
                whole if all => whole.worker().take_all()?,
                whole => whole.worker().take_changes()?,
            };
            let batches = batches.into_iter().filter(|batch| batch.num_rows() > 0);
            pieces.extend(batches.map(StatePiece::Rows));
        }
        let any = !pieces.is_empty();
        Ok(any.then(|| StateRows { operator: operator.clone(), pieces }))
    }

    fn index_of(&self, operator: &OperatorId) -> Result<usize, DataflowError> {
        let found = self.router.graph.nodes.iter().position(|node| node.id == *operator);
        found.ok_or_else(|| DataflowError::Internal(format!("there is no operator {operator}")))
    }

    /// Takes in what an executor of the same graph gave out: all of its state once, then changes
    /// in their order.
    ///
    /// # Errors
    /// The rows are not such; there is no such operator.
    pub fn restore(&mut self, rows: &StateRows) -> Result<(), DataflowError> {
        for piece in &rows.pieces {
            for batch in piece.read()? {
                self.restore_rows(&rows.operator, &batch)?;
            }
        }
        Ok(())
    }

    /// The same for some of the rows, those that come first first.
    ///
    /// # Errors
    /// The rows are not such; there is no such operator.
    pub fn restore_rows(
        &mut self,
        operator: &OperatorId,
        rows: &RecordBatch,
    ) -> Result<(), DataflowError> {
        let index = self.index_of(operator)?;
        for state in &mut self.states[index] {
            state.worker().restore(rows)?;
        }
        self.fit()
    }

    /// How far each source's partitions have come, by the operator that keeps it.
    pub fn watermarks(&self) -> BTreeMap<OperatorId, WatermarkState> {
        let state =
            |(node, watermarks): (&usize, &crate::operator::assign_watermark::Watermarks)| {
                (self.router.graph.nodes[*node].id.clone(), watermarks.state())
            };
        self.watermarks.iter().map(state).collect()
    }

    /// The other way round.
    pub fn restore_watermarks(&mut self, saved: &BTreeMap<OperatorId, WatermarkState>) {
        for (node, watermarks) in &mut self.watermarks {
            if let Some(state) = saved.get(&self.router.graph.nodes[*node].id) {
                watermarks.restore(state);
            }
        }
    }

    /// For each operator with state: its keys and its bytes in memory, about.
    pub fn state_sizes(&mut self) -> Vec<(OperatorId, usize, usize)> {
        let mut sizes = Vec::new();
        for (node, states) in self.router.graph.nodes.iter().zip(&mut self.states) {
            let (mut keys, mut bytes) = (0, 0);
            for state in states.iter_mut() {
                keys += state.worker().keys();
                bytes += state.worker().bytes();
            }
            if !states.is_empty() {
                sizes.push((node.id.clone(), keys, bytes));
            }
        }
        sizes
    }
}
