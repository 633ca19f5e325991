//! JSON text read from front to back.
//!
//! Guarantees: everything that is passed over is checked against JSON's grammar, so broken text is
//! found even where nobody wants its values; nothing is copied; nesting deeper than
//! [`NESTING_MAX`] is an error, not an overflown stack.
//! Left out: what values mean. `\u` escapes are checked for their digits, not for what they pair to.

use crate::Text;
use std::error::Error;
use std::fmt;

/// Brackets that may be open at once: far more than anybody writes, far less than a stack holds.
const NESTING_MAX: usize = 128;

/// Bytes of a string that are looked at at once while none of them is special.
const WIDE_BYTES: usize = 32;

/// Digits of any number that fits 64 bits whatever they are.
const INTEGER_DIGITS_MAX: usize = 18;

/// What is wrong where the cursor stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault(pub(crate) &'static str);

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Error for Fault {}

/// A place in JSON text.
#[derive(Debug)]
pub struct Cursor<'a> {
    text: &'a str,
    at: usize,
    open: usize,
}

impl<'a> Cursor<'a> {
    /// The beginning of a text.
    pub fn new(text: &'a str) -> Self {
        Self { text, at: 0, open: 0 }
    }

    /// The bytes that are behind the cursor.
    #[inline(always)]
    pub fn at(&self) -> usize {
        self.at
    }

