//! A query's columns to the target's.
//!
//! Guarantees: by name where the statement lists columns, else by place; a type is changed only
//! where no value can change its meaning, or a decimal is rounded half up; the rest is refused
//! with the `CAST` to write.
//! Left out: `NOT NULL`, which each row is checked for when it is written.

use super::{errors, refusal};
use crate::stream::source::ReadFrom;
use arrow::datatypes::{DataType, Field};
use datafusion::common::{DFSchema, ScalarValue, TableReference};
use datafusion::logical_expr::expr::Alias;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast, lit};
use tradewind_sql::{
    Catalogue, ColumnKind, Connector, Insert, SqlError, TableDefinition, did_you_mean, type_name,
};

/// What of a record beside key and value a query can give.
const WRITTEN_METADATA: [&str; 2] = ["headers", "timestamp"];

/// The table an insert writes.
pub(super) fn target(insert: &Insert, catalogue: &Catalogue) -> Result<TableDefinition, SqlError> {
    let Some(relation) = catalogue.relation(&insert.target) else {
        let relations = catalogue.relations();
        let names = relations.iter().map(|relation| relation.name());
        return Err(refusal(format!("table {:?} does not exist", insert.target))
            .maybe_hint(did_you_mean(&insert.target, names)));
    };
    match relation.table() {
        Some(table) => match &table.connector {
            Connector::Topic(_) => writable(table).map(|()| table.clone()),
            Connector::Socket(_) | Connector::Datagen(_) => Err(refusal(format!(
                "{:?} is read, and nothing can be written to it",
                insert.target
            ))
            .hint("CREATE TABLE … WITH ('connector' = 'delta')")),
            _ => Ok(table.clone()),
        },
        None => {
            Err(refusal(format!("{:?} is a view, and nothing can be written to it", insert.target)))
        }
    }
}

/// Whether every metadata column that is not `VIRTUAL` can be written.
fn writable(table: &TableDefinition) -> Result<(), SqlError> {
    for column in table.written() {
        let ColumnKind::Metadata { key, .. } = &column.kind else { continue };
        if !WRITTEN_METADATA.contains(&key.as_str()) {
            let (table, column) = (&table.name, &column.name);
            return Err(refusal(format!(
                "column {column:?} of {table:?} is metadata {key:?}, which is read and not written"
            ))
            .hint("declare it METADATA VIRTUAL"));
        }
        if let Err(reason) = ReadFrom::of(table, &column.name) {
            return Err(refusal(format!("column {:?} of {:?}: {reason}", column.name, table.name)));
        }
    }
    Ok(())
}

/// A name that two columns have.
pub(super) fn twice(schema: &DFSchema) -> Option<&str> {
    let mut names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    names.sort_unstable();
    names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
}

/// Puts a projection to the target's columns on top of a query.
pub(super) fn fit(
    query: LogicalPlan,
    insert: &Insert,
    target: &TableDefinition,
) -> Result<LogicalPlan, SqlError> {
    let places = places(&query, insert, target)?;
    let columns = query.schema().columns();
    let schema = target.written_schema();
    let mut expressions = Vec::new();
    for (field, place) in schema.fields().iter().zip(places) {
        let expression = match place {
            None => missing(field, &target.name)?,
            Some(place) => {
                let from = query.schema().field(place).data_type();
                let column = Expr::Column(columns[place].clone());
                convert(column, from, field)?
            }
        };
        let alias = Alias::new(expression, None::<TableReference>, field.name());
        expressions.push(Expr::Alias(alias));
    }
    LogicalPlanBuilder::from(query)
        .project(expressions)
        .and_then(LogicalPlanBuilder::build)
        .map_err(|error| errors::from(&error))
}

/// For each column of the target the query's column it takes.
fn places(
    query: &LogicalPlan,
    insert: &Insert,
    target: &TableDefinition,
) -> Result<Vec<Option<usize>>, SqlError> {
    let count = query.schema().fields().len();
    let schema = target.written_schema();
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    let listed: Vec<&str> = match insert.columns.is_empty() {
        true => names.clone(),
        false => insert.columns.iter().map(String::as_str).collect(),
    };
    if listed.len() != count {
        return Err(refusal(format!(
            "the query has {count} columns, {:?} takes {}",
            target.name,
            listed.len()
        ))
        .hint(format!("it takes {}", listed.join(", "))));
    }
    let mut places = vec![None; names.len()];
    for (place, column) in listed.iter().enumerate() {
        let Some(index) = names.iter().position(|name| name == column) else {
            return Err(refusal(format!("{:?} has no column {column:?}", target.name))
                .maybe_hint(did_you_mean(column, names.iter().copied())));
        };
        if places[index].replace(place).is_some() {
            return Err(refusal(format!("column {column:?} is written twice")));
        }
    }
    Ok(places)
}

fn missing(field: &Field, table: &str) -> Result<Expr, SqlError> {
    if !field.is_nullable() {
        return Err(refusal(format!(
            "column {:?} of {table:?} is NOT NULL and is not written",
            field.name()
        )));
    }
    let null = ScalarValue::try_from(field.data_type()).map_err(|error| errors::from(&error))?;
    Ok(lit(null))
}

fn convert(column: Expr, from: &DataType, to: &Field) -> Result<Expr, SqlError> {
    if from == to.data_type() {
        return Ok(column);
    }
    if is_implicit(from, to.data_type()) {
        return Ok(cast(column, to.data_type().clone()));
    }
    let (from, target) = (type_name(from), type_name(to.data_type()));
    Err(refusal(format!("column {:?} is {target}, the query gives {from}", to.name()))
        .hint(format!("CAST(… AS {target})")))
}

/// Whether a value keeps its meaning; a value that does not fit fails its row.
fn is_implicit(from: &DataType, to: &DataType) -> bool {
    use DataType::{
        Binary, BinaryView, Date32, Decimal128, Float32, Float64, Int8, Int16, Int32, Int64,
        LargeBinary, LargeUtf8, List, Null, Struct, Timestamp, Utf8, Utf8View,
    };
    match (from, to) {
        (Null, _) | (Utf8 | Utf8View | LargeUtf8, Utf8) => true,
        (Binary | BinaryView | LargeBinary, Binary) => true,
        (Int8, Int16 | Int32 | Int64) | (Int16, Int32 | Int64) | (Int32, Int64) => true,
        (Int8 | Int16 | Int32 | Int64 | Decimal128(..), Decimal128(..)) => true,
        (Int8 | Int16 | Int32 | Int64 | Decimal128(..) | Float32, Float64) => true,
        (Timestamp(..), Timestamp(..)) | (Date32, Timestamp(..)) => true,
        (List(from), List(to)) => {
            from.data_type() == to.data_type() || is_implicit(from.data_type(), to.data_type())
        }
        (Struct(from), Struct(to)) => {
            from.len() == to.len()
                && from.iter().zip(to).all(|(from, to)| {
                    from.name() == to.name()
                        && (from.data_type() == to.data_type()
                            || is_implicit(from.data_type(), to.data_type()))
                })
        }
        _ => false,
    }
}
