//! A plan as text, for people and for tests.
//!
//! Guarantees: one line for each operator, inputs before those who use them: its id, where its
//! rows come from, what it does, what it keeps, and whether its rows are only added.
//! Left out: costs.

use super::window;
use super::{SinkPlan, SourcePlan, StreamPlan};
use crate::stream::source::ReadFrom;
use arrow::datatypes::Field;
use tradewind_dataflow::operator::{AggregateCall, Join, JoinKind, Windows};
use tradewind_dataflow::{Graph, Named, Node, OperatorKind};
use tradewind_sql::field_type_name;

/// Describes a plan.
pub fn explain(plan: &StreamPlan) -> String {
    let lines = plan.graph.nodes.iter().zip(describe(plan)).map(|(node, what)| {
        let inputs = node.inputs.iter().map(|input| plan.graph.nodes[*input].id.to_string());
        let from = match node.inputs.is_empty() {
            true => String::new(),
            false => format!(" <- {}", list(inputs)),
        };
        format!("{}{from}: {what}", node.id)
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// For each operator what it does, what it keeps, and whether its rows may be taken back.
pub fn describe(plan: &StreamPlan) -> Vec<String> {
    let one = |node: &Node| {
        let mut text = what(plan, node);
        if let Some(state) = state(&plan.graph, node) {
            text.push_str(&format!("; keeps {state}"));
        }
        if node.hidden.weight && !matches!(node.kind, OperatorKind::Sink(_)) {
            text.push_str("; updates");
        }
        text
    };
    plan.graph.nodes.iter().map(one).collect()
}

fn what(plan: &StreamPlan, node: &Node) -> String {
    let input = |number: usize| &plan.graph.nodes[node.inputs[number]];
    match &node.kind {
        OperatorKind::Source(number) => source(&plan.sources[*number]),
        OperatorKind::Filter(filter) => filter.predicate.text.clone(),
        OperatorKind::Project(project) => {
            let columns = project.expressions.iter().zip(project.schema.fields());
            match project.expressions.is_empty() {
                true => "no columns".to_string(),
                false => list(columns.map(|(named, field)| column(named, field))),
            }
        }
        OperatorKind::Unnest(unnest) => {
            let outer = if unnest.outer { " (outer)" } else { "" };
            format!("{}{outer}", unnest.array.text)
        }
        OperatorKind::AssignWatermark(_) => "by the last column".to_string(),
        OperatorKind::AssignWindow(assign) => {
            format!("{} by {}", window::text(&assign.spec), name(input(0), assign.time))
        }
        OperatorKind::Union => "all rows".to_string(),
        OperatorKind::Aggregate(aggregate) => groups(input(0), &aggregate.keys, &aggregate.calls),
        OperatorKind::WindowAggregate(aggregate) => {
            let windows = match &aggregate.windows {
                Windows::Sliced { time, spec } => {
                    format!("{} by {}", window::text(spec), name(input(0), *time))
                }
                Windows::Attached { start, end, .. } => {
                    format!("windows {} to {}", name(input(0), *start), name(input(0), *end))
                }
            };
            format!("{windows}, {}", groups(input(0), &aggregate.keys, &aggregate.calls))
        }
        OperatorKind::Join(join) => joined(join, input(0), input(1)),
        OperatorKind::Materialize(materialize) => keyed(node, &materialize.key),
        OperatorKind::Sink(number) => sink(&plan.sinks[*number]),
    }
}

/// What an operator must keep from row to row.
fn state(graph: &Graph, node: &Node) -> Option<String> {
    let input = |number: usize| &graph.nodes[node.inputs[number]];
    Some(match &node.kind {
        OperatorKind::Aggregate(aggregate) if aggregate.keys.is_empty() => "one row".to_string(),
        OperatorKind::Aggregate(_) => "each group".to_string(),
        OperatorKind::WindowAggregate(aggregate) => match aggregate.windows {
            Windows::Sliced { .. } => "each group of slices of open windows".to_string(),
            Windows::Attached { .. } => "each group of open windows".to_string(),
        },
        OperatorKind::Join(join) => {
            let side = |number: usize| match input(number).hidden.weight {
                true => "changing rows",
                false => "all rows",
            };
            let everyone =
                if join.left_keys.is_empty() { ", without a key: on one worker" } else { "" };
            format!("{} of the left and {} of the right{everyone}", side(0), side(1))
        }
        OperatorKind::Materialize(_) => "all rows".to_string(),
        OperatorKind::AssignWatermark(_) => "each partition's watermark".to_string(),
        _ => return None,
    })
}

fn source(source: &SourcePlan) -> String {
    let columns = source.read.columns.iter().map(|column| match column.from {
        ReadFrom::Value => format!("{} {}", column.field.name(), field_type_name(&column.field)),
        other => format!("{} from {other:?}", column.field.name()),
    });
    let columns = match source.read.columns.is_empty() {
        true => "nothing of it".to_string(),
        false => list(columns),
    };
    let mut line = match source.definition.topic() {
        Some(topic) => format!("topic {:?}, reads {columns}", topic.topic),
        None => format!("table {:?}, reads {columns}", source.definition.name),
    };
    for prefilter in &source.read.prefilters {
        line.push_str(&format!(", only {} in {:?}", prefilter.field, prefilter.values));
    }
    line
}

fn sink(sink: &SinkPlan) -> String {
    let mode = match (sink.hidden.weight, sink.key.is_empty()) {
        (false, _) => "append".to_string(),
        (true, true) => "updates".to_string(),
        (true, false) => {
            let names = sink.key.iter().map(|key| sink.schema.field(*key).name().clone());
            format!("updates by {}", list(names))
        }
    };
    format!("{} ({mode})", sink.target.name())
}

fn groups(input: &Node, keys: &[usize], calls: &[AggregateCall]) -> String {
    let keys = match keys.is_empty() {
        true => "of all rows".to_string(),
        false => format!("by {}", list(keys.iter().map(|key| name(input, *key)))),
    };
    match calls.is_empty() {
        true => keys,
        false => format!("{} {keys}", list(calls.iter().map(|call| call.text.clone()))),
    }
}

fn joined(join: &Join, left: &Node, right: &Node) -> String {
    let kind = match join.kind {
        JoinKind::Inner => "inner",
        JoinKind::Left => "left",
        JoinKind::Right => "right",
        JoinKind::Full => "full",
        JoinKind::Semi => "semi",
        JoinKind::Anti => "anti",
    };
    let keys = join.left_keys.iter().zip(&join.right_keys);
    let mut parts: Vec<_> = keys
        .map(|(one, other)| format!("{} = {}", name(left, *one), name(right, *other)))
        .collect();
    parts.extend(join.condition.iter().map(|condition| condition.text.clone()));
    match parts.is_empty() {
        true => format!("{kind}, every row with every row"),
        false => format!("{kind} on {}", parts.join(" AND ")),
    }
}

fn keyed(node: &Node, key: &[usize]) -> String {
    match key.is_empty() {
        true => "by the whole row".to_string(),
        false => format!("by {}", list(key.iter().map(|key| name(node, *key)))),
    }
}

/// An expression, and its name where that says more.
fn column(named: &Named, field: &Field) -> String {
    let last = named.text.rsplit('.').next().unwrap_or_default();
    match last == field.name() || named.text == *field.name() {
        true => named.text.clone(),
        false => format!("{} AS {}", named.text, field.name()),
    }
}

fn name(node: &Node, column: usize) -> String {
    node.schema.field(column).name().clone()
}

fn list(parts: impl IntoIterator<Item = String>) -> String {
    parts.into_iter().collect::<Vec<_>>().join(", ")
}
