//! Where values come from: defaults, a file, the environment, the command line.
//!
//! Guarantees: every layer is read by the kind of the setting it names, so a value means the same
//! wherever it stands; each value remembers where it was written, for messages.
//! Left out: reading the file and the environment themselves.

use super::ConfigError;
use super::kind::Kind;
use super::settings::{ORDERED, SECTIONS, SETTINGS, Setting, VARIABLE_PREFIX};
use super::units;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Who may send events, and what they become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteKey {
    /// What the sender shows.
    pub key: String,
    /// The store its events belong to.
    pub store_id: String,
    /// The source its events carry, part of their identity.
    pub source: String,
    /// What a sender must also show as `Authorization: Bearer`, if anything.
    pub bearer_token: Option<String>,
}

/// A value, read by its setting's kind.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    Nothing,
    Text(String),
    Number(u64),
    Flag(bool),
    WriteKeys(Vec<WriteKey>),
}

/// A value with where it came from and how it was written there.
#[derive(Debug, Clone)]
struct Entry {
    value: Value,
    origin: Origin,
    place: String,
    written: String,
}

/// Which layer a value came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// The configuration file.
    File,
    /// An environment variable.
    Environment,
    /// An argument.
    CommandLine,
}

impl Origin {
    /// `default`, `file`, `environment`, `command line`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::File => "file",
            Self::Environment => "environment",
            Self::CommandLine => "command line",
        }
    }
}

/// A setting as it was resolved, for people.
#[derive(Debug, Clone)]
pub struct ResolvedSetting {
    /// Which one.
    pub setting: &'static Setting,
    /// Its value, as it could be written in the file; keys and tokens are `***`.
    pub value: String,
    /// Which layer it came from.
    pub origin: Origin,
    /// The file and line or the variable, where there is one.
    pub place: Option<String>,
}

