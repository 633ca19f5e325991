//! Rows on their way to a client.
//!
//! Guarantees: a batch is encoded when the one before it is on its way: at most [`AHEAD`] messages
//! wait for the connection, whose flow control is the client's pace. The statement ends with its
//! time, with a cancel, or with its client, whether the client reads or not.
//! Left out: compression, and the number of rows, which time alone bounds.

use super::status;
use crate::render::{plain_rows, plain_schema};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow_flight::FlightData;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt, TryStreamExt};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout_at};
use tonic::Status;
use tradewind_analyze::AnalyzeError;

/// What a client gets.
pub(super) type Messages = BoxStream<'static, Result<FlightData, Status>>;

/// Encoded messages that wait for the connection: one that is sent and one that is ready.
const AHEAD: usize = 2;
/// A message's size, about: clients take 4 MiB unless told otherwise.
const MESSAGE_BYTES: usize = 2 << 20;

/// Whether a statement was cancelled.
#[derive(Debug, Clone)]
pub(super) struct Cancelled(watch::Receiver<bool>);

impl Cancelled {
    pub(super) fn new(receiver: watch::Receiver<bool>) -> Self {
        Self(receiver)
    }

    /// Done when it was; never, when nobody can any more.
    pub(super) async fn wait(&mut self) {
        if self.0.wait_for(|cancelled| *cancelled).await.is_err() {
            futures::future::pending().await
        }
    }
}

/// When a statement's time is up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    end: Instant,
    time: Duration,
}

impl Deadline {
    pub(super) fn after(time: Duration) -> Self {
        Self { end: Instant::now() + time, time }
    }

    fn status(self) -> Status {
        let seconds = self.time.as_secs_f64();
        Status::deadline_exceeded(format!(
            "the statement took longer than {seconds} s (raise `sql.statement_timeout_ms`, or ask for less)"
        ))
    }

    /// The work, or why it was not waited for.
    pub(super) async fn bound<T>(
        self,
        cancelled: &mut Cancelled,
        work: impl Future<Output = Result<T, AnalyzeError>>,
    ) -> Result<T, Status> {
        tokio::select! {
            () = cancelled.wait() => Err(status::cancelled()),
            done = timeout_at(self.end, work) => match done {
                Ok(done) => done.map_err(status::of),
                Err(_) => Err(self.status()),
            }
        }
    }
}

/// Sends the batches of a statement. They are asked for in a task of its own: it ends in time also
/// when the client takes nothing, and works while the connection writes.
pub(super) fn send(
    schema: &SchemaRef,
    batches: impl Stream<Item = Result<RecordBatch, Status>> + Send + 'static,
    deadline: Deadline,
    mut cancelled: Cancelled,
) -> Messages {
    let mut messages = encoded(schema, batches);
    let (sender, receiver) = mpsc::channel(AHEAD);
    tokio::spawn(async move {
        let pump = async {
            while let Some(message) = messages.next().await {
                let failed = message.is_err();
                if sender.send(message).await.is_err() || failed {
                    return;
                }
            }
        };
        let ended = tokio::select! {
            () = cancelled.wait() => Err(status::cancelled()),
            () = sender.closed() => Ok(()),
            done = timeout_at(deadline.end, pump) => done.map_err(|_| deadline.status()),
        };
        // The query ends now; its client may still have to be told.
        drop(messages);
        if let Err(status) = ended {
            let _ = sender.send(Err(status)).await;
        }
    });
    let received = stream::unfold(receiver, |mut receiver| async {
        let message = receiver.recv().await?;
        Some((message, receiver))
    });
    received.boxed()
}

/// Rows that are at hand.
pub(super) fn at_hand(batch: RecordBatch) -> Messages {
    let schema = batch.schema();
    encoded(&schema, stream::iter([Ok(batch)]))
}

/// An answer without columns and rows.
pub(super) fn nothing() -> Messages {
    encoded(&std::sync::Arc::new(arrow::datatypes::Schema::empty()), stream::empty())
}

fn encoded(
    schema: &SchemaRef,
    batches: impl Stream<Item = Result<RecordBatch, Status>> + Send + 'static,
) -> Messages {
    let plain = plain_schema(schema);
    let to = std::sync::Arc::clone(&plain);
    let batches = batches.map(move |batch| {
        let batch = batch.map_err(|status| FlightError::Tonic(Box::new(status)))?;
        Ok::<_, FlightError>(plain_rows(&batch, &to)?)
    });
    FlightDataEncoderBuilder::new()
        .with_schema(plain)
        .with_max_flight_data_size(MESSAGE_BYTES)
        .build(batches)
        .map_err(|error| match error {
            FlightError::Tonic(status) => *status,
            FlightError::Arrow(error) => status::of_arrow(error),
            other => Status::internal(other.to_string()),
        })
        .boxed()
}
