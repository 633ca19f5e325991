//! Reads the statements about the connection itself.
//!
//! Guarantees: every word is read; what PostgreSQL has and nobody here does, is refused with its
//! place.
//! Left out: statements about data, which are in `script`.

use crate::SqlError;
use crate::connection::{
    Connection, Copied, Copy, CopyFormat, Declare, Direction, Discard, Isolation, Modes,
};
use crate::ddl::Cursor;
use crate::script::statement_within;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;

/// The statement, if it begins as one about the connection.
pub(crate) fn connection(cursor: &mut Cursor<'_>) -> Result<Option<Connection>, SqlError> {
    if let Some(read) = transaction(cursor)? {
        return Ok(Some(read));
    }
    if cursor.eat(&["SET"]) {
        return set(cursor).map(Some);
    }
    if cursor.eat(&["RESET"]) {
        let all = cursor.eat(&["ALL"]);
        return Ok(Some(Connection::Reset(match all {
            true => None,
            false => Some(setting(cursor)?),
        })));
    }
    if cursor.eat(&["DISCARD"]) {
        return discard(cursor).map(Connection::Discard).map(Some);
    }
    if cursor.eat(&["COPY"]) {
        return copy(cursor).map(Connection::Copy).map(Some);
    }
    if cursor.eat(&["UNLISTEN"]) {
        if !cursor.eat_token(&Token::Mul) {
            cursor.identifier("a channel")?;
        }
        return Ok(Some(Connection::Unlisten));
    }
    match prepared(cursor)? {
        Some(read) => Ok(Some(read)),
        None => cursors(cursor),
    }
}

fn transaction(cursor: &mut Cursor<'_>) -> Result<Option<Connection>, SqlError> {
    if cursor.eat(&["BEGIN"]) {
        let _ = noise(cursor);
        return modes(cursor).map(Connection::Begin).map(Some);
    }
    if cursor.eat(&["START", "TRANSACTION"]) {
        return modes(cursor).map(Connection::Begin).map(Some);
    }
    if cursor.eat(&["COMMIT"]) || cursor.eat(&["END"]) {
        let _ = noise(cursor);
        return Ok(Some(Connection::Commit { chain: chain(cursor)? }));
    }
    if cursor.eat(&["ROLLBACK"]) || cursor.eat(&["ABORT"]) {
        let _ = noise(cursor);
        if cursor.eat(&["TO"]) {
            cursor.eat(&["SAVEPOINT"]);
            return cursor.identifier("a savepoint").map(Connection::RollbackTo).map(Some);
        }
        return Ok(Some(Connection::Rollback { chain: chain(cursor)? }));
    }
    if cursor.eat(&["SAVEPOINT"]) {
        return cursor.identifier("a savepoint's name").map(Connection::Savepoint).map(Some);
    }
    if cursor.eat(&["RELEASE"]) {
        cursor.eat(&["SAVEPOINT"]);
        return cursor.identifier("a savepoint").map(Connection::Release).map(Some);
    }
    Ok(None)
}

fn noise(cursor: &mut Cursor<'_>) -> bool {
    cursor.eat(&["WORK"]) || cursor.eat(&["TRANSACTION"])
}

fn chain(cursor: &mut Cursor<'_>) -> Result<bool, SqlError> {
    if !cursor.eat(&["AND"]) {
        return Ok(false);
    }
    let no = cursor.eat(&["NO"]);
    cursor.expect(&["CHAIN"])?;
    Ok(!no)
}

