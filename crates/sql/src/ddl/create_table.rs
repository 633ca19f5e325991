//! `CREATE TABLE`, after those two words.
//!
//! Guarantees: the definition it returns passed [`TableDefinition::check`].
//! In the `postgres` dialect a table that names no connector is the lake's.
//! Left out: `LIKE`, refused with what to write instead.

use super::Cursor;
use super::data_type::{data_type, digits};
use crate::{
    Column, ColumnKind, Connector, CreateTable, CreateTableAs, Dialect, Position, SqlError,
    StatementKind, TableDefinition, Watermark, did_you_mean,
};
use arrow_schema::DataType;
use datafusion::sql::sqlparser::tokenizer::Token;
use std::collections::BTreeMap;

/// What a record has besides its value.
const METADATA_KEYS: [&str; 5] = ["headers", "offset", "partition", "timestamp", "topic"];

/// The parts between the parentheses.
#[derive(Default)]
struct Body {
    columns: Vec<Column>,
    primary_key: Vec<String>,
    watermark: Option<Watermark>,
}

/// What stands behind a table's name.
struct Head {
    name: String,
    position: Position,
    if_not_exists: bool,
    or_replace: bool,
    temporary: bool,
}

/// Reads from `[IF NOT EXISTS] name` to the end.
pub(crate) fn create_table(
    cursor: &mut Cursor<'_>,
    start: Position,
    or_replace: bool,
    temporary: bool,
) -> Result<StatementKind, SqlError> {
    let if_not_exists = cursor.eat(&["IF", "NOT", "EXISTS"]);
    let position = cursor.position();
    let name = cursor.relation("a table's name")?;
    let head = Head { name, position, if_not_exists, or_replace, temporary };
    if is_as(cursor) {
        return create_as(cursor, head).map(|made| StatementKind::CreateTableAs(Box::new(made)));
    }
    let table = Box::new(with_columns(cursor, start, head)?);
    Ok(match temporary {
        true => StatementKind::CreateTemporary(table),
        false => StatementKind::CreateTable(table),
    })
}

/// Whether a query says what the columns are: no column behind the name has a type.
fn is_as(cursor: &mut Cursor<'_>) -> bool {
    if !cursor.at_token(&Token::LParen) {
        return true;
    }
    let next = |cursor: &mut Cursor<'_>, index| {
        let token = &cursor.parser().peek_nth_token_ref(index).token;
        matches!(token, Token::Comma | Token::RParen)
    };
    next(cursor, 2)
}

/// `[(columns)] [PARTITIONED BY (…)] [WITH (…)] AS query [WITH [NO] DATA]`
fn create_as(cursor: &mut Cursor<'_>, head: Head) -> Result<CreateTableAs, SqlError> {
    let columns = match cursor.at_token(&Token::LParen) {
        true => cursor.list(|cursor| cursor.identifier("a column"))?,
        false => Vec::new(),
    };
    let partitioned_by = partitioned_by(cursor)?;
    let at = cursor.position();
    let (options, _) = options(cursor)?;
    if options.iter().any(|(key, value)| (key.as_str(), value.as_str()) != ("connector", "delta")) {
        return Err(SqlError::at(at, "the rows of a query go to the lake")
            .hint("WITH ('connector' = 'delta'), or nothing"));
    }
    cursor.expect(&["AS"])?;
    let (query, _) = cursor.query()?;
    let empty = cursor.eat(&["WITH", "NO", "DATA"]);
    cursor.eat(&["WITH", "DATA"]);
    cursor.expect_end()?;
    let Head { name, if_not_exists, or_replace, temporary, .. } = head;
    Ok(CreateTableAs {
        name,
        columns,
        partitioned_by,
        query,
        empty,
        temporary,
        if_not_exists,
        or_replace,
    })
}

fn partitioned_by(cursor: &mut Cursor<'_>) -> Result<Vec<String>, SqlError> {
    match cursor.eat(&["PARTITIONED", "BY"]) {
        true => cursor.list(|cursor| cursor.identifier("a column")),
        false => Ok(Vec::new()),
    }
}

fn with_columns(
    cursor: &mut Cursor<'_>,
    start: Position,
    head: Head,
) -> Result<CreateTable, SqlError> {
    let body = body(cursor)?;
    let comment = if cursor.eat(&["COMMENT"]) { Some(cursor.string("a comment")?) } else { None };
    let partitioned_by = partitioned_by(cursor)?;
    let (mut options, places) = options(cursor)?;
    refuse_the_rest(cursor)?;
    if options.is_empty() && (head.temporary || cursor.dialect() == Dialect::Postgres) {
        options.insert("connector".into(), "delta".into());
    }
    let place = |key: &str| places.get(key).copied().unwrap_or(head.position);
    let connector =
        Connector::from_options(&options, |key, message| SqlError::at(place(key), message))?;
    if head.temporary && connector != Connector::Lake {
        return Err(SqlError::at(
            start,
            "a temporary table holds its rows, and names no connector",
        ));
    }
    let definition = TableDefinition {
        folder: head.name.clone(),
        name: head.name,
        columns: body.columns,
        primary_key: body.primary_key,
        watermark: body.watermark,
        partitioned_by,
        options,
        comment,
        connector,
        dialect: cursor.dialect(),
        sql: cursor.since(start).to_string(),
    };
    definition.check().map_err(|message| SqlError::at(head.position, message))?;
    let (if_not_exists, or_replace) = (head.if_not_exists, head.or_replace);
    Ok(CreateTable { definition, if_not_exists, or_replace })
}

