//! A pipeline's sinks: its targets, its dead letters and its late events.
//!
//! Guarantees: after a restart every sink has finished what the newest manifest names before
//! anything is written to it.
//! Left out: what is written.

use super::manifest::Manifest;
use super::plan::{StreamPlan, Target};
use super::sink::{SinkEnvironment, open_sink};
use super::transactions::OpenTransaction;
use crate::ProcessError;
use crate::dead_letters::{self, LetterTable};
use crate::shared::Shared;
use tradewind_dataflow::OperatorKind;
use tradewind_sql::{Pipeline, TableDefinition};
use tradewind_types::{Sink, SourceError, Staged};

/// The first target: its writer's name is the pipeline's own.
const TARGET: &str = "sink-1";

/// A sink, open.
pub(crate) struct OpenSink {
    /// Its id in manifests.
    pub(super) id: String,
    /// What is written to it.
    pub(super) feeds: Feeds,
    pub(super) table: TableDefinition,
    pub(super) sink: Box<dyn Sink>,
}

/// What is written to a sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Feeds {
    /// The rows of the plan's sink of that number.
    Rows(usize),
    /// What could not be read or computed.
    DeadLetters,
    /// What came late.
    LateEvents,
}

/// Opens every sink and lets it finish what the newest manifest names.
pub(super) async fn open(
    shared: &Shared,
    pipeline: &Pipeline,
    plan: &StreamPlan,
    newest: Option<&Manifest>,
) -> Result<Vec<OpenSink>, ProcessError> {
    let mut opened = Vec::new();
    for (id, feeds, table) in wanted(shared, plan)? {
        let planned = match feeds {
            Feeds::Rows(index) => Some(&plan.sinks[index]),
            Feeds::DeadLetters | Feeds::LateEvents => None,
        };
        let mut last = newest
            .and_then(|last| last.staged.iter().find(|work| work.sink == id))
            .map(|work| &work.staged);
        if let Some(manifest) = newest.filter(|last| last.incarnation < pipeline.incarnation)
            && let Some(staged) = last.take()
            // A transaction is settled, whoever began it.
            && OpenTransaction::of(staged).is_none()
        {
            finish_predecessor(shared, pipeline, manifest.incarnation, &id, staged).await?;
        }
        let name = writer(&pipeline.id, pipeline.incarnation, &id);
        let of_connector = match planned {
            Some(planned) => {
                let environment = environment(shared, pipeline, plan, &id);
                check_topic(&table, &environment)?;
                open_sink(planned, &name, &environment)?
            }
            None => None,
        };
        let mut sink = match of_connector {
            Some(sink) => sink,
            None => shared.sinks.open(&table, &name).await?,
        };
        sink.recover(last).await?;
        opened.push(OpenSink { id, feeds, table, sink });
    }
    Ok(opened)
}

fn environment(
    shared: &Shared,
    pipeline: &Pipeline,
    plan: &StreamPlan,
    sink: &str,
) -> SinkEnvironment {
    let origin = match &plan.sources[..] {
        [source] => source.definition.topic().map(|topic| topic.topic.clone()),
        _ => None,
    };
    SinkEnvironment {
        writer: shared.writer.clone(),
        clock: shared.clock.clone(),
        name: format!("pipeline:{}", pipeline.name),
        id: format!("{}.{sink}", pipeline.id),
        origin,
    }
}

/// A topic that is not there is waited for, as one that is read is.
fn check_topic(table: &TableDefinition, environment: &SinkEnvironment) -> Result<(), ProcessError> {
    if let (Some(topic), Some(writer)) = (table.topic(), &environment.writer) {
        writer.limits(&topic.topic).map_err(SourceError::from)?;
    }
    Ok(())
}

/// Every sink a plan needs.
fn wanted(
    shared: &Shared,
    plan: &StreamPlan,
) -> Result<Vec<(String, Feeds, TableDefinition)>, ProcessError> {
    let mut wanted = Vec::new();
    for (index, sink) in plan.sinks.iter().enumerate() {
        if let Target::Table(table) = &sink.target {
            wanted.push((
                format!("sink-{}", index + 1),
                Feeds::Rows(index),
                table.as_ref().clone(),
            ));
        }
    }
    let letters = |letters: LetterTable| -> Result<_, ProcessError> {
        let table = dead_letters::table(&shared.catalogue, letters);
        dead_letters::check(&table)?;
        Ok(table)
    };
    let dead = letters(LetterTable::DeadLetters)?;
    wanted.push((LetterTable::DeadLetters.sink().to_string(), Feeds::DeadLetters, dead));
    let windows =
        |node: &tradewind_dataflow::Node| matches!(node.kind, OperatorKind::WindowAggregate(_));
    if plan.graph.nodes.iter().any(windows) {
        let late = letters(LetterTable::LateEvents)?;
        wanted.push((LetterTable::LateEvents.sink().to_string(), Feeds::LateEvents, late));
    }
    Ok(wanted)
}

/// Commits what an older incarnation had staged, under its own name.
async fn finish_predecessor(
    shared: &Shared,
    pipeline: &Pipeline,
    incarnation: u64,
    sink: &str,
    staged: &Staged,
) -> Result<(), ProcessError> {
    let ours = LetterTable::ALL.into_iter().find(|letters| letters.name() == staged.table);
    let table = match (shared.catalogue.table(&staged.table), ours) {
        (Some(table), _) => table,
        (None, Some(letters)) => dead_letters::table(&shared.catalogue, letters),
        (None, None) => {
            tracing::error!(
                pipeline = pipeline.name,
                table = staged.table,
                rows = staged.rows,
                "the table of an older incarnation is gone, and so are its staged rows"
            );
            return Ok(());
        }
    };
    let name = writer(&pipeline.id, incarnation, sink);
    let mut open = shared.sinks.open(&table, &name).await?;
    Ok(open.recover(Some(staged)).await?)
}

/// Under which name a pipeline commits to a table. The table `dead_letters` may be both its target
/// and the place of its dead letters, so the two differ.
fn writer(id: &str, incarnation: u64, sink: &str) -> String {
    match sink {
        TARGET => format!("{id}/{incarnation}"),
        other => format!("{id}/{incarnation}/{other}"),
    }
}

/// The tables a pipeline may have written to, each with the names its incarnations had there: see
/// [`crate::Sinks::open`].
pub fn writers(pipeline: &Pipeline) -> Vec<(&str, String)> {
    let letters = LetterTable::ALL.map(|letters| (letters.name(), letters.sink()));
    let sinks = [(pipeline.target.as_str(), TARGET)].into_iter().chain(letters);
    let all = sinks.flat_map(|(table, sink)| {
        let incarnations = 1..=pipeline.incarnation;
        incarnations.map(move |incarnation| (table, writer(&pipeline.id, incarnation, sink)))
    });
    all.collect()
}
