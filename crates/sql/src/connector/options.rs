//! The options of one table, taken one by one.
//!
//! Guarantees: what was not asked for by the end is refused.

use crate::{SqlError, did_you_mean};
use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

/// The options of one table.
pub(super) struct Options<'a> {
    all: &'a BTreeMap<String, String>,
    error: &'a dyn Fn(&str, String) -> SqlError,
    /// Keys that somebody has asked for.
    asked: BTreeSet<String>,
}

impl<'a> Options<'a> {
    pub(super) fn new(
        all: &'a BTreeMap<String, String>,
        error: &'a dyn Fn(&str, String) -> SqlError,
    ) -> Self {
        Self { all, error, asked: BTreeSet::from(["connector".to_string()]) }
    }

    /// An error at a key's place.
    pub(super) fn error(&self, key: &str, message: impl Into<String>) -> SqlError {
        (self.error)(key, message.into())
    }

    /// A value, if it is given.
    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        self.asked.insert(key.to_string());
        self.all.get(key).cloned()
    }

    /// Known, and without a meaning here.
    pub(super) fn ignore(&mut self, key: &str) {
        self.asked.insert(key.to_string());
    }

    /// A number, if it is given.
    pub(super) fn number<T: FromStr>(&mut self, key: &str) -> Result<Option<T>, SqlError> {
        let Some(text) = self.text(key) else { return Ok(None) };
        let parsed = text.trim().parse().map(Some);
        parsed.map_err(|_| self.error(key, format!("{key:?} is {text:?}, and no such number")))
    }

    /// A number that must be given.
    pub(super) fn required_number<T: FromStr>(&mut self, key: &str) -> Result<T, SqlError> {
        let number = self.number(key)?;
        number.ok_or_else(|| self.error("connector", format!("the table needs {key:?}")))
    }

    /// `true` or `false`, if it is given.
    pub(super) fn boolean(&mut self, key: &str) -> Result<Option<bool>, SqlError> {
        match self.text(key).as_deref() {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(other) => {
                Err(self.error(key, format!("{key:?} is {other:?}, and not true or false")))
            }
        }
    }

    /// A length of time such as `5 s`, `1 min`, `100 ms`, in milliseconds, if it is given.
    pub(super) fn milliseconds(&mut self, key: &str) -> Result<Option<u64>, SqlError> {
        let Some(text) = self.text(key) else { return Ok(None) };
        let digits = text.trim().chars().take_while(char::is_ascii_digit).count();
        let (number, unit) = text.trim().split_at(digits);
        let factor = match unit.trim() {
            "" | "ms" | "milli" | "millis" => Some(1),
            "s" | "sec" | "second" | "seconds" => Some(1_000),
            "m" | "min" | "minute" | "minutes" => Some(60_000),
            "h" | "hour" | "hours" => Some(3_600_000),
            "d" | "day" | "days" => Some(86_400_000),
            _ => None,
        };
        let number: Option<u64> = number.parse().ok();
        let product = number.zip(factor).and_then(|(number, factor)| number.checked_mul(factor));
        let wrong = || self.error(key, format!("{key:?} is {text:?}, and no time such as '5 s'"));
        product.map(Some).ok_or_else(wrong)
    }

    /// The keys that begin so, each known from now on.
    pub(super) fn keys_with(&mut self, prefix: &str) -> Vec<String> {
        let keys = self.all.keys().filter(|key| key.starts_with(prefix));
        keys.cloned().collect()
    }

    /// A key that nobody knows and that looks like one that is missing: the likely cause of an error
    /// about a missing one.
    pub(super) fn misspelt(&self) -> Option<SqlError> {
        let missing: Vec<&str> = self
            .asked
            .iter()
            .map(String::as_str)
            .filter(|key| !self.all.contains_key(*key))
            .collect();
        let unknown = self.all.keys().filter(|key| !self.asked.contains(*key));
        let mut suggested =
            unknown.filter_map(|key| Some((key, did_you_mean(key, missing.iter().copied())?)));
        let (key, hint) = suggested.next()?;
        Some(self.error(key, format!("there is no option {key:?}")).hint(hint))
    }

    /// Refuses what nobody has asked for.
    pub(super) fn finish(self) -> Result<(), SqlError> {
        match self.all.keys().find(|key| !self.asked.contains(*key)) {
            Some(key) => {
                let hint = did_you_mean(key, self.asked.iter().map(String::as_str));
                Err(self.error(key, format!("there is no option {key:?}")).maybe_hint(hint))
            }
            None => Ok(()),
        }
    }
}
