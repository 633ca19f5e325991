//! Reading one JSON object by property names.
//!
//! Guarantees: values are read from their text, so numbers stay exact; `null` is the same as
//! absent; of a repeated name the last one counts; an error names the property.
//! Left out: writing, which serde derives.

use crate::money::{Currency, Decimal, MoneyError};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// A JSON object taken apart, values unread.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Fields(BTreeMap<String, Box<RawValue>>);

/// A property that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("property {property:?}: {reason}")]
pub(super) struct PropertyError {
    property: String,
    reason: String,
}

impl PropertyError {
    fn new(property: &str, reason: impl ToString) -> Self {
        Self { property: property.to_owned(), reason: reason.to_string() }
    }
}

impl Fields {
    /// Text, or a number by its text: ids are sent as both.
    pub(super) fn text(&self, names: &[&str]) -> Result<Option<String>, PropertyError> {
        let Some((name, json)) = self.find(names) else { return Ok(None) };
        match json.as_bytes().first() {
            Some(b'-' | b'0'..=b'9') => Ok(Some(json.to_owned())),
            _ => parse(name, json).map(Some),
        }
    }

    /// Text that must be there.
    pub(super) fn required_text(&self, names: &[&str]) -> Result<String, PropertyError> {
        self.text(names)?.ok_or_else(|| PropertyError::new(names[0], "is required"))
    }

    /// An exact number.
    pub(super) fn decimal(&self, names: &[&str]) -> Result<Option<Decimal>, PropertyError> {
        self.json(names)
    }

    /// A currency's code.
    pub(super) fn currency(&self, names: &[&str]) -> Result<Option<Currency>, PropertyError> {
        let code = self.text(names)?;
        code.map(|code| code.parse())
            .transpose()
            .map_err(|error: MoneyError| PropertyError::new(names[0], error))
    }

    /// A list, empty when absent.
    pub(super) fn list<T: DeserializeOwned>(
        &self,
        names: &[&str],
    ) -> Result<Vec<T>, PropertyError> {
        Ok(self.json(names)?.unwrap_or_default())
    }

    fn json<T: DeserializeOwned>(&self, names: &[&str]) -> Result<Option<T>, PropertyError> {
        self.find(names).map(|(name, json)| parse(name, json)).transpose()
    }

    /// The first of `names` that is there and not null.
    fn find<'a>(&self, names: &[&'a str]) -> Option<(&'a str, &str)> {
        names
            .iter()
            .filter_map(|name| Some((*name, self.0.get(*name)?.get())))
            .find(|(_, json)| *json != "null")
    }
}

fn parse<T: DeserializeOwned>(name: &str, json: &str) -> Result<T, PropertyError> {
    serde_json::from_str(json).map_err(|error| PropertyError::new(name, error))
}
