//! A query's answer over all rows at once, by DataFusion's batch engine.
//!
//! Guarantees: the text is planned as it is for a stream; only windows and arrays are taken apart
//! here, row by row, and everything else is DataFusion's.
//! Left out: watermarks, and with them late rows; memory: everything is held at once. Tests hold
//! streams against it.

use super::context::{PlanContext, StreamTable};
use super::stream_plan::{Read, SourcePlan};
use super::unnest::UnnestNode;
use super::window::WindowTvf;
use super::{PlanOptions, errors, event_time, logical, placed, unnest, window};
use crate::ProcessError;
use crate::stream::source::{ReadColumn, ReadFrom, SourceEnvironment, open_source};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, TimestampMicrosecondArray, UInt32Array};
use arrow::compute::{concat_batches, is_null, nullif, take};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimestampMicrosecondType};
use datafusion::catalog::default_table_source::provider_as_source;
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::common::{DFSchema, DataFusionError, Result};
use datafusion::datasource::MemTable;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::expr::Alias;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, TableScan};
use datafusion::physical_plan::collect;
use datafusion::prelude::SessionConfig;
use datafusion::sql::sqlparser::ast;
use std::collections::HashMap;
use std::sync::Arc;
use tradewind_sql::{Catalogue, TableDefinition};
use tradewind_types::SourceError;

/// Rows read in one go.
const ROWS: usize = 1 << 16;
/// The last millisecond of a window is its time.
const MILLISECOND_US: i64 = 1_000;

/// Answers a query over all there is in its tables, which must end.
///
/// # Errors
/// The query means nothing or fails; a record cannot be read.
pub async fn answer(
    query: &ast::Query,
    options: impl Into<PlanOptions>,
    catalogue: &Catalogue,
    environment: &SourceEnvironment,
) -> std::result::Result<RecordBatch, ProcessError> {
    let options = options.into();
    let plan = placed(logical(query, &PlanContext::new(catalogue, options)), query)?;
    let schema: SchemaRef = Arc::new(Schema::new(plan.schema().fields().clone()));
    let tables = read_tables(&plan, environment).await?;
    let run = async {
        let plan = over_rows(plan, &tables)?;
        let state = session();
        let plan = taken_apart(plan, &state).await?;
        execute(&plan, &state, schema).await
    };
    run.await.map_err(|error| errors::from(&error).into())
}

fn session() -> SessionState {
    let mut config = SessionConfig::new().with_target_partitions(1);
    // Fields say the digits of their times; where rows came from they need not.
    config.options_mut().execution.skip_physical_aggregate_schema_check = true;
    SessionStateBuilder::new().with_config(config).with_default_features().build()
}

async fn execute(
    plan: &LogicalPlan,
    state: &SessionState,
    schema: SchemaRef,
) -> Result<RecordBatch> {
    let physical = state.create_physical_plan(plan).await?;
    let batches = collect(physical, state.task_ctx()).await?;
    let nullable = schema.fields().iter().map(|field| Field::clone(field).with_nullable(true));
    let schema = Arc::new(Schema::new(nullable.collect::<Vec<_>>()));
    let batches = batches.into_iter().map(|batch| {
        RecordBatch::try_new(schema.clone(), batch.columns().to_vec()).map_err(Into::into)
    });
    Ok(concat_batches(&schema, &batches.collect::<Result<Vec<_>>>()?)?)
}

/// Reads every table of a plan to its end.
async fn read_tables(
    plan: &LogicalPlan,
    environment: &SourceEnvironment,
) -> std::result::Result<HashMap<String, RecordBatch>, ProcessError> {
    let mut definitions: HashMap<String, TableDefinition> = HashMap::new();
    let visited = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Some(table) = scan.source.downcast_ref::<StreamTable>()
        {
            let definition = &table.definition;
            definitions.insert(definition.name.clone(), definition.clone());
        }
        Ok(TreeNodeRecursion::Continue)
    });
    visited.map_err(|error| errors::from(&error))?;
    let mut tables = HashMap::new();
    for (name, definition) in definitions {
        let schema = super::context::precise(&definition);
        let rows = read_table(definition, schema, environment).await?;
        tables.insert(name, rows);
    }
    Ok(tables)
}

