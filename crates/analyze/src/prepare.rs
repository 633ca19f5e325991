//! Statements with parameters: what types `$1` and its like have, and plans with their values.
//!
//! Guarantees: a parameter whose type the client gives has it; another has the type of what it is
//! compared with, cast to or inserted into, else text. Each execution plans anew, with the values'
//! own types and the tables as they are then; a decimal keeps the scale it came with.
//! Left out: keeping statements by name, which is a connection's.

use crate::class::ErrorClass;
use crate::error::AnalyzeError;
use crate::session::{Answer, Call, Session};
use crate::tables;
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{ParamValues, ScalarValue};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::expr::Placeholder;
use datafusion::logical_expr::{Expr, LogicalPlan, Statement as PlannedStatement};
use datafusion::sql::sqlparser::ast::{self, Value, Visit, Visitor};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use tradewind_sql::connection::Connection;
use tradewind_sql::{Dialect, Insert, Statement, StatementKind};

/// Parameters of one statement: as many as PostgreSQL's protocol counts.
pub const PARAMETERS_MAX: usize = 65_535;

/// A statement that was looked at once, to be carried out with values.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// The parameters' types, `$1` first.
    pub parameters: Vec<DataType>,
    /// The columns of its answer; `None`: it has no rows.
    pub schema: Option<SchemaRef>,
    statement: Arc<Statement>,
    dialect: Dialect,
}

impl Prepared {
    /// What it asks for.
    pub fn statement(&self) -> &Statement {
        &self.statement
    }

    /// How its text is meant.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }
}

impl Session {
    /// Looks at a statement: which parameters it has and what it answers with. `parameter_types`
    /// are the types that the client gives, `$1` first, as far as it does.
    ///
    /// # Errors
    /// It cannot be planned, or has more parameters than [`PARAMETERS_MAX`].
    pub async fn prepare(
        &self,
        statement: &Statement,
        parameter_types: &[Option<DataType>],
    ) -> Result<Prepared, AnalyzeError> {
        self.admit_in_block(ends_block(&statement.kind))?;
        let count = parameter_count(statement)?.max(parameter_types.len());
        let mut types = parameter_types.to_vec();
        types.resize(count, None);
        let (parameters, schema) = match &statement.kind {
            StatementKind::Other(query) if matches!(**query, ast::Statement::Query(_)) => {
                let (types, schema) = self.prepare_query(query, types).await?;
                (types, Some(schema))
            }
            StatementKind::Insert(insert) => (self.insert_types(insert, types), None),
            StatementKind::Other(other) => match self.parameters_of_change(other)? {
                Some((query, assigned)) => {
                    for (parameter, data_type) in assigned {
                        let number = number_of(&parameter).unwrap_or(0);
                        if let Some(slot) = types.get_mut(number.wrapping_sub(1)) {
                            slot.get_or_insert(data_type);
                        }
                    }
                    (self.prepare_query(&query, types).await?.0, None)
                }
                None => {
                    let types = types.into_iter().map(|one| one.unwrap_or(DataType::Utf8));
                    (types.collect(), self.fixed_schema(statement, count).await?)
                }
            },
            StatementKind::Connection(connection)
                if let Connection::Declare(declare) = &**connection =>
            {
                let within = Box::pin(self.prepare(&declare.statement, parameter_types)).await?;
                (within.parameters, None)
            }
            _ => {
                let types = types.into_iter().map(|one| one.unwrap_or(DataType::Utf8)).collect();
                (types, self.fixed_schema(statement, count).await?)
            }
        };
        let (statement, dialect) = (Arc::new(statement.clone()), self.dialect());
        Ok(Prepared { parameters, schema, statement, dialect })
    }

    /// Carries out a prepared statement with values for its parameters. They are taken with the
    /// types they have, which need not be exactly those that were inferred.
    ///
    /// # Errors
    /// There are too few values or too many, or why the statement cannot be carried out.
    pub async fn execute_prepared(
        &mut self,
        prepared: &Prepared,
        values: &[ScalarValue],
    ) -> Result<Answer, AnalyzeError> {
        let (given, wanted) = (values.len(), prepared.parameters.len());
        if given != wanted {
            return Err(AnalyzeError::user(format!(
                "the statement has {wanted} parameters and {given} values are given"
            ))
            .class(ErrorClass::Protocol));
        }
        let statement = Arc::clone(&prepared.statement);
        self.run_call(&statement, Call { dialect: prepared.dialect, parameters: values }).await
    }

