//! Functions as objects: their oids, and what they take and give.
//!
//! Guarantees: a function that PostgreSQL has too has its oid and its types.
//! Left out: the argument types of DataFusion's functions, which take whatever fits.

use super::context::Context;
use super::snapshot::oid as object_oid;
use super::types::Type;
use std::collections::HashMap;
use std::sync::LazyLock;

/// A function of PostgreSQL's that is here too.
#[derive(Debug)]
pub(crate) struct Proc {
    pub(crate) oid: u32,
    pub(crate) name: &'static str,
    /// `f`, `a`, `w` or `p`.
    pub(crate) kind: &'static str,
    pub(crate) returns_set: bool,
    pub(crate) volatile: &'static str,
    pub(crate) result: Type,
    pub(crate) arguments: Vec<Type>,
}

static PROCS: LazyLock<(Vec<Proc>, HashMap<&'static str, usize>)> = LazyLock::new(|| {
    let procs: Vec<Proc> = include_str!("data/procs.txt").lines().map(parse).collect();
    let mut by_name = HashMap::new();
    for (at, one) in procs.iter().enumerate() {
        by_name.entry(one.name).or_insert(at);
    }
    (procs, by_name)
});

fn parse(line: &'static str) -> Proc {
    let words: Vec<&'static str> = line.split(' ').collect();
    let number = |word: &str| word.parse::<u32>().expect("an oid, as written");
    let arguments = match words[7] {
        "-" => Vec::new(),
        listed => listed.split(',').map(|word| Type(number(word))).collect(),
    };
    Proc {
        oid: number(words[0]),
        name: words[1],
        kind: words[2],
        returns_set: words[3] == "t",
        volatile: words[4],
        result: Type(number(words[6])),
        arguments,
    }
}

/// PostgreSQL's that are here too.
pub(crate) fn all() -> &'static [Proc] {
    &PROCS.0
}

pub(crate) fn is_known(name: &str) -> bool {
    PROCS.1.contains_key(name)
}

pub(crate) fn by_oid(oid: i64) -> Option<&'static Proc> {
    let at = PROCS.0.binary_search_by_key(&oid, |one| i64::from(one.oid)).ok()?;
    Some(&PROCS.0[at])
}

/// The oid of a function of that name.
pub(crate) fn oid(context: &Context, name: &str) -> Option<u32> {
    match PROCS.1.get(name) {
        Some(at) => Some(PROCS.0[*at].oid),
        None => {
            let there = context.snapshot.functions.iter().any(|(one, _)| one == name);
            there.then(|| own_oid(name))
        }
    }
}

/// The oid of a function that PostgreSQL does not have.
pub(crate) fn own_oid(name: &str) -> u32 {
    object_oid("function", "pg_catalog", name)
}

pub(crate) fn name(context: &Context, oid: i64) -> Option<String> {
    if let Some(found) = by_oid(oid) {
        return Some(found.name.to_string());
    }
    let mut names = context.snapshot.functions.iter().map(|(name, _)| name);
    names.find(|name| i64::from(own_oid(name)) == oid).cloned()
}
