//! The settings of one connection that PostgreSQL's clients set and ask for.
//!
//! Guarantees: a name that is none is refused as PostgreSQL refuses it, a value that would not
//! hold here is refused and not ignored; names of a client's own (`myapp.user`) are kept, at most
//! [`OWN_MAX`] of them.
//! Left out: `timezone`, `dialect` and `pipeline.name`, which the session keeps itself.

use crate::class::ErrorClass;
use crate::error::AnalyzeError;
use std::collections::BTreeMap;
use std::time::Duration;

/// The PostgreSQL release whose behaviour is meant, as its clients ask for it.
pub const SERVER_VERSION: &str = "16.6";
/// The same as one number.
pub const SERVER_VERSION_NUM: &str = "160006";

/// Settings of a client's own in one connection: row security by setting uses a handful.
const OWN_MAX: usize = 64;
/// The longest value, in bytes: a search path of a hundred schemas is less.
const VALUE_BYTES_MAX: usize = 8 << 10;

/// What a value has to be.
#[derive(Debug, Clone, Copy)]
enum Check {
    /// Any text.
    Text,
    /// `on` or `off`.
    Bool,
    /// An integer within bounds.
    Integer(i64, i64),
    /// A time in milliseconds, or with its unit.
    Time,
    /// One of these, the first word of each counting.
    OneOf(&'static [&'static str]),
    /// Nobody changes it.
    Fixed,
}

struct Variable {
    name: &'static str,
    default: &'static str,
    check: Check,
}

const fn variable(name: &'static str, default: &'static str, check: Check) -> Variable {
    Variable { name, default, check }
}

const ISOLATION: Check =
    Check::OneOf(&["read uncommitted", "read committed", "repeatable read", "serializable"]);

/// Every setting there is, by name. What is accepted beside the one value that holds is what
/// changes nothing about an answer.
const VARIABLES: &[Variable] = &[
    variable("application_name", "", Check::Text),
    variable("array_nulls", "on", Check::OneOf(&["on"])),
    variable("backslash_quote", "safe_encoding", Check::Text),
    variable("block_size", "8192", Check::Fixed),
    variable("bytea_output", "hex", Check::OneOf(&["hex"])),
    variable("check_function_bodies", "on", Check::Bool),
    variable("client_encoding", "UTF8", Check::OneOf(&["UTF8"])),
    variable("client_min_messages", "notice", Check::Text),
    variable("constraint_exclusion", "partition", Check::Text),
    variable("cursor_tuple_fraction", "0.1", Check::Text),
    variable("DateStyle", "ISO, MDY", Check::OneOf(&["ISO"])),
    variable("default_table_access_method", "delta", Check::OneOf(&["delta", "heap"])),
    variable("default_tablespace", "", Check::Text),
    variable("default_text_search_config", "pg_catalog.simple", Check::Text),
    variable("default_transaction_deferrable", "off", Check::Bool),
    variable("default_transaction_isolation", "read committed", ISOLATION),
    variable("default_transaction_read_only", "off", Check::Bool),
    variable("enable_hashjoin", "on", Check::Bool),
    variable("enable_mergejoin", "on", Check::Bool),
    variable("enable_nestloop", "on", Check::Bool),
    variable("enable_seqscan", "on", Check::Bool),
    variable("escape_string_warning", "on", Check::Bool),
    variable("extra_float_digits", "1", Check::Integer(-15, 3)),
    variable("force_parallel_mode", "off", Check::Text),
    variable("geqo", "on", Check::Bool),
    variable("idle_in_transaction_session_timeout", "0", Check::Time),
    variable("idle_session_timeout", "0", Check::Time),
    variable("in_hot_standby", "off", Check::Fixed),
    variable("integer_datetimes", "on", Check::Fixed),
    variable("IntervalStyle", "postgres", Check::OneOf(&["postgres"])),
    variable("is_superuser", "off", Check::Fixed),
    variable("jit", "off", Check::Bool),
    variable("lc_collate", "C", Check::Fixed),
    variable("lc_ctype", "C", Check::Fixed),
    variable("lc_messages", "C", Check::Text),
    variable("lc_monetary", "C", Check::Text),
    variable("lc_numeric", "C", Check::Text),
    variable("lc_time", "C", Check::Text),
    variable("lock_timeout", "0", Check::Time),
    variable("maintenance_work_mem", "64MB", Check::Text),
    variable("max_identifier_length", "63", Check::Fixed),
    variable("max_index_keys", "32", Check::Fixed),
    variable("password_encryption", "scram-sha-256", Check::Text),
    variable("plan_cache_mode", "auto", Check::Text),
    variable("quote_all_identifiers", "off", Check::Bool),
    variable("random_page_cost", "4", Check::Text),
    variable("role", "none", Check::OneOf(&["none"])),
    variable("row_security", "on", Check::Bool),
    variable("search_path", "\"$user\", public", Check::Text),
    variable("seq_page_cost", "1", Check::Text),
    variable("server_encoding", "UTF8", Check::Fixed),
    variable("server_version", SERVER_VERSION, Check::Fixed),
    variable("server_version_num", SERVER_VERSION_NUM, Check::Fixed),
    variable("session_authorization", "", Check::Fixed),
    variable("standard_conforming_strings", "on", Check::OneOf(&["on"])),
    variable("statement_timeout", "0", Check::Time),
    variable("synchronize_seqscans", "on", Check::Bool),
    variable("synchronous_commit", "on", Check::Text),
    variable("temp_tablespaces", "", Check::Text),
    variable("transaction_deferrable", "off", Check::Bool),
    variable("transaction_isolation", "read committed", ISOLATION),
    variable("transaction_read_only", "off", Check::Bool),
    variable("transaction_timeout", "0", Check::Time),
    variable("work_mem", "4MB", Check::Text),
    variable("xmloption", "content", Check::Text),
];

