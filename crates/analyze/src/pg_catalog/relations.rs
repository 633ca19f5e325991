//! The rows of the catalogue's relations that have any.
//!
//! Guarantees: every oid that a row names is another row's, or one of PostgreSQL's own; a primary
//! key has its index and its constraint, though nobody enforces it.
//! Left out: the views over them, which are queries in `data/views.sql`.

use super::builtin::{self, BTREE, HEAP, TEXT_OPS};
use super::context::{Context, Row};
use super::procs;
use super::registry::{Definition, Maker};
use super::snapshot::{Column, DATABASE, FIRST_OID, Key, OWNER, Relation, namespace_oid, oid};
use super::types::{self, Type};
use super::value::Value;
use std::sync::Arc;
use tradewind_sql::split_key;

/// The oid of relation `pg_class`.
const PG_CLASS: u32 = 1259;
/// The oid of relation `pg_namespace`.
const PG_NAMESPACE: u32 = 2615;
/// The oid of relation `pg_rewrite`.
const PG_REWRITE: u32 = 2618;
const SETTINGS_CONTEXT: &str = "internal";

/// A relation's rows.
pub(crate) fn rows(context: &Context, definition: &'static Definition) -> Vec<Row> {
    match (definition.schema, definition.name) {
        ("pg_catalog", "pg_namespace") => namespaces(context, definition),
        ("pg_catalog", "pg_class") => classes(context, definition),
        ("pg_catalog", "pg_attribute") => attributes(context, definition),
        ("pg_catalog", "pg_type") => all_types(definition),
        ("pg_catalog", "pg_index") => indexes(context, definition),
        ("pg_catalog", "pg_constraint") => constraints(context, definition),
        ("pg_catalog", "pg_description") => descriptions(context, definition),
        ("pg_catalog", "pg_rewrite") => rules(context, definition),
        ("pg_catalog", "pg_depend") => dependencies(context, definition),
        ("pg_catalog", "pg_database") => databases(definition),
        ("pg_catalog", "pg_authid") => roles(context, definition),
        ("pg_catalog", "pg_proc") => functions(context, definition),
        ("pg_catalog", "pg_am") => builtin::methods(definition),
        ("pg_catalog", "pg_collation") => builtin::collations(definition),
        ("pg_catalog", "pg_language") => builtin::languages(definition),
        ("pg_catalog", "pg_tablespace") => builtin::tablespaces(definition),
        ("pg_catalog", "pg_settings") => settings(context, definition),
        ("pg_catalog", "pg_opclass") => builtin::operator_classes(definition),
        ("pg_catalog", "pg_stat_activity") => activity(context, definition),
        _ => Vec::new(),
    }
}

pub(super) fn int(number: impl Into<i64>) -> Value {
    Value::Int(number.into())
}

pub(super) fn text(text: impl AsRef<str>) -> Value {
    Value::text(text)
}

fn shared(text: &Arc<str>) -> Value {
    Value::Text(Arc::clone(text))
}

fn namespaces(context: &Context, definition: &Definition) -> Vec<Row> {
    let mut maker = Maker::new(definition, &["oid", "nspname", "nspowner"]);
    for (oid, name) in &context.snapshot.namespaces {
        maker.push([int(*oid), shared(name), int(OWNER)]);
    }
    maker.rows()
}

fn classes(context: &Context, definition: &Definition) -> Vec<Row> {
    let mut maker = Maker::new(
        definition,
        &[
            "oid",
            "relname",
            "relnamespace",
            "relkind",
            "relnatts",
            "relam",
            "relhasindex",
            "relhasrules",
            "relowner",
            "reltuples",
            "relpersistence",
            "relispopulated",
            "relreplident",
            "relfilenode",
        ],
    );
    let mut push = |oid, name, namespace, kind: char, columns: usize, method, indexed, stored| {
        maker.push([
            int(oid),
            name,
            int(namespace),
            text(kind.to_string()),
            int(columns as i64),
            int(method),
            Value::Bool(indexed),
            Value::Bool(kind == 'v' || kind == 'm'),
            int(OWNER),
            Value::Float(-1.0),
            text("p"),
            Value::Bool(true),
            text(if stored >= FIRST_OID && kind != 'i' { "d" } else { "n" }),
            int(stored),
        ]);
    };
    for one in &context.snapshot.relations {
        let (method, stored) = if one.kind == 'v' { (0, 0) } else { (HEAP, one.oid) };
        let (columns, indexed) = (one.columns.len(), one.key.is_some());
        push(one.oid, shared(&one.name), one.namespace, one.kind, columns, method, indexed, stored);
        if let Some(key) = &one.key {
            let columns = key.columns.len();
            let name = shared(&key.name);
            push(key.index, name, one.namespace, 'i', columns, BTREE, false, key.index);
        }
    }
    maker.rows()
}

