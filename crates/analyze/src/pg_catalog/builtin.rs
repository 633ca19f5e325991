//! What PostgreSQL has of itself and clients join with: access methods, collations, languages.
//!
//! Guarantees: names and oids are PostgreSQL's.
//! Left out: operators and their families, which nobody joins with here.

use super::context::Row;
use super::registry::{Definition, Maker};
use super::relations::{int, text};
use super::snapshot::OWNER;
use super::types::Type;
use super::value::Value;

/// Access methods of PostgreSQL's, by oid.
const METHODS: [(u32, &str, u32, &str); 3] =
    [(2, "heap", 3, "t"), (403, "btree", 330, "i"), (405, "hash", 331, "i")];
pub(super) const HEAP: u32 = 2;
pub(super) const BTREE: u32 = 403;
/// The collation that texts have.
const DEFAULT_COLLATION: u32 = 100;
/// `text_ops` and the like: what an index on texts is ordered by.
pub(super) const TEXT_OPS: u32 = 3126;

pub(super) fn methods(definition: &Definition) -> Vec<Row> {
    let mut maker = Maker::new(definition, &["oid", "amname", "amhandler", "amtype"]);
    for (oid, name, handler, kind) in METHODS {
        maker.push([int(oid), text(name), int(handler), text(kind)]);
    }
    maker.rows()
}

pub(super) fn collations(definition: &Definition) -> Vec<Row> {
    let columns = [
        "oid",
        "collname",
        "collnamespace",
        "collowner",
        "collprovider",
        "collisdeterministic",
        "collencoding",
    ];
    let mut maker = Maker::new(definition, &columns);
    for (oid, name, provider) in
        [(DEFAULT_COLLATION, "default", "d"), (950, "C", "c"), (951, "POSIX", "c")]
    {
        let yes = Value::Bool(true);
        maker.push([int(oid), text(name), int(11), int(OWNER), text(provider), yes, int(-1)]);
    }
    maker.rows()
}

pub(super) fn languages(definition: &Definition) -> Vec<Row> {
    let mut maker = Maker::new(definition, &["oid", "lanname", "lanowner", "lanpltrusted"]);
    for (oid, name, trusted) in [(12, "internal", false), (14, "sql", true)] {
        maker.push([int(oid), text(name), int(OWNER), Value::Bool(trusted)]);
    }
    maker.rows()
}

pub(super) fn tablespaces(definition: &Definition) -> Vec<Row> {
    let mut maker = Maker::new(definition, &["oid", "spcname", "spcowner"]);
    for (oid, name) in [(1663, "pg_default"), (1664, "pg_global")] {
        maker.push([int(oid), text(name), int(OWNER)]);
    }
    maker.rows()
}

pub(super) fn operator_classes(definition: &Definition) -> Vec<Row> {
    let columns =
        ["oid", "opcmethod", "opcname", "opcnamespace", "opcowner", "opcintype", "opcdefault"];
    let mut maker = Maker::new(definition, &columns);
    let yes = Value::Bool(true);
    let input = int(Type::TEXT.0);
    maker.push([int(TEXT_OPS), int(BTREE), text("text_ops"), int(11), int(OWNER), input, yes]);
    maker.rows()
}
