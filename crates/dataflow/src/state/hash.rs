//! The hash of a row's key, for shards and hash tables.
//!
//! Guarantees: equal keys have equal hashes on every platform, whatever stands beside them: nulls
//! are equal, and so are all NaNs, and both zeros. Top bits and low bits are both well mixed.
//! Left out: keeping it stable between versions; nothing stored depends on it.

use super::words::{canonical, words};
use crate::DataflowError;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    ArrowNativeType, BinaryType, ByteArrayType, DataType, Decimal128Type, LargeBinaryType,
    LargeUtf8Type, Utf8Type,
};
use arrow::row::{RowConverter, SortField};

/// Odd numbers without a pattern: the fraction bits of the square roots of 2, 3, 5 and 7.
const START: u64 = 0x6a09_e667_f3bc_c909;
const NULL: u64 = 0xbb67_ae85_84ca_a73b;
const FIRST: u64 = 0x3c6e_f372_fe94_f82b;
const SECOND: u64 = 0xa54f_f53a_5f1d_36f1;

/// One hash for each of `rows` rows over these columns; without columns all are the same.
///
/// # Errors
/// A column's type cannot be compared.
pub fn hash_columns(columns: &[ArrayRef], rows: usize) -> Result<Vec<u64>, DataflowError> {
    let mut hashes = vec![START; rows];
    for column in columns {
        debug_assert_eq!(column.len(), rows);
        mix_column(&mut hashes, column)?;
    }
    Ok(hashes)
}

fn mix_column(hashes: &mut [u64], column: &ArrayRef) -> Result<(), DataflowError> {
    if let Some(words) = words(column) {
        mix(hashes, column.nulls(), |hash, row| fold(hash ^ words[row], FIRST));
        return Ok(());
    }
    match column.data_type() {
        DataType::Decimal128(..) => {
            let values = column.as_primitive::<Decimal128Type>().values();
            mix(hashes, column.nulls(), |hash, row| {
                let value = values[row];
                fold(fold(hash ^ value as u64, FIRST) ^ (value >> 64) as u64, SECOND)
            });
        }
        DataType::Utf8 => mix_bytes::<Utf8Type>(hashes, column),
        DataType::LargeUtf8 => mix_bytes::<LargeUtf8Type>(hashes, column),
        DataType::Binary => mix_bytes::<BinaryType>(hashes, column),
        DataType::LargeBinary => mix_bytes::<LargeBinaryType>(hashes, column),
        _ => {
            let column = canonical(column)?;
            let converter = RowConverter::new(vec![SortField::new(column.data_type().clone())])?;
            let rows = converter.convert_columns(std::slice::from_ref(&column))?;
            mix(hashes, None, |hash, row| hash_bytes(hash, rows.row(row).data()));
        }
    }
    Ok(())
}

fn mix_bytes<T: ByteArrayType>(hashes: &mut [u64], column: &ArrayRef) {
    let array = column.as_bytes::<T>();
    let (offsets, data) = (array.value_offsets(), array.value_data());
    mix(hashes, column.nulls(), |hash, row| {
        hash_bytes(hash, &data[offsets[row].as_usize()..offsets[row + 1].as_usize()])
    });
}

#[inline(always)]
fn mix(hashes: &mut [u64], nulls: Option<&NullBuffer>, value: impl Fn(u64, usize) -> u64) {
    match nulls.filter(|nulls| nulls.null_count() > 0) {
        None => hashes.iter_mut().enumerate().for_each(|(row, hash)| *hash = value(*hash, row)),
        Some(nulls) => {
            for (row, hash) in hashes.iter_mut().enumerate() {
                *hash = if nulls.is_valid(row) { value(*hash, row) } else { fold(*hash, NULL) };
            }
        }
    }
}

/// Both halves of a product: each of its bits depends on nearly all bits of both factors.
#[inline(always)]
const fn fold(left: u64, right: u64) -> u64 {
    let product = (left as u128) * (right as u128);
    (product as u64) ^ (product >> 64) as u64
}

