//! Inflating what producers compressed, and compressing again what compaction leaves of it.
//!
//! Guarantees: no input makes more than [`INFLATED_BYTES_MAX`] bytes, and no size an input claims
//! is allocated before it is checked against that. What is compressed is in the forms every Kafka
//! client reads: lz4 in frames of independent blocks, snappy in xerial chunks.
//! Left out: the levels producers chose, which a batch does not name.

use std::io::{Read, Write};

/// What one batch may inflate to: sixteen times what producers gather by default (1 MiB), and small
/// enough that a handful of hostile ones do not fill the memory.
pub(crate) const INFLATED_BYTES_MAX: usize = 16 << 20;
/// zstd may ask for a window this large (2^26 bytes): what its strongest level but one asks for.
const ZSTD_WINDOW_LOG_MAX: u32 = 26;
/// What snappy-java puts before its chunks; two i32 versions follow.
const XERIAL_MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
const XERIAL_HEADER_BYTES: usize = 16;
/// The chunks snappy-java makes by default.
const XERIAL_CHUNK_BYTES: usize = 32 << 10;
/// zstd's own default.
const ZSTD_LEVEL: i32 = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl Compression {
    pub(crate) fn from_bits(bits: i16) -> Result<Self, String> {
        Ok(match bits {
            0 => Self::None,
            1 => Self::Gzip,
            2 => Self::Snappy,
            3 => Self::Lz4,
            4 => Self::Zstd,
            other => return Err(format!("compression {other} is not known")),
        })
    }

    /// Its number in a batch's attributes.
    pub(crate) fn bits(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Snappy => 2,
            Self::Lz4 => 3,
            Self::Zstd => 4,
        }
    }

    /// The inflated bytes.
    pub(crate) fn inflate(self, bytes: &[u8]) -> Result<Vec<u8>, String> {
        match self {
            Self::None => Ok(bytes.to_vec()),
            Self::Gzip => drain(flate2::read::MultiGzDecoder::new(bytes), "gzip"),
            Self::Snappy => snappy(bytes),
            Self::Lz4 => drain(lz4_flex::frame::FrameDecoder::new(bytes), "lz4"),
            Self::Zstd => {
                let mut decoder =
                    zstd::stream::read::Decoder::with_buffer(bytes).map_err(|e| e.to_string())?;
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(|e| e.to_string())?;
                drain(decoder, "zstd")
            }
        }
    }
}

impl Compression {
    /// `bytes`, compressed.
    pub(crate) fn deflate(self, bytes: &[u8]) -> Result<Vec<u8>, String> {
        match self {
            Self::None => Ok(bytes.to_vec()),
            Self::Gzip => {
                let level = flate2::Compression::default();
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
                encoder.write_all(bytes).map_err(|error| format!("gzip: {error}"))?;
                encoder.finish().map_err(|error| format!("gzip: {error}"))
            }
            Self::Snappy => xerial(bytes),
            Self::Lz4 => {
                let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
                encoder.write_all(bytes).map_err(|error| format!("lz4: {error}"))?;
                encoder.finish().map_err(|error| format!("lz4: {error}"))
            }
            Self::Zstd => zstd::stream::encode_all(bytes, ZSTD_LEVEL)
                .map_err(|error| format!("zstd: {error}")),
        }
    }
}

fn xerial(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut out = XERIAL_MAGIC.to_vec();
    for version in [1_i32, 1] {
        out.extend_from_slice(&version.to_be_bytes());
    }
    for chunk in bytes.chunks(XERIAL_CHUNK_BYTES) {
        let block = snap::raw::Encoder::new().compress_vec(chunk);
        let block = block.map_err(|error| format!("snappy: {error}"))?;
        out.extend_from_slice(&(block.len() as u32).to_be_bytes());
        out.extend_from_slice(&block);
    }
    Ok(out)
}

fn drain(decoder: impl Read, name: &str) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    decoder
        .take(INFLATED_BYTES_MAX as u64 + 1)
        .read_to_end(&mut out)
        .map_err(|error| format!("{name}: {error}"))?;
    check_size(out.len())?;
    Ok(out)
}

