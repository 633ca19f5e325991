//! The cases of `slt/stream`: each leaves the table that Flink leaves, however it is run.
//!
//! A case is run with 1, 2 and 4 workers; in ticks of one row, of a thousand, and of everything;
//! and is killed at some tick and restored from a checkpoint before it, on another number of
//! workers; and with so little memory that state is on disk. Where a batch rightly answers the same, DataFusion's batch engine is asked as well.
//! `TRADEWIND_SLT=group/name` runs what contains that text.

use datafusion::sql::sqlparser::ast;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;
use tradewind_dataflow::{Eviction, ExecutorSettings, StateBudget};
use tradewind_process::ProcessError;
use tradewind_process::script::{Outcome, Script};
use tradewind_process::stream::changelog::Changelog;
use tradewind_process::stream::job::{Job, JobState, JobTick, TickLimits};
use tradewind_process::stream::plan::reference::answer;
use tradewind_process::stream::plan::{StreamPlan, plan_query};
use tradewind_process::stream::run::{RowWriter, RunSettings};
use tradewind_process::stream::scratch::DiskScratch;
use tradewind_process::stream::source::{SourceEnvironment, open_source};
use tradewind_sql::text::{RowKind, write_row};
use tradewind_sql::{Dialect, StatementKind, parse_script};
use tradewind_types::{ManualClock, SinkError};

/// The file's blocks.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) inputs: Vec<(String, String)>,
    pub(crate) script: String,
    pub(crate) query: String,
    pub(crate) late: u64,
    pub(crate) expect: Expect,
    /// Why a batch over the same rows answers something else.
    pub(crate) batch_differs: bool,
}

pub(crate) enum Expect {
    Table(Vec<String>),
    Error,
}

/// How a case is run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct How {
    pub(crate) workers: usize,
    pub(crate) tick_rows: usize,
    /// How much memory operators' state may take.
    pub(crate) memory: usize,
    /// At which tick to take a checkpoint, and how many ticks later to die.
    pub(crate) kill: Option<(usize, usize)>,
}

const ENOUGH: usize = usize::MAX;

const HOWS: [How; 10] = [
    How { workers: 1, tick_rows: usize::MAX, memory: ENOUGH, kill: None },
    How { workers: 2, tick_rows: 1_000, memory: ENOUGH, kill: None },
    How { workers: 4, tick_rows: usize::MAX, memory: ENOUGH, kill: None },
    How { workers: 4, tick_rows: 1, memory: ENOUGH, kill: None },
    How { workers: 1, tick_rows: 1, memory: ENOUGH, kill: None },
    How { workers: 2, tick_rows: 3, memory: ENOUGH, kill: Some((2, 2)) },
    How { workers: 4, tick_rows: 7, memory: ENOUGH, kill: Some((5, 1)) },
    // Nothing stays in memory, or nearly.
    How { workers: 1, tick_rows: 3, memory: 0, kill: None },
    How { workers: 2, tick_rows: 2, memory: 0, kill: Some((3, 2)) },
    How { workers: 3, tick_rows: 4, memory: 8_192, kill: Some((2, 1)) },
];

impl How {
    fn settings(&self) -> RunSettings {
        let executor = ExecutorSettings {
            workers: self.workers,
            chunk_rows: 3,
            pending_rows_max: 16,
            parallel_rows_min: 8,
            state_ttl_ms: 0,
        };
        RunSettings {
            executor,
            limits: TickLimits { rows_max: self.tick_rows, budget_us: i64::MAX },
            state_memory_bytes: self.memory,
        }
    }
}

