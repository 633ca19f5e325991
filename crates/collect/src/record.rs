//! Calls become records: one JSON text per event, spliced from the client's own text.
//!
//! Guarantees: `properties`, `traits`, `context` and all other values are the client's bytes; every
//! record's value reads as [`tradewind_types::Event`]; all events of a request share one buffer.
//! Left out: who may send, and what becomes of a rejected call.

use crate::identity::{EventId, FINGERPRINT_HEADER, ID_HEADER, Identifier, fingerprint, partition};
use crate::json::{Scanner, push_string, unescape};
use crate::reject::Reject;
use crate::request::{Call, Endpoint, Field, Kind};
use crate::settings::{EVENT_BYTES_MAX, RECORD_OVERHEAD_BYTES, REQUEST_RECORD_BYTES_MAX};
use crate::time;
use bytes::Bytes;
use std::borrow::Cow;
use std::ops::Range;
use tradewind_types::event::MESSAGE_ID_CHARS_MAX;
use tradewind_types::{Offset, Record, TimestampMicros, ecommerce};
use uuid::{NoContext, Timestamp, Uuid};

/// What a request says about all of its events.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sender<'a> {
    pub(crate) store_id: &'a str,
    pub(crate) source: &'a str,
    pub(crate) received_at: TimestampMicros,
    /// The client's address as text, if known.
    pub(crate) ip: Option<&'a str>,
    pub(crate) user_agent: Option<&'a str>,
    pub(crate) partitions: i32,
    /// The dead letter that is tried again, if it is one.
    pub(crate) again: Option<Again>,
}

/// A dead letter on its second way in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Again {
    /// Its offset: what its events without an id are known by, so that they come in once.
    pub(crate) letter: Offset,
    /// When it came first: what its times are measured against.
    pub(crate) received_at: TimestampMicros,
}

/// An event on its way to its partition.
#[derive(Debug, Clone)]
pub(crate) struct Prepared {
    pub(crate) id: EventId,
    pub(crate) fingerprint: u64,
    pub(crate) record: Record,
}

impl Prepared {
    /// What it counts in queues and appends.
    pub(crate) fn bytes(&self) -> usize {
        self.record.value.as_ref().map_or(0, Bytes::len) + RECORD_OVERHEAD_BYTES
    }
}

/// Where an event lies in the buffer.
#[derive(Debug)]
struct Span {
    partition: i32,
    id: EventId,
    fingerprint: u64,
    /// 16 bytes of id, then 8 of fingerprint.
    head: usize,
    value: Range<usize>,
    key: Range<usize>,
}

/// One member of an object: name, name between its quotes, value.
type Member<'a> = (Cow<'a, str>, &'a str, &'a str);

/// Writes the records of one request.
#[derive(Debug)]
pub(crate) struct Encoder<'a> {
    sender: Sender<'a>,
    endpoint: Endpoint,
    identifier: Identifier,
    envelope: Envelope<'a>,
    out: Vec<u8>,
    spans: Vec<Span>,
    /// The members of the context at hand; kept for its allocation.
    members: Vec<Member<'a>>,
}

/// What a batch says for all of its events.
#[derive(Debug, Default)]
struct Envelope<'a> {
    context: Vec<Member<'a>>,
    context_bytes: usize,
    integrations: Vec<Member<'a>>,
    sent_at: Option<&'a str>,
}

/// An id as it is spliced and as it is compared.
struct Id<'a> {
    /// Between the quotes.
    raw: &'a str,
    text: Cow<'a, str>,
}

/// The checked parts of a call.
struct Parts<'a> {
    kind: Kind,
    message_id: Option<Id<'a>>,
    user_id: Option<Id<'a>>,
    anonymous_id: Option<Id<'a>>,
    group_id: Option<Id<'a>>,
    previous_id: Option<Id<'a>>,
    event: Option<Id<'a>>,
    time: time::EventTime,
}

