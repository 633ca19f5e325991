//! Giving up a partition's oldest records because somebody asks for it.
//!
//! Guarantees: the new log start is durable before it is answered, so the records stay gone after
//! a restart; whole segments below it are removed. Left out: who may ask (wire).

use super::Partition;
use super::retain::Doomed;
use tradewind_types::{LogError, Offset};

impl Partition {
    /// Moves the log start up to `before`, or to the last stable offset when that is `None`, and
    /// answers where it is then. One that is further already stays. Blocks.
    pub(crate) fn delete_records(&self, before: Option<Offset>) -> Result<Offset, LogError> {
        let _sync = self.sync_lock.lock();
        let doomed = {
            let state = self.state.lock();
            self.check_running(&state)?;
            let marks = state.watermarks();
            let target = before.unwrap_or(marks.last_stable);
            // What belongs to open transactions is nobody's to take away.
            if target < 0 || target > marks.last_stable {
                return Err(self.out_of_range(target, marks));
            }
            if target <= state.log_start {
                return Ok(state.log_start);
            }
            if let Some((holder, offset)) = state.holds.iter().find(|(_, held)| **held < target) {
                return Err(LogError::Invalid(format!(
                    "{}-{}: {holder} has read up to offset {offset} only",
                    self.topic, self.id
                )));
            }
            let gone = state.sealed.iter().take_while(|segment| segment.end <= target);
            Doomed {
                segments: gone.map(|segment| (segment.base, segment.bytes)).collect(),
                log_start: target,
                overridden: Vec::new(),
            }
        };
        self.remove(&doomed)?;
        tracing::info!(
            topic = %self.topic, partition = self.id, log_start = doomed.log_start,
            "records were deleted because a client asked for it"
        );
        Ok(doomed.log_start)
    }
}