    async fn prepare_query(
        &self,
        query: &ast::Statement,
        mut types: Vec<Option<DataType>>,
    ) -> Result<(Vec<DataType>, SchemaRef), AnalyzeError> {
        let state = self.state()?;
        let dialect = self.dialect();
        if types.iter().any(Option::is_none) {
            // What is not even known to be a number may not be planned; then it is text.
            if let Ok(plan) = self.plan_typed(&state, query, dialect, &types).await {
                infer(&plan, &mut types)?;
            }
        }
        let types: Vec<_> = types.into_iter().map(|one| one.unwrap_or(DataType::Utf8)).collect();
        let nulls: Result<Vec<_>, _> = types.iter().map(ScalarValue::try_new_null).collect();
        let plan = self.plan_with(&state, query, dialect, &nulls?).await?;
        // Types may still change where both sides of an expression are brought together.
        let plan = state.analyzer().execute_and_check(plan, state.config_options(), |_, _| {})?;
        Ok((types, Arc::new(plan.schema().as_arrow().clone())))
    }

    /// The types of the columns that values go into, where an `INSERT` gives them one by one.
    fn insert_types(&self, insert: &Insert, mut types: Vec<Option<DataType>>) -> Vec<DataType> {
        if let ast::SetExpr::Values(values) = &*insert.query.body
            && let Ok(schema) = self.insert_fields(&insert.target, &insert.columns)
        {
            for row in &values.rows {
                for (place, cell) in row.iter().enumerate() {
                    let Some(number) = placeholder(cell) else { continue };
                    let Some(slot) = types.get_mut(number - 1).filter(|slot| slot.is_none()) else {
                        continue;
                    };
                    *slot = schema.fields().get(place).map(|field| field.data_type().clone());
                }
            }
        }
        types.into_iter().map(|one| one.unwrap_or(DataType::Utf8)).collect()
    }

    /// A query's plan with the values in place of its parameters.
    pub(crate) async fn plan_with(
        &self,
        state: &SessionState,
        query: &ast::Statement,
        dialect: Dialect,
        values: &[ScalarValue],
    ) -> Result<LogicalPlan, AnalyzeError> {
        if values.is_empty() {
            return tables::plan(self.platform(), state, query.clone(), dialect, 0).await;
        }
        let types: Vec<_> = values.iter().map(|value| Some(value.data_type())).collect();
        let plan = self.plan_typed(state, query, dialect, &types).await?;
        Ok(plan.replace_params_with_values(&ParamValues::from(values.to_vec()))?)
    }

    /// A query's plan with its parameters still in it, planned with their types where all are
    /// known and can be written down.
    async fn plan_typed(
        &self,
        state: &SessionState,
        query: &ast::Statement,
        dialect: Dialect,
        types: &[Option<DataType>],
    ) -> Result<LogicalPlan, AnalyzeError> {
        let written: Option<Vec<_>> =
            types.iter().map(|one| one.as_ref().and_then(written_type)).collect();
        let query = match written {
            Some(data_types) => ast::Statement::Prepare {
                name: ast::Ident::new("parameters"),
                data_types,
                statement: Box::new(query.clone()),
            },
            None => query.clone(),
        };
        Ok(match tables::plan(self.platform(), state, query, dialect, 0).await? {
            LogicalPlan::Statement(PlannedStatement::Prepare(prepared)) => {
                Arc::unwrap_or_clone(prepared.input)
            }
            plan => plan,
        })
    }
}

/// Whether a block that has failed lets it through.
pub(crate) fn ends_block(kind: &StatementKind) -> bool {
    let StatementKind::Connection(connection) = kind else { return false };
    matches!(
        **connection,
        Connection::Commit { .. } | Connection::Rollback { .. } | Connection::RollbackTo(_)
    )
}

fn placeholder(expr: &ast::Expr) -> Option<usize> {
    match expr {
        ast::Expr::Value(value) => match &value.value {
            Value::Placeholder(name) => number_of(name),
            _ => None,
        },
        _ => None,
    }
}

/// The number in `$1`, from 1.
fn number_of(name: &str) -> Option<usize> {
    name.strip_prefix('$')?.parse().ok().filter(|number| *number > 0)
}

