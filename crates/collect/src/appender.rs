//! A partition's appender: the one task that decides what is new and writes it.
//!
//! Guarantees: an event is answered once it, or the event it repeats, is durable; submissions that
//! arrive during one fsync share the next; events are new only to one append at a time, so a
//! duplicate of an event in flight waits for that event's fsync. After an append whose outcome is
//! unknown the partition takes nothing more: a restart reads from the log what was kept.
//! Left out: what the events say.

use crate::dedup::{DedupState, Known};
use crate::identity::EventId;
use crate::queue::{Outcome, Queue, Submission};
use crate::refusal::Refusal;
use std::sync::Arc;
use tradewind_types::{Clock, Log, LogError, Offset, Record};

/// What an appender owns.
pub(crate) struct Appender {
    pub(crate) log: Arc<dyn Log>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) topic: &'static str,
    pub(crate) partition: i32,
    /// `None`: everything is new (dead letters).
    pub(crate) dedup: Option<DedupState>,
    /// The offset behind the last record that is in `dedup`.
    pub(crate) next_offset: Offset,
}

/// Submissions and what the look-up said of them.
struct Batch {
    submissions: Vec<Submission>,
    outcomes: Vec<Outcome>,
    records: Vec<Record>,
    new: Vec<EventId>,
}

/// Closes the queue when the appender ends for any reason, a panic included: nobody may wait for
/// an answer that will not come.
struct CloseAtEnd {
    queue: Arc<Queue>,
    reason: Refusal,
}

impl Drop for CloseAtEnd {
    fn drop(&mut self) {
        self.queue.close(self.reason.clone());
    }
}

impl Appender {
    /// Serves the queue until it is drained or the partition goes offline.
    pub(crate) async fn run(mut self) {
        let reason = format!("{}-{} takes no more events", self.topic, self.partition);
        let reason = Refusal::Unavailable { reason };
        let _close = CloseAtEnd { queue: self.queue.clone(), reason };
        while let Some(submissions) = self.queue.take().await {
            if let Err(offline) = self.serve(submissions).await {
                self.queue.close(offline);
                return;
            }
            self.report();
        }
        self.stop();
    }

    /// Looks up, appends, answers. An error means that the partition is offline.
    async fn serve(&mut self, submissions: Vec<Submission>) -> Result<(), Refusal> {
        let mut batch = match self.look_up(submissions) {
            Ok(batch) => batch,
            Err((submissions, refusal)) => {
                refuse(submissions, &refusal);
                return Ok(());
            }
        };
        let records = std::mem::take(&mut batch.records);
        let count = records.len() as Offset;
        if count > 0 {
            match self.log.append(self.topic, self.partition, records).await {
                Ok(appended) => self.next_offset = appended.base_offset + count,
                Err(error) => return self.append_failed(batch, &error),
            }
        }
        for (submission, outcome) in batch.submissions.into_iter().zip(batch.outcomes) {
            let _ = submission.done.send(Ok(outcome));
        }
        let next_offset = self.next_offset;
        if let Some(dedup) = &mut self.dedup {
            dedup.maintain(next_offset);
        }
        Ok(())
    }

    fn look_up(
        &mut self,
        submissions: Vec<Submission>,
    ) -> Result<Batch, (Vec<Submission>, Refusal)> {
        let next_offset = self.next_offset;
        let now_ms = self.clock.now_ms();
        if let Some(dedup) = &mut self.dedup {
            dedup.roll(now_ms, next_offset);
            if !dedup.has_room(next_offset) {
                let reason = "deduplication state cannot be written, see the server's log";
                return Err((submissions, Refusal::Unavailable { reason: reason.to_owned() }));
            }
        }
        let mut batch = Batch {
            outcomes: Vec::with_capacity(submissions.len()),
            submissions,
            records: Vec::new(),
            new: Vec::new(),
        };
        match self.admit(&mut batch) {
            Ok(()) => Ok(batch),
            Err(error) => {
                self.forget(&batch.new);
                let partition = self.partition;
                tracing::error!(partition, %error, "deduplication state cannot be read");
                let reason = format!("deduplication state cannot be read: {error}");
                Err((batch.submissions, Refusal::Unavailable { reason }))
            }
        }
    }

