//! The queue before an appender: bounded in bytes, many senders, one receiver.
//!
//! Guarantees: what was pushed is either taken or answered; a queue that is closed answers
//! everything in it and everything that comes after with the reason. A taker gets as much as one
//! append may hold, at least one submission.
//! Left out: fairness between senders beyond the order of arrival.

use crate::budget::Reservation;
use crate::record::Prepared;
use crate::refusal::Refusal;
use crate::settings::APPEND_BYTES_MAX;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::{Notify, oneshot};

/// What became of the events of a submission.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// New, and durable.
    pub(crate) accepted: usize,
    /// Durable before, or earlier in the same append.
    pub(crate) duplicates: usize,
    /// Of these duplicates, those with other content.
    pub(crate) conflicts: usize,
}

/// Events of one request for one partition; small enough for one append.
#[derive(Debug)]
pub(crate) struct Submission {
    pub(crate) events: Vec<Prepared>,
    pub(crate) bytes: usize,
    pub(crate) done: oneshot::Sender<Result<Outcome, Refusal>>,
    /// Keeps the request's bytes counted while they are here, even if the sender has gone.
    pub(crate) _reservation: Arc<Reservation>,
}

/// The queue of one partition.
#[derive(Debug)]
pub(crate) struct Queue {
    bytes_max: usize,
    state: Mutex<State>,
    ready: Notify,
}

#[derive(Debug, Default)]
struct State {
    submissions: VecDeque<Submission>,
    bytes: usize,
    /// Nothing more is taken in; what is here is still served.
    draining: bool,
    /// Nothing is served any more.
    closed: Option<Refusal>,
}

impl Queue {
    pub(crate) fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self { bytes_max, state: Mutex::new(State::default()), ready: Notify::new() })
    }

    /// Bytes waiting.
    pub(crate) fn bytes(&self) -> usize {
        self.state.lock().bytes
    }

    /// Adds a submission, or says why not. A lone submission always has room.
    pub(crate) fn push(&self, submission: Submission) -> Result<(), Refusal> {
        {
            let mut state = self.state.lock();
            if let Some(reason) = &state.closed {
                return Err(reason.clone());
            }
            if state.draining {
                return Err(Refusal::Unavailable { reason: "the server is stopping".to_owned() });
            }
            if state.bytes > 0 && state.bytes + submission.bytes > self.bytes_max {
                return Err(Refusal::Busy { reason: "too many events are waiting to be written" });
            }
            state.bytes += submission.bytes;
            state.submissions.push_back(submission);
        }
        self.ready.notify_one();
        Ok(())
    }

    /// Waits for submissions and takes what one append may hold; `None` once the queue is drained.
    pub(crate) async fn take(&self) -> Option<Vec<Submission>> {
        loop {
            {
                let mut state = self.state.lock();
                if !state.submissions.is_empty() {
                    return Some(state.take());
                }
                if state.draining {
                    return None;
                }
            }
            self.ready.notified().await;
        }
    }

    /// Takes nothing more in; the receiver ends when all that is here is served.
    pub(crate) fn drain(&self) {
        self.state.lock().draining = true;
        self.ready.notify_one();
    }

    /// Answers everything that is here, and everything to come, with `reason`.
    pub(crate) fn close(&self, reason: Refusal) {
        let submissions = {
            let mut state = self.state.lock();
            state.closed.get_or_insert_with(|| reason.clone());
            state.bytes = 0;
            std::mem::take(&mut state.submissions)
        };
        for submission in submissions {
            let _ = submission.done.send(Err(reason.clone()));
        }
    }
}

impl State {
    fn take(&mut self) -> Vec<Submission> {
        let mut taken = Vec::new();
        let mut bytes = 0;
        while let Some(next) = self.submissions.front() {
            if !taken.is_empty() && bytes + next.bytes > APPEND_BYTES_MAX {
                break;
            }
            bytes += next.bytes;
            taken.extend(self.submissions.pop_front());
        }
        self.bytes -= bytes;
        taken
    }
}
