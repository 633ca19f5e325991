//! One connection's SQL: a dialect, a time zone, and statements one after another.
//!
//! Guarantees: a query's answer is a stream that ends its work when it is dropped; each execution
//! takes its snapshots anew, except within a transaction.
//! Left out: cursors, `COPY` and statements by name, which need a client to send rows to.

use crate::changes::Changes;
use crate::class::ErrorClass;
use crate::control::{Asked, Control};
use crate::error::AnalyzeError;
use crate::platform::Platform;
use crate::prepare::ends_block;
use crate::tables;
use crate::transaction::{Block, Notice};
use crate::variables::Variables;
use arrow::array::{ArrayRef, BooleanArray, RecordBatch, StringArray};
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_plan::execute_stream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::sql::sqlparser::ast;
use futures::{StreamExt, TryStreamExt, stream};
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;
use tradewind_sql::connection::Connection;
use tradewind_sql::{
    Catalogue, Dialect, ObjectKind, PipelineStatement, Position, SqlError, Statement,
    StatementKind, Subscribe, Subscribed, parse_script,
};

/// A connection's state.
pub struct Session {
    platform: Platform,
    pub(crate) kept: Kept,
    /// What the time zone and dialect are without a `SET`.
    pub(crate) initial: (String, Dialect),
    /// What the next pipeline is to be called.
    pub(crate) pipeline_name: Option<String>,
    pub(crate) block: Option<Block>,
    pub(crate) notices: Vec<Notice>,
}

/// What a connection has set: a transaction that is rolled back takes it back.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) dialect: Dialect,
    /// An IANA name or an offset, as in `Europe/Berlin` or `+02:00`.
    pub(crate) time_zone: String,
    pub(crate) variables: Variables,
}

/// How a statement is to be carried out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call<'a> {
    /// How its text is meant.
    pub(crate) dialect: Dialect,
    /// The values of `$1` and its like.
    pub(crate) parameters: &'a [ScalarValue],
}

/// What a statement came to.
pub enum Answer {
    /// Rows.
    Rows(Rows),
    /// Changes of a view as they come, without an end of their own.
    Changes(Changes),
    /// Nothing to show: what was done, in the words of a command tag.
    Done(String),
}

/// A query's rows as they are made. Dropping it ends the query.
pub struct Rows {
    stream: SendableRecordBatchStream,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Rows {
    /// The columns.
    pub fn schema(&self) -> SchemaRef {
        self.stream.schema()
    }

    /// The next rows; `None` at the end.
    ///
    /// # Errors
    /// What the query failed with; no more rows follow.
    pub async fn next(&mut self) -> Option<Result<RecordBatch, AnalyzeError>> {
        Some(self.stream.next().await?.map_err(AnalyzeError::from))
    }

    /// All rows. For answers that are known to be small.
    ///
    /// # Errors
    /// What the query failed with.
    pub async fn collect(self) -> Result<Vec<RecordBatch>, AnalyzeError> {
        Ok(self.stream.try_collect().await?)
    }
}

impl From<SqlError> for AnalyzeError {
    fn from(error: SqlError) -> Self {
        let place = match (error.line, error.column) {
            (1, column) => format!("column {column}"),
            (line, column) => format!("line {line}, column {column}"),
        };
        let user = Self::user(format!("{place}: {}", error.message)).class(ErrorClass::Syntax);
        let at = Position { line: error.line, column: error.column };
        Self { hint: error.hint, place: Some(at), ..user }
    }
}

impl Session {
    pub(crate) fn new(platform: Platform) -> Self {
        let dialect = platform.parts().settings.dialect;
        let kept = Kept { dialect, time_zone: "UTC".into(), variables: Variables::default() };
        let initial = (kept.time_zone.clone(), dialect);
        Self { platform, kept, initial, pipeline_name: None, block: None, notices: Vec::new() }
    }

    pub(crate) fn platform(&self) -> &Platform {
        &self.platform
    }

    /// The dialect statements are read in.
    pub fn dialect(&self) -> Dialect {
        self.kept.dialect
    }

    /// Reads further statements in another dialect.
    pub fn set_dialect(&mut self, dialect: Dialect) {
        self.kept.dialect = dialect;
        self.initial.1 = dialect;
    }

    /// The statements of a script.
    ///
    /// # Errors
    /// Text that is not SQL, with its line and column.
    pub fn parse(&self, script: &str) -> Result<Vec<Statement>, AnalyzeError> {
        Ok(parse_script(script, self.kept.dialect)?)
    }

