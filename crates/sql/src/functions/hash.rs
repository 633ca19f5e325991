//! `MD5`, `SHA224`, `SHA256`, `SHA384`, `SHA512` and `SHA2(text, bits)`, as hexadecimal text.
//!
//! Guarantees: of the UTF-8 bytes.
//! Left out: `SHA1`, which nothing new should use.

use super::function::{Call, Function, TEXT, Takes};
use arrow_array::ArrayRef;
use datafusion::logical_expr::ScalarUDF;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};
use std::sync::Arc;

pub(super) fn all() -> Vec<Arc<ScalarUDF>> {
    let text = &[Takes::Text];
    vec![
        Function::new("md5", text, TEXT, |call| {
            digests(call, |text| md5::Md5::digest(text).to_vec())
        })
        .shared(),
        Function::new("sha224", text, TEXT, |call| {
            digests(call, |text| Sha224::digest(text).to_vec())
        })
        .shared(),
        Function::new("sha256", text, TEXT, |call| {
            digests(call, |text| Sha256::digest(text).to_vec())
        })
        .shared(),
        Function::new("sha384", text, TEXT, |call| {
            digests(call, |text| Sha384::digest(text).to_vec())
        })
        .shared(),
        Function::new("sha512", text, TEXT, |call| {
            digests(call, |text| Sha512::digest(text).to_vec())
        })
        .shared(),
        Function::new("sha2", &[Takes::Text, Takes::Whole], TEXT, |call| {
            let (text, bits) = (call.text(0), call.whole(1));
            call.texts(|row, out| {
                let (Some(text), Some(bits)) = (text.get(row), bits.get(row)) else {
                    return Ok(false);
                };
                let digest = match bits {
                    224 => Sha224::digest(text).to_vec(),
                    256 => Sha256::digest(text).to_vec(),
                    384 => Sha384::digest(text).to_vec(),
                    512 => Sha512::digest(text).to_vec(),
                    _ => return Err(format!("there is no SHA-2 of {bits} bits")),
                };
                write(&digest, out);
                Ok(true)
            })
        })
        .shared(),
    ]
}

fn digests(call: &Call<'_>, digest: fn(&str) -> Vec<u8>) -> Result<ArrayRef, String> {
    let text = call.text(0);
    call.texts(|row, out| Ok(text.get(row).map(|text| write(&digest(text), out)).is_some()))
}

fn write(bytes: &[u8], out: &mut String) {
    let digit = |value: u8| char::from_digit(value.into(), 16).unwrap_or('0');
    for byte in bytes {
        out.extend([digit(byte >> 4), digit(byte & 15)]);
    }
}
