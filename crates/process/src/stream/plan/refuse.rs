//! What a stream cannot do, said before it starts.
//!
//! Guarantees: every kind of plan node is either known to run in a stream or refused here with a
//! reason; functions whose answer changes between runs are refused, because a replay after a
//! crash must give the same rows.
//! Left out: what only the lowering can see.

use super::{errors, refusal};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Distinct, Expr, LogicalPlan, Volatility};
use tradewind_sql::SqlError;

/// Where belongs what streams do not do.
const ASK_THE_LAKE: &str = "write the rows to a lake table and ask that: it is as fresh";

/// Checks a plan as the SQL planner made it.
pub(super) fn check(plan: &LogicalPlan) -> Result<(), SqlError> {
    let mut refused = None;
    let visited = plan.apply_with_subqueries(|node| {
        refused = check_node(node).err().or_else(|| check_expressions(node).err());
        Ok(match refused {
            Some(_) => TreeNodeRecursion::Stop,
            None => TreeNodeRecursion::Continue,
        })
    });
    match (refused, visited) {
        (Some(error), _) => Err(error),
        (None, Err(error)) => Err(errors::from(&error)),
        (None, Ok(_)) => Ok(()),
    }
}

fn check_node(node: &LogicalPlan) -> Result<(), SqlError> {
    let (what, hint) = match node {
        LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::TableScan(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Subquery(_)
        | LogicalPlan::Aggregate(_)
        | LogicalPlan::Distinct(Distinct::All(_))
        | LogicalPlan::Join(_)
        | LogicalPlan::Union(_)
        | LogicalPlan::Extension(_) => return Ok(()),
        LogicalPlan::Distinct(_) => {
            ("DISTINCT ON needs an order, and a stream has none", "MIN or MAX with GROUP BY")
        }
        LogicalPlan::Window(_) => ("OVER does not run in a stream yet", ASK_THE_LAKE),
        LogicalPlan::Sort(_) => (
            "a stream has no end, so ORDER BY has no answer",
            "order by in the query that reads the table",
        ),
        LogicalPlan::Limit(_) => (
            "a stream has no end, so LIMIT would stop it",
            "limit in the query that reads the table",
        ),
        LogicalPlan::Values(_) | LogicalPlan::EmptyRelation(_) => (
            "a pipeline reads a topic, and this has no FROM",
            "INSERT INTO … SELECT … FROM a topic's table",
        ),
        LogicalPlan::RecursiveQuery(_) => {
            ("recursive queries do not run in a stream", ASK_THE_LAKE)
        }
        LogicalPlan::Unnest(_) => (
            "UNNEST does not stand in a SELECT here",
            "FROM t CROSS JOIN UNNEST(t.items) AS item (…)",
        ),
        other => {
            return Err(refusal(format!("this does not run in a stream: {}", other.display())));
        }
    };
    Err(refusal(what).hint(hint))
}

fn check_expressions(node: &LogicalPlan) -> Result<(), SqlError> {
    let mut refused = None;
    let visited = node.apply_expressions(|expression| {
        expression.apply(|part| {
            refused = check_expression(part).err();
            Ok(match refused {
                Some(_) => TreeNodeRecursion::Stop,
                None => TreeNodeRecursion::Continue,
            })
        })
    });
    match (refused, visited) {
        (Some(error), _) => Err(error),
        (None, Err(error)) => Err(errors::from(&error)),
        (None, Ok(_)) => Ok(()),
    }
}

fn check_expression(expression: &Expr) -> Result<(), SqlError> {
    match expression {
        Expr::ScalarFunction(call)
            if call.func.signature().volatility != Volatility::Immutable =>
        {
            Err(refusal(format!(
                "{}() gives another answer each time, and a stream that is replayed must give the same rows",
                call.func.name()
            ))
            .hint("an event carries its own times, such as received_at"))
        }
        Expr::ScalarSubquery(subquery) if subquery.subquery.max_rows() != Some(1) => {
            Err(refusal("a subquery that is a value must have one row whatever comes")
                .hint("aggregate it: (SELECT MAX(…) FROM …)"))
        }
        Expr::Placeholder(_) => Err(refusal("a pipeline has no parameters")),
        _ => Ok(()),
    }
}