/// `ISOLATION LEVEL …`, `READ ONLY`, `READ WRITE`, `[NOT] DEFERRABLE`, with commas or without.
fn modes(cursor: &mut Cursor<'_>) -> Result<Modes, SqlError> {
    let mut modes = Modes::default();
    while !cursor.at_end() {
        if cursor.eat(&["ISOLATION", "LEVEL"]) {
            modes.isolation = Some(isolation(cursor)?);
        } else if cursor.eat(&["READ", "ONLY"]) {
            modes.read_only = Some(true);
        } else if cursor.eat(&["READ", "WRITE"]) {
            modes.read_only = Some(false);
        } else if !cursor.eat(&["NOT", "DEFERRABLE"]) && !cursor.eat(&["DEFERRABLE"]) {
            return Err(cursor.expected("ISOLATION LEVEL, READ ONLY or READ WRITE"));
        }
        cursor.eat_token(&Token::Comma);
    }
    Ok(modes)
}

fn isolation(cursor: &mut Cursor<'_>) -> Result<Isolation, SqlError> {
    let levels: [(&[&str], Isolation); 4] = [
        (&["READ", "UNCOMMITTED"], Isolation::ReadUncommitted),
        (&["READ", "COMMITTED"], Isolation::ReadCommitted),
        (&["REPEATABLE", "READ"], Isolation::RepeatableRead),
        (&["SERIALIZABLE"], Isolation::Serializable),
    ];
    match levels.into_iter().find(|(words, _)| cursor.eat(words)) {
        Some((_, level)) => Ok(level),
        None => Err(cursor.expected("READ COMMITTED, REPEATABLE READ or SERIALIZABLE")),
    }
}

fn set(cursor: &mut Cursor<'_>) -> Result<Connection, SqlError> {
    if cursor.eat(&["TRANSACTION"]) {
        return Ok(Connection::SetTransaction { session: false, modes: modes(cursor)? });
    }
    if cursor.eat(&["SESSION", "CHARACTERISTICS", "AS", "TRANSACTION"]) {
        return Ok(Connection::SetTransaction { session: true, modes: modes(cursor)? });
    }
    let local = cursor.eat(&["LOCAL"]);
    if !local && !cursor.at_words(&["SESSION", "AUTHORIZATION"]) {
        cursor.eat(&["SESSION"]);
    }
    if cursor.eat(&["TIME", "ZONE"]) {
        let value = match cursor.eat(&["LOCAL"]) {
            true => None,
            false => value(cursor)?,
        };
        return Ok(Connection::Set { name: "timezone".into(), value, local });
    }
    if cursor.eat(&["NAMES"]) {
        let value = if cursor.at_end() { None } else { value(cursor)? };
        return Ok(Connection::Set { name: "client_encoding".into(), value, local });
    }
    if cursor.eat(&["SESSION", "AUTHORIZATION"]) {
        let value = value(cursor)?;
        return Ok(Connection::Set { name: "session_authorization".into(), value, local });
    }
    if cursor.eat(&["ROLE"]) {
        return Ok(Connection::Set { name: "role".into(), value: value(cursor)?, local });
    }
    let name = setting(cursor)?;
    if !cursor.eat_token(&Token::Eq) && !cursor.eat(&["TO"]) {
        return Err(cursor.expected("= or TO"));
    }
    Ok(Connection::Set { name, value: value(cursor)?, local })
}

/// A setting's name, folded to lower case, its parts with points between.
fn setting(cursor: &mut Cursor<'_>) -> Result<String, SqlError> {
    let mut name = cursor.identifier("a setting")?.to_lowercase();
    while cursor.eat_token(&Token::Period) {
        name.push('.');
        name.push_str(&cursor.identifier("a setting")?.to_lowercase());
    }
    Ok(name)
}

/// What stands behind `=`: words, texts and numbers with commas between; `None` for `DEFAULT`.
fn value(cursor: &mut Cursor<'_>) -> Result<Option<String>, SqlError> {
    if cursor.eat(&["DEFAULT"]) {
        return Ok(None);
    }
    let mut values = Vec::new();
    loop {
        let sign = if cursor.eat_token(&Token::Minus) { "-" } else { "" };
        cursor.eat_token(&Token::Plus);
        let error = cursor.expected("a value");
        let token = cursor.parser().next_token().token;
        values.push(match token {
            Token::Word(word) => match word.quote_style {
                None => word.value.to_lowercase(),
                Some(_) => word.value,
            },
            Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text) => text,
            Token::Number(digits, _) => format!("{sign}{digits}"),
            _ => return Err(error),
        });
        if !cursor.eat_token(&Token::Comma) {
            return Ok(Some(values.join(", ")));
        }
    }
}

