//! From a logical plan to our operators.
//!
//! Guarantees: a column that no operator looks at is not read, nor is a field of a row; equality
//! of a text column with constants reaches the decoder. Expressions fail on overflow, never wrap.
//! Left out: more than one input, which the check before has refused.

use super::context::TopicSourceTable;
use super::needs::{self, FieldPath, Need};
use super::unnest::UnnestNode;
use super::{errors, refusal, with_hidden};
use crate::stream::operator::{Filter, Named, Operator, OperatorKind, Project, Unnest};
use crate::stream::source::{Prefilter, ReadColumn, ReadFrom, TopicRead};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, DFSchemaRef, ScalarValue};
use datafusion::execution::context::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{self as logical, BinaryExpr, Expr, LogicalPlan, TableScan};
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr, expressions};
use datafusion::sql::unparser::{Unparser, dialect::CustomDialectBuilder};
use std::collections::HashMap;
use std::sync::Arc;
use tradewind_sql::{Format, SqlError, StartupMode};

/// Operators so far, and what their rows look like.
pub(super) struct Lowered {
    pub(super) startup: StartupMode,
    read: TopicRead,
    operators: Vec<OperatorKind>,
    /// For each column of the rows: its index in the logical schema, and its pruned type.
    columns: Vec<(usize, Arc<Field>)>,
    /// The rows' schema, by which expressions find their columns.
    schema: DFSchemaRef,
}

/// Lowers a whole plan.
pub(super) fn lower(plan: &LogicalPlan) -> Result<Lowered, SqlError> {
    lower_node(plan, vec![Need::Whole; plan.schema().fields().len()])
}

fn lower_node(plan: &LogicalPlan, needs: Vec<Need>) -> Result<Lowered, SqlError> {
    match plan {
        LogicalPlan::Projection(projection) => project(projection, needs),
        LogicalPlan::Filter(node) => filter(node, needs),
        LogicalPlan::SubqueryAlias(alias) => {
            let input = lower_node(&alias.input, needs)?;
            let columns = input.columns.clone();
            input.renamed(&alias.schema, columns)
        }
        LogicalPlan::TableScan(scan) => source(scan, &needs),
        LogicalPlan::Extension(extension) => {
            match extension.node.as_any().downcast_ref::<UnnestNode>() {
                Some(node) => unnest(node, needs),
                None => Err(refusal(format!("{} does not run in a stream", extension.node.name()))),
            }
        }
        other => Err(refusal(format!("this does not run in a stream: {}", other.display()))),
    }
}

impl Lowered {
    /// The decoder's part and the operators with their ids, checked against the sink's schema.
    pub(super) fn finish(self, target: &Schema) -> Result<(TopicRead, Vec<Operator>), SqlError> {
        let mut operators = Operator::number(self.operators);
        let Some(OperatorKind::Project(last)) = operators.last_mut().map(|last| &mut last.kind)
        else {
            return Err(refusal("a pipeline ends with a projection to its table's columns"));
        };
        // The planner's names and nullability give way to the table's; types are equal by now.
        last.schema = with_hidden(target);
        Ok((self.read, operators))
    }

    /// The same rows under the names of another node's schema.
    fn renamed(
        mut self,
        schema: &DFSchema,
        columns: Vec<(usize, Arc<Field>)>,
    ) -> Result<Self, SqlError> {
        self.schema = pruned_schema(schema, &columns)?;
        self.columns = columns;
        Ok(self)
    }

    fn expression(&self, expression: &Expr) -> Result<Arc<dyn PhysicalExpr>, SqlError> {
        let physical = create_physical_expr(
            expression,
            &self.schema,
            &ExecutionProps::new(),
            &PhysicalPlanningContext::default(),
        );
        physical
            .and_then(|made| checked(made, self.schema.as_arrow()))
            .map_err(|error| errors::from(&error))
    }
}

/// Arithmetic that fails where it would wrap.
fn checked(
    expression: Arc<dyn PhysicalExpr>,
    schema: &Schema,
) -> datafusion::common::Result<Arc<dyn PhysicalExpr>> {
    let changed = expression.transform_up(|part| {
        if let Some(binary) = part.downcast_ref::<expressions::BinaryExpr>() {
            let strict = binary.clone().with_fail_on_overflow(true);
            return Ok(Transformed::yes(Arc::new(strict) as Arc<dyn PhysicalExpr>));
        }
        let Some(negative) = part.downcast_ref::<expressions::NegativeExpr>() else {
            return Ok(Transformed::no(part));
        };
        let data_type = negative.arg().data_type(schema)?;
        if !data_type.is_signed_integer() {
            return Ok(Transformed::no(part));
        }
        // The smallest integer has no negative: zero minus it says so.
        let zero = expressions::lit(ScalarValue::new_zero(&data_type)?);
        let minus = logical::Operator::Minus;
        let binary = expressions::BinaryExpr::new(zero, minus, negative.arg().clone());
        Ok(Transformed::yes(Arc::new(binary.with_fail_on_overflow(true)) as Arc<dyn PhysicalExpr>))
    })?;
    Ok(changed.data)
}

