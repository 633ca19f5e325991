//! The names wanted of an object, found where former objects had them.
//!
//! Guarantees: a key is found however it is written and wherever it stands; what is remembered is
//! bounded by [`KEYS_MAX`] and [`KEY_BYTES_MAX`].
//! Left out: keys that occur twice, which are found twice.

use crate::{Cursor, Fault};
use std::collections::HashMap;

/// How far ahead of its place a key is looked for, which is how many fields an object may leave out
/// between two that it has before they cost a hash.
const KEYS_AHEAD: usize = 4;
/// Places in an object whose keys are remembered; more fields than this are a map.
const KEYS_MAX: usize = 1_000;
/// The longest key that is remembered, in bytes.
const KEY_BYTES_MAX: usize = 128;

/// Bytes of a key that are compared at once.
const HEAD_BYTES: usize = 16;

/// The names wanted of an object.
#[derive(Debug, Default)]
pub struct Keys {
    by_name: HashMap<String, usize>,
    /// The keys in the order that objects have had them.
    seen: Vec<Seen>,
}

/// A key that an object had.
#[derive(Debug)]
struct Seen {
    /// As it was written, up to its colon.
    written: String,
    /// The first bytes of that, and ones in the bits that are its.
    head: u128,
    mask: u128,
    /// Which of the names it is.
    number: Option<usize>,
}

impl Keys {
    /// The names wanted; of a name that is there twice the first counts.
    pub fn new<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        let mut by_name = HashMap::new();
        for (number, name) in names.into_iter().enumerate() {
            by_name.entry(name.to_string()).or_insert(number);
        }
        Self { by_name, seen: Vec::new() }
    }

    /// Passes over a key and its colon; gives the number of its name if it is wanted. `place` is
    /// 0 at an object's first key and is kept by the caller until its last.
    ///
    /// # Errors
    /// There is no key, or no colon behind it.
    #[inline(always)]
    pub fn next(
        &mut self,
        cursor: &mut Cursor<'_>,
        place: &mut usize,
    ) -> Result<Option<usize>, Fault> {
        cursor.peek();
        match self.expected(cursor, place) {
            Some(found) => Ok(found),
            None => self.find(cursor, place),
        }
    }

    /// The key that is where former objects had it. Nearly all keys are found so, without being
    /// read.
    #[inline(always)]
    fn expected(&self, cursor: &mut Cursor<'_>, place: &mut usize) -> Option<Option<usize>> {
        let seen = self.seen.get(*place..)?;
        let ahead = seen.iter().take(KEYS_AHEAD).position(|key| key.is_next(cursor))?;
        *place += ahead + 1;
        Some(seen[ahead].number)
    }

    /// Reads a key, and remembers it at its place.
    #[cold]
    fn find(&mut self, cursor: &mut Cursor<'_>, place: &mut usize) -> Result<Option<usize>, Fault> {
        let start = cursor.at();
        let key = cursor.string()?;
        let found = self.by_name.get(&*key.characters()?).copied();
        cursor.colon()?;
        let written = cursor.since(start);
        if written.len() <= KEY_BYTES_MAX && *place < KEYS_MAX {
            let key = Seen::new(written, found);
            match self.seen.get_mut(*place) {
                Some(seen) => *seen = key,
                None => self.seen.push(key),
            }
            *place += 1;
        }
        Ok(found)
    }
}

impl Seen {
    fn new(written: &str, number: Option<usize>) -> Self {
        let mut head = [0; HEAD_BYTES];
        let mut mask = [0; HEAD_BYTES];
        for (at, byte) in written.bytes().take(HEAD_BYTES).enumerate() {
            (head[at], mask[at]) = (byte, 0xff);
        }
        let (head, mask) = (u128::from_le_bytes(head), u128::from_le_bytes(mask));
        Self { written: written.to_string(), head, mask, number }
    }

    /// Passes over the key if it is what comes next.
    #[inline(always)]
    fn is_next(&self, cursor: &mut Cursor<'_>) -> bool {
        match cursor.rest().first_chunk::<HEAD_BYTES>() {
            Some(head) if u128::from_le_bytes(*head) & self.mask != self.head => false,
            Some(_) if self.written.len() <= HEAD_BYTES => {
                cursor.pass(self.written.len());
                true
            }
            _ => cursor.eat(&self.written),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The numbers found in an object whose values are whole numbers, with these.
    fn numbers(keys: &mut Keys, object: &str) -> Vec<(usize, i64)> {
        let mut cursor = Cursor::new(object);
        let (mut found, mut place) = (Vec::new(), 0);
        let mut more = cursor.enter(b'{', b'}').unwrap();
        while more {
            let number = keys.next(&mut cursor, &mut place).unwrap();
            let value = cursor.value().unwrap().parse().unwrap();
            found.extend(number.map(|number| (number, value)));
            more = cursor.another(b'}').unwrap();
        }
        found
    }

    #[test]
    fn keys_are_found_in_any_order_however_they_are_written() {
        // Left out, swapped, added, longer than is remembered, escaped, prefixes of each other.
        let long = "k".repeat(200);
        let orders: [&[&str]; 8] = [
            &["a", "b", "c", "d", "e", "f", "g"],
            &["a", "g"],
            &["g", "f", "e", "d", "c", "b", "a"],
            &["x", "a", "xx", "b", &long, "c", "g", "xxx", "d"],
            &["\\u0061", "b", "\\u0063", "d"],
            &["", "a", "ab", "aa", "b", "A"],
            &["a", "b", "a", "d", "e", "f", "g"],
            &[],
        ];
        let mut keys = Keys::new(["g", "c", "a"]);
        for round in 0..40 {
            let order = orders[round * 5 % orders.len()];
            let pairs = order.iter().enumerate().map(|(at, key)| format!("\"{key}\" : {at}"));
            let found =
                numbers(&mut keys, &format!("{{{}}}", pairs.collect::<Vec<_>>().join(" ,")));
            let plain = |key: &str| match key {
                "g" => Some(0),
                "c" | "\\u0063" => Some(1),
                "a" | "\\u0061" => Some(2),
                _ => None,
            };
            let expected: Vec<_> = (order.iter().enumerate())
                .filter_map(|(at, key)| plain(key).map(|number| (number, at as i64)))
                .collect();
            assert_eq!(found, expected, "{order:?}");
        }
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut keys = Keys::new(["k7"]);
        let pairs: Vec<_> = (0..3_000).map(|at| format!("\"k{at}\":{at}")).collect();
        let object = format!("{{{}}}", pairs.join(","));
        for _ in 0..2 {
            assert_eq!(numbers(&mut keys, &object), [(0, 7)]);
            assert_eq!(keys.seen.len(), KEYS_MAX);
        }
    }

    #[test]
    fn a_key_that_is_none_is_a_fault() {
        for text in ["a:1", "7:1", "\"a\"", "\"a\" 1", "\"a", "\"\\ud800\":1"] {
            let found = Keys::new(["a"]).next(&mut Cursor::new(text), &mut 0);
            assert!(found.is_err(), "{text} was taken");
        }
    }
}
