//! A question about the catalogue as a part of DataFusion's plans.
//!
//! Guarantees: it is carried out when the plan is, in a thread that may block; parameters are
//! DataFusion's placeholders until their values are known.
//! Left out: moving conditions into it. It is small.

use super::cast::shown;
use super::context::{Context, Identity, Row};
use super::query::Query;
use super::run;
use super::snapshot::Snapshot;
use super::types::Type;
use super::value::Value;
use crate::error::AnalyzeError;
use crate::platform::Platform;
use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Float32Array, Float64Array, Int16Array, Int32Array,
    Int64Array, ListArray, RecordBatch, RecordBatchOptions, StringArray, TimestampMicrosecondArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::{
    DFSchema, DFSchemaRef, DataFusionError, Result, ScalarValue, TableReference,
};
use datafusion::execution::context::QueryPlanner;
use datafusion::execution::session_state::SessionState;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::expr::Placeholder;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{
    Expr, Extension, LogicalPlan, UserDefinedLogicalNode, UserDefinedLogicalNodeCore,
};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner};
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use tradewind_types::{Clock, SystemClock};

/// What all executions of a question share. Each looks at the catalogue anew: when a question is
/// planned nothing is looked at, so that a view may ask one.
pub(super) struct Question {
    query: Query,
    platform: Platform,
    state: SessionState,
    identity: Arc<Identity>,
    parameter_types: Vec<Type>,
}

impl Question {
    pub(super) fn new(
        query: Query,
        platform: &Platform,
        state: &SessionState,
        parameter_types: Vec<Type>,
    ) -> Self {
        let identity = state.config().get_extension::<Identity>().unwrap_or_default();
        let (platform, state) = (platform.clone(), state.clone());
        Self { query, platform, state, identity, parameter_types }
    }

    fn types(&self) -> Vec<Type> {
        self.query.columns.iter().map(|column| column.ty).collect()
    }
}

/// A question in a logical plan.
#[derive(Clone)]
struct Asked {
    question: Arc<Question>,
    schema: DFSchemaRef,
    /// Placeholders, or the values in their places.
    parameters: Vec<Expr>,
}

/// The plan of a question.
pub(super) fn plan(question: Question) -> Result<LogicalPlan> {
    // Two columns may have one name, which DataFusion allows only of two relations.
    let columns = question.query.columns.iter().enumerate();
    let fields = columns.map(|(at, column)| {
        let of = TableReference::bare(format!("pg_catalog_{at}"));
        (Some(of), Arc::new(column.ty.field(&column.name)))
    });
    let schema = DFSchema::new_with_metadata(fields.collect(), Default::default())?;
    let parameters = question.parameter_types.iter().enumerate().map(|(at, ty)| {
        let field = ty.field(&format!("${}", at + 1));
        Expr::Placeholder(Placeholder::new_with_field(
            format!("${}", at + 1),
            Some(Arc::new(field)),
        ))
    });
    let parameters = parameters.collect();
    let node = Asked { question: Arc::new(question), schema: Arc::new(schema), parameters };
    Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
}

impl fmt::Debug for Asked {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        UserDefinedLogicalNodeCore::fmt_for_explain(self, to)
    }
}

impl PartialEq for Asked {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.question, &other.question) && self.parameters == other.parameters
    }
}

impl Eq for Asked {}

impl Hash for Asked {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.question).hash(state);
        self.parameters.hash(state);
    }
}

impl PartialOrd for Asked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl UserDefinedLogicalNodeCore for Asked {
    fn name(&self) -> &str {
        "Catalogue"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        Vec::new()
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        self.parameters.clone()
    }

    fn fmt_for_explain(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> =
            self.question.query.columns.iter().map(|column| column.name.as_str()).collect();
        write!(to, "Catalogue: {}", names.join(", "))
    }

    fn with_exprs_and_inputs(&self, parameters: Vec<Expr>, _: Vec<LogicalPlan>) -> Result<Self> {
        Ok(Self { parameters, ..self.clone() })
    }
}

impl Asked {
    /// The values of the parameters.
    fn values(&self) -> Result<Vec<Value>> {
        let value = |of: &Expr| {
            let mut of = of;
            while let Expr::Alias(alias) = of {
                of = &alias.expr;
            }
            match of {
                Expr::Literal(value, _) => of_scalar(value),
                Expr::Cast(cast) => match &*cast.expr {
                    Expr::Literal(value, _) => of_scalar(value),
                    _ => Err(missing(of)),
                },
                _ => Err(missing(of)),
            }
        };
        self.parameters.iter().map(value).collect()
    }
}

fn missing(of: &Expr) -> DataFusionError {
    AnalyzeError::user(format!("there is no value for parameter {of}")).into()
}

/// A parameter's value.
fn of_scalar(value: &ScalarValue) -> Result<Value> {
    if value.is_null() {
        return Ok(Value::Null);
    }
    Ok(match value {
        ScalarValue::Boolean(Some(yes)) => Value::Bool(*yes),
        ScalarValue::Float32(Some(number)) => Value::Float((*number).into()),
        ScalarValue::Float64(Some(number)) => Value::Float(*number),
        ScalarValue::Date32(Some(days)) => Value::Micros((*days).into()),
        ScalarValue::TimestampMicrosecond(Some(micros), _) => Value::Micros(*micros),
        ScalarValue::List(list) => {
            let items = list.value(0);
            let items =
                (0..items.len()).map(|at| of_scalar(&ScalarValue::try_from_array(&items, at)?));
            Value::array(items.collect::<Result<Vec<_>>>()?)
        }
        other => match other.data_type().is_integer() {
            true => match other.cast_to(&DataType::Int64)? {
                ScalarValue::Int64(Some(number)) => Value::Int(number),
                _ => Value::Null,
            },
            false => match other.cast_to(&DataType::Utf8)? {
                ScalarValue::Utf8(Some(text)) => Value::text(text),
                _ => Value::Null,
            },
        },
    })
}

