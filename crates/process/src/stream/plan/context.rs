//! What DataFusion's SQL planner asks while it plans a stream.
//!
//! Guarantees: topics are known by their schema alone; views are seen through; the planner finds
//! DataFusion's functions and Flink's, types as `CREATE TABLE` has them, and `UNNEST` as a join.
//! Left out: lake tables, which a stream cannot read.

use super::{errors, refusal, unnest};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::{DataFusionError, Result, TableReference, plan_err};
use datafusion::execution::SessionStateDefaults;
use datafusion::logical_expr::expr::Alias;
use datafusion::logical_expr::planner::{
    ContextProvider, ExprPlanner, RelationPlanner, TypePlanner,
};
use datafusion::logical_expr::{
    AggregateUDF, Expr, HigherOrderUDF, LogicalPlan, LogicalPlanBuilder, ScalarUDF, TableSource,
    WindowUDF,
};
use datafusion::sql::planner::{ParserOptions, SqlToRel};
use datafusion::sql::sqlparser::ast;
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tradewind_sql::{Catalogue, Dialect, FlinkTypes, SqlError, TableDefinition, ViewDefinition};

/// How deep views may stand on views: the planner calls itself for each.
const VIEW_DEPTH_MAX: usize = 8;

/// The planner's surroundings for one statement.
pub(super) struct PlanContext<'a> {
    catalogue: &'a Catalogue,
    dialect: Dialect,
    /// The views that are being planned, the outermost first.
    views: Vec<String>,
    functions: Arc<Functions>,
    options: Arc<ConfigOptions>,
    expr_planners: Vec<Arc<dyn ExprPlanner>>,
    relation_planners: Vec<Arc<dyn RelationPlanner>>,
}

/// Every function by each of its names.
struct Functions {
    scalar: HashMap<String, Arc<ScalarUDF>>,
    aggregate: HashMap<String, Arc<AggregateUDF>>,
    window: HashMap<String, Arc<WindowUDF>>,
}

/// A topic: its columns and where it is read.
#[derive(Debug)]
pub(super) struct TopicSourceTable {
    pub(super) definition: TableDefinition,
    schema: SchemaRef,
}

/// A view: its plan.
struct ViewSource {
    plan: LogicalPlan,
}

impl<'a> PlanContext<'a> {
    pub(super) fn new(catalogue: &'a Catalogue, dialect: Dialect) -> Self {
        let mut options = ConfigOptions::default();
        options.execution.time_zone = Some("UTC".to_string());
        Self {
            catalogue,
            dialect,
            views: Vec::new(),
            functions: Arc::new(Functions::all()),
            options: Arc::new(options),
            expr_planners: SessionStateDefaults::default_expr_planners(),
            relation_planners: vec![Arc::new(unnest::UnnestPlanner)],
        }
    }

    pub(super) fn options(&self) -> &Arc<ConfigOptions> {
        &self.options
    }

    /// A query as a logical plan, not yet checked or rewritten.
    pub(super) fn plan_query(
        &self,
        query: &ast::Query,
    ) -> std::result::Result<LogicalPlan, SqlError> {
        let mut query = query.clone();
        unnest::fold_joins(&mut query);
        name_expressions(&mut query);
        let options = ParserOptions::new()
            .with_parse_float_as_decimal(true)
            .with_enable_ident_normalization(self.dialect == Dialect::Postgres)
            .with_map_string_types_to_utf8view(false)
            .with_collect_spans(true);
        SqlToRel::new_with_options(self, options)
            .sql_statement_to_plan(ast::Statement::Query(Box::new(query)))
            .map_err(|error| errors::from(&error))
    }

    fn table(&self, definition: &TableDefinition) -> Result<Arc<dyn TableSource>> {
        let name = &definition.name;
        if definition.is_lake() {
            return refuse(
                refusal(format!("{name:?} is a lake table, and a pipeline reads topics"))
                    .hint("read the topic the lake table is made from"),
            );
        }
        if let Some(column) = definition.columns.iter().find(|column| column.is_computed()) {
            return refuse(
                refusal(format!(
                    "column {:?} of {name:?} is computed, which streams do not do yet",
                    column.name
                ))
                .hint("put the expression into the SELECT"),
            );
        }
        Ok(Arc::new(TopicSourceTable {
            definition: definition.clone(),
            schema: definition.schema(),
        }))
    }

    fn view(&self, view: &ViewDefinition) -> Result<Arc<dyn TableSource>> {
        if self.views.contains(&view.name) {
            return refuse(refusal(format!("view {:?} stands on itself", view.name)));
        }
        if self.views.len() == VIEW_DEPTH_MAX {
            return refuse(refusal(format!(
                "view {:?} stands under {VIEW_DEPTH_MAX} views, and that is the most",
                view.name
            )));
        }
        let inner = PlanContext {
            catalogue: self.catalogue,
            dialect: view.dialect,
            views: self.views.iter().chain([&view.name]).cloned().collect(),
            functions: self.functions.clone(),
            options: self.options.clone(),
            expr_planners: self.expr_planners.clone(),
            relation_planners: self.relation_planners.clone(),
        };
        let plan = match inner.plan_query(&view.query) {
            Ok(plan) => rename(plan, view)?,
            // A place in the view's text is no place in this statement.
            Err(error) => {
                return refuse(
                    refusal(format!("view {:?}: {}", view.name, error.message))
                        .maybe_hint(error.hint),
                );
            }
        };
        Ok(Arc::new(ViewSource { plan }))
    }
}

