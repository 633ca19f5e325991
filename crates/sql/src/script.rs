//! A script's text to its statements.
//!
//! Guarantees: statements come in order, each with its own text and place; the first mistake ends
//! the reading with its place in the whole script; what nobody reads is refused, not skipped.
//! `EXECUTE STATEMENT SET BEGIN … END` is the inserts in it, each a statement of its own.
//! `SET 'dialect'` holds for the statements after it.
//! Left out: running the inserts of a statement set as one job.

use crate::connection_words::{connection, show_setting};
use crate::ddl::{Cursor, byte_at, create_table, line_starts};
use crate::{
    CreateView, Dialect, Insert, ObjectKind, Position, Span, SqlError, Statement, StatementKind,
    Subscribe, Subscribed, did_you_mean,
};
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer, Whitespace};

/// Longest script, in bytes: a pack is a few thousand, a pasted query rarely more than that.
pub(crate) const SCRIPT_BYTES_MAX: usize = 1 << 20;

/// Changes of the dialect within one script: after each the rest is read anew.
const DIALECT_CHANGES_MAX: usize = 64;

/// Words a statement may start with, for suggestions.
const FIRST_WORDS: [&str; 16] = [
    "CREATE",
    "INSERT",
    "DROP",
    "SHOW",
    "DESCRIBE",
    "EXPLAIN",
    "EXECUTE",
    "SELECT",
    "SUBSCRIBE",
    "WITH",
    "SET",
    "ALTER",
    "VALUES",
    "DELETE",
    "UPDATE",
    "USE",
];

/// Reads every statement of a script.
///
/// # Errors
/// The first mistake: a token that is none, a clause nobody reads, an unknown type or option.
pub fn parse_script(text: &str, dialect: Dialect) -> Result<Vec<Statement>, SqlError> {
    if text.len() > SCRIPT_BYTES_MAX {
        return Err(SqlError::at(
            Position { line: 1, column: 1 },
            format!("the script has {} bytes, at most {SCRIPT_BYTES_MAX} are read", text.len()),
        ));
    }
    let lines = line_starts(text);
    let (mut dialect, mut from) = (dialect, 0);
    let mut in_set = None;
    let mut statements = Vec::new();
    let mut changes = 0;
    'dialect: loop {
        let (tokens, mistake) = tokens_from(text, from, dialect);
        for mut tokens in split(tokens) {
            let start: Position = tokens[0].span.start.into();
            if enter_set(&mut tokens) {
                if in_set.replace(start).is_some() {
                    return Err(SqlError::at(start, "a statement set stands in no other"));
                }
            } else if in_set.is_some() && is_end(&tokens) {
                in_set = None;
                continue;
            }
            if tokens.is_empty() {
                continue;
            }
            let statement = statement(text, &lines, dialect, tokens)?;
            if in_set.is_some() && !matches!(statement.kind, StatementKind::Insert(_)) {
                return Err(SqlError::at(
                    statement.span.start,
                    "a statement set is of INSERT INTO",
                ));
            }
            let (next, end) = (statement.kind.sets_dialect(), statement.span.end);
            statements.push(statement);
            if let Some(next) = next.filter(|next| *next != dialect) {
                changes += 1;
                if changes > DIALECT_CHANGES_MAX {
                    let message = format!("more than {DIALECT_CHANGES_MAX} changes of the dialect");
                    return Err(SqlError::at(start, message));
                }
                (dialect, from) = (next, byte_at(text, &lines, end));
                continue 'dialect;
            }
        }
        match mistake {
            Some(mistake) => return Err(mistake),
            None => break,
        }
    }
    match in_set {
        None => Ok(statements),
        Some(start) => Err(SqlError::at(start, "the statement set has no END").hint("END;")),
    }
}

/// The tokens of the script from a byte on, at their places in the whole of it. With a mistake
/// come the statements before it: one of them may change what the rest means.
fn tokens_from(
    text: &str,
    from: usize,
    dialect: Dialect,
) -> (Vec<TokenWithSpan>, Option<SqlError>) {
    let blank = |c| if c == '\n' { '\n' } else { ' ' };
    let shown: String = text[..from].chars().map(blank).chain(text[from..].chars()).collect();
    let mut tokens = Vec::new();
    let read =
        Tokenizer::new(dialect.grammar(), &shown).tokenize_with_location_into_buf(&mut tokens);
    let mistake = read.err().map(|error| {
        let message = error.message.trim_end_matches([' ', ',']);
        SqlError::from_parser(message, error.location.into()).place(error.location.into())
    });
    if mistake.is_some() {
        let is_end = |token: &TokenWithSpan| token.token == Token::SemiColon;
        tokens.truncate(tokens.iter().rposition(is_end).unwrap_or(0));
    }
    (tokens, mistake)
}

