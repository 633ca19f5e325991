//! What a query of the store's tables asks about the session: `current_user` and its like.
//!
//! Guarantees: only calls of these names are replaced, by their values, and only where DataFusion has
//! no function of the name; a result keeps the name it would have had.
//! Left out: functions that look at the catalogue. A query that needs them beside tables of the
//! store joins the catalogue's relations.

use super::context::{Context, Identity};
use super::functions;
use super::snapshot::Snapshot;
use super::value::Value;
use crate::platform::Platform;
use datafusion::execution::session_state::SessionState;
use datafusion::sql::sqlparser::ast::{
    self, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, SelectItem, VisitMut,
    VisitorMut,
};
use std::ops::ControlFlow;
use std::sync::Arc;
use tradewind_types::{Clock, SystemClock};

/// Functions of the session alone.
const SESSION: [&str; 12] = [
    "current_user",
    "session_user",
    "user",
    "current_role",
    "current_catalog",
    "current_database",
    "current_schema",
    "current_setting",
    "pg_backend_pid",
    "pg_is_in_recovery",
    "pg_postmaster_start_time",
    "pg_client_encoding",
];

/// Puts values in the places of calls.
pub(crate) fn settle(platform: &Platform, state: &SessionState, statement: &mut ast::Statement) {
    let identity = state.config().get_extension::<Identity>().unwrap_or_default();
    let (now, started_at) = (SystemClock.now_us(), platform.started_at());
    let snapshot = Arc::new(Snapshot::default());
    let context = Context::new(snapshot, identity, Vec::new(), now, started_at);
    let _ = statement.visit(&mut Settler { context, state });
}

struct Settler<'a> {
    context: Context,
    state: &'a SessionState,
}

impl Settler<'_> {
    /// A call's name and value.
    fn value(&self, expr: &Expr) -> Option<(String, Value)> {
        let Expr::Function(call) = expr else { return None };
        let name = call.name.0.last()?.as_ident()?.value.to_lowercase();
        if !SESSION.contains(&name.as_str()) || self.state.scalar_functions().contains_key(&name) {
            return None;
        }
        let arguments = match &call.args {
            FunctionArguments::None => Vec::new(),
            FunctionArguments::List(list) => {
                list.args.iter().map(literal).collect::<Option<Vec<Value>>>()?
            }
            FunctionArguments::Subquery(_) => return None,
        };
        let functions = functions::named(&name)?;
        let function = functions.iter().find(|one| one.arguments.len() == arguments.len())?;
        Some((name, (function.body)(&self.context, &arguments).ok()?))
    }
}

fn literal(argument: &FunctionArg) -> Option<Value> {
    let FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(value))) = argument else {
        return None;
    };
    match &value.value {
        ast::Value::Boolean(yes) => Some(Value::Bool(*yes)),
        other => other.clone().into_string().map(Value::text),
    }
}

fn written(value: &Value) -> Option<Expr> {
    let value = match value {
        Value::Null => ast::Value::Null,
        Value::Bool(yes) => ast::Value::Boolean(*yes),
        Value::Int(number) => ast::Value::Number(number.to_string(), false),
        Value::Text(text) => ast::Value::SingleQuotedString(text.to_string()),
        _ => return None,
    };
    Some(Expr::value(value))
}

impl VisitorMut for Settler<'_> {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut ast::Select) -> ControlFlow<()> {
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(expr) = item
                && let Some((name, value)) = self.value(expr)
                && let Some(expr) = written(&value)
            {
                *item = SelectItem::ExprWithAlias { expr, alias: Ident::new(name) };
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Some((_, value)) = self.value(expr)
            && let Some(written) = written(&value)
        {
            *expr = written;
        }
        ControlFlow::Continue(())
    }
}
