//! The arguments of a window function, by place or by name.
//!
//! Guarantees: every argument is read or refused at its place.

use super::super::{refusal_at, refuse, times};
use super::WindowTvf;
use arrow::datatypes::DataType;
use chrono_tz::Tz;
use datafusion::common::{Column, DFSchema, Result, ScalarValue};
use datafusion::logical_expr::planner::{
    PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning,
};
use datafusion::logical_expr::{Expr, Extension, LogicalPlan};
use datafusion::sql::sqlparser::ast::{
    self, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, ObjectNamePart,
    Spanned, TableAlias, TableFactor,
};
use datafusion::sql::sqlparser::tokenizer::Span;
use std::sync::Arc;
use tradewind_dataflow::WindowSpec;
use tradewind_sql::{SqlError, did_you_mean};

/// Microseconds of a day, as long as an interval of days is.
const DAY_US: i64 = 86_400_000_000;
/// Longest window: what is older than a hundred years is no stream.
const SIZE_US_MAX: i64 = 100 * 366 * DAY_US;
/// Most windows a row may lie in: each costs as much as a row of its own.
const WINDOWS_MAX: i64 = 10_000;

/// Plans `TUMBLE` and `HOP` in a `FROM`.
#[derive(Debug)]
pub(in super::super) struct WindowPlanner {
    /// Where the wall clock hangs that windows of instants lie on.
    pub(in super::super) zone: Tz,
}

/// A window function there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Tumble,
    Hop,
}

/// A call as it is written.
struct Call {
    kind: Kind,
    arguments: Vec<FunctionArg>,
    alias: Option<TableAlias>,
    span: Span,
}

impl Kind {
    /// Its arguments in order; the last may be left out.
    const fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Tumble => &["DATA", "TIMECOL", "SIZE", "OFFSET"],
            Self::Hop => &["DATA", "TIMECOL", "SLIDE", "SIZE", "OFFSET"],
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Tumble => "TUMBLE",
            Self::Hop => "HOP",
        }
    }
}

impl Call {
    /// The call that a factor is, or the factor as it was.
    fn of(factor: TableFactor) -> Result<std::result::Result<Self, Box<TableFactor>>> {
        let (name, span) = match &factor {
            TableFactor::TableFunction { expr: ast::Expr::Function(call), .. } => {
                (call.name.to_string(), call.name.span())
            }
            TableFactor::Table { name, args: Some(_), .. } => (name.to_string(), name.span()),
            _ => return Ok(Err(Box::new(factor))),
        };
        let kind = match name.to_uppercase().as_str() {
            "TUMBLE" => Kind::Tumble,
            "HOP" => Kind::Hop,
            other @ ("CUMULATE" | "SESSION") => {
                return refuse(
                    refusal_at(span, format!("there are no {other} windows")).hint("TUMBLE or HOP"),
                );
            }
            _ => return Ok(Err(Box::new(factor))),
        };
        let (arguments, alias) = match factor {
            TableFactor::TableFunction { expr: ast::Expr::Function(call), alias } => {
                match call.args {
                    FunctionArguments::List(list) => (list.args, alias),
                    _ => (Vec::new(), alias),
                }
            }
            TableFactor::Table { args: Some(args), alias, .. } => (args.args, alias),
            other => return Ok(Err(Box::new(other))),
        };
        Ok(Ok(Self { kind, arguments, alias, span }))
    }

