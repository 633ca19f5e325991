//! How a row of a file becomes a tracking event, as a TOML file says it.
//!
//! Guarantees: numbers go into the event as the text they were in the file, never through a float;
//! an empty field is left out of the event, never sent as zero or as an empty text; a row that does
//! not fit the mapping is refused with the column at fault.
//! Left out: computing. A mapping names columns and constants; sums are SQL's work.

use super::rows::{Cell, Fields, Header};
use super::times::TimeFormat;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::Write as _;
use tradewind_types::TimestampMicros;
use tradewind_types::event::iso8601;

/// A mapping, ready for use.
#[derive(Debug, Clone)]
pub struct Mapping {
    file: MappingFile,
    time: Option<(String, TimeFormat)>,
    fingerprint: u64,
}

/// An event made from a row.
#[derive(Debug)]
pub struct Mapped {
    /// The event as one JSON object of the tracking API.
    pub json: Vec<u8>,
    /// When it happened, where the mapping says how to know.
    pub event_time: Option<TimestampMicros>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct MappingFile {
    #[serde(rename = "type", default = "track")]
    kind: String,
    event: Option<EventName>,
    time: Option<Time>,
    user_id: Option<Value>,
    anonymous_id: Option<Value>,
    #[serde(default)]
    every_column: bool,
    #[serde(default)]
    properties: BTreeMap<String, Value>,
    #[serde(default)]
    product: BTreeMap<String, Value>,
    #[serde(default)]
    context: BTreeMap<String, Value>,
}

fn track() -> String {
    "track".to_owned()
}

/// The event's name: a constant or a column's value, then the first rule that holds.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct EventName {
    name: Option<String>,
    column: Option<String>,
    #[serde(default)]
    rules: Vec<Rule>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    column: String,
    starts_with: Option<String>,
    equals: Option<String>,
    name: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Time {
    column: String,
    format: String,
    zone: Option<String>,
}

/// A constant, or a column with what to take when it is empty.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Value {
    value: Option<toml::Value>,
    column: Option<String>,
    when_empty: Option<String>,
    #[serde(rename = "type")]
    kind: Option<ValueType>,
}

/// How a field is written into the event. Without one, a CSV field is text and a JSON value stays
/// what it is.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ValueType {
    Text,
    Number,
    Json,
}

impl Mapping {
    /// Reads a mapping from TOML text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let file: MappingFile = toml::from_str(text).map_err(|error| error.to_string())?;
        Self::new(file, text)
    }

    /// The mapping when none is given: a track event called `event`, every column a property.
    pub fn every_column(event: &str) -> Self {
        let file = MappingFile {
            kind: track(),
            event: Some(EventName { name: Some(event.to_owned()), column: None, rules: vec![] }),
            time: None,
            user_id: None,
            anonymous_id: None,
            every_column: true,
            properties: BTreeMap::new(),
            product: BTreeMap::new(),
            context: BTreeMap::new(),
        };
        Self::new(file, event).expect("a mapping of constants has nothing to get wrong")
    }

    fn new(file: MappingFile, text: &str) -> Result<Self, String> {
        file.check()?;
        let time = match &file.time {
            None => None,
            Some(time) => {
                let format = TimeFormat::new(&time.format, time.zone.as_deref())
                    .map_err(|reason| format!("[time]: {reason}"))?;
                Some((time.column.clone(), format))
            }
        };
        Ok(Self { file, time, fingerprint: xxhash_rust::xxh3::xxh3_64(text.as_bytes()) })
    }

    /// Changes when the mapping's text does.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// Whether events get the file's own times.
    pub fn has_time(&self) -> bool {
        self.time.is_some()
    }

    /// Says which columns the mapping names that a CSV file does not have.
    pub fn check_header(&self, header: &Header) -> Result<(), String> {
        for column in self.file.columns() {
            if !header.names.iter().any(|name| name == column) {
                let names = header.names.join(", ");
                return Err(format!("no column {column:?}; the header has: {names}"));
            }
        }
        Ok(())
    }

    /// Makes the event of one row; the error names the column at fault.
    pub fn apply(&self, fields: &Fields, message_id: &str) -> Result<Mapped, String> {
        let file = &self.file;
        let mut json = JsonObject::default();
        json.text("messageId", message_id);
        json.text("type", &file.kind);
        if let Some(name) = &file.event {
            json.text(if file.kind == "track" { "event" } else { "name" }, &name.of(fields)?);
        }
        let event_time = self.event_time(fields)?;
        if let Some(at) = event_time {
            json.text("timestamp", &iso8601::format(at));
        }
        self.add_ids(fields, message_id, &mut json)?;
        let payload = if matches!(file.kind.as_str(), "identify" | "group") {
            "traits"
        } else {
            "properties"
        };
        json.raw(payload, &self.payload(fields)?);
        if !file.context.is_empty() {
            json.raw("context", &object(&file.context, fields)?);
        }
        Ok(Mapped { json: json.finish(), event_time })
    }

    fn event_time(&self, fields: &Fields) -> Result<Option<TimestampMicros>, String> {
        let Some((column, format)) = &self.time else { return Ok(None) };
        let cell = fields.get(column).ok_or_else(|| format!("column {column:?} is empty"))?;
        match format.parse(cell.text().trim()) {
            Ok(at) => Ok(Some(at)),
            Err(reason) => Err(format!("column {column:?}: {reason}")),
        }
    }

    fn add_ids(&self, fields: &Fields, own: &str, json: &mut JsonObject) -> Result<(), String> {
        let mut named = false;
        for (key, id) in [("userId", &self.file.user_id), ("anonymousId", &self.file.anonymous_id)]
        {
            let Some(cell) = id.as_ref().and_then(|id| id.cell(fields)) else { continue };
            json.text(key, cell.text());
            named = true;
        }
        // Nobody is named: the row stands for a visitor of its own, so that rows spread over the
        // partitions instead of becoming one giant visitor.
        if !named {
            json.text("anonymousId", own);
        }
        Ok(())
    }

    fn payload(&self, fields: &Fields) -> Result<Vec<u8>, String> {
        let mut json = JsonObject::default();
        if self.file.every_column {
            for column in fields.columns() {
                if let Some(cell) = fields.get(column) {
                    json.cell(column, &cell);
                }
            }
        }
        for (key, value) in &self.file.properties {
            value.add_to(&mut json, key, fields)?;
        }
        if !self.file.product.is_empty() {
            let product = object(&self.file.product, fields)?;
            json.raw("products", &[b"[".as_slice(), &product, b"]"].concat());
        }
        Ok(json.finish())
    }
}

