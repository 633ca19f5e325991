//! Statements between the calls that make, bind, run and cancel them.
//!
//! Guarantees: a ticket runs its statement anew each time it is taken, with a snapshot of that
//! moment; what changes something runs once, when its flight is asked for, and its ticket is empty.
//! Left out: `SUBSCRIBE`, which has no end; it is at `/api/subscribe`.

use super::answer::{self, Cancelled, Deadline, Messages};
use super::held::Held;
use super::parameters::Values;
use super::sessions::Client;
use super::status;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::{Stream, stream};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tonic::Status;
use tradewind_analyze::{AnalyzeError, Answer, Prepared, Rows};

/// Prepared statements at once. Each is a plan, and at most 256 KiB of bound parameters.
const PREPARED_MAX: usize = 1_024;
/// How long one is kept after its last use: pools keep theirs as long as their connections.
const PREPARED_LIFE: Duration = Duration::from_secs(3_600);
/// Tickets at once. Each is a plan and its parameters.
const TICKETS_MAX: usize = 1_024;
/// How long one is kept: clients take theirs at once, or hand it to another.
const TICKET_LIFE: Duration = Duration::from_secs(600);

/// A prepared statement.
pub(super) struct PreparedStatement {
    pub(super) client: Arc<Client>,
    pub(super) prepared: Arc<Prepared>,
    /// Rows of parameters for its runs; `None` until some are bound.
    pub(super) bound: Mutex<Option<Vec<Values>>>,
}

impl PreparedStatement {
    /// Its rows of parameters; one without values, where it has no parameters.
    pub(super) fn rows(&self) -> Result<Vec<Values>, Status> {
        let count = self.prepared.parameters.len();
        match &*self.bound.lock() {
            _ if count == 0 => Ok(vec![Values::new()]),
            Some(rows) => Ok(rows.clone()),
            None => Err(Status::invalid_argument(format!(
                "the statement has {count} parameters, and none are bound"
            ))),
        }
    }
}

/// What stands behind a ticket.
pub(super) struct Execution {
    client: Arc<Client>,
    prepared: Arc<Prepared>,
    /// One row for each time it is run.
    parameters: Vec<Values>,
    cancel: watch::Sender<bool>,
}

/// All statements.
pub(super) struct Statements {
    pub(super) prepared: Held<PreparedStatement>,
    pub(super) tickets: Held<Execution>,
    timeout: Duration,
}

impl Statements {
    pub(super) fn new(timeout: Duration) -> Self {
        Self {
            prepared: Held::new("prepared statement", PREPARED_MAX, PREPARED_LIFE),
            tickets: Held::new("ticket", TICKETS_MAX, TICKET_LIFE),
            timeout,
        }
    }

    fn deadline(&self) -> Deadline {
        Deadline::after(self.timeout)
    }

    /// Plans the last statement of a script, and carries out those before it.
    pub(super) async fn plan(&self, client: &Client, script: &str) -> Result<Prepared, Status> {
        let (_cancel, receiver) = watch::channel(false);
        let work = async {
            let mut session = client.session.lock().await;
            let statements = session.parse(script)?;
            let Some((last, before)) = statements.split_last() else {
                return Err(AnalyzeError::user("there is no statement"));
            };
            for statement in before {
                if let Answer::Rows(mut rows) = session.run(statement).await? {
                    while rows.next().await.transpose()?.is_some() {}
                }
            }
            session.prepare(last, &[]).await
        };
        self.deadline().bound(&mut Cancelled::new(receiver), work).await
    }

    /// Carries out a script that changes something; how many rows, and whether it set something.
    pub(super) async fn update(&self, client: &Client, script: &str) -> Result<Done, Status> {
        let (_cancel, receiver) = watch::channel(false);
        let work = async { done(client.session.lock().await.execute(script).await?).await };
        self.deadline().bound(&mut Cancelled::new(receiver), work).await
    }