/// An expression as a person would write it, with `props.total` for a field, without its alias.
fn text(expression: &Expr) -> String {
    let readable = expression.clone().unalias().transform_down(|part| {
        let field = match &part {
            Expr::ScalarFunction(_) => FieldPath::of(&part),
            _ => None,
        };
        Ok(match field {
            Some(FieldPath { column, path }) => {
                let name = format!("{}.{}", column.name, path.join("."));
                Transformed::yes(Expr::Column(Column::new(column.relation, name)))
            }
            None => Transformed::no(part),
        })
    });
    let readable = readable.map_or_else(|_| expression.clone(), |changed| changed.data);
    // Without quotes, and without parentheses that change nothing: it is read, never run.
    let dialect = CustomDialectBuilder::new().build();
    let sql = Unparser::new(&dialect).with_pretty(true).expr_to_sql(&readable);
    sql.map_or_else(|_| readable.to_string(), |sql| sql.to_string())
}

fn pruned_schema(
    schema: &DFSchema,
    columns: &[(usize, Arc<Field>)],
) -> Result<DFSchemaRef, SqlError> {
    let fields = columns.iter().map(|(index, pruned)| {
        let (qualifier, field) = schema.qualified_field(*index);
        let field = Field::clone(field).with_data_type(pruned.data_type().clone());
        (qualifier.cloned(), Arc::new(field))
    });
    let schema = DFSchema::new_with_metadata(fields.collect(), HashMap::new());
    schema.map(Arc::new).map_err(|error| errors::from(&error))
}

/// Adds what expressions need of a node's columns to `needs`.
fn add_needs<'a>(
    needs: &mut [Need],
    schema: &DFSchema,
    expressions: impl IntoIterator<Item = (&'a Expr, &'a Need)>,
) -> Result<(), SqlError> {
    for (expression, leaf) in expressions {
        let mut add = |column: &Column, need| {
            if let Some(index) = schema.maybe_index_of_column(column) {
                needs[index].add(need);
            }
        };
        needs::of_expression(expression, leaf, &mut add).map_err(|error| errors::from(&error))?;
    }
    Ok(())
}

fn project(node: &logical::Projection, needs: Vec<Need>) -> Result<Lowered, SqlError> {
    let mut wanted = vec![Need::Nothing; node.input.schema().fields().len()];
    let kept: Vec<usize> =
        (0..needs.len()).filter(|index| needs[*index] != Need::Nothing).collect();
    let expressions = kept.iter().map(|index| (&node.expr[*index], &needs[*index]));
    add_needs(&mut wanted, node.input.schema(), expressions)?;
    let mut input = lower_node(&node.input, wanted)?;
    let (mut columns, mut named) = (Vec::new(), Vec::new());
    for index in kept {
        let expression = input.expression(&node.expr[index])?;
        let data_type = expression.data_type(input.schema.as_arrow());
        let data_type = data_type.map_err(|error| errors::from(&error))?;
        let (_, field) = node.schema.qualified_field(index);
        columns.push((index, Arc::new(Field::clone(field).with_data_type(data_type))));
        named.push(Named { expression, text: text(&node.expr[index]) });
    }
    let fields = columns.iter().map(|(_, field)| field.clone()).collect::<Vec<_>>();
    let schema = with_hidden(&Schema::new(fields));
    input.operators.push(OperatorKind::Project(Project { expressions: named, schema }));
    input.renamed(&node.schema, columns)
}

fn filter(node: &logical::Filter, mut needs: Vec<Need>) -> Result<Lowered, SqlError> {
    add_needs(&mut needs, node.input.schema(), [(&node.predicate, &Need::Whole)])?;
    let mut input = lower_node(&node.input, needs)?;
    // Nothing but the decoder before: let it pass over what the filter would throw away.
    if input.operators.is_empty() && input.read.format == Format::Json {
        let found = split_conjunction(&node.predicate).into_iter().filter_map(|part| {
            let (column, values) = equalities(part)?;
            let index = input.schema.maybe_index_of_column(column)?;
            let read = input.read.columns.get(index)?;
            let fits = read.from == ReadFrom::Value && *read.field.data_type() == DataType::Utf8;
            fits.then(|| Prefilter { field: read.field.name().clone(), values })
        });
        let found: Vec<_> = found.collect();
        input.read.prefilters.extend(found);
    }
    let predicate = input.expression(&node.predicate)?;
    let predicate = Named { expression: predicate, text: text(&node.predicate) };
    input.operators.push(OperatorKind::Filter(Filter { predicate }));
    Ok(input)
}

