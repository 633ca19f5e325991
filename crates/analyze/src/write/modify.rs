//! `DELETE`, `UPDATE` and `TRUNCATE` of lake tables.
//!
//! Guarantees: the statement sees the table as it was when it began, finds its rows with the same
//! planner as any query, and is one durable commit. A row that an `UPDATE … FROM` finds more than
//! once is changed once. Rows that wait in a pipeline's tail are never passed over in silence: the
//! statement is refused while there are such.
//! Left out: `RETURNING`; rows of topics and of temporary tables.

use super::assign::{Assignment, Source};
use super::insert::untyped;
use super::target::place_of;
use crate::error::AnalyzeError;
use crate::session::{Call, Rows, Session};
use crate::tables;
use arrow::array::RecordBatch;
use arrow::compute::filter_record_batch;
use arrow::datatypes::DataType;
use datafusion::catalog::TableProvider;
use datafusion::sql::sqlparser::ast;
use std::sync::Arc;
use tradewind_lake::{FILE_COLUMN, LakeError, LakeTable, ROW_COLUMN, Rewrite};
use tradewind_sql::{Dialect, StatementKind, parse_script, relation_key};
use tradewind_types::{OFFSET_COLUMN, PARTITION_COLUMN};

/// The table a statement changes, with the places of its rows.
#[derive(Debug)]
pub(crate) struct Placed {
    pub(crate) name: String,
    pub(crate) rows: Arc<dyn TableProvider>,
}

/// The table a statement names, and what it calls it.
struct Changed {
    /// As the catalogue has it.
    name: String,
    table: Arc<LakeTable>,
    /// The table in a `FROM`, as it was written.
    from: String,
    /// What its columns can be qualified with, quoted.
    alias: String,
}

/// A query with a statement's condition, and the types of the columns that parameters are assigned
/// to by themselves, by the parameters' texts.
pub(crate) type OfChange = (ast::Statement, Vec<(String, DataType)>);

impl Session {
    pub(crate) async fn delete(
        &mut self,
        delete: &ast::Delete,
        call: Call<'_>,
    ) -> Result<String, AnalyzeError> {
        let refused = [
            (delete.returning.is_some(), "RETURNING"),
            (delete.limit.is_some(), "LIMIT"),
            (!delete.order_by.is_empty(), "ORDER BY"),
            (!delete.tables.is_empty(), "several tables"),
        ];
        refuse("DELETE", &refused)?;
        let (ast::FromTable::WithFromKeyword(from) | ast::FromTable::WithoutKeyword(from)) =
            &delete.from;
        let changed = self.changed_table(from, call.dialect)?;
        let mut froms = vec![changed.from.clone()];
        froms.extend(delete.using.iter().flatten().map(ToString::to_string));
        let mut rewrite = begin(&changed.table).await?;
        let items = places(&changed.alias);
        let sql = select(&items, &froms, delete.selection.as_ref());
        let mut found = self.found(&changed, &rewrite, &sql, call).await?;
        let mut count = 0;
        while let Some(places) = found.next().await.transpose()? {
            count += rewrite.remove(&places).true_count();
        }
        drop(found);
        rewrite.commit().await?;
        Ok(format!("DELETE {count}"))
    }

    pub(crate) async fn update(
        &mut self,
        update: &ast::Update,
        call: Call<'_>,
    ) -> Result<String, AnalyzeError> {
        let refused = [
            (update.returning.is_some(), "RETURNING"),
            (update.limit.is_some(), "LIMIT"),
            (!update.order_by.is_empty(), "ORDER BY"),
        ];
        refuse("UPDATE", &refused)?;
        let changed = self.changed_table(std::slice::from_ref(&update.table), call.dialect)?;
        let mut froms = vec![changed.from.clone()];
        froms.extend(other_tables(update));
        let mut items = new_values(&changed, &update.assignments, call.dialect)?;
        let qualified = |column| format!("{}.{}", changed.alias, quoted(column, call.dialect));
        items.extend([PARTITION_COLUMN, OFFSET_COLUMN].map(qualified));
        items.extend(places(&changed.alias));
        let sql = select(&items, &froms, update.selection.as_ref());
        let literals = untyped(&query(&sql, call.dialect)?);
        let mut rewrite = begin(&changed.table).await?;
        let mut found = self.found(&changed, &rewrite, &sql, call).await?;
        let mut rows = NewRows::new(&changed, &literals);
        let mut count = 0;
        while let Some(batch) = found.next().await.transpose()? {
            // A row that is found again keeps what it got first.
            let batch = filter_record_batch(&batch, &rewrite.remove(&batch))
                .map_err(|error| AnalyzeError::bug(error.to_string()))?;
            count += batch.num_rows();
            rewrite.write(&rows.whole(&batch)?).await?;
        }
        drop(found);
        rewrite.commit().await?;
        Ok(format!("UPDATE {count}"))
    }