/// The settings whose changes a client is told of, as PostgreSQL tells them.
pub const REPORTED: [&str; 14] = [
    "application_name",
    "client_encoding",
    "DateStyle",
    "default_transaction_read_only",
    "in_hot_standby",
    "integer_datetimes",
    "IntervalStyle",
    "is_superuser",
    "search_path",
    "server_encoding",
    "server_version",
    "session_authorization",
    "standard_conforming_strings",
    "TimeZone",
];

/// What one connection has set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Variables {
    /// What it began with, where that is not what all begin with.
    initial: BTreeMap<String, String>,
    /// What it has set since.
    set: BTreeMap<String, String>,
}

impl Variables {
    /// What it is to begin with, and to come back to: what a client says when it connects.
    pub(crate) fn begin_with(&mut self, name: &str, value: &str) -> Result<(), AnalyzeError> {
        let (name, value) = checked(name, value)?;
        self.initial.insert(name, value);
        Ok(())
    }

    /// The same of one that no client sets.
    pub(crate) fn is(&mut self, name: &'static str, value: &str) {
        self.initial.insert(name.to_string(), value.to_string());
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let known = find(name);
        let key = known.map_or(name, |variable| variable.name);
        let own = self.set.get(key).or_else(|| self.initial.get(key)).map(String::as_str);
        own.or_else(|| known.map(|variable| variable.default))
    }

    /// Sets one; `None` takes back what was set.
    pub(crate) fn set(&mut self, name: &str, value: Option<&str>) -> Result<(), AnalyzeError> {
        let Some(value) = value else {
            let Some(variable) = find(name) else {
                return match self.set.remove(name) {
                    Some(_) => Ok(()),
                    None if name.contains('.') => Ok(()),
                    None => Err(unknown(name)),
                };
            };
            self.set.remove(variable.name);
            return Ok(());
        };
        let (name, value) = checked(name, value)?;
        let own = |name: &String| find(name).is_none();
        if own(&name) && !self.set.contains_key(&name) {
            let count = self.set.keys().filter(|name| own(name)).count();
            if count >= OWN_MAX {
                let message = format!("a connection keeps {OWN_MAX} settings of its own at most");
                return Err(AnalyzeError::user(message).class(ErrorClass::TooMany));
            }
        }
        self.set.insert(name, value);
        Ok(())
    }