/// Takes off `[EXECUTE] [BEGIN] STATEMENT SET [BEGIN]`, if a statement begins with it.
fn enter_set(tokens: &mut Vec<TokenWithSpan>) -> bool {
    let forms: [&[&str]; 2] =
        [&["EXECUTE", "STATEMENT", "SET", "BEGIN"], &["BEGIN", "STATEMENT", "SET"]];
    let words: Vec<(usize, String)> = tokens
        .iter()
        .enumerate()
        .filter(|(_, token)| !matches!(token.token, Token::Whitespace(_)))
        .map(|(at, token)| match &token.token {
            Token::Word(word) if word.quote_style.is_none() => (at, word.value.to_uppercase()),
            _ => (at, String::new()),
        })
        .take(5)
        .collect();
    let fits = |form: &&&[&str]| {
        words.len() >= form.len()
            && form.iter().zip(&words).all(|(wanted, (_, word))| wanted == word)
    };
    let Some(form) = forms.iter().find(fits) else { return false };
    // What stands behind it is the first statement; with a semicolon before that there is none.
    let rest = words.get(form.len()).map_or(tokens.len(), |(at, _)| *at);
    tokens.drain(..rest);
    true
}

fn is_end(tokens: &[TokenWithSpan]) -> bool {
    matches!(tokens, [token] if matches!(&token.token, Token::Word(word) if word.value.eq_ignore_ascii_case("END")))
}

/// The tokens between semicolons; runs of nothing but white space are no statements.
fn split(tokens: Vec<TokenWithSpan>) -> Vec<Vec<TokenWithSpan>> {
    let mut statements = vec![Vec::new()];
    for token in tokens {
        match token.token {
            Token::SemiColon => statements.push(Vec::new()),
            Token::EOF => {}
            _ => statements.last_mut().expect("there is always one").push(token),
        }
    }
    let is_space = |token: &TokenWithSpan| matches!(token.token, Token::Whitespace(_));
    for statement in &mut statements {
        let from = statement.iter().position(|token| !is_space(token)).unwrap_or(statement.len());
        statement.drain(..from);
        while statement.last().is_some_and(is_space) {
            statement.pop();
        }
    }
    statements.retain(|statement| !statement.is_empty());
    statements
}

fn statement(
    text: &str,
    lines: &[usize],
    dialect: Dialect,
    tokens: Vec<TokenWithSpan>,
) -> Result<Statement, SqlError> {
    let span =
        Span { start: tokens[0].span.start.into(), end: tokens[tokens.len() - 1].span.end.into() };
    let source = text[byte_at(text, lines, span.start)..byte_at(text, lines, span.end)].to_string();
    let ddl =
        matches!(&tokens[0].token, Token::Word(word) if word.value.eq_ignore_ascii_case("create"));
    let mut tokens = if ddl { split_shifts(tokens) } else { tokens };
    drop_table_words(&mut tokens);
    let mut cursor = Cursor::new(text, lines, dialect, tokens);
    let kind = kind(&mut cursor)?;
    cursor.expect_end()?;
    Ok(Statement { kind, text: source, span })
}

/// `>>` as two tokens: in a definition it closes two types.
fn split_shifts(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let halves = |token: TokenWithSpan| match token.token {
        Token::ShiftRight => {
            let mut middle = token.span.start;
            middle.column += 1;
            let mut first = token.clone();
            first.token = Token::Gt;
            first.span.end = middle;
            let mut second = token;
            second.token = Token::Gt;
            second.span.start = middle;
            vec![first, second]
        }
        _ => vec![token],
    };
    tokens.into_iter().flat_map(halves).collect()
}

/// `TUMBLE(TABLE t, …)` as `TUMBLE(t, …)`: sqlparser knows no table among the arguments of a
/// function. Every other token stays in its place.
fn drop_table_words(tokens: &mut [TokenWithSpan]) {
    let is_space = |token: &TokenWithSpan| matches!(token.token, Token::Whitespace(_));
    let seen: Vec<usize> = (0..tokens.len()).filter(|at| !is_space(&tokens[*at])).collect();
    for around in seen.windows(4) {
        let [before, at, next, after] = around else { continue };
        let word = |at: usize, words: &[&str]| match &tokens[at].token {
            Token::Word(found) => {
                found.quote_style.is_none()
                    && words.iter().any(|word| found.value.eq_ignore_ascii_case(word))
            }
            _ => false,
        };
        let is_argument =
            matches!(tokens[*before].token, Token::LParen | Token::Comma | Token::RArrow);
        let is_name = matches!(tokens[*next].token, Token::Word(_));
        let is_query = tokens[*next].token == Token::LParen
            && tokens[*before].token != Token::Comma
            && word(*after, &["SELECT", "WITH"]);
        if is_argument && word(*at, &["TABLE"]) && (is_name || is_query) {
            tokens[*at].token = Token::Whitespace(Whitespace::Space);
        }
    }
}

