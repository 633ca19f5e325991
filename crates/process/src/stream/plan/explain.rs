//! A plan as text, for people and for tests.
//!
//! Guarantees: one line for each operator from the source on, with its id and what it looks at.
//! Left out: costs.

use super::StreamPlan;
use crate::stream::operator::OperatorKind;
use crate::stream::source::ReadFrom;
use tradewind_sql::field_type_name;

/// Describes a plan.
pub fn explain(plan: &StreamPlan) -> String {
    let mut lines = vec![read(plan)];
    for operator in &plan.operators {
        let what = match &operator.kind {
            OperatorKind::Filter(filter) => filter.predicate.text.clone(),
            OperatorKind::Project(project) => {
                let texts = project.expressions.iter().map(|named| named.text.as_str());
                texts.collect::<Vec<_>>().join(", ")
            }
            OperatorKind::Unnest(unnest) => {
                let outer = if unnest.outer { " (outer)" } else { "" };
                format!("{}{outer}", unnest.array.text)
            }
        };
        lines.push(format!("{}: {what}", operator.id));
    }
    lines.push(format!("sink-1: {} (append)", plan.target.name));
    lines.join("\n")
}

fn read(plan: &StreamPlan) -> String {
    let columns = plan.read.columns.iter().map(|column| match column.from {
        ReadFrom::Value => format!("{} {}", column.field.name(), field_type_name(&column.field)),
        other => format!("{} from {other:?}", column.field.name()),
    });
    let mut line = format!(
        "source-1: topic {:?}, reads {}",
        plan.read.topic,
        columns.collect::<Vec<_>>().join(", ")
    );
    for prefilter in &plan.read.prefilters {
        line.push_str(&format!(", only {} in {:?}", prefilter.field, prefilter.values));
    }
    line
}
