//! The check that stands before the decoder: every length and count a request claims is held
//! against the bytes that are really there.
//!
//! `kafka-protocol` sizes its vectors by the count on the wire, so a frame of twenty bytes could
//! ask for gigabytes. [`check`] walks a request's shape first and refuses it unless each string,
//! each byte field, each array and each tagged section fits. It also counts what decoding will
//! allocate, so that the caller can charge it to a budget.
//!
//! Left out: meaning. Nulls where none are allowed, bad UTF-8 and unknown enum values are the
//! decoder's and the handlers' to refuse.

/// Elements (array entries and tagged fields) one request may hold. Every real client stays far
/// below: librdkafka asks for at most the partitions it was assigned.
pub const ELEMENTS_MAX: usize = 20_000;

/// The longest string the protocol has: its older form keeps the length in 16 bits.
const TEXT_BYTES_MAX: usize = i16::MAX as usize;

/// What a request looks like on the wire, as far as lengths are concerned.
#[derive(Debug)]
pub(crate) struct Shape {
    /// The fields in the order of the wire.
    pub(crate) fields: &'static [Field],
    /// Tagged fields the decoder reads into; others are skipped by their length.
    pub(crate) tags: &'static [Tag],
}

/// One field and the versions that carry it.
#[derive(Debug)]
pub(crate) struct Field {
    from: i16,
    to: i16,
    kind: Kind,
}

/// One tagged field and the first version that knows it.
#[derive(Debug)]
pub(crate) struct Tag {
    pub(crate) tag: u32,
    pub(crate) from: i16,
    pub(crate) kind: Kind,
}

/// How a field takes up bytes.
#[derive(Debug)]
pub(crate) enum Kind {
    /// This many bytes.
    Fixed(usize),
    /// A string, nullable or not.
    Text,
    /// Bytes, nullable or not.
    Blob,
    /// Structures, nullable or not.
    Array(&'static Shape),
    /// Bare values, nullable or not.
    Each(&'static Kind),
    /// One structure.
    Struct(&'static Shape),
    /// A byte that says whether a structure follows: negative is null.
    Optional(&'static Shape),
}

impl Field {
    /// A field every version has.
    pub(crate) const fn new(kind: Kind) -> Self {
        Self { from: 0, to: i16::MAX, kind }
    }

    /// A field that came with version `from`.
    pub(crate) const fn from(from: i16, kind: Kind) -> Self {
        Self { from, to: i16::MAX, kind }
    }

    /// A field that versions `from..=to` have.
    pub(crate) const fn between(from: i16, to: i16, kind: Kind) -> Self {
        Self { from, to, kind }
    }
}

/// Why a request is not decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A length or count claims more than the frame holds.
    #[error("claims {claimed} bytes at byte {position}, where {left} are left")]
    Short {
        /// Where in the body.
        position: usize,
        /// What the wire says.
        claimed: usize,
        /// What is there.
        left: usize,
    },
    /// A length or count below what null is written as.
    #[error("a negative length at byte {position}")]
    Negative {
        /// Where in the body.
        position: usize,
    },
    /// A variable-length integer that does not end.
    #[error("an endless integer at byte {position}")]
    Endless {
        /// Where in the body.
        position: usize,
    },
    /// A string longer than the protocol has.
    #[error("a string of {claimed} bytes at byte {position}, {TEXT_BYTES_MAX} is the longest")]
    LongText {
        /// Where in the body.
        position: usize,
        /// What the wire says.
        claimed: usize,
    },
    /// More entries than any client sends.
    #[error("more than {ELEMENTS_MAX} entries")]
    Crowded,
    /// A tagged field whose content is not as long as it says.
    #[error("a tagged field at byte {position} is not as long as it says")]
    Tagged {
        /// Where in the body.
        position: usize,
    },
}

/// Walks `body` by `shape` and answers how many elements decoding it makes. Bytes after the
/// request's end are let pass, as Kafka does: librdkafka 2.16 sends three too many when it asks
/// Metadata 13 for all topics.
///
/// # Errors
/// [`Malformed`], with the position, for the first length or count that does not hold.
pub(crate) fn check(
    shape: &Shape,
    version: i16,
    flexible: bool,
    body: &[u8],
) -> Result<usize, Malformed> {
    let mut walk = Walk { cursor: Cursor::new(body), version, flexible, elements: 0 };
    walk.shape(shape)?;
    Ok(walk.elements)
}

/// Reads forward through bytes it does not trust.
#[derive(Debug)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    pub(crate) fn position(&self) -> usize {
        self.position
    }

    pub(crate) fn left(&self) -> usize {
        self.bytes.len() - self.position
    }

    pub(crate) fn take(&mut self, claimed: usize) -> Result<&'a [u8], Malformed> {
        let left = self.left();
        if claimed > left {
            return Err(Malformed::Short { position: self.position, claimed, left });
        }
        let taken = &self.bytes[self.position..self.position + claimed];
        self.position += claimed;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        Ok(self.take(N)?.try_into().expect("take gives exactly N bytes"))
    }

