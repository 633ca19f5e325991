//! What a stream cannot do that the text says, at its place.
//!
//! Left out: what only the plan says.

use super::refusal_at;
use datafusion::sql::sqlparser::ast::{
    Expr, LimitClause, OrderByKind, Query, SetExpr, SetOperator, SetQuantifier, Spanned, Visit,
    Visitor,
};
use datafusion::sql::sqlparser::tokenizer::Span;
use std::ops::ControlFlow;
use tradewind_sql::SqlError;

/// Functions that answer by the clock or by chance.
const CHANGING: [&str; 14] = [
    "CURRENT_DATE",
    "CURRENT_ROW_TIMESTAMP",
    "CURRENT_TIME",
    "CURRENT_TIMESTAMP",
    "LOCALTIME",
    "LOCALTIMESTAMP",
    "NOW",
    "PROCTIME",
    "RAND",
    "RANDOM",
    "RAND_INTEGER",
    "UNIX_TIMESTAMP",
    "UUID",
    "GEN_RANDOM_UUID",
];

/// Looks at a query and all within it.
pub(super) fn check(query: &Query) -> Result<(), SqlError> {
    match Visit::visit(query, &mut Check) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Check;

impl Visitor for Check {
    type Break = SqlError;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<SqlError> {
        let found = order(query).or_else(|| limit(query)).or_else(|| body(&query.body));
        found.map_or(ControlFlow::Continue(()), ControlFlow::Break)
    }

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<SqlError> {
        let Expr::Function(call) = expression else { return ControlFlow::Continue(()) };
        let name = call.name.to_string().to_uppercase();
        if call.over.is_some() {
            return ControlFlow::Break(
                refusal_at(call.name.span(), "OVER does not run in a stream yet")
                    .hint("GROUP BY windows of event time, or ask the lake"),
            );
        }
        // With an argument it is a time's number, the same each time.
        if CHANGING.contains(&name.as_str()) && has_no_arguments(expression) {
            return ControlFlow::Break(
                refusal_at(
                    call.name.span(),
                    format!("{name} gives another answer each time, and a stream that is replayed must give the same rows"),
                )
                .hint("an event carries its own times, such as received_at"),
            );
        }
        ControlFlow::Continue(())
    }
}

fn has_no_arguments(expression: &Expr) -> bool {
    use datafusion::sql::sqlparser::ast::FunctionArguments;
    match expression {
        Expr::Function(call) => match &call.args {
            FunctionArguments::List(list) => list.args.is_empty(),
            FunctionArguments::None => true,
            FunctionArguments::Subquery(_) => false,
        },
        _ => false,
    }
}

fn order(query: &Query) -> Option<SqlError> {
    let order = query.order_by.as_ref()?;
    let span = match &order.kind {
        OrderByKind::Expressions(expressions) => {
            expressions.first().map_or_else(Span::empty, Spanned::span)
        }
        OrderByKind::All(_) => query.span(),
    };
    Some(
        refusal_at(span, "a stream has no end, so ORDER BY has no answer")
            .hint("order by in the query that reads the table"),
    )
}

fn limit(query: &Query) -> Option<SqlError> {
    let span = match (&query.limit_clause, &query.fetch) {
        (Some(LimitClause::LimitOffset { limit, offset, .. }), _) => {
            let limit = limit.as_ref().map(Spanned::span);
            limit.or_else(|| offset.as_ref().map(|offset| offset.value.span()))
        }
        (Some(LimitClause::OffsetCommaLimit { limit, .. }), _) => Some(limit.span()),
        (None, Some(fetch)) => fetch.quantity.as_ref().map(Spanned::span),
        (None, None) => return None,
    };
    Some(
        refusal_at(span.unwrap_or_else(Span::empty), "a stream has no end, so LIMIT would stop it")
            .hint("limit in the query that reads the table"),
    )
}

/// `INTERSECT ALL` and `EXCEPT ALL` count rows, which no operator does.
fn body(body: &SetExpr) -> Option<SqlError> {
    let SetExpr::SetOperation { op, set_quantifier, left, right } = body else { return None };
    let counts = matches!(set_quantifier, SetQuantifier::All | SetQuantifier::AllByName);
    if counts && *op != SetOperator::Union {
        return Some(
            refusal_at(right.span(), format!("{op} ALL does not run in a stream"))
                .hint(format!("{op} without ALL")),
        );
    }
    self::body(left).or_else(|| self::body(right))
}
