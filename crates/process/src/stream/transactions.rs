//! The log's transactions that pipelines have open, and what becomes of them.
//!
//! Guarantees: what a pipeline's newest manifest names is committed, whatever became of whoever
//! wrote it, and everything else that is open under one of the pipeline's ids is aborted: no topic
//! is left with an end that no reader gets past. That holds after a crash, for a pipeline that
//! cannot start, that failed, and that was dropped.
//! Left out: writing in them, which the sink does.

use super::manifest::{Manifest, ManifestStore};
use crate::ProcessError;
use crate::shared::Shared;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use tradewind_types::{LogError, Producer, SinkError, Staged, TopicWriter};

/// What a transactional id begins with where the table does not say.
const PREFIX: &str = "tradewind";
/// The length of a pipeline's id, a UUID.
const PIPELINE_ID_LEN: usize = 36;

/// A transaction whose records are durable: what a manifest keeps of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OpenTransaction {
    /// The topic, for people.
    pub(super) topic: String,
    /// The transactional id.
    #[serde(rename = "transactional_id")]
    pub(super) id: String,
    /// Who has it open.
    pub(super) producer: Producer,
}

impl OpenTransaction {
    /// The transactional id of a sink's `turn`. `writer` is `<pipeline's id>.<sink>`.
    pub(super) fn id(prefix: Option<&str>, writer: &str, turn: usize) -> String {
        format!("{}-{writer}.{turn}", prefix.unwrap_or(PREFIX))
    }

    /// What a manifest keeps.
    pub(super) fn to_work(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("names and numbers have a form")
    }

    /// What a manifest has kept, if it is a transaction.
    pub(super) fn of(staged: &Staged) -> Option<Self> {
        serde_json::from_value(staged.work.clone()).ok()
    }
}

/// Who writes under a transactional id: a pipeline's id.
fn owner(id: &str) -> Option<&str> {
    let (rest, _turn) = id.rsplit_once('.')?;
    let (rest, _sink) = rest.rsplit_once('.')?;
    rest.get(rest.len().checked_sub(PIPELINE_ID_LEN)?..)
}

/// A failure of the log as a sink's.
pub(super) fn log_failed(table: &str, error: &LogError) -> SinkError {
    let (table, reason) = (table.to_string(), error.to_string());
    match error {
        LogError::Corrupt { .. } | LogError::Invalid(_) | LogError::InvalidRecord(_) => {
            SinkError::Permanent { table, reason }
        }
        _ => SinkError::Transient { table, reason },
    }
}

/// Ends what a pipeline has open as its newest manifest says. Nothing may write for it meanwhile.
pub(crate) async fn settle(
    shared: &Shared,
    pipeline_id: &str,
    newest: Option<&Manifest>,
) -> Result<(), ProcessError> {
    let Some(writer) = &shared.writer else { return Ok(()) };
    for work in newest.iter().flat_map(|manifest| &manifest.staged) {
        if let Some(open) = OpenTransaction::of(&work.staged) {
            commit(&**writer, &work.staged, &open).await?;
        }
    }
    for id in ids_of(&**writer, pipeline_id).await? {
        writer.abort(&id).await.map_err(|error| log_failed(&id, &error))?;
    }
    Ok(())
}

async fn commit(
    writer: &dyn TopicWriter,
    staged: &Staged,
    open: &OpenTransaction,
) -> Result<(), SinkError> {
    let committed = writer.commit(&open.id, open.producer).await;
    committed.map(drop).map_err(|error| log_failed(&staged.table, &error))
}

/// As [`settle`], by the manifest that is on disk.
pub(crate) async fn settle_as_stored(
    shared: &Shared,
    pipeline_id: &str,
) -> Result<(), ProcessError> {
    if shared.writer.is_none() {
        return Ok(());
    }
    let dir = shared.dir.join(pipeline_id);
    let newest = ManifestStore::open(shared.disk.clone(), dir)?.newest()?;
    settle(shared, pipeline_id, newest.as_ref()).await
}

/// Ends what a pipeline has open that is gone, and forgets its ids.
pub(crate) async fn retire(shared: &Shared, pipeline_id: &str) -> Result<(), ProcessError> {
    let Some(writer) = &shared.writer else { return Ok(()) };
    let ids = ids_of(&**writer, pipeline_id).await?;
    if ids.is_empty() {
        return Ok(());
    }
    let dir = shared.dir.join(pipeline_id);
    let mut newest = ManifestStore::open(shared.disk.clone(), dir)?.newest()?;
    if let Some(manifest) = &mut newest {
        // Ids are forgotten when nothing is open: a crash in between has left some of them.
        let known = |open: &OpenTransaction| ids.contains(&open.id);
        manifest.staged.retain(|work| OpenTransaction::of(&work.staged).is_some_and(|o| known(&o)));
    }
    settle(shared, pipeline_id, newest.as_ref()).await?;
    for id in ids {
        writer.forget(&id).await.map_err(|error| log_failed(&id, &error))?;
    }
    Ok(())
}

/// Settles what every pipeline has left open, whether it can start or is gone. One that cannot be
/// settled says so and is tried again when it starts.
pub(crate) async fn settle_all(shared: &Shared) {
    let Some(writer) = &shared.writer else { return };
    let ids = match writer.ids().await {
        Ok(ids) => ids,
        Err(error) => {
            return tracing::error!(%error, "pipelines' transactions cannot be looked up");
        }
    };
    let owners: BTreeSet<&str> = ids.iter().filter_map(|id| owner(id)).collect();
    let pipelines = shared.catalogue.pipelines();
    for pipeline_id in owners {
        let settled = match pipelines.iter().any(|pipeline| pipeline.id == pipeline_id) {
            true => settle_as_stored(shared, pipeline_id).await,
            false => forget_orphan(shared, pipeline_id).await,
        };
        if let Err(error) = settled {
            tracing::error!(pipeline_id, %error, "a pipeline's transactions cannot be ended");
        }
    }
}

/// What is left of a pipeline that was being dropped.
async fn forget_orphan(shared: &Shared, pipeline_id: &str) -> Result<(), ProcessError> {
    retire(shared, pipeline_id).await?;
    ManifestStore::open(shared.disk.clone(), shared.dir.join(pipeline_id))?.remove()
}

async fn ids_of(writer: &dyn TopicWriter, pipeline_id: &str) -> Result<Vec<String>, SinkError> {
    let mut ids = writer.ids().await.map_err(|error| log_failed(pipeline_id, &error))?;
    ids.retain(|id| owner(id) == Some(pipeline_id));
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_says_whose_it_is() {
        let pipeline = "0190a5b2-7c3d-7e4f-8a9b-0c1d2e3f4a5b";
        for prefix in [None, Some("shop"), Some("a.b-c.1")] {
            let id = OpenTransaction::id(prefix, &format!("{pipeline}.sink-1"), 1);
            assert_eq!(owner(&id), Some(pipeline), "{id}");
        }
        for other in ["", "a", "a.b", "a.b.c", "é.b.c"] {
            assert_eq!(owner(other), None);
        }
    }
}
