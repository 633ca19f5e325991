//! `GROUPING SETS`, `ROLLUP` and `CUBE` as a union of one `GROUP BY` for each set.
//!
//! Guarantees: the union has the columns of the aggregate it stands for, with nulls where a set has
//! not the column.
//! Left out: `GROUPING()`.

use datafusion::common::tree_node::Transformed;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::expr::Alias;
use datafusion::logical_expr::{
    Aggregate, Expr, GroupingSet, LogicalPlan, LogicalPlanBuilder, Union,
};
use std::sync::Arc;

/// Rewrites a plan whose expressions have their types.
pub(super) fn expand(plan: LogicalPlan) -> Result<LogicalPlan> {
    let changed = plan.transform_up_with_subqueries(|node| match &node {
        LogicalPlan::Aggregate(aggregate) => match &aggregate.group_expr[..] {
            [Expr::GroupingSet(sets)] => union(aggregate, sets).map(Transformed::yes),
            _ => Ok(Transformed::no(node)),
        },
        _ => Ok(Transformed::no(node)),
    });
    Ok(changed?.data)
}

fn union(aggregate: &Aggregate, sets: &GroupingSet) -> Result<LogicalPlan> {
    let all: Vec<Expr> = sets.distinct_expr().into_iter().cloned().collect();
    let inputs = each_set(sets).into_iter().map(|set| part(aggregate, &all, set).map(Arc::new));
    let inputs = inputs.collect::<Result<_>>()?;
    Ok(LogicalPlan::Union(Union { inputs, schema: aggregate.schema.clone() }))
}

fn each_set(sets: &GroupingSet) -> Vec<Vec<Expr>> {
    match sets {
        GroupingSet::GroupingSets(sets) => sets.clone(),
        GroupingSet::Rollup(all) => (0..=all.len()).rev().map(|n| all[..n].to_vec()).collect(),
        GroupingSet::Cube(all) => {
            let has = |set: usize, place: usize| set & (1 << place) != 0;
            let pick = |set: usize| {
                let picked = all.iter().enumerate().filter(|(place, _)| has(set, *place));
                picked.map(|(_, column)| column.clone()).collect()
            };
            (0..1_usize << all.len()).rev().map(pick).collect()
        }
    }
}

/// One set's groups, in the columns of the whole: the groups, the set's number, the aggregates.
fn part(aggregate: &Aggregate, all: &[Expr], set: Vec<Expr>) -> Result<LogicalPlan> {
    let grouped =
        Aggregate::try_new(aggregate.input.clone(), set.clone(), aggregate.aggr_expr.clone())?;
    let own = grouped.schema.columns();
    let mut missing = 0_u64;
    let mut values = Vec::with_capacity(aggregate.schema.fields().len());
    for (index, column) in all.iter().enumerate() {
        match set.iter().position(|one| one == column) {
            Some(place) => values.push(Expr::Column(own[place].clone())),
            None => {
                missing |= 1 << (all.len() - 1 - index);
                let nothing = ScalarValue::try_from(aggregate.schema.field(index).data_type())?;
                values.push(Expr::Literal(nothing, None));
            }
        }
    }
    let number = aggregate.schema.field(all.len()).data_type();
    let number = ScalarValue::UInt64(Some(missing)).cast_to(number)?;
    values.push(Expr::Literal(number, None));
    values.extend(own[set.len()..].iter().cloned().map(Expr::Column));
    let named =
        values.into_iter().zip(aggregate.schema.iter()).map(|(value, (qualifier, field))| {
            Expr::Alias(Alias::new(value, qualifier.cloned(), field.name()))
        });
    LogicalPlanBuilder::from(LogicalPlan::Aggregate(grouped)).project(named)?.build()
}
