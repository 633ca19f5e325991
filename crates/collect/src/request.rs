//! A request body as calls: what [`parse`] finds in it, without judging any of it.
//!
//! Guarantees: pure and bounded: the result is slices of the body, at most [`BATCH_EVENTS_MAX`]
//! calls and a handful of ranges for what exceeds them; the whole body is valid JSON when it
//! succeeds. Of two members of one name the last one counts, save `batch`: all of them do.
//! Left out: write keys, limits on single events and required fields, which need to know who asks.

use crate::json::{Fault, Scanner, unescape};
use crate::settings::{BATCH_EVENTS_MAX, RAW_BYTES_MAX};

/// What kind of call an event came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Something a visitor did.
    Track,
    /// A page seen.
    Page,
    /// Who a visitor is.
    Identify,
    /// Which company or team a visitor belongs to.
    Group,
    /// An app's screen seen.
    Screen,
    /// Two ids that are one person.
    Alias,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 6] =
        [Kind::Track, Kind::Page, Kind::Identify, Kind::Group, Kind::Screen, Kind::Alias];

    /// Its name in paths and in `type`.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Track => "track",
            Kind::Page => "page",
            Kind::Identify => "identify",
            Kind::Group => "group",
            Kind::Screen => "screen",
            Kind::Alias => "alias",
        }
    }

    /// The kind of that name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Which path a body was sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    /// `/v1/<kind>`: the body is one call.
    One(Kind),
    /// `/v1/batch`: the body holds an array of calls.
    Batch,
}

impl Endpoint {
    /// The last segment of its path.
    pub fn name(self) -> &'static str {
        match self {
            Endpoint::One(kind) => kind.name(),
            Endpoint::Batch => "batch",
        }
    }
}

/// The members of a call that have a meaning of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// `type`
    Type,
    /// `event`
    Event,
    /// `name`
    Name,
    /// `messageId`
    MessageId,
    /// `userId`
    UserId,
    /// `anonymousId`
    AnonymousId,
    /// `groupId`
    GroupId,
    /// `previousId`
    PreviousId,
    /// `timestamp`
    Timestamp,
    /// `originalTimestamp`
    OriginalTimestamp,
    /// `sentAt`
    SentAt,
    /// `properties`
    Properties,
    /// `traits`
    Traits,
    /// `context`
    Context,
    /// `integrations`
    Integrations,
    /// `writeKey`
    WriteKey,
}

/// How many fields there are.
const FIELDS: usize = Field::WriteKey as usize + 1;

impl Field {
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "type" => Field::Type,
            "event" => Field::Event,
            "name" => Field::Name,
            "messageId" => Field::MessageId,
            "userId" => Field::UserId,
            "anonymousId" => Field::AnonymousId,
            "groupId" => Field::GroupId,
            "previousId" => Field::PreviousId,
            "timestamp" => Field::Timestamp,
            "originalTimestamp" => Field::OriginalTimestamp,
            "sentAt" => Field::SentAt,
            "properties" => Field::Properties,
            "traits" => Field::Traits,
            "context" => Field::Context,
            "integrations" => Field::Integrations,
            "writeKey" => Field::WriteKey,
            _ => return None,
        })
    }
}

/// One call of a request, as JSON text.
#[derive(Debug, Clone, Default)]
pub struct Call<'a> {
    /// All of it.
    pub raw: &'a str,
    /// Whether it is an object at all.
    pub object: bool,
    fields: [Option<&'a str>; FIELDS],
    /// Members without a field: name (between its quotes) and value.
    pub extra: Vec<(&'a str, &'a str)>,
}

impl<'a> Call<'a> {
    /// A field's JSON text; `None` when it is absent or null.
    pub fn field(&self, field: Field) -> Option<&'a str> {
        self.fields[field as usize]
    }

    fn put(&mut self, name: &'a str, value: &'a str) {
        match Field::of(&unescape(name)) {
            Some(field) => {
                self.fields[field as usize] = Some(value).filter(|value| *value != "null");
            }
            None => self.extra.push((name, value)),
        }
    }
}

/// Calls past the limit, as one range of the body's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Excess<'a> {
    /// The first call's index in the batch.
    pub index: usize,
    /// How many there are.
    pub count: usize,
    /// Their text, with the commas between them.
    pub raw: &'a str,
}

/// A request as it was sent.
#[derive(Debug, Clone, Default)]
pub struct Request<'a> {
    /// The members around the calls: of a batch the outer object's, of a single call the call's.
    pub envelope: Call<'a>,
    /// The calls, in order.
    pub calls: Vec<Call<'a>>,
    /// What a batch holds past [`BATCH_EVENTS_MAX`] calls.
    pub excess: Vec<Excess<'a>>,
    /// Positions of escapes that are half a surrogate pair: no reader can make text of those.
    pub lone_surrogates: Vec<usize>,
}

/// Reads a body.
///
/// # Errors
/// The first byte at which it is not UTF-8, not JSON, or for a batch has no `batch` array.
pub fn parse(body: &[u8], endpoint: Endpoint) -> Result<Request<'_>, Fault> {
    let text = std::str::from_utf8(body).map_err(|error| Fault {
        position: error.valid_up_to(),
        reason: "the body is not UTF-8",
    })?;
    let mut scanner = Scanner::new(text);
    let mut request = Request::default();
    match endpoint {
        Endpoint::One(_) => {
            request.envelope = call(&mut scanner, text)?;
            request.calls.push(request.envelope.clone());
        }
        Endpoint::Batch => batch(&mut scanner, text, &mut request)?,
    }
    scanner.end()?;
    request.lone_surrogates = std::mem::take(&mut scanner.lone_surrogates);
    Ok(request)
}