/// Names what a `SELECT` leaves without a name, as Flink does: DataFusion wants every column of a
/// projection to have one of its own.
fn name_expressions(query: &mut ast::Query) {
    let ast::SetExpr::Select(select) = &mut *query.body else { return };
    let mut names = HashSet::new();
    for (index, item) in select.projection.iter_mut().enumerate() {
        let ast::SelectItem::UnnamedExpr(expression) = item else { continue };
        let name = match expression {
            ast::Expr::Identifier(name) => Some(name.value.clone()),
            ast::Expr::CompoundIdentifier(names) => names.last().map(|name| name.value.clone()),
            _ => None,
        };
        if name.is_none_or(|name| !names.insert(name)) {
            let alias = ast::Ident::with_quote('`', format!("EXPR${index}"));
            *item = ast::SelectItem::ExprWithAlias { expr: expression.clone(), alias };
        }
    }
}

/// Carries one of our errors through DataFusion's planner.
fn refuse<T>(error: SqlError) -> Result<T> {
    Err(DataFusionError::External(Box::new(error)))
}

/// Gives a view's columns the names its statement lists.
fn rename(plan: LogicalPlan, view: &ViewDefinition) -> Result<LogicalPlan> {
    if view.columns.is_empty() {
        return Ok(plan);
    }
    if view.columns.len() != plan.schema().fields().len() {
        return plan_err!(
            "view {:?} names {} columns, its query has {}",
            view.name,
            view.columns.len(),
            plan.schema().fields().len()
        );
    }
    let renamed: Vec<Expr> = (plan.schema().columns().into_iter().zip(&view.columns))
        .map(|(column, name)| {
            Expr::Alias(Alias::new(Expr::Column(column), None::<TableReference>, name))
        })
        .collect();
    LogicalPlanBuilder::from(plan).project(renamed)?.build()
}

impl Functions {
    fn all() -> Self {
        let mut scalar = HashMap::new();
        // Ours come last and take the place of DataFusion's of the same name.
        let functions = SessionStateDefaults::default_scalar_functions();
        for function in functions.into_iter().chain(tradewind_sql::functions::all()) {
            for name in function.aliases() {
                scalar.insert(name.clone(), function.clone());
            }
            scalar.insert(function.name().to_string(), function);
        }
        let aggregate = SessionStateDefaults::default_aggregate_functions()
            .into_iter()
            .map(|function| (function.name().to_string(), function))
            .collect();
        let window = SessionStateDefaults::default_window_functions()
            .into_iter()
            .map(|function| (function.name().to_string(), function))
            .collect();
        Self { scalar, aggregate, window }
    }
}

impl ContextProvider for PlanContext<'_> {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        let found = self
            .catalogue
            .resolve(name.table(), self.dialect)
            .map_err(|error| DataFusionError::Plan(error.to_string()))?;
        let Some(relation) = found else {
            let relations = self.catalogue.relations();
            let names = relations.iter().map(|relation| relation.name());
            return refuse(
                refusal(format!("table {:?} does not exist", name.table()))
                    .maybe_hint(tradewind_sql::did_you_mean(name.table(), names)),
            );
        };
        match (relation.table(), relation.view()) {
            (Some(table), _) => self.table(table),
            (None, Some(view)) => self.view(view),
            (None, None) => plan_err!("{name} is neither table nor view"),
        }
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.expr_planners
    }

    fn get_relation_planners(&self) -> &[Arc<dyn RelationPlanner>] {
        &self.relation_planners
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        Some(Arc::new(FlinkTypes))
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.functions.scalar.get(name).cloned()
    }

    fn get_higher_order_meta(&self, _name: &str) -> Option<Arc<HigherOrderUDF>> {
        None
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.functions.aggregate.get(name).cloned()
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.functions.window.get(name).cloned()
    }

    fn get_variable_type(&self, _names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        &self.options
    }

    fn udf_names(&self) -> Vec<String> {
        self.functions.scalar.keys().cloned().collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udaf_names(&self) -> Vec<String> {
        self.functions.aggregate.keys().cloned().collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        self.functions.window.keys().cloned().collect()
    }
}

impl TableSource for TopicSourceTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
}

impl TableSource for ViewSource {
    fn schema(&self) -> SchemaRef {
        Arc::new(self.plan.schema().as_arrow().clone())
    }

    fn get_logical_plan(&self) -> Option<Cow<'_, LogicalPlan>> {
        Some(Cow::Borrowed(&self.plan))
    }
}