fn attributes(context: &Context, definition: &Definition) -> Vec<Row> {
    let mut maker = Maker::new(
        definition,
        &[
            "attrelid",
            "attname",
            "atttypid",
            "attstattarget",
            "attlen",
            "attnum",
            "attndims",
            "attcacheoff",
            "atttypmod",
            "attbyval",
            "attalign",
            "attstorage",
            "attnotnull",
            "attislocal",
            "attcollation",
        ],
    );
    let mut push = |relation: u32, at: usize, column: &Column, not_null: bool| {
        let row = column.ty.row();
        let word = |at: usize| row.map_or("", |row| row.rest[at]);
        let collation = row.map_or(0, |row| row.collation);
        maker.push([
            int(relation),
            shared(&column.name),
            int(column.ty.0),
            int(-1),
            int(row.map_or(-1, |row| row.len)),
            int(at as i64 + 1),
            int(i32::from(column.ty.element().is_some() && !column.ty.is_vector())),
            int(-1),
            int(column.modifier),
            Value::Bool(word(0) == "t"),
            text(word(7)),
            text(word(8)),
            Value::Bool(not_null),
            Value::Bool(true),
            int(collation),
        ]);
    };
    for one in &context.snapshot.relations {
        for (at, column) in one.columns.iter().enumerate() {
            push(one.oid, at, column, !column.nullable);
        }
        if let Some(key) = &one.key {
            for (at, place) in key.columns.iter().enumerate() {
                push(key.index, at, &one.columns[*place], false);
            }
        }
    }
    maker.rows()
}

/// Columns of `pg_type` that come as they are written in `data/types.txt`, behind oid, name and
/// length.
const TYPE_COLUMNS: [&str; 17] = [
    "typbyval",
    "typtype",
    "typcategory",
    "typispreferred",
    "typdelim",
    "typelem",
    "typarray",
    "typalign",
    "typstorage",
    "typcollation",
    "typinput",
    "typoutput",
    "typreceive",
    "typsend",
    "typsubscript",
    "typmodin",
    "typmodout",
];

fn all_types(definition: &Definition) -> Vec<Row> {
    let fixed =
        ["oid", "typname", "typlen", "typnamespace", "typowner", "typisdefined", "typtypmod"];
    let mut maker = Maker::new(definition, &fixed);
    for row in types::all() {
        maker.push([
            int(row.ty.0),
            text(row.name),
            int(row.len),
            int(namespace_oid("pg_catalog")),
            int(OWNER),
            Value::Bool(true),
            int(-1),
        ]);
    }
    let mut rows = maker.rows();
    let places = TYPE_COLUMNS.map(|name| definition.position(name).expect("a column of pg_type"));
    for (row, of) in rows.iter_mut().zip(types::all()) {
        // In the file the collation stands behind what says how it is stored.
        for (place, word) in places.iter().zip(&of.rest) {
            row[*place] = types::written(definition.columns[*place].ty, word);
        }
    }
    rows
}

fn keyed(context: &Context) -> impl Iterator<Item = (&Relation, &Key)> {
    context.snapshot.relations.iter().filter_map(|one| Some((one, one.key.as_ref()?)))
}