async fn read_table(
    definition: TableDefinition,
    schema: SchemaRef,
    environment: &SourceEnvironment,
) -> std::result::Result<RecordBatch, ProcessError> {
    let failed = |reason: String| {
        ProcessError::from(SourceError::Decode { source_name: definition.name.clone(), reason })
    };
    let column = |field: &Arc<Field>| {
        let from = ReadFrom::of(&definition, field.name())?;
        Ok(ReadColumn { field: field.clone(), from })
    };
    let columns: std::result::Result<Vec<_>, String> = schema.fields().iter().map(column).collect();
    let read = Read { columns: columns.map_err(failed)?, prefilters: Vec::new() };
    let plan = SourcePlan { definition: definition.clone(), read, has_watermark: false };
    let mut source = open_source(environment, &plan, true).await?;
    let mut batches = Vec::new();
    while !source.ended() {
        for taken in source.poll(ROWS).await? {
            if let Some(letter) = taken.rejected.first() {
                return Err(failed(letter.reason.clone()));
            }
            let columns = taken.batch.columns()[..schema.fields().len()].to_vec();
            let batch = RecordBatch::try_new(schema.clone(), columns);
            batches.push(batch.map_err(|error| failed(error.to_string()))?);
        }
    }
    concat_batches(&schema, &batches).map_err(|error| failed(error.to_string()))
}

/// The plan over rows at hand. Without watermarks.
fn over_rows(plan: LogicalPlan, tables: &HashMap<String, RecordBatch>) -> Result<LogicalPlan> {
    let changed = plan.transform_up_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = &node
            && let Some(table) = scan.source.downcast_ref::<StreamTable>()
        {
            let rows = tables[&table.definition.name].clone();
            let rows = MemTable::try_new(rows.schema(), vec![vec![rows]])?;
            let source = provider_as_source(Arc::new(rows));
            return Ok(Transformed::yes(LogicalPlan::TableScan(TableScan {
                source,
                ..scan.clone()
            })));
        }
        match event_time::of(&node) {
            Some(found) => {
                let columns = found.columns().columns().into_iter().map(Expr::Column);
                let plan = LogicalPlanBuilder::from(found.input.clone()).project(columns)?;
                plan.build().map(Transformed::yes)
            }
            None => Ok(Transformed::no(node)),
        }
    });
    Ok(changed?.data)
}

/// One of the nodes that DataFusion does not know.
enum Ours {
    Unnest(UnnestNode),
    Window(WindowTvf),
}

impl Ours {
    fn of(plan: &LogicalPlan) -> Option<Self> {
        let unnest = unnest::of(plan).cloned().map(Self::Unnest);
        unnest.or_else(|| window::of(plan).cloned().map(Self::Window))
    }
}

/// Puts the rows of every window and array in its place, the innermost first.
async fn taken_apart(mut plan: LogicalPlan, state: &SessionState) -> Result<LogicalPlan> {
    loop {
        let mut found = None;
        plan.apply_with_subqueries(|node| {
            if Ours::of(node).is_some() {
                // The last one met has none below it.
                found = Some(node.clone());
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        let Some(node) = found else { return Ok(plan) };
        let rows = match Ours::of(&node) {
            Some(Ours::Unnest(unnest)) => elements(&unnest, state).await?,
            Some(Ours::Window(window)) => windows(&window, state).await?,
            None => return Ok(plan),
        };
        let rows = scan(rows, node.schema())?;
        let changed = plan.transform_down_with_subqueries(|part| match part == node {
            true => Ok(Transformed::yes(rows.clone())),
            false => Ok(Transformed::no(part)),
        });
        plan = changed?.data;
    }
}

/// Rows under a plan's names.
fn scan(columns: Vec<ArrayRef>, schema: &DFSchema) -> Result<LogicalPlan> {
    let fields = schema.fields().iter().enumerate();
    let fields = fields.map(|(index, field)| {
        Field::clone(field).with_name(format!("c{index}")).with_nullable(true)
    });
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields.collect::<Vec<_>>())), columns)?;
    let table = Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]])?);
    let rows = LogicalPlanBuilder::scan("rows", provider_as_source(table), None)?.build()?;
    let named = rows.schema().columns().into_iter().zip(schema.iter());
    let named = named.map(|(column, (qualifier, field))| {
        Expr::Alias(Alias::new(Expr::Column(column), qualifier.cloned(), field.name()))
    });
    let named: Vec<Expr> = named.collect();
    LogicalPlanBuilder::from(rows).project(named)?.build()
}