    pub(crate) async fn truncate(
        &mut self,
        name: &str,
        call: Call<'_>,
    ) -> Result<String, AnalyzeError> {
        self.check_changes()?;
        self.check_lasting(name)?;
        let (_, table) = tables::lake_table(self.platform(), call.dialect, name)?;
        let mut rewrite = begin(&table).await?;
        rewrite.remove_all();
        rewrite.commit().await?;
        Ok("TRUNCATE TABLE".into())
    }

    /// What tells the types of the parameters of a `DELETE` or `UPDATE`; `None` for any other
    /// statement.
    pub(crate) fn parameters_of_change(
        &self,
        statement: &ast::Statement,
    ) -> Result<Option<OfChange>, AnalyzeError> {
        let dialect = self.dialect();
        let (changed, others, condition, assignments) = match statement {
            ast::Statement::Delete(delete) => {
                let (ast::FromTable::WithFromKeyword(from) | ast::FromTable::WithoutKeyword(from)) =
                    &delete.from;
                let others = delete.using.iter().flatten().map(ToString::to_string).collect();
                (self.changed_table(from, dialect)?, others, &delete.selection, &[][..])
            }
            ast::Statement::Update(update) => {
                let table = std::slice::from_ref(&update.table);
                let others = other_tables(update);
                let assignments = update.assignments.as_slice();
                (self.changed_table(table, dialect)?, others, &update.selection, assignments)
            }
            _ => return Ok(None),
        };
        let mut types = Vec::new();
        for assignment in assignments {
            let (ast::AssignmentTarget::ColumnName(name), ast::Expr::Value(value)) =
                (&assignment.target, &assignment.value)
            else {
                continue;
            };
            let (ast::Value::Placeholder(parameter), Some(column)) =
                (&value.value, name.0.last().and_then(ast::ObjectNamePart::as_ident))
            else {
                continue;
            };
            let fields = changed.table.visible_schema().fields();
            let place = place_of(&changed.name, fields, &dialect.fold(column), dialect)?;
            types.push((parameter.clone(), fields[place].data_type().clone()));
        }
        let froms: Vec<String> = std::iter::once(changed.from).chain(others).collect();
        let sql = select(&["1".to_string()], &froms, condition.as_ref());
        Ok(Some((ast::Statement::Query(Box::new(query(&sql, dialect)?)), types)))
    }

    /// The table that is changed, which is named first.
    fn changed_table(
        &self,
        from: &[ast::TableWithJoins],
        dialect: Dialect,
    ) -> Result<Changed, AnalyzeError> {
        self.check_changes()?;
        let [ast::TableWithJoins { relation, joins }] = from else {
            return Err(AnalyzeError::user("one table is changed at a time"));
        };
        let ast::TableFactor::Table { name, alias, args: None, .. } = relation else {
            return Err(AnalyzeError::user("only tables have rows to change"));
        };
        if !joins.is_empty() {
            return Err(AnalyzeError::user("a join has no rows of its own to change")
                .hint("name the other table behind USING or FROM"));
        }
        let parts = name.0.iter().filter_map(ast::ObjectNamePart::as_ident);
        let parts: Vec<String> = parts.map(|part| dialect.fold(part)).collect();
        let last = parts.last().cloned().unwrap_or_default();
        let alias = match alias {
            Some(alias) => dialect.fold(&alias.name),
            None => last,
        };
        let key = relation_key(parts);
        self.check_lasting(&key)?;
        let (name, table) = tables::lake_table(self.platform(), dialect, &key)?;
        let from = relation.to_string();
        Ok(Changed { name, table, from, alias: quoted(&alias, dialect) })
    }

    fn check_lasting(&self, name: &str) -> Result<(), AnalyzeError> {
        match self.temporaries().get(name) {
            None => Ok(()),
            Some(_) => Err(AnalyzeError::user(format!(
                "the rows of temporary table \"{name}\" do not change"
            ))
            .hint("CREATE TEMPORARY TABLE … AS SELECT makes another of those you want")),
        }
    }

    /// The rows that are meant, with their places.
    async fn found(
        &self,
        changed: &Changed,
        rewrite: &Rewrite<'_>,
        sql: &str,
        call: Call<'_>,
    ) -> Result<Rows, AnalyzeError> {
        let mut state = self.state()?;
        let placed = Placed { name: changed.name.clone(), rows: rewrite.rows() };
        state.config_mut().set_extension(Arc::new(placed));
        let query = ast::Statement::Query(Box::new(query(sql, call.dialect)?));
        let plan = self.plan_with(&state, &query, call.dialect, call.parameters).await?;
        self.rows(state, plan).await
    }
}