impl<'a> Encoder<'a> {
    /// # Errors
    /// The batch's own `context` or `integrations` is no object: no event can be taken.
    pub(crate) fn new(
        sender: Sender<'a>,
        endpoint: Endpoint,
        envelope: &Call<'a>,
    ) -> Result<Self, Reject> {
        let mut ours = Envelope::default();
        if endpoint == Endpoint::Batch {
            let context = object(envelope, Field::Context, "context")?;
            let integrations = object(envelope, Field::Integrations, "integrations")?;
            members(context.unwrap_or("{}"), &mut ours.context);
            members(integrations.unwrap_or("{}"), &mut ours.integrations);
            ours.context_bytes = context.map_or(0, str::len) + integrations.map_or(0, str::len);
            ours.sent_at = envelope.field(Field::SentAt);
        }
        Ok(Self {
            identifier: Identifier::new(sender.store_id, sender.source),
            sender,
            endpoint,
            envelope: ours,
            out: Vec::new(),
            spans: Vec::new(),
            members: Vec::new(),
        })
    }

    /// Makes room for `calls` events of `bytes` altogether.
    pub(crate) fn reserve(&mut self, calls: usize, bytes: usize) {
        self.spans.reserve(calls);
        self.out.reserve((bytes + calls * 384).min(REQUEST_RECORD_BYTES_MAX));
    }

    /// Writes one call's record, or says why there is none.
    pub(crate) fn push(&mut self, call: &Call<'a>) -> Result<(), Reject> {
        let parts = self.check(call)?;
        if self.out.len() + EVENT_BYTES_MAX > REQUEST_RECORD_BYTES_MAX {
            return Err(Reject::RequestTooLarge);
        }
        let assigned;
        let message_id = match &parts.message_id {
            Some(id) => (id.raw, &*id.text),
            None => {
                assigned = self.assigned_id();
                (&*assigned, &*assigned)
            }
        };
        let visitor = parts.anonymous_id.as_ref().or(parts.user_id.as_ref());
        let visitor = visitor.ok_or(Reject::NoIdentity)?;
        let id = self.identifier.id(message_id.1);
        let fingerprint = content_fingerprint(call, &parts);
        let head = self.out.len();
        self.out.extend_from_slice(&id.to_be_bytes());
        self.out.extend_from_slice(&fingerprint.to_be_bytes());
        let value = self.write(call, &parts, message_id.0, visitor);
        let key = self.key(visitor);
        let partition = partition(self.sender.store_id, &visitor.text, self.sender.partitions);
        self.spans.push(Span { partition, id, fingerprint, head, value, key });
        Ok(())
    }

    /// The records by partition; an empty list where there is none.
    pub(crate) fn finish(self) -> Vec<Vec<Prepared>> {
        let mut partitions = vec![Vec::new(); self.sender.partitions.max(1) as usize];
        let timestamp_ms = self.sender.received_at.div_euclid(1_000);
        let buffer = Bytes::from(self.out);
        for span in self.spans {
            let headers = vec![
                (Bytes::from_static(ID_HEADER), Some(buffer.slice(span.head..span.head + 16))),
                (
                    Bytes::from_static(FINGERPRINT_HEADER),
                    Some(buffer.slice(span.head + 16..span.head + 24)),
                ),
            ];
            let record = Record {
                timestamp_ms,
                key: Some(buffer.slice(span.key)),
                value: Some(buffer.slice(span.value)),
                headers,
            };
            let prepared = Prepared { id: span.id, fingerprint: span.fingerprint, record };
            partitions[span.partition as usize].push(prepared);
        }
        partitions
    }

