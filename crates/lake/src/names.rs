//! Names of tables, data files and partition folders (`docs/formats/lake.md`).
//!
//! Guarantees: a staged file's name says who wrote it and in which epoch, and reads back exactly;
//! every name is safe in a URL and in a file system without escaping.
//! Left out: where files are; see `store`.

use tradewind_types::Epoch;

/// A writer's name with its escapes must leave room for the rest of a file name (255 bytes).
const WRITER_BYTES_MAX: usize = 150;
/// Folder names are for people; the values themselves are in the log.
const FOLDER_VALUE_CHARS_MAX: usize = 64;
const TABLE_CHARS_MAX: usize = 128;
/// Names a table of which it is open whether it stays.
pub(crate) const UNSETTLED_SUFFIX: &str = ".unsettled";
/// What the names of markers beside a table's folder end in, behind a dot.
const MARKERS: [&str; 2] = ["dropping", "unsettled"];

/// What the name of a staged file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StagedName {
    pub(crate) writer: String,
    pub(crate) epoch: Epoch,
    /// Microseconds since the Unix epoch when it was begun.
    pub(crate) stamp_us: i64,
}

/// The file name of `number` of an epoch.
pub(crate) fn staged(writer: &str, epoch: Epoch, number: usize, stamp_us: i64) -> String {
    format!("part-{epoch:020}-{number:04}-{stamp_us:016x}-{}.parquet", escape(writer))
}

/// Reads a staged file's name back; `None` for any other file.
pub(crate) fn parse_staged(file_name: &str) -> Option<StagedName> {
    let rest = file_name.strip_prefix("part-")?.strip_suffix(".parquet")?;
    let mut parts = rest.splitn(4, '-');
    let epoch = parts.next().filter(|part| part.len() == 20)?.parse().ok()?;
    parts.next().filter(|part| part.len() >= 4)?.parse::<usize>().ok()?;
    let stamp_us = i64::from_str_radix(parts.next().filter(|part| part.len() == 16)?, 16).ok()?;
    Some(StagedName { writer: unescape(parts.next()?)?, epoch, stamp_us })
}

/// The file name of `number` of a compaction.
pub(crate) fn compacted(number: usize, stamp_us: i64) -> String {
    format!("compact-{stamp_us:016x}-{number:04}.parquet")
}

/// The file name of `number` of a statement's batch.
pub(crate) fn inserted(id: &str, number: usize, stamp_us: i64) -> String {
    format!("insert-{stamp_us:016x}-{number:04}-{id}.parquet")
}

/// The batch a file is of; `None` for any other file.
pub(crate) fn inserted_by(file_name: &str) -> Option<&str> {
    let rest = file_name.strip_prefix("insert-")?.strip_suffix(".parquet")?;
    rest.splitn(3, '-').nth(2)
}

/// When a file of ours was begun, microseconds since the Unix epoch, by its name.
pub(crate) fn stamp_us(file_name: &str) -> Option<i64> {
    if let Some(staged) = parse_staged(file_name) {
        return Some(staged.stamp_us);
    }
    let rest = file_name.strip_prefix("compact-").or_else(|| file_name.strip_prefix("insert-"))?;
    i64::from_str_radix(rest.get(..16)?, 16).ok()
}

/// The folder of one value of a partition column.
pub(crate) fn folder(column: &str, value: Option<&str>) -> String {
    let value = match value {
        None | Some("") => "__HIVE_DEFAULT_PARTITION__".to_owned(),
        Some(value) => plain(value),
    };
    format!("{}={value}", plain(column))
}

fn plain(text: &str) -> String {
    let keep = |c: char| if c.is_ascii_alphanumeric() || "-._".contains(c) { c } else { '_' };
    text.chars().take(FOLDER_VALUE_CHARS_MAX).map(keep).collect()
}

/// Whether a table's folder may be called so: `table`, `schema.table`, and where that name was
/// taken `table-2`.
pub(crate) fn table_name_allowed(name: &str) -> bool {
    let (name, number) = name.split_once('-').unwrap_or((name, "2"));
    let (first, second) = name.split_once('.').unwrap_or(("s", name));
    let plain = |part: &str| {
        !part.is_empty()
            && !part.starts_with('_')
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    let numbered = number.bytes().all(|byte| byte.is_ascii_digit()) && !number.is_empty();
    // `schema.dropping` would be the marker of a drop.
    let marker = name.contains('.') && MARKERS.contains(&second);
    numbered && name.len() <= TABLE_CHARS_MAX && plain(first) && plain(second) && !marker
}

/// Whether a writer's name fits into file names.
pub(crate) fn writer_allowed(writer: &str) -> bool {
    !writer.is_empty() && escape(writer).len() <= WRITER_BYTES_MAX
}

fn escape(writer: &str) -> String {
    let mut escaped = String::with_capacity(writer.len());
    for byte in writer.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.' {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("_{byte:02x}"));
        }
    }
    escaped
}

fn unescape(escaped: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some(first) = rest.chars().next() {
        if first == '_' {
            bytes.push(u8::from_str_radix(rest.get(1..3)?, 16).ok()?);
            rest = &rest[3..];
        } else {
            bytes.push(u8::try_from(u32::from(first)).ok().filter(u8::is_ascii)?);
            rest = &rest[first.len_utf8()..];
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn staged_names_read_back(writer in ".{1,30}", epoch: u64, number in 0usize..20_000, stamp in 0i64..) {
            let name = staged(&writer, epoch, number, stamp);
            prop_assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)));
            prop_assert_eq!(parse_staged(&name), Some(StagedName { writer, epoch, stamp_us: stamp }));
            prop_assert_eq!(stamp_us(&name), Some(stamp));
        }

        #[test]
        fn any_text_is_no_panic(text in ".{0,80}") {
            parse_staged(&text);
            stamp_us(&text);
            folder(&text, Some(&text));
        }
    }

    #[test]
    fn other_files_are_not_ours() {
        for name in ["part-00000-7b0c-c000.snappy.parquet", "x.parquet", "part-.parquet"] {
            assert_eq!(parse_staged(name), None, "{name}");
            assert_eq!(stamp_us(name), None, "{name}");
        }
        assert_eq!(stamp_us(&compacted(3, 77)), Some(77));
        assert_eq!(stamp_us(&inserted("abc", 3, 77)), Some(77));
        assert_eq!(inserted_by(&inserted("abc", 3, 77)), Some("abc"));
        assert_eq!(inserted_by(&compacted(3, 77)), None);
    }

    #[test]
    fn folders_are_plain() {
        assert_eq!(folder("store_id", Some("A/B é%")), "store_id=A_B___");
        assert_eq!(folder("store_id", None), "store_id=__HIVE_DEFAULT_PARTITION__");
    }

    #[test]
    fn table_names() {
        for name in ["order_lines2", "dbt.orders", "orders-2", "dbt.orders-13"] {
            assert!(table_name_allowed(name), "{name}");
        }
        let bad = ["", "_delta_log", "a b", "a/b", "é", "..", ".a", "a.", "a.b.c", "a-", "a-b"];
        for name in bad.into_iter().chain(["a.dropping", "a.unsettled", "a._b"]) {
            assert!(!table_name_allowed(name), "{name}");
        }
    }
}