    pub(crate) fn reset(&mut self) {
        self.set.clear();
    }

    /// All of them, with what they are.
    pub(crate) fn all(&self) -> Vec<(String, String)> {
        let known = VARIABLES.iter().map(|variable| variable.name.to_string());
        let own = self.set.keys().filter(|name| find(name).is_none()).cloned();
        let value = |name: &String| self.get(name).unwrap_or_default().to_string();
        known.chain(own).map(|name| (name.clone(), value(&name))).collect()
    }

    pub(crate) fn is_on(&self, name: &str) -> bool {
        self.get(name) == Some("on")
    }

    /// A time that is set; `None` where there is none.
    pub(crate) fn time(&self, name: &str) -> Option<Duration> {
        let milliseconds = milliseconds(self.get(name)?)?;
        (milliseconds > 0).then(|| Duration::from_millis(milliseconds))
    }
}

fn find(name: &str) -> Option<&'static Variable> {
    VARIABLES.iter().find(|variable| variable.name.eq_ignore_ascii_case(name))
}

/// That there is no such setting.
pub(crate) fn unknown(name: &str) -> AnalyzeError {
    let known = VARIABLES.iter().map(|variable| variable.name);
    let known =
        known.chain(["dialect", "timezone", "pipeline.name", "tables", "views", "pipelines"]);
    AnalyzeError::user(format!("unrecognized configuration parameter \"{name}\""))
        .class(ErrorClass::UndefinedObject)
        .did_you_mean(name, known)
}

/// The name as it is kept and the value as it is shown.
fn checked(name: &str, value: &str) -> Result<(String, String), AnalyzeError> {
    if value.len() > VALUE_BYTES_MAX {
        let message = format!("\"{name}\" is longer than {VALUE_BYTES_MAX} bytes");
        return Err(AnalyzeError::user(message).class(ErrorClass::InvalidParameter));
    }
    let Some(variable) = find(name) else {
        return match name.contains('.') {
            true => Ok((name.to_string(), value.to_string())),
            false => Err(unknown(name)),
        };
    };
    let invalid = || {
        AnalyzeError::user(format!(
            "invalid value for parameter \"{}\": \"{value}\"",
            variable.name
        ))
        .class(ErrorClass::InvalidParameter)
    };
    let shown = match variable.check {
        Check::Text => value.to_string(),
        Check::Bool => boolean(value).ok_or_else(invalid)?.to_string(),
        Check::Integer(least, most) => {
            let number = value.parse::<i64>().map_err(|_| invalid())?;
            if !(least..=most).contains(&number) {
                return Err(invalid().hint(format!("from {least} to {most}")));
            }
            number.to_string()
        }
        Check::Time => {
            let time = milliseconds(value)
                .ok_or_else(|| invalid().hint("milliseconds, or a number with ms, s, min or h"))?;
            shown_time(time)
        }
        Check::OneOf(choices) => match choice(variable.name, choices, value) {
            Some(value) => value,
            None => return Err(invalid().hint(format!("here it is {}", choices.join(", ")))),
        },
        Check::Fixed => {
            let message = format!("parameter \"{}\" cannot be changed", variable.name);
            return Err(AnalyzeError::user(message).class(ErrorClass::CannotChange));
        }
    };
    Ok((variable.name.to_string(), shown))
}