    pub(crate) fn i8(&mut self) -> Result<i8, Malformed> {
        Ok(i8::from_be_bytes(self.array()?))
    }

    pub(crate) fn i16(&mut self) -> Result<i16, Malformed> {
        Ok(i16::from_be_bytes(self.array()?))
    }

    pub(crate) fn i32(&mut self) -> Result<i32, Malformed> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    pub(crate) fn i64(&mut self) -> Result<i64, Malformed> {
        Ok(i64::from_be_bytes(self.array()?))
    }

    /// An unsigned variable-length integer of at most 32 bits.
    pub(crate) fn varint(&mut self) -> Result<u32, Malformed> {
        let position = self.position;
        let mut value = 0u32;
        for shift in (0..35).step_by(7) {
            let [byte] = self.array()?;
            let bits = u32::from(byte & 0x7f);
            if shift == 28 && bits > 0x0f {
                return Err(Malformed::Endless { position });
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed::Endless { position })
    }

    /// A length or count: `None` is null. `wide` says 32 bits, else 16, in the older form.
    fn length(&mut self, compact: bool, wide: bool) -> Result<Option<usize>, Malformed> {
        let position = self.position;
        if compact {
            return Ok((self.varint()? as usize).checked_sub(1));
        }
        match if wide { self.i32()? } else { i32::from(self.i16()?) } {
            -1 => Ok(None),
            length => {
                usize::try_from(length).map(Some).map_err(|_| Malformed::Negative { position })
            }
        }
    }

    /// A string's bytes; `None` is null.
    pub(crate) fn text(&mut self, compact: bool) -> Result<Option<&'a [u8]>, Malformed> {
        let position = self.position;
        match self.length(compact, false)? {
            Some(claimed) if claimed > TEXT_BYTES_MAX => {
                Err(Malformed::LongText { position, claimed })
            }
            length => length.map(|claimed| self.take(claimed)).transpose(),
        }
    }

    /// A byte field; `None` is null.
    pub(crate) fn blob(&mut self, compact: bool) -> Result<Option<&'a [u8]>, Malformed> {
        self.length(compact, true)?.map(|claimed| self.take(claimed)).transpose()
    }

    /// An array's count, null as 0, refused when not even one byte an element is left.
    pub(crate) fn count(&mut self, compact: bool) -> Result<usize, Malformed> {
        let position = self.position;
        let claimed = self.length(compact, true)?.unwrap_or(0);
        let left = self.left();
        if claimed > left {
            return Err(Malformed::Short { position, claimed, left });
        }
        Ok(claimed)
    }

    /// Skips a tagged section nobody reads; answers how many fields it holds.
    pub(crate) fn skip_tags(&mut self) -> Result<usize, Malformed> {
        let count = self.varint()? as usize;
        for _ in 0..count {
            self.varint()?;
            let length = self.varint()? as usize;
            self.take(length)?;
        }
        Ok(count)
    }
}

struct Walk<'a> {
    cursor: Cursor<'a>,
    version: i16,
    flexible: bool,
    elements: usize,
}