/// `SHOW name`, once no kind of object has been read.
pub(crate) fn show_setting(cursor: &mut Cursor<'_>) -> Result<Connection, SqlError> {
    if cursor.eat(&["TRANSACTION", "ISOLATION", "LEVEL"]) {
        return Ok(Connection::Show("transaction_isolation".into()));
    }
    if cursor.eat(&["TIME", "ZONE"]) {
        return Ok(Connection::Show("timezone".into()));
    }
    if cursor.eat(&["SESSION", "AUTHORIZATION"]) {
        return Ok(Connection::Show("session_authorization".into()));
    }
    setting(cursor).map(Connection::Show)
}

fn discard(cursor: &mut Cursor<'_>) -> Result<Discard, SqlError> {
    let kinds = [
        ("ALL", Discard::All),
        ("PLANS", Discard::Plans),
        ("SEQUENCES", Discard::Sequences),
        ("TEMPORARY", Discard::Temp),
        ("TEMP", Discard::Temp),
    ];
    match kinds.into_iter().find(|(word, _)| cursor.eat(&[word])) {
        Some((_, kind)) => Ok(kind),
        None => Err(cursor.expected("ALL, PLANS, SEQUENCES or TEMP")),
    }
}

fn prepared(cursor: &mut Cursor<'_>) -> Result<Option<Connection>, SqlError> {
    if cursor.eat(&["PREPARE"]) {
        let name = cursor.identifier("a name")?;
        let types = match cursor.at_token(&Token::LParen) {
            true => cursor.list(|cursor| cursor.read(Parser::parse_data_type))?,
            false => Vec::new(),
        };
        cursor.expect(&["AS"])?;
        let statement = Box::new(statement_within(cursor)?);
        return Ok(Some(Connection::Prepare { name, types, statement }));
    }
    if cursor.eat(&["EXECUTE"]) {
        let name = cursor.identifier("a prepared statement")?;
        let values = match cursor.at_token(&Token::LParen) {
            true => cursor.list(|cursor| cursor.read(Parser::parse_expr))?,
            false => Vec::new(),
        };
        return Ok(Some(Connection::Execute { name, values }));
    }
    if cursor.eat(&["DEALLOCATE"]) {
        cursor.eat(&["PREPARE"]);
        return Ok(Some(Connection::Deallocate(match cursor.eat(&["ALL"]) {
            true => None,
            false => Some(cursor.identifier("a prepared statement")?),
        })));
    }
    Ok(None)
}

fn cursors(cursor: &mut Cursor<'_>) -> Result<Option<Connection>, SqlError> {
    if cursor.eat(&["DECLARE"]) {
        return declare(cursor).map(Connection::Declare).map(Some);
    }
    for moves in [false, true] {
        if cursor.eat(&[if moves { "MOVE" } else { "FETCH" }]) {
            let direction = direction(cursor)?;
            let _ = cursor.eat(&["FROM"]) || cursor.eat(&["IN"]);
            let cursor = cursor.identifier("a cursor")?;
            return Ok(Some(Connection::Fetch { cursor, direction, moves }));
        }
    }
    if cursor.eat(&["CLOSE"]) {
        return Ok(Some(Connection::Close(match cursor.eat(&["ALL"]) {
            true => None,
            false => Some(cursor.identifier("a cursor")?),
        })));
    }
    Ok(None)
}

