//! `DROP`, `ALTER … RENAME`, schemas, `TRUNCATE`, `COMMENT ON`, and what is refused with advice.
//!
//! Guarantees: names are as they are looked up.
//! Left out: pausing pipelines, which the script's reader knows.

use super::Cursor;
use crate::{
    Comment, Commented, ObjectKind, Rename, SYSTEM_SCHEMAS, SqlError, StatementKind, relation_key,
    split_key,
};
use datafusion::sql::sqlparser::tokenizer::Token;

/// The kind of object whose words come next.
pub(crate) fn object_kind(cursor: &mut Cursor<'_>, plural: bool) -> Option<ObjectKind> {
    let kinds =
        [ObjectKind::Table, ObjectKind::View, ObjectKind::MaterializedView, ObjectKind::Pipeline];
    kinds.into_iter().find(|kind| {
        let words = if plural { format!("{}s", kind.name()) } else { kind.name().to_string() };
        cursor.eat(&words.split(' ').collect::<Vec<_>>())
    })
}

/// After `DROP`.
pub(crate) fn drop_object(cursor: &mut Cursor<'_>) -> Result<StatementKind, SqlError> {
    if cursor.eat(&["SCHEMA"]) {
        let if_exists = cursor.eat(&["IF", "EXISTS"]);
        let name = schema(cursor)?;
        let cascade = cascade(cursor);
        return Ok(StatementKind::DropSchema { name, if_exists, cascade });
    }
    let Some(kind) = object_kind(cursor, false) else {
        return Err(cursor.expected("TABLE, VIEW, MATERIALIZED VIEW, PIPELINE or SCHEMA"));
    };
    let if_exists = cursor.eat(&["IF", "EXISTS"]);
    let name = named(cursor, kind)?;
    if cursor.at_token(&Token::Comma) {
        return Err(cursor.expected("the end of the statement").hint("one DROP for each"));
    }
    let cascade = cascade(cursor);
    Ok(StatementKind::Drop { kind, if_exists, name, cascade })
}

/// A pipeline's name is no relation's.
fn named(cursor: &mut Cursor<'_>, kind: ObjectKind) -> Result<String, SqlError> {
    match kind {
        ObjectKind::Pipeline => cursor.identifier("a name"),
        _ => cursor.relation("a name"),
    }
}

fn cascade(cursor: &mut Cursor<'_>) -> bool {
    !cursor.eat(&["RESTRICT"]) && cursor.eat(&["CASCADE"])
}

/// `[catalog.]schema`
fn schema(cursor: &mut Cursor<'_>) -> Result<String, SqlError> {
    let start = cursor.position();
    let first = cursor.identifier("a schema")?;
    let name = match cursor.eat_token(&Token::Period) {
        true if first == crate::CATALOG => cursor.identifier("a schema")?,
        true => {
            let message = format!("there is one catalog, {:?}", crate::CATALOG);
            return Err(SqlError::at(start, message));
        }
        false => first,
    };
    Ok(name)
}

/// After `CREATE SCHEMA`.
pub(crate) fn create_schema(cursor: &mut Cursor<'_>) -> Result<StatementKind, SqlError> {
    let if_not_exists = cursor.eat(&["IF", "NOT", "EXISTS"]);
    let start = cursor.position();
    let name = schema(cursor)?;
    let plain = |c: char| c.is_alphanumeric() || c == '_';
    if name.starts_with("pg_") || SYSTEM_SCHEMAS.contains(&&*name) || !name.chars().all(plain) {
        let message = format!("a schema cannot be called {name:?}");
        return Err(SqlError::at(start, message).hint("letters, digits and _"));
    }
    if cursor.at_words(&["AUTHORIZATION"]) {
        return Err(cursor.expected("the end of the statement").hint("there are no owners yet"));
    }
    Ok(StatementKind::CreateSchema { name, if_not_exists })
}

/// After `ALTER TABLE | VIEW | MATERIALIZED VIEW`.
pub(crate) fn alter(cursor: &mut Cursor<'_>, kind: ObjectKind) -> Result<StatementKind, SqlError> {
    let if_exists = cursor.eat(&["IF", "EXISTS"]);
    let name = cursor.relation("a name")?;
    if !cursor.eat(&["RENAME", "TO"]) {
        return Err(cursor.expected("RENAME TO").hint(
            "a table's columns do not change: CREATE TABLE … AS SELECT makes another, and RENAME \
             puts it in place",
        ));
    }
    let start = cursor.position();
    let to = cursor.relation("a name")?;
    let (schema, bare) = split_key(&name);
    let to = match split_key(&to) {
        (crate::PUBLIC, to) => relation_key(vec![schema.to_string(), to.to_string()]),
        (other, _) if other == schema => to,
        _ => {
            let message = format!("{bare:?} stays in schema {schema:?}");
            return Err(SqlError::at(start, message).hint("the new name stands alone"));
        }
    };
    Ok(StatementKind::Rename(Rename { kind, name, to, if_exists }))
}

/// After `TRUNCATE`.
pub(crate) fn truncate(cursor: &mut Cursor<'_>) -> Result<StatementKind, SqlError> {
    cursor.eat(&["TABLE"]);
    cursor.eat(&["ONLY"]);
    let name = cursor.relation("a table")?;
    cascade(cursor);
    Ok(StatementKind::Truncate(name))
}

/// After `COMMENT ON`.
pub(crate) fn comment_on(cursor: &mut Cursor<'_>) -> Result<StatementKind, SqlError> {
    let on = if cursor.eat(&["COLUMN"]) {
        let (relation, column) = cursor.relation_column()?;
        Commented::Column(relation, column)
    } else if cursor.eat(&["SCHEMA"]) {
        Commented::Schema(schema(cursor)?)
    } else if cursor.eat(&["TABLE"])
        || cursor.eat(&["VIEW"])
        || cursor.eat(&["MATERIALIZED", "VIEW"])
    {
        Commented::Relation(cursor.relation("a name")?)
    } else {
        return Err(cursor.expected("TABLE, VIEW, MATERIALIZED VIEW, COLUMN or SCHEMA"));
    };
    cursor.expect(&["IS"])?;
    let text = match cursor.eat(&["NULL"]) {
        true => None,
        false => Some(cursor.text("a comment in quotes, or NULL")?).filter(|text| !text.is_empty()),
    };
    Ok(StatementKind::Comment(Comment { on, text }))
}

/// What PostgreSQL has and nobody does here, with what to do instead.
pub(crate) fn refuse(cursor: &Cursor<'_>) -> Result<(), SqlError> {
    let start = cursor.position();
    let access = "nobody is told apart yet: access control comes with users";
    let indexes = "leave it out: files are skipped by what their columns hold";
    let refused: [(&[&str], &str, &str); 7] = [
        (&["GRANT"], "GRANT", access),
        (&["REVOKE"], "REVOKE", access),
        (&["CREATE", "INDEX"], "CREATE INDEX", indexes),
        (&["CREATE", "UNIQUE", "INDEX"], "CREATE UNIQUE INDEX", "no table here checks its key"),
        (&["DROP", "INDEX"], "DROP INDEX", "there are no indexes"),
        (&["MERGE"], "MERGE", "DELETE FROM … USING …, then INSERT INTO … SELECT"),
        (&["ALTER", "SCHEMA"], "ALTER SCHEMA", "CREATE SCHEMA makes another"),
    ];
    match refused.iter().find(|(words, ..)| cursor.at_words(words)) {
        Some((_, what, hint)) => {
            Err(SqlError::at(start, format!("not supported: {what}")).hint(*hint))
        }
        None => Ok(()),
    }
}