impl MappingFile {
    fn check(&self) -> Result<(), String> {
        let kinds = ["track", "page", "screen", "identify", "group"];
        if !kinds.contains(&self.kind.as_str()) {
            return Err(format!("type {:?} is not one of {}", self.kind, kinds.join(", ")));
        }
        match &self.event {
            None if self.kind == "track" => {
                return Err("a track event needs a name: [event] name = \"...\"".to_owned());
            }
            Some(EventName { name: None, column: None, .. }) => {
                return Err("[event] needs name or column".to_owned());
            }
            _ => {}
        }
        for rule in self.event.iter().flat_map(|event| &event.rules) {
            if rule.starts_with.is_some() == rule.equals.is_some() {
                return Err(format!(
                    "the rule for event {:?} needs starts_with or equals, one of them",
                    rule.name
                ));
            }
        }
        self.values().try_for_each(|(key, value)| value.check(key))
    }

    fn values(&self) -> impl Iterator<Item = (&str, &Value)> {
        let ids = [("user_id", &self.user_id), ("anonymous_id", &self.anonymous_id)];
        ids.into_iter().filter_map(|(key, value)| Some((key, value.as_ref()?))).chain(
            [&self.properties, &self.product, &self.context]
                .into_iter()
                .flatten()
                .map(|(key, value)| (key.as_str(), value)),
        )
    }

    fn columns(&self) -> impl Iterator<Item = &str> {
        let event = self.event.iter();
        let named = event.clone().filter_map(|event| event.column.as_deref());
        let ruled = event.flat_map(|event| event.rules.iter().map(|rule| rule.column.as_str()));
        let timed = self.time.iter().map(|time| time.column.as_str());
        let taken = self.values().flat_map(|(_, value)| {
            [value.column.as_deref(), value.when_empty.as_deref()].into_iter().flatten()
        });
        named.chain(ruled).chain(timed).chain(taken)
    }
}

impl EventName {
    fn of(&self, fields: &Fields) -> Result<String, String> {
        for rule in &self.rules {
            let cell = fields.get(&rule.column);
            let text = cell.as_ref().map_or("", |cell| cell.text());
            let starts = rule.starts_with.as_ref().is_some_and(|start| text.starts_with(start));
            let equals = rule.equals.as_ref().is_some_and(|whole| text == whole);
            if starts || equals {
                return Ok(rule.name.clone());
            }
        }
        let column = self.column.as_deref().and_then(|column| fields.get(column));
        match (column, &self.name, &self.column) {
            (Some(cell), _, _) => Ok(cell.text().to_owned()),
            (None, Some(name), _) => Ok(name.clone()),
            (None, None, column) => {
                let column = column.as_deref().unwrap_or_default();
                Err(format!("column {column:?} is empty: the event has no name"))
            }
        }
    }
}

