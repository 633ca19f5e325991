//! What clients say, read with every length held against the bytes that are there.
//!
//! Guarantees: no message, however malformed, panics or makes the server hold more than the
//! message itself.
//! Left out: what the server says, which is pgwire's to write. Its readers for clients' messages
//! trust their counts.

use bytes::{Buf, Bytes};

/// A message that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Malformed(&'static str);

/// What a client begins with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    /// TLS is asked for.
    Ssl,
    /// GSSAPI encryption is asked for.
    GssEncryption,
    /// Another connection's statement is to end.
    Cancel {
        /// Which connection.
        process: i32,
        /// That it may be asked for.
        secret: Bytes,
    },
    /// A session.
    Startup {
        /// The protocol's minor version.
        minor: u16,
        /// Names and values, in order.
        parameters: Vec<(String, String)>,
    },
}

/// A message of a session.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// A script.
    Query(String),
    /// A statement to prepare.
    Parse {
        /// Empty: the unnamed one.
        name: String,
        /// Its text.
        sql: String,
        /// The parameters' types, 0 for none given.
        types: Vec<u32>,
    },
    /// Values for a prepared statement.
    Bind(Bind),
    /// What a statement or portal answers with.
    Describe(Target),
    /// Rows of a portal, at most so many; 0 is all.
    Execute { portal: String, rows_max: u32 },
    /// A statement or portal is not needed any more.
    Close(Target),
    /// The end of a group of messages.
    Sync,
    /// What was answered is to be sent.
    Flush,
    /// A piece of `COPY`.
    CopyData(Bytes),
    /// The end of `COPY`.
    CopyDone,
    /// `COPY` has failed on the client's side.
    CopyFail(String),
    /// Goodbye.
    Terminate,
    /// A password or the like, which nobody asked for.
    Password,
    /// A message that is none of these.
    Unknown(u8),
}

/// Values for a prepared statement.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Bind {
    /// Empty: the unnamed one.
    pub(crate) portal: String,
    /// Empty: the unnamed one.
    pub(crate) statement: String,
    /// None: all text. One: of all. Else one each.
    pub(crate) formats: Vec<i16>,
    /// `None` is null.
    pub(crate) values: Vec<Option<Bytes>>,
    /// As `formats`, of the answer.
    pub(crate) result_formats: Vec<i16>,
}

/// A statement or a portal by name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A prepared statement.
    Statement(String),
    /// A portal.
    Portal(String),
}

const PROTOCOL: u16 = 3;
const CODE_CANCEL: u32 = 80_877_102;
const CODE_SSL: u32 = 80_877_103;
const CODE_GSS: u32 = 80_877_104;

/// Reads what stands behind the length of a client's first message.
pub(crate) fn opening(body: Bytes) -> Result<Opening, Malformed> {
    let mut body = Body(body);
    match body.u32()? {
        CODE_SSL => Ok(Opening::Ssl),
        CODE_GSS => Ok(Opening::GssEncryption),
        CODE_CANCEL => Ok(Opening::Cancel { process: body.u32()? as i32, secret: body.0 }),
        version if version >> 16 == u32::from(PROTOCOL) => {
            let mut parameters = Vec::new();
            loop {
                let name = body.text()?;
                if name.is_empty() {
                    let minor = (version & 0xffff) as u16;
                    return Ok(Opening::Startup { minor, parameters });
                }
                parameters.push((name, body.text()?));
            }
        }
        _ => Err(Malformed("the protocol is not version 3")),
    }
}

/// Reads what stands behind the length of a message of kind `kind`.
pub(crate) fn message(kind: u8, body: Bytes) -> Result<Message, Malformed> {
    let mut body = Body(body);
    let message = match kind {
        b'Q' => Message::Query(body.text()?),
        b'P' => {
            let (name, sql) = (body.text()?, body.text()?);
            let count = body.count(4)?;
            let types = (0..count).map(|_| body.u32()).collect::<Result<_, _>>()?;
            Message::Parse { name, sql, types }
        }
        b'B' => Message::Bind(bind(&mut body)?),
        b'D' => Message::Describe(target(&mut body)?),
        b'C' => Message::Close(target(&mut body)?),
        b'E' => Message::Execute { portal: body.text()?, rows_max: body.u32()? },
        b'S' => Message::Sync,
        b'H' => Message::Flush,
        b'd' => return Ok(Message::CopyData(body.0)),
        b'c' => Message::CopyDone,
        b'f' => Message::CopyFail(body.text()?),
        b'X' => Message::Terminate,
        b'p' => return Ok(Message::Password),
        other => return Ok(Message::Unknown(other)),
    };
    match body.0.is_empty() {
        true => Ok(message),
        false => Err(Malformed("there are bytes behind the end of a message")),
    }
}

