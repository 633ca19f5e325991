//! Flink's syntax that DataFusion's planner does not read, or reads as something else, rewritten
//! to calls of our functions before planning.
//!
//! Guarantees: what is not named here is left as it is; the rewritten text means the same.
//! Left out: `JSON_VALUE`'s clauses, `MAP[…]`.

use datafusion::sql::sqlparser::ast::{
    self, AccessExpr, CastKind, CeilFloorKind, DateTimeField, Expr, Function, FunctionArg,
    FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident, ObjectName, TrimWhereField,
    Value, ValueWithSpan, visit_expressions_mut,
};
use datafusion::sql::sqlparser::tokenizer::Span;
use std::ops::ControlFlow;

/// Digits of a second that a `TIMESTAMP` can have here.
const DIGITS_MAX: usize = 6;

/// Rewrites a query or an expression of the `flink` dialect.
pub fn prepare<V: ast::VisitMut>(part: &mut V) {
    // The walk is from the leaves up and never stops.
    let _ = visit_expressions_mut(part, |expr| {
        rewrite(expr);
        ControlFlow::<()>::Continue(())
    });
}

fn rewrite(expr: &mut Expr) {
    let taken = std::mem::replace(expr, Expr::value(Value::Null));
    *expr = match taken {
        Expr::Value(ValueWithSpan { value: Value::Number(text, _), .. })
            if text.contains(['e', 'E']) =>
        {
            // As in Flink a number with an exponent is a DOUBLE.
            Expr::Cast {
                kind: CastKind::Cast,
                expr: Box::new(string(&text)),
                data_type: ast::DataType::Double(ast::ExactNumberInfo::None),
                array: false,
                format: None,
            }
        }
        Expr::Floor { expr, field } => rounding("floor", *expr, field),
        Expr::Ceil { expr, field } => rounding("ceil", *expr, field),
        Expr::Extract { field, expr, .. } => call("extract", vec![string(&unit(&field)), *expr]),
        Expr::Position { expr, r#in } => call("position", vec![*expr, *r#in]),
        Expr::Substring { expr, substring_from, substring_for, .. } => {
            let start = substring_from.map_or_else(|| number("1"), |start| *start);
            let length = substring_for.map(|length| *length);
            call("substring", [*expr, start].into_iter().chain(length).collect())
        }
        Expr::Overlay { expr, overlay_what, overlay_from, overlay_for } => {
            let length = overlay_for.map(|length| *length);
            let arguments = [*expr, *overlay_what, *overlay_from].into_iter().chain(length);
            call("overlay", arguments.collect())
        }
        Expr::Trim { trim_where, trim_what, expr, trim_characters } => {
            let name = match trim_where {
                None | Some(TrimWhereField::Both) => "btrim",
                Some(TrimWhereField::Leading) => "ltrim",
                Some(TrimWhereField::Trailing) => "rtrim",
            };
            let what = trim_what.map(|what| *what);
            let arguments = std::iter::once(*expr).chain(what);
            call(name, arguments.chain(trim_characters.into_iter().flatten()).collect())
        }
        Expr::CompoundFieldAccess { root, access_chain } => {
            let access_chain = access_chain.into_iter().map(field_by_name).collect();
            Expr::CompoundFieldAccess { root, access_chain }
        }
        Expr::TypedString(typed) => literal_digits(typed),
        Expr::Interval(interval) => Expr::Interval(spelled_out(interval)),
        Expr::Function(function) => Expr::Function(unit_argument(function)),
        other => other,
    };
}

/// The field of `lines[1].sku` is a name, where DataFusion's planner wants a text.
fn field_by_name(access: AccessExpr) -> AccessExpr {
    match access {
        AccessExpr::Dot(Expr::Identifier(name)) => AccessExpr::Dot(string(&name.value)),
        other => other,
    }
}

/// `FLOOR(ts TO DAY)` is `floor_time(ts, 'DAY')`.
fn rounding(name: &str, expr: Expr, field: CeilFloorKind) -> Expr {
    match field {
        CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) => call(name, vec![expr]),
        CeilFloorKind::DateTimeField(field) => {
            call(&format!("{name}_time"), vec![expr, string(&unit(&field))])
        }
        CeilFloorKind::Scale(scale) => call(name, vec![expr, Expr::Value(scale)]),
    }
}

fn unit(field: &DateTimeField) -> String {
    field.to_string().to_uppercase()
}

/// `TIMESTAMP '2024-01-01 00:00:00.123'` is a `TIMESTAMP(3)`.
fn literal_digits(mut typed: ast::TypedString) -> Expr {
    if let ast::DataType::Timestamp(digits @ None, _) = &mut typed.data_type {
        let text = typed.value.clone().into_string().unwrap_or_default();
        let fraction = text.rsplit_once('.').map_or("", |(_, fraction)| fraction);
        *digits = Some(fraction.len().min(DIGITS_MAX) as u64);
    }
    Expr::TypedString(typed)
}

/// `INTERVAL '1 12:30:00' DAY TO SECOND` names its parts, as `INTERVAL '1 day 12:30:00'` does. How
/// many digits `DAY(3)` may have changes nothing.
fn spelled_out(mut interval: ast::Interval) -> ast::Interval {
    (interval.leading_precision, interval.fractional_seconds_precision) = (None, None);
    let Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), .. }) =
        &*interval.value
    else {
        return interval;
    };
    let (Some(first), Some(_)) = (&interval.leading_field, &interval.last_field) else {
        return interval;
    };
    let units = ["year", "month", "day", "hour", "minute", "second"];
    let names = units.iter().skip_while(|unit| !first.to_string().eq_ignore_ascii_case(unit));
    let negative = text.starts_with('-');
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    let sign = if negative { "-" } else { "" };
    let parts = text.split(['-', ' ', ':']).zip(names);
    let parts: Vec<_> = parts.map(|(part, unit)| format!("{sign}{part} {unit}")).collect();
    *interval.value = string(&parts.join(" "));
    (interval.leading_field, interval.last_field) = (None, None);
    interval
}

/// The unit of `TIMESTAMPADD(DAY, …)` reads as a column.
fn unit_argument(mut function: Function) -> Function {
    let name = function.name.to_string().to_lowercase();
    if !matches!(name.as_str(), "timestampadd" | "timestampdiff") {
        return function;
    }
    if let FunctionArguments::List(list) = &mut function.args
        && let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(first))) = list.args.first_mut()
        && let Expr::Identifier(unit) = first
    {
        let unit = unit.value.to_uppercase();
        *first = string(unit.strip_prefix("SQL_TSI_").unwrap_or(&unit));
    }
    function
}

fn string(text: &str) -> Expr {
    Expr::value(Value::SingleQuotedString(text.to_string()))
}

fn number(text: &str) -> Expr {
    Expr::Value(ValueWithSpan {
        value: Value::Number(text.to_string(), false),
        span: Span::empty(),
    })
}

fn call(name: &str, arguments: Vec<Expr>) -> Expr {
    let args = arguments
        .into_iter()
        .map(|argument| FunctionArg::Unnamed(FunctionArgExpr::Expr(argument)))
        .collect();
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args,
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}