    /// Carries out a script to its last statement and answers with that one's.
    ///
    /// # Errors
    /// The first statement that fails; those before it are done, those after it are not begun.
    pub async fn execute(&mut self, script: &str) -> Result<Answer, AnalyzeError> {
        let statements = self.parse(script)?;
        let Some((last, before)) = statements.split_last() else {
            return Err(AnalyzeError::user("there is no statement"));
        };
        for statement in before {
            match self.run(statement).await? {
                Answer::Rows(mut rows) => while rows.next().await.transpose()?.is_some() {},
                Answer::Changes(_) => {
                    return Err(AnalyzeError::user("SUBSCRIBE does not end")
                        .hint("let it be the last statement"));
                }
                Answer::Done(_) => {}
            }
        }
        self.run(last).await
    }

    /// Carries out one statement.
    ///
    /// # Errors
    /// Why it cannot be.
    pub async fn run(&mut self, statement: &Statement) -> Result<Answer, AnalyzeError> {
        let dialect = self.kept.dialect;
        self.run_call(statement, Call { dialect, parameters: &[] }).await
    }

    pub(crate) async fn run_call(
        &mut self,
        statement: &Statement,
        call: Call<'_>,
    ) -> Result<Answer, AnalyzeError> {
        self.admit_in_block(ends_block(&statement.kind))?;
        let answer = self.carry_out(statement, call).await;
        if answer.is_err() {
            self.fail_transaction();
        }
        answer
    }

    async fn carry_out(
        &mut self,
        statement: &Statement,
        call: Call<'_>,
    ) -> Result<Answer, AnalyzeError> {
        match &statement.kind {
            StatementKind::Set { key, value } => {
                self.set(key, Some(value), false)?;
                Ok(Answer::Done("SET".into()))
            }
            StatementKind::Subscribe(subscribe) => {
                self.subscribe(subscribe).await.map(Answer::Changes)
            }
            StatementKind::Connection(connection) => self.connection(connection),
            StatementKind::CreateView(view) => {
                // A view that cannot be planned now is a mistake now.
                let query = ast::Statement::Query(view.query.clone());
                self.plan_with(&self.state()?, &query, call.dialect, &[]).await?;
                self.change(statement, call).await
            }
            _ => match self.read(statement, call).await? {
                Some(rows) => Ok(Answer::Rows(rows)),
                None => self.change(statement, call).await,
            },
        }
    }

    /// Answers a statement that changes nothing; `None` for one that does.
    async fn read(
        &self,
        statement: &Statement,
        call: Call<'_>,
    ) -> Result<Option<Rows>, AnalyzeError> {
        Ok(Some(match &statement.kind {
            StatementKind::Other(query) if matches!(**query, ast::Statement::Query(_)) => {
                let state = self.state()?;
                let plan = self.plan_with(&state, query, call.dialect, call.parameters).await?;
                self.rows(state, plan).await?
            }
            StatementKind::Other(other) => return Err(not_supported(&other.to_string())),
            StatementKind::Explain { analyze, statement } => {
                self.explain(statement, *analyze, call).await?
            }
            StatementKind::Show(kind) => self.show(*kind).await?,
            StatementKind::ShowCreate { kind: ObjectKind::Pipeline, name } => {
                self.show_create_pipeline(name)?
            }
            StatementKind::ShowCreate { name, .. } => self.show_create(name, call.dialect)?,
            StatementKind::Describe(name) => self.describe(name).await?,
            _ => return Ok(None),
        }))
    }

    /// The columns of a statement that is no query.
    pub(crate) async fn fixed_schema(
        &self,
        statement: &Statement,
        parameters: usize,
    ) -> Result<Option<SchemaRef>, AnalyzeError> {
        let nulls = vec![ScalarValue::Utf8(None); parameters];
        let call = Call { dialect: self.kept.dialect, parameters: &nulls };
        match &statement.kind {
            StatementKind::Connection(connection) => match &**connection {
                Connection::Show(name) => Ok(Some(self.show_setting(name)?.schema())),
                _ => Ok(None),
            },
            StatementKind::Subscribe(subscribe) => {
                Ok(Some(self.subscribe(subscribe).await?.schema()))
            }
            StatementKind::Set { .. } | StatementKind::CreateView(_) => Ok(None),
            _ => Ok(self.read(statement, call).await?.map(|rows| rows.schema())),
        }
    }

