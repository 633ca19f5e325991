//! A graph in the making.
//!
//! Guarantees: an operator that is there already, over the same inputs, is not there twice; a
//! projection that only picks columns is one with the projection before or behind it; what nobody
//! uses is left out of the graph.
//! Left out: what operators mean.

use super::expression::Made;
use arrow::datatypes::SchemaRef;
use std::collections::HashMap;
use tradewind_dataflow::operator::{Filter, Join, JoinKind, Project, Unnest};
use tradewind_dataflow::{Graph, Hidden, NodeIndex, OperatorKind};
use tradewind_sql::SqlError;

/// A graph in the making.
#[derive(Debug, Default)]
pub(super) struct Draft {
    nodes: Vec<DraftNode>,
}

/// An operator in the making.
#[derive(Debug, Clone)]
struct DraftNode {
    step: Step,
    inputs: Vec<NodeIndex>,
    schema: SchemaRef,
    hidden: Hidden,
}

/// What an operator does: those with expressions are put together at the end.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Filter(Made),
    Project(Vec<Made>),
    Unnest { array: Made, outer: bool, kept: Vec<usize>, elements: Vec<Option<String>> },
    Join { kind: JoinKind, left_keys: Vec<usize>, right_keys: Vec<usize>, condition: Option<Made> },
    Other(OperatorKind),
}

impl Draft {
    /// Adds an operator, or finds the one that does the same with the same rows.
    pub(super) fn add(
        &mut self,
        step: Step,
        inputs: Vec<NodeIndex>,
        schema: SchemaRef,
        hidden: Hidden,
    ) -> Result<NodeIndex, SqlError> {
        let mut node = DraftNode { step, inputs, schema, hidden };
        self.join_projections(&mut node)?;
        if self.is_nothing(&node) {
            return Ok(node.inputs[0]);
        }
        let found = self.nodes.iter().position(|before| {
            before.inputs == node.inputs
                && before.schema == node.schema
                && before.hidden == node.hidden
                && before.step.is_same(&node.step)
        });
        Ok(found.unwrap_or_else(|| {
            self.nodes.push(node);
            self.nodes.len() - 1
        }))
    }

    pub(super) fn schema(&self, node: NodeIndex) -> &SchemaRef {
        &self.nodes[node].schema
    }

    pub(super) fn hidden(&self, node: NodeIndex) -> Hidden {
        self.nodes[node].hidden
    }

    /// How many visible columns a node gives.
    pub(super) fn width(&self, node: NodeIndex) -> usize {
        self.schema(node).fields().len() - self.hidden(node).count()
    }

    /// The source a node is, if it is one.
    pub(super) fn as_source(&self, node: NodeIndex) -> Option<usize> {
        match self.nodes[node].step {
            Step::Other(OperatorKind::Source(number)) => Some(number),
            _ => None,
        }
    }

    /// Two projections one after the other, one of which only picks columns, are one.
    fn join_projections(&self, node: &mut DraftNode) -> Result<(), SqlError> {
        let Step::Project(outer) = &node.step else { return Ok(()) };
        let before = &self.nodes[node.inputs[0]];
        let Step::Project(inner) = &before.step else { return Ok(()) };
        let picks = |made: &[Made]| made.iter().all(|made| made.as_column().is_some());
        let joined = if picks(outer) {
            let picked = outer.iter().filter_map(Made::as_column);
            picked.map(|place| inner[place].clone()).collect()
        } else if picks(inner) {
            let columns: Vec<_> = inner
                .iter()
                .filter_map(|made| Some((made.text.clone(), made.as_column()?)))
                .collect();
            outer.iter().map(|made| made.over(&columns)).collect::<Result<_, _>>()?
        } else {
            return Ok(());
        };
        // A column that must not be null was checked by the inner one; the outer one's schema
        // says the same of it or nothing.
        node.step = Step::Project(joined);
        node.inputs.clone_from(&before.inputs);
        Ok(())
    }

    /// A projection to the very columns that are there.
    fn is_nothing(&self, node: &DraftNode) -> bool {
        let Step::Project(made) = &node.step else { return false };
        let picked = made.iter().enumerate().all(|(place, made)| made.as_column() == Some(place));
        picked && *self.schema(node.inputs[0]) == node.schema
    }

    /// The graph of what `sinks` use, and where some of its nodes are now.
    pub(super) fn finish(self, sinks: &[NodeIndex]) -> (Graph, HashMap<NodeIndex, NodeIndex>) {
        let mut used = vec![false; self.nodes.len()];
        for sink in sinks {
            used[*sink] = true;
        }
        for index in (0..self.nodes.len()).rev() {
            if used[index] {
                self.nodes[index].inputs.iter().for_each(|input| used[*input] = true);
            }
        }
        let mut graph = Graph { nodes: Vec::new() };
        let mut places = HashMap::new();
        for (index, node) in self.nodes.into_iter().enumerate().filter(|(index, _)| used[*index]) {
            let inputs = node.inputs.iter().map(|input| places[input]).collect();
            let kind = node.step.kind(&node.schema);
            places.insert(index, graph.add(kind, inputs, node.schema, node.hidden));
        }
        (graph, places)
    }
}

impl Step {
    fn is_same(&self, other: &Self) -> bool {
        let same = |one: &Made, other: &Made| one.physical.eq(&other.physical);
        match (self, other) {
            (Self::Filter(one), Self::Filter(other)) => same(one, other),
            (Self::Project(one), Self::Project(other)) => {
                one.len() == other.len()
                    && one.iter().zip(other).all(|(one, other)| same(one, other))
            }
            (
                Self::Unnest { array, outer, kept, elements },
                Self::Unnest { array: array2, outer: outer2, kept: kept2, elements: elements2 },
            ) => same(array, array2) && outer == outer2 && kept == kept2 && elements == elements2,
            // What a sink gets is its own.
            (Self::Other(OperatorKind::Sink(_) | OperatorKind::Materialize(_)), _) => false,
            // None of these has an expression: their text is all there is.
            (Self::Other(one), Self::Other(other)) => format!("{one:?}") == format!("{other:?}"),
            // Two equal joins are rare, and each keeps its inputs.
            _ => false,
        }
    }

    fn kind(self, schema: &SchemaRef) -> OperatorKind {
        match self {
            Self::Filter(made) => OperatorKind::Filter(Filter { predicate: made.named() }),
            Self::Project(made) => OperatorKind::Project(Project {
                expressions: made.iter().map(Made::named).collect(),
                schema: schema.clone(),
            }),
            Self::Unnest { array, outer, kept, elements } => OperatorKind::Unnest(Unnest {
                array: array.named(),
                outer,
                kept,
                elements,
                schema: schema.clone(),
            }),
            Self::Join { kind, left_keys, right_keys, condition } => OperatorKind::Join(Join {
                kind,
                left_keys,
                right_keys,
                condition: condition.as_ref().map(Made::named),
            }),
            Self::Other(kind) => kind,
        }
    }
}
