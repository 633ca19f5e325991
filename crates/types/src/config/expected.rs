//! What a setting accepts, in words.
//!
//! Guarantees: every bound of a kind is named, in the units it is written in.
//! Left out: checking values, which reading does (`layers`).

use super::settings::Kind;
use super::units::{bytes_text, duration_text};

impl Kind {
    /// What is accepted, in words: `a size from 1 MiB to 1 TiB, as in "64 MB"`.
    pub fn expected(&self) -> String {
        match self {
            Self::Address => r#"an address, as in "127.0.0.1:8080""#.to_owned(),
            Self::Bytes { min, max } => {
                format!("a size from {} to {}, as in \"64 MB\"", bytes_text(*min), bytes_text(*max))
            }
            Self::Milliseconds { min, max } => {
                let (min, max) = (duration_text(*min), duration_text(*max));
                format!("a time from {min} to {max}, as in \"60 s\"")
            }
            Self::Hours { min, max } => {
                format!("a number of hours from {min} to {max}, as in 24 or \"7 d\"")
            }
            Self::Count { min, max } => format!("a whole number from {min} to {max}"),
            Self::Flag => "true or false".to_owned(),
            Self::OneOf(words) => {
                let quoted: Vec<_> = words.iter().map(|word| format!("{word:?}")).collect();
                quoted.join(" or ")
            }
            Self::WriteKeys => concat!(
                "a list of at least one { key = \"...\", store_id = \"...\", source = \"...\" }: ",
                "optionally a bearer_token; no key twice, no colon in a key, and letters, digits and . _ - in the other two"
            )
            .to_owned(),
            Self::OrNone(inner) => format!("{}, or \"none\"", inner.expected()),
        }
    }
}
