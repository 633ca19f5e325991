//! Joins of two inputs.
//!
//! Guarantees: equalities are keys, of one type on both sides; what else must hold is a condition
//! over the columns of both; a side keeps only columns that somebody looks at.
//! Left out: joins of a row with all rows of a time, which let go of their state.

use super::super::needs::Need;
use super::super::{errors, refusal};
use super::aggregate::Before;
use super::{Lowering, Made, Rows, Step, add_needs};
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use datafusion::common::{DFSchema, JoinType, NullEquality, ScalarValue, TableReference};
use datafusion::logical_expr::type_coercion::binary::comparison_coercion;
use datafusion::logical_expr::{self as logical, BinaryExpr, Expr, Operator, cast, lit, when};
use std::collections::HashMap;
use std::sync::Arc;
use tradewind_dataflow::Hidden;
use tradewind_dataflow::operator::JoinKind;
use tradewind_sql::{SqlError, type_name};

/// A join as the engine sees it.
struct Plan<'a> {
    node: &'a logical::Join,
    kind: JoinKind,
    on: Vec<(Expr, Expr)>,
    condition: Option<Expr>,
}

/// One side, its keys computed.
struct Side {
    made: Vec<Made>,
    fields: Vec<FieldRef>,
    /// For each column its place in the plan's schema of this side; keys that are computed have
    /// none.
    logical: Vec<Option<usize>>,
    keys: Vec<usize>,
    rows: Rows,
}

impl Lowering {
    pub(super) fn join(
        &mut self,
        node: &logical::Join,
        needs: Vec<Need>,
    ) -> Result<Rows, SqlError> {
        let plan = Plan::new(node)?;
        let left_columns = node.left.schema().fields().len();
        let right_columns = node.right.schema().fields().len();
        // What goes on or is looked at by the condition is kept; keys are computed.
        let mut kept = needs.clone();
        kept.resize(left_columns + right_columns, Need::Nothing);
        let both = both_schemas(node)?;
        add_needs(&mut kept, &both, plan.condition.iter().map(|part| (part, &Need::Whole)))?;
        let (kept_left, kept_right) = kept.split_at(left_columns);
        let (left_keys, right_keys): (Vec<_>, Vec<_>) = plan.on.iter().cloned().unzip();
        let left = self.side(&node.left, kept_left, &left_keys)?;
        let right = self.side(&node.right, kept_right, &right_keys)?;
        let condition = match &plan.condition {
            Some(condition) => Some(Made::new(condition, &combined(&left, &right)?)?),
            None => None,
        };
        self.joined(plan, left, right, condition, &needs)
    }

    /// A side's rows, its columns first that go on and then the keys that are no such column.
    fn side(
        &mut self,
        plan: &logical::LogicalPlan,
        kept: &[Need],
        keys: &[Expr],
    ) -> Result<Side, SqlError> {
        let mut wanted = kept.to_vec();
        add_needs(&mut wanted, plan.schema(), keys.iter().map(|key| (key, &Need::Whole)))?;
        let rows = self.node(plan, wanted)?;
        let mut before = Before::new(&rows);
        let mut logical = Vec::new();
        for (index, _) in &rows.columns {
            if kept[*index] != Need::Nothing {
                before.place(&Expr::Column(plan.schema().columns()[*index].clone()))?;
                logical.push(Some(*index));
            }
        }
        let mut places = Vec::new();
        for key in keys {
            let place = before.place(key)?;
            let data_type = before.fields[place].data_type();
            if data_type.is_nested() {
                return Err(refusal(format!("a join compares no {}", type_name(data_type)))
                    .hint("compare its fields"));
            }
            places.push(place);
        }
        before.or_constant();
        let Before { made, fields, .. } = before;
        logical.resize(fields.len(), None);
        Ok(Side { made, fields, logical, keys: places, rows })
    }

