//! What a result is called that has no name of its own.
//!
//! Guarantees: as PostgreSQL calls it: a column by its name, a call by its function's, and
//! `?column?` where there is nothing to go by.
//! Left out: names that the statement gives.

use super::bind::Binder;
use super::types::Type;
use datafusion::sql::sqlparser::ast::{
    self, AccessExpr, Expr, ObjectNamePart, SelectItem, SetExpr,
};

/// The name of a result.
pub(super) fn output_name(binder: &Binder, of: &Expr) -> String {
    let own = name(binder, of).or_else(|| of_type(of));
    own.unwrap_or_else(|| "?column?".into())
}

/// The name of what has none but its type's.
fn of_type(of: &Expr) -> Option<String> {
    match of {
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => of_type(inner),
        Expr::Cast { data_type, .. } => {
            let (ty, _) = Type::named(&data_type.to_string())?;
            Some(ty.name().trim_start_matches('_').to_string())
        }
        Expr::TypedString(typed) => {
            Type::named(&typed.data_type.to_string()).map(|(ty, _)| ty.name().into())
        }
        Expr::Case { .. } => Some("case".into()),
        Expr::Value(value) if matches!(value.value, ast::Value::Boolean(_)) => Some("bool".into()),
        _ => None,
    }
}

/// The name that goes before that of a type.
fn name(binder: &Binder, of: &Expr) -> Option<String> {
    match of {
        Expr::Identifier(ident) => Some(match binder.fold(ident).as_str() {
            "user" => "user".into(),
            other => other.into(),
        }),
        Expr::CompoundIdentifier(parts) => parts.last().map(|ident| binder.fold(ident)),
        Expr::CompoundFieldAccess { root, access_chain } => {
            let field = access_chain.iter().rev().find_map(|one| match one {
                AccessExpr::Dot(Expr::Identifier(ident)) => Some(binder.fold(ident)),
                _ => None,
            });
            field.or_else(|| name(binder, root))
        }
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => name(binder, inner),
        Expr::Cast { expr, .. } => name(binder, expr),
        Expr::Function(function) => {
            let last = function.name.0.last().and_then(ObjectNamePart::as_ident)?;
            Some(binder.fold(last))
        }
        Expr::Case { else_result, .. } => {
            else_result.as_ref().and_then(|otherwise| name(binder, otherwise))
        }
        Expr::Exists { .. } => Some("exists".into()),
        Expr::Array(_) => Some("array".into()),
        Expr::Tuple(_) => Some("row".into()),
        Expr::Extract { .. } => Some("extract".into()),
        Expr::Substring { .. } => Some("substring".into()),
        Expr::Position { .. } => Some("position".into()),
        Expr::Ceil { .. } => Some("ceil".into()),
        Expr::Floor { .. } => Some("floor".into()),
        Expr::Trim { trim_where, .. } => Some(
            match trim_where {
                Some(ast::TrimWhereField::Leading) => "ltrim",
                Some(ast::TrimWhereField::Trailing) => "rtrim",
                _ => "btrim",
            }
            .into(),
        ),
        Expr::Subquery(query) => match &*query.body {
            SetExpr::Select(select) => match select.projection.first()? {
                SelectItem::ExprWithAlias { alias, .. } => Some(binder.fold(alias)),
                SelectItem::UnnamedExpr(expr) => name(binder, expr).or_else(|| of_type(expr)),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}
