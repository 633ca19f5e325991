//! A producer's batches in the compression their topic asks for.
//!
//! Guarantees: nothing but the compression, the length and the checksum changes; batches that are
//! compressed as asked stay as they were sent. Left out: compression levels.

use super::filter::finish;
use super::{BatchSpan, COMPRESSION_BITS, Compression, HEADER_BYTES, parse_header};

/// Batches, and where each lies in them.
type Recompressed = (Vec<u8>, Vec<BatchSpan>);

/// The batches of `bytes`, which were checked, compressed with `codec`; `None` when all are.
pub(crate) fn recompress(
    bytes: &[u8],
    spans: &[BatchSpan],
    codec: Compression,
) -> Result<Option<Recompressed>, String> {
    let as_asked = |span: &BatchSpan| Ok(span.header.compression()? == codec);
    let done: Result<Vec<bool>, String> = spans.iter().map(as_asked).collect();
    let done = done?;
    if done.iter().all(|done| *done) {
        return Ok(None);
    }
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), Vec::with_capacity(spans.len()));
    for (span, done) in spans.iter().zip(done) {
        let position = out.len();
        let batch = &bytes[span.position..][..span.header.bytes];
        if done {
            out.extend_from_slice(batch);
        } else {
            out.extend_from_slice(&with_codec(span, batch, codec)?);
        }
        at.push(BatchSpan { position, header: parse_header(&out[position..])? });
    }
    Ok(Some((out, at)))
}

fn with_codec(span: &BatchSpan, batch: &[u8], codec: Compression) -> Result<Vec<u8>, String> {
    let (head, body) = batch.split_at(HEADER_BYTES);
    let records = codec.deflate(&span.header.compression()?.inflate(body)?)?;
    let mut out = [head, &records].concat();
    let attributes = (span.header.attributes & !COMPRESSION_BITS) | codec.bits();
    out[21..23].copy_from_slice(&attributes.to_be_bytes());
    finish(&mut out);
    Ok(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::{check_produced, decode_records, encode, numbered, parse_batches};
    use super::*;
    use bytes::Bytes;
    use tradewind_types::Record;

    const CODECS: [Compression; 5] = [
        Compression::None,
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ];

    fn records() -> Vec<Record> {
        let record = |n: u8| Record {
            key: Some(vec![n].into()),
            value: Some(vec![n; 200].into()),
            timestamp_ms: 1_000 + i64::from(n),
            ..Record::default()
        };
        (0..20).map(record).collect()
    }

    #[test]
    fn every_codec_becomes_every_other_and_nothing_else_changes() {
        let plain = numbered(&records(), (7, 2), 40, true);
        for from in CODECS {
            let spans = parse_batches(&plain).unwrap();
            let sent = recompress(&plain, &spans, from).unwrap();
            let sent = sent.map_or(plain.clone(), |(bytes, _)| bytes.into());
            let spans = parse_batches(&sent).unwrap();
            let before = decode_records(&spans[0].header, &sent).unwrap();
            for to in CODECS {
                let made = recompress(&sent, &spans, to).unwrap();
                assert_eq!(made.is_none(), from == to);
                let Some((bytes, at)) = made else { continue };
                let bytes = Bytes::from(bytes);
                assert_eq!(check_produced(&bytes, usize::MAX).unwrap(), at);
                assert_eq!(at[0].header.compression().unwrap(), to);
                assert_eq!(decode_records(&at[0].header, &bytes).unwrap(), before);
                let same = |header: super::super::BatchHeader| {
                    let (id, epoch) = (header.producer_id, header.producer_epoch);
                    (id, epoch, header.base_sequence, header.transactional(), header.records)
                };
                assert_eq!(same(at[0].header), same(spans[0].header));
            }
        }
    }

    #[test]
    fn what_is_compressed_as_asked_stays_byte_for_byte() {
        let plain = encode(&records(), usize::MAX).unwrap();
        let spans = parse_batches(&plain).unwrap();
        let (zipped, _) = recompress(&plain, &spans, Compression::Gzip).unwrap().unwrap();
        let both = [zipped.clone(), plain].concat();
        let spans = parse_batches(&both).unwrap();
        let (made, at) = recompress(&both, &spans, Compression::Gzip).unwrap().unwrap();
        assert_eq!(&made[..zipped.len()], zipped);
        assert_eq!((at.len(), at[1].position), (2, zipped.len()));
        assert_eq!(at, parse_batches(&made).unwrap());
    }
}