    /// Carries out a prepared statement that changes something, with one row of parameters.
    pub(super) async fn update_prepared(
        &self,
        client: &Client,
        prepared: &Prepared,
        values: &Values,
    ) -> Result<Done, Status> {
        let (_cancel, receiver) = watch::channel(false);
        let work = async {
            done(client.session.lock().await.execute_prepared(prepared, values).await?).await
        };
        self.deadline().bound(&mut Cancelled::new(receiver), work).await
    }

    /// Begins what stands behind a ticket. Its first run is begun here, so that what is wrong with
    /// it is the call's error.
    pub(super) async fn begin(&self, execution: Arc<Execution>) -> Result<Messages, Status> {
        metrics::counter!("sql_statements_total").increment(1);
        let deadline = self.deadline();
        let mut cancelled = Cancelled::new(execution.cancel.subscribe());
        let Some(schema) = execution.prepared.schema.clone() else { return Ok(answer::nothing()) };
        let first = match execution.parameters.is_empty() {
            true => None,
            false => Some(deadline.bound(&mut cancelled, execution.run(0)).await?),
        };
        let batches = Batches { execution, rows: first, next: 1 };
        Ok(answer::send(&schema, batches.stream(), deadline, cancelled))
    }
}

/// What a statement that has no rows came to.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Done {
    /// Rows it has written; 0 for what writes none.
    pub(super) rows: i64,
    /// Whether the session is another one now.
    pub(super) has_set: bool,
}

async fn done(answer: Answer) -> Result<Done, AnalyzeError> {
    match answer {
        Answer::Done(tag) => Ok(Done {
            rows: tag.rsplit(' ').next().and_then(|last| last.parse().ok()).unwrap_or(0),
            has_set: matches!(tag.as_str(), "SET" | "RESET" | "BEGIN"),
        }),
        Answer::Rows(mut rows) => {
            while rows.next().await.transpose()?.is_some() {}
            Ok(Done::default())
        }
        Answer::Changes(_) => Err(endless()),
    }
}

fn endless() -> AnalyzeError {
    AnalyzeError::user("SUBSCRIBE does not end").hint("follow the view at /api/subscribe")
}

impl Execution {
    pub(super) fn new(
        client: Arc<Client>,
        prepared: Arc<Prepared>,
        parameters: Vec<Values>,
    ) -> Self {
        let (cancel, _) = watch::channel(false);
        Self { client, prepared, parameters, cancel }
    }

    /// Ends every run of it.
    pub(super) fn cancel(&self) {
        self.cancel.send_replace(true);
    }

    async fn run(&self, row: usize) -> Result<Rows, AnalyzeError> {
        let values = &self.parameters[row];
        let mut session = self.client.session.lock().await;
        match session.execute_prepared(&self.prepared, values).await? {
            Answer::Rows(rows) => Ok(rows),
            Answer::Changes(_) => Err(endless()),
            Answer::Done(_) => Err(AnalyzeError::bug("a query answered without rows")),
        }
    }
}

/// The batches of all runs of one execution, one run after another.
struct Batches {
    execution: Arc<Execution>,
    rows: Option<Rows>,
    next: usize,
}

impl Batches {
    fn stream(self) -> impl Stream<Item = Result<RecordBatch, Status>> + Send + 'static {
        stream::unfold(self, |mut batches| async move {
            let batch = batches.batch().await.transpose()?;
            Some((batch.map_err(status::of), batches))
        })
    }

    async fn batch(&mut self) -> Result<Option<RecordBatch>, AnalyzeError> {
        loop {
            let Some(rows) = &mut self.rows else { return Ok(None) };
            if let Some(batch) = rows.next().await {
                return batch.map(Some);
            }
            self.rows = None;
            if self.next < self.execution.parameters.len() {
                self.rows = Some(self.execution.run(self.next).await?);
                self.next += 1;
            }
        }
    }
}

/// The columns clients are told of; none for what has no rows.
pub(super) fn columns(prepared: &Prepared) -> SchemaRef {
    let schema = prepared.schema.as_ref();
    schema.map_or_else(
        || Arc::new(arrow::datatypes::Schema::empty()),
        |schema| crate::render::plain_schema(schema),
    )
}