    async fn change(
        &mut self,
        statement: &Statement,
        call: Call<'_>,
    ) -> Result<Answer, AnalyzeError> {
        let what = statement.text.split_whitespace().next().unwrap_or_default().to_uppercase();
        self.admit_change(&what)?;
        if !call.parameters.is_empty() {
            return Err(AnalyzeError::user(format!("not supported: parameters in {what}")));
        }
        let pipeline_name = self.pipeline_name.as_deref();
        let asked = Asked { statement, dialect: call.dialect, pipeline_name };
        let tag = self.control()?.run(asked).await?;
        self.changed(&tag);
        // A name is for one pipeline. One that could not be made keeps it for the next attempt.
        if matches!(statement.kind, StatementKind::Insert(_)) {
            self.pipeline_name = None;
        }
        Ok(Answer::Done(tag))
    }

    fn control(&self) -> Result<&Arc<dyn Control>, AnalyzeError> {
        self.platform.parts().control.as_ref().ok_or_else(|| {
            AnalyzeError::user("there is no data folder to change")
                .hint("give --data-dir, or --url to ask a server")
        })
    }

    /// The engine's state for one execution.
    pub(crate) fn state(&self) -> Result<SessionState, AnalyzeError> {
        let mut state = self.platform.state();
        let options = state.config_mut().options_mut();
        options.execution.time_zone = Some(self.kept.time_zone.clone());
        // One snapshot of each lake table, however often the statement names it.
        state.config_mut().set_extension(self.snapshots());
        state.mark_start_execution();
        Ok(state)
    }

    async fn rows(&self, state: SessionState, plan: LogicalPlan) -> Result<Rows, AnalyzeError> {
        let permit = self.platform.admit()?;
        let plan = state.create_physical_plan(&plan).await?;
        let stream = execute_stream(plan, state.task_ctx())?;
        Ok(Rows { stream, _permit: Some(permit) })
    }

    async fn explain(
        &self,
        statement: &Statement,
        analyze: bool,
        call: Call<'_>,
    ) -> Result<Rows, AnalyzeError> {
        let query = match &statement.kind {
            StatementKind::Other(query) => query,
            StatementKind::Insert(_) | StatementKind::CreateMaterializedView(_) if analyze => {
                return Err(AnalyzeError::user(
                    "a pipeline does not end, so EXPLAIN cannot run it",
                )
                .hint("EXPLAIN without ANALYZE says how it would run"));
            }
            StatementKind::Insert(insert) => {
                let insert = PipelineStatement::Insert(insert.as_ref().clone());
                return self.explain_stream(&insert, call.dialect);
            }
            StatementKind::CreateMaterializedView(view) => {
                let view = PipelineStatement::View(view.as_ref().clone());
                return self.explain_stream(&view, call.dialect);
            }
            _ => {
                return Err(AnalyzeError::user(
                    "only queries, INSERT INTO and CREATE MATERIALIZED VIEW can be explained",
                ));
            }
        };
        let state = self.state()?;
        let plan = self.plan_with(&state, query, call.dialect, call.parameters).await?;
        let plan = LogicalPlanBuilder::from(plan).explain(false, analyze)?.build()?;
        self.rows(state, plan).await
    }

    fn explain_stream(
        &self,
        statement: &PipelineStatement,
        dialect: Dialect,
    ) -> Result<Rows, AnalyzeError> {
        let plan = self.control()?.explain(statement, dialect)?;
        let column = |text: String| Arc::new(StringArray::from(vec![text])) as ArrayRef;
        fixed(vec![("plan_type", column("pipeline".into())), ("plan", column(plan))])
    }

    async fn show(&self, kind: ObjectKind) -> Result<Rows, AnalyzeError> {
        let query = match kind {
            ObjectKind::Table => {
                "SELECT name, kind FROM sys.tables WHERE kind NOT LIKE '%view' ORDER BY name"
            }
            ObjectKind::View => "SELECT name FROM sys.tables WHERE kind = 'view' ORDER BY name",
            ObjectKind::MaterializedView => {
                "SELECT name, state, reason FROM sys.pipelines \
                 JOIN (SELECT name AS view_name FROM sys.tables \
                       WHERE kind = 'materialized view') AS views ON view_name = name ORDER BY name"
            }
            ObjectKind::Pipeline => {
                "SELECT name, kind, target, state, lag, lag_seconds, reason FROM sys.pipelines \
                 ORDER BY name"
            }
        };
        let statements = parse_script(query, Dialect::Postgres)?;
        let Some(StatementKind::Other(query)) = statements.first().map(|first| &first.kind) else {
            return Err(AnalyzeError::bug("a query of ours is no query"));
        };
        let state = self.state()?;
        let query = query.as_ref().clone();
        let plan = tables::plan(&self.platform, &state, query, Dialect::Postgres, 0).await?;
        self.rows(state, plan).await
    }