/// For each column of the table what an `UPDATE` makes of it.
fn new_values(
    changed: &Changed,
    assignments: &[ast::Assignment],
    dialect: Dialect,
) -> Result<Vec<String>, AnalyzeError> {
    let fields = changed.table.visible_schema().fields();
    let column = |name: &String| format!("{}.{}", changed.alias, quoted(name, dialect));
    let mut values: Vec<String> = fields.iter().map(|field| column(field.name())).collect();
    let mut given = vec![false; values.len()];
    for assignment in assignments {
        let ast::AssignmentTarget::ColumnName(name) = &assignment.target else {
            return Err(AnalyzeError::user("not supported: SET of several columns at once")
                .hint("SET a = …, b = …"));
        };
        let last = name.0.last().and_then(ast::ObjectNamePart::as_ident);
        let name = last.map(|last| dialect.fold(last)).unwrap_or_default();
        let place = place_of(&changed.name, fields, &name, dialect)?;
        if std::mem::replace(&mut given[place], true) {
            return Err(AnalyzeError::user(format!("column \"{name}\" is set twice")));
        }
        values[place] = match &assignment.value {
            ast::Expr::Identifier(word)
                if word.quote_style.is_none() && word.value.eq_ignore_ascii_case("default") =>
            {
                "NULL".into()
            }
            value => value.to_string(),
        };
    }
    // Two columns may get the same value: the planner wants names that differ.
    let named = values.into_iter().enumerate();
    Ok(named
        .map(|(place, value)| format!("{value} AS {}", quoted(&format!("_new_{place}"), dialect)))
        .collect())
}

fn query(sql: &str, dialect: Dialect) -> Result<ast::Query, AnalyzeError> {
    let parsed = parse_script(sql, dialect)?.pop().map(|statement| statement.kind);
    match parsed {
        Some(StatementKind::Other(other)) => match *other {
            ast::Statement::Query(query) => Ok(*query),
            _ => Err(AnalyzeError::bug(format!("no query: {sql}"))),
        },
        _ => Err(AnalyzeError::bug(format!("no query: {sql}"))),
    }
}

fn quoted(name: &str, dialect: Dialect) -> String {
    match dialect {
        Dialect::Flink => format!("`{}`", name.replace('`', "``")),
        Dialect::Postgres => format!("\"{}\"", name.replace('"', "\"\"")),
    }
}

/// The tables behind `FROM`.
fn other_tables(update: &ast::Update) -> Vec<String> {
    match &update.from {
        Some(
            ast::UpdateTableFromKind::BeforeSet(from) | ast::UpdateTableFromKind::AfterSet(from),
        ) => from.iter().map(ToString::to_string).collect(),
        None => Vec::new(),
    }
}

fn refuse(verb: &str, clauses: &[(bool, &str)]) -> Result<(), AnalyzeError> {
    match clauses.iter().find(|(is_there, _)| *is_there) {
        Some((_, clause)) => {
            Err(AnalyzeError::user(format!("not supported: {verb} with {clause}")))
        }
        None => Ok(()),
    }
}

async fn begin(table: &Arc<LakeTable>) -> Result<Rewrite<'_>, AnalyzeError> {
    table.rewrite().await.map_err(|error| match error {
        LakeError::RowsInFlight { .. } => AnalyzeError::environment(error.to_string())
            .hint("ALTER PIPELINE name PAUSE commits them; RESUME it when the statement is done"),
        error => error.into(),
    })
}

fn places(alias: &str) -> Vec<String> {
    [FILE_COLUMN, ROW_COLUMN].map(|column| format!("{alias}.{column}")).to_vec()
}

fn select(items: &[String], froms: &[String], condition: Option<&ast::Expr>) -> String {
    let condition = condition.map(|condition| format!(" WHERE {condition}")).unwrap_or_default();
    format!("SELECT {} FROM {}{condition}", items.join(", "), froms.join(", "))
}

/// What an `UPDATE` finds as rows of the table.
struct NewRows {
    table: Arc<LakeTable>,
    name: String,
    literals: Vec<bool>,
    assignment: Option<Assignment>,
}

impl NewRows {
    fn new(changed: &Changed, literals: &[bool]) -> Self {
        let (table, name) = (Arc::clone(&changed.table), changed.name.clone());
        Self { table, name, literals: literals.to_vec(), assignment: None }
    }

    /// The visible columns as the table's, the hidden ones as they were.
    fn whole(&mut self, batch: &RecordBatch) -> Result<RecordBatch, AnalyzeError> {
        let visible = self.table.visible_schema().fields().len();
        if self.assignment.is_none() {
            let mut assignment = Assignment::new(&self.name, self.table.visible_schema());
            for (place, field) in batch.schema_ref().fields().iter().take(visible).enumerate() {
                let data_type = field.data_type().clone();
                let source = Source { data_type, untyped: self.literals.get(place) == Some(&true) };
                assignment.assign(place, place, &source)?;
            }
            self.assignment = Some(assignment);
        }
        let assignment = self.assignment.as_mut().expect("it was made just now");
        let rows = assignment.rows(batch)?;
        let hidden = [batch.column(visible).clone(), batch.column(visible + 1).clone()];
        let columns = rows.columns().iter().cloned().chain(hidden);
        RecordBatch::try_new(Arc::clone(self.table.schema()), columns.collect())
            .map_err(|error| AnalyzeError::bug(error.to_string()))
    }
}
