//! The relations of `pg_catalog` and `information_schema`: their names, oids and columns.
//!
//! Guarantees: columns are those of PostgreSQL 15 in its order; a relation that is not filled here
//! is empty and has its columns all the same.
//! Left out: rows, which `relations` and `data/views.sql` make.

use super::types::Type;
use super::value::Value;
use std::collections::HashMap;
use std::sync::LazyLock;

/// A relation of the catalogue's own.
#[derive(Debug)]
pub(crate) struct Definition {
    /// `pg_catalog` or `information_schema`.
    pub(crate) schema: &'static str,
    pub(crate) name: &'static str,
    /// PostgreSQL's oid; 0 where it has no fixed one.
    pub(crate) oid: u32,
    /// `r` or `v`.
    pub(crate) kind: char,
    pub(crate) columns: Vec<Column>,
    /// The query of a view that we fill.
    pub(crate) query: Option<&'static str>,
}

/// A column of one.
#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) ty: Type,
    pub(crate) nullable: bool,
}

struct Registry {
    all: Vec<Definition>,
    places: HashMap<(&'static str, &'static str), usize>,
}

static REGISTRY: LazyLock<Registry> = LazyLock::new(|| {
    let views = views();
    let all: Vec<Definition> =
        include_str!("data/relations.txt").lines().map(|line| definition(line, &views)).collect();
    let places = all.iter().enumerate().map(|(at, one)| ((one.schema, one.name), at)).collect();
    Registry { all, places }
});

fn definition(line: &'static str, views: &HashMap<&'static str, &'static str>) -> Definition {
    let mut words = line.split(' ');
    let mut next = || words.next().expect("a name, an oid and a kind, as written");
    let (full, oid, kind) = (next(), next(), next());
    let (schema, name) = full.split_once('.').unwrap_or(("pg_catalog", full));
    let columns = words.map(|word| {
        let (name, ty) = word.split_once(':').expect("a column and its type, as written");
        let nullable = !ty.ends_with('!');
        let ty = ty.trim_end_matches('!');
        let ty = if ty == "char" {
            Type::CHAR
        } else {
            Type::named(ty).map_or(Type::TEXT, |(ty, _)| ty)
        };
        Column { name, ty, nullable }
    });
    Definition {
        schema,
        name,
        oid: oid.parse().expect("an oid, as written"),
        kind: kind.chars().next().expect("a letter, as written"),
        columns: columns.collect(),
        query: views.get(full).copied(),
    }
}

/// The queries in `data/views.sql`, by the names in the comments before them.
fn views() -> HashMap<&'static str, &'static str> {
    let text = include_str!("data/views.sql");
    text.split("\n-- view ")
        .skip(1)
        .filter_map(|part| part.split_once('\n'))
        .flat_map(|(names, query)| names.split(' ').map(move |name| (name, query.trim())))
        .collect()
}

/// Every relation.
pub(crate) fn all() -> &'static [Definition] {
    &REGISTRY.all
}

/// The relation of that name.
pub(crate) fn find(schema: &str, name: &str) -> Option<&'static Definition> {
    REGISTRY.places.get(&(schema, name)).map(|at| &REGISTRY.all[*at])
}

impl Definition {
    pub(crate) fn position(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|one| one.name == column)
    }
}

/// Makes rows of a relation of which only some columns say something: the others are null, or where
/// they may not be, zero, false and empty.
pub(crate) struct Maker {
    template: Vec<Value>,
    places: Vec<usize>,
    rows: Vec<Vec<Value>>,
}

impl Maker {
    pub(crate) fn new(definition: &Definition, columns: &[&str]) -> Self {
        let template = definition.columns.iter().map(|column| match column.ty {
            _ if column.nullable => Value::Null,
            Type::BOOL => Value::Bool(false),
            ty if ty.is_whole() => Value::Int(0),
            Type::FLOAT4 | Type::FLOAT8 => Value::Float(0.0),
            ty if ty.element().is_some() => Value::array([]),
            _ => Value::text(""),
        });
        let place = |name: &&str| definition.position(name).expect("a column of the relation");
        Self {
            template: template.collect(),
            places: columns.iter().map(place).collect(),
            rows: Vec::new(),
        }
    }

    pub(crate) fn push<const N: usize>(&mut self, values: [Value; N]) {
        debug_assert_eq!(N, self.places.len());
        let mut row = self.template.clone();
        for (place, value) in self.places.iter().zip(values) {
            row[*place] = value;
        }
        self.rows.push(row);
    }

    pub(crate) fn rows(self) -> Vec<Vec<Value>> {
        self.rows
    }
}
