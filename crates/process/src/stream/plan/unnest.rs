//! `FROM t CROSS JOIN UNNEST(t.items) AS item (sku, price)` in a logical plan.
//!
//! Guarantees: the array may be any expression over what stands before it in the `FROM`; an array
//! of rows gives a column for each field, any other array one column; `LEFT JOIN … ON TRUE` keeps
//! rows whose array is empty or null.
//! `WITH ORDINALITY` gives an element's place as its last column.
//! Left out: several arrays in one `UNNEST`.

use super::{refusal, refuse};
use arrow::datatypes::{DataType, Field};
use datafusion::common::{DFSchema, DFSchemaRef, Result, TableReference};
use datafusion::logical_expr::planner::{
    PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning,
};
use datafusion::logical_expr::{
    Expr, ExprSchemable, Extension, LogicalPlan, UserDefinedLogicalNodeCore,
};
use datafusion::sql::sqlparser::ast::{
    self, Join, JoinConstraint, JoinOperator, Query, SetExpr, TableAlias, TableFactor,
    TableWithJoins, VisitMut, VisitorMut,
};
use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

/// The column of an array of anything but rows, as Flink calls it.
const ELEMENT_COLUMN: &str = "f0";

/// Each row once for each element of an array in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct UnnestNode {
    pub(super) input: LogicalPlan,
    /// The array, over the input's columns.
    pub(super) array: Expr,
    /// A row without elements is kept, with nulls.
    pub(super) outer: bool,
    /// The input's columns, then the element's.
    schema: DFSchemaRef,
}

// DataFusion asks for an order of plans; there is none that means anything.
impl PartialOrd for UnnestNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl UnnestNode {
    /// The element's columns behind those of another input, whose types may have changed.
    fn schema_over(&self, input: &LogicalPlan) -> Result<DFSchemaRef> {
        let element = self.schema.iter().skip(self.input_columns());
        let fields = input.schema().iter().chain(element);
        let fields = fields.map(|(qualifier, field)| (qualifier.cloned(), field.clone()));
        let schema = DFSchema::new_with_metadata(fields.collect(), Default::default())?;
        Ok(Arc::new(schema))
    }

    /// How many of the columns are the input's.
    pub(super) fn input_columns(&self) -> usize {
        self.input.schema().fields().len()
    }

    /// The input's columns, then the element's.
    pub(super) fn columns(&self) -> &DFSchemaRef {
        &self.schema
    }

    /// The field of a row that an element's column is, or `None` where it is the element itself.
    pub(super) fn element_field(&self, position: usize) -> Result<Option<String>> {
        match self.array.get_type(self.input.schema())? {
            DataType::List(element) => Ok(match element.data_type() {
                DataType::Struct(fields) => fields.get(position).map(|field| field.name().clone()),
                _ => None,
            }),
            other => datafusion::common::internal_err!("an unnest of {other}"),
        }
    }
}

impl UserDefinedLogicalNodeCore for UnnestNode {
    fn name(&self) -> &str {
        "StreamUnnest"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![self.array.clone()]
    }

    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        let elements = self.schema.fields().iter().skip(self.input_columns());
        elements.map(|field| field.name().clone()).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamUnnest: {}", self.array)
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let (mut exprs, mut inputs) = (exprs, inputs);
        match (exprs.pop(), inputs.pop()) {
            (Some(array), Some(input)) => {
                let schema = self.schema_over(&input)?;
                Ok(Self { input, array, outer: self.outer, schema })
            }
            _ => datafusion::common::internal_err!("an unnest has one array and one input"),
        }
    }
}

/// Puts every join with an `UNNEST` into a factor of its own, where [`UnnestPlanner`] meets it
/// together with what stands before it.
pub(super) fn fold_joins(query: &mut Query) {
    struct Folder;
    impl VisitorMut for Folder {
        type Break = ();
        fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
            fold_set(&mut query.body);
            ControlFlow::Continue(())
        }
    }
    let _ = VisitMut::visit(query, &mut Folder);
}

fn fold_set(body: &mut SetExpr) {
    match body {
        SetExpr::Select(select) => fold_from(&mut select.from),
        SetExpr::SetOperation { left, right, .. } => {
            fold_set(left);
            fold_set(right);
        }
        _ => {}
    }
}

fn is_unnest(factor: &TableFactor) -> bool {
    matches!(factor, TableFactor::UNNEST { .. })
}

fn fold_from(from: &mut Vec<TableWithJoins>) {
    let mut folded: Vec<TableWithJoins> = Vec::with_capacity(from.len());
    for table in from.drain(..) {
        match folded.last_mut() {
            // `FROM t, UNNEST(t.items)` is a cross join with what stands before it.
            Some(before) if is_unnest(&table.relation) => {
                before.joins.push(Join {
                    relation: table.relation,
                    global: false,
                    join_operator: JoinOperator::CrossJoin(JoinConstraint::None),
                });
                before.joins.extend(table.joins);
            }
            _ => folded.push(table),
        }
    }
    folded.iter_mut().for_each(fold_table);
    *from = folded;
}