    fn check(&self, call: &Call<'a>) -> Result<Parts<'a>, Reject> {
        if !call.object {
            return Err(Reject::NotAnObject);
        }
        if call.raw.len() > EVENT_BYTES_MAX {
            return Err(Reject::TooLarge { bytes: call.raw.len() });
        }
        let bytes = call.raw.len() + self.envelope.context_bytes;
        if bytes > EVENT_BYTES_MAX {
            return Err(Reject::TooLargeMerged { bytes });
        }
        for (field, name) in [
            (Field::Properties, "properties"),
            (Field::Traits, "traits"),
            (Field::Context, "context"),
            (Field::Integrations, "integrations"),
        ] {
            object(call, field, name)?;
        }
        let kind = self.kind(call)?;
        Ok(Parts {
            kind,
            user_id: id(call, Field::UserId, "userId")?,
            anonymous_id: id(call, Field::AnonymousId, "anonymousId")?,
            group_id: id(call, Field::GroupId, "groupId")?,
            previous_id: id(call, Field::PreviousId, "previousId")?,
            message_id: message_id(call)?,
            event: event_name(call, kind)?,
            time: self.time(call)?,
        })
    }

    fn kind(&self, call: &Call<'a>) -> Result<Kind, Reject> {
        let Endpoint::Batch = self.endpoint else {
            let Endpoint::One(kind) = self.endpoint else { return Err(Reject::NoType) };
            return Ok(kind);
        };
        let raw = call.field(Field::Type).ok_or(Reject::NoType)?;
        let name =
            between_quotes(raw).ok_or(Reject::WrongType { field: "type", expected: "a string" })?;
        Kind::of(&unescape(name)).ok_or(Reject::UnknownType)
    }

    fn time(&self, call: &Call<'a>) -> Result<time::EventTime, Reject> {
        let original = timestamp(call.field(Field::OriginalTimestamp), "originalTimestamp")?;
        let happened = match original {
            Some(original) => Some(original),
            None => timestamp(call.field(Field::Timestamp), "timestamp")?,
        };
        let sent = timestamp(call.field(Field::SentAt).or(self.envelope.sent_at), "sentAt")?;
        let first = self.sender.again.map(|again| again.received_at);
        Ok(time::event_time(happened, sent, first.unwrap_or(self.sender.received_at)))
    }

    /// The id of an event that came without one.
    fn assigned_id(&self) -> String {
        match self.sender.again {
            Some(Again { letter, .. }) => format!("letter-{letter}-{}", self.spans.len()),
            None => new_message_id(self.sender.received_at),
        }
    }

    fn write(
        &mut self,
        call: &Call<'a>,
        parts: &Parts<'a>,
        message_id: &str,
        visitor: &Id<'a>,
    ) -> Range<usize> {
        let start = self.out.len();
        let out = &mut self.out;
        out.extend_from_slice(b"{\"message_id\":\"");
        out.extend_from_slice(message_id.as_bytes());
        out.extend_from_slice(b"\",\"store_id\":");
        push_string(out, self.sender.store_id);
        out.extend_from_slice(b",\"source\":");
        push_string(out, self.sender.source);
        push_raw_text(out, ",\"type\":", parts.kind.name());
        push_event(out, parts.kind, parts.event.as_ref());
        out.extend_from_slice(b",\"event_time\":\"");
        time::push(out, parts.time.at);
        out.extend_from_slice(b"\",\"received_at\":\"");
        time::push(out, self.sender.received_at);
        out.push(b'"');
        if parts.time.clamped {
            out.extend_from_slice(b",\"clock_clamped\":true");
        }
        push_ids(out, parts, visitor);
        push_value(out, ",\"properties\":", call.field(Field::Properties));
        push_value(out, ",\"traits\":", call.field(Field::Traits));
        self.write_context(call.field(Field::Context));
        self.write_integrations(call.field(Field::Integrations));
        write_extra(&mut self.out, call, parts.kind);
        self.out.push(b'}');
        start..self.out.len()
    }

    /// The event's context, what the batch's adds to it, and what the request itself shows.
    fn write_context(&mut self, own: Option<&'a str>) {
        self.members.clear();
        members(own.unwrap_or("{}"), &mut self.members);
        let (own_members, shared) = (&self.members, &self.envelope.context);
        let has = |name: &str| own_members.iter().chain(shared).any(|member| member.0 == name);
        let ip = self.sender.ip.filter(|_| !has("ip"));
        let user_agent = self.sender.user_agent.filter(|_| !has("userAgent"));
        if own.is_none() && shared.is_empty() && ip.is_none() && user_agent.is_none() {
            return;
        }
        let out = &mut self.out;
        out.extend_from_slice(b",\"context\":{");
        let from = out.len();
        push_merged(out, own, own_members, shared);
        for (name, value) in [("\"ip\":", ip), ("\"userAgent\":", user_agent)] {
            if let Some(value) = value {
                push_comma(out, from);
                out.extend_from_slice(name.as_bytes());
                push_string(out, value);
            }
        }
        out.push(b'}');
        let consent = own_members.iter().rev().chain(shared.iter().rev());
        let consent = consent.into_iter().find(|member| member.0 == "consent");
        push_value(out, ",\"consent\":", consent.map(|member| member.2).filter(|it| *it != "null"));
    }

    fn write_integrations(&mut self, own: Option<&'a str>) {
        if self.envelope.integrations.is_empty() {
            push_value(&mut self.out, ",\"integrations\":", own);
            return;
        }
        self.members.clear();
        members(own.unwrap_or("{}"), &mut self.members);
        self.out.extend_from_slice(b",\"integrations\":{");
        push_merged(&mut self.out, own, &self.members, &self.envelope.integrations);
        self.out.push(b'}');
    }

    /// The record's key: the visitor's id as text, without JSON's escapes.
    fn key(&mut self, visitor: &Id<'a>) -> Range<usize> {
        let start = self.out.len();
        self.out.extend_from_slice(visitor.text.as_bytes());
        start..self.out.len()
    }
}

/// The members of `own` that are not empty space, then those of `shared` it does not have.
fn push_merged(
    out: &mut Vec<u8>,
    own: Option<&str>,
    own_members: &[Member<'_>],
    shared: &[Member<'_>],
) {
    let from = out.len();
    if let Some(own) = own {
        out.extend_from_slice(own[1..own.len() - 1].trim().as_bytes());
    }
    for (name, raw_name, value) in shared {
        if own_members.iter().all(|member| member.0 != *name) {
            push_comma(out, from);
            push_raw_text(out, "", raw_name);
            out.push(b':');
            out.extend_from_slice(value.as_bytes());
        }
    }
}

fn push_comma(out: &mut Vec<u8>, from: usize) {
    if out.len() > from {
        out.push(b',');
    }
}

/// Appends `name` and a string whose text between the quotes is `raw`.
fn push_raw_text(out: &mut Vec<u8>, name: &str, raw: &str) {
    out.extend_from_slice(name.as_bytes());
    out.push(b'"');
    out.extend_from_slice(raw.as_bytes());
    out.push(b'"');
}

fn push_value(out: &mut Vec<u8>, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(value.as_bytes());
    }
}

fn push_ids(out: &mut Vec<u8>, parts: &Parts<'_>, visitor: &Id<'_>) {
    push_raw_text(out, ",\"visitor_id\":", visitor.raw);
    for (name, id) in [
        (",\"user_id\":", &parts.user_id),
        (",\"anonymous_id\":", &parts.anonymous_id),
        (",\"group_id\":", &parts.group_id),
        (",\"previous_id\":", &parts.previous_id),
    ] {
        if let Some(id) = id {
            push_raw_text(out, name, id.raw);
        }
    }
}

/// The event's name, by its canonical spelling where it is one of e-commerce.
fn push_event(out: &mut Vec<u8>, kind: Kind, event: Option<&Id<'_>>) {
    let Some(event) = event else { return };
    let canonical = match kind {
        Kind::Track => ecommerce::canonical_name(&event.text),
        _ => None,
    };
    match canonical.filter(|name| *name != event.text) {
        Some(name) => {
            push_raw_text(out, ",\"event\":", name);
            push_raw_text(out, ",\"original_event\":", event.raw);
        }
        None => push_raw_text(out, ",\"event\":", event.raw),
    }
}

/// What has no field of its own, a name in a call of a kind that has none included.
fn write_extra(out: &mut Vec<u8>, call: &Call<'_>, kind: Kind) {
    let event = call.field(Field::Event).filter(|_| kind != Kind::Track);
    let name = call.field(Field::Name).filter(|_| !matches!(kind, Kind::Page | Kind::Screen));
    let unused = event.map(|value| ("event", value)).into_iter();
    let unused = unused.chain(name.map(|value| ("name", value)));
    let mut all = call.extra.iter().copied().chain(unused).peekable();
    if all.peek().is_none() {
        return;
    }
    out.extend_from_slice(b",\"extra\":{");
    let from = out.len();
    for (name, value) in all {
        push_comma(out, from);
        push_raw_text(out, "", name);
        out.push(b':');
        out.extend_from_slice(value.as_bytes());
    }
    out.push(b'}');
}

fn content_fingerprint(call: &Call<'_>, parts: &Parts<'_>) -> u64 {
    let happened = call.field(Field::OriginalTimestamp).or(call.field(Field::Timestamp));
    fingerprint([
        Some(parts.kind.name()),
        parts.event.as_ref().map(|event| &*event.text),
        parts.user_id.as_ref().map(|id| &*id.text),
        parts.anonymous_id.as_ref().map(|id| &*id.text),
        parts.group_id.as_ref().map(|id| &*id.text),
        parts.previous_id.as_ref().map(|id| &*id.text),
        happened,
        call.field(Field::Properties),
        call.field(Field::Traits),
    ])
}

/// The members of an object that is known to be JSON.
fn members<'a>(object: &'a str, into: &mut Vec<Member<'a>>) {
    if object.len() <= 2 {
        return;
    }
    let mut scanner = Scanner::new(object);
    let mut first = true;
    let mut next = || -> Result<Option<Member<'a>>, crate::json::Fault> {
        if first {
            scanner.enter(b'{')?;
        }
        let name = scanner.member(std::mem::take(&mut first))?;
        let Some(name) = name else { return Ok(None) };
        Ok(Some((unescape(name), name, scanner.value()?)))
    };
    while let Ok(Some(member)) = next() {
        into.push(member);
    }
}

