//! `INSERT INTO` a lake table of rows that have an end, and the rows of a `COPY`.
//!
//! Guarantees: an `INSERT` that reads a stream (a declared topic, a monitored folder, a socket, made-up
//! rows) is left to the engine; any other is one batch, answered when it is committed. Rows are
//! staged as they come: memory holds what a batch of the lake does.
//! Left out: `ON CONFLICT` and `RETURNING`, which the parser refuses.

use super::assign::Source;
use super::target::Target;
use crate::error::AnalyzeError;
use crate::session::{Call, Rows, Session};
use arrow::array::RecordBatch;
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use datafusion::sql::sqlparser::ast;
use futures::{Stream, StreamExt};
use std::pin::pin;
use std::sync::Arc;
use tradewind_lake::LakeError;
use tradewind_sql::{Dialect, Insert};

/// What became of an `INSERT`.
pub(crate) enum Inserted {
    /// Its rows are in the table.
    Rows(u64),
    /// It has no end: it is a pipeline.
    Endless,
}

impl From<LakeError> for AnalyzeError {
    fn from(error: LakeError) -> Self {
        match error.is_transient() {
            true => Self::environment(error.to_string()),
            false => Self::user(error.to_string()),
        }
    }
}

impl Session {
    /// Adds rows to a lake table as one batch: all of them, durably, or none. `columns` says which
    /// columns of the table they bring, in their order; none means all. Texts may go to columns of
    /// any type, as the cells of a file do.
    ///
    /// # Errors
    /// There is no such table or column, rows do not fit, the stream failed, the disk did.
    pub async fn insert_batches(
        &mut self,
        table: &str,
        columns: &[String],
        rows: impl Stream<Item = Result<RecordBatch, AnalyzeError>> + Send,
    ) -> Result<u64, AnalyzeError> {
        self.admit_in_block(false)?;
        let added = self.add_batches(table, columns, rows).await;
        match &added {
            Ok(rows) => self.note_change(&format!("COPY {rows}")),
            Err(_) => self.fail_transaction(),
        }
        added
    }

    async fn add_batches(
        &self,
        table: &str,
        columns: &[String],
        rows: impl Stream<Item = Result<RecordBatch, AnalyzeError>> + Send,
    ) -> Result<u64, AnalyzeError> {
        self.admit_change("COPY")?;
        if self.temporaries().get(table).is_none() {
            self.check_changes()?;
        }
        let target = Target::find(self, self.dialect(), table, columns)?;
        write(&target, pin!(rows), |_| true).await
    }

    /// The columns that [`Session::insert_batches`] fills with the same arguments, in their order
    /// and types.
    ///
    /// # Errors
    /// There is no such table or column.
    pub fn insert_fields(
        &self,
        table: &str,
        columns: &[String],
    ) -> Result<SchemaRef, AnalyzeError> {
        let target = Target::find(self, self.dialect(), table, columns)?;
        let fields: Vec<_> = target.fields().cloned().collect();
        Ok(Arc::new(Schema::new(fields)))
    }

    /// Carries out an `INSERT` whose rows have an end.
    pub(crate) async fn insert(
        &mut self,
        insert: &Insert,
        call: Call<'_>,
    ) -> Result<Inserted, AnalyzeError> {
        if !self.is_batch(insert, call.dialect)? {
            return Ok(Inserted::Endless);
        }
        if self.temporaries().get(&insert.target).is_none() {
            self.check_changes()?;
        }
        let target = Target::find(self, call.dialect, &insert.target, &insert.columns)?;
        let mut query = insert.query.clone();
        defaults_to_null(&mut query);
        texts_beside_others(&mut query);
        let untyped = untyped(&query);
        let state = self.state()?;
        let query = ast::Statement::Query(query);
        let plan = self.plan_with(&state, &query, call.dialect, call.parameters).await?;
        let mut rows = self.rows(state, plan).await?;
        let rows = pin!(stream_of(&mut rows));
        let inserted = write(&target, rows, |column| untyped.get(column) == Some(&true)).await?;
        Ok(Inserted::Rows(inserted))
    }

    /// Whether an `INSERT` is one batch: a lake table is written and no stream is read.
    pub(crate) fn is_batch(&self, insert: &Insert, dialect: Dialect) -> Result<bool, AnalyzeError> {
        if self.temporaries().get(&insert.target).is_some() {
            return Ok(true);
        }
        let parts = self.platform().parts();
        let Some(catalogue) = &parts.catalogue else {
            return Ok(parts
                .lake
                .as_ref()
                .is_some_and(|lake| lake.table(&insert.target).is_some()));
        };
        let user = |error: tradewind_sql::CatalogueError| AnalyzeError::user(error.to_string());
        let target = catalogue.resolve(&insert.target, dialect).map_err(user)?;
        if target.is_some_and(|target| !target.table().is_some_and(|table| table.is_lake())) {
            return Ok(false);
        }
        Ok(catalogue.streams_of(&insert.query, dialect).is_empty())
    }
}