    /// Each argument in its place; those that are left out are `None`.
    fn places(&self) -> Result<Vec<Option<ast::Expr>>> {
        let names = self.kind.arguments();
        let mut places: Vec<Option<ast::Expr>> = vec![None; names.len()];
        for (index, argument) in self.arguments.iter().enumerate() {
            let (name, value) = match argument {
                FunctionArg::Named { name, arg, .. } => (Some(name.clone()), arg),
                FunctionArg::ExprNamed { name: ast::Expr::Identifier(name), arg, .. } => {
                    (Some(name.clone()), arg)
                }
                FunctionArg::Unnamed(arg) => (None, arg),
                FunctionArg::ExprNamed { name, .. } => {
                    return refuse(refusal_at(name.span(), format!("{name} names no argument")));
                }
            };
            let FunctionArgExpr::Expr(value) = value else {
                return refuse(refusal_at(self.span, format!("{argument} is no argument")));
            };
            let place = match &name {
                None => (index < names.len()).then_some(index),
                Some(name) => names.iter().position(|found| name.value.eq_ignore_ascii_case(found)),
            };
            let Some(place) = place else {
                return refuse(self.unknown(name.as_ref(), value));
            };
            if places[place].replace(value.clone()).is_some() {
                return refuse(refusal_at(
                    value.span(),
                    format!("{} is given twice", names[place]),
                ));
            }
        }
        Ok(places)
    }

    fn unknown(&self, name: Option<&Ident>, value: &ast::Expr) -> SqlError {
        let names = self.kind.arguments();
        let kind = self.kind.name();
        match name {
            Some(name) => refusal_at(name.span, format!("{kind} has no argument {name}"))
                .maybe_hint(did_you_mean(&name.value, names.iter().copied())),
            None => refusal_at(value.span(), format!("{kind} takes at most {}", names.join(", "))),
        }
    }

    /// An argument that must be there.
    fn wanted<'a>(&self, places: &'a [Option<ast::Expr>], name: &str) -> Result<&'a ast::Expr> {
        let place = self.kind.arguments().iter().position(|found| *found == name);
        match place.and_then(|place| places[place].as_ref()) {
            Some(found) => Ok(found),
            None => refuse(
                refusal_at(self.span, format!("{} needs {name}", self.kind.name())).hint(
                    match self.kind {
                        Kind::Tumble => {
                            "TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE))"
                        }
                        Kind::Hop => {
                            "TABLE(HOP(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE, INTERVAL '1' HOUR)): the slide, then the size"
                        }
                    },
                ),
            ),
        }
    }

    fn interval(
        &self,
        places: &[Option<ast::Expr>],
        name: &str,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<i64> {
        interval_us(self.wanted(places, name)?, context)
    }

    /// The size, the slide and the offset.
    fn spec(
        &self,
        places: &[Option<ast::Expr>],
        context: &mut dyn RelationPlannerContext,
    ) -> Result<WindowSpec> {
        let size_us = self.interval(places, "SIZE", context)?;
        let slide_us = match self.kind {
            Kind::Tumble => size_us,
            Kind::Hop => self.interval(places, "SLIDE", context)?,
        };
        let offset_us = match places.last().and_then(Option::as_ref) {
            Some(offset) => interval_us(offset, context)?,
            None => 0,
        };
        let wrong = if size_us <= 0 || slide_us <= 0 {
            "a window is longer than nothing"
        } else if size_us > SIZE_US_MAX {
            "a window is at most a hundred years long"
        } else if size_us % slide_us != 0 {
            "a window's size is a multiple of its slide"
        } else if size_us / slide_us > WINDOWS_MAX {
            "a row lies in at most 10000 windows"
        } else {
            // `offset_us` may be of any size: windows repeat.
            return Ok(WindowSpec { size_us, slide_us, offset_us, zone: None });
        };
        refuse(refusal_at(self.span, wrong))
    }
}

impl RelationPlanner for WindowPlanner {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        let call = match Call::of(relation)? {
            Ok(call) => call,
            Err(other) => return Ok(RelationPlanning::Original(other)),
        };
        let places = call.places()?;
        let input = context.plan(data(call.wanted(&places, "DATA")?)?)?;
        let time = time_column(call.wanted(&places, "TIMECOL")?, &input, context)?;
        let mut spec = call.spec(&places, context)?;
        let at = input.schema().index_of_column(&time)?;
        let is_instant =
            matches!(input.schema().field(at).data_type(), DataType::Timestamp(_, Some(_)));
        // In UTC the wall clock shows the instant itself.
        spec.zone = (is_instant && self.zone != Tz::UTC).then_some(self.zone);
        for name in super::COLUMNS {
            if input.schema().fields().iter().any(|field| field.name() == name) {
                return refuse(
                    refusal_at(call.span, format!("the rows have a column {name:?} already"))
                        .hint("give it another name in a view or subquery"),
                );
            }
        }
        let node = WindowTvf::new(input, time, spec)?;
        let plan = LogicalPlan::Extension(Extension { node: Arc::new(node) });
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, call.alias))))
    }
}