    fn joined(
        &mut self,
        plan: Plan<'_>,
        left: Side,
        right: Side,
        condition: Option<Made>,
        needs: &[Need],
    ) -> Result<Rows, SqlError> {
        let left_columns = plan.node.left.schema().fields().len();
        let one_sided = matches!(plan.kind, JoinKind::Semi | JoinKind::Anti);
        let from = [
            self.projection(left.rows.node, left.made, left.fields.clone())?,
            self.projection(right.rows.node, right.made, right.fields.clone())?,
        ];
        let updates = from.iter().any(|side| self.draft.hidden(*side).weight);
        let grows = matches!(plan.kind, JoinKind::Inner | JoinKind::Semi) && !updates;
        let hidden = if grows { Hidden::NONE } else { Hidden::CHANGES };
        let left_nulls = matches!(plan.kind, JoinKind::Right | JoinKind::Full);
        let right_nulls = matches!(plan.kind, JoinKind::Left | JoinKind::Full);
        let mut fields = nullable(&left.fields, left_nulls);
        let mut logical = left.logical.clone();
        if !one_sided {
            fields.extend(nullable(&right.fields, right_nulls));
            let right = right.logical.iter();
            logical.extend(right.map(|index| index.map(|index| index + left_columns)));
        }
        let step =
            Step::Join { kind: plan.kind, left_keys: left.keys, right_keys: right.keys, condition };
        let schema = hidden.behind(&Schema::new(fields));
        let joined = self.draft.add(step, from.to_vec(), schema, hidden)?;
        let picks: Vec<(usize, usize)> = logical
            .iter()
            .enumerate()
            .filter_map(|(place, index)| Some((place, (*index)?)))
            .filter(|(_, index)| needs[*index] != Need::Nothing)
            .collect();
        let key = plan_key(plan.node, plan.kind, left.rows.key, right.rows.key);
        self.pick(joined, &picks, &plan.node.schema, key)
    }
}

impl<'a> Plan<'a> {
    fn new(node: &'a logical::Join) -> Result<Self, SqlError> {
        let kind = match node.join_type {
            JoinType::Inner => JoinKind::Inner,
            JoinType::Left => JoinKind::Left,
            JoinType::Right => JoinKind::Right,
            JoinType::Full => JoinKind::Full,
            JoinType::LeftSemi => JoinKind::Semi,
            JoinType::LeftAnti => JoinKind::Anti,
            other => {
                return Err(refusal(format!(
                    "this subquery would be a {other} join, which does not run in a stream"
                ))
                .hint("IN and EXISTS stand alone or with AND in WHERE"));
            }
        };
        let mut plan = Self { node, kind, on: Vec::new(), condition: node.filter.clone() };
        for (left, right) in &node.on {
            let (left, right) = same_type(node, left, right)?;
            let nullable = is_nullable(&left, node.left.schema())?
                && is_nullable(&right, node.right.schema())?;
            match node.null_equality {
                NullEquality::NullEqualsNull if nullable => {
                    let value = value_or_default(&left, node.left.schema())?;
                    let other = value_or_default(&right, node.right.schema())?;
                    plan.on.push((left.is_null(), right.is_null()));
                    plan.on.push((value, other));
                }
                _ => plan.on.push((left, right)),
            }
        }
        if node.null_aware {
            plan.compare_nulls()?;
        }
        Ok(plan)
    }

    /// `NOT IN`: a row goes on only where it is known to equal no other. A null that is compared
    /// with is unknown, so that an equality of columns that may be null is no key.
    fn compare_nulls(&mut self) -> Result<(), SqlError> {
        let mut on = Vec::new();
        for (left, right) in std::mem::take(&mut self.on) {
            if !is_nullable(&left, self.node.left.schema())?
                && !is_nullable(&right, self.node.right.schema())?
            {
                on.push((left, right));
                continue;
            }
            let equal =
                Expr::BinaryExpr(BinaryExpr::new(Box::new(left), Operator::Eq, Box::new(right)));
            let maybe = equal.is_not_false();
            self.condition = Some(match self.condition.take() {
                Some(condition) => condition.and(maybe),
                None => maybe,
            });
        }
        self.on = on;
        Ok(())
    }
}

/// Both sides of an equality in the type they are compared in.
fn same_type(node: &logical::Join, left: &Expr, right: &Expr) -> Result<(Expr, Expr), SqlError> {
    let left_type = data_type(left, node.left.schema())?;
    let right_type = data_type(right, node.right.schema())?;
    if left_type == right_type {
        return Ok((left.clone(), right.clone()));
    }
    let Some(common) = comparison_coercion(&left_type, &right_type) else {
        return Err(refusal(format!(
            "{} and {} do not compare",
            type_name(&left_type),
            type_name(&right_type)
        ))
        .hint("CAST one of them"));
    };
    let converted = |side: &Expr, from: DataType| match from == common {
        true => side.clone(),
        false => cast(side.clone(), common.clone()),
    };
    Ok((converted(left, left_type), converted(right, right_type)))
}