/// The value of every setting, later layers over earlier ones.
#[derive(Debug)]
pub(super) struct Layers(BTreeMap<&'static str, Entry>);

impl Layers {
    /// Every setting at its default.
    pub(super) fn defaults() -> Self {
        let mut layers = Self(BTreeMap::new());
        for setting in SETTINGS {
            layers
                .set_from_text(setting, Origin::Default, "default", setting.default)
                .expect("the tests read every default");
        }
        layers
    }

    /// Every setting as it stands, in the order of [`SETTINGS`].
    pub(super) fn resolved(&self) -> Vec<ResolvedSetting> {
        let resolved = SETTINGS.iter().map(|setting| {
            let Entry { value, origin, place, .. } = self.entry(setting.key);
            let named = matches!(origin, Origin::File | Origin::Environment);
            ResolvedSetting {
                setting,
                value: match (origin, value) {
                    // As in the table, so that it reads the same as the default beside it.
                    (Origin::Default, value) if !matches!(value, Value::WriteKeys(_)) => {
                        setting.default.to_owned()
                    }
                    (_, value) => shown(&setting.kind, value),
                },
                origin: *origin,
                place: named.then(|| place.clone()),
            }
        });
        resolved.collect()
    }

    /// Puts a TOML file on top. `name` is for messages.
    pub(super) fn add_file(&mut self, name: &Path, text: &str) -> Result<(), ConfigError> {
        let source = Source { name, text };
        let table = DeTable::parse(text).map_err(|error| ConfigError::Syntax {
            file: name.to_path_buf(),
            line: line_of(text, error.span().unwrap_or_default().start),
            reason: error.message().replace('\n', ", "),
        })?;
        self.add_table(&source, "", table.get_ref())
    }

    fn add_table(
        &mut self,
        source: &Source<'_>,
        prefix: &str,
        table: &DeTable<'_>,
    ) -> Result<(), ConfigError> {
        // By position, so that the first mistake in the file is the one reported.
        let mut rows: Vec<_> = table.iter().collect();
        rows.sort_by_key(|(key, _)| key.span().start);
        for (key, value) in rows {
            let name = format!("{prefix}{}", key.get_ref());
            let place = source.place(key.span());
            if let Some(setting) = Setting::find(&name) {
                let written = source.text[value.span()].to_owned();
                self.set(setting, Origin::File, place, written, value.get_ref())?;
            } else if let (true, DeValue::Table(inner)) = (is_section(&name), value.get_ref()) {
                self.add_table(source, &format!("{name}."), inner)?;
            } else {
                let suggestion = suggestion(&name);
                return Err(ConfigError::Unknown { place, key: name, suggestion });
            }
        }
        Ok(())
    }

    /// Puts an environment variable on top, if it names a setting.
    pub(super) fn add_variable(&mut self, name: &str, text: &str) -> Result<(), ConfigError> {
        if let Some(setting) = SETTINGS.iter().find(|setting| setting.variable() == name) {
            return self.set_from_text(setting, Origin::Environment, name, text);
        }
        let Some(rest) = name.strip_prefix(VARIABLE_PREFIX) else { return Ok(()) };
        // Other variables may share our prefix; one that names a section was meant as a setting.
        let Some((section, rest)) = rest.split_once('_') else { return Ok(()) };
        let key = format!("{}.{}", section.to_lowercase(), rest.to_lowercase());
        if !is_section(&section.to_lowercase()) {
            return Ok(());
        }
        let suggestion = suggestion(&key).and_then(|key| Some(Setting::find(&key)?.variable()));
        let place = "environment".to_owned();
        Err(ConfigError::Unknown { place, key: name.to_owned(), suggestion })
    }

    /// Puts a `key=value` argument on top.
    pub(super) fn add_override(&mut self, text: &str) -> Result<(), ConfigError> {
        let Some((key, value)) = text.split_once('=') else {
            return Err(ConfigError::NotAnOverride { text: text.to_owned() });
        };
        let (key, value) = (key.trim(), value.trim());
        let Some(setting) = Setting::find(key) else {
            let place = "command line".to_owned();
            let suggestion = suggestion(key);
            return Err(ConfigError::Unknown { place, key: key.to_owned(), suggestion });
        };
        self.set_from_text(setting, Origin::CommandLine, "command line", value)
    }

    /// Sets from text outside a file: a TOML value, or a bare word.
    fn set_from_text(
        &mut self,
        setting: &'static Setting,
        origin: Origin,
        place: &str,
        text: &str,
    ) -> Result<(), ConfigError> {
        let bare = || DeValue::String(Cow::Borrowed(text));
        let value = match DeValue::parse(text).map(Spanned::into_inner) {
            // A bare date or float is no value of ours: an address may look like one.
            Ok(DeValue::Datetime(_) | DeValue::Float(_)) | Err(_) => bare(),
            Ok(value) => value,
        };
        self.set(setting, origin, place.to_owned(), format!("{text:?}"), &value)
    }

    fn set(
        &mut self,
        setting: &'static Setting,
        origin: Origin,
        place: String,
        written: String,
        value: &DeValue<'_>,
    ) -> Result<(), ConfigError> {
        match read(&setting.kind, value) {
            Some(value) => {
                self.0.insert(setting.key, Entry { value, origin, place, written });
                Ok(())
            }
            None => Err(ConfigError::Value {
                place,
                key: setting.key.to_owned(),
                value: one_line(&written),
                expected: setting.kind.expected(),
            }),
        }
    }

    /// Checks what one setting asks of another.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        for (small, large) in ORDERED {
            let limit = self.number(large);
            if self.number(small) <= limit {
                continue;
            }
            // The one that was set is at fault; a default is not.
            let (key, bound) = if self.entry(small).origin == Origin::Default {
                (large, format!("at least {small} ({})", self.entry(small).written))
            } else {
                (small, format!("at most {large} ({})", self.entry(large).written))
            };
            return Err(ConfigError::Value {
                place: self.entry(key).place.clone(),
                key: (*key).to_owned(),
                value: self.entry(key).written.clone(),
                expected: bound,
            });
        }
        Ok(())
    }

    fn entry(&self, key: &str) -> &Entry {
        self.0.get(key).unwrap_or_else(|| panic!("{key} is not in SETTINGS"))
    }

    pub(super) fn text(&self, key: &str) -> String {
        self.optional_text(key).unwrap_or_else(|| panic!("{key} has no text"))
    }

    pub(super) fn optional_text(&self, key: &str) -> Option<String> {
        match &self.entry(key).value {
            Value::Text(text) => Some(text.clone()),
            Value::Nothing => None,
            other => panic!("{key} is no text but {other:?}"),
        }
    }

    pub(super) fn number(&self, key: &str) -> u64 {
        self.optional_number(key).unwrap_or_else(|| panic!("{key} has no number"))
    }

    pub(super) fn optional_number(&self, key: &str) -> Option<u64> {
        match &self.entry(key).value {
            Value::Number(number) => Some(*number),
            Value::Nothing => None,
            other => panic!("{key} is no number but {other:?}"),
        }
    }

    pub(super) fn size(&self, key: &str) -> usize {
        usize::try_from(self.number(key)).unwrap_or(usize::MAX)
    }

    /// A number whose range in [`SETTINGS`] fits the narrower type.
    pub(super) fn small<T: TryFrom<u64>>(&self, key: &str) -> T {
        T::try_from(self.number(key)).unwrap_or_else(|_| panic!("{key}'s range is too wide"))
    }

    pub(super) fn flag(&self, key: &str) -> bool {
        match &self.entry(key).value {
            Value::Flag(flag) => *flag,
            other => panic!("{key} is no flag but {other:?}"),
        }
    }

    pub(super) fn write_keys(&self, key: &str) -> Vec<WriteKey> {
        match &self.entry(key).value {
            Value::WriteKeys(keys) => keys.clone(),
            other => panic!("{key} holds no write keys but {other:?}"),
        }
    }
}

