//! A strict JSON scanner that finds members without building anything.
//!
//! Guarantees: what it passes is JSON by RFC 8259, nested at most [`DEPTH_MAX`] levels; it neither
//! recurses nor allocates by what the text claims, so no text can exhaust the stack; values are
//! slices of the input. Surrogate halves without their other half are legal JSON text but no text
//! at all: their positions are reported, so that [`mend_surrogates`] can replace them.
//! Left out: numbers stay text, so that none passes through a float.

use std::borrow::Cow;

/// Deepest nesting taken. Readers further down (serde_json: 128) must be able to read it again.
pub(crate) const DEPTH_MAX: u32 = 100;

/// Why a text is not JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{reason} at byte {position}")]
pub struct Fault {
    /// The byte at fault, from 0.
    pub position: usize,
    /// What does not hold.
    pub reason: &'static str,
}

/// Walks a JSON text from left to right.
#[derive(Debug)]
pub(crate) struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    /// Containers that are open around the value the caller stands at.
    depth: u32,
    /// Where `\uD800`..`\uDFFF` escapes stand alone: the position of each backslash.
    pub(crate) lone_surrogates: Vec<usize>,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, bytes: text.as_bytes(), at: 0, depth: 0, lone_surrogates: Vec::new() }
    }

    fn fault<T>(&self, reason: &'static str) -> Result<T, Fault> {
        Err(Fault { position: self.at, reason })
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.bytes.get(self.at) {
            self.at += 1;
        }
    }

    /// The next byte that is no white space, without taking it.
    pub(crate) fn peek(&mut self) -> Option<u8> {
        self.space();
        self.bytes.get(self.at).copied()
    }

    /// Where the scanner stands.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// Takes the opening bracket of an object (`{`) or array (`[`).
    pub(crate) fn enter(&mut self, bracket: u8) -> Result<(), Fault> {
        if self.peek() != Some(bracket) {
            return self.fault(if bracket == b'{' {
                "an object is expected"
            } else {
                "an array is expected"
            });
        }
        if self.depth == DEPTH_MAX {
            return self.fault("nested deeper than 100 levels");
        }
        self.depth += 1;
        self.at += 1;
        Ok(())
    }

    /// The next member's name as raw text between its quotes, the scanner standing before its
    /// value; `None` once the object is closed. `first` is true at the first call.
    pub(crate) fn member(&mut self, first: bool) -> Result<Option<&'a str>, Fault> {
        if !self.more(first, b'}')? {
            return Ok(None);
        }
        if self.peek() != Some(b'"') {
            return self.fault("a member's name is expected");
        }
        let name = self.string()?;
        if self.peek() != Some(b':') {
            return self.fault("a colon is expected");
        }
        self.at += 1;
        Ok(Some(name))
    }

    /// Whether another element follows; takes the comma, or the closing bracket.
    pub(crate) fn more(&mut self, first: bool, close: u8) -> Result<bool, Fault> {
        match self.peek() {
            Some(byte) if byte == close => {
                self.at += 1;
                self.depth -= 1;
                Ok(false)
            }
            Some(b',') if !first => {
                self.at += 1;
                Ok(true)
            }
            Some(_) if first => Ok(true),
            Some(_) => self.fault("a comma or the end of the object or array is expected"),
            None => self.fault("the text ends inside an object or array"),
        }
    }

    /// Takes one value of any kind and returns its text.
    pub(crate) fn value(&mut self) -> Result<&'a str, Fault> {
        self.space();
        let start = self.at;
        // Bit i says whether container i (counted from here) is an object.
        let mut objects: u128 = 0;
        let floor = self.depth;
        loop {
            if self.open_or_scalar(&mut objects, floor)? {
                continue;
            }
            if self.close(&mut objects, floor)? {
                return Ok(&self.text[start..self.at]);
            }
        }
    }

    /// Takes a scalar, or the start of a container up to its first value. True when a value
    /// follows, false when one has just ended.
    fn open_or_scalar(&mut self, objects: &mut u128, floor: u32) -> Result<bool, Fault> {
        let Some(byte) = self.peek() else { return self.fault("the text ends before a value") };
        let close = match byte {
            b'{' => b'}',
            b'[' => b']',
            _ => {
                self.scalar(byte)?;
                return Ok(false);
            }
        };
        self.enter(byte)?;
        let bit = 1u128 << (self.depth - floor - 1);
        *objects = if byte == b'{' { *objects | bit } else { *objects & !bit };
        if byte == b'{' { Ok(self.member(true)?.is_some()) } else { self.more(true, close) }
    }

    /// After a value: moves to the next one of the innermost open container, closing those that
    /// end. True when nothing is left open.
    fn close(&mut self, objects: &mut u128, floor: u32) -> Result<bool, Fault> {
        while self.depth > floor {
            let follows = if *objects & (1u128 << (self.depth - floor - 1)) != 0 {
                self.member(false)?.is_some()
            } else {
                self.more(false, b']')?
            };
            if follows {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn scalar(&mut self, byte: u8) -> Result<(), Fault> {
        match byte {
            b'"' => self.string().map(drop),
            b'-' | b'0'..=b'9' => self.number(),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            _ => self.fault("a value is expected"),
        }
    }

    fn word(&mut self, word: &str) -> Result<(), Fault> {
        if self.bytes[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            return Ok(());
        }
        self.fault("a value is expected")
    }

    fn digits(&mut self) -> Result<(), Fault> {
        let start = self.at;
        while matches!(self.bytes.get(self.at), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start {
            return self.fault("a digit is expected");
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), Fault> {
        if self.bytes[self.at] == b'-' {
            self.at += 1;
        }
        if self.bytes.get(self.at) == Some(&b'0') {
            self.at += 1;
            if matches!(self.bytes.get(self.at), Some(b'0'..=b'9')) {
                return self.fault("a number does not start with 0");
            }
        } else {
            self.digits()?;
        }
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.bytes.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.bytes.get(self.at), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    /// Takes a string and returns what is between its quotes, escapes and all.
    fn string(&mut self) -> Result<&'a str, Fault> {
        self.at += 1;
        let start = self.at;
        loop {
            self.at += plain_prefix(&self.bytes[self.at..]);
            match self.bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(&self.text[start..self.at - 1]);
                }
                Some(b'\\') => self.escape()?,
                Some(_) => return self.fault("a control character inside a string"),
                None => return self.fault("the text ends inside a string"),
            }
        }
    }

    fn escape(&mut self) -> Result<(), Fault> {
        match self.bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 2;
                Ok(())
            }
            Some(b'u') => self.unicode_escape(),
            _ => self.fault("no such escape"),
        }
    }

    fn unicode_escape(&mut self) -> Result<(), Fault> {
        let Some(unit) = hex4(self.bytes, self.at + 2) else {
            return self.fault("four hexadecimal digits are expected");
        };
        let paired = is_high(unit)
            && self.bytes[self.at + 6..].starts_with(b"\\u")
            && hex4(self.bytes, self.at + 8).is_some_and(is_low);
        if (is_high(unit) || is_low(unit)) && !paired {
            self.lone_surrogates.push(self.at);
        }
        self.at += if paired { 12 } else { 6 };
        Ok(())
    }

    /// Nothing but white space may follow.
    pub(crate) fn end(&mut self) -> Result<(), Fault> {
        match self.peek() {
            None => Ok(()),
            Some(_) => self.fault("text after the end of the JSON value"),
        }
    }
}

