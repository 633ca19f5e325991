//! A string of a JSON text, and the characters it stands for.
//!
//! Guarantees: a string without escapes is not copied; one whose escapes are halves of a character
//! stands for nothing.
//! Left out: finding where a string ends, which the cursor does.

use crate::Fault;
use std::borrow::Cow;

/// A string as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Text<'a> {
    /// With its quotes.
    written: &'a str,
    escaped: bool,
}

impl<'a> Text<'a> {
    /// A string that the cursor has passed over: its quotes are there, its escapes have their
    /// digits.
    #[inline(always)]
    pub(crate) fn new(written: &'a str, escaped: bool) -> Self {
        Self { written, escaped }
    }

    /// As it is written, with its quotes.
    #[inline(always)]
    pub fn written(self) -> &'a str {
        self.written
    }

    /// The characters it stands for.
    ///
    /// # Errors
    /// An escape is one half of a character, without the other.
    #[inline(always)]
    pub fn characters(self) -> Result<Cow<'a, str>, Fault> {
        let inner = &self.written[1..self.written.len() - 1];
        match self.escaped {
            false => Ok(Cow::Borrowed(inner)),
            true => unescape(inner).map(Cow::Owned),
        }
    }
}

#[cold]
fn unescape(text: &str) -> Result<String, Fault> {
    let mut characters = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, escape)) = rest.split_once('\\') {
        characters.push_str(plain);
        let (character, length) = match escape.as_bytes().first() {
            Some(b'u') => unit(escape)?,
            Some(b'b') => ('\u{8}', 1),
            Some(b'f') => ('\u{c}', 1),
            Some(b'n') => ('\n', 1),
            Some(b'r') => ('\r', 1),
            Some(b't') => ('\t', 1),
            // A quote, a backslash, a slash: the cursor has seen that it is nothing else.
            Some(other) => (char::from(*other), 1),
            None => return Err(NO_CHARACTER),
        };
        characters.push(character);
        rest = escape.get(length..).ok_or(NO_CHARACTER)?;
    }
    characters.push_str(rest);
    Ok(characters)
}

const NO_CHARACTER: Fault = Fault("an escape in a string is no character");

/// The character that `uXXXX` stands for, with the second half that may follow it, and its length.
fn unit(escape: &str) -> Result<(char, usize), Fault> {
    let first = digits(escape.get(1..5))?;
    if let Some(character) = char::from_u32(first) {
        return Ok((character, 5));
    }
    let second = match escape.get(5..7) {
        Some("\\u") => digits(escape.get(7..11))?,
        _ => return Err(NO_CHARACTER),
    };
    match (first, second) {
        (0xd800..=0xdbff, 0xdc00..=0xdfff) => {
            let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
            Ok((char::from_u32(code).ok_or(NO_CHARACTER)?, 11))
        }
        _ => Err(NO_CHARACTER),
    }
}

fn digits(text: Option<&str>) -> Result<u32, Fault> {
    text.and_then(|digits| u32::from_str_radix(digits, 16).ok()).ok_or(NO_CHARACTER)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cursor;
    use proptest::prelude::*;

    fn characters(written: &str) -> Option<String> {
        Cursor::new(written).string().and_then(Text::characters).ok().map(Cow::into_owned)
    }

    #[test]
    fn escapes_are_their_characters() {
        for (written, expected) in [
            (r#""""#, ""),
            (r#""plain é""#, "plain é"),
            (r#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{c}\n\r\t"),
            (r#""\u0041\u00e9\u20AC""#, "Aé€"),
            (r#""\ud83d\ude00 \uD83D\uDE00""#, "😀 😀"),
            (r#""\u0000""#, "\0"),
        ] {
            assert_eq!(characters(written).as_deref(), Some(expected), "{written}");
        }
    }

    #[test]
    fn half_a_character_is_none() {
        for written in [
            r#""\ud83d""#,
            r#""\ude00""#,
            r#""\ud83d\ud83d""#,
            r#""\ud83dx""#,
            r#""\ud83d\n""#,
            r#""\ud83d\u0041""#,
        ] {
            assert_eq!(characters(written), None, "{written}");
        }
    }

    proptest! {
        #[test]
        fn another_reader_sees_the_same(
            pieces in proptest::collection::vec(
                prop_oneof![
                    any::<String>(),
                    "(\\\\u[dD][89a-f][0-9]{2}|\\\\u[0-9a-fA-F]{4}|\\\\[\"\\\\/bfnrt]){1,4}",
                ],
                0..5,
            )
        ) {
            let inner: String = pieces.concat().replace(['"', '\u{7f}'], "x");
            let written = format!("\"{inner}\"");
            let theirs = serde_json::from_str::<String>(&written).ok();
            prop_assert_eq!(characters(&written), theirs, "{}", written);
        }
    }
}
