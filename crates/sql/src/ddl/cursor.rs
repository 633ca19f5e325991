//! One statement's tokens and a place in them.
//!
//! Guarantees: every error carries the place of the token at fault.
//! Left out: what the tokens mean.

use crate::{Dialect, Position, Span, SqlError, relation_key};
use datafusion::sql::sqlparser::ast::{Expr, Query};
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan};

/// Reads a statement from left to right.
pub(crate) struct Cursor<'a> {
    parser: Parser<'a>,
    text: &'a str,
    /// Byte offset of the first character of each line of `text`.
    lines: &'a [usize],
    dialect: Dialect,
    /// Where the statement ends, for errors about what is missing.
    end: Position,
}

impl<'a> Cursor<'a> {
    /// A cursor before the first of `tokens`, which are a part of `text`.
    pub(crate) fn new(
        text: &'a str,
        lines: &'a [usize],
        dialect: Dialect,
        tokens: Vec<TokenWithSpan>,
    ) -> Self {
        let end = tokens.last().map_or(Location::new(1, 1), |token| token.span.end).into();
        let parser = Parser::new(dialect.grammar()).with_tokens_with_locations(tokens);
        Self { parser, text, lines, dialect, end }
    }

    pub(crate) fn dialect(&self) -> Dialect {
        self.dialect
    }