fn fold_table(table: &mut TableWithJoins) {
    let mut pending = Vec::new();
    for join in table.joins.drain(..) {
        let unnest = is_unnest(&join.relation);
        pending.push(join);
        if unnest {
            let relation = table.relation.clone();
            let joined = TableWithJoins { relation, joins: std::mem::take(&mut pending) };
            table.relation =
                TableFactor::NestedJoin { table_with_joins: Box::new(joined), alias: None };
        }
    }
    table.joins = pending;
}

/// Plans what [`fold_joins`] has prepared.
#[derive(Debug)]
pub(super) struct UnnestPlanner;

impl RelationPlanner for UnnestPlanner {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        let TableFactor::NestedJoin { mut table_with_joins, alias: None } = relation else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let Some(join) = table_with_joins.joins.pop_if(|join| is_unnest(&join.relation)) else {
            let alias = None;
            let relation = TableFactor::NestedJoin { table_with_joins, alias };
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let left = match table_with_joins.joins.is_empty() {
            true => table_with_joins.relation,
            false => TableFactor::NestedJoin { table_with_joins, alias: None },
        };
        let input = context.plan(left)?;
        let node = plan_unnest(input, join, context)?;
        let plan = LogicalPlan::Extension(Extension { node: Arc::new(node) });
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, None))))
    }
}

fn plan_unnest(
    input: LogicalPlan,
    join: Join,
    context: &mut dyn RelationPlannerContext,
) -> Result<UnnestNode> {
    let outer = is_outer(&join.join_operator)?;
    let TableFactor::UNNEST { alias, mut array_exprs, with_ordinality, with_offset, .. } =
        join.relation
    else {
        return datafusion::common::internal_err!("the caller has seen an UNNEST");
    };
    if with_offset {
        return refuse(
            refusal("UNNEST counts elements WITH ORDINALITY").hint("from 1, in the last column"),
        );
    }
    let (Some(array), true) = (array_exprs.pop(), array_exprs.is_empty()) else {
        return refuse(refusal("UNNEST takes one array").hint("one UNNEST for each"));
    };
    let mut array = context.sql_to_expr(array, input.schema())?;
    if with_ordinality {
        array = tradewind_sql::functions::numbered_elements().call(vec![array]);
    }
    let elements = elements(&array.get_type(input.schema())?, alias.as_ref(), context)?;
    let qualifier = alias.map(|alias| TableReference::bare(context.normalize_ident(alias.name)));
    let before =
        input.schema().iter().map(|(qualifier, field)| (qualifier.cloned(), field.clone()));
    // The rows of an outer unnest may have nulls in every column of the element.
    let after = elements.into_iter().map(|field| {
        let nullable = outer || field.is_nullable();
        (qualifier.clone(), Arc::new(field.with_nullable(nullable)))
    });
    let schema = DFSchema::new_with_metadata(before.chain(after).collect(), Default::default())?;
    Ok(UnnestNode { input, array, outer, schema: Arc::new(schema) })
}

fn is_outer(operator: &JoinOperator) -> Result<bool> {
    let (outer, constraint) = match operator {
        JoinOperator::CrossJoin(constraint)
        | JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint) => (false, constraint),
        JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint) => (true, constraint),
        _ => {
            return refuse(refusal(
                "UNNEST joins by CROSS JOIN, JOIN … ON TRUE or LEFT JOIN … ON TRUE",
            ));
        }
    };
    let always = match constraint {
        JoinConstraint::None => true,
        JoinConstraint::On(ast::Expr::Value(value)) => value.value == ast::Value::Boolean(true),
        _ => false,
    };
    match always {
        true => Ok(outer),
        false => refuse(
            refusal("a join with UNNEST has no condition but TRUE")
                .hint("put the condition into WHERE"),
        ),
    }
}

/// The columns an element gives.
fn elements(
    array: &DataType,
    alias: Option<&TableAlias>,
    context: &dyn RelationPlannerContext,
) -> Result<Vec<Field>> {
    let DataType::List(element) = array else {
        return refuse(refusal(format!(
            "UNNEST takes an array, and this is {}",
            tradewind_sql::type_name(array)
        )));
    };
    let fields: Vec<Field> = match element.data_type() {
        // An element that is null has null fields.
        DataType::Struct(fields) => fields
            .iter()
            .map(|field| {
                let nullable = element.is_nullable() || field.is_nullable();
                Field::clone(field).with_nullable(nullable)
            })
            .collect(),
        _ => vec![Field::clone(element).with_name(ELEMENT_COLUMN)],
    };
    let names = alias.map_or(&[][..], |alias| &alias.columns);
    if names.is_empty() {
        return Ok(fields);
    }
    if names.len() != fields.len() {
        let has: Vec<_> = fields.iter().map(|field| field.name().as_str()).collect();
        let has = has.join(", ");
        return refuse(
            refusal(format!(
                "UNNEST names {} columns, an element has {}",
                names.len(),
                fields.len()
            ))
            .hint(format!("an element has {has}")),
        );
    }
    let renamed = fields.into_iter().zip(names);
    Ok(renamed
        .map(|(field, name)| field.with_name(context.normalize_ident(name.name.clone())))
        .collect())
}

/// The node as one of ours, if it is one.
pub(super) fn of(plan: &LogicalPlan) -> Option<&UnnestNode> {
    match plan {
        LogicalPlan::Extension(extension) => extension.node.as_any().downcast_ref(),
        _ => None,
    }
}
