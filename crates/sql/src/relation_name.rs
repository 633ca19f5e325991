//! Names of relations: `table`, `schema.table`, `catalog.schema.table`.
//!
//! Guarantees: a relation has one key. The catalogue is one, [`CATALOG`], and what stands in
//! [`PUBLIC`] is known by its name alone.
//! Left out: whether there is such a schema.

/// The one catalog.
pub const CATALOG: &str = "tradewind";
/// The schema of what names none.
pub const PUBLIC: &str = "public";
/// Schemas that are there of themselves and hold nothing anybody made.
pub const SYSTEM_SCHEMAS: [&str; 3] = ["sys", "information_schema", "pg_catalog"];

/// The key of the parts of a name, as they are looked up. A catalog other than ours stays in it, so
/// that nothing is found.
pub fn relation_key(mut parts: Vec<String>) -> String {
    if parts.len() == 3 && parts[0] == CATALOG {
        parts.remove(0);
    }
    if parts.len() == 2 && parts[0] == PUBLIC {
        parts.remove(0);
    }
    parts.join(".")
}

/// The schema of a key and the name in it.
pub fn split_key(key: &str) -> (&str, &str) {
    key.split_once('.').unwrap_or((PUBLIC, key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relation_has_one_key() {
        let key = |text: &str| relation_key(text.split('.').map(str::to_string).collect());
        assert_eq!(key("t"), "t");
        assert_eq!(key("public.t"), "t");
        assert_eq!(key("tradewind.public.t"), "t");
        assert_eq!(key("tradewind.s.t"), "s.t");
        assert_eq!(key("other.s.t"), "other.s.t");
        assert_eq!((split_key("t"), split_key("s.t")), (("public", "t"), ("s", "t")));
    }
}