fn batch<'a>(
    scanner: &mut Scanner<'a>,
    text: &'a str,
    request: &mut Request<'a>,
) -> Result<(), Fault> {
    let mut found = false;
    let mut first = true;
    scanner.enter(b'{')?;
    request.envelope.object = true;
    while let Some(name) = scanner.member(first)? {
        first = false;
        if unescape(name) == "batch" {
            found = true;
            calls(scanner, text, request)?;
        } else {
            request.envelope.put(name, scanner.value()?);
        }
    }
    if !found {
        return Err(Fault { position: scanner.position(), reason: "the body has no \"batch\"" });
    }
    Ok(())
}

fn calls<'a>(
    scanner: &mut Scanner<'a>,
    text: &'a str,
    request: &mut Request<'a>,
) -> Result<(), Fault> {
    // A second "batch" continues the first: whatever its author meant, no call is lost.
    let mut index =
        request.calls.len() + request.excess.iter().map(|range| range.count).sum::<usize>();
    let mut first = true;
    scanner.enter(b'[')?;
    while scanner.more(first, b']')? {
        if index < BATCH_EVENTS_MAX {
            request.calls.push(call(scanner, text)?);
        } else {
            excess(scanner, text, index, &mut request.excess)?;
        }
        index += 1;
        first = false;
    }
    Ok(())
}

/// Takes one call too many, into the last range while that stays within a dead letter.
fn excess<'a>(
    scanner: &mut Scanner<'a>,
    text: &'a str,
    index: usize,
    ranges: &mut Vec<Excess<'a>>,
) -> Result<(), Fault> {
    let value = scanner.value()?;
    let end = scanner.position();
    let start = end - value.len();
    if let Some(last) = ranges.last_mut() {
        let last_start = last.raw.as_ptr() as usize - text.as_ptr() as usize;
        if end - last_start <= RAW_BYTES_MAX {
            last.count += 1;
            last.raw = &text[last_start..end];
            return Ok(());
        }
    }
    ranges.push(Excess { index, count: 1, raw: &text[start..end] });
    Ok(())
}

fn call<'a>(scanner: &mut Scanner<'a>, text: &'a str) -> Result<Call<'a>, Fault> {
    if scanner.peek() != Some(b'{') {
        return Ok(Call { raw: scanner.value()?, ..Call::default() });
    }
    let start = scanner.position();
    let mut call = Call { object: true, ..Call::default() };
    let mut first = true;
    scanner.enter(b'{')?;
    while let Some(name) = scanner.member(first)? {
        first = false;
        call.put(name, scanner.value()?);
    }
    call.raw = &text[start..scanner.position()];
    Ok(call)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_single_call_is_its_own_envelope() {
        let body = br#"{"writeKey":"k","event":"A","userId":null,"x":[1,{"y":2}]}"#;
        let request = parse(body, Endpoint::One(Kind::Track)).unwrap();
        assert_eq!(request.envelope.field(Field::WriteKey), Some("\"k\""));
        assert_eq!(request.calls[0].field(Field::Event), Some("\"A\""));
        assert_eq!(request.calls[0].field(Field::UserId), None);
        assert_eq!(request.calls[0].extra, [("x", "[1,{\"y\":2}]")]);
    }

    #[test]
    fn the_last_of_two_members_counts_and_escaped_names_are_names() {
        let body = br#"{"event":"A","\u0065vent":"B"}"#;
        let request = parse(body, Endpoint::One(Kind::Track)).unwrap();
        assert_eq!(request.calls[0].field(Field::Event), Some("\"B\""));
    }

    #[test]
    fn calls_past_the_limit_become_bounded_ranges() {
        let item = format!("\"{}\"", "x".repeat(100));
        let items = vec![item.as_str(); BATCH_EVENTS_MAX + 2_000].join(",");
        let body = format!("{{\"batch\":[{items}]}}");
        let request = parse(body.as_bytes(), Endpoint::Batch).unwrap();
        assert_eq!(request.calls.len(), BATCH_EVENTS_MAX);
        assert_eq!(request.excess.iter().map(|range| range.count).sum::<usize>(), 2_000);
        assert_eq!(request.excess[0].index, BATCH_EVENTS_MAX);
        assert!(request.excess.iter().all(|range| range.raw.len() <= RAW_BYTES_MAX));
        assert!(request.excess.len() > 1);
    }

    #[test]
    fn faults_name_the_byte() {
        let fault = parse(b"{\"batch\":[1,]}", Endpoint::Batch).unwrap_err();
        assert_eq!(fault.to_string(), "a value is expected at byte 12");
        let fault = parse(b"{\"a\":\"\xff\"}", Endpoint::Batch).unwrap_err();
        assert_eq!((fault.position, fault.reason), (6, "the body is not UTF-8"));
        let fault = parse(b"{}", Endpoint::Batch).unwrap_err();
        assert_eq!(fault.reason, "the body has no \"batch\"");
    }
}