fn data_type(expression: &Expr, schema: &DFSchema) -> Result<DataType, SqlError> {
    use datafusion::logical_expr::ExprSchemable;
    expression.get_type(schema).map_err(|error| errors::from(&error))
}

fn is_nullable(expression: &Expr, schema: &DFSchema) -> Result<bool, SqlError> {
    use datafusion::logical_expr::ExprSchemable;
    expression.nullable(schema).map_err(|error| errors::from(&error))
}

/// The value, or the same value for every null.
fn value_or_default(expression: &Expr, schema: &DFSchema) -> Result<Expr, SqlError> {
    let default = ScalarValue::new_default(&data_type(expression, schema)?);
    default
        .and_then(|default| {
            when(expression.clone().is_null(), lit(default)).otherwise(expression.clone())
        })
        .map_err(|error| errors::from(&error))
}

/// The columns of both inputs of a join, whatever it gives.
fn both_schemas(node: &logical::Join) -> Result<DFSchema, SqlError> {
    let left = node.left.schema().iter();
    let fields = left.chain(node.right.schema().iter());
    let fields = fields.map(|(qualifier, field)| (qualifier.cloned(), field.clone())).collect();
    DFSchema::new_with_metadata(fields, HashMap::new()).map_err(|error| errors::from(&error))
}

/// The columns a condition sees: the left ones first.
fn combined(left: &Side, right: &Side) -> Result<DFSchema, SqlError> {
    let mut fields: Vec<(Option<TableReference>, FieldRef)> = Vec::new();
    for (number, side) in [left, right].into_iter().enumerate() {
        for (place, (field, logical)) in side.fields.iter().zip(&side.logical).enumerate() {
            let column = logical.and_then(|logical| {
                side.rows.columns.iter().position(|(index, _)| *index == logical)
            });
            fields.push(match column {
                Some(column) => {
                    let (qualifier, named) = side.rows.schema.qualified_field(column);
                    (qualifier.cloned(), Arc::new(Field::clone(field).with_name(named.name())))
                }
                // A name that no statement has.
                None => {
                    let name = format!("key {number} {place}");
                    (None, Arc::new(Field::clone(field).with_name(name)))
                }
            });
        }
    }
    DFSchema::new_with_metadata(fields, HashMap::new()).map_err(|error| errors::from(&error))
}

fn nullable(fields: &[FieldRef], nulls: bool) -> Vec<FieldRef> {
    let field = |field: &FieldRef| match nulls {
        true => Arc::new(Field::clone(field).with_nullable(true)),
        false => field.clone(),
    };
    fields.iter().map(field).collect()
}

/// What tells a join's rows apart.
fn plan_key(
    node: &logical::Join,
    kind: JoinKind,
    left: Option<Vec<usize>>,
    right: Option<Vec<usize>>,
) -> Option<Vec<usize>> {
    if matches!(kind, JoinKind::Semi | JoinKind::Anti) {
        return left;
    }
    let (left, right) = (left?, right?);
    let compared = |key: &[usize], schema: &DFSchema, side: fn(&(Expr, Expr)) -> &Expr| {
        key.iter().all(|index| {
            node.on.iter().any(|pair| match side(pair) {
                Expr::Column(column) => schema.maybe_index_of_column(column) == Some(*index),
                _ => false,
            })
        })
    };
    // A row that meets one row at most is told apart by its own key.
    let one_right = compared(&right, node.right.schema(), |(_, right)| right);
    let one_left = compared(&left, node.left.schema(), |(left, _)| left);
    let first_right = node.left.schema().fields().len();
    let right: Vec<usize> = right.into_iter().map(|index| index + first_right).collect();
    match kind {
        JoinKind::Inner | JoinKind::Left if one_right => Some(left),
        JoinKind::Inner | JoinKind::Right if one_left => Some(right),
        _ => Some(left.into_iter().chain(right).collect()),
    }
}