/// The hash of bytes, going on from another hash.
#[inline]
fn hash_bytes(start: u64, bytes: &[u8]) -> u64 {
    let mut hash = start ^ bytes.len() as u64;
    let mut pairs = bytes.chunks_exact(16);
    for pair in &mut pairs {
        hash = fold(word(&pair[..8]) ^ hash, word(&pair[8..]) ^ SECOND);
    }
    let rest = pairs.remainder();
    let (low, high) = rest.split_at(rest.len().min(8));
    fold(fold(hash ^ word(low), FIRST) ^ word(high), SECOND)
}

/// Up to eight bytes as a number.
#[inline(always)]
fn word(bytes: &[u8]) -> u64 {
    match bytes.try_into() {
        Ok(eight) => u64::from_le_bytes(eight),
        Err(_) => bytes.iter().rev().fold(0, |word, byte| (word << 8) | u64::from(*byte)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{SHARDS, shard_of};
    use arrow::array::{Decimal128Array, Float64Array, Int64Array, StringArray, StructArray};
    use arrow::datatypes::{Field, Fields};
    use std::collections::HashSet;
    use std::sync::Arc;

    fn hashes(column: impl Array + 'static) -> Vec<u64> {
        let rows = column.len();
        hash_columns(&[Arc::new(column)], rows).unwrap()
    }

    #[test]
    fn nans_and_zeros_hash_the_same_and_nulls_too() {
        let other_nan = f64::from_bits(0xfff8_0000_0000_0001);
        let got = hashes(Float64Array::from(vec![f64::NAN, other_nan, 0.0, -0.0, 1.0]));
        assert_eq!((got[0], got[2]), (got[1], got[3]));
        assert_eq!(got.iter().collect::<HashSet<_>>().len(), 3);
        let fields: Fields = vec![Field::new("f", DataType::Float64, true)].into();
        let inner: ArrayRef = Arc::new(Float64Array::from(vec![0.0, -0.0, f64::NAN, other_nan]));
        let got = hashes(StructArray::new(fields, vec![inner], None));
        assert_eq!((got[0], got[2]), (got[1], got[3]));
        let got =
            hashes(Int64Array::new(vec![7, 8, 0].into(), Some(vec![false, false, true].into())));
        assert_eq!(got[0], got[1]);
        assert_ne!(got[0], got[2]);
    }

    #[test]
    fn sliced_columns_hash_like_whole_ones() {
        let whole: ArrayRef =
            Arc::new(StringArray::from(vec!["a", "bb", "ccc", "a longer text than 16"]));
        let all = hash_columns(std::slice::from_ref(&whole), 4).unwrap();
        assert_eq!(hash_columns(&[whole.slice(1, 3)], 3).unwrap(), all[1..]);
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), 4);
    }

    /// Whatever steps keys come in, shards and table places are used evenly.
    #[test]
    fn top_and_low_bits_spread_for_keys_in_steps() {
        for step in [1_i64, 2, 1_000, 1 << 20, 1 << 32, -3] {
            let keys: Vec<i64> = (0..65_536).map(|key: i64| key.wrapping_mul(step)).collect();
            let wide = keys.iter().map(|key| i128::from(*key)).collect::<Vec<_>>();
            for got in [hashes(Int64Array::from(keys)), hashes(Decimal128Array::from(wide))] {
                let mut shards = [0_u32; SHARDS];
                let mut low = [0_u32; SHARDS];
                for hash in got {
                    shards[shard_of(hash) as usize] += 1;
                    low[(hash & 255) as usize] += 1;
                }
                let even = |counts: &[u32]| counts.iter().all(|count| (128..512).contains(count));
                assert!(even(&shards) && even(&low), "step {step}: {shards:?} {low:?}");
            }
        }
    }
}