impl Value {
    fn check(&self, key: &str) -> Result<(), String> {
        match (&self.value, &self.column) {
            (Some(toml::Value::Float(_)), _) => Err(format!(
                "{key}: write a constant with decimals as text with type = \"number\": value = \"1.50\""
            )),
            (Some(toml::Value::Array(_) | toml::Value::Table(_)), _) => {
                Err(format!("{key}: a constant is text, a whole number or true or false"))
            }
            (Some(_), None) if self.when_empty.is_none() => Ok(()),
            (None, Some(_)) => Ok(()),
            _ => Err(format!("{key}: needs value or column, one of them")),
        }
    }

    /// The field it names; `None` when there is nothing to send. Constants have no cell.
    fn cell<'a>(&'a self, fields: &'a Fields) -> Option<Cell<'a>> {
        if let Some(constant) = &self.value {
            return Some(match constant {
                toml::Value::String(text) => Cell::Text(text.into()),
                other => Cell::Text(other.to_string().into()),
            });
        }
        let first = self.column.as_deref().and_then(|column| fields.get(column));
        first.or_else(|| fields.get(self.when_empty.as_deref()?))
    }

    fn add_to(&self, json: &mut JsonObject, key: &str, fields: &Fields) -> Result<(), String> {
        if let Some(constant @ (toml::Value::Integer(_) | toml::Value::Boolean(_))) = &self.value {
            json.raw(key, constant.to_string().as_bytes());
            return Ok(());
        }
        let Some(cell) = self.cell(fields) else { return Ok(()) };
        let place = || match &self.column {
            Some(column) => format!("column {column:?}"),
            None => format!("the constant for {key:?}"),
        };
        match self.kind {
            None => json.cell(key, &cell),
            Some(ValueType::Text) => json.text(key, cell.text()),
            Some(ValueType::Number) => match json_number(cell.text().trim()) {
                Some(number) => json.raw(key, number.as_bytes()),
                None => return Err(format!("{}: {:?} is not a number", place(), cell.text())),
            },
            Some(ValueType::Json) => {
                match serde_json::from_str::<&serde_json::value::RawValue>(cell.text()) {
                    Ok(value) => json.raw(key, value.get().as_bytes()),
                    Err(error) => return Err(format!("{}: not JSON: {error}", place())),
                }
            }
        }
        Ok(())
    }
}

fn object(values: &BTreeMap<String, Value>, fields: &Fields) -> Result<Vec<u8>, String> {
    let mut json = JsonObject::default();
    for (key, value) in values {
        value.add_to(&mut json, key, fields)?;
    }
    Ok(json.finish())
}

/// The text if it is a number as JSON writes one.
fn json_number(text: &str) -> Option<&str> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let rest = text.strip_prefix('-').unwrap_or(text);
    let whole = digits(rest);
    if whole == 0 || (whole > 1 && rest.starts_with('0')) {
        return None;
    }
    let mut rest = &rest[whole..];
    if let Some(fraction) = rest.strip_prefix('.') {
        let count = digits(fraction);
        rest = &fraction[count..];
        if count == 0 {
            return None;
        }
    }
    if let Some(exponent) = rest.strip_prefix(['e', 'E']) {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        let count = digits(exponent);
        rest = &exponent[count..];
        if count == 0 {
            return None;
        }
    }
    rest.is_empty().then_some(text)
}

/// A JSON object being written, field by field.
#[derive(Default)]
struct JsonObject(Vec<u8>);

impl JsonObject {
    fn key(&mut self, key: &str) {
        self.0.push(if self.0.is_empty() { b'{' } else { b',' });
        self.string(key);
        self.0.push(b':');
    }

    fn string(&mut self, text: &str) {
        serde_json::to_writer(&mut self.0, text)
            .expect("text is always JSON, memory always takes it");
    }

    fn text(&mut self, key: &str, text: &str) {
        self.key(key);
        self.string(text);
    }

    fn raw(&mut self, key: &str, json: &[u8]) {
        self.key(key);
        self.0.write_all(json).expect("writing to memory does not fail");
    }

    fn cell(&mut self, key: &str, cell: &Cell<'_>) {
        match cell {
            Cell::Text(text) => self.text(key, text),
            Cell::Json(json) => self.raw(key, json.as_bytes()),
        }
    }

    fn finish(mut self) -> Vec<u8> {
        if self.0.is_empty() {
            self.0.push(b'{');
        }
        self.0.push(b'}');
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::json_number;

    #[test]
    fn numbers_are_what_json_calls_numbers() {
        for good in
            ["0", "-0", "12", "2.55", "-11062.06", "1e5", "1.5E-3", "98765432109876543210.1"]
        {
            assert_eq!(json_number(good), Some(good));
        }
        for bad in ["", "-", "007", "+1", ".5", "5.", "2,55", "1e", "NaN", "1 2", "0x1", "£3"] {
            assert_eq!(json_number(bad), None, "{bad}");
        }
    }
}