    /// What has been passed over since the cursor was at `start`.
    #[inline(always)]
    pub fn since(&self, start: usize) -> &'a str {
        &self.text[start..self.at]
    }

    /// The bytes that are before the cursor.
    #[inline(always)]
    pub(crate) fn rest(&self) -> &'a [u8] {
        &self.text.as_bytes()[self.at..]
    }

    /// Passes over bytes that the caller has seen in [`Self::rest`].
    #[inline(always)]
    pub(crate) fn pass(&mut self, bytes: usize) {
        self.at += bytes;
    }

    #[inline(always)]
    fn byte(&self) -> u8 {
        // JSON has no zero bytes: one stands for the end.
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    /// The next byte that is not white space; 0 at the end.
    #[inline(always)]
    pub fn peek(&mut self) -> u8 {
        while matches!(self.byte(), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
        self.byte()
    }

    /// Passes over `expected` if it is what comes next.
    #[inline(always)]
    pub fn eat(&mut self, expected: &str) -> bool {
        let found = self.text.as_bytes()[self.at..].starts_with(expected.as_bytes());
        self.at += if found { expected.len() } else { 0 };
        found
    }

    /// Passes over a key's colon.
    ///
    /// # Errors
    /// There is none.
    #[inline(always)]
    pub fn colon(&mut self) -> Result<(), Fault> {
        match self.peek() {
            b':' => self.at += 1,
            _ => return Err(Fault("a colon is expected")),
        }
        Ok(())
    }

    /// Enters an object or an array; whether there is anything in it.
    ///
    /// # Errors
    /// Something else comes next.
    #[inline(always)]
    pub fn enter(&mut self, open: u8, close: u8) -> Result<bool, Fault> {
        match self.peek() == open {
            true => self.at += 1,
            false if open == b'{' => return Err(Fault("an object is expected")),
            false => return Err(Fault("an array is expected")),
        }
        if self.peek() != close {
            return Ok(true);
        }
        self.at += 1;
        Ok(false)
    }

    /// Behind a value in an object or an array: whether another follows.
    ///
    /// # Errors
    /// Neither a comma nor `close` comes next.
    #[inline(always)]
    pub fn another(&mut self, close: u8) -> Result<bool, Fault> {
        let next = self.peek();
        if next != b',' && next != close {
            return Err(Fault("a comma or the closing bracket is expected"));
        }
        self.at += 1;
        Ok(next == b',')
    }

    /// Nothing but white space may be left.
    ///
    /// # Errors
    /// Something is.
    pub fn end(&mut self) -> Result<(), Fault> {
        self.peek();
        match self.at == self.text.len() {
            true => Ok(()),
            false => Err(Fault("nothing is expected behind the object")),
        }
    }

    /// Passes over a value; gives its text.
    ///
    /// # Errors
    /// There is none.
    #[inline(always)]
    pub fn value(&mut self) -> Result<&'a str, Fault> {
        self.peek();
        let start = self.at;
        self.skip()?;
        Ok(self.since(start))
    }

    /// Passes over a string.
    ///
    /// # Errors
    /// There is none.
    #[inline(always)]
    pub fn string(&mut self) -> Result<Text<'a>, Fault> {
        self.peek();
        let start = self.at;
        let escaped = self.skip_string()?;
        Ok(Text::new(self.since(start), escaped))
    }

    /// Passes over a whole number of up to eighteen digits, without a fraction or an exponent, and
    /// gives it; `None`, and nothing is passed over, if anything else comes next.
    #[inline(always)]
    pub fn integer(&mut self) -> Option<i64> {
        self.peek();
        let rest = &self.text.as_bytes()[self.at..];
        let negative = rest.first() == Some(&b'-');
        let digits = &rest[usize::from(negative)..];
        let (mut value, mut length) = (0_i64, 0);
        while let Some(byte @ b'0'..=b'9') = digits.get(length) {
            if length == INTEGER_DIGITS_MAX {
                return None;
            }
            value = value * 10 + i64::from(byte - b'0');
            length += 1;
        }
        let more = matches!(digits.get(length), Some(b'.' | b'e' | b'E'));
        if length == 0 || more || (length > 1 && digits[0] == b'0') {
            return None;
        }
        self.at += length + usize::from(negative);
        Some(if negative { -value } else { value })
    }

    /// Passes over a value.
    ///
    /// # Errors
    /// There is none.
    #[inline(always)]
    pub fn skip(&mut self) -> Result<(), Fault> {
        match self.peek() {
            b'"' => self.skip_string().map(|_| ()),
            b'-' | b'0'..=b'9' => self.skip_number(),
            _ => self.skip_other(),
        }
    }

    fn skip_other(&mut self) -> Result<(), Fault> {
        match self.byte() {
            b'{' => self.skip_nested(b'{', b'}'),
            b'[' => self.skip_nested(b'[', b']'),
            _ if self.eat("null") || self.eat("true") || self.eat("false") => Ok(()),
            _ => Err(Fault("a value is expected")),
        }
    }

    fn skip_nested(&mut self, open: u8, close: u8) -> Result<(), Fault> {
        if self.open == NESTING_MAX {
            return Err(Fault("too many brackets are open"));
        }
        self.open += 1;
        let mut more = self.enter(open, close)?;
        while more {
            if open == b'{' {
                self.peek();
                self.skip_string()?;
                self.colon()?;
            }
            self.skip()?;
            more = self.another(close)?;
        }
        self.open -= 1;
        Ok(())
    }

    /// Whether there is an escape in it.
    #[inline(always)]
    fn skip_string(&mut self) -> Result<bool, Fault> {
        if self.byte() != b'"' {
            return Err(Fault("a quote is expected"));
        }
        self.at += 1;
        let mut escaped = false;
        loop {
            self.skip_plain();
            match self.byte() {
                b'"' => {
                    self.at += 1;
                    return Ok(escaped);
                }
                b'\\' => {
                    self.skip_escape()?;
                    escaped = true;
                }
                _ if self.at == self.text.len() => return Err(Fault("a string is not closed")),
                _ => return Err(Fault("a control character is in a string")),
            }
        }
    }

    /// Goes to the next byte that is special in a string: a quote, a backslash or a control
    /// character, many bytes at a time.
    #[inline(always)]
    fn skip_plain(&mut self) {
        let bytes = self.text.as_bytes();
        while let Some(chunk) = bytes[self.at..].first_chunk::<WIDE_BYTES>() {
            if has_special(chunk) {
                break;
            }
            self.at += WIDE_BYTES;
        }
        while let Some(chunk) = bytes[self.at..].first_chunk() {
            let special = special_in(u64::from_le_bytes(*chunk));
            if special != 0 {
                self.at += special.trailing_zeros() as usize / 8;
                return;
            }
            self.at += 8;
        }
        while bytes.get(self.at).is_some_and(|byte| !is_special(*byte)) {
            self.at += 1;
        }
    }

    fn skip_escape(&mut self) -> Result<(), Fault> {
        let bytes = &self.text.as_bytes()[self.at + 1..];
        self.at += match bytes {
            [b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => 2,
            [b'u', a, b, c, d, ..] if [a, b, c, d].iter().all(|byte| byte.is_ascii_hexdigit()) => 6,
            _ => return Err(Fault("an unknown escape is in a string")),
        };
        Ok(())
    }

    #[inline(always)]
    fn skip_number(&mut self) -> Result<(), Fault> {
        self.at += usize::from(self.byte() == b'-');
        match self.byte() {
            b'0' => self.at += 1,
            _ => self.skip_digits()?,
        }
        if self.byte() == b'.' {
            self.at += 1;
            self.skip_digits()?;
        }
        if matches!(self.byte(), b'e' | b'E') {
            self.at += 1;
            self.at += usize::from(matches!(self.byte(), b'+' | b'-'));
            self.skip_digits()?;
        }
        Ok(())
    }

    /// One digit at least.
    #[inline(always)]
    fn skip_digits(&mut self) -> Result<(), Fault> {
        let start = self.at;
        while self.byte().is_ascii_digit() {
            self.at += 1;
        }
        match self.at > start {
            true => Ok(()),
            false => Err(Fault("a digit is expected")),
        }
    }
}