fn is_high(unit: u16) -> bool {
    (0xD800..0xDC00).contains(&unit)
}

fn is_low(unit: u16) -> bool {
    (0xDC00..0xE000).contains(&unit)
}

fn hex4(bytes: &[u8], at: usize) -> Option<u16> {
    let digits = bytes.get(at..at + 4)?;
    digits
        .iter()
        .try_fold(0u16, |unit, digit| Some(unit << 4 | (*digit as char).to_digit(16)? as u16))
}

/// How many bytes from the start are neither a quote, a backslash nor a control character. Eight
/// at a time: most of an event is inside strings.
fn plain_prefix(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let zero_in = |word: u64| word.wrapping_sub(ONES) & !word & HIGHS;
    let mut at = 0;
    for chunk in bytes.chunks_exact(8) {
        let word = u64::from_le_bytes(chunk.try_into().expect("chunks of eight bytes"));
        let quotes = zero_in(word ^ (ONES * u64::from(b'"')));
        let backslashes = zero_in(word ^ (ONES * u64::from(b'\\')));
        let controls = word.wrapping_sub(ONES * 0x20) & !word & HIGHS;
        let found = quotes | backslashes | controls;
        if found != 0 {
            // The lowest bit found is exact; only those above it may be borrowed.
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let rest = bytes[at..].iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
    rest.map_or(bytes.len(), |rest| at + rest)
}

/// Replaces each escape at `positions` (a lone surrogate's) by that of U+FFFD, in place.
pub(crate) fn mend_surrogates(body: &mut [u8], positions: &[usize]) {
    for position in positions {
        body[*position..position + 6].copy_from_slice(b"\\ufffd");
    }
}

/// The text of a string from what stands between its quotes.
pub(crate) fn unescape(raw: &str) -> Cow<'_, str> {
    if !raw.contains('\\') {
        return Cow::Borrowed(raw);
    }
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        text.push_str(&rest[..at]);
        rest = &rest[at + unescape_one(&rest[at..], &mut text)..];
    }
    text.push_str(rest);
    Cow::Owned(text)
}

