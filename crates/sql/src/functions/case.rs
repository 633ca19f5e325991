//! `UPPER`, `LOWER`, `INITCAP`.
//!
//! Guarantees: by Unicode's rules, whatever the language of the machine; in `INITCAP` a word is a
//! run of ASCII letters and digits, and other letters stay, as in Flink.
//! Left out: special cases of one language.

use super::function::{Function, TEXT, Takes};
use datafusion::logical_expr::ScalarUDF;
use std::sync::Arc;

pub(super) fn all() -> Vec<Arc<ScalarUDF>> {
    vec![
        Function::new("upper", &[Takes::Text], TEXT, |call| {
            let text = call.text(0);
            call.texts(|row, out| {
                Ok(text
                    .get(row)
                    .map(|text| out.extend(text.chars().flat_map(char::to_uppercase)))
                    .is_some())
            })
        })
        .shared(),
        Function::new("lower", &[Takes::Text], TEXT, |call| {
            let text = call.text(0);
            call.texts(|row, out| {
                Ok(text
                    .get(row)
                    .map(|text| out.extend(text.chars().flat_map(char::to_lowercase)))
                    .is_some())
            })
        })
        .shared(),
        Function::new("initcap", &[Takes::Text], TEXT, |call| {
            let text = call.text(0);
            call.texts(|row, out| Ok(text.get(row).map(|text| initcap(text, out)).is_some()))
        })
        .shared(),
    ]
}

fn initcap(text: &str, out: &mut String) {
    let mut inside = false;
    for letter in text.chars() {
        out.push(if inside { letter.to_ascii_lowercase() } else { letter.to_ascii_uppercase() });
        inside = letter.is_ascii_alphanumeric();
    }
}
