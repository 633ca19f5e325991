//! Batches that producers compressed: stored as sent, read inflated, refused when they lie.

use crate::support::{Fixture, TOPIC, number, record};
use bytes::Bytes;
use std::io::Write;
use tradewind_types::{Log, LogError, Record};

const HEADER: usize = tradewind_log::batch::HEADER_BYTES;

/// The batch's records compressed with Kafka's codec `codec`, lengths and checksum set anew.
pub(crate) fn compress(batch: &[u8], codec: u8) -> Vec<u8> {
    let body = &batch[HEADER..];
    let body = match codec {
        1 => {
            let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            out.write_all(body).unwrap();
            out.finish().unwrap()
        }
        2 => snap::raw::Encoder::new().compress_vec(body).unwrap(),
        3 => {
            let mut out = lz4_flex::frame::FrameEncoder::new(Vec::new());
            out.write_all(body).unwrap();
            out.finish().unwrap()
        }
        _ => zstd::encode_all(body, 3).unwrap(),
    };
    seal(&batch[..HEADER], &body, codec)
}

fn seal(header: &[u8], body: &[u8], codec: u8) -> Vec<u8> {
    let mut out = header.to_vec();
    out.extend_from_slice(body);
    let length = (out.len() - 12) as i32;
    out[8..12].copy_from_slice(&length.to_be_bytes());
    out[22] = (out[22] & !7) | codec;
    let crc = crc32c::crc32c(&out[21..]);
    out[17..21].copy_from_slice(&crc.to_be_bytes());
    out
}

/// The records as a producer sends them, compressed with codec `bits`.
pub(crate) fn compressed_batch(records: &[Record], bits: i16) -> Bytes {
    let batch = crate::power_cut::produced(records);
    match bits {
        0 => batch.into(),
        codec => compress(&batch, codec as u8).into(),
    }
}

async fn plain(records: &[Record]) -> Vec<u8> {
    let store = Fixture::new(0).with_topic().await;
    store.append(TOPIC, 0, records.to_vec()).await.unwrap();
    store.read_raw(TOPIC, 0, 0, usize::MAX).await.unwrap().bytes.to_vec()
}

#[tokio::test]
async fn every_codec_is_stored_as_sent_and_read_inflated() {
    let fixture = Fixture::new(1);
    let store = fixture.with_topic().await;
    let mut n = 0;
    let mut sent = Vec::new();
    for codec in [1, 2, 3, 4] {
        let records: Vec<Record> = (n..n + 10).map(|n| record(n, 200)).collect();
        n += 10;
        let batch = compress(&plain(&records).await, codec);
        assert!(batch.len() < 1500, "codec {codec} makes it smaller");
        store.append_raw(TOPIC, 0, Bytes::from(batch.clone()), true).await.unwrap();
        sent.push(batch);
    }
    store.close().await.unwrap();
    let (reopened, _) = fixture.open();
    for store in [&store, &reopened] {
        let raw = store.read_raw(TOPIC, 0, 0, usize::MAX).await.unwrap().bytes;
        assert_eq!(raw[16..sent[0].len()], sent[0][16..], "as sent");
        for from in 0..40 {
            let read = store.read(TOPIC, 0, from, 1).await.unwrap();
            assert_eq!(read.len() as i64, 10 - from % 10, "the rest of one batch");
            assert_eq!((read[0].offset, number(&read[0].record)), (from, from as u64));
            assert_eq!(read[0].record, record(from as u64, 200));
        }
        assert_eq!(store.offset_at(TOPIC, 0, 250).await.unwrap(), Some(25));
    }
}

#[tokio::test]
async fn batches_that_lie_are_refused_on_produce() {
    let fixture = Fixture::new(2);
    let store = fixture.with_topic().await;
    let batch = plain(&[record(0, 100), record(1, 100)]).await;
    let bomb = {
        let zeros = vec![0_u8; 17 << 20];
        seal(&batch[..HEADER], &zstd::encode_all(&zeros[..], 1).unwrap(), 4)
    };
    let crowd = {
        // Records of nine bytes: small when inflated, large when decoded.
        let mut header = batch[..HEADER].to_vec();
        let count = 1_700_000_i32;
        header[23..27].copy_from_slice(&(count - 1).to_be_bytes());
        header[57..61].copy_from_slice(&count.to_be_bytes());
        let mut body = Vec::new();
        for index in 0..count {
            let mut delta = Vec::new();
            let mut raw = (index as u32) << 1;
            while raw >= 0x80 {
                delta.push(raw as u8 | 0x80);
                raw >>= 7;
            }
            delta.push(raw as u8);
            body.push((5 + delta.len() as u8) << 1);
            body.extend_from_slice(&[0, 0]);
            body.extend_from_slice(&delta);
            body.extend_from_slice(&[1, 1, 0]);
        }
        seal(&header, &zstd::encode_all(&body[..], 1).unwrap(), 4)
    };
    let mut three = batch.clone();
    three[60] = 3;
    three[26] = 2;
    let mut transactional = batch.clone();
    transactional[22] |= 1 << 4;
    let lies: [(&str, Vec<u8>); 9] = [
        ("bytes of memory", crowd),
        ("inflates to more", bomb),
        ("gzip", seal(&batch[..HEADER], b"not gzip at all", 1)),
        ("compression 7", seal(&batch[..HEADER], &batch[HEADER..], 7)),
        ("record 2", seal(&three[..HEADER], &three[HEADER..], 0)),
        ("left after", seal(&batch[..HEADER], &[&batch[HEADER..], &[0]].concat(), 0)),
        ("names no producer", seal(&transactional[..HEADER], &transactional[HEADER..], 0)),
        ("are left", batch[..batch.len() - 1].to_vec()),
        ("there is none", Vec::new()),
    ];
    for (names, lie) in lies {
        let refused = store.append_raw(TOPIC, 0, Bytes::from(lie), true).await.unwrap_err();
        assert!(
            matches!(&refused, LogError::Invalid(_) | LogError::InvalidRecord(_))
                && refused.to_string().contains(names),
            "{names}: {refused}"
        );
    }
    assert_eq!(store.watermarks(TOPIC, 0).unwrap().high_watermark, 0);
}

#[tokio::test]
async fn a_read_stops_when_what_it_inflated_is_enough() {
    let fixture = Fixture::new(3);
    let store = fixture.with_topic().await;
    // Each is small on disk and 100 KB in memory.
    let batch = compress(&plain(&[record(0, 100_000)]).await, 4);
    for _ in 0..20 {
        store.append_raw(TOPIC, 0, Bytes::from(batch.clone()), true).await.unwrap();
    }
    assert_eq!(store.read(TOPIC, 0, 0, 250_000).await.unwrap().len(), 3);
}