/// Decodes the escape `rest` starts with; how many bytes it took.
fn unescape_one(rest: &str, text: &mut String) -> usize {
    let bytes = rest.as_bytes();
    let simple = match bytes.get(1) {
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => return unescape_unicode(bytes, text),
        Some(other) => char::from(*other),
        None => return 1,
    };
    text.push(simple);
    2
}

fn unescape_unicode(bytes: &[u8], text: &mut String) -> usize {
    let Some(unit) = hex4(bytes, 2) else { return bytes.len().min(2) };
    let low = if is_high(unit) { hex4(bytes, 8).filter(|low| is_low(*low)) } else { None };
    if let Some(low) = low {
        let point = 0x10000 + ((u32::from(unit) - 0xD800) << 10) + (u32::from(low) - 0xDC00);
        text.push(char::from_u32(point).unwrap_or(char::REPLACEMENT_CHARACTER));
        return 12;
    }
    text.push(char::from_u32(u32::from(unit)).unwrap_or(char::REPLACEMENT_CHARACTER));
    6
}

/// Appends `text` as a JSON string, quotes included.
pub(crate) fn push_string(out: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..0x20 => {
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(byte >> 4)]);
                out.push(HEX[usize::from(byte & 15)]);
            }
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use proptest::prelude::*;

    fn check(text: &str) -> Result<(), Fault> {
        let mut scanner = Scanner::new(text);
        scanner.value()?;
        scanner.end()
    }

    #[test]
    fn what_is_json_is_taken_and_nothing_else() {
        for good in [
            "0",
            "-0.5e+10",
            "\"\"",
            "{}",
            "[]",
            " [ 1 , {\"a\" : [ ] } ] ",
            "null",
            "1e999999",
            r#""\u00e9\n\/""#,
            r#""\ud83d\ude00""#,
            "{\"a\":1,\"a\":2}",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "01",
            "1.",
            ".5",
            "+1",
            "1e",
            "tru",
            "nan",
            "[1,]",
            "{\"a\"}",
            "{\"a\":}",
            "{,}",
            "[",
            "{\"a\":1",
            "\"",
            "\"\\x\"",
            "\"\\u12g4\"",
            "\"\n\"",
            "1 2",
            "[1 2]",
            "{a:1}",
            "]",
            "[}",
            "{\"a\":1]",
            "'a'",
            "\"\\u12",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn depth_is_bounded_without_recursion() {
        let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert_eq!(check(&nested(100)), Ok(()));
        assert_eq!(check(&nested(101)).unwrap_err().reason, "nested deeper than 100 levels");
        assert!(check(&"[".repeat(500_000)).is_err());
        assert!(check(&"{\"a\":".repeat(100_000)).is_err());
    }

    #[test]
    fn lone_surrogates_are_found_and_mended() {
        let text = r#"["\ud83d","\ude00x","\ud83d\ude00","\ud83d\ud83d\ude00","\uDFFF"]"#;
        let mut scanner = Scanner::new(text);
        scanner.value().unwrap();
        assert_eq!(scanner.lone_surrogates.len(), 4);
        let mut mended = text.as_bytes().to_vec();
        mend_surrogates(&mut mended, &scanner.lone_surrogates);
        let read: Vec<String> = serde_json::from_slice(&mended).unwrap();
        assert_eq!(read, ["\u{fffd}", "\u{fffd}x", "😀", "\u{fffd}😀", "\u{fffd}"]);
    }

    proptest! {
        /// serde_json is the judge, on text that is nearly JSON.
        #[test]
        fn agrees_with_serde_json(text in r#"([\[\]{},:"0-9.eE\\u+-]|true|null|"[a-z\\"\n]{0,3}"|"a":| ){0,24}"#) {
            let ours = check(&text).is_ok();
            let theirs = serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok();
            // serde_json refuses lone surrogates only when it decodes them, as we do not here.
            prop_assert_eq!(ours, theirs, "{}", text);
        }

        #[test]
        fn strings_survive_both_ways(text in any::<String>()) {
            let mut json = Vec::new();
            push_string(&mut json, &text);
            let json = String::from_utf8(json).unwrap();
            prop_assert_eq!(check(&json), Ok(()));
            prop_assert_eq!(&serde_json::from_str::<String>(&json).unwrap(), &text);
            prop_assert_eq!(unescape(&json[1..json.len() - 1]), text.as_str());
            let theirs = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(unescape(&theirs[1..theirs.len() - 1]), text.as_str());
        }

        #[test]
        fn plain_prefix_is_what_a_loop_finds(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let slow = bytes.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
            prop_assert_eq!(plain_prefix(&bytes), slow.unwrap_or(bytes.len()));
        }
    }
}