    pub(crate) fn parser(&mut self) -> &mut Parser<'a> {
        &mut self.parser
    }

    /// Where the next token stands, or the statement's end.
    pub(crate) fn position(&self) -> Position {
        let token = self.parser.peek_token_ref();
        if token.token == Token::EOF { self.end } else { token.span.start.into() }
    }

    /// The text between two places.
    pub(crate) fn slice(&self, span: Span) -> &'a str {
        let byte = |at: Position| byte_at(self.text, self.lines, at);
        self.text[byte(span.start)..byte(span.end)].trim()
    }

    /// The text from `start` to just past the token read last.
    pub(crate) fn since(&self, start: Position) -> &'a str {
        let mut index = self.parser.index();
        while index > 0 {
            index -= 1;
            let token = self.parser.token_at(index);
            if !matches!(token.token, Token::Whitespace(_) | Token::EOF) {
                return self.slice(Span { start, end: token.span.end.into() });
            }
        }
        ""
    }

    pub(crate) fn at_end(&self) -> bool {
        self.parser.peek_token_ref().token == Token::EOF
    }

    /// `expected X, found Y` at the next token.
    pub(crate) fn expected(&self, what: &str) -> SqlError {
        match &self.parser.peek_token_ref().token {
            Token::EOF => SqlError::at(
                self.position(),
                format!("expected {what}, found the end of the statement"),
            ),
            token => SqlError::at(self.position(), format!("expected {what}, found {token}")),
        }
    }

    /// Whether the next tokens are these words, unquoted, in any case.
    pub(crate) fn at_words(&self, words: &[&str]) -> bool {
        words.iter().enumerate().all(
            |(index, word)| matches!(&self.parser.peek_nth_token_ref(index).token, Token::Word(found) if found.quote_style.is_none() && found.value.eq_ignore_ascii_case(word)),
        )
    }

    /// Whether a query in parentheses comes next.
    pub(crate) fn at_subquery(&self) -> bool {
        matches!(&self.parser.peek_nth_token_ref(1).token, Token::Word(word) if ["SELECT", "WITH", "VALUES"].iter().any(|first| word.value.eq_ignore_ascii_case(first)))
    }

    /// Reads these words if they come next.
    pub(crate) fn eat(&mut self, words: &[&str]) -> bool {
        let found = self.at_words(words);
        if found {
            words.iter().for_each(|_| self.parser.advance_token());
        }
        found
    }

    pub(crate) fn expect(&mut self, words: &[&str]) -> Result<(), SqlError> {
        if self.eat(words) { Ok(()) } else { Err(self.expected(&words.join(" "))) }
    }

    pub(crate) fn at_token(&self, token: &Token) -> bool {
        self.parser.peek_token_ref().token == *token
    }

    pub(crate) fn eat_token(&mut self, token: &Token) -> bool {
        self.parser.consume_token(token)
    }

    pub(crate) fn expect_token(&mut self, token: &Token) -> Result<(), SqlError> {
        if self.eat_token(token) { Ok(()) } else { Err(self.expected(&token.to_string())) }
    }

    /// The next token must be the statement's end.
    pub(crate) fn expect_end(&self) -> Result<(), SqlError> {
        if self.at_end() { Ok(()) } else { Err(self.expected("the end of the statement")) }
    }

    /// An identifier as it is looked up.
    pub(crate) fn identifier(&mut self, what: &str) -> Result<String, SqlError> {
        if !matches!(self.parser.peek_token_ref().token, Token::Word(_)) {
            return Err(self.expected(what));
        }
        let identifier = self.read(Parser::parse_identifier)?;
        Ok(self.dialect.fold(&identifier))
    }

    /// A relation's name as it is looked up: `table`, `schema.table`, `catalog.schema.table`.
    pub(crate) fn relation(&mut self, what: &str) -> Result<String, SqlError> {
        let mut parts = vec![self.identifier(what)?];
        while parts.len() < 3 && self.eat_token(&Token::Period) {
            parts.push(self.identifier(what)?);
        }
        Ok(relation_key(parts))
    }

    /// A relation's column: its name as it is looked up, a dot, the column.
    pub(crate) fn relation_column(&mut self) -> Result<(String, String), SqlError> {
        let mut parts = vec![self.identifier("a table")?];
        self.expect_token(&Token::Period)?;
        parts.push(self.identifier("a column")?);
        while parts.len() < 4 && self.eat_token(&Token::Period) {
            parts.push(self.identifier("a column")?);
        }
        let column = parts.pop().unwrap_or_default();
        Ok((relation_key(parts), column))
    }

    /// `'text'`, its quotes taken off; `$tag$text$tag$` too.
    pub(crate) fn text(&mut self, what: &str) -> Result<String, SqlError> {
        match &self.parser.peek_token_ref().token {
            Token::DollarQuotedString(text) => {
                let text = text.value.clone();
                self.parser.advance_token();
                Ok(text)
            }
            _ => self.string(what),
        }
    }

    /// `'text'`, its quotes taken off.
    pub(crate) fn string(&mut self, what: &str) -> Result<String, SqlError> {
        if !matches!(self.parser.peek_token_ref().token, Token::SingleQuotedString(_)) {
            return Err(self.expected(what));
        }
        self.read(Parser::parse_literal_string)
    }

    /// A number without sign or point.
    pub(crate) fn integer(&mut self, what: &str) -> Result<u64, SqlError> {
        let error = self.expected(what);
        self.read(Parser::parse_literal_uint).map_err(|_| error)
    }

    /// An expression, with its text as written.
    pub(crate) fn expression(&mut self) -> Result<(Expr, String), SqlError> {
        let start = self.position();
        let expression = self.read(Parser::parse_expr)?;
        Ok((expression, self.since(start).to_string()))
    }

    /// A query, with its text as written.
    pub(crate) fn query(&mut self) -> Result<(Box<Query>, String), SqlError> {
        let start = self.position();
        let query = self.read(Parser::parse_query)?;
        Ok((query, self.since(start).to_string()))
    }

    /// `( item, item … )`
    pub(crate) fn list<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<T, SqlError>,
    ) -> Result<Vec<T>, SqlError> {
        self.expect_token(&Token::LParen)?;
        let mut items = vec![item(self)?];
        while self.eat_token(&Token::Comma) {
            items.push(item(self)?);
        }
        if self.eat_token(&Token::RParen) { Ok(items) } else { Err(self.expected("',' or ')'")) }
    }

    /// Lets sqlparser read something here.
    pub(crate) fn read<T>(
        &mut self,
        read: impl FnOnce(&mut Parser<'a>) -> Result<T, ParserError>,
    ) -> Result<T, SqlError> {
        read(&mut self.parser).map_err(|error| match error {
            ParserError::ParserError(message) | ParserError::TokenizerError(message) => {
                SqlError::from_parser(&message, self.end)
            }
            ParserError::RecursionLimitExceeded => {
                SqlError::at(self.position(), "the statement is nested too deeply")
            }
        })
    }
}

/// The byte offset of each line's first character.
pub(crate) fn line_starts(text: &str) -> Vec<usize> {
    std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect()
}

/// The byte offset of a place.
pub(crate) fn byte_at(text: &str, lines: &[usize], at: Position) -> usize {
    let start = lines.get(at.line as usize - 1).copied().unwrap_or(text.len());
    text[start..]
        .char_indices()
        .nth(at.column as usize - 1)
        .map_or(text.len(), |(offset, _)| start + offset)
}