/// The rows to put into windows.
fn data(argument: &ast::Expr) -> Result<TableFactor> {
    let names = match argument {
        ast::Expr::Identifier(name) => vec![name.clone()],
        ast::Expr::CompoundIdentifier(names) => names.clone(),
        ast::Expr::Nested(inner) => return data(inner),
        ast::Expr::Subquery(query) => {
            let subquery = query.clone();
            return Ok(TableFactor::Derived {
                lateral: false,
                subquery,
                alias: None,
                sample: None,
            });
        }
        other => {
            return refuse(
                refusal_at(other.span(), format!("{other} is no table")).hint("TABLE t"),
            );
        }
    };
    Ok(TableFactor::Table {
        name: ObjectName(names.into_iter().map(ObjectNamePart::Identifier).collect()),
        alias: None,
        args: None,
        with_hints: Vec::new(),
        version: None,
        with_ordinality: false,
        partitions: Vec::new(),
        json_path: None,
        sample: None,
        index_hints: Vec::new(),
    })
}

/// `DESCRIPTOR(ts)`: a column that is an event time.
fn time_column(
    argument: &ast::Expr,
    input: &LogicalPlan,
    context: &mut dyn RelationPlannerContext,
) -> Result<Column> {
    let column = match argument {
        ast::Expr::Function(call) if call.name.to_string().eq_ignore_ascii_case("descriptor") => {
            match &call.args {
                FunctionArguments::List(list) => match &list.args[..] {
                    [FunctionArg::Unnamed(FunctionArgExpr::Expr(column))] => Some(column),
                    _ => None,
                },
                _ => None,
            }
        }
        _ => None,
    };
    let Some(column) = column else {
        return refuse(
            refusal_at(argument.span(), "the second argument of a window is its time column")
                .hint("DESCRIPTOR(ts)"),
        );
    };
    let Expr::Column(found) = context.sql_to_expr(column.clone(), input.schema())? else {
        return refuse(refusal_at(column.span(), format!("{column} is no column")));
    };
    let roles = times::roles(input);
    let index = input.schema().index_of_column(&found)?;
    if !roles.columns[index].is_event_time() {
        return refuse(
            refusal_at(column.span(), format!("column {:?} is no event time here", found.name))
                .hint("WATERMARK FOR … AS … in its CREATE TABLE makes it one; an aggregate or join over all time ends it"),
        );
    }
    Ok(found)
}

/// An interval in microseconds.
fn interval_us(argument: &ast::Expr, context: &mut dyn RelationPlannerContext) -> Result<i64> {
    if let ast::Expr::UnaryOp { op: ast::UnaryOperator::Minus, expr } = argument {
        return Ok(-interval_us(expr, context)?);
    }
    let wrong = || refusal_at(argument.span(), format!("{argument} is no interval of time"));
    let value = context.sql_to_expr(argument.clone(), &DFSchema::empty())?;
    let Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(interval)), _) = value else {
        return refuse(wrong().hint("INTERVAL '1' MINUTE"));
    };
    if interval.months != 0 {
        return refuse(wrong().hint("months and years are of unequal length: days at most"));
    }
    let micros = i64::from(interval.days)
        .checked_mul(DAY_US)
        .and_then(|days| days.checked_add(interval.nanoseconds / 1_000));
    match micros {
        Some(micros) => Ok(micros),
        None => refuse(wrong()),
    }
}
