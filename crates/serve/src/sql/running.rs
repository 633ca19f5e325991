//! Statements under way, by the ids under which they are cancelled.
//!
//! Guarantees: an id is of one statement at a time; a statement that was cancelled ends at once, and
//! its place is free.
//! Left out: who may cancel. Whoever knows an id may, and ids that clients do not give cannot be
//! guessed.

use super::failure::cancelled;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tradewind_analyze::{AnalyzeError, ErrorClass};
use uuid::Uuid;

/// All statements under way. There are at most as many as connections.
#[derive(Debug, Clone, Default)]
pub(super) struct Running(Arc<Mutex<HashMap<String, watch::Sender<bool>>>>);

/// A statement under way, until it is dropped.
#[derive(Debug)]
pub(crate) struct Statement {
    pub(super) id: String,
    running: Running,
    cancelled: watch::Receiver<bool>,
    start: Instant,
    /// When its time is up.
    end: Instant,
}

impl Running {
    /// A statement under the id its client gave, or a new one.
    pub(super) fn begin(
        &self,
        id: Option<String>,
        time: Duration,
    ) -> Result<Statement, AnalyzeError> {
        let id = id.unwrap_or_else(|| Uuid::new_v4().to_string());
        let (cancel, cancelled) = watch::channel(false);
        let mut statements = self.0.lock();
        if statements.contains_key(&id) {
            let error = AnalyzeError::user(format!("a statement with id {id:?} is running"));
            return Err(error.class(ErrorClass::DuplicateObject).hint("give each its own id"));
        }
        statements.insert(id.clone(), cancel);
        let start = Instant::now();
        Ok(Statement { id, running: self.clone(), cancelled, start, end: start + time })
    }

    /// Ends a statement; whether there was one.
    pub(super) fn cancel(&self, id: &str) -> bool {
        let statements = self.0.lock();
        statements.get(id).is_some_and(|cancel| !cancel.send_replace(true))
    }
}

impl Drop for Statement {
    fn drop(&mut self) {
        self.running.0.lock().remove(&self.id);
    }
}

impl Statement {
    /// The work, or why it was not waited for.
    pub(super) async fn bound<T>(&self, work: impl Future<Output = T>) -> Result<T, AnalyzeError> {
        tokio::select! {
            () = self.ended() => Err(cancelled()),
            done = timeout_at(self.end, work) => done.map_err(|_| {
                let time = (self.end - self.start).as_secs_f64();
                AnalyzeError::environment(format!("the statement took longer than {time} s"))
                    .class(ErrorClass::Cancelled)
                    .hint("raise `sql.statement_timeout_ms`, or ask for less")
            }),
        }
    }

    /// Gives it its time anew, for its next page.
    pub(super) fn again(&mut self) {
        let time = self.end - self.start;
        self.start = Instant::now();
        self.end = self.start + time;
    }

    pub(super) fn started(&self) -> Instant {
        self.start
    }

    pub(super) fn elapsed_ms(&self) -> u64 {
        self.start.elapsed().as_millis() as u64
    }

    /// Done when it was cancelled, or is no more.
    pub(crate) fn ended(&self) -> impl Future<Output = ()> + use<> {
        let mut cancelled = self.cancelled.clone();
        async move {
            let _ = cancelled.wait_for(|cancelled| *cancelled).await;
        }
    }
}
