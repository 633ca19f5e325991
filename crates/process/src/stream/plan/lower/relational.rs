//! Projections, filters, unions and unnests.

use super::super::needs::{FieldPath, Need};
use super::super::unnest::UnnestNode;
use super::super::{errors, refusal};
use super::{Lowering, Rows, Step, add_needs};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{self as logical, Expr};
use std::sync::Arc;
use tradewind_dataflow::{Hidden, OperatorKind};
use tradewind_sql::SqlError;

impl Lowering {
    pub(super) fn project(
        &mut self,
        node: &logical::Projection,
        needs: Vec<Need>,
    ) -> Result<Rows, SqlError> {
        let mut wanted = vec![Need::Nothing; node.input.schema().fields().len()];
        let kept: Vec<usize> =
            (0..needs.len()).filter(|index| needs[*index] != Need::Nothing).collect();
        let expressions = kept.iter().map(|index| (&node.expr[*index], &needs[*index]));
        add_needs(&mut wanted, node.input.schema(), expressions)?;
        let input = self.node(&node.input, wanted)?;
        let (mut columns, mut made, mut fields) = (Vec::new(), Vec::new(), Vec::new());
        for index in &kept {
            let expression = input.made(&node.expr[*index])?;
            let (_, field) = node.schema.qualified_field(*index);
            let field = input.field(&expression, field.name())?;
            columns.push((*index, field.clone()));
            fields.push(field);
            made.push(expression);
        }
        let projected = match kept.is_empty() {
            true => self.without_columns(input.node)?,
            false => self.projection(input.node, made, fields)?,
        };
        let key = key_through(&input, node, &kept);
        Rows::new(projected, columns, &node.schema, key)
    }

    pub(super) fn filter(
        &mut self,
        node: &logical::Filter,
        mut needs: Vec<Need>,
    ) -> Result<Rows, SqlError> {
        add_needs(&mut needs, node.input.schema(), [(&node.predicate, &Need::Whole)])?;
        let mut input = self.node(&node.input, needs)?;
        if matches!(&node.predicate, Expr::Literal(ScalarValue::Boolean(Some(true)), _)) {
            return Ok(input);
        }
        self.prefilter(node, &input);
        let predicate = input.made(&node.predicate)?;
        let (schema, hidden) =
            (self.draft.schema(input.node).clone(), self.draft.hidden(input.node));
        input.node = self.draft.add(Step::Filter(predicate), vec![input.node], schema, hidden)?;
        Ok(input)
    }

    pub(super) fn union(
        &mut self,
        node: &logical::Union,
        mut needs: Vec<Need>,
    ) -> Result<Rows, SqlError> {
        for (need, field) in needs.iter_mut().zip(node.schema.fields()) {
            // Parts of a value may be pruned in one input and computed as a whole in another.
            if *need != Need::Nothing && field.data_type().is_nested() {
                *need = Need::Whole;
            }
        }
        let kept: Vec<usize> =
            (0..needs.len()).filter(|index| needs[*index] != Need::Nothing).collect();
        let mut inputs = Vec::new();
        for input in &node.inputs {
            let rows = self.node(input, needs.clone())?;
            let picks: Option<Vec<_>> = kept
                .iter()
                .map(|index| {
                    let place = rows.columns.iter().position(|(logical, _)| logical == index)?;
                    Some((place, *index))
                })
                .collect();
            let picks = picks.ok_or_else(|| refusal("a column of a UNION was lost"))?;
            inputs.push(self.pick(rows.node, &picks, &node.schema, None)?);
        }
        let hidden =
            inputs.iter().map(|rows| self.draft.hidden(rows.node)).reduce(|one, other| Hidden {
                origin: one.origin && other.origin,
                watermark: one.watermark && other.watermark,
                weight: one.weight || other.weight,
            });
        let hidden = hidden.ok_or_else(|| refusal("a UNION of nothing"))?;
        let mut columns = inputs[0].columns.clone();
        for other in &inputs[1..] {
            for ((_, field), (_, theirs)) in columns.iter_mut().zip(&other.columns) {
                if field.data_type() != theirs.data_type() {
                    return Err(refusal(format!(
                        "column {:?} of the UNION has two types, {} and {}",
                        field.name(),
                        tradewind_sql::type_name(field.data_type()),
                        tradewind_sql::type_name(theirs.data_type()),
                    ))
                    .hint("CAST one of them"));
                }
                let nullable = field.is_nullable() || theirs.is_nullable();
                *field = Arc::new(Field::clone(field).with_nullable(nullable));
            }
        }
        let mut fields: Vec<_> = columns.iter().map(|(_, field)| field.clone()).collect();
        if fields.is_empty() && inputs.iter().any(|rows| self.draft.width(rows.node) > 0) {
            fields.push(Arc::new(Field::new("one", DataType::Boolean, false)));
        }
        let schema = hidden.behind(&Schema::new(fields));
        let nodes = inputs.iter().map(|rows| rows.node).collect();
        let union = self.draft.add(Step::Other(OperatorKind::Union), nodes, schema, hidden)?;
        Rows::new(union, columns, &node.schema, None)
    }

    pub(super) fn unnest(&mut self, node: &UnnestNode, needs: Vec<Need>) -> Result<Rows, SqlError> {
        let before = node.input_columns();
        let (of_input, of_element) = needs.split_at(before);
        let mut wanted = of_input.to_vec();
        let array_need = array_need(node, of_element)?;
        add_needs(&mut wanted, node.input.schema(), [(&node.array, &array_need)])?;
        let input = self.node(&node.input, wanted)?;
        // An array that is computed comes whole, one that is read comes pruned.
        let is_read = FieldPath::of(&node.array).is_some();
        let array = input.made(&node.array)?;
        // Of the input go on: the columns somebody needs after the unnest.
        let (mut columns, mut kept) = (Vec::new(), Vec::new());
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
        let hidden = self.draft.hidden(input.node);
        let schema = hidden.behind(&Schema::new(fields));
        let step = Step::Unnest { array, outer: node.outer, kept, elements };
        let unnested = self.draft.add(step, vec![input.node], schema, hidden)?;
        Rows::new(unnested, columns, node.columns(), None)
    }
}

/// Where a projection puts the columns of its input's key; a column that is computed or left out
/// tells nothing apart any more.
fn key_through(input: &Rows, node: &logical::Projection, kept: &[usize]) -> Option<Vec<usize>> {
    let key = input.key.as_ref()?.iter().map(|logical| {
        kept.iter().copied().find(|index| {
            let Expr::Column(column) = node.expr[*index].clone().unalias() else { return false };
            node.input.schema().maybe_index_of_column(&column) == Some(*logical)
        })
    });
    key.collect()
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
