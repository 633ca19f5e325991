//! What DataFusion's SQL planner asks while it plans a stream.
//!
//! Guarantees: tables are known by their definition alone, with their computed columns and their
//! watermark; views are seen through; the planner finds DataFusion's functions and Flink's, types
//! as `CREATE TABLE` has them, `UNNEST` as a join and windows as tables.
//! Left out: lake tables, which a stream cannot read.

use super::event_time;
use super::{PlanOptions, aggregate_types, errors, refusal, refuse, syntax, unnest, window};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::{DFSchema, DataFusionError, Result, TableReference, plan_err};
use datafusion::execution::SessionStateDefaults;
use datafusion::logical_expr::expr::Alias;
use datafusion::logical_expr::planner::{
    ContextProvider, ExprPlanner, RelationPlanner, TypePlanner,
};
use datafusion::logical_expr::{
    AggregateUDF, Expr, ExprSchemable, HigherOrderUDF, LogicalPlan, LogicalPlanBuilder, ScalarUDF,
    TableSource, WindowUDF,
};
use datafusion::sql::planner::{ParserOptions, PlannerContext, SqlToRel};
use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::parser::Parser;
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tradewind_sql::{
    Catalogue, ColumnKind, Dialect, FlinkTypes, SqlError, TableDefinition, ViewDefinition,
    Watermark, relation_key, typing, with_precision,
};

/// How deep views may stand on views: the planner calls itself for each.
const VIEW_DEPTH_MAX: usize = 8;

/// The planner's surroundings for one statement.
pub(super) struct PlanContext<'a> {
    catalogue: &'a Catalogue,
    settings: PlanOptions,
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

/// A table that is read: the columns its source gives.
#[derive(Debug)]
pub(super) struct StreamTable {
    pub(super) definition: TableDefinition,
    schema: SchemaRef,
}

/// A view, or a table with columns that are computed: its plan.
struct ViewSource {
    plan: LogicalPlan,
}

impl<'a> PlanContext<'a> {
    pub(super) fn new(catalogue: &'a Catalogue, settings: PlanOptions) -> Self {
        let mut options = ConfigOptions::default();
        options.execution.time_zone = Some(settings.time_zone.name().to_string());
        // A subquery's one value changes with its rows: it is joined, not computed before.
        options.optimizer.enable_physical_uncorrelated_scalar_subquery = false;
        Self {
            catalogue,
            settings,
            views: Vec::new(),
            functions: Arc::new(Functions::all(settings.dialect)),
            options: Arc::new(options),
            expr_planners: operators(settings.dialect),
            relation_planners: vec![
                Arc::new(unnest::UnnestPlanner),
                Arc::new(window::WindowPlanner { zone: settings.time_zone }),
            ],
        }
    }

    /// The same for a text that was stored in a dialect of its own.
    fn within(&self, dialect: Dialect, view: Option<&str>) -> Self {
        let functions = match dialect == self.settings.dialect {
            true => self.functions.clone(),
            false => Arc::new(Functions::all(dialect)),
        };
        Self {
            catalogue: self.catalogue,
            settings: PlanOptions { dialect, ..self.settings },
            views: self.views.iter().map(String::as_str).chain(view).map(String::from).collect(),
            functions,
            options: self.options.clone(),
            expr_planners: operators(dialect),
            relation_planners: self.relation_planners.clone(),
        }
    }

    pub(super) fn dialect(&self) -> Dialect {
        self.settings.dialect
    }

    pub(super) fn options(&self) -> &Arc<ConfigOptions> {
        &self.options
    }

    /// A query as a logical plan, not yet checked or rewritten.
    pub(super) fn plan_query(
        &self,
        query: &ast::Query,
    ) -> std::result::Result<LogicalPlan, SqlError> {
        syntax::check(query)?;
        let mut query = query.clone();
        unnest::fold_joins(&mut query);
        name_expressions(&mut query);
        if self.settings.dialect == Dialect::Flink {
            typing::prepare(&mut query);
        }
        SqlToRel::new_with_options(self, self.parser_options())
            .sql_statement_to_plan(ast::Statement::Query(Box::new(query)))
            .map_err(|error| errors::from(&error))
    }

    fn parser_options(&self) -> ParserOptions {
        ParserOptions::new()
            .with_parse_float_as_decimal(true)
            .with_enable_ident_normalization(self.settings.dialect == Dialect::Postgres)
            .with_map_string_types_to_utf8view(false)
            .with_collect_spans(true)
    }

