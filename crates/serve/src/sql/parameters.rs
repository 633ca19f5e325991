//! JSON values as the parameters of a statement.
//!
//! Guarantees: a number is read from its digits, never through a float; a value that is not of its
//! parameter's type is an error that names the parameter.
//! Left out: lists and objects. They are written as text, and cast.

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use serde_json::value::RawValue;
use tradewind_analyze::{AnalyzeError, type_name};

/// The values of `$1`, `$2` … in the types that their places ask for.
pub(super) fn values(
    given: &[Box<RawValue>],
    types: &[DataType],
) -> Result<Vec<ScalarValue>, AnalyzeError> {
    if given.len() != types.len() {
        return Err(AnalyzeError::user(format!(
            "the statement has {} parameters, and {} are given",
            types.len(),
            given.len()
        ))
        .hint("parameters is a list with one value for each of $1, $2 ..."));
    }
    let pairs = given.iter().zip(types).zip(1..);
    pairs.map(|((text, data_type), place)| value(text.get(), data_type, place)).collect()
}

fn value(text: &str, data_type: &DataType, place: usize) -> Result<ScalarValue, AnalyzeError> {
    let wrong = |reason: &str| {
        AnalyzeError::user(format!("parameter ${place}: {reason}")).hint(format!(
            "it is a {} here; write ${place}::type for another",
            type_name(data_type)
        ))
    };
    let plain = match text.as_bytes().first() {
        Some(b'n') => {
            return ScalarValue::try_new_null(data_type)
                .map_err(|_| wrong("null has no such type"));
        }
        Some(b'"') => {
            serde_json::from_str::<String>(text).map_err(|error| wrong(&error.to_string()))?
        }
        Some(b't' | b'f') if *data_type == DataType::Boolean => {
            return Ok(ScalarValue::Boolean(Some(text == "true")));
        }
        Some(b't' | b'f') if is_text(data_type) => text.to_string(),
        Some(b'-' | b'0'..=b'9') if data_type.is_numeric() || is_text(data_type) => {
            text.to_string()
        }
        _ => return Err(wrong(&format!("{text} is no {}", type_name(data_type)))),
    };
    let shown = format!("{plain:?} is no {}", type_name(data_type));
    ScalarValue::Utf8(Some(plain)).cast_to(data_type).map_err(|_| wrong(&shown))
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(list: &str, types: &[DataType]) -> Result<Vec<ScalarValue>, AnalyzeError> {
        values(&serde_json::from_str::<Vec<Box<RawValue>>>(list).unwrap(), types)
    }

    #[test]
    fn values_take_the_types_of_their_places_and_keep_their_digits() {
        let types = [
            DataType::Decimal128(38, 2),
            DataType::Int64,
            DataType::Utf8,
            DataType::Boolean,
            DataType::Date32,
            DataType::Int32,
            DataType::Utf8View,
        ];
        let list =
            r#"[123456789012345678901.25, 9007199254740993, "be\n", true, "1970-01-02", null, 7]"#;
        let read = read(list, &types).unwrap();
        assert_eq!(read[0], ScalarValue::Decimal128(Some(12_345_678_901_234_567_890_125), 38, 2));
        assert_eq!(read[1], ScalarValue::Int64(Some(9_007_199_254_740_993)));
        assert_eq!(read[2], ScalarValue::Utf8(Some("be\n".into())));
        assert_eq!(read[3], ScalarValue::Boolean(Some(true)));
        assert_eq!(read[4], ScalarValue::Date32(Some(1)));
        assert_eq!(read[5], ScalarValue::Int32(None));
        assert_eq!(read[6], ScalarValue::Utf8View(Some("7".into())));
    }

    #[test]
    fn what_does_not_fit_names_its_parameter() {
        for (list, types, said) in [
            ("[1]", vec![], "0 parameters, and 1"),
            ("[\"x\"]", vec![DataType::Int64], "parameter $1: \"x\" is no"),
            ("[1, 2]", vec![DataType::Int64, DataType::Date32], "parameter $2: 2 is no"),
            ("[true]", vec![DataType::Int64], "parameter $1: true is no"),
            ("[[1]]", vec![DataType::Int64], "parameter $1: [1] is no"),
            ("[1e30]", vec![DataType::Int64], "parameter $1"),
        ] {
            let error = read(list, &types).unwrap_err();
            assert!(error.message.contains(said), "{list}: {error}");
        }
    }
}