fn object<'a>(
    call: &Call<'a>,
    field: Field,
    name: &'static str,
) -> Result<Option<&'a str>, Reject> {
    match call.field(field) {
        Some(raw) if !raw.starts_with('{') => {
            Err(Reject::WrongType { field: name, expected: "an object" })
        }
        raw => Ok(raw),
    }
}

fn between_quotes(raw: &str) -> Option<&str> {
    raw.strip_prefix('"')?.strip_suffix('"')
}

/// A string, or a number by its text, as some clients send ids; the empty string is none.
fn id<'a>(call: &Call<'a>, field: Field, name: &'static str) -> Result<Option<Id<'a>>, Reject> {
    let Some(value) = call.field(field) else { return Ok(None) };
    let raw = match value.as_bytes().first() {
        Some(b'"') => between_quotes(value).unwrap_or(""),
        Some(b'-' | b'0'..=b'9') => value,
        _ => return Err(Reject::WrongType { field: name, expected: "a string" }),
    };
    Ok((!raw.is_empty()).then(|| Id { raw, text: unescape(raw) }))
}

fn message_id<'a>(call: &Call<'a>) -> Result<Option<Id<'a>>, Reject> {
    let found = id(call, Field::MessageId, "messageId")?;
    // Bytes are at least as many as characters: most ids need no counting.
    let long = |id: &Id<'_>| {
        id.text.len() > MESSAGE_ID_CHARS_MAX && id.text.chars().count() > MESSAGE_ID_CHARS_MAX
    };
    if found.as_ref().is_some_and(long) { Err(Reject::MessageIdTooLong) } else { Ok(found) }
}