/// The highest number of a parameter in a statement.
fn parameter_count(statement: &Statement) -> Result<usize, AnalyzeError> {
    struct Counter(usize);
    impl Visitor for Counter {
        type Break = AnalyzeError;
        fn pre_visit_value(&mut self, value: &ast::ValueWithSpan) -> ControlFlow<AnalyzeError> {
            let Value::Placeholder(name) = &value.value else { return ControlFlow::Continue(()) };
            match number_of(name) {
                Some(number) if number <= PARAMETERS_MAX => {
                    self.0 = self.0.max(number);
                    ControlFlow::Continue(())
                }
                _ => ControlFlow::Break(
                    AnalyzeError::user(format!("there is no parameter {name}"))
                        .class(ErrorClass::UndefinedParameter)
                        .hint("they are called $1, $2 ..."),
                ),
            }
        }
    }
    let mut counter = Counter(0);
    let seen = match &statement.kind {
        StatementKind::Other(other) => other.visit(&mut counter),
        StatementKind::Insert(insert) => insert.query.visit(&mut counter),
        StatementKind::CreateTableAs(create) => create.query.visit(&mut counter),
        StatementKind::Explain { statement, .. } => return parameter_count(statement),
        StatementKind::Connection(connection)
            if let Connection::Declare(declare) = &**connection =>
        {
            return parameter_count(&declare.statement);
        }
        _ => ControlFlow::Continue(()),
    };
    match seen {
        ControlFlow::Continue(()) => Ok(counter.0),
        ControlFlow::Break(error) => Err(error),
    }
}

/// Takes the types that the planner has found for parameters without one.
fn infer(plan: &LogicalPlan, types: &mut [Option<DataType>]) -> Result<(), AnalyzeError> {
    let mut found = BTreeMap::new();
    plan.apply_with_subqueries(|plan| {
        let counts_rows = matches!(plan, LogicalPlan::Limit(_));
        plan.apply_expressions(|expr| {
            expr.apply(|expr| {
                let (id, data_type) = match expr {
                    Expr::Placeholder(Placeholder { id, field: Some(field) }) => {
                        (id, field.data_type())
                    }
                    Expr::Placeholder(Placeholder { id, field: None }) if counts_rows => {
                        (id, &DataType::Int64)
                    }
                    Expr::Cast(cast) => match &*cast.expr {
                        Expr::Placeholder(Placeholder { id, field: None }) => {
                            (id, cast.field.data_type())
                        }
                        _ => return Ok(TreeNodeRecursion::Continue),
                    },
                    _ => return Ok(TreeNodeRecursion::Continue),
                };
                if let Some(number) = number_of(id) {
                    found.entry(number).or_insert_with(|| data_type.clone());
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    for (number, data_type) in found {
        if let Some(slot) = types.get_mut(number - 1).filter(|slot| slot.is_none()) {
            *slot = (data_type != DataType::Null).then_some(data_type);
        }
    }
    Ok(())
}

/// A type as the planner reads it, near enough to plan with: the value brings its own.
fn written_type(data_type: &DataType) -> Option<ast::DataType> {
    use ast::{ArrayElemTypeDef, ExactNumberInfo, TimezoneInfo};
    Some(match data_type {
        DataType::Boolean => ast::DataType::Boolean,
        DataType::Int8 => ast::DataType::TinyInt(None),
        DataType::Int16 => ast::DataType::SmallInt(None),
        DataType::Int32 => ast::DataType::Int(None),
        DataType::Int64 => ast::DataType::BigInt(None),
        DataType::Float32 => ast::DataType::Real,
        DataType::Float64 => ast::DataType::DoublePrecision,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => ast::DataType::Varchar(None),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => ast::DataType::Bytea,
        DataType::Date32 => ast::DataType::Date,
        DataType::Time64(_) => ast::DataType::Time(None, TimezoneInfo::None),
        DataType::Timestamp(_, None) => ast::DataType::Timestamp(Some(6), TimezoneInfo::None),
        DataType::Timestamp(_, Some(_)) => {
            ast::DataType::Timestamp(Some(6), TimezoneInfo::WithTimeZone)
        }
        DataType::Interval(_) => ast::DataType::Interval { fields: None, precision: None },
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale)
            if *scale >= 0 =>
        {
            let (precision, scale) = (u64::from(*precision), i64::from(*scale));
            ast::DataType::Decimal(ExactNumberInfo::PrecisionAndScale(precision, scale))
        }
        DataType::List(item) => {
            let item = Box::new(written_type(item.data_type())?);
            ast::DataType::Array(ArrayElemTypeDef::SquareBracket(item, None))
        }
        _ => return None,
    })
}