impl Walk<'_> {
    fn shape(&mut self, shape: &Shape) -> Result<(), Malformed> {
        for field in shape.fields {
            if (field.from..=field.to).contains(&self.version) {
                self.kind(&field.kind)?;
            }
        }
        if self.flexible { self.tags(shape.tags) } else { Ok(()) }
    }

    fn kind(&mut self, kind: &Kind) -> Result<(), Malformed> {
        match kind {
            Kind::Fixed(bytes) => self.cursor.take(*bytes).map(drop),
            Kind::Text => self.cursor.text(self.flexible).map(drop),
            Kind::Blob => self.cursor.blob(self.flexible).map(drop),
            Kind::Struct(shape) => self.shape(shape),
            Kind::Optional(shape) => match self.cursor.i8()? {
                ..0 => Ok(()),
                _ => self.shape(shape),
            },
            Kind::Array(shape) => {
                for _ in 0..self.counted()? {
                    self.shape(shape)?;
                }
                Ok(())
            }
            Kind::Each(kind) => {
                for _ in 0..self.counted()? {
                    self.kind(kind)?;
                }
                Ok(())
            }
        }
    }

    fn counted(&mut self) -> Result<usize, Malformed> {
        let count = self.cursor.count(self.flexible)?;
        self.add(count)?;
        Ok(count)
    }

    fn add(&mut self, elements: usize) -> Result<(), Malformed> {
        self.elements += elements;
        if self.elements > ELEMENTS_MAX { Err(Malformed::Crowded) } else { Ok(()) }
    }

    fn tags(&mut self, known: &[Tag]) -> Result<(), Malformed> {
        let count = self.cursor.varint()? as usize;
        self.add(count)?;
        for _ in 0..count {
            let tag = self.cursor.varint()?;
            let length = self.cursor.varint()? as usize;
            let position = self.cursor.position();
            match known.iter().find(|known| known.tag == tag && self.version >= known.from) {
                None => {
                    self.cursor.take(length)?;
                }
                Some(known) => {
                    self.kind(&known.kind)?;
                    if self.cursor.position() - position != length {
                        return Err(Malformed::Tagged { position });
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const INNER: Shape = Shape { fields: &[Field::new(Kind::Text)], tags: &[] };
    const OUTER: Shape = Shape {
        fields: &[
            Field::new(Kind::Array(&INNER)),
            Field::from(2, Kind::Blob),
            Field::between(1, 1, Kind::Fixed(2)),
        ],
        tags: &[Tag { tag: 3, from: 0, kind: Kind::Fixed(4) }],
    };

    #[test]
    fn an_honest_body_passes_and_its_elements_are_counted() {
        let body = [0, 0, 0, 2, 0, 1, b'a', 0xff, 0xff];
        assert_eq!(check(&OUTER, 0, false, &body), Ok(2));
        let flexible = [2, 2, b'a', 0, 1, 1, 3, 4, 9, 9, 9, 9];
        assert_eq!(check(&OUTER, 2, true, &flexible), Ok(2));
    }

    #[test]
    fn a_count_beyond_the_bytes_left_is_refused_before_anything_is_walked() {
        let body = i32::MAX.to_be_bytes();
        assert!(matches!(check(&OUTER, 0, false, &body), Err(Malformed::Short { .. })));
        let compact = [0xff, 0xff, 0xff, 0xff, 0x0f];
        assert!(matches!(check(&OUTER, 0, true, &compact), Err(Malformed::Short { .. })));
    }

    #[test]
    fn negative_lengths_and_endless_integers_are_refused_and_trailing_bytes_are_not() {
        let negative = (-2i32).to_be_bytes();
        assert_eq!(check(&OUTER, 0, false, &negative), Err(Malformed::Negative { position: 0 }));
        assert_eq!(
            check(&OUTER, 0, true, &[0x80; 9]),
            Err(Malformed::Endless { position: 0 }),
            "five bytes are the most an integer has"
        );
        assert_eq!(check(&OUTER, 0, false, &[0, 0, 0, 0, 7]), Ok(0));
    }

    #[test]
    fn a_known_tag_must_be_as_long_as_it_says() {
        let lying = [1, 1, 3, 2, 9, 9, 9, 9];
        assert_eq!(check(&OUTER, 0, true, &lying), Err(Malformed::Tagged { position: 4 }));
    }

    #[test]
    fn more_elements_than_any_client_sends_are_refused() {
        let count = ELEMENTS_MAX as i32 + 1;
        let mut body = count.to_be_bytes().to_vec();
        body.resize(4 + 2 * count as usize, 0);
        assert_eq!(check(&OUTER, 0, false, &body), Err(Malformed::Crowded));
    }
}