fn declare(cursor: &mut Cursor<'_>) -> Result<Declare, SqlError> {
    let name = cursor.identifier("a cursor's name")?;
    let (mut binary, mut scroll) = (false, false);
    while !cursor.eat(&["CURSOR"]) {
        if cursor.eat(&["BINARY"]) {
            binary = true;
        } else if cursor.eat(&["SCROLL"]) {
            scroll = true;
        } else if !cursor.eat(&["NO", "SCROLL"])
            && !cursor.eat(&["INSENSITIVE"])
            && !cursor.eat(&["ASENSITIVE"])
        {
            return Err(cursor.expected("CURSOR"));
        }
    }
    let hold = cursor.eat(&["WITH", "HOLD"]);
    if !hold {
        cursor.eat(&["WITHOUT", "HOLD"]);
    }
    cursor.expect(&["FOR"])?;
    let statement = Box::new(statement_within(cursor)?);
    Ok(Declare { name, binary, scroll, hold, statement })
}

fn direction(cursor: &mut Cursor<'_>) -> Result<Direction, SqlError> {
    if cursor.eat(&["NEXT"]) {
        return Ok(Direction::Forward(1));
    }
    if cursor.eat(&["ALL"]) {
        return Ok(Direction::All);
    }
    if cursor.eat(&["PRIOR"]) || cursor.eat(&["FIRST"]) || cursor.eat(&["LAST"]) {
        return Ok(Direction::Other);
    }
    let backward = cursor.eat(&["BACKWARD"]);
    let jumps = !backward && (cursor.eat(&["ABSOLUTE"]) || cursor.eat(&["RELATIVE"]));
    let forward = !backward && !jumps && cursor.eat(&["FORWARD"]);
    if (backward || forward) && cursor.eat(&["ALL"]) {
        return Ok(if backward { Direction::Other } else { Direction::All });
    }
    let minus = cursor.eat_token(&Token::Minus);
    let count = match &cursor.parser().peek_token_ref().token {
        Token::Number(..) => Some(cursor.integer("a number of rows")?),
        _ => None,
    };
    match count {
        _ if backward || jumps || minus => Ok(Direction::Other),
        Some(rows) => Ok(Direction::Forward(rows)),
        None => Ok(Direction::Forward(1)),
    }
}

fn copy(cursor: &mut Cursor<'_>) -> Result<Copy, SqlError> {
    let what = copied(cursor)?;
    let is_query = matches!(what, Copied::Query(_));
    let from = !is_query && cursor.eat(&["FROM"]);
    if !from {
        cursor.expect(&["TO"])?;
    }
    let stream = if from { "STDIN" } else { "STDOUT" };
    if !cursor.eat(&[stream]) {
        return Err(SqlError::at(cursor.position(), "COPY with a file or program is not for here")
            .hint(format!("{stream}, and let the client read or write the file: \\copy in psql")));
    }
    let mut copy = Copy {
        what,
        from,
        format: CopyFormat::Text,
        header: false,
        delimiter: None,
        null: None,
        quote: None,
        escape: None,
    };
    cursor.eat(&["WITH"]);
    if cursor.at_token(&Token::LParen) {
        cursor.list(|cursor| copy_option(cursor, &mut copy))?;
    } else {
        while !cursor.at_end() {
            old_copy_option(cursor, &mut copy)?;
        }
    }
    Ok(copy)
}

fn copied(cursor: &mut Cursor<'_>) -> Result<Copied, SqlError> {
    if cursor.eat_token(&Token::LParen) {
        let statement = Box::new(statement_within(cursor)?);
        if !cursor.eat_token(&Token::RParen) {
            return Err(cursor.expected("')'"));
        }
        return Ok(Copied::Query(statement));
    }
    let start = cursor.position();
    let mut name = cursor.identifier("a table, or a query in parentheses")?;
    while cursor.eat_token(&Token::Period) {
        name.push('.');
        name.push_str(&cursor.identifier("a table")?);
    }
    let sql = cursor.since(start).to_string();
    let start = cursor.position();
    let columns = match cursor.at_token(&Token::LParen) {
        true => cursor.list(|cursor| cursor.identifier("a column"))?,
        false => Vec::new(),
    };
    let columns_sql = match columns.is_empty() {
        true => String::new(),
        false => cursor.since(start).to_string(),
    };
    Ok(Copied::Table { sql, name, columns, columns_sql })
}