pub(crate) fn stream_of(
    rows: &mut Rows,
) -> impl Stream<Item = Result<RecordBatch, AnalyzeError>> + '_ {
    futures::stream::unfold(rows, |rows| async move { Some((rows.next().await?, rows)) })
}

/// Stages rows as they come and commits them at the end.
pub(crate) async fn write(
    target: &Target,
    mut rows: impl Stream<Item = Result<RecordBatch, AnalyzeError>> + Send + Unpin,
    untyped: impl Fn(usize) -> bool,
) -> Result<u64, AnalyzeError> {
    let mut batch = target.batch();
    let mut assignment = None;
    while let Some(next) = rows.next().await {
        let next = next?;
        let assignment = match &mut assignment {
            Some(assignment) => assignment,
            None => {
                let fields = next.schema_ref().fields().iter().enumerate();
                let source = |(column, field): (usize, &FieldRef)| Source {
                    data_type: field.data_type().clone(),
                    untyped: untyped(column),
                };
                let sources: Vec<Source> = fields.map(source).collect();
                assignment.insert(target.assignment(&sources)?)
            }
        };
        batch.write(assignment.rows(&next)?).await?;
    }
    batch.commit().await
}

/// `DEFAULT` among `VALUES`: no column has another default than null.
fn defaults_to_null(query: &mut ast::Query) {
    let ast::SetExpr::Values(values) = query.body.as_mut() else { return };
    for value in values.rows.iter_mut().flat_map(|row| &mut row.content) {
        if matches!(value, ast::Expr::Identifier(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case("default"))
        {
            *value = ast::Expr::value(ast::Value::Null);
        }
    }
}

/// Where a column of `VALUES` has texts beside other values, those become texts too: a text has no
/// type of its own and the planner wants one for all.
fn texts_beside_others(query: &mut ast::Query) {
    let ast::SetExpr::Values(values) = query.body.as_mut() else { return };
    let columns = values.rows.first().map_or(0, |row| row.content.len());
    let is = |cell: &ast::Expr, wanted: fn(&ast::Value) -> bool| matches!(cell, ast::Expr::Value(value) if wanted(&value.value));
    let is_text =
        |cell: &ast::Expr| is(cell, |value| matches!(value, ast::Value::SingleQuotedString(_)));
    let is_null = |cell: &ast::Expr| is(cell, |value| *value == ast::Value::Null);
    for column in 0..columns {
        let mut cells = values.rows.iter().filter_map(|row| row.content.get(column));
        let texts = cells.clone().any(is_text);
        if !texts || cells.all(|cell| is_text(cell) || is_null(cell)) {
            continue;
        }
        for cell in values.rows.iter_mut().filter_map(|row| row.content.get_mut(column)) {
            if !is_text(cell) && !is_null(cell) {
                let expr = Box::new(std::mem::replace(cell, ast::Expr::value(ast::Value::Null)));
                let (kind, data_type) = (ast::CastKind::Cast, ast::DataType::Varchar(None));
                *cell = ast::Expr::Cast { kind, expr, data_type, array: false, format: None };
            }
        }
    }
}

/// Which of a query's columns are literals, whose texts have no type yet.
pub(crate) fn untyped(query: &ast::Query) -> Vec<bool> {
    match query.body.as_ref() {
        ast::SetExpr::Values(values) => {
            vec![true; values.rows.first().map_or(0, |row| row.content.len())]
        }
        ast::SetExpr::Select(select) => {
            let literal = |item: &ast::SelectItem| match item {
                ast::SelectItem::UnnamedExpr(value)
                | ast::SelectItem::ExprWithAlias { expr: value, .. } => {
                    matches!(value, ast::Expr::Value(_))
                }
                _ => false,
            };
            // A star stands for any number of columns: those behind it are not told.
            let star = |item: &&ast::SelectItem| {
                !matches!(
                    item,
                    ast::SelectItem::Wildcard(_) | ast::SelectItem::QualifiedWildcard(..)
                )
            };
            select.projection.iter().take_while(star).map(literal).collect()
        }
        ast::SetExpr::Query(inner) => untyped(inner),
        _ => Vec::new(),
    }
}
