//! A view's changes for a session: what `SUBSCRIBE` answers with.
//!
//! Guarantees: whoever stops waiting misses nothing; of the view's changes nothing is kept here
//! beyond one tick's.
//! Left out: following a view, which is the engine's.

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use std::collections::VecDeque;
use std::sync::Arc;
use tradewind_analyze::{AnalyzeError, Change, ChangeStream, RowKind};
use tradewind_process::stream::changelog::Changelog;
use tradewind_process::{
    CHANGES_ROWS_MAX, CHANGES_TICKS_MAX, Reached, ResumeToken, Subscription, View, ViewEvent,
    reached_by_topic,
};

/// One subscriber.
pub(crate) struct Follower {
    subscription: Subscription,
    changelog: Changelog,
    /// What an event came to and was not yet told.
    pending: VecDeque<Change>,
}

impl Follower {
    /// Follows a view from behind a token, if there is one.
    ///
    /// # Errors
    /// `after` is no token.
    pub(crate) fn new(view: Arc<View>, after: Option<&str>) -> Result<Self, AnalyzeError> {
        let token = after.map(|text| {
            ResumeToken::parse(text).ok_or_else(|| {
                AnalyzeError::user(format!("{text:?} is no resume token"))
                    .hint("it is what a progress line said, as in '1-1763790000000000'")
            })
        });
        let changelog = Changelog::of_view(&view);
        let subscription = Subscription::new(view, token.transpose()?);
        Ok(Self { subscription, changelog, pending: VecDeque::new() })
    }

    fn take_in(&mut self, event: ViewEvent) -> Result<(), AnalyzeError> {
        match event {
            ViewEvent::Reset => self.pending.push_back(Change::Reset),
            ViewEvent::Behind => {
                return Err(AnalyzeError::environment(format!(
                    "the reader has fallen behind: more than {CHANGES_TICKS_MAX} ticks or \
                     {CHANGES_ROWS_MAX} rows of changes came before it took them"
                ))
                .hint("read faster, or SUBSCRIBE to a view that changes less"));
            }
            ViewEvent::Snapshot { rows, token, positions } => {
                if let Some(batch) = rows {
                    let kinds = (0..batch.num_rows()).map(|row| (row, RowKind::Insert)).collect();
                    self.pending.push_back(Change::Rows { batch, kinds });
                }
                self.pending.extend(token.map(|token| progress(token, &positions)));
            }
            ViewEvent::Changes { changes, token } => {
                for batch in &changes.rows {
                    let kinds = self.changelog.kinds(batch);
                    let visible: Vec<usize> = (0..batch.num_columns() - 1).collect();
                    let batch = batch
                        .project(&visible)
                        .map_err(|error| AnalyzeError::bug(error.to_string()))?;
                    self.pending.push_back(Change::Rows { batch, kinds });
                }
                self.pending.push_back(progress(token, &changes.positions));
            }
        }
        Ok(())
    }
}

fn progress(token: ResumeToken, positions: &Reached) -> Change {
    Change::Progress { token: token.to_string(), positions: reached_by_topic(positions) }
}

#[async_trait]
impl ChangeStream for Follower {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.subscription.view().schema)
    }

    async fn next(&mut self) -> Result<Change, AnalyzeError> {
        loop {
            if let Some(change) = self.pending.pop_front() {
                return Ok(change);
            }
            let Some(event) = self.subscription.next().await else {
                let view = &self.subscription.view().name;
                let message = format!("materialized view \"{view}\" was dropped or replaced");
                return Err(AnalyzeError::user(message));
            };
            self.take_in(event)?;
        }
    }
}