fn cases() -> Vec<Case> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../slt/stream");
    let wanted = std::env::var("TRADEWIND_SLT").unwrap_or_default();
    let mut files = Vec::new();
    for group in std::fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path()) {
        if group.is_dir() {
            files.extend(std::fs::read_dir(group).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    files.sort();
    let slt = |path: &PathBuf| path.extension().is_some_and(|end| end == "slt");
    let files = files.into_iter().filter(slt);
    let cases =
        files.map(|path| Case::read(&root, &path)).filter(|case| case.name.contains(&wanted));
    cases.collect()
}

impl Case {
    fn read(root: &Path, path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap();
        let name = path.strip_prefix(root).unwrap().display().to_string();
        let mut case = Self {
            name: name.clone(),
            inputs: Vec::new(),
            script: String::new(),
            query: String::new(),
            late: 0,
            expect: Expect::Error,
            batch_differs: false,
        };
        let mut lines = text.lines();
        while let Some(head) = lines.next() {
            if head.starts_with('#') || head.trim().is_empty() {
                case.batch_differs |= head.starts_with("# batch differs:");
                continue;
            }
            let body: Vec<&str> = lines.by_ref().take_while(|line| *line != "----").collect();
            match head.split_once(' ').map_or((head, ""), |(word, rest)| (word, rest)) {
                ("input", file) => {
                    let content = body.iter().map(|line| format!("{line}\n")).collect();
                    case.inputs.push((file.trim().to_string(), content));
                }
                ("script", _) => case.script = body.join("\n"),
                ("query", _) => case.query = body.join("\n"),
                ("late", _) => case.late = body.join("").trim().parse().unwrap(),
                ("expect", _) => {
                    case.expect = Expect::Table(body.iter().map(|line| line.to_string()).collect());
                }
                ("error", _) => case.expect = Expect::Error,
                (other, _) => panic!("{name}: there is no block {other:?}"),
            }
        }
        case
    }

    /// A folder with its inputs.
    fn folder(&self) -> TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (file, content) in &self.inputs {
            std::fs::write(dir.path().join(file), content).unwrap();
        }
        dir
    }

    /// What is wrong with the batch engine's answer, or nothing.
    async fn check_batch(&self) -> Result<(), String> {
        match (&self.expect, self.batch().await) {
            (Expect::Error, Err(_)) => Ok(()),
            (Expect::Error, Ok(table)) => Err(format!("no error but {table:?}")),
            (Expect::Table(_), Err(error)) => Err(error),
            (Expect::Table(expected), Ok(table)) if table == *expected => Ok(()),
            (Expect::Table(expected), Ok(table)) => Err(difference(expected, &table)),
        }
    }

    /// The batch engine's answer.
    pub(crate) async fn batch(&self) -> Result<Vec<String>, String> {
        let dir = self.folder();
        let (script, query) = self.prepare(dir.path(), HOWS[0].settings()).await?;
        let environment = environment();
        let answer = answer(&query, script.options(), script.catalogue(), &environment).await;
        let rows = answer.map_err(|error| error.to_string())?;
        let mut table: Vec<String> = (0..rows.num_rows())
            .map(|row| {
                let mut line = String::new();
                write_row(&mut line, RowKind::Insert, &rows, rows.num_columns(), row);
                line.split_off(2)
            })
            .collect();
        table.sort();
        Ok(table)
    }

    /// The script, carried out, and the query.
    async fn prepare(
        &self,
        dir: &Path,
        settings: RunSettings,
    ) -> Result<(Script, Box<ast::Query>), String> {
        let fill = |text: &str| text.replace("{dir}", &dir.display().to_string());
        let mut script = Script::new(environment(), settings);
        let statements = parse_script(&fill(&self.script), Dialect::Flink);
        for statement in statements.map_err(|error| error.to_string())? {
            let outcome = script.execute(&statement, &mut NoRows, std::future::pending()).await;
            match outcome.map_err(|error| error.to_string())? {
                Outcome::Done => {}
                other => panic!("{}: the script only defines, and {other:?}", self.name),
            }
        }
        let query = parse_script(&fill(&self.query), Dialect::Flink);
        let query = query.map_err(|error| error.to_string())?.remove(0);
        let StatementKind::Other(query) = query.kind else { return Err("no query".into()) };
        match *query {
            ast::Statement::Query(query) => Ok((script, query)),
            other => Err(format!("no query: {other}")),
        }
    }

    /// What is wrong with how it runs, or nothing.
    pub(crate) async fn check(&self, how: How) -> Result<(), String> {
        let dir = self.folder();
        let answer = self.run(how, dir.path()).await;
        match (&self.expect, answer) {
            (Expect::Error, Err(_)) => Ok(()),
            (Expect::Error, Ok(answer)) if answer.dead_letters > 0 => Ok(()),
            (Expect::Error, Ok(answer)) => Err(format!("no error but {:?}", answer.table)),
            (Expect::Table(_), Err(error)) => Err(error),
            (Expect::Table(expected), Ok(answer)) => {
                if answer.dead_letters > 0 {
                    return Err(format!("{} dead letters: {}", answer.dead_letters, answer.reason));
                }
                if answer.table != *expected {
                    return Err(difference(expected, &answer.table));
                }
                if answer.late != self.late {
                    return Err(format!("{} rows are late, not {}", answer.late, self.late));
                }
                Ok(())
            }
        }
    }

    async fn run(&self, how: How, dir: &Path) -> Result<Answer, String> {
        let fail = |error: ProcessError| error.to_string();
        let settings = how.settings();
        let (script, query) = self.prepare(dir, settings).await?;
        let plan = plan_query(&query, script.options(), script.catalogue()).map_err(fail)?;
        let RunSettings { executor, limits, .. } = settings;
        Running { plan: Arc::new(plan), executor, limits, memory: how.memory }
            .to_the_end(how)
            .await
            .map_err(fail)
    }
}

fn environment() -> SourceEnvironment {
    let clock = Arc::new(ManualClock::at(1_795_249_560_000_000));
    SourceEnvironment { log: None, clock, name: "slt".into() }
}

struct NoRows;

impl RowWriter for NoRows {
    fn write(
        &mut self,
        _: &tradewind_process::stream::plan::SinkPlan,
        _: &[arrow::array::RecordBatch],
    ) -> Result<(), SinkError> {
        Ok(())
    }
}

#[derive(Debug, Clone, Default)]
struct Answer {
    table: Vec<String>,
    late: u64,
    dead_letters: usize,
    reason: String,
}

/// What has been put out so far.
#[derive(Debug, Clone, Default)]
struct Output {
    rows: BTreeMap<String, i64>,
    late: u64,
    dead_letters: usize,
    reason: String,
}

struct Running {
    plan: Arc<StreamPlan>,
    executor: ExecutorSettings,
    limits: TickLimits,
    memory: usize,
}

impl Running {
    async fn job(&self, workers: usize) -> Result<Job, ProcessError> {
        let environment = environment();
        let clock = environment.clock.clone();
        let mut sources = Vec::new();
        for source in &self.plan.sources {
            sources.push(open_source(&environment, source, true).await?);
        }
        let executor = ExecutorSettings { workers, ..self.executor };
        let eviction = Eviction {
            budget: StateBudget::new(self.memory, usize::MAX),
            scratch: Arc::new(DiskScratch::temporary()),
        };
        Job::new(self.plan.clone(), sources, clock, executor, Some(eviction))
    }

    async fn to_the_end(&self, how: How) -> Result<Answer, ProcessError> {
        let mut job = self.job(how.workers).await?;
        let mut output = Output::default();
        let mut saved: Option<(JobState, Output)> = None;
        let mut ticks = 0;
        while !job.ended() {
            job.ready().await?;
            let tick = job.tick(self.limits).await?;
            output.add(&self.plan, tick);
            ticks += 1;
            let Some((at, after)) = how.kill else { continue };
            if ticks == at {
                saved = Some((job.checkpoint()?, output.clone()));
            } else if ticks == at + after
                && let Some((state, before)) = saved.take()
            {
                job = self.job(how.workers % 4 + 1).await?;
                job.restore(&state)?;
                output = before;
            }
        }
        Ok(output.answer())
    }
}

impl Output {
    fn add(&mut self, plan: &StreamPlan, tick: JobTick) {
        for (rows, sink) in tick.sinks.iter().zip(&plan.sinks) {
            let changelog = Changelog::new(sink);
            for batch in rows {
                for (line, (_, kind)) in changelog.lines(batch).iter().zip(changelog.kinds(batch)) {
                    let sign = match kind {
                        RowKind::Insert | RowKind::UpdateAfter => 1,
                        RowKind::UpdateBefore | RowKind::Delete => -1,
                    };
                    *self.rows.entry(line[2..].to_string()).or_default() += sign;
                }
            }
        }
        self.late += tick.late.iter().map(|late| late.rows.num_rows() as u64).sum::<u64>();
        self.dead_letters += tick.rejected.len() + tick.errors.len();
        if let Some(letter) = tick.rejected.first() {
            self.reason.clone_from(&letter.reason);
        }
        if let Some(error) = tick.errors.first() {
            self.reason = format!("{}: {}", error.expression, error.reason);
        }
    }

    fn answer(self) -> Answer {
        let Self { rows, late, dead_letters, reason } = self;
        let mut table = Vec::new();
        for (row, count) in rows {
            match usize::try_from(count) {
                Ok(count) => table.extend(std::iter::repeat_n(row, count)),
                Err(_) => table.push(format!("{row} {count} times")),
            }
        }
        Answer { table, late, dead_letters, reason }
    }
}

fn difference(expected: &[String], found: &[String]) -> String {
    let missing: Vec<_> = expected.iter().filter(|row| !found.contains(row)).take(5).collect();
    let extra: Vec<_> = found.iter().filter(|row| !expected.contains(row)).take(5).collect();
    format!("{} rows, not {}; missing {missing:?}, too many {extra:?}", found.len(), expected.len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_case_leaves_the_table_that_flink_leaves() {
    let cases = cases();
    let mut wrong = Vec::new();
    for case in &cases {
        for how in HOWS {
            if let Err(reason) = unpanicked(case.check(how)).await {
                wrong.push(format!("{} with {how:?}:\n    {reason}", case.name));
                break;
            }
        }
    }
    println!("{} cases, {} wrong", cases.len(), wrong.len());
    assert!(!cases.is_empty(), "there are no cases");
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_answers_as_the_streams_do() {
    let cases = cases();
    let (mut compared, mut wrong) = (0, Vec::new());
    for case in cases.iter().filter(|case| !case.batch_differs) {
        compared += 1;
        if let Err(reason) = unpanicked(case.check_batch()).await {
            wrong.push(format!("{}:\n    {reason}", case.name));
        }
    }
    println!("{compared} of {} cases as a batch, {} wrong", cases.len(), wrong.len());
    assert!(wrong.is_empty(), "{} of {compared}:\n{}", wrong.len(), wrong.join("\n"));
}

async fn unpanicked(checked: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    let checked = futures::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(checked)).await;
    checked.unwrap_or_else(|_| Err("a panic".into()))
}
