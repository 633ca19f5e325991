//! The lake's calls one after the other, each to its end, so that a seed repeats.
//!
//! Guarantees: while a call of the lake is under way nothing else moves, neither tasks nor the
//! paused clock. Delta's reader has threads of its own; left to themselves they decide in which
//! order tasks wake.
//! Left out: what only happens when calls of the lake overlap. Runs that let them are those with
//! [`Turns::free`], and do not repeat to the last operation.

use async_trait::async_trait;
use std::sync::Arc;
use tokio::runtime::{Builder, Runtime};
use tradewind_cli::engine::LakeSinks;
use tradewind_process::Sinks;
use tradewind_sql::TableDefinition;
use tradewind_types::connector::Committer;
use tradewind_types::{Epoch, Sink, SinkError, Staged};

/// How calls of the lake take turns.
#[derive(Clone)]
pub(crate) struct Turns(Option<Arc<Runtime>>);

impl Turns {
    /// As they come.
    pub(crate) fn free() -> Self {
        Self(None)
    }

    /// One at a time, on a runtime of their own.
    pub(crate) fn in_order() -> Self {
        Self(Some(Arc::new(Builder::new_current_thread().enable_all().build().unwrap())))
    }

    /// Runs a call of the lake.
    pub(crate) async fn take<T: Send>(&self, call: impl Future<Output = T> + Send) -> T {
        let Some(runtime) = &self.0 else { return call.await };
        let ended = std::thread::scope(|scope| scope.spawn(|| runtime.block_on(call)).join());
        ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// The server's sinks, taking turns.
pub(crate) struct TurnSinks {
    pub(crate) sinks: LakeSinks,
    pub(crate) turns: Turns,
}

struct TurnSink<S: ?Sized> {
    turns: Turns,
    sink: Box<S>,
}

#[async_trait]
impl Sinks for TurnSinks {
    async fn open(
        &self,
        table: &TableDefinition,
        writer: &str,
    ) -> Result<Box<dyn Sink>, SinkError> {
        let sink = self.turns.take(self.sinks.open(table, writer)).await?;
        Ok(Box::new(TurnSink { turns: self.turns.clone(), sink }))
    }
}

#[async_trait]
impl Sink for TurnSink<dyn Sink> {
    async fn write(&mut self, batches: Vec<arrow::array::RecordBatch>) -> Result<(), SinkError> {
        self.turns.take(self.sink.write(batches)).await
    }

    fn open_bytes(&self) -> usize {
        self.sink.open_bytes()
    }

    async fn stage(&mut self, epoch: Epoch) -> Result<Staged, SinkError> {
        self.turns.take(self.sink.stage(epoch)).await
    }

    async fn commit(&mut self, staged: &Staged) -> Result<(), SinkError> {
        self.turns.take(self.sink.commit(staged)).await
    }

    fn committer(&self) -> Option<Box<dyn Committer>> {
        let sink = self.sink.committer()?;
        Some(Box::new(TurnSink { turns: self.turns.clone(), sink }))
    }

    async fn recover(&mut self, last: Option<&Staged>) -> Result<(), SinkError> {
        self.turns.take(self.sink.recover(last)).await
    }
}

#[async_trait]
impl Committer for TurnSink<dyn Committer> {
    async fn commit(&mut self, staged: &Staged) -> Result<(), SinkError> {
        self.turns.take(self.sink.commit(staged)).await
    }
}