fn kind(cursor: &mut Cursor<'_>) -> Result<StatementKind, SqlError> {
    let start = cursor.position();
    if cursor.eat(&["CREATE"]) {
        return create(cursor, start);
    }
    if cursor.eat(&["INSERT"]) {
        return insert(cursor, start);
    }
    if cursor.eat(&["DROP"]) {
        return drop_object(cursor);
    }
    if cursor.eat(&["SHOW"]) {
        return show(cursor);
    }
    if cursor.eat(&["DESCRIBE"]) || cursor.eat(&["DESC"]) {
        return cursor.identifier("a table or view").map(StatementKind::Describe);
    }
    if cursor.eat(&["EXPLAIN"]) {
        return explain(cursor);
    }
    if cursor.eat(&["SUBSCRIBE"]) {
        return subscribe(cursor);
    }
    if cursor.eat(&["ALTER", "PIPELINE"]) || cursor.eat(&["ALTER", "MATERIALIZED", "VIEW"]) {
        return alter_pipeline(cursor);
    }
    if sets_quoted(cursor) {
        return set(cursor);
    }
    match connection(cursor)? {
        Some(connection) => Ok(StatementKind::Connection(Box::new(connection))),
        None => other(cursor),
    }
}

/// Reads a statement that stands at the end of another.
pub(crate) fn statement_within(cursor: &mut Cursor<'_>) -> Result<Statement, SqlError> {
    let start = cursor.position();
    let kind = kind(cursor)?;
    let text = cursor.since(start).to_string();
    Ok(Statement { kind, text, span: Span { start, end: cursor.position() } })
}

fn create(cursor: &mut Cursor<'_>, start: Position) -> Result<StatementKind, SqlError> {
    let or_replace = cursor.eat(&["OR", "REPLACE"]);
    if cursor.eat(&["TABLE"]) {
        let table = create_table(cursor, start, or_replace)?;
        return Ok(StatementKind::CreateTable(Box::new(table)));
    }
    if cursor.eat(&["VIEW"]) {
        return create_view(cursor, start, or_replace).map(StatementKind::CreateView);
    }
    if cursor.eat(&["MATERIALIZED", "VIEW"]) {
        let view = create_view(cursor, start, or_replace)?;
        return Ok(StatementKind::CreateMaterializedView(view));
    }
    if cursor.eat(&["TEMPORARY"]) || cursor.eat(&["TEMP"]) {
        return Err(SqlError::at(start, "nothing here is temporary")
            .hint("leave out TEMPORARY, and DROP it when you are done"));
    }
    Err(cursor.expected("TABLE, VIEW or MATERIALIZED VIEW"))
}

fn create_view(
    cursor: &mut Cursor<'_>,
    start: Position,
    or_replace: bool,
) -> Result<Box<CreateView>, SqlError> {
    let if_not_exists = cursor.eat(&["IF", "NOT", "EXISTS"]);
    let name = cursor.identifier("a view's name")?;
    let columns = if cursor.at_token(&Token::LParen) {
        cursor.list(|cursor| cursor.identifier("a column"))?
    } else {
        Vec::new()
    };
    if cursor.eat(&["COMMENT"]) {
        cursor.string("a comment")?;
    }
    cursor.expect(&["AS"])?;
    let (query, query_sql) = cursor.query()?;
    cursor.expect_end()?;
    let sql = cursor.since(start).to_string();
    let view = CreateView { name, columns, query, query_sql, sql, if_not_exists, or_replace };
    Ok(Box::new(view))
}

fn insert(cursor: &mut Cursor<'_>, start: Position) -> Result<StatementKind, SqlError> {
    if cursor.at_words(&["OVERWRITE"]) {
        return Err(
            SqlError::at(cursor.position(), "a pipeline only adds rows").hint("INSERT INTO")
        );
    }
    cursor.expect(&["INTO"])?;
    let target = cursor.identifier("a table")?;
    let columns = if cursor.at_token(&Token::LParen) && !cursor.at_subquery() {
        cursor.list(|cursor| cursor.identifier("a column"))?
    } else {
        Vec::new()
    };
    let (query, query_sql) = cursor.query()?;
    cursor.expect_end()?;
    let sql = cursor.since(start).to_string();
    Ok(StatementKind::Insert(Box::new(Insert { target, columns, query, query_sql, sql })))
}

