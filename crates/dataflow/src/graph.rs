//! A query as a graph of operators.
//!
//! Guarantees asked of a planner, and checked by [`Graph::check`]: a node comes after its inputs;
//! every node is used except sinks; what a node gives has the columns its schema says.
//! Left out: how it is made from SQL, and how it runs.

use crate::Hidden;
use crate::operator::{
    Aggregate, AggregateCall, AssignWatermark, AssignWindow, Filter, Join, Materialize, Project,
    Unnest, WindowAggregate,
};
use arrow::datatypes::SchemaRef;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// A node's place in its graph.
pub type NodeIndex = usize;

/// A whole query or pipeline.
#[derive(Debug, Clone)]
pub struct Graph {
    /// Inputs come before those who use them.
    pub nodes: Vec<Node>,
}

/// One operator and where its rows come from.
#[derive(Debug, Clone)]
pub struct Node {
    /// Names it in messages, metrics and state.
    pub id: OperatorId,
    /// What it does.
    pub kind: OperatorKind,
    /// Where its rows come from; a join has two, a union any number, a source none.
    pub inputs: Vec<NodeIndex>,
    /// What it gives, hidden columns included.
    pub schema: SchemaRef,
    /// Which hidden columns those are.
    pub hidden: Hidden,
}

/// `filter-1`: what it is, and the how manieth from the sources. The same for the same statement,
/// so that state finds its operator again.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct OperatorId(pub Arc<str>);

/// Every kind of operator.
#[derive(Debug, Clone)]
pub enum OperatorKind {
    /// Rows fed in from outside: those of source `0`, `1` … of a tick's input.
    Source(usize),
    /// Keeps rows.
    Filter(Filter),
    /// Computes columns.
    Project(Project),
    /// Makes a row of each element of an array.
    Unnest(Unnest),
    /// Notes the running watermark beside each row.
    AssignWatermark(AssignWatermark),
    /// Puts each row into its windows.
    AssignWindow(AssignWindow),
    /// All rows of all inputs.
    Union,
    /// Groups that never end.
    Aggregate(Aggregate),
    /// Groups that end with their window.
    WindowAggregate(WindowAggregate),
    /// Two changing inputs by key.
    Join(Join),
    /// A table kept for reading.
    Materialize(Materialize),
    /// Rows handed out: those of sink `0`, `1` … of a tick's output.
    Sink(usize),
}

impl From<String> for OperatorId {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<OperatorId> for String {
    fn from(id: OperatorId) -> Self {
        id.0.as_ref().into()
    }
}

impl fmt::Display for OperatorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl OperatorKind {
    /// The first part of its id.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Source(_) => "source",
            Self::Filter(_) => "filter",
            Self::Project(_) => "project",
            Self::Unnest(_) => "unnest",
            Self::AssignWatermark(_) => "watermark",
            Self::AssignWindow(_) => "window",
            Self::Union => "union",
            Self::Aggregate(_) => "aggregate",
            Self::WindowAggregate(_) => "window-aggregate",
            Self::Join(_) => "join",
            Self::Materialize(_) => "materialize",
            Self::Sink(_) => "sink",
        }
    }

    /// The columns whose values decide which worker has a row, for each input; `None` where any
    /// worker will do.
    pub fn exchange(&self, input: usize) -> Option<&[usize]> {
        match self {
            Self::Aggregate(aggregate) => Some(&aggregate.keys),
            Self::WindowAggregate(aggregate) => Some(&aggregate.keys),
            Self::Join(join) if input == 0 => Some(&join.left_keys),
            Self::Join(join) => Some(&join.right_keys),
            // One table, read as a whole: one worker has it.
            Self::Materialize(_) => Some(&[]),
            _ => None,
        }
    }
}