    fn table(&self, definition: &TableDefinition) -> Result<Arc<dyn TableSource>> {
        let name = &definition.name;
        if definition.is_lake() {
            return refuse(
                refusal(format!("{name:?} is a lake table, and a pipeline reads topics"))
                    .hint("read the topic the lake table is made from"),
            );
        }
        let source: Arc<dyn TableSource> =
            Arc::new(StreamTable { definition: definition.clone(), schema: precise(definition) });
        if let Some(reason) = definition.topic().and_then(|topic| topic.unreadable()) {
            return refuse(refusal(format!("{name:?} is written, not read: {reason}")).hint(
                "declare the topic once more to read its records, with 'connector' = 'kafka'",
            ));
        }
        if !definition.connector.is_source() {
            let connector = definition.options.get("connector").map_or("", String::as_str);
            return refuse(
                refusal(format!("{name:?} is written, not read: it is a {connector:?} table"))
                    .hint("read a table of a topic or of files"),
            );
        }
        let is_plain = !definition.columns.iter().any(tradewind_sql::Column::is_computed)
            && definition.watermark.is_none();
        if is_plain {
            return Ok(source);
        }
        self.same_dialect(name, definition.dialect)?;
        let inner = self.within(definition.dialect, None);
        Ok(Arc::new(ViewSource { plan: inner.computed(definition, source)? }))
    }

    /// One plan has one meaning of arithmetic and comparison.
    fn same_dialect(&self, name: &str, dialect: Dialect) -> Result<()> {
        match dialect == self.settings.dialect {
            true => Ok(()),
            false => refuse(
                refusal(format!(
                    "{name:?} computes in the {dialect} dialect, and this statement is in the {} dialect",
                    self.settings.dialect
                ))
                .hint(format!("make one of them in the other's dialect: SET 'dialect' = '{dialect}'")),
            ),
        }
    }

    /// A table's columns, computed ones among them, and its watermark.
    fn computed(
        &self,
        definition: &TableDefinition,
        source: Arc<dyn TableSource>,
    ) -> Result<LogicalPlan> {
        let mut plan = LogicalPlanBuilder::scan(definition.name.as_str(), source, None)?.build()?;
        if definition.columns.iter().any(tradewind_sql::Column::is_computed) {
            let mut columns = Vec::new();
            for column in &definition.columns {
                let expression = match &column.kind {
                    ColumnKind::Computed(text) => {
                        self.expression(definition, &column.name, text, plan.schema())?
                    }
                    _ => Expr::Column(datafusion::common::Column::new(
                        Some(definition.name.as_str()),
                        &column.name,
                    )),
                };
                let alias = Alias::new(expression, Some(definition.name.as_str()), &column.name);
                columns.push(Expr::Alias(alias));
            }
            plan = LogicalPlanBuilder::from(plan).project(columns)?.build()?;
        }
        match &definition.watermark {
            Some(watermark) => self.event_time(definition, watermark, plan),
            None => Ok(plan),
        }
    }

    /// A table's rows with what its watermark is computed from.
    fn event_time(
        &self,
        definition: &TableDefinition,
        watermark: &Watermark,
        plan: LogicalPlan,
    ) -> Result<LogicalPlan> {
        let schema = plan.schema();
        let wrong =
            |message: String| refusal(format!("the watermark of {:?}: {message}", definition.name));
        let column = schema.fields().iter().position(|field| *field.name() == watermark.column);
        let Some(column) = column else {
            return refuse(
                wrong(format!("{:?} is no column", watermark.column))
                    .hint("a field of a row: make it a computed column"),
            );
        };
        if !matches!(schema.field(column).data_type(), DataType::Timestamp(..)) {
            let found = tradewind_sql::type_name(schema.field(column).data_type());
            return refuse(
                wrong(format!("{:?} is {found}", watermark.column))
                    .hint("an event time is TIMESTAMP(3) or TIMESTAMP_LTZ(3)"),
            );
        }
        let expression =
            self.expression(definition, &watermark.column, &watermark.expression, schema)?;
        let data_type = expression.get_type(schema)?;
        if !matches!(data_type, DataType::Timestamp(..)) {
            let found = tradewind_sql::type_name(&data_type);
            return refuse(wrong(format!("{} is {found}", watermark.expression)));
        }
        let mut columns: Vec<Expr> = schema.columns().into_iter().map(Expr::Column).collect();
        let alias = Alias::new(expression, None::<TableReference>, event_time::COLUMN);
        columns.push(Expr::Alias(alias));
        let plan = LogicalPlanBuilder::from(plan).project(columns)?.build()?;
        event_time::plan(plan, &definition.name, column)
    }