/// A file's name and text.
struct Source<'a> {
    name: &'a Path,
    text: &'a str,
}

impl Source<'_> {
    fn place(&self, span: Range<usize>) -> String {
        format!("{}:{}", self.name.display(), line_of(self.text, span.start))
    }
}

/// The line of a byte, from 1.
fn line_of(text: &str, position: usize) -> usize {
    let before = &text.as_bytes()[..position.min(text.len())];
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}

/// A value as written, cut to what an error's one line has room for.
fn one_line(written: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 60; // leaves room for place and range on a wide terminal
    let joined = written.split_whitespace().collect::<Vec<_>>().join(" ");
    match joined.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &joined[..end]),
        None => joined,
    }
}

fn is_section(name: &str) -> bool {
    SECTIONS.iter().any(|(section, _)| *section == name)
}

/// The nearest section or setting, when there is one worth naming.
fn suggestion(key: &str) -> Option<String> {
    const LIKENESS_MIN: f64 = 0.6; // below, the suggestion is more often wrong than right
    let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    let likeness = |name: &str| {
        let whole = strsim::normalized_damerau_levenshtein(key, name);
        // The right name in the wrong section counts almost as much.
        let end = strsim::normalized_damerau_levenshtein(&last(key), &last(name));
        whole.max(end * 0.95)
    };
    let sections = SECTIONS.iter().map(|(section, _)| *section).filter(|_| !key.contains('.'));
    let names = SETTINGS.iter().map(|setting| setting.key).chain(sections);
    names
        .map(|name| (likeness(name), name))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name.to_owned())
}