/// The rows of a plan, and of one more column.
async fn rows_with(
    input: &LogicalPlan,
    more: Expr,
    state: &SessionState,
) -> Result<(Vec<ArrayRef>, ArrayRef)> {
    let mut all: Vec<Expr> = input.schema().columns().into_iter().map(Expr::Column).collect();
    all.push(more.alias("one more"));
    let plan = LogicalPlanBuilder::from(input.clone()).project(all)?.build()?;
    let schema = Arc::new(plan.schema().as_arrow().clone());
    let rows = execute(&plan, state, schema).await?;
    let mut columns = rows.columns().to_vec();
    match columns.pop() {
        Some(last) => Ok((columns, last)),
        None => datafusion::common::internal_err!("a projection lost its columns"),
    }
}

async fn elements(node: &UnnestNode, state: &SessionState) -> Result<Vec<ArrayRef>> {
    let (columns, array) = rows_with(&node.input, node.array.clone(), state).await?;
    let lists = array.as_list::<i32>();
    let (mut rows, mut places) = (Vec::new(), Vec::new());
    for row in 0..lists.len() {
        let length = if lists.is_null(row) { 0 } else { lists.value_length(row) as u32 };
        let begin = lists.value_offsets()[row] as u32;
        for place in begin..begin + length {
            rows.push(row as u32);
            places.push(Some(place));
        }
        if length == 0 && node.outer {
            rows.push(row as u32);
            places.push(None);
        }
    }
    let (rows, places) = (UInt32Array::from(rows), UInt32Array::from(places));
    let mut found = Vec::new();
    for column in &columns {
        found.push(take(column, &rows, None)?);
    }
    let fields: Vec<ArrayRef> = match lists.values().as_struct_opt() {
        Some(fields) => {
            let missing = is_null(fields)?;
            let fields = fields.columns().iter().map(|field| nullif(field, &missing));
            fields.collect::<std::result::Result<_, _>>()?
        }
        None => vec![lists.values().clone()],
    };
    for field in &fields {
        found.push(take(field, &places, None)?);
    }
    Ok(found)
}

async fn windows(node: &WindowTvf, state: &SessionState) -> Result<Vec<ArrayRef>> {
    let (columns, times) = rows_with(&node.input, node.time.clone(), state).await?;
    let spec = node.spec;
    let times = times.as_primitive::<TimestampMicrosecondType>();
    let (mut rows, mut starts) = (Vec::new(), Vec::new());
    for row in 0..times.len() {
        if times.is_null(row) {
            let message = "a row without an event time is in no window";
            return Err(DataFusionError::Execution(message.into()));
        }
        let local = spec.local(times.value(row));
        let mut start = local - (local - spec.offset_us).rem_euclid(spec.slide_us);
        while start + spec.size_us > local {
            rows.push(row as u32);
            starts.push(start);
            start -= spec.slide_us;
        }
    }
    let rows = UInt32Array::from(rows);
    let mut found = Vec::new();
    for column in &columns {
        found.push(take(column, &rows, None)?);
    }
    let ends: Vec<i64> = starts.iter().map(|start| start + spec.size_us).collect();
    let last = ends.iter().map(|end| match spec.zone {
        Some(_) => spec.instant(*end) - MILLISECOND_US,
        None => end - MILLISECOND_US,
    });
    let last = TimestampMicrosecondArray::from_iter_values(last);
    let zone = match times.data_type() {
        DataType::Timestamp(_, zone) => zone.clone(),
        _ => None,
    };
    found.push(Arc::new(TimestampMicrosecondArray::from(starts)));
    found.push(Arc::new(TimestampMicrosecondArray::from(ends)));
    found.push(Arc::new(last.with_timezone_opt(zone)));
    Ok(found)
}