    fn show_create(&self, name: &str, dialect: Dialect) -> Result<Rows, AnalyzeError> {
        let catalogue = self.platform.parts().catalogue.as_ref();
        let relation = match catalogue {
            Some(catalogue) => catalogue
                .resolve(name, dialect)
                .map_err(|error| AnalyzeError::user(error.to_string()))?,
            None => None,
        };
        let Some(relation) = relation else {
            let names = tables::public_names(&self.platform);
            return Err(AnalyzeError::user(format!("table \"{name}\" does not exist"))
                .did_you_mean(name, names.iter().map(String::as_str)));
        };
        fixed(vec![("sql", Arc::new(StringArray::from(vec![relation.sql()])) as ArrayRef)])
    }

    fn show_create_pipeline(&self, name: &str) -> Result<Rows, AnalyzeError> {
        let catalogue = self.platform.parts().catalogue.as_ref();
        let pipelines = catalogue.map(|catalogue| catalogue.pipelines()).unwrap_or_default();
        let Some(pipeline) = pipelines.iter().find(|pipeline| pipeline.name == name) else {
            return Err(AnalyzeError::user(format!("pipeline \"{name}\" does not exist"))
                .did_you_mean(name, pipelines.iter().map(|pipeline| pipeline.name.as_str())));
        };
        fixed(vec![("sql", Arc::new(StringArray::from(vec![pipeline.sql.as_str()])) as ArrayRef)])
    }

    async fn subscribe(&self, subscribe: &Subscribe) -> Result<Changes, AnalyzeError> {
        let Subscribed::View(name) = &subscribe.to else {
            return Err(AnalyzeError::user("not supported: SUBSCRIBE to a query")
                .hint("CREATE MATERIALIZED VIEW name AS ..., and SUBSCRIBE to that"));
        };
        let control = self.control()?;
        let view = match &self.platform.parts().catalogue {
            Some(catalogue) => self.followable(catalogue, name)?,
            None => name.clone(),
        };
        let stream = control.subscribe(&view, subscribe.after.as_deref()).await?;
        Ok(Changes::new(stream, subscribe.limit))
    }

    /// The materialized view that is meant by a name.
    fn followable(&self, catalogue: &Catalogue, name: &str) -> Result<String, AnalyzeError> {
        let found = catalogue.resolve(name, self.kept.dialect);
        match found.map_err(|error| AnalyzeError::user(error.to_string()))? {
            Some(found) if found.kind() == ObjectKind::MaterializedView => {
                Ok(found.name().to_string())
            }
            Some(found) => {
                let kind = found.kind().name();
                Err(AnalyzeError::user(format!(
                    "\"{name}\" is a {kind}, and only materialized views tell their changes"
                ))
                .hint("CREATE MATERIALIZED VIEW name AS SELECT ..., and SUBSCRIBE to that"))
            }
            None => {
                let views = catalogue.relations();
                let views = views.iter().filter(|one| one.kind() == ObjectKind::MaterializedView);
                let missing = format!("materialized view \"{name}\" does not exist");
                Err(AnalyzeError::user(missing).did_you_mean(name, views.map(|one| one.name())))
            }
        }
    }

    async fn describe(&self, name: &str) -> Result<Rows, AnalyzeError> {
        let schema: SchemaRef = tables::schema_of(&self.platform, &self.state()?, name).await?;
        let types = schema.fields().iter().map(|field| tradewind_sql::type_name(field.data_type()));
        let nullable = schema.fields().iter().map(|field| Some(field.is_nullable()));
        fixed(vec![
            ("column", Arc::new(StringArray::from_iter_values(names_of(&schema))) as ArrayRef),
            ("type", Arc::new(StringArray::from_iter_values(types))),
            ("nullable", Arc::new(BooleanArray::from_iter(nullable))),
        ])
    }
}

fn names_of(schema: &Schema) -> impl Iterator<Item = &String> {
    schema.fields().iter().map(|field| field.name())
}

/// That a statement is read and not carried out.
pub(crate) fn not_supported(text: &str) -> AnalyzeError {
    let word = text.split_whitespace().next().unwrap_or_default();
    AnalyzeError::user(format!("not supported: {word}")).class(ErrorClass::NotSupported)
}

/// An answer that is at hand.
pub(crate) fn fixed(columns: Vec<(&str, ArrayRef)>) -> Result<Rows, AnalyzeError> {
    let batch = RecordBatch::try_from_iter(columns)
        .map_err(|error| AnalyzeError::bug(error.to_string()))?;
    let schema = batch.schema();
    let stream = RecordBatchStreamAdapter::new(schema, stream::iter([Ok(batch)]));
    Ok(Rows { stream: Box::pin(stream), _permit: None })
}
