//! Which columns of a plan are times that the engine knows about.
//!
//! Guarantees: a column is an event time only where its rows come no earlier than the watermark
//! says; columns of a window are known as long as nothing is computed of them.
//! Left out: whether there is a watermark at all, which the plan below says.

use super::{event_time, unnest, window};
use datafusion::logical_expr::{Aggregate, Expr, Join, JoinType, LogicalPlan};
use tradewind_dataflow::WindowSpec;

/// What a column is to event time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Role {
    /// A value like any other.
    #[default]
    None,
    /// An event time.
    Time,
    /// The start of the row's window.
    Start,
    /// Its end.
    End,
    /// Its last millisecond, which is an event time.
    WindowTime,
}

/// What the columns of a plan are to event time.
#[derive(Debug, Clone, Default)]
pub(super) struct Roles {
    /// One for each column.
    pub(super) columns: Vec<Role>,
    /// The windows that rows are in, where they are in windows.
    pub(super) spec: Option<WindowSpec>,
}

impl Role {
    /// Whether windows may be made by it.
    pub(super) fn is_event_time(self) -> bool {
        matches!(self, Self::Time | Self::WindowTime)
    }

    /// Whether it belongs to a window.
    pub(super) fn is_window(self) -> bool {
        matches!(self, Self::Start | Self::End | Self::WindowTime)
    }
}

impl Roles {
    fn none(count: usize) -> Self {
        Self { columns: vec![Role::None; count], spec: None }
    }

    /// Whether rows say which window they are in.
    pub(super) fn has_window(&self) -> bool {
        self.spec.is_some()
            && self.columns.contains(&Role::Start)
            && self.columns.contains(&Role::End)
    }

    /// Rows that no longer say which window they are in are in none.
    fn settled(mut self) -> Self {
        if !self.has_window() {
            for role in &mut self.columns {
                *role = match role {
                    Role::WindowTime => Role::Time,
                    Role::Time => Role::Time,
                    _ => Role::None,
                };
            }
            self.spec = None;
        }
        self
    }
}

/// The roles of a plan's columns.
pub(super) fn roles(plan: &LogicalPlan) -> Roles {
    let count = plan.schema().fields().len();
    match plan {
        LogicalPlan::Projection(node) => projected(&node.input, &node.expr),
        LogicalPlan::Filter(node) => roles(&node.input),
        LogicalPlan::SubqueryAlias(node) => roles(&node.input),
        LogicalPlan::Union(node) => {
            let mut inputs = node.inputs.iter().map(|input| roles(input));
            let first = inputs.next().unwrap_or_default();
            let same = |found: Roles, other: Roles| {
                if found.spec != other.spec {
                    return Roles::none(count);
                }
                let pairs = found.columns.into_iter().zip(other.columns);
                let columns = pairs.map(|(one, other)| if one == other { one } else { Role::None });
                Roles { columns: columns.collect(), spec: found.spec }.settled()
            };
            inputs.fold(first, same)
        }
        LogicalPlan::Aggregate(node) => aggregated(node),
        LogicalPlan::Distinct(_) => {
            plan.inputs().first().map_or_else(|| Roles::none(count), |input| grouped(roles(input)))
        }
        LogicalPlan::Join(node) => joined(node),
        LogicalPlan::Extension(_) => {
            if let Some(found) = event_time::of(plan) {
                let mut roles = Roles::none(count);
                roles.columns[found.column] = Role::Time;
                return roles;
            }
            if let Some(found) = window::of(plan) {
                let mut roles = Roles::none(count);
                roles.columns[count - 3..].copy_from_slice(&[
                    Role::Start,
                    Role::End,
                    Role::WindowTime,
                ]);
                roles.spec = Some(found.spec);
                return roles;
            }
            if let Some(found) = unnest::of(plan) {
                let mut roles = roles(&found.input);
                roles.columns.resize(count, Role::None);
                return roles;
            }
            Roles::none(count)
        }
        _ => Roles::none(count),
    }
}

/// The role of an expression over a plan's columns.
pub(super) fn role_of(expression: &Expr, plan: &LogicalPlan, roles: &Roles) -> Role {
    match expression {
        Expr::Alias(alias) => role_of(&alias.expr, plan, roles),
        Expr::Column(column) => {
            plan.schema().maybe_index_of_column(column).map_or(Role::None, |at| roles.columns[at])
        }
        _ => Role::None,
    }
}

/// Whether an expression computes something of a column of a window.
pub(super) fn touches_window(expression: &Expr, plan: &LogicalPlan, roles: &Roles) -> bool {
    let touched = |column: &datafusion::common::Column| {
        plan.schema().maybe_index_of_column(column).is_some_and(|at| roles.columns[at].is_window())
    };
    expression.column_refs().into_iter().any(touched)
}

fn projected(input: &LogicalPlan, expressions: &[Expr]) -> Roles {
    let before = roles(input);
    let columns =
        expressions.iter().map(|expression| role_of(expression, input, &before)).collect();
    Roles { columns, spec: before.spec }.settled()
}

/// Groups of a window: what they are grouped by.
fn aggregated(node: &Aggregate) -> Roles {
    let count = node.schema.fields().len();
    let mut roles = grouped(projected(&node.input, &node.group_expr));
    roles.columns.resize(count, Role::None);
    roles
}

/// Groups outside windows change for ever, and so their times are values like any other.
fn grouped(roles: Roles) -> Roles {
    match roles.has_window() {
        true => roles,
        false => Roles::none(roles.columns.len()),
    }
}

/// A join of windows by their windows keeps them; any other join keeps no time.
fn joined(node: &Join) -> Roles {
    let count = node.schema.fields().len();
    let (left, right) = (roles(&node.left), roles(&node.right));
    if !left.has_window() || left.spec != right.spec {
        return Roles::none(count);
    }
    let same = |wanted: Role| {
        node.on.iter().any(|(one, other)| {
            role_of(one, &node.left, &left) == wanted
                && role_of(other, &node.right, &right) == wanted
        })
    };
    if !same(Role::Start) || !same(Role::End) {
        return Roles::none(count);
    }
    let outer_left = matches!(node.join_type, JoinType::Right | JoinType::Full);
    let outer_right = matches!(node.join_type, JoinType::Left | JoinType::Full);
    let side = |roles: Vec<Role>, nulls: bool| {
        roles.into_iter().map(move |role| if nulls { Role::None } else { role })
    };
    let mut columns: Vec<_> = side(left.columns, outer_left).collect();
    columns.extend(side(right.columns, outer_right));
    columns.truncate(count);
    columns.resize(count, Role::None);
    Roles { columns, spec: left.spec }.settled()
}