    /// Sorts the events into new ones, whose records it takes, and duplicates.
    fn admit(&mut self, batch: &mut Batch) -> std::io::Result<()> {
        for submission in &mut batch.submissions {
            let mut outcome = Outcome::default();
            for event in submission.events.drain(..) {
                let known = match &mut self.dedup {
                    Some(dedup) => dedup.admit(event.id, event.fingerprint)?,
                    None => Known::New,
                };
                match known {
                    Known::New => {
                        outcome.accepted += 1;
                        batch.new.push(event.id);
                        batch.records.push(event.record);
                    }
                    Known::Duplicate => outcome.duplicates += 1,
                    Known::Conflict => {
                        outcome.duplicates += 1;
                        outcome.conflicts += 1;
                    }
                }
            }
            batch.outcomes.push(outcome);
        }
        Ok(())
    }

    /// Answers a failed append: the events are new again if it is certain that none was kept.
    fn append_failed(&mut self, batch: Batch, error: &LogError) -> Result<(), Refusal> {
        let (topic, partition) = (self.topic, self.partition);
        let refusal = match error {
            LogError::Busy(_) => Refusal::Busy { reason: "the log is busy" },
            _ => Refusal::Unavailable { reason: error.to_string() },
        };
        // A dead letter may be stored twice: better than refusing all that follow.
        if nothing_kept(error) || self.dedup.is_none() {
            self.forget(&batch.new);
            tracing::warn!(topic, partition, %error, "append refused; senders shall retry");
            refuse(batch.submissions, &refusal);
            return Ok(());
        }
        // Some of the records may be in the log and may become visible later. Were the ids
        // forgotten, a retry could be stored twice; were they kept, it could be lost.
        let reason = format!(
            "{topic}-{partition} takes no more events until the server is restarted: {error}"
        );
        tracing::error!(topic, partition, %error, "outcome of an append is unknown; offline until restart");
        metrics::gauge!("tradewind_collect_offline", "topic" => topic, "partition" => partition.to_string())
            .set(1.0);
        let offline = Refusal::Unavailable { reason };
        refuse(batch.submissions, &offline);
        Err(offline)
    }

    fn forget(&mut self, new: &[EventId]) {
        if let Some(dedup) = &mut self.dedup {
            new.iter().for_each(|id| dedup.forget(*id));
        }
    }

    fn report(&mut self) {
        let Some(dedup) = &mut self.dedup else { return };
        let partition = self.partition.to_string();
        metrics::gauge!("tradewind_collect_dedup_ids", "partition" => partition.clone())
            .set(dedup.ids() as f64);
        metrics::gauge!("tradewind_collect_queue_bytes", "partition" => partition.clone())
            .set(self.queue.bytes() as f64);
        let evicted = dedup.take_evicted();
        if evicted > 0 {
            metrics::counter!("tradewind_collect_dedup_evictions_total", "partition" => partition)
                .increment(evicted);
        }
    }

    fn stop(&mut self) {
        let next_offset = self.next_offset;
        let Some(dedup) = &mut self.dedup else { return };
        if let Err(error) = dedup.snapshot(next_offset) {
            let partition = self.partition;
            tracing::warn!(partition, %error, "no last deduplication snapshot; the next start reads the log");
        }
    }
}

fn refuse(submissions: Vec<Submission>, refusal: &Refusal) {
    for submission in submissions {
        let _ = submission.done.send(Err(refusal.clone()));
    }
}

/// Whether the error says that the log has none of the records and will not have them later.
fn nothing_kept(error: &LogError) -> bool {
    match error {
        LogError::NoTopic { .. }
        | LogError::NoPartition { .. }
        | LogError::TopicExists { .. }
        | LogError::Invalid(_)
        | LogError::InvalidRecord(_)
        | LogError::InvalidTimestamp(_)
        | LogError::OutOfRange { .. }
        | LogError::DiskReserve { .. }
        | LogError::Producer { .. }
        | LogError::Transaction { .. }
        | LogError::Busy(_) => true,
        LogError::Corrupt { .. } | LogError::Offline { .. } | LogError::Io { .. } => false,
    }
}