/// What a value with few choices is kept as.
fn choice(name: &str, choices: &[&str], value: &str) -> Option<String> {
    let plain = |text: &str| text.to_lowercase().replace(['-', '_', '\''], "");
    if name == "DateStyle" {
        // ISO is written one way, whatever order days and months are read in.
        let words: Vec<String> = value.split(',').map(|word| plain(word.trim())).collect();
        let known = ["iso", "mdy", "dmy", "ymd", "us", "european", "noneuropean"];
        return words.iter().all(|word| known.contains(&&**word)).then(|| "ISO, MDY".to_string());
    }
    if name == "client_encoding" {
        return ["utf8", "unicode"].contains(&&*plain(value)).then(|| "UTF8".to_string());
    }
    let value = if choices == ["on"] { boolean(value)? } else { value };
    choices.iter().find(|choice| plain(choice) == plain(value)).map(|choice| choice.to_string())
}

fn boolean(value: &str) -> Option<&'static str> {
    match value.to_lowercase().as_str() {
        "on" | "true" | "yes" | "1" | "t" | "y" => Some("on"),
        "off" | "false" | "no" | "0" | "f" | "n" => Some("off"),
        _ => None,
    }
}

/// `1500`, `1500ms`, `1.5s`, `2min`, `1h`, `1d` in milliseconds.
fn milliseconds(value: &str) -> Option<u64> {
    let value = value.trim();
    let digits = value.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(value.len());
    let (number, unit) = value.split_at(digits);
    let factor = match unit.trim() {
        "" | "ms" => 1.0,
        "s" => 1e3,
        "min" => 6e4,
        "h" => 3.6e6,
        "d" => 8.64e7,
        _ => return None,
    };
    let time = number.parse::<f64>().ok()? * factor;
    (0.0..=f64::from(i32::MAX)).contains(&time).then_some(time.round() as u64)
}

/// As PostgreSQL shows a time: in the largest unit that leaves it whole.
fn shown_time(milliseconds: u64) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s")];
    match units.into_iter().find(|(unit, _)| milliseconds.is_multiple_of(*unit)) {
        _ if milliseconds == 0 => "0".into(),
        Some((unit, name)) => format!("{}{name}", milliseconds / unit),
        None => format!("{milliseconds}ms"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn values_are_kept_as_postgresql_shows_them() {
        let mut variables = Variables::default();
        for (name, value, shown) in [
            ("statement_timeout", "1500", "1500ms"),
            ("statement_timeout", "2000", "2s"),
            ("STATEMENT_TIMEOUT", "1.5min", "90s"),
            ("extra_float_digits", "3", "3"),
            ("datestyle", "ISO, dmy", "ISO, MDY"),
            ("client_encoding", "utf-8", "UTF8"),
            ("standard_conforming_strings", "true", "on"),
            ("jit", "0", "off"),
            ("my.own", "x", "x"),
        ] {
            variables.set(name, Some(value)).unwrap();
            assert_eq!(variables.get(name), Some(shown), "{name} = {value}");
        }
        assert_eq!(variables.time("statement_timeout"), Some(Duration::from_secs(90)));
        variables.set("statement_timeout", None).unwrap();
        assert_eq!(variables.time("statement_timeout"), None);
    }

    #[test]
    fn what_would_not_hold_is_refused() {
        let mut variables = Variables::default();
        for (name, value, class) in [
            ("datestyle", "SQL, DMY", ErrorClass::InvalidParameter),
            ("client_encoding", "LATIN1", ErrorClass::InvalidParameter),
            ("standard_conforming_strings", "off", ErrorClass::InvalidParameter),
            ("extra_float_digits", "4", ErrorClass::InvalidParameter),
            ("server_version", "9", ErrorClass::CannotChange),
            ("statement_timeot", "1", ErrorClass::UndefinedObject),
        ] {
            let error = variables.set(name, Some(value)).unwrap_err();
            assert_eq!(error.class, class, "{error}");
        }
        for number in 0..OWN_MAX {
            variables.set(&format!("own.n{number}"), Some("x")).unwrap();
        }
        assert!(variables.set("own.more", Some("x")).is_err());
        variables.set("own.n1", Some("y")).unwrap();
    }
}
