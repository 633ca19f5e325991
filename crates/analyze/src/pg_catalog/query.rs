//! A question about the catalogue with its names settled, as it is carried out.
//!
//! Guarantees: conditions stand at the earliest place where all they name is known, and a condition
//! that two columns be equal says which index finds the rows.
//! Left out: another order of joins than the one written. Clients write a sensible one.

use super::expr::Expr;
use super::registry::Definition;
use super::sets::Set;
use super::types::Type;
use std::sync::Arc;

/// A column of a query.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) ty: Type,
    /// The columns of a row in it, where its values are rows.
    pub(super) fields: Option<Arc<[(String, Type)]>>,
}

/// `SELECT`, `VALUES` or several of them, in an order.
pub(super) struct Query {
    /// Of all queries of the statement.
    pub(super) id: usize,
    pub(super) body: Body,
    pub(super) columns: Vec<Column>,
    pub(super) order: Vec<Sort>,
    pub(super) limit: Option<Expr>,
    pub(super) offset: Option<Expr>,
    /// It names columns of a query around it.
    pub(super) correlated: bool,
}

pub(super) enum Body {
    Select(Box<Select>),
    Values(Vec<Vec<Expr>>),
    Both {
        operation: Operation,
        all: bool,
        left: Arc<Query>,
        right: Arc<Query>,
        /// Types of each side's columns, to be cast to those of the whole.
        types: [Vec<Type>; 2],
    },
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Union,
    Intersect,
    Except,
}

/// What rows are ordered by.
#[derive(Clone)]
pub(super) struct Sort {
    pub(super) key: Key,
    pub(super) descending: bool,
    pub(super) nulls_first: bool,
}

#[derive(Clone)]
pub(super) enum Key {
    Output(usize),
    Expr(Expr),
}

/// One `SELECT`.
pub(super) struct Select {
    pub(super) from: From,
    /// Columns of the relations that it uses, one slot each.
    pub(super) width: usize,
    pub(super) filters: Vec<Expr>,
    pub(super) group: Option<Vec<Expr>>,
    pub(super) aggregates: Vec<Aggregate>,
    pub(super) having: Option<Expr>,
    pub(super) windows: Vec<Window>,
    pub(super) sets: Vec<SetCall>,
    pub(super) output: Vec<Expr>,
    pub(super) distinct: Distinct,
}

pub(super) enum Distinct {
    No,
    All,
    On(Vec<Expr>),
}

/// Where rows come from. Each fills its slots of the row.
pub(super) struct From {
    pub(super) source: Source,
    /// Relations in it, a bit each.
    pub(super) mask: u64,
    /// Column of the source and its slot.
    pub(super) outputs: Vec<(usize, usize)>,
    pub(super) filters: Vec<Condition>,
}

pub(super) enum Source {
    /// One row without columns.
    One,
    Relation(&'static Definition),
    Query {
        query: Arc<Query>,
        lateral: bool,
    },
    Set {
        set: SetCall,
        ordinality: bool,
    },
    /// An expression's value, as a relation of one row.
    Value(Expr),
    Join {
        kind: Join,
        left: Box<From>,
        right: Box<From>,
        on: Vec<Condition>,
    },
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Join {
    Inner,
    Left,
    Full,
}

/// A part of `WHERE` or `ON`.
#[derive(Clone)]
pub(super) struct Condition {
    pub(super) expr: Expr,
    /// Relations of this query that it names.
    pub(super) mask: u64,
    /// The sides, where it says that they are equal, with the relations that each names.
    pub(super) sides: Option<Box<[(Expr, u64); 2]>>,
}

#[derive(Clone)]
pub(super) struct SetCall {
    pub(super) set: Set,
    pub(super) arguments: Vec<Expr>,
    pub(super) types: Vec<Type>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Calculation {
    Count,
    Sum,
    Average,
    Min,
    Max,
    Array,
    Text,
    And,
    Or,
    JsonArray,
}

pub(super) struct Aggregate {
    pub(super) calculation: Calculation,
    pub(super) arguments: Vec<Expr>,
    pub(super) distinct: bool,
    pub(super) order: Vec<Sort>,
    pub(super) filter: Option<Expr>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ranking {
    RowNumber,
    Rank,
    DenseRank,
    /// An aggregate of the whole partition.
    Of(Calculation),
}

pub(super) struct Window {
    pub(super) ranking: Ranking,
    pub(super) arguments: Vec<Expr>,
    pub(super) partition: Vec<Expr>,
    pub(super) order: Vec<Sort>,
}

impl From {
    pub(super) fn new(source: Source, mask: u64) -> Self {
        Self { source, mask, outputs: Vec::new(), filters: Vec::new() }
    }

    /// Puts a condition at the earliest place where all it names is known.
    pub(super) fn push(&mut self, condition: Condition) {
        let covers = |from: &Self| condition.mask != 0 && condition.mask & !from.mask == 0;
        match &mut self.source {
            Source::Join { kind: Join::Inner, left, right, on } => {
                if covers(left) {
                    left.push(condition);
                } else if covers(right) {
                    right.push(condition);
                } else {
                    on.push(condition);
                }
            }
            Source::Join { kind: Join::Left, left, .. } if covers(left) => left.push(condition),
            _ => self.filters.push(condition),
        }
    }

    /// Says which slot each column goes to, once all are known.
    pub(super) fn settle(&mut self, slots: &[(usize, usize)]) {
        if let Source::Join { left, right, .. } = &mut self.source {
            left.settle(slots);
            right.settle(slots);
            return;
        }
        let own = (0..).zip(slots).filter(|(_, (relation, _))| self.mask == 1 << relation);
        self.outputs = own.map(|(slot, (_, column))| (*column, slot)).collect();
    }

    /// The slots it fills.
    pub(super) fn slots(&self) -> Vec<usize> {
        match &self.source {
            Source::Join { left, right, .. } => [left.slots(), right.slots()].concat(),
            _ => self.outputs.iter().map(|(_, slot)| *slot).collect(),
        }
    }

    /// Whether its rows depend on those of what stands before it.
    pub(super) fn is_lateral(&self) -> bool {
        match &self.source {
            Source::Query { lateral, .. } => *lateral,
            Source::Set { .. } | Source::Value(_) => true,
            Source::Join { left, right, .. } => left.is_lateral() || right.is_lateral(),
            Source::One | Source::Relation(_) => false,
        }
    }
}