/// A track call's `event`; a page or screen's `name`.
fn event_name<'a>(call: &Call<'a>, kind: Kind) -> Result<Option<Id<'a>>, Reject> {
    let (field, name) = match kind {
        Kind::Track => (Field::Event, "event"),
        Kind::Page | Kind::Screen => (Field::Name, "name"),
        Kind::Identify | Kind::Group | Kind::Alias => return Ok(None),
    };
    let found = match call.field(field) {
        None => None,
        Some(value) => {
            let raw = between_quotes(value)
                .ok_or(Reject::WrongType { field: name, expected: "a string" })?;
            (!raw.is_empty()).then(|| Id { raw, text: unescape(raw) })
        }
    };
    if kind == Kind::Track && found.is_none() {
        return Err(Reject::NoEventName);
    }
    Ok(found)
}

fn timestamp(value: Option<&str>, field: &'static str) -> Result<Option<TimestampMicros>, Reject> {
    let Some(value) = value else { return Ok(None) };
    let raw = between_quotes(value).ok_or(Reject::Timestamp { field })?;
    time::parse(&unescape(raw)).map(Some).ok_or(Reject::Timestamp { field })
}

/// A fresh id for an event that came without one: ordered by time, random in the rest.
fn new_message_id(now: TimestampMicros) -> String {
    let seconds = now.div_euclid(1_000_000).max(0) as u64;
    let nanos = now.rem_euclid(1_000_000) as u32 * 1_000;
    Uuid::new_v7(Timestamp::from_unix(NoContext, seconds, nanos)).to_string()
}
