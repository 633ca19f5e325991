//! `PARSE_URL`, `URL_ENCODE` and `URL_DECODE`.
//!
//! Guarantees: parts are as they stand in the URL, not decoded; a text that is no URL, or has no
//! such part, gives null.
//! Left out: checking hosts and paths.

use super::function::{Function, TEXT, Takes};
use datafusion::logical_expr::ScalarUDF;
use std::sync::Arc;

pub(super) fn all() -> Vec<Arc<ScalarUDF>> {
    vec![
        Function::new("parse_url", &[Takes::Text; 3], TEXT, |call| {
            let (url, part) = (call.text(0), call.text(1));
            let key = (call.len() > 2).then(|| call.text(2));
            call.slices(|row| {
                let url = Url::new(url.get(row)?)?;
                match key {
                    None => url.part(part.get(row)?),
                    Some(key) if part.get(row)? == "QUERY" => url.parameter(key.get(row)?),
                    Some(_) => None,
                }
            })
        })
        .optional(1)
        .shared(),
        Function::new("url_encode", &[Takes::Text], TEXT, |call| {
            let text = call.text(0);
            call.texts(|row, out| Ok(text.get(row).map(|text| encode(text, out)).is_some()))
        })
        .shared(),
        Function::new("url_decode", &[Takes::Text], TEXT, |call| {
            let text = call.text(0);
            call.texts(|row, out| {
                let decoded = text.get(row).and_then(decode);
                Ok(decoded.map(|decoded| out.push_str(&decoded)).is_some())
            })
        })
        .shared(),
    ]
}

/// `scheme://authority/path?query#fragment`.
struct Url<'a> {
    scheme: &'a str,
    authority: &'a str,
    /// Path and query.
    file: &'a str,
    fragment: Option<&'a str>,
}

impl<'a> Url<'a> {
    fn new(text: &'a str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        if scheme.is_empty() || !scheme.chars().all(|letter| letter.is_ascii_alphanumeric()) {
            return None;
        }
        let (rest, fragment) =
            rest.split_once('#').map_or((rest, None), |(rest, part)| (rest, Some(part)));
        let (authority, file) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        Some(Self { scheme, authority, file, fragment })
    }

    fn query(&self) -> Option<&'a str> {
        self.file.split_once('?').map(|(_, query)| query)
    }

    fn part(&self, name: &str) -> Option<&'a str> {
        let user_and_host = self.authority.rsplit_once('@');
        match name {
            "PROTOCOL" => Some(self.scheme),
            "AUTHORITY" => Some(self.authority),
            "USERINFO" => user_and_host.map(|(user, _)| user),
            "HOST" => {
                let host = user_and_host.map_or(self.authority, |(_, host)| host);
                Some(host.rsplit_once(':').map_or(host, |(host, _)| host))
            }
            "FILE" => Some(self.file),
            "PATH" => Some(self.file.split_once('?').map_or(self.file, |(path, _)| path)),
            "QUERY" => self.query(),
            "REF" => self.fragment,
            _ => None,
        }
    }

    fn parameter(&self, key: &str) -> Option<&'a str> {
        let mut pairs = self.query()?.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(name, _)| *name == key).map(|(_, value)| value)
    }
}

/// As forms are sent: a space is a plus.
fn encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        match byte {
            b' ' => out.push('+'),
            b'-' | b'_' | b'.' | b'*' => out.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
                u8::try_from(high * 16 + low).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}
