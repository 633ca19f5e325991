//! Runs queries of the `flink` dialect over DataFusion's batch engine.

use datafusion::arrow::array::RecordBatch;
use datafusion::execution::SessionStateDefaults;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::planner::ExprPlanner;
use datafusion::optimizer::analyzer::type_coercion::TypeCoercion;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::parser::Parser;
use std::sync::Arc;
use tradewind_sql::text::{RowKind, write_row};
use tradewind_sql::typing::{FlinkExpressions, FlinkOperators, prepare};
use tradewind_sql::{FlinkDialect, FlinkTypes, type_name};

/// A session of the `flink` dialect.
pub(crate) struct Session {
    pub(crate) context: SessionContext,
}

/// What a query gave.
pub(crate) struct Answer {
    pub(crate) types: Vec<String>,
    /// `+I[1, a]`.
    pub(crate) rows: Vec<String>,
}

impl Session {
    pub(crate) fn new(zone: &str) -> Self {
        let mut config = SessionConfig::new().with_target_partitions(1);
        let options = config.options_mut();
        options.execution.time_zone = Some(zone.into());
        options.sql_parser.parse_float_as_decimal = true;
        options.sql_parser.enable_ident_normalization = false;
        options.sql_parser.map_string_types_to_utf8view = false;
        let mut planners: Vec<Arc<dyn ExprPlanner>> = vec![Arc::new(FlinkOperators)];
        planners.extend(SessionStateDefaults::default_expr_planners());
        let state = SessionStateBuilder::new()
            .with_config(config)
            .with_default_features()
            .with_analyzer_rules(vec![Arc::new(FlinkExpressions), Arc::new(TypeCoercion::new())])
            .with_type_planner(Arc::new(FlinkTypes))
            .with_expr_planners(planners)
            .build();
        let context = SessionContext::new_with_state(state);
        for function in tradewind_sql::functions::flink() {
            context.register_udf(function.as_ref().clone());
        }
        Self { context }
    }

    /// The rows themselves.
    pub(crate) async fn batches(&self, sql: &str) -> Result<Vec<RecordBatch>, String> {
        self.run(sql).await.map(|(_, batches)| batches)
    }

    async fn run(&self, sql: &str) -> Result<(Vec<String>, Vec<RecordBatch>), String> {
        let parser = Parser::new(&FlinkDialect).try_with_sql(sql);
        let mut query = parser
            .and_then(|mut parser| parser.parse_query())
            .map_err(|error| error.to_string())?;
        prepare(&mut *query);
        name_columns(&mut query);
        let statement = Statement::Statement(Box::new(ast::Statement::Query(query)));
        let run = async {
            let plan = self.context.state().statement_to_plan(statement).await?;
            let frame = self.context.execute_logical_plan(plan).await?;
            let plan = frame.clone().into_optimized_plan()?;
            let types: Vec<_> =
                plan.schema().fields().iter().map(|field| type_name(field.data_type())).collect();
            Ok::<_, datafusion::common::DataFusionError>((types, frame.collect().await?))
        };
        run.await.map_err(|error| error.to_string())
    }

    pub(crate) async fn query(&self, sql: &str) -> Result<Answer, String> {
        let (types, batches) = self.run(sql).await?;
        let mut rows = Vec::new();
        for batch in &batches {
            for row in 0..batch.num_rows() {
                let mut text = String::new();
                write_row(&mut text, RowKind::Insert, batch, batch.num_columns(), row);
                rows.push(text);
            }
        }
        Ok(Answer { types: types.into_iter().map(|name| plain(&name)).collect(), rows })
    }
}

/// Without digits of a second, which the types of the engine do not have.
fn plain(name: &str) -> String {
    name.replace("TIMESTAMP(6)", "TIMESTAMP").replace("TIMESTAMP_LTZ(6)", "TIMESTAMP_LTZ")
}

/// As Flink names what has no name; DataFusion wants each column of a query to have one of its own.
fn name_columns(query: &mut ast::Query) {
    let ast::SetExpr::Select(select) = &mut *query.body else { return };
    for (index, item) in select.projection.iter_mut().enumerate() {
        if let ast::SelectItem::UnnamedExpr(expr) = item
            && !matches!(expr, ast::Expr::Identifier(_))
        {
            let alias = ast::Ident::with_quote('`', format!("EXPR${index}"));
            *item = ast::SelectItem::ExprWithAlias { expr: expr.clone(), alias };
        }
    }
}
