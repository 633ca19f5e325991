//! The two ways a text may be meant.
//!
//! Guarantees: the dialect is a property of a connection and is stored with everything made
//! through it. `Flink` keeps the case of identifiers and quotes them with backquotes; `Postgres`
//! folds unquoted identifiers to lower case and quotes them with double quotes.
//! Left out: what an expression means, which is decided where it is planned.

use datafusion::sql::sqlparser::ast::Ident;
use datafusion::sql::sqlparser::dialect::{self, GenericDialect, PostgreSqlDialect};
use std::any::TypeId;
use std::fmt;

/// Which language a script is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Dialect {
    /// Flink SQL: streaming scripts and packs.
    #[default]
    Flink,
    /// PostgreSQL: queries.
    Postgres,
}

impl Dialect {
    /// The name used in settings and in the catalogue.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Flink => "flink",
            Self::Postgres => "postgres",
        }
    }

    /// The dialect of that name, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Flink, Self::Postgres].into_iter().find(|dialect| dialect.name() == name)
    }

    /// What sqlparser reads the text with.
    pub fn grammar(self) -> &'static dyn dialect::Dialect {
        match self {
            Self::Flink => &FlinkDialect,
            Self::Postgres => &PostgreSqlDialect {},
        }
    }

    /// An identifier as it is looked up.
    pub fn fold(self, identifier: &Ident) -> String {
        match (self, identifier.quote_style) {
            (Self::Postgres, None) => identifier.value.to_lowercase(),
            _ => identifier.value.clone(),
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Flink SQL for sqlparser's tokenizer and parser: the generic grammar, with backquotes as the
/// only quotes of an identifier.
#[derive(Debug, Default, Clone, Copy)]
pub struct FlinkDialect;

impl dialect::Dialect for FlinkDialect {
    // The parser asks for this type where a rule belongs to some dialects only.
    fn dialect(&self) -> TypeId {
        TypeId::of::<GenericDialect>()
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        ch == '`'
    }

    fn identifier_quote_style(&self, _identifier: &str) -> Option<char> {
        Some('`')
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        ch.is_alphabetic() || ch == '_'
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        ch.is_alphanumeric() || ch == '_' || ch == '$'
    }

    fn supports_group_by_expr(&self) -> bool {
        true
    }

    fn supports_match_recognize(&self) -> bool {
        true
    }

    fn supports_named_fn_args_with_rarrow_operator(&self) -> bool {
        true
    }

    fn supports_filter_during_aggregation(&self) -> bool {
        true
    }

    fn supports_values_as_table_factor(&self) -> bool {
        true
    }
}
