//! Batches of any schemas behind each other, as in files of state. See `docs/formats/state.md`.
//!
//! Guarantees: what is read is what was written, or an error that says what does not hold; a frame
//! holds at most [`FRAME_ROWS`] rows, so that reading takes little memory.
//! Left out: the files.

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;

/// Bytes before each batch: its length (u64) and its CRC-32C (u32), little-endian.
pub(super) const HEAD_BYTES: usize = 12;
/// Rows of a frame: a few megabytes at most times.
const FRAME_ROWS: usize = 65_536;

/// Writes a batch behind what is there.
pub(super) fn put(bytes: &mut Vec<u8>, batch: &RecordBatch) -> Result<(), ArrowError> {
    for first in (0..batch.num_rows()).step_by(FRAME_ROWS) {
        let rows = FRAME_ROWS.min(batch.num_rows() - first);
        put_frame(bytes, &batch.slice(first, rows))?;
    }
    Ok(())
}

fn put_frame(bytes: &mut Vec<u8>, batch: &RecordBatch) -> Result<(), ArrowError> {
    let begin = bytes.len();
    let body = begin + HEAD_BYTES;
    bytes.resize(body, 0);
    let mut writer = StreamWriter::try_new(&mut *bytes, &batch.schema())?;
    writer.write(batch).and_then(|()| writer.finish())?;
    drop(writer);
    let length = (bytes.len() - body) as u64;
    let crc = crc32c::crc32c(&bytes[body..]);
    bytes[begin..begin + 8].copy_from_slice(&length.to_le_bytes());
    bytes[begin + 8..body].copy_from_slice(&crc.to_le_bytes());
    Ok(())
}

/// What a frame's head says of its body.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    pub(super) length: usize,
    crc: u32,
}

impl Head {
    pub(super) fn read(bytes: &[u8; HEAD_BYTES]) -> Result<Self, String> {
        let length = u64::from_le_bytes(bytes[..8].try_into().expect("8 of 12 bytes"));
        let crc = u32::from_le_bytes(bytes[8..].try_into().expect("4 of 12 bytes"));
        let length = usize::try_from(length).map_err(|_| format!("a frame of {length} bytes"))?;
        Ok(Self { length, crc })
    }

    /// The batches of a body.
    pub(super) fn open(self, body: &[u8]) -> Result<Vec<RecordBatch>, String> {
        if crc32c::crc32c(body) != self.crc {
            return Err("a batch has another CRC than its frame says".into());
        }
        let reader = StreamReader::try_new(body, None).map_err(|error| error.to_string())?;
        reader.map(|batch| batch.map_err(|error| error.to_string())).collect()
    }
}

/// All batches of some frames.
pub(super) fn read_all(mut bytes: &[u8]) -> Result<Vec<RecordBatch>, String> {
    let mut batches = Vec::new();
    while !bytes.is_empty() {
        let Some((head, behind)) = bytes.split_first_chunk() else {
            return Err("it ends within a frame".into());
        };
        let head = Head::read(head)?;
        let Some((body, behind)) = behind.split_at_checked(head.length) else {
            return Err("it ends within a batch".into());
        };
        batches.extend(head.open(body)?);
        bytes = behind;
    }
    Ok(batches)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use arrow::array::{ArrayRef, Int64Array, StringArray};
    use std::sync::Arc;

    #[test]
    fn batches_of_several_schemas_read_back_and_no_changed_byte_is_overlooked() {
        let ids: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        let names: ArrayRef = Arc::new(StringArray::from(vec!["be"]));
        let batches = vec![
            RecordBatch::try_from_iter([("id", ids)]).unwrap(),
            RecordBatch::try_from_iter([("name", names)]).unwrap(),
        ];
        let mut good = Vec::new();
        batches.iter().for_each(|batch| put(&mut good, batch).unwrap());
        assert_eq!(read_all(&good).unwrap(), batches);
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            assert!(read_all(&bad).is_err(), "byte {at}");
        }
    }

    #[test]
    fn a_large_batch_is_several_frames() {
        let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..150_000));
        let batch = RecordBatch::try_from_iter([("id", ids)]).unwrap();
        let mut bytes = Vec::new();
        put(&mut bytes, &batch).unwrap();
        assert!(bytes.len() < 150_000 * 9);
        let read = read_all(&bytes).unwrap();
        assert_eq!(
            read.iter().map(RecordBatch::num_rows).collect::<Vec<_>>(),
            [65_536, 65_536, 18_928]
        );
        assert_eq!(arrow::compute::concat_batches(&batch.schema(), &read).unwrap(), batch);
    }
}