/// Reads a value as its kind, or `None` where it does not fit.
fn read(kind: &Kind, value: &DeValue<'_>) -> Option<Value> {
    match kind {
        Kind::Address => value.as_str().filter(|text| is_address(text)).map(text),
        Kind::Bytes { min, max } => number(value, units::bytes, *min, *max),
        Kind::Milliseconds { min, max } => number(value, units::milliseconds, *min, *max),
        Kind::Hours { min, max } => number(value, hours, *min, *max),
        Kind::Count { min, max } => number(value, |_| None, *min, *max),
        Kind::Flag => value.as_bool().map(Value::Flag),
        Kind::OneOf(words) => value.as_str().filter(|text| words.contains(text)).map(text),
        Kind::WriteKeys => write_keys(value).map(Value::WriteKeys),
        Kind::OrNone(_) if value.as_str() == Some("none") => Some(Value::Nothing),
        Kind::OrNone(inner) => read(inner, value),
    }
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

/// A value as it could be written, without its secrets.
fn shown(kind: &Kind, value: &Value) -> String {
    match (kind, value) {
        (_, Value::Nothing) => "none".to_owned(),
        (_, Value::Text(text)) => text.clone(),
        (_, Value::Flag(flag)) => flag.to_string(),
        (_, Value::WriteKeys(keys)) => {
            let keys: Vec<String> = keys.iter().map(masked).collect();
            format!("[{}]", keys.join(", "))
        }
        (Kind::OrNone(inner), value) => shown(inner, value),
        (Kind::Bytes { .. }, Value::Number(number)) => units::bytes_text(*number),
        (Kind::Milliseconds { .. }, Value::Number(number)) => units::duration_text(*number),
        (_, Value::Number(number)) => number.to_string(),
    }
}

/// A write key without what a sender must know.
fn masked(key: &WriteKey) -> String {
    let token = key.bearer_token.as_ref().map_or("", |_| ", bearer_token = \"***\"");
    format!("{{ key = \"***\", store_id = {:?}, source = {:?}{token} }}", key.store_id, key.source)
}

/// A host that is not empty and a port.
fn is_address(text: &str) -> bool {
    match text.rsplit_once(':') {
        Some((host, port)) => {
            !host.is_empty() && !host.contains(char::is_whitespace) && port.parse::<u16>().is_ok()
        }
        None => false,
    }
}

fn number(
    value: &DeValue<'_>,
    with_unit: impl Fn(&str) -> Option<u64>,
    min: u64,
    max: u64,
) -> Option<Value> {
    let number = match value {
        DeValue::Integer(integer) => u64::from_str_radix(integer.as_str(), integer.radix()).ok()?,
        DeValue::String(text) => with_unit(text)?,
        _ => return None,
    };
    (min..=max).contains(&number).then_some(Value::Number(number))
}

/// Whole hours from `7 d` or `24 h`.
fn hours(text: &str) -> Option<u64> {
    const HOUR_MS: u64 = 3_600_000;
    if text.trim().bytes().all(|byte| byte.is_ascii_digit()) {
        return text.trim().parse().ok();
    }
    units::milliseconds(text).filter(|ms| ms.is_multiple_of(HOUR_MS)).map(|ms| ms / HOUR_MS)
}

fn write_keys(value: &DeValue<'_>) -> Option<Vec<WriteKey>> {
    let keys: Vec<WriteKey> =
        value.as_array()?.iter().map(|item| write_key(item.get_ref())).collect::<Option<_>>()?;
    let repeated = keys
        .iter()
        .enumerate()
        .any(|(at, one)| keys[..at].iter().any(|earlier| earlier.key == one.key));
    (!keys.is_empty() && !repeated).then_some(keys)
}

fn write_key(value: &DeValue<'_>) -> Option<WriteKey> {
    let table = value.as_table()?;
    const FIELDS: &[&str] = &["key", "store_id", "source", "bearer_token"];
    if table.keys().any(|name| !FIELDS.contains(&name.get_ref().as_ref())) {
        return None;
    }
    // A field that is there must be text.
    let field = |name: &str| match table.get(name) {
        Some(value) => value.get_ref().as_str().map(|text| Some(text.to_owned())),
        None => Some(None),
    };
    let key = field("key")??;
    let store_id = field("store_id")?.unwrap_or_else(|| crate::DEFAULT_STORE.to_owned());
    let source = field("source")?.unwrap_or_else(|| "web".to_owned());
    let bearer_token = field("bearer_token")?;
    // Basic authentication ends the key at a colon.
    let key_fits = !key.is_empty() && !key.contains(':') && !key.contains(char::is_control);
    let token_fits = bearer_token.as_deref() != Some("");
    let fits = key_fits && token_fits && is_name(&store_id) && is_name(&source);
    fits.then_some(WriteKey { key, store_id, source, bearer_token })
}

/// Whether a name may become part of a folder's: lake partitions are named by store.
fn is_name(name: &str) -> bool {
    const NAME_BYTES_MAX: usize = 100; // well inside the 255 bytes of a file name
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}