fn check_size(bytes: usize) -> Result<(), String> {
    if bytes > INFLATED_BYTES_MAX {
        return Err(format!("it inflates to more than {INFLATED_BYTES_MAX} bytes"));
    }
    Ok(())
}

fn snappy(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    if !bytes.starts_with(&XERIAL_MAGIC) {
        snappy_block(bytes, &mut out)?;
        return Ok(out);
    }
    let mut rest = bytes.get(XERIAL_HEADER_BYTES..).ok_or("snappy: the header is cut short")?;
    while !rest.is_empty() {
        let (length, after) =
            rest.split_first_chunk::<4>().ok_or("snappy: a chunk's length is cut short")?;
        let length = u32::from_be_bytes(*length) as usize;
        let chunk = after.get(..length).ok_or("snappy: a chunk reaches past the end")?;
        snappy_block(chunk, &mut out)?;
        rest = &after[length..];
    }
    Ok(out)
}

/// Appends one raw snappy block to `out`; the length it claims is checked before it is allocated.
fn snappy_block(block: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    let claimed = snap::raw::decompress_len(block).map_err(|error| format!("snappy: {error}"))?;
    let end = out.len().saturating_add(claimed);
    check_size(end)?;
    let start = out.len();
    out.resize(end, 0);
    let written = snap::raw::Decoder::new()
        .decompress(block, &mut out[start..])
        .map_err(|error| format!("snappy: {error}"))?;
    out.truncate(start + written);
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::io::Write;

    #[test]
    fn a_zip_bomb_is_refused_by_every_codec() {
        let zeros = vec![0_u8; INFLATED_BYTES_MAX + 2];
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&zeros).unwrap();
        let mut lz4 = lz4_flex::frame::FrameEncoder::new(Vec::new());
        lz4.write_all(&zeros).unwrap();
        let bombs = [
            (Compression::Gzip, gzip.finish().unwrap()),
            (Compression::Lz4, lz4.finish().unwrap()),
            (Compression::Zstd, zstd::encode_all(&zeros[..], 1).unwrap()),
            (Compression::Snappy, snap::raw::Encoder::new().compress_vec(&zeros).unwrap()),
        ];
        for (codec, bomb) in bombs {
            let error = codec.inflate(&bomb).unwrap_err();
            assert!(error.contains("inflates to more than"), "{codec:?}: {error}");
        }
    }

    #[test]
    fn what_is_compressed_is_inflated_to_the_same() {
        let text: Vec<u8> = (0..200_000_u32).flat_map(|n| (n / 7).to_be_bytes()).collect();
        for codec in [
            Compression::None,
            Compression::Gzip,
            Compression::Snappy,
            Compression::Lz4,
            Compression::Zstd,
        ] {
            for bytes in [&text[..], &text[..1], &[]] {
                assert_eq!(codec.inflate(&codec.deflate(bytes).unwrap()).unwrap(), bytes);
            }
        }
    }

    #[test]
    fn a_snappy_block_that_claims_gigabytes_allocates_nothing() {
        let error = Compression::Snappy.inflate(&[0xff, 0xff, 0xff, 0xff, 0x0f, 0]).unwrap_err();
        assert!(error.contains("inflates to more than"), "{error}");
    }

    #[test]
    fn xerial_chunks_are_joined() {
        let mut framed = XERIAL_MAGIC.to_vec();
        framed.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 1]);
        for part in [&b"one "[..], b"two"] {
            let block = snap::raw::Encoder::new().compress_vec(part).unwrap();
            framed.extend_from_slice(&(block.len() as u32).to_be_bytes());
            framed.extend_from_slice(&block);
        }
        assert_eq!(Compression::Snappy.inflate(&framed).unwrap(), b"one two");
        for cut in XERIAL_HEADER_BYTES + 1..framed.len() {
            // A cut between chunks leaves whole chunks; every other one is refused.
            if let Ok(bytes) = Compression::Snappy.inflate(&framed[..cut]) {
                assert_eq!(bytes, b"one ");
            }
        }
    }
}
