//! `CREATE [TEMPORARY] TABLE … AS SELECT`.
//!
//! Guarantees: the rows are committed into a folder nobody knows before the catalogue has the
//! table, so it is there with all its rows or not at all; what a crash leaves of it is removed at
//! the next start. Columns are those of the query in types a table can have.
//! Left out: queries that read streams: those are pipelines or materialized views.

use super::insert::{stream_of, write};
use super::target::{Store, Target};
use super::temporary::Temporary;
use crate::error::AnalyzeError;
use crate::session::{Call, Session};
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast;
use std::pin::pin;
use std::sync::Arc;
use tradewind_lake::{Lake, TableSpec};
use tradewind_sql::{
    CatalogueError, CreateTable, CreateTableAs, Dialect, StatementKind, parse_script, split_key,
    type_name,
};

/// Most digits of a `DECIMAL`.
const DECIMAL_DIGITS_MAX: u8 = 38;

impl Session {
    pub(crate) async fn create_table_as(
        &mut self,
        create: &CreateTableAs,
        call: Call<'_>,
    ) -> Result<String, AnalyzeError> {
        if create.temporary {
            return self.create_temporary_as(create, call).await;
        }
        self.check_changes()?;
        let parts = self.platform().parts();
        let (Some(catalogue), Some(lake)) = (parts.catalogue.clone(), parts.lake.clone()) else {
            return Err(AnalyzeError::user("there is no data folder to change"));
        };
        let streams = catalogue.streams_of(&create.query, call.dialect);
        refuse_streams(&streams)?;
        let flags = (create.if_not_exists, create.or_replace);
        let reserved = catalogue.reserve(&create.name, flags, |folder| !lake.is_free(folder));
        let Some(reservation) = reserved.map_err(of_catalogue)? else {
            return Ok("CREATE TABLE AS".into());
        };
        let query = ast::Statement::Query(create.query.clone());
        let state = self.state()?;
        let plan = self.plan_with(&state, &query, call.dialect, call.parameters).await?;
        let schema = table_schema(plan.schema().as_arrow(), &create.columns)?;
        let table = definition(create, &schema)?;
        let spec = TableSpec {
            name: reservation.folder().to_string(),
            schema,
            partition_columns: create.partitioned_by.clone(),
        };
        let made = lake.create_unsettled(&spec).await;
        let mut unfinished = Unfinished { lake: lake.clone(), folder: Some(spec.name.clone()) };
        let target = Target::all(&create.name, Store::Lake(made?));
        let rows = self.fill(create, &target, state, plan).await?;
        if let Some(old) = reservation.replaces() {
            lake.unsettle(old).await?;
        }
        catalogue.create_reserved(&reservation, &table).map_err(of_catalogue)?;
        unfinished.folder = None;
        finish(&lake, &spec.name, reservation.replaces()).await;
        Ok(format!("SELECT {rows}"))
    }

    /// Writes the query's rows, where they are wanted.
    async fn fill(
        &self,
        create: &CreateTableAs,
        target: &Target,
        state: SessionState,
        plan: LogicalPlan,
    ) -> Result<u64, AnalyzeError> {
        if create.empty {
            return Ok(0);
        }
        let mut rows = self.rows(state, plan).await?;
        write(target, pin!(stream_of(&mut rows)), |_| true).await
    }

    async fn create_temporary_as(
        &mut self,
        create: &CreateTableAs,
        call: Call<'_>,
    ) -> Result<String, AnalyzeError> {
        let (state, query) = (self.state()?, ast::Statement::Query(create.query.clone()));
        let plan = self.plan_with(&state, &query, call.dialect, call.parameters).await?;
        let schema = table_schema(plan.schema().as_arrow(), &create.columns)?;
        let Some(table) = self.new_temporary(&create.name, schema, create.if_not_exists)? else {
            return Ok("CREATE TABLE AS".into());
        };
        let table = Arc::new(table);
        let target = Target::all(&create.name, Store::Temporary(Arc::clone(&table)));
        let rows = self.fill(create, &target, state, plan).await?;
        drop(target);
        self.temporaries().insert(&create.name, table)?;
        Ok(format!("SELECT {rows}"))
    }

    /// `CREATE TEMPORARY TABLE name (columns)`
    pub(crate) fn create_temporary(&self, create: &CreateTable) -> Result<String, AnalyzeError> {
        let (name, schema) = (&create.definition.name, create.definition.schema());
        if let Some(table) = self.new_temporary(name, schema, create.if_not_exists)? {
            self.temporaries().insert(name, Arc::new(table))?;
        }
        Ok("CREATE TABLE".into())
    }

    fn new_temporary(
        &self,
        name: &str,
        schema: SchemaRef,
        if_not_exists: bool,
    ) -> Result<Option<Temporary>, AnalyzeError> {
        if name.contains('.') {
            return Err(
                AnalyzeError::user("temporary tables are in no schema").hint("leave it out")
            );
        }
        match self.temporaries().get(name) {
            Some(_) if if_not_exists => Ok(None),
            Some(_) => {
                let message = format!("temporary table \"{name}\" exists already");
                Err(AnalyzeError::user(message))
            }
            None => {
                let pool = self.platform().memory_pool();
                Ok(Some(Temporary::new(name, schema, &pool)))
            }
        }
    }
}

fn refuse_streams(streams: &[String]) -> Result<(), AnalyzeError> {
    match streams.first() {
        None => Ok(()),
        Some(stream) => Err(AnalyzeError::user(format!(
            "\"{stream}\" has no end, and a table made of it would"
        ))
        .hint(
            "CREATE TABLE with its columns and INSERT INTO … SELECT is a pipeline; \
             CREATE MATERIALIZED VIEW keeps an answer",
        )),
    }
}

