//! Which parts of each column are needed, and a type pruned to them.
//!
//! Guarantees: whatever an expression can look at is needed; a part nobody names is not.
//! Left out: the columns themselves, which the lowering counts.

use arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::Column;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::Expr;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How much of a value is needed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Need {
    /// Nothing.
    #[default]
    Nothing,
    /// These fields of a row, or of each row of an array of rows.
    Fields(BTreeMap<String, Need>),
    /// All of it.
    Whole,
}

impl Need {
    /// The field at the end of a path, as much of it as `leaf` says.
    pub(super) fn path(path: &[String], leaf: Self) -> Self {
        path.iter()
            .rev()
            .fold(leaf, |inner, name| Self::Fields(BTreeMap::from([(name.clone(), inner)])))
    }

    /// What both need.
    pub(super) fn add(&mut self, other: Self) {
        match (&mut *self, other) {
            (_, Self::Nothing) | (Self::Whole, _) => {}
            (_, Self::Whole) => *self = Self::Whole,
            (Self::Nothing, fields) => *self = fields,
            (Self::Fields(ours), Self::Fields(theirs)) => {
                for (name, need) in theirs {
                    ours.entry(name).or_default().add(need);
                }
            }
        }
    }

    /// A type with only the needed parts of it.
    pub(super) fn prune(&self, data_type: &DataType) -> DataType {
        match (self, data_type) {
            (Self::Fields(needed), DataType::Struct(fields)) => {
                let keep = |field: &Arc<Field>| {
                    let need = needed.get(field.name())?;
                    let pruned = need.prune(field.data_type());
                    Some(Field::clone(field).with_data_type(pruned))
                };
                DataType::Struct(fields.iter().filter_map(keep).collect::<Fields>())
            }
            (Self::Fields(_), DataType::List(element)) => {
                let pruned = self.prune(element.data_type());
                DataType::List(Arc::new(Field::clone(element).with_data_type(pruned)))
            }
            (_, other) => other.clone(),
        }
    }
}

/// A column, or a field in one.
pub(super) struct FieldPath {
    pub(super) column: Column,
    pub(super) path: Vec<String>,
}

impl FieldPath {
    /// The path an expression is, if it is nothing else.
    pub(super) fn of(expression: &Expr) -> Option<Self> {
        match expression {
            Expr::Alias(alias) => Self::of(&alias.expr),
            Expr::Column(column) => Some(Self { column: column.clone(), path: Vec::new() }),
            Expr::ScalarFunction(call) if call.func.name() == "get_field" => {
                let (base, names) = call.args.split_first()?;
                let mut found = Self::of(base)?;
                for name in names {
                    let Expr::Literal(value, _) = name else { return None };
                    found.path.push(value.try_as_str()??.to_string());
                }
                Some(found)
            }
            _ => None,
        }
    }
}

/// Calls `add` with every column an expression looks at and how much of it.
pub(super) fn of_expression(
    expression: &Expr,
    leaf: &Need,
    add: &mut impl FnMut(&Column, Need),
) -> datafusion::common::Result<()> {
    if let Some(found) = FieldPath::of(expression) {
        add(&found.column, Need::path(&found.path, leaf.clone()));
        return Ok(());
    }
    expression.apply(|part| {
        Ok(match FieldPath::of(part) {
            Some(found) => {
                add(&found.column, Need::path(&found.path, Need::Whole));
                TreeNodeRecursion::Jump
            }
            None => TreeNodeRecursion::Continue,
        })
    })?;
    Ok(())
}
