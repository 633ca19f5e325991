//! `FROM_BASE64(text)` and `TO_BASE64(text)`, text to text as in Flink.
//!
//! Guarantees: what is not base64, or does not decode to UTF-8, is an error of that row.
//! Left out: bytes. A `BYTES` column of a JSON topic decodes base64 by itself, and
//! `decode(text, 'base64')` gives bytes.

use super::text::{Body, function};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use datafusion::logical_expr::ScalarUDF;
use std::sync::Arc;

pub(super) fn from_base64() -> Arc<ScalarUDF> {
    function(
        "from_base64",
        1,
        Body::Text(|row| {
            let bytes = STANDARD.decode(row[0]).map_err(|error| error.to_string())?;
            String::from_utf8(bytes).map(Some).map_err(|error| error.to_string())
        }),
    )
}

pub(super) fn to_base64() -> Arc<ScalarUDF> {
    function("to_base64", 1, Body::Text(|row| Ok(Some(STANDARD.encode(row[0])))))
}