pub(crate) fn of_catalogue(error: CatalogueError) -> AnalyzeError {
    match error {
        CatalogueError::Storage { .. } | CatalogueError::BeingMade { .. } => {
            AnalyzeError::environment(error.to_string())
        }
        error => AnalyzeError::user(error.to_string()),
    }
}

/// The catalogue has the table: what is left is tidying up, which the next start would do too.
async fn finish(lake: &Lake, folder: &str, old: Option<&str>) {
    let mut done = lake.settle(folder).await;
    if let Some(old) = old {
        let dropped = match lake.drop_table(old).await {
            Ok(()) => lake.settle(old).await,
            Err(error) => Err(error),
        };
        done = done.and(dropped);
    }
    if let Err(error) = done {
        tracing::warn!(table = folder, %error, "left for the next start to tidy up");
    }
}

/// A table that nobody names yet; it goes when its statement does not end.
struct Unfinished {
    lake: Lake,
    folder: Option<String>,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        let (Some(folder), lake) = (self.folder.take(), self.lake.clone()) else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            let dropped = match lake.drop_table(&folder).await {
                Ok(()) => lake.settle(&folder).await,
                Err(error) => Err(error),
            };
            if let Err(error) = dropped {
                tracing::warn!(table = folder, %error, "left for the next start to remove");
            }
        });
    }
}

/// The columns of a table made of a query: all of them may be null.
fn table_schema(query: &Schema, names: &[String]) -> Result<SchemaRef, AnalyzeError> {
    if !names.is_empty() && names.len() != query.fields().len() {
        return Err(AnalyzeError::user(format!(
            "{} columns are named and the query has {}",
            names.len(),
            query.fields().len()
        )));
    }
    let mut fields: Vec<Field> = Vec::with_capacity(query.fields().len());
    for (index, field) in query.fields().iter().enumerate() {
        let name = names.get(index).unwrap_or(field.name());
        let Some(kept) = kept_type(field.data_type()) else {
            return Err(AnalyzeError::user(format!(
                "column \"{name}\" has type {}, which a table cannot have",
                type_name(field.data_type())
            ))
            .hint("CAST(… AS STRING) keeps it as text"));
        };
        if name.contains(['(', ')', ' ', ',']) {
            return Err(AnalyzeError::user(format!("column \"{name}\" needs a name of its own"))
                .hint("… AS name"));
        }
        if fields.iter().any(|other| other.name().eq_ignore_ascii_case(name)) {
            return Err(AnalyzeError::user(format!("two columns are named \"{name}\""))
                .hint("give one another name: … AS name"));
        }
        fields.push(Field::new(name, kept, true));
    }
    Ok(Arc::new(Schema::new(fields)))
}

/// The type a table keeps values of a query's in.
fn kept_type(given: &DataType) -> Option<DataType> {
    Some(match given {
        DataType::Null | DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            DataType::Utf8
        }
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => DataType::Binary,
        DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 | DataType::UInt64 => DataType::Int64,
        DataType::Float16 => DataType::Float32,
        DataType::Date64 => DataType::Date32,
        DataType::Boolean
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Float32
        | DataType::Float64
        | DataType::Date32 => given.clone(),
        DataType::Timestamp(_, zone) => {
            DataType::Timestamp(TimeUnit::Microsecond, zone.as_ref().map(|_| "UTC".into()))
        }
        DataType::Decimal128(precision, scale) if *scale >= 0 => {
            DataType::Decimal128(*precision, *scale)
        }
        DataType::Decimal256(_, scale) if *scale >= 0 => {
            DataType::Decimal128(DECIMAL_DIGITS_MAX, *scale)
        }
        DataType::Dictionary(_, value) => kept_type(value)?,
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            DataType::new_list(kept_type(item.data_type())?, true)
        }
        DataType::Struct(fields) => {
            let kept: Option<Fields> = fields
                .iter()
                .map(|field| Some(Field::new(field.name(), kept_type(field.data_type())?, true)))
                .collect();
            DataType::Struct(kept?)
        }
        _ => return None,
    })
}

/// The table as a `CREATE TABLE` of its columns, which the catalogue keeps.
fn definition(create: &CreateTableAs, schema: &Schema) -> Result<CreateTable, AnalyzeError> {
    let quoted = |name: &str| format!("`{}`", name.replace('`', "``"));
    let columns = schema.fields().iter();
    let columns =
        columns.map(|field| format!("{} {}", quoted(field.name()), type_name(field.data_type())));
    let name = match create.name.contains('.') {
        true => {
            let (schema, name) = split_key(&create.name);
            format!("{}.{}", quoted(schema), quoted(name))
        }
        false => quoted(&create.name),
    };
    let partitioned = match create.partitioned_by.as_slice() {
        [] => String::new(),
        columns => {
            let columns: Vec<String> = columns.iter().map(|column| quoted(column)).collect();
            format!(" PARTITIONED BY ({})", columns.join(", "))
        }
    };
    let columns = columns.collect::<Vec<_>>().join(", ");
    let sql = format!("CREATE TABLE {name} ({columns}){partitioned} WITH ('connector' = 'delta')");
    match parse_script(&sql, Dialect::Flink)?.pop().map(|statement| statement.kind) {
        Some(StatementKind::CreateTable(table)) => Ok(*table),
        _ => Err(AnalyzeError::bug(format!("no CREATE TABLE: {sql}"))),
    }
}