#[inline(always)]
fn is_special(byte: u8) -> bool {
    byte == b'"' || byte == b'\\' || byte < 0x20
}

/// Whether any byte is special. Without branches and on its own, so that the compiler makes a few
/// instructions for all of them together.
#[inline(never)]
fn has_special(chunk: &[u8; WIDE_BYTES]) -> bool {
    let mut found = 0;
    for byte in chunk {
        found |= u8::from(*byte == b'"') | u8::from(*byte == b'\\') | u8::from(*byte < 0x20);
    }
    found != 0
}

/// The top bit of the bytes of `chunk` that are quotes, backslashes or control characters. Exact up
/// to the lowest of them; above it a subtraction's borrow may mark others.
#[inline(always)]
fn special_in(chunk: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const TOPS: u64 = 0x8080_8080_8080_8080;
    let zero_in = |bytes: u64| bytes.wrapping_sub(ONES) & !bytes;
    let quotes = zero_in(chunk ^ (ONES * b'"' as u64));
    let backslashes = zero_in(chunk ^ (ONES * b'\\' as u64));
    let controls = chunk.wrapping_sub(ONES * 0x20) & !chunk;
    (quotes | backslashes | controls) & TOPS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_value(text: &str) -> bool {
        let mut cursor = Cursor::new(text);
        cursor.skip().and_then(|()| cursor.end()).is_ok()
    }

    #[test]
    fn values_are_passed_over_to_their_end() {
        for text in
            ["0", "-0.5e-7", "10E+2", "null", "\"\"", "[]", "{}", " [ 1 , { \"a\" : [ ] } ] "]
        {
            assert!(is_value(text), "{text} was refused");
        }
        let mut cursor = Cursor::new(r#" {"a\"":[1,"\\"]} ,7"#);
        assert_eq!(cursor.value(), Ok(r#"{"a\"":[1,"\\"]}"#));
        assert_eq!(cursor.another(b'}'), Ok(true));
        assert_eq!(cursor.value(), Ok("7"));
    }

    #[test]
    fn whole_numbers_are_read_or_left_alone() {
        for (text, expected, left) in [
            (" 0,", Some(0), ","),
            ("-0", Some(0), ""),
            ("42 ", Some(42), " "),
            ("-999999999999999999]", Some(-999_999_999_999_999_999), "]"),
            ("1000000000000000000", None, "1000000000000000000"),
            ("1.0", None, "1.0"),
            ("1e2", None, "1e2"),
            ("1E2", None, "1E2"),
            ("01", None, "01"),
            ("-01", None, "-01"),
            ("-", None, "-"),
            ("+1", None, "+1"),
            ("\"1\"", None, "\"1\""),
            ("", None, ""),
        ] {
            let mut cursor = Cursor::new(text);
            assert_eq!((cursor.integer(), &text[cursor.at()..]), (expected, left), "{text}");
        }
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for text in [
            "",
            "-",
            "01",
            "-01",
            ".5",
            "5.",
            "1e",
            "1e+",
            "+1",
            "0x1",
            "nul",
            "NaN",
            "True",
            "\"",
            "\"a",
            "\"\\\"",
            "\"\\x\"",
            "\"\\u12g4\"",
            "\"\\u123",
            "\"\n\"",
            "\"\u{1f}\"",
            "[",
            "[1",
            "[1,]",
            "[,1]",
            "[1 2]",
            "{",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{a:1}",
            "{1:1}",
            "]",
            "{\"a\":1]",
            "[1}",
            "1 1",
            "\"a\"b",
        ] {
            assert!(!is_value(text), "{text} was taken");
        }
    }

    /// Every byte of a record replaced by every byte that means something: ours and another reader
    /// must agree on which of the results are JSON.
    #[test]
    fn another_reader_agrees_on_every_changed_byte() {
        let text = r#"{"id": -10.25e+3,"näme":"long \"text\" \\ \u00e9, é","t":[true, false,null],"o":{"a":{}}}"#;
        assert!(is_value(text));
        let (mut taken, mut refused) = (0, 0);
        for at in 0..text.len() {
            for byte in b"\0\t\n\x1f \"\\/,:{}[]+-.0159aefnrtuE\x7f" {
                let mut bytes = text.as_bytes().to_vec();
                bytes[at] = *byte;
                let Ok(changed) = String::from_utf8(bytes) else { continue };
                let theirs = serde_json::from_str::<serde_json::Value>(&changed).is_ok();
                assert_eq!(is_value(&changed), theirs, "{changed:?}");
                *(if theirs { &mut taken } else { &mut refused }) += 1;
            }
        }
        assert!(taken > 500 && refused > 1_000, "{taken} taken, {refused} refused");
    }

    #[test]
    fn deep_nesting_is_refused_before_the_stack_ends() {
        assert!(is_value(&format!("{}{}", "[".repeat(NESTING_MAX), "]".repeat(NESTING_MAX))));
        assert!(!is_value(&format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000))));
    }

    #[test]
    fn a_string_ends_where_it_ends_however_long_it_is() {
        for length in 0..200 {
            for special in ["\"", "\\n\"", "\\u00e9\\\"\"", "\n", ""] {
                let text = format!("\"{}{special}", "é~".repeat(length));
                let mut cursor = Cursor::new(&text);
                let string = cursor.string();
                assert_eq!(string.is_ok(), special.ends_with('"'), "{text}");
                if string.is_ok() {
                    assert_eq!(cursor.at(), text.len());
                }
            }
        }
    }

    #[test]
    fn the_first_special_byte_is_found_wherever_it_is() {
        for special in [b'"', b'\\', 0, 0x1f] {
            for at in 0..8 {
                // Bytes one above and below a special one, and bytes of other alphabets.
                for plain in [b'!', b'#', b'[', b']', b' ', 0x7f, 0x80, 0xa2, 0xdc, 0xff] {
                    let mut chunk = [plain; 8];
                    assert_eq!(special_in(u64::from_le_bytes(chunk)), 0);
                    chunk[at] = special;
                    let found = special_in(u64::from_le_bytes(chunk)).trailing_zeros() / 8;
                    assert_eq!(found as usize, at, "{special} among {plain}");
                }
            }
        }
    }
}