fn bind(body: &mut Body) -> Result<Bind, Malformed> {
    let (portal, statement) = (body.text()?, body.text()?);
    let formats = formats(body)?;
    let count = body.count(4)?;
    let values = (0..count).map(|_| body.value()).collect::<Result<_, _>>()?;
    let result_formats = self::formats(body)?;
    Ok(Bind { portal, statement, formats, values, result_formats })
}

fn formats(body: &mut Body) -> Result<Vec<i16>, Malformed> {
    let count = body.count(2)?;
    (0..count).map(|_| body.u16().map(|format| format as i16)).collect()
}

fn target(body: &mut Body) -> Result<Target, Malformed> {
    match body.u8()? {
        b'S' => body.text().map(Target::Statement),
        b'P' => body.text().map(Target::Portal),
        _ => Err(Malformed("neither a statement nor a portal is meant")),
    }
}

/// What is left of a message.
struct Body(Bytes);

impl Body {
    fn need(&self, bytes: usize) -> Result<(), Malformed> {
        match self.0.len() >= bytes {
            true => Ok(()),
            false => Err(Malformed("a message ends before it is complete")),
        }
    }

    fn u8(&mut self) -> Result<u8, Malformed> {
        self.need(1).map(|()| self.0.get_u8())
    }

    fn u16(&mut self) -> Result<u16, Malformed> {
        self.need(2).map(|()| self.0.get_u16())
    }

    fn u32(&mut self) -> Result<u32, Malformed> {
        self.need(4).map(|()| self.0.get_u32())
    }

    /// A count of things that take at least `each` bytes.
    fn count(&mut self, each: usize) -> Result<usize, Malformed> {
        let count = usize::from(self.u16()?);
        self.need(count * each).map(|()| count)
    }

    /// Bytes behind their length; `None` where the length says null.
    fn value(&mut self) -> Result<Option<Bytes>, Malformed> {
        let length = self.u32()? as i32;
        if length == -1 {
            return Ok(None);
        }
        let length = usize::try_from(length).map_err(|_| Malformed("a length is negative"))?;
        self.need(length).map(|()| Some(self.0.split_to(length)))
    }

    /// Text up to its zero.
    fn text(&mut self) -> Result<String, Malformed> {
        let end = self.0.iter().position(|byte| *byte == 0);
        let end = end.ok_or(Malformed("a text has no end"))?;
        let text = self.0.split_to(end);
        self.0.advance(1);
        String::from_utf8(text.into()).map_err(|_| Malformed("a text is not UTF-8"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_bind_is_read() {
        let mut bytes = b"p\0s\0".to_vec();
        bytes.extend(b"\0\x01\0\x01\0\x02\0\0\0\x02ab\xff\xff\xff\xff\0\0");
        let Message::Bind(bind) = message(b'B', bytes.into()).unwrap() else { panic!("no bind") };
        assert_eq!((&*bind.portal, &*bind.statement), ("p", "s"));
        assert_eq!(bind.formats, [1]);
        assert_eq!(bind.values, [Some(Bytes::from_static(b"ab")), None]);
    }

    #[test]
    fn lengths_that_do_not_hold_are_refused() {
        for (kind, bytes) in [
            (b'P', &b"s\0select 1\0\xff\xff"[..]),
            (b'B', b"p\0s\0\0\0\0\x01\x7f\xff\xff\xff"),
            (b'B', b"p\0s\0\0\0\0\x01\x80\0\0\0"),
            (b'Q', b"no end"),
            (b'Q', b"a\0b"),
            (b'D', b"X\0"),
            (b'E', b"p\0\0"),
        ] {
            assert!(message(kind, Bytes::copy_from_slice(bytes)).is_err(), "{kind}");
        }
    }

    proptest! {
        #[test]
        fn garbage_is_an_error_or_a_message(kind: u8, bytes: Vec<u8>) {
            let _ = message(kind, bytes.clone().into());
            let _ = opening(bytes.into());
        }
    }
}
