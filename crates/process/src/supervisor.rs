//! Keeps one pipeline running.
//!
//! Guarantees: whatever ends a run, a panic included, ends with the next attempt or with a reason
//! in the status, and touches no other pipeline. Attempts are counted anew once further records
//! are committed.
//! Left out: the run itself.

use crate::ProcessError;
use crate::shared::{Shared, keeps_view, paused_reason};
use crate::status::PipelineState;
use crate::stream::checkpoint::Runtime;
use crate::stream::plan::{StreamPlan, plan_statement};
use crate::stream::tick::{self, Command, Ended};
use futures::FutureExt;
use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tradewind_sql::Pipeline;

/// How long to wait between looks for a topic that is not there.
const TOPIC_WAIT: Duration = Duration::from_secs(1);

/// What to do after a run.
enum Next {
    Stop,
    Retry(Duration),
    StandStill,
}

/// Runs a pipeline until it is told to stop.
pub(crate) async fn supervise(
    shared: Arc<Shared>,
    name: String,
    mut commands: mpsc::Receiver<Command>,
) {
    let mut attempt = 0;
    loop {
        let Some(pipeline) = shared.catalogue.pipeline(&name) else { return };
        if pipeline.paused {
            rest(&shared, pipeline).await;
            if stand_still(&mut commands).await { continue } else { return }
        }
        shared.set_state(&name, PipelineState::Starting, None);
        let before = committed(&shared, &name);
        let result = match caught(run_once(&shared, pipeline, &mut commands)).await {
            // The name is its successor's from now on.
            Ok(Ended::Replaced) => return,
            Ok(Ended::Stopped) => Ok(()),
            Err(error) => Err(error),
        };
        attempt = if committed(&shared, &name) > before { 1 } else { attempt + 1 };
        let next = after(&shared, &name, result, attempt);
        let goes_on = match next {
            Next::Stop => false,
            Next::Retry(wait) => pause(&mut commands, wait).await,
            Next::StandStill => {
                attempt = 0;
                stand_still(&mut commands).await
            }
        };
        if !goes_on {
            shared.set_state(&name, PipelineState::Stopped, None);
            return;
        }
    }
}

/// How many records are read and committed for good.
fn committed(shared: &Shared, name: &str) -> i64 {
    let sum = |status: crate::PipelineStatus| -> i64 {
        status.sources.iter().flat_map(|source| source.committed.values()).sum()
    };
    shared.status_of(name).map_or(0, sum)
}

/// Lets a pipeline that is paused stand where it stopped. After a start of the server that is
/// looked up once: what it had written is committed, its records are held, its view answers.
async fn rest(shared: &Arc<Shared>, pipeline: Arc<Pipeline>) {
    let (name, reason) = (pipeline.name.clone(), paused_reason(&pipeline));
    shared.set_state(&name, PipelineState::Paused, Some(reason.clone()));
    if shared.status_of(&name).is_none_or(|status| !status.sources.is_empty()) {
        return;
    }
    let looked = async {
        let mut runtime = open(shared, pipeline).await?;
        runtime.show()?;
        shared.opened(&name, &mut runtime);
        Ok(())
    };
    if let Err(error) = caught(looked).await {
        tracing::warn!(pipeline = name, %error, "a paused pipeline cannot be opened");
        shared.failed(&name, &error);
        let reason = format!("{reason}; it cannot be opened: {error}");
        shared.set_state(&name, PipelineState::Paused, Some(reason));
    }
}

/// Runs something; a panic is an error of ours.
async fn caught<T>(run: impl Future<Output = Result<T, ProcessError>>) -> Result<T, ProcessError> {
    AssertUnwindSafe(run).catch_unwind().await.unwrap_or_else(|panic| {
        Err(ProcessError::Internal(format!("a panic: {}", message(&*panic))))
    })
}

