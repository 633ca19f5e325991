//! Operators: what a sign means.
//!
//! Guarantees: `OPERATOR(pg_catalog. …)` means what its sign alone means.
//! Left out: operators of geometry, ranges, networks and JSON.

use super::expr::{Arithmetic, Comparison, Operator};
use datafusion::sql::sqlparser::ast::{self, BinaryOperator as Binary};

/// Names without parentheses that are calls.
pub(super) fn is_register(name: &str) -> bool {
    [
        "current_user",
        "session_user",
        "user",
        "current_role",
        "current_catalog",
        "current_schema",
        "current_timestamp",
    ]
    .contains(&name)
}

pub(super) fn escape(written: Option<&ast::ValueWithSpan>) -> Option<char> {
    match written {
        None => Some('\\'),
        Some(value) => value.value.clone().into_string().and_then(|text| text.chars().next()),
    }
}

/// An operator that says yes or no.
pub(super) fn condition(operator: &Binary) -> Option<Operator> {
    let like = |ignore_case, negated| Operator::Like { ignore_case, negated, escape: Some('\\') };
    let regex = |ignore_case, negated| Operator::Regex { ignore_case, negated };
    Some(match operator {
        Binary::Eq => Operator::Compare(Comparison::Eq),
        Binary::NotEq => Operator::Compare(Comparison::Ne),
        Binary::Lt => Operator::Compare(Comparison::Lt),
        Binary::LtEq => Operator::Compare(Comparison::Le),
        Binary::Gt => Operator::Compare(Comparison::Gt),
        Binary::GtEq => Operator::Compare(Comparison::Ge),
        Binary::PGRegexMatch => regex(false, false),
        Binary::PGRegexIMatch => regex(true, false),
        Binary::PGRegexNotMatch => regex(false, true),
        Binary::PGRegexNotIMatch => regex(true, true),
        Binary::PGLikeMatch => like(false, false),
        Binary::PGILikeMatch => like(true, false),
        Binary::PGNotLikeMatch => like(false, true),
        Binary::PGNotILikeMatch => like(true, true),
        Binary::PGOverlap => Operator::Overlaps,
        Binary::AtArrow => Operator::Contains,
        Binary::ArrowAt => Operator::Contained,
        Binary::PGCustomBinaryOperator(parts) => match parts.last()?.as_str() {
            "=" => Operator::Compare(Comparison::Eq),
            "<>" | "!=" => Operator::Compare(Comparison::Ne),
            "<" => Operator::Compare(Comparison::Lt),
            "<=" => Operator::Compare(Comparison::Le),
            ">" => Operator::Compare(Comparison::Gt),
            ">=" => Operator::Compare(Comparison::Ge),
            "~" => regex(false, false),
            "~*" => regex(true, false),
            "!~" => regex(false, true),
            "!~*" => regex(true, true),
            "~~" => like(false, false),
            "~~*" => like(true, false),
            "!~~" => like(false, true),
            "!~~*" => like(true, true),
            _ => return None,
        },
        _ => return None,
    })
}

pub(super) fn arithmetic(operator: &Binary) -> Option<Arithmetic> {
    Some(match operator {
        Binary::Plus => Arithmetic::Add,
        Binary::Minus => Arithmetic::Subtract,
        Binary::Multiply => Arithmetic::Multiply,
        Binary::Divide => Arithmetic::Divide,
        Binary::Modulo => Arithmetic::Modulo,
        Binary::BitwiseAnd => Arithmetic::And,
        Binary::BitwiseOr => Arithmetic::Or,
        Binary::PGBitwiseXor => Arithmetic::Xor,
        Binary::PGBitwiseShiftLeft => Arithmetic::ShiftLeft,
        Binary::PGBitwiseShiftRight => Arithmetic::ShiftRight,
        Binary::StringConcat => Arithmetic::Concat,
        Binary::PGCustomBinaryOperator(parts) => match parts.last()?.as_str() {
            "||" => Arithmetic::Concat,
            "+" => Arithmetic::Add,
            "-" => Arithmetic::Subtract,
            "&" => Arithmetic::And,
            "|" => Arithmetic::Or,
            _ => return None,
        },
        _ => return None,
    })
}