fn indexes(context: &Context, definition: &Definition) -> Vec<Row> {
    let mut maker = Maker::new(
        definition,
        &[
            "indexrelid",
            "indrelid",
            "indnatts",
            "indnkeyatts",
            "indisunique",
            "indisprimary",
            "indimmediate",
            "indisvalid",
            "indisready",
            "indislive",
            "indkey",
            "indcollation",
            "indclass",
            "indoption",
        ],
    );
    for (relation, key) in keyed(context) {
        let count = key.columns.len() as i64;
        let yes = || Value::Bool(true);
        let each = |of: &dyn Fn(usize) -> i64| {
            Value::array(key.columns.iter().map(|at| Value::Int(of(*at))))
        };
        let collation = |at: usize| {
            let row = relation.columns[at].ty.row();
            i64::from(row.map_or(0, |row| row.collation))
        };
        maker.push([
            int(key.index),
            int(relation.oid),
            int(count),
            int(count),
            yes(),
            yes(),
            yes(),
            yes(),
            yes(),
            yes(),
            each(&|at| at as i64 + 1),
            each(&collation),
            each(&|_| TEXT_OPS.into()),
            each(&|_| 0),
        ]);
    }
    maker.rows()
}

fn constraints(context: &Context, definition: &Definition) -> Vec<Row> {
    let mut maker = Maker::new(
        definition,
        &[
            "oid",
            "conname",
            "connamespace",
            "contype",
            "convalidated",
            "conrelid",
            "conindid",
            "confupdtype",
            "confdeltype",
            "confmatchtype",
            "conislocal",
            "connoinherit",
            "conkey",
        ],
    );
    for (relation, key) in keyed(context) {
        maker.push([
            int(key.constraint),
            shared(&key.name),
            int(relation.namespace),
            text("p"),
            Value::Bool(true),
            int(relation.oid),
            int(key.index),
            text(" "),
            text(" "),
            text(" "),
            Value::Bool(true),
            Value::Bool(true),
            Value::array(key.columns.iter().map(|at| Value::Int(*at as i64 + 1))),
        ]);
    }
    maker.rows()
}

fn descriptions(context: &Context, definition: &Definition) -> Vec<Row> {
    let mut maker = Maker::new(definition, &["objoid", "classoid", "objsubid", "description"]);
    for one in &context.snapshot.relations {
        let of_columns =
            (1_i64..).zip(&one.columns).map(|(at, column)| (at, column.comment.as_ref()));
        for (at, comment) in std::iter::once((0, one.comment.as_ref())).chain(of_columns) {
            if let Some(comment) = comment {
                maker.push([int(one.oid), int(PG_CLASS), int(at), text(comment)]);
            }
        }
    }
    for (name, comment) in &context.snapshot.schemas {
        if let Some(comment) = comment {
            maker.push([int(namespace_oid(name)), int(PG_NAMESPACE), int(0), text(comment)]);
        }
    }
    maker.rows()
}

/// A view and the number of the rule that it is in PostgreSQL.
fn views(context: &Context) -> impl Iterator<Item = (&Relation, u32)> {
    let views = context.snapshot.relations.iter().filter(|one| !one.reads.is_empty());
    views.map(|one| (one, oid("rule", &one.schema, &one.name)))
}

fn rules(context: &Context, definition: &Definition) -> Vec<Row> {
    let columns = ["oid", "rulename", "ev_class", "ev_type", "ev_enabled", "is_instead"];
    let mut maker = Maker::new(definition, &columns);
    for (view, rule) in views(context) {
        let yes = Value::Bool(true);
        maker.push([int(rule), text("_RETURN"), int(view.oid), text("1"), text("O"), yes]);
    }
    maker.rows()
}

/// Which relations a view reads, and that its rule is a part of it.
fn dependencies(context: &Context, definition: &Definition) -> Vec<Row> {
    let columns = ["classid", "objid", "refclassid", "refobjid", "deptype"];
    let mut maker = Maker::new(definition, &columns);
    for (view, rule) in views(context) {
        let mut push = |on: u32, kind| {
            maker.push([int(PG_REWRITE), int(rule), int(PG_CLASS), int(on), text(kind)]);
        };
        push(view.oid, "i");
        for key in &view.reads {
            let (schema, name) = split_key(key);
            if let Some(on) = context.snapshot.named(schema, name) {
                push(on, "n");
            }
        }
    }
    maker.rows()
}

