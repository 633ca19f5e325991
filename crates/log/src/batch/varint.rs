//! Zig-zag variable-length integers, as record batch v2 has them.
//!
//! Guarantees: reading stops at the end of the bytes and refuses numbers that are too long.
//! Left out: unsigned varints, which only the wire protocol's flexible versions use.

/// A varint of 32 bits takes at most this many bytes.
const VARINT_BYTES_MAX: usize = 5;
/// A varint of 64 bits takes at most this many bytes.
const VARLONG_BYTES_MAX: usize = 10;

/// A cursor over bytes nobody has checked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    pub(crate) fn position(&self) -> usize {
        self.position
    }

    pub(crate) fn left(&self) -> usize {
        self.bytes.len() - self.position
    }

    pub(crate) fn byte(&mut self) -> Result<u8, &'static str> {
        let byte = *self.bytes.get(self.position).ok_or("it ends in the middle")?;
        self.position += 1;
        Ok(byte)
    }

    pub(crate) fn skip(&mut self, bytes: usize) -> Result<(), &'static str> {
        if bytes > self.left() {
            return Err("a length reaches past its end");
        }
        self.position += bytes;
        Ok(())
    }

    /// A signed 32-bit varint.
    pub(crate) fn varint(&mut self) -> Result<i32, &'static str> {
        let raw = self.raw(VARINT_BYTES_MAX)?;
        let raw = u32::try_from(raw).map_err(|_| "a varint is too large")?;
        Ok((raw >> 1) as i32 ^ -((raw & 1) as i32))
    }

    /// A signed 64-bit varint.
    pub(crate) fn varlong(&mut self) -> Result<i64, &'static str> {
        let raw = self.raw(VARLONG_BYTES_MAX)?;
        Ok((raw >> 1) as i64 ^ -((raw & 1) as i64))
    }

    fn raw(&mut self, bytes_max: usize) -> Result<u64, &'static str> {
        let mut value = 0_u64;
        for index in 0..bytes_max {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if index == 9 && bits > 1 {
                return Err("a varint is too large");
            }
            value |= bits << (7 * index);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err("a varint is too long")
    }
}

pub(crate) fn varint_len(value: i32) -> usize {
    varlong_len(i64::from(value))
}

pub(crate) fn varlong_len(value: i64) -> usize {
    let raw = zigzag(value);
    let bits = 64 - (raw | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

pub(crate) fn put_varint(out: &mut Vec<u8>, value: i32) {
    put_varlong(out, i64::from(value));
}

pub(crate) fn put_varlong(out: &mut Vec<u8>, value: i64) {
    let mut raw = zigzag(value);
    while raw >= 0x80 {
        out.push(raw as u8 | 0x80);
        raw >>= 7;
    }
    out.push(raw as u8);
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn varlongs_come_back(value: i64) {
            let mut out = Vec::new();
            put_varlong(&mut out, value);
            prop_assert_eq!(out.len(), varlong_len(value));
            prop_assert_eq!(Reader::new(&out).varlong().unwrap(), value);
        }

        #[test]
        fn varints_come_back(value: i32) {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            prop_assert_eq!(out.len(), varint_len(value));
            prop_assert_eq!(Reader::new(&out).varint().unwrap(), value);
        }
    }

    #[test]
    fn varints_that_never_end_are_refused() {
        assert!(Reader::new(&[0xff; 20]).varint().is_err());
        assert!(Reader::new(&[0xff; 20]).varlong().is_err());
        assert!(Reader::new(&[0x80]).varint().is_err());
    }
}
