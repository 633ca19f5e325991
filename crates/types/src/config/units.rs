//! Sizes and durations as people write them: `64 MB`, `1 GiB`, `60 s`, `7 d`.
//!
//! Guarantees: what [`bytes_text`] and [`duration_text`] print reads back as the same number;
//! a number without a unit is bytes or milliseconds; fractions are refused, not rounded.
//! Left out: months and years, which have no fixed length.

/// Unit names and their bytes; decimal as on a disk's label, binary with the `i`.
const BYTES: &[(&str, u64)] = &[
    ("B", 1),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// Unit names and their milliseconds.
const DURATIONS: &[(&str, u64)] =
    &[("ms", 1), ("s", 1_000), ("min", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Bytes from `64 MB`, `64MiB`, `4096`. Units in any case.
pub fn bytes(text: &str) -> Option<u64> {
    amount(text, BYTES)
}

/// Milliseconds from `60 s`, `500ms`, `7 d`, `1500`. Units in any case.
pub(super) fn milliseconds(text: &str) -> Option<u64> {
    amount(text, DURATIONS)
}

fn amount(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let digits_end = text.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(text.len());
    let (digits, unit) = text.split_at(digits_end);
    let number: u64 = digits.replace('_', "").parse().ok()?;
    let unit = unit.trim_start();
    if unit.is_empty() {
        return Some(number);
    }
    let (_, factor) = units.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
    number.checked_mul(*factor)
}

/// `64 MB`: in the largest unit that divides it.
pub fn bytes_text(bytes: u64) -> String {
    in_largest_unit(bytes, BYTES)
}

/// `60 s` is `1 min`: in the largest unit that divides it.
pub fn duration_text(milliseconds: u64) -> String {
    in_largest_unit(milliseconds, DURATIONS)
}

fn in_largest_unit(number: u64, units: &[(&str, u64)]) -> String {
    let dividing = units.iter().filter(|(_, factor)| number.is_multiple_of(*factor));
    let (name, factor) = match dividing.max_by_key(|(_, factor)| *factor) {
        Some(unit) if number > 0 => *unit,
        _ => units[0],
    };
    format!("{} {name}", number / factor)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_people_write() {
        assert_eq!(bytes("64 MB"), Some(64_000_000));
        assert_eq!(bytes("64MiB"), Some(64 << 20));
        assert_eq!(bytes(" 1 gib "), Some(1 << 30));
        assert_eq!(bytes("4_096"), Some(4_096));
        assert_eq!(milliseconds("60 s"), Some(60_000));
        assert_eq!(milliseconds("7d"), Some(604_800_000));
        assert_eq!(milliseconds("250"), Some(250));
    }

    #[test]
    fn refuses_what_has_no_one_meaning() {
        for text in ["", "MB", "1.5 GB", "-1", "64 M", "1 MB 2", "99999999999 TB", "1 month"] {
            assert_eq!(bytes(text), None, "{text}");
        }
        assert_eq!(milliseconds("5 m"), None, "minutes or months");
    }

    proptest! {
        #[test]
        fn prints_what_it_reads(number in any::<u64>()) {
            prop_assert_eq!(bytes(&bytes_text(number)), Some(number));
            prop_assert_eq!(milliseconds(&duration_text(number)), Some(number));
        }
    }
}