fn body(cursor: &mut Cursor<'_>) -> Result<Body, SqlError> {
    let mut body = Body::default();
    cursor.list(|cursor| item(cursor, &mut body))?;
    Ok(body)
}

/// A column, a key or the watermark.
fn item(cursor: &mut Cursor<'_>, body: &mut Body) -> Result<(), SqlError> {
    if cursor.at_words(&["CONSTRAINT"]) || cursor.at_words(&["PRIMARY", "KEY"]) {
        if cursor.eat(&["CONSTRAINT"]) {
            cursor.identifier("a constraint's name")?;
        }
        cursor.expect(&["PRIMARY", "KEY"])?;
        let columns = cursor.list(|cursor| cursor.identifier("a column"))?;
        return primary_key(cursor, body, columns);
    }
    if cursor.at_words(&["WATERMARK", "FOR"]) {
        return watermark(cursor, body);
    }
    if cursor.at_words(&["UNIQUE"]) || cursor.at_words(&["FOREIGN", "KEY"]) {
        return Err(cursor.expected("a column, PRIMARY KEY or WATERMARK"));
    }
    column(cursor, body)
}

fn primary_key(
    cursor: &mut Cursor<'_>,
    body: &mut Body,
    columns: Vec<String>,
) -> Result<(), SqlError> {
    let position = cursor.position();
    if !body.primary_key.is_empty() {
        return Err(SqlError::at(position, "the table has a primary key already"));
    }
    if !cursor.eat(&["NOT", "ENFORCED"]) {
        return Err(cursor.expected("NOT ENFORCED").hint("no table here checks its key"));
    }
    body.primary_key = columns;
    Ok(())
}

fn watermark(cursor: &mut Cursor<'_>, body: &mut Body) -> Result<(), SqlError> {
    let position = cursor.position();
    cursor.expect(&["WATERMARK", "FOR"])?;
    let mut column = cursor.identifier("a time column")?;
    while cursor.eat_token(&Token::Period) {
        column = format!("{column}.{}", cursor.identifier("a field")?);
    }
    cursor.expect(&["AS"])?;
    let (_, expression) = cursor.expression()?;
    if body.watermark.replace(Watermark { column, expression }).is_some() {
        return Err(SqlError::at(position, "the table has a watermark already"));
    }
    Ok(())
}

fn column(cursor: &mut Cursor<'_>, body: &mut Body) -> Result<(), SqlError> {
    let name = cursor.identifier("a column's name")?;
    if cursor.eat(&["AS"]) {
        let (_, expression) = cursor.expression()?;
        let comment = comment(cursor)?;
        let kind = ColumnKind::Computed(expression);
        body.columns.push(Column {
            name,
            data_type: DataType::Null,
            digits: None,
            nullable: true,
            comment,
            kind,
        });
        return Ok(());
    }
    let digits = digits(cursor);
    let (data_type, mut nullable) = data_type(cursor)?;
    let mut kind = ColumnKind::Physical;
    if cursor.eat(&["METADATA"]) {
        kind = metadata(cursor, &name)?;
    }
    if cursor.eat(&["PRIMARY", "KEY"]) {
        nullable = false;
        primary_key(cursor, body, vec![name.clone()])?;
    }
    if cursor.at_words(&["DEFAULT"]) {
        return Err(cursor.expected("',' or ')'").hint("what an INSERT leaves out is null"));
    }
    let comment = comment(cursor)?;
    body.columns.push(Column { name, data_type, digits, nullable, comment, kind });
    Ok(())
}

fn metadata(cursor: &mut Cursor<'_>, name: &str) -> Result<ColumnKind, SqlError> {
    let position = cursor.position();
    let key =
        if cursor.eat(&["FROM"]) { cursor.string("a metadata key")? } else { name.to_string() };
    let read_only = cursor.eat(&["VIRTUAL"]);
    if !METADATA_KEYS.contains(&key.as_str()) {
        return Err(SqlError::at(position, format!("there is no metadata {key:?}"))
            .maybe_hint(did_you_mean(&key, METADATA_KEYS)));
    }
    Ok(ColumnKind::Metadata { key, read_only })
}

fn comment(cursor: &mut Cursor<'_>) -> Result<Option<String>, SqlError> {
    if cursor.eat(&["COMMENT"]) { cursor.string("a comment").map(Some) } else { Ok(None) }
}

/// `WITH ('key' = 'value', …)`, and where each key stands.
#[expect(clippy::type_complexity, reason = "two maps by key, used once")]
fn options(
    cursor: &mut Cursor<'_>,
) -> Result<(BTreeMap<String, String>, BTreeMap<String, Position>), SqlError> {
    let (mut options, mut places) = (BTreeMap::new(), BTreeMap::new());
    if !cursor.eat(&["WITH"]) {
        return Ok((options, places));
    }
    cursor.list(|cursor| {
        let position = cursor.position();
        let key = cursor.string("an option in quotes")?;
        cursor.expect_token(&Token::Eq)?;
        let value = cursor.string("the option's value in quotes")?;
        places.insert(key.clone(), position);
        match options.insert(key.clone(), value) {
            Some(_) => Err(SqlError::at(position, format!("option {key:?} is there twice"))),
            None => Ok(()),
        }
    })?;
    Ok((options, places))
}

fn refuse_the_rest(cursor: &Cursor<'_>) -> Result<(), SqlError> {
    if cursor.at_words(&["AS"]) {
        return Err(cursor
            .expected("the end of the statement")
            .hint("CREATE TABLE name AS SELECT …: the query says what the columns are"));
    }
    if cursor.at_words(&["LIKE"]) {
        return Err(cursor.expected("the end of the statement").hint("write the columns out"));
    }
    cursor.expect_end()
}