fn databases(definition: &Definition) -> Vec<Row> {
    let columns = [
        "oid",
        "datname",
        "datdba",
        "encoding",
        "datlocprovider",
        "datallowconn",
        "datconnlimit",
        "dattablespace",
        "datcollate",
        "datctype",
    ];
    let mut maker = Maker::new(definition, &columns);
    maker.push([
        int(oid("database", "", DATABASE)),
        text(DATABASE),
        int(OWNER),
        int(6),
        text("c"),
        Value::Bool(true),
        int(-1),
        int(1663),
        text("C"),
        text("C"),
    ]);
    maker.rows()
}

fn roles(context: &Context, definition: &Definition) -> Vec<Row> {
    let columns = [
        "oid",
        "rolname",
        "rolconnlimit",
        "rolsuper",
        "rolinherit",
        "rolcreaterole",
        "rolcreatedb",
        "rolcanlogin",
        "rolreplication",
        "rolbypassrls",
    ];
    let mut maker = Maker::new(definition, &columns);
    let yes = || Value::Bool(true);
    let name = text(context.identity.user());
    // As PostgreSQL's first role: nothing is forbidden to it that can be done at all.
    maker.push([int(OWNER), name, int(-1), yes(), yes(), yes(), yes(), yes(), yes(), yes()]);
    maker.rows()
}

fn functions(context: &Context, definition: &Definition) -> Vec<Row> {
    let mut maker = Maker::new(
        definition,
        &[
            "oid",
            "proname",
            "pronamespace",
            "proowner",
            "prolang",
            "procost",
            "provariadic",
            "prokind",
            "proretset",
            "provolatile",
            "proparallel",
            "pronargs",
            "prorettype",
            "proargtypes",
            "prosrc",
        ],
    );
    for one in procs::all() {
        let arguments = Value::array(one.arguments.iter().map(|ty| int(ty.0)));
        maker.push([
            int(one.oid),
            text(one.name),
            int(11),
            int(OWNER),
            int(12),
            Value::Float(1.0),
            int(0),
            text(one.kind),
            Value::Bool(one.returns_set),
            text(one.volatile),
            text("s"),
            int(one.arguments.len() as i64),
            int(one.result.0),
            arguments,
            text(one.name),
        ]);
    }
    let own = context.snapshot.functions.iter();
    for (name, kind) in own.filter(|(name, _)| !procs::is_known(name)) {
        maker.push([
            int(procs::own_oid(name)),
            text(name),
            int(11),
            int(OWNER),
            int(12),
            Value::Float(1.0),
            int(Type::ANY.0),
            text(kind.to_string()),
            Value::Bool(false),
            text("i"),
            text("s"),
            int(0),
            int(Type::ANY.0),
            Value::array([]),
            text(name),
        ]);
    }
    maker.rows()
}

fn settings(context: &Context, definition: &Definition) -> Vec<Row> {
    let columns = [
        "name",
        "setting",
        "category",
        "short_desc",
        "context",
        "vartype",
        "source",
        "boot_val",
        "reset_val",
        "pending_restart",
    ];
    let mut maker = Maker::new(definition, &columns);
    let mut push = |name: &str, value: &str, default: &str, source: &str, description: &str| {
        maker.push([
            text(name),
            text(value),
            text("Tradewind"),
            text(description),
            text(SETTINGS_CONTEXT),
            text("string"),
            text(source),
            text(default),
            text(value),
            Value::Bool(false),
        ]);
    };
    for (name, value) in context.identity.settings() {
        push(&name, &value, &value, "session", "");
    }
    for one in &context.snapshot.settings {
        push(&one.name, &one.value, &one.default, &one.source, &one.description);
    }
    maker.rows()
}

/// The session that asks. Of others nothing is known here.
fn activity(context: &Context, definition: &Definition) -> Vec<Row> {
    let columns = [
        "datid",
        "datname",
        "pid",
        "usesysid",
        "usename",
        "application_name",
        "backend_start",
        "state",
        "backend_type",
    ];
    let mut maker = Maker::new(definition, &columns);
    let application = context.identity.setting("application_name");
    maker.push([
        int(oid("database", "", DATABASE)),
        text(DATABASE),
        int(std::process::id()),
        int(OWNER),
        text(context.identity.user()),
        application.map_or_else(|| text(""), text),
        Value::Micros(context.started_at),
        text("active"),
        text("client backend"),
    ]);
    maker.rows()
}