fn object_kind(cursor: &mut Cursor<'_>, plural: bool) -> Option<ObjectKind> {
    let kinds =
        [ObjectKind::Table, ObjectKind::View, ObjectKind::MaterializedView, ObjectKind::Pipeline];
    kinds.into_iter().find(|kind| {
        let words = if plural { format!("{}s", kind.name()) } else { kind.name().to_string() };
        cursor.eat(&words.split(' ').collect::<Vec<_>>())
    })
}

fn drop_object(cursor: &mut Cursor<'_>) -> Result<StatementKind, SqlError> {
    let Some(kind) = object_kind(cursor, false) else {
        return Err(cursor.expected("TABLE, VIEW, MATERIALIZED VIEW or PIPELINE"));
    };
    let if_exists = cursor.eat(&["IF", "EXISTS"]);
    let name = cursor.identifier("a name")?;
    Ok(StatementKind::Drop { kind, if_exists, name })
}

fn show(cursor: &mut Cursor<'_>) -> Result<StatementKind, SqlError> {
    if let Some(kind) = object_kind(cursor, true) {
        return Ok(StatementKind::Show(kind));
    }
    if cursor.eat(&["CREATE"]) {
        let Some(kind) = object_kind(cursor, false) else {
            return Err(cursor.expected("TABLE, VIEW, MATERIALIZED VIEW or PIPELINE"));
        };
        let name = cursor.identifier("a name")?;
        return Ok(StatementKind::ShowCreate { kind, name });
    }
    if !matches!(cursor.parser().peek_token_ref().token, Token::Word(_)) {
        return Err(cursor.expected("TABLES, VIEWS, MATERIALIZED VIEWS, PIPELINES, a setting"));
    }
    let setting = show_setting(cursor)?;
    Ok(StatementKind::Connection(Box::new(setting)))
}

fn explain(cursor: &mut Cursor<'_>) -> Result<StatementKind, SqlError> {
    cursor.eat(&["PLAN", "FOR"]);
    let analyze = cursor.eat(&["ANALYZE"]);
    let statement = statement_within(cursor)?;
    if matches!(statement.kind, StatementKind::Explain { .. }) {
        return Err(SqlError::at(statement.span.start, "an explanation cannot be explained"));
    }
    Ok(StatementKind::Explain { analyze, statement: Box::new(statement) })
}

/// `SUBSCRIBE [TO] view | (query) [AFTER 'token'] [LIMIT rows]`
fn subscribe(cursor: &mut Cursor<'_>) -> Result<StatementKind, SqlError> {
    cursor.eat(&["TO"]);
    let to = match cursor.eat_token(&Token::LParen) {
        true => {
            let (query, _) = cursor.query()?;
            if !cursor.eat_token(&Token::RParen) {
                return Err(cursor.expected("')'"));
            }
            Subscribed::Query(query)
        }
        false => {
            let view = cursor.identifier("a materialized view, or a query in parentheses")?;
            Subscribed::View(view)
        }
    };
    let after = match cursor.eat(&["AFTER"]) {
        true => Some(cursor.string("a resume token in quotes")?),
        false => None,
    };
    let limit = match cursor.eat(&["LIMIT"]) {
        true => Some(cursor.integer("a number of rows")?),
        false => None,
    };
    Ok(StatementKind::Subscribe(Subscribe { to, after, limit }))
}

fn alter_pipeline(cursor: &mut Cursor<'_>) -> Result<StatementKind, SqlError> {
    let name = cursor.identifier("a pipeline")?;
    let pause = cursor.eat(&["PAUSE"]);
    if !pause && !cursor.eat(&["RESUME"]) {
        return Err(cursor.expected("PAUSE or RESUME"));
    }
    Ok(StatementKind::AlterPipeline { name, pause })
}

/// Flink's `SET 'key' = 'value'`, and not the words that PostgreSQL sets its own with.
fn sets_quoted(cursor: &mut Cursor<'_>) -> bool {
    cursor.at_words(&["SET"])
        && matches!(cursor.parser().peek_nth_token_ref(1).token, Token::SingleQuotedString(_))
}

fn set(cursor: &mut Cursor<'_>) -> Result<StatementKind, SqlError> {
    cursor.expect(&["SET"])?;
    let key = cursor.string("a setting in quotes")?;
    cursor.expect_token(&Token::Eq)?;
    let value = cursor.string("a value in quotes")?;
    Ok(StatementKind::Set { key, value })
}

fn other(cursor: &mut Cursor<'_>) -> Result<StatementKind, SqlError> {
    let start = cursor.position();
    let first = cursor.parser().peek_token_ref().token.to_string();
    let statement = cursor.read(Parser::parse_statement).map_err(|error| {
        let unknown = Position { line: error.line, column: error.column } == start;
        let hint = if unknown { did_you_mean(&first, FIRST_WORDS) } else { None };
        error.maybe_hint(hint)
    })?;
    Ok(StatementKind::Other(Box::new(statement)))
}
