//! From a frame to a request that may be decoded, and from an answer to a frame.
//!
//! Guarantees: [`open`] refuses every frame whose header or body lies about a length; a
//! [`Request`] can be decoded without allocating more than [`ELEMENT_BYTES`] an element.
//! Left out: what a request asks for.

use super::WireError;
use super::apis::{self, Api};
use super::budget::Charge;
use super::guard::{self, Cursor};
use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion};
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};

/// What one decoded element, and its part of the answer, takes at most.
pub(crate) const ELEMENT_BYTES: usize = 512;

/// A request whose lengths have been checked.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) api: &'static Api,
    pub(crate) version: i16,
    pub(crate) correlation: i32,
    /// What the client calls itself.
    pub(crate) client: Bytes,
    pub(crate) body: Bytes,
    /// Entries and tags in the body: what decoding it will make.
    pub(crate) elements: usize,
    /// Where it connects from: set by the connection.
    pub(crate) peer: IpAddr,
}

/// What a frame turns out to be.
#[derive(Debug)]
pub(crate) enum Opened {
    /// A request to serve.
    Request(Request),
    /// An ApiVersions request from a future this broker does not know.
    FutureApiVersions { correlation: i32 },
}

/// An encoded answer and what it holds of the budget.
#[derive(Debug)]
pub(crate) struct Reply {
    /// In order; the first begins with the length of all.
    pub(crate) pieces: VecDeque<Bytes>,
    pub(crate) charge: Charge,
}

impl Reply {
    /// An answer in one piece.
    pub(crate) fn whole(bytes: Bytes) -> Self {
        Self { pieces: VecDeque::from([bytes]), charge: Charge::default() }
    }

    /// Its bytes, the length before them among them.
    pub(crate) fn len(&self) -> usize {
        self.pieces.iter().map(Bytes::len).sum()
    }
}

/// Reads a frame's header and checks its body.
pub(crate) fn open(frame: Bytes) -> Result<Opened, WireError> {
    let header_error = |reason| WireError::Malformed { part: "request header", reason };
    let mut cursor = Cursor::new(&frame);
    let key = cursor.i16().map_err(header_error)?;
    let version = cursor.i16().map_err(header_error)?;
    let correlation = cursor.i32().map_err(header_error)?;
    let api = apis::by_key(key).ok_or(WireError::UnknownApi { key })?;
    if !(api.min..=api.max).contains(&version) {
        return match key {
            apis::API_VERSIONS_KEY => Ok(Opened::FutureApiVersions { correlation }),
            _ => Err(WireError::UnknownVersion { api: api.name, version }),
        };
    }
    let client = cursor.text(false).map_err(header_error)?;
    let client = client.map(|client| frame.slice_ref(client)).unwrap_or_default();
    let flexible = version >= api.flexible_from;
    let tags = if flexible { cursor.skip_tags().map_err(header_error)? } else { 0 };
    let body = frame.slice(cursor.position()..);
    let elements = guard::check(api.request, version, flexible, &body)
        .map_err(|reason| WireError::Malformed { part: api.name, reason })?;
    Ok(Opened::Request(Request {
        api,
        version,
        correlation,
        client,
        body,
        elements: elements + tags,
        peer: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    }))
}

/// Checks and decodes one frame as a connection would, without serving it: the whole of what
/// stands between a stranger's bytes and a handler.
///
/// # Errors
/// What would have closed the connection.
pub fn check_frame(frame: Bytes) -> Result<(), WireError> {
    match open(frame)? {
        Opened::Request(request) => (request.api.probe)(&request),
        Opened::FutureApiVersions { .. } => Ok(()),
    }
}

impl Request {
    /// The decoded body.
    pub(crate) fn decode<T: Decodable>(&self) -> Result<T, WireError> {
        T::decode(&mut self.body.clone(), self.version).map_err(|error| WireError::Unreadable {
            api: self.api.name,
            version: self.version,
            reason: error.to_string(),
        })
    }

    /// Whether the body decodes.
    pub(crate) fn probe<T: Decodable>(&self) -> Result<(), WireError> {
        self.decode::<T>().map(drop)
    }

    /// `response` in this request's version.
    pub(crate) fn reply<R>(&self, response: &R) -> Result<Reply, WireError>
    where
        R: Encodable + HeaderVersion,
    {
        encode(self.correlation, self.version, response).map_err(|reason| self.unanswerable(reason))
    }

    pub(crate) fn unanswerable(&self, reason: String) -> WireError {
        WireError::Unanswerable { api: self.api.name, version: self.version, reason }
    }
}

/// An answer as a frame.
pub(crate) fn encode<R>(correlation: i32, version: i16, response: &R) -> Result<Reply, String>
where
    R: Encodable + HeaderVersion,
{
    let flexible = R::header_version(version) >= 1;
    let body = response.compute_size(version).map_err(|error| error.to_string())?;
    let length = 4 + usize::from(flexible) + body;
    let mut bytes = BytesMut::with_capacity(4 + length);
    bytes.put_i32(i32::try_from(length).map_err(|error| error.to_string())?);
    bytes.put_i32(correlation);
    if flexible {
        bytes.put_u8(0);
    }
    response.encode(&mut bytes, version).map_err(|error| error.to_string())?;
    debug_assert_eq!(bytes.len(), 4 + length, "the size was computed from the same response");
    Ok(Reply::whole(bytes.freeze()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn header(key: i16, version: i16) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.put_i16(key);
        bytes.put_i16(version);
        bytes.put_i32(7);
        bytes.put_i16(-1);
        bytes
    }

    #[test]
    fn a_metadata_request_that_claims_two_billion_topics_is_refused() {
        let mut frame = header(3, 1);
        frame.put_i32(i32::MAX);
        let error = check_frame(frame.into()).unwrap_err();
        assert!(matches!(error, WireError::Malformed { part: "Metadata", .. }), "{error}");
    }

    #[test]
    fn an_unknown_key_or_version_names_itself() {
        let error = check_frame(header(999, 0).into()).unwrap_err();
        assert_eq!(error.to_string(), "api key 999 is not served");
        let error = check_frame(header(3, 99).into()).unwrap_err();
        assert_eq!(error.to_string(), "Metadata version 99 is not served");
    }

    #[test]
    fn api_versions_from_the_future_is_not_an_error() {
        assert!(check_frame(header(18, 77).into()).is_ok());
    }
}