    /// An expression of a `CREATE TABLE`, over the table's columns.
    fn expression(
        &self,
        definition: &TableDefinition,
        column: &str,
        text: &str,
        schema: &DFSchema,
    ) -> Result<Expr> {
        let wrong = |error: SqlError| {
            refusal(format!("column {column:?} of {:?}: {}", definition.name, error.message))
                .maybe_hint(error.hint)
        };
        let parsed = Parser::new(self.settings.dialect.grammar())
            .try_with_sql(text)
            .and_then(|mut parser| parser.parse_expr());
        let mut parsed = match parsed {
            Ok(parsed) => parsed,
            Err(error) => return refuse(wrong(refusal(error.to_string()))),
        };
        if self.settings.dialect == Dialect::Flink {
            typing::prepare(&mut parsed);
        }
        let planned = SqlToRel::new_with_options(self, self.parser_options()).sql_to_expr(
            parsed,
            schema,
            &mut PlannerContext::new(),
        );
        // A place in the table's text is no place in this statement.
        planned.or_else(|error| refuse(wrong(errors::from(&error))))
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
        self.same_dialect(&view.name, view.dialect)?;
        let inner = self.within(view.dialect, Some(&view.name));
        let plan = match inner.plan_query(&view.query) {
            Ok(plan) => rename(plan, &view.columns)?,
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
            ast::Expr::Identifier(name) => Some(name.clone()),
            ast::Expr::CompoundIdentifier(names) => names.last().cloned(),
            _ => None,
        };
        let alias = match name {
            // A field of a row has its own name, where DataFusion gives it that of its whole path.
            Some(name) if names.insert(name.value.clone()) => name,
            _ => ast::Ident::with_quote('`', format!("EXPR${index}")),
        };
        *item = ast::SelectItem::ExprWithAlias { expr: expression.clone(), alias };
    }
}

/// The columns a source gives, times with their digits.
pub(super) fn precise(definition: &TableDefinition) -> SchemaRef {
    let field = |field: &Arc<Field>| {
        let column = definition.columns.iter().find(|column| column.name == *field.name());
        match column.and_then(|column| column.digits) {
            Some(digits) => Arc::new(with_precision(Field::clone(field), digits)),
            None => field.clone(),
        }
    };
    Arc::new(Schema::new(definition.schema().fields().iter().map(field).collect::<Vec<_>>()))
}

/// Gives a query's columns the names that a statement lists.
pub(super) fn rename(plan: LogicalPlan, names: &[String]) -> Result<LogicalPlan> {
    if names.is_empty() {
        return Ok(plan);
    }
    if names.len() != plan.schema().fields().len() {
        return refuse(refusal(format!(
            "the view names {} columns, its query has {}",
            names.len(),
            plan.schema().fields().len()
        )));
    }
    let renamed: Vec<Expr> = (plan.schema().columns().into_iter().zip(names))
        .map(|(column, name)| {
            Expr::Alias(Alias::new(Expr::Column(column), None::<TableReference>, name))
        })
        .collect();
    LogicalPlanBuilder::from(plan).project(renamed)?.build()
}

/// What a dialect's operators mean.
fn operators(dialect: Dialect) -> Vec<Arc<dyn ExprPlanner>> {
    let ours: Option<Arc<dyn ExprPlanner>> = match dialect {
        Dialect::Flink => Some(Arc::new(typing::FlinkOperators)),
        Dialect::Postgres => None,
    };
    ours.into_iter().chain(SessionStateDefaults::default_expr_planners()).collect()
}

impl Functions {
    fn all(dialect: Dialect) -> Self {
        let mut scalar = HashMap::new();
        // Ours come last and take the place of DataFusion's of the same name.
        let functions = SessionStateDefaults::default_scalar_functions();
        let ours = match dialect {
            Dialect::Flink => tradewind_sql::functions::flink(),
            Dialect::Postgres => tradewind_sql::functions::all(),
        };
        for function in functions.into_iter().chain(ours) {
            for name in function.aliases() {
                scalar.insert(name.clone(), function.clone());
            }
            scalar.insert(function.name().to_string(), function);
        }
        let aggregate = SessionStateDefaults::default_aggregate_functions()
            .into_iter()
            .chain(aggregate_types::all(dialect))
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
        let parts = [name.catalog(), name.schema(), Some(name.table())];
        let key = relation_key(parts.into_iter().flatten().map(str::to_string).collect());
        let found = self
            .catalogue
            .resolve(&key, self.settings.dialect)
            .map_err(|error| DataFusionError::Plan(error.to_string()))?;
        let Some(relation) = found else {
            let relations = self.catalogue.relations();
            let names = relations.iter().map(|relation| relation.name());
            return refuse(
                refusal(format!("table {key:?} does not exist"))
                    .maybe_hint(tradewind_sql::did_you_mean(&key, names)),
            );
        };
        let view = relation.view().or_else(|| relation.materialized_view());
        match (relation.table(), view) {
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

impl TableSource for StreamTable {
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