fn copy_option(cursor: &mut Cursor<'_>, copy: &mut Copy) -> Result<(), SqlError> {
    if cursor.eat(&["FORMAT"]) {
        let error = cursor.expected("TEXT, CSV or BINARY");
        let name = match &cursor.parser().peek_token_ref().token {
            Token::SingleQuotedString(_) => cursor.string("a format")?,
            _ => cursor.identifier("a format")?,
        };
        copy.format = match name.to_lowercase().as_str() {
            "text" => CopyFormat::Text,
            "csv" => CopyFormat::Csv,
            "binary" => CopyFormat::Binary,
            _ => return Err(error),
        };
        return Ok(());
    }
    if cursor.eat(&["HEADER"]) {
        copy.header = match () {
            () if cursor.eat(&["FALSE"]) || cursor.eat(&["OFF"]) => false,
            () => {
                let _ = cursor.eat(&["TRUE"]) || cursor.eat(&["ON"]) || cursor.eat(&["MATCH"]);
                true
            }
        };
        return Ok(());
    }
    if cursor.eat(&["ENCODING"]) {
        return utf8(cursor);
    }
    texts(cursor, copy)
}

/// The options before PostgreSQL 9, which psql's `\copy` still writes: `CSV HEADER`.
fn old_copy_option(cursor: &mut Cursor<'_>, copy: &mut Copy) -> Result<(), SqlError> {
    if cursor.eat(&["CSV"]) {
        copy.format = CopyFormat::Csv;
    } else if cursor.eat(&["BINARY"]) {
        copy.format = CopyFormat::Binary;
    } else if cursor.eat(&["HEADER"]) {
        copy.header = true;
    } else if cursor.eat(&["ENCODING"]) {
        return utf8(cursor);
    } else {
        return texts(cursor, copy);
    }
    Ok(())
}

fn utf8(cursor: &mut Cursor<'_>) -> Result<(), SqlError> {
    let place = cursor.position();
    let name = cursor.string("an encoding in quotes")?;
    match name.to_lowercase().replace(['-', '_'], "").as_str() {
        "utf8" | "unicode" => Ok(()),
        _ => Err(SqlError::at(place, format!("texts are in UTF-8, not in {name:?}"))),
    }
}

fn texts(cursor: &mut Cursor<'_>, copy: &mut Copy) -> Result<(), SqlError> {
    let option = ["DELIMITER", "NULL", "QUOTE", "ESCAPE"].into_iter().find(|at| cursor.eat(&[at]));
    let Some(option) = option else {
        return Err(cursor.expected("FORMAT, HEADER, DELIMITER, NULL, QUOTE or ESCAPE"));
    };
    cursor.eat(&["AS"]);
    let place = cursor.position();
    let text = match &cursor.parser().peek_token_ref().token {
        Token::EscapedStringLiteral(text) => {
            let text = text.clone();
            cursor.parser().advance_token();
            text
        }
        _ => cursor.string("a text in quotes")?,
    };
    if option == "NULL" {
        copy.null = Some(text);
        return Ok(());
    }
    let mut characters = text.chars();
    let single = match (characters.next(), characters.next()) {
        (Some(single), None) if single.is_ascii() && !"\n\r\\".contains(single) => single,
        (Some('\\'), None) if option != "DELIMITER" => '\\',
        _ => {
            return Err(SqlError::at(place, format!("{option} is one ASCII character")));
        }
    };
    match option {
        "DELIMITER" => copy.delimiter = Some(single),
        "QUOTE" => copy.quote = Some(single),
        _ => copy.escape = Some(single),
    }
    Ok(())
}