/// DataFusion's planner, that knows questions too.
#[derive(Debug)]
pub(crate) struct Planner;

#[async_trait]
impl QueryPlanner for Planner {
    async fn create_physical_plan(
        &self,
        plan: &LogicalPlan,
        session: &dyn Session,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let planner = DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(Self)]);
        planner.create_physical_plan(plan, session).await
    }
}

#[async_trait]
impl ExtensionPlanner for Planner {
    async fn plan_extension(
        &self,
        _: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _: &[&LogicalPlan],
        _: &[Arc<dyn ExecutionPlan>],
        _: &dyn Session,
        _: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(asked) = node.as_any().downcast_ref::<Asked>() else { return Ok(None) };
        let schema: SchemaRef = Arc::new(asked.schema.as_arrow().clone());
        let (question, parameters) = (Arc::clone(&asked.question), asked.values()?);
        let part = Arc::new(Part { question, parameters, schema: Arc::clone(&schema) });
        let parts: Vec<Arc<dyn PartitionStream>> = vec![part];
        let rows =
            StreamingTableExec::try_new(schema, parts, None, std::iter::empty(), false, None)?;
        Ok(Some(Arc::new(rows)))
    }
}

struct Part {
    question: Arc<Question>,
    parameters: Vec<Value>,
    schema: SchemaRef,
}

impl fmt::Debug for Part {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("Catalogue")
    }
}

impl PartitionStream for Part {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (question, parameters) = (Arc::clone(&self.question), self.parameters.clone());
        let schema = Arc::clone(&self.schema);
        let answer = async move {
            let snapshot = Arc::new(Snapshot::read(&question.platform, &question.state).await);
            let work = move || answer(&question, snapshot, parameters, &schema);
            let work = tokio::task::spawn_blocking(work);
            work.await.map_err(|error| DataFusionError::External(Box::new(error)))?
        };
        let schema = Arc::clone(&self.schema);
        Box::pin(RecordBatchStreamAdapter::new(schema, futures::stream::once(answer)))
    }
}

/// A question without parameters, to be read as a table.
pub(super) fn part(question: Question) -> Arc<dyn PartitionStream> {
    let columns = question.query.columns.iter();
    let fields: Vec<Field> = columns.map(|one| one.ty.field(&one.name)).collect();
    let schema = Arc::new(Schema::new(fields));
    Arc::new(Part { question: Arc::new(question), parameters: Vec::new(), schema })
}

fn answer(
    question: &Question,
    snapshot: Arc<Snapshot>,
    parameters: Vec<Value>,
    schema: &SchemaRef,
) -> Result<RecordBatch> {
    let (identity, started_at) = (Arc::clone(&question.identity), question.platform.started_at());
    let context = Context::new(snapshot, identity, parameters, SystemClock.now_us(), started_at);
    let rows = run::compute(&question.query, &context, None)?;
    batch(&context, &rows, &question.types(), schema)
}

/// Rows as a batch.
fn batch(
    context: &Context,
    rows: &[Row],
    types: &[Type],
    schema: &Arc<Schema>,
) -> Result<RecordBatch> {
    let columns = types.iter().enumerate().map(|(at, ty)| {
        let values: Vec<&Value> = rows.iter().map(|row| &row[at]).collect();
        array(context, &values, *ty)
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}

fn array(context: &Context, values: &[&Value], ty: Type) -> Result<ArrayRef> {
    let ints = || values.iter().map(|value| value.as_int());
    let micros = || {
        values.iter().map(|value| match value {
            Value::Micros(micros) => Some(*micros),
            _ => None,
        })
    };
    Ok(match ty.arrow() {
        DataType::Boolean => {
            let bools = values.iter().map(|value| (!value.is_null()).then(|| value.is_true()));
            Arc::new(BooleanArray::from_iter(bools))
        }
        DataType::Int16 => Arc::new(Int16Array::from_iter(
            ints().map(|one| one.and_then(|one| one.try_into().ok())),
        )),
        // An oid's 32 bits: those above 2^31 are PostgreSQL's own limit, and none is handed out.
        DataType::Int32 => Arc::new(Int32Array::from_iter(
            ints().map(|one| one.and_then(|one| one.try_into().ok())),
        )),
        DataType::Int64 => Arc::new(Int64Array::from_iter(ints())),
        DataType::Float32 => Arc::new(Float32Array::from_iter(
            values.iter().map(|one| one.as_float().map(|one| one as f32)),
        )),
        DataType::Float64 => {
            Arc::new(Float64Array::from_iter(values.iter().map(|one| one.as_float())))
        }
        DataType::Date32 => Arc::new(Date32Array::from_iter(
            micros().map(|one| one.and_then(|one| one.try_into().ok())),
        )),
        DataType::Timestamp(_, zone) => {
            Arc::new(TimestampMicrosecondArray::from_iter(micros()).with_timezone_opt(zone))
        }
        DataType::List(field) => {
            let items: Vec<&Value> = values.iter().flat_map(|value| value.items()).collect();
            let offsets =
                OffsetBuffer::from_lengths(values.iter().map(|value| value.items().len()));
            let items = array(context, &items, ty.element().unwrap_or(Type::TEXT))?;
            let nulls: NullBuffer = values.iter().map(|value| !value.is_null()).collect();
            Arc::new(ListArray::try_new(field, offsets, items, Some(nulls))?)
        }
        _ => {
            let texts =
                values.iter().map(|value| (!value.is_null()).then(|| shown(context, value, ty)));
            Arc::new(StringArray::from_iter(texts))
        }
    })
}
