//! What of a filter the decoder can tell by a record's text.
//!
//! Guarantees: a record is passed over only if the filter would throw its row away.

use datafusion::common::Column;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use tradewind_sql::{Format, TableDefinition};

/// Whether a table's decoder looks at records before it reads them.
pub(super) fn reads_text(table: &TableDefinition) -> bool {
    matches!(table.connector.format(), Some(Format::Json))
}

/// Columns, and the texts one of which each of them must have.
pub(super) fn of(predicate: &Expr) -> Vec<(&Column, Vec<String>)> {
    split_conjunction(predicate).into_iter().filter_map(equalities).collect()
}

/// `c = 'a'`, `c IN ('a', 'b')`, `c = 'a' OR c = 'b'`: the column and the texts.
fn equalities(expression: &Expr) -> Option<(&Column, Vec<String>)> {
    match expression {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
            match (&**left, &**right) {
                (Expr::Column(column), Expr::Literal(value, _))
                | (Expr::Literal(value, _), Expr::Column(column)) => {
                    Some((column, vec![value.try_as_str()??.to_string()]))
                }
                _ => None,
            }
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            let (column, mut values) = equalities(left)?;
            let (other, more) = equalities(right)?;
            values.extend(more);
            (column == other).then_some((column, values))
        }
        Expr::InList(list) if !list.negated => {
            let Expr::Column(column) = &*list.expr else { return None };
            let texts = list.list.iter().map(|item| match item {
                Expr::Literal(value, _) => Some(value.try_as_str()??.to_string()),
                _ => None,
            });
            Some((column, texts.collect::<Option<_>>()?))
        }
        _ => None,
    }
}
