//! Tables that are read once, from start to end, by a task for each of their parts.
//!
//! Guarantees: what there is to read is fixed when the query is planned; at most
//! [`BATCHES_AHEAD`] batches a part wait for the engine; a query that ends early ends the tasks.
//! Left out: what is read, which each table says for itself.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use futures::future::BoxFuture;
use std::fmt;
use std::sync::Arc;
use tokio::sync::mpsc::Sender;

/// Decoded batches of a part that may wait for the engine.
const BATCHES_AHEAD: usize = 2;

/// What such a table says for itself.
pub(crate) trait Scan: fmt::Debug + Send + Sync + 'static {
    /// All columns.
    fn schema(&self) -> SchemaRef;

    /// Whether a condition leaves less to read. It is checked on the rows all the same.
    fn narrows(&self, _condition: &Expr) -> bool {
        false
    }

    /// What there is to read now. `schema` is the columns that are wanted, in their order.
    fn parts(&self, schema: &SchemaRef, conditions: &[Expr]) -> Result<Vec<Part>>;
}

/// Where rows go; false when nobody wants further ones.
pub(crate) struct Out(Sender<Result<RecordBatch>>);

impl Out {
    pub(crate) async fn send(&self, batch: RecordBatch) -> bool {
        self.0.send(Ok(batch)).await.is_ok()
    }
}

type Read = dyn Fn(Out) -> BoxFuture<'static, Result<()>> + Send + Sync;

/// A part of a table, read by a task of its own.
pub(crate) struct Part {
    /// For `EXPLAIN`.
    name: String,
    read: Box<Read>,
}

impl Part {
    pub(crate) fn new(
        name: String,
        read: impl Fn(Out) -> BoxFuture<'static, Result<()>> + Send + Sync + 'static,
    ) -> Self {
        Self { name, read: Box::new(read) }
    }
}

/// A [`Scan`] as a table.
#[derive(Debug)]
pub(crate) struct ScanTable<T>(pub(crate) T);

#[async_trait]
impl<T: Scan> TableProvider for ScanTable<T> {
    fn schema(&self) -> SchemaRef {
        self.0.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let of = |filter: &&Expr| match self.0.narrows(filter) {
            true => TableProviderFilterPushDown::Inexact,
            false => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(of).collect())
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = match projection {
            Some(projection) => Arc::new(self.0.schema().project(projection)?),
            None => self.0.schema(),
        };
        let parts = self.0.parts(&schema, filters)?.into_iter().map(|part| {
            Arc::new(Planned { part, schema: Arc::clone(&schema) }) as Arc<dyn PartitionStream>
        });
        let parts = parts.collect();
        let exec =
            StreamingTableExec::try_new(schema, parts, None, std::iter::empty(), false, limit)?;
        Ok(Arc::new(exec))
    }
}

/// A part in a plan.
struct Planned {
    part: Part,
    schema: SchemaRef,
}

impl fmt::Debug for Planned {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&self.part.name)
    }
}

impl PartitionStream for Planned {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut builder =
            RecordBatchReceiverStream::builder(Arc::clone(&self.schema), BATCHES_AHEAD);
        builder.spawn((self.part.read)(Out(builder.tx())));
        builder.build()
    }
}