/// `c = 'a'`, `c IN ('a', 'b')`, `c = 'a' OR c = 'b'`: the column and the texts.
fn equalities(expression: &Expr) -> Option<(&Column, Vec<String>)> {
    match expression {
        Expr::BinaryExpr(BinaryExpr { left, op: logical::Operator::Eq, right }) => {
            match (&**left, &**right) {
                (Expr::Column(column), Expr::Literal(value, _))
                | (Expr::Literal(value, _), Expr::Column(column)) => {
                    Some((column, vec![value.try_as_str()??.to_string()]))
                }
                _ => None,
            }
        }
        Expr::BinaryExpr(BinaryExpr { left, op: logical::Operator::Or, right }) => {
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

fn source(scan: &TableScan, needs: &[Need]) -> Result<Lowered, SqlError> {
    let Some(table) = scan.source.downcast_ref::<TopicSourceTable>() else {
        return Err(refusal(format!("{} is no topic", scan.table_name)));
    };
    let definition = &table.definition;
    let Some(topic) = definition.topic() else {
        return Err(refusal(format!("{} is no topic", scan.table_name)));
    };
    let (mut columns, mut reads) = (Vec::new(), Vec::new());
    for (index, need) in needs.iter().enumerate().filter(|(_, need)| **need != Need::Nothing) {
        let (_, field) = scan.projected_schema.qualified_field(index);
        let pruned = Field::clone(field).with_data_type(need.prune(field.data_type()));
        let from = ReadFrom::of(definition, field.name()).map_err(|reason| {
            refusal(format!("column {:?} of {:?}: {reason}", field.name(), definition.name))
        })?;
        columns.push((index, Arc::new(pruned.clone())));
        reads.push(ReadColumn { field: Arc::new(pruned), from });
    }
    Ok(Lowered {
        startup: topic.startup,
        read: TopicRead {
            table: definition.name.clone(),
            topic: topic.topic.clone(),
            format: topic.format,
            columns: reads,
            prefilters: Vec::new(),
        },
        operators: Vec::new(),
        schema: pruned_schema(&scan.projected_schema, &columns)?,
        columns,
    })
}

fn unnest(node: &UnnestNode, needs: Vec<Need>) -> Result<Lowered, SqlError> {
    let before = node.input_columns();
    let (of_input, of_element) = needs.split_at(before);
    let mut wanted = of_input.to_vec();
    let array_need = array_need(node, of_element)?;
    add_needs(&mut wanted, node.input.schema(), [(&node.array, &array_need)])?;
    let mut input = lower_node(&node.input, wanted)?;
    // An array that is computed comes whole, one that is read comes pruned.
    let is_read = FieldPath::of(&node.array).is_some();
    let array = input.expression(&node.array)?;
    let array = Named { expression: array, text: text(&node.array) };
    // Of the input go on: the columns somebody needs after the unnest.
    let mut columns = Vec::new();
    let mut kept = Vec::new();
    for (place, (index, field)) in input.columns.iter().enumerate() {
        if of_input[*index] != Need::Nothing {
            kept.push(place);
            columns.push((*index, field.clone()));
        }
    }
    let mut elements = Vec::new();
    let positions = of_element.iter().enumerate().filter(|(_, need)| **need != Need::Nothing);
    for (position, need) in positions {
        let (_, field) = node.columns().qualified_field(before + position);
        let need = if is_read { need } else { &Need::Whole };
        let pruned = Field::clone(field).with_data_type(need.prune(field.data_type()));
        elements.push(element_field(node, position)?);
        columns.push((before + position, Arc::new(pruned)));
    }
    let fields = columns.iter().map(|(_, field)| field.clone()).collect::<Vec<_>>();
    let schema = with_hidden(&Schema::new(fields));
    let outer = node.outer;
    input.operators.push(OperatorKind::Unnest(Unnest { array, outer, kept, elements, schema }));
    input.renamed(node.columns(), columns)
}

/// What is needed of the array: its length at least.
fn array_need(node: &UnnestNode, of_element: &[Need]) -> Result<Need, SqlError> {
    let mut fields = Need::Nothing;
    for (position, need) in of_element.iter().enumerate() {
        match element_field(node, position)? {
            None => return Ok(Need::Whole),
            Some(name) if *need != Need::Nothing => {
                fields.add(Need::path(&[name], need.clone()));
            }
            Some(_) => {}
        }
    }
    if fields == Need::Nothing {
        // One field, so that there is a value to count.
        return Ok(match element_field(node, 0)? {
            Some(name) => Need::path(&[name], Need::Whole),
            None => Need::Whole,
        });
    }
    // An array that is computed rather than read is needed whole.
    Ok(if FieldPath::of(&node.array).is_some() { fields } else { Need::Whole })
}

fn element_field(node: &UnnestNode, position: usize) -> Result<Option<String>, SqlError> {
    node.element_field(position).map_err(|error| errors::from(&error))
}
