//! Where functions begin and end, from the text alone.
//!
//! Guarantees: braces in comments, strings and character literals do not count.
//! Left out: parsing. A parser would bring its features into every build of the workspace; for
//! lengths, matching braces is enough.

/// A function with a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Function {
    pub(super) name: String,
    /// The line of `fn`, from 1.
    pub(super) line: usize,
    /// From the line of `fn` to that of the closing brace.
    pub(super) lines: usize,
}

/// Every function of a Rust file, those inside others too.
pub(super) fn functions(source: &str) -> Vec<Function> {
    let code = mask(source);
    let mut functions = Vec::new();
    for at in words(&code, b"fn") {
        let Some((name, after)) = name_after(&code, at + 2) else { continue };
        let Some(open) = body_start(&code, after) else { continue };
        let line = line_of(&code, at);
        let lines = line_of(&code, matching_brace(&code, open)) - line + 1;
        functions.push(Function { name, line, lines });
    }
    functions
}

fn line_of(code: &[u8], at: usize) -> usize {
    code[..at].iter().filter(|byte| **byte == b'\n').count() + 1
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

/// Where `word` stands alone.
fn words<'a>(code: &'a [u8], word: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    (0..code.len()).filter(move |at| {
        let end = at + word.len();
        code[*at..].starts_with(word)
            && (*at == 0 || !is_word(code[at - 1]))
            && code.get(end).is_none_or(|byte| !is_word(*byte))
    })
}

/// The identifier after spaces, and where it ends. A function type or a macro's `fn $name` has
/// none.
fn name_after(code: &[u8], from: usize) -> Option<(String, usize)> {
    let start = from + code[from..].iter().position(|byte| !byte.is_ascii_whitespace())?;
    let len = code[start..].iter().take_while(|byte| is_word(**byte)).count();
    let name = String::from_utf8_lossy(&code[start..start + len]).into_owned();
    (len > 0).then_some((name, start + len))
}

/// The brace that opens the body, if the signature does not end in a semicolon.
fn body_start(code: &[u8], from: usize) -> Option<usize> {
    let mut depth = 0;
    for (at, byte) in code.iter().enumerate().skip(from) {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth -= 1,
            b'{' if depth == 0 => return Some(at),
            b';' if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

fn matching_brace(code: &[u8], open: usize) -> usize {
    let mut depth = 0;
    for (at, byte) in code.iter().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    code.len()
}

/// The source with comments, strings and character literals blanked, line breaks kept.
fn mask(source: &str) -> Vec<u8> {
    let bytes = source.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = literal_end(bytes, at);
        for byte in code[at..end].iter_mut().filter(|byte| **byte != b'\n') {
            *byte = b' ';
        }
        at = end.max(at + 1);
    }
    code
}

/// Where the comment or literal that begins at `at` ends; `at` itself when none does.
fn literal_end(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    let inside_word = at > 0 && is_word(bytes[at - 1]);
    match rest {
        [b'/', b'/', ..] => at + rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len()),
        [b'/', b'*', ..] => block_comment_end(bytes, at),
        [b'"', ..] => quoted_end(bytes, at + 1, b'"'),
        [b'r', ..] if !inside_word => raw_string_end(bytes, at, at + 1),
        [b'b' | b'c', b'r', ..] if !inside_word => raw_string_end(bytes, at, at + 2),
        [b'\'', ..] => character_end(bytes, at),
        _ => at,
    }
}

fn block_comment_end(bytes: &[u8], start: usize) -> usize {
    let (mut depth, mut at) = (0, start);
    while at < bytes.len() {
        match &bytes[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn quoted_end(bytes: &[u8], mut at: usize, quote: u8) -> usize {
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// `r"…"` and `r#"…"#`; `start` when it is a raw identifier or a word that begins so.
fn raw_string_end(bytes: &[u8], start: usize, after_r: usize) -> usize {
    let hashes = bytes[after_r..].iter().take_while(|byte| **byte == b'#').count();
    if bytes.get(after_r + hashes) != Some(&b'"') {
        return start;
    }
    let mut close = vec![b'"'];
    close.resize(1 + hashes, b'#');
    let from = after_r + hashes + 1;
    let found = bytes[from..].windows(close.len()).position(|window| window == close);
    found.map_or(bytes.len(), |at| from + at + close.len())
}

/// `'{'` and `'\''` are characters, `'a` is a lifetime.
fn character_end(bytes: &[u8], at: usize) -> usize {
    if bytes.get(at + 1) == Some(&b'\\') {
        return quoted_end(bytes, at + 1, b'\'');
    }
    // One character of up to four bytes, then the closing quote.
    let len = (2..=5).find(|len| bytes.get(at + len) == Some(&b'\''));
    match len {
        Some(len) if len == 2 || !bytes[at + 1].is_ascii() => at + len + 1,
        _ => at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(source: &str) -> Vec<(String, usize, usize)> {
        functions(source).into_iter().map(|f| (f.name, f.line, f.lines)).collect()
    }

    #[test]
    fn a_function_is_as_long_as_from_fn_to_its_closing_brace() {
        let source = "/// Docs do not count.\n#[inline]\npub fn one(\n    a: u8,\n) -> [u8; 2] {\n    [a, a]\n}\n";
        assert_eq!(named(source), [("one".to_owned(), 3, 5)]);
    }

    #[test]
    fn functions_in_functions_and_blocks_are_found() {
        let source = "impl X {\n    fn a() {\n        fn b() {}\n    }\n}\ntrait T { fn c(&self); fn d() {} }\n";
        let names: Vec<_> = functions(source).into_iter().map(|f| f.name).collect();
        assert_eq!(names, ["a", "b", "d"], "c has no body");
    }

    #[test]
    fn braces_in_text_do_not_count() {
        let source = r####"
fn a<'x>(y: &'x str) {
    let _ = "}}}\"}"; // }}}
    let _ = '}'; let _ = '\''; let _ = b'{';
    let _ = r#"} " }"#; /* } /* } */ } */
    let r = y; let _ = 'ü';
}
fn b() {}
"####;
        assert_eq!(named(source), [("a".to_owned(), 2, 6), ("b".to_owned(), 8, 1)]);
    }

    #[test]
    fn what_only_looks_like_a_function_is_none() {
        assert!(
            named("type F = fn(u8) -> u8; // fn x() {}\nlet s = \"fn y() {}\"; let fns = 1;")
                .is_empty()
        );
    }
}