/// Opens and runs.
async fn run_once(
    shared: &Arc<Shared>,
    pipeline: Arc<Pipeline>,
    commands: &mut mpsc::Receiver<Command>,
) -> Result<Ended, ProcessError> {
    let name = pipeline.name.clone();
    let can_renew = keeps_view(&pipeline);
    let mut runtime = match open(shared, pipeline).await {
        // What a view keeps can be computed again from its topics.
        Err(error @ ProcessError::StateChanged { .. }) if can_renew => {
            tracing::warn!(pipeline = name, %error, "the view is computed anew");
            shared.catalogue.renew(&name)?;
            return Err(ProcessError::Renewed);
        }
        opened => opened?,
    };
    shared.running(&name, &mut runtime);
    let ended = caught(tick::run(&mut runtime, commands)).await;
    runtime.settle().await;
    runtime.release().await;
    if matches!(ended, Ok(Ended::Replaced)) {
        shared.outlive(runtime);
    }
    ended
}

/// Plans a pipeline and opens it where its newest manifest stands.
async fn open(shared: &Arc<Shared>, pipeline: Arc<Pipeline>) -> Result<Runtime, ProcessError> {
    let plan = plan_statement(&pipeline.statement, pipeline.dialect, &shared.catalogue)?;
    let pipeline = freeze(shared, pipeline, &plan)?;
    shared.reads(&pipeline.name, &plan);
    let view = shared.view(&pipeline, &plan);
    Runtime::open(shared.clone(), pipeline, plan, view).await
}

/// Holds a query to the columns it was made with.
fn freeze(
    shared: &Shared,
    pipeline: Arc<Pipeline>,
    plan: &StreamPlan,
) -> Result<Arc<Pipeline>, ProcessError> {
    if pipeline.columns.is_empty() {
        return Ok(shared.catalogue.freeze_columns(&pipeline.name, plan.columns.clone())?);
    }
    if pipeline.columns == plan.columns {
        return Ok(pipeline);
    }
    let text = |columns: &[(String, String)]| {
        let each = columns.iter().map(|(name, data_type)| format!("{name} {data_type}"));
        each.collect::<Vec<_>>().join(", ")
    };
    Err(ProcessError::Changed { then: text(&pipeline.columns), now: text(&plan.columns) })
}

fn after(shared: &Shared, name: &str, result: Result<(), ProcessError>, attempt: u32) -> Next {
    let error = match result {
        Ok(()) => return Next::Stop,
        Err(error) => error,
    };
    if matches!(error, ProcessError::Renewed) {
        return Next::Retry(Duration::ZERO);
    }
    let reason = error.to_string();
    shared.failed(name, &error);
    if error.is_missing_topic() {
        shared.set_state(name, PipelineState::Waiting, Some(reason));
        return Next::Retry(TOPIC_WAIT);
    }
    if error.is_transient() && attempt < shared.settings.retry_attempts_max {
        tracing::warn!(pipeline = name, attempt, reason, "pipeline failed and will try again");
        shared.set_state(name, PipelineState::Retrying, Some(reason));
        return Next::Retry(shared.settings.backoff(attempt));
    }
    tracing::error!(pipeline = name, reason, "pipeline stands still");
    let advice = format!("{reason}; ALTER PIPELINE {name} RESUME tries again");
    shared.set_state(name, PipelineState::Failed, Some(advice));
    Next::StandStill
}

/// Waits; whether to go on.
async fn pause(commands: &mut mpsc::Receiver<Command>, wait: Duration) -> bool {
    let until = Instant::now() + wait;
    loop {
        tokio::select! {
            biased;
            command = commands.recv() => match command {
                Some(Command::Resume) => return true,
                Some(Command::Checkpoint(reply)) => not_running(reply),
                Some(Command::Stop | Command::Replace) | None => return false,
            },
            () = tokio::time::sleep_until(until) => return true,
        }
    }
}

/// Waits for somebody; whether to go on.
async fn stand_still(commands: &mut mpsc::Receiver<Command>) -> bool {
    loop {
        match commands.recv().await {
            Some(Command::Resume) => return true,
            Some(Command::Checkpoint(reply)) => not_running(reply),
            Some(Command::Stop | Command::Replace) | None => return false,
        }
    }
}

/// A pipeline that does not run has nothing that is not durable.
fn not_running(reply: tokio::sync::oneshot::Sender<Result<(), ProcessError>>) {
    // Whoever asked may have gone.
    let _ = reply.send(Ok(()));
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}