impl Graph {
    /// Adds a node under the next id of its kind and says where.
    pub fn add(
        &mut self,
        kind: OperatorKind,
        inputs: Vec<NodeIndex>,
        schema: SchemaRef,
        hidden: Hidden,
    ) -> NodeIndex {
        let same = self.nodes.iter().filter(|node| node.kind.name() == kind.name()).count();
        let id = OperatorId(format!("{}-{}", kind.name(), same + 1).into());
        self.nodes.push(Node { id, kind, inputs, schema, hidden });
        self.nodes.len() - 1
    }

    /// Which nodes use each node's rows, and as which of their inputs.
    pub fn users(&self) -> Vec<Vec<(NodeIndex, usize)>> {
        let mut users = vec![Vec::new(); self.nodes.len()];
        for (index, node) in self.nodes.iter().enumerate() {
            for (input, from) in node.inputs.iter().enumerate() {
                users[*from].push((index, input));
            }
        }
        users
    }

    /// The source an operator's rows come from, where there is just one.
    pub fn source_of(&self, node: NodeIndex) -> Option<NodeIndex> {
        let at = &self.nodes[node];
        match (&at.kind, &at.inputs[..]) {
            (OperatorKind::Source(_), _) => Some(node),
            (_, [only]) => self.source_of(*only),
            _ => None,
        }
    }

    /// What the state of a node looks like, as text: equal texts mean that one's state fits the
    /// other. `None` where it has none.
    pub fn fingerprint(&self, node: NodeIndex) -> Option<String> {
        let at = &self.nodes[node];
        let what = match &at.kind {
            OperatorKind::Aggregate(plan) => format!("{:?} {}", plan.keys, calls(&plan.calls)),
            OperatorKind::WindowAggregate(plan) => {
                format!("{:?} {:?} {}", plan.keys, plan.windows, calls(&plan.calls))
            }
            OperatorKind::Join(plan) => {
                let condition = plan.condition.as_ref().map(|condition| &condition.text);
                let keys = (&plan.left_keys, &plan.right_keys);
                format!("{:?} {keys:?} {condition:?}", plan.kind)
            }
            OperatorKind::Materialize(_) => String::new(),
            _ => return None,
        };
        let columns = |index: &NodeIndex| {
            let fields = self.nodes[*index].schema.fields().iter();
            fields.map(|field| format!("{}", field.data_type())).collect::<Vec<_>>().join(", ")
        };
        let inputs: Vec<String> = at.inputs.iter().map(columns).collect();
        Some(format!("{} {what} of ({})", at.kind.name(), inputs.join("; ")))
    }

    /// What does not hold, or nothing.
    ///
    /// # Errors
    /// Which node is wrong about what: a planner's bug.
    pub fn check(&self) -> Result<(), String> {
        let users = self.users();
        for (index, node) in self.nodes.iter().enumerate() {
            let wrong = |what: &str| Err(format!("{} {what}", node.id));
            if node.inputs.iter().any(|input| *input >= index) {
                return wrong("comes before one of its inputs");
            }
            let wanted = match node.kind {
                OperatorKind::Source(_) => 0..=0,
                OperatorKind::Join(_) => 2..=2,
                OperatorKind::Union => 1..=usize::MAX,
                _ => 1..=1,
            };
            if !wanted.contains(&node.inputs.len()) {
                return wrong("has a wrong number of inputs");
            }
            let ends = matches!(node.kind, OperatorKind::Sink(_));
            if users[index].is_empty() != ends {
                return wrong(if ends { "is used" } else { "is used by nobody" });
            }
            let fields = node.schema.fields();
            let hidden = node.hidden.fields();
            if fields.len() < hidden.len()
                || fields[fields.len() - hidden.len()..]
                    .iter()
                    .zip(&hidden)
                    .any(|(field, hidden)| field.name() != hidden.name())
            {
                return wrong("does not end with its hidden columns");
            }
        }
        Ok(())
    }
}

fn calls(calls: &[AggregateCall]) -> String {
    let one = |call: &AggregateCall| {
        format!(
            "{:?} {:?} {:?} {} {}",
            call.function, call.argument, call.filter, call.distinct, call.output
        )
    };
    calls.iter().map(one).collect::<Vec<_>>().join(", ")
}
