//! Functions that say what an object is: its type, its definition, its comment.
//!
//! Guarantees: what is said of an object that is not there is null.
//! Left out: a view's query written anew from its plan; it is shown as its parser read it.

use super::context::Context;
use super::functions::Answer;
use super::procs;
use super::snapshot::{Key, PG_CATALOG, Relation};
use super::text::{quote_ident, str_of};
use super::types::Type;
use super::value::Value;
use crate::platform::PUBLIC;

/// The schemas that a name without one is looked for in.
pub(super) fn schemas(implicit: bool) -> Value {
    let all = [PG_CATALOG, PUBLIC];
    Value::array(all[usize::from(!implicit)..].iter().map(Value::text))
}

pub(super) fn is_visible(context: &Context, oid: &Value) -> Value {
    let Some(oid) = oid.as_int() else { return Value::Null };
    let relation =
        context.snapshot.relation(oid).or_else(|| context.snapshot.keyed(oid).map(|(one, _)| one));
    match relation {
        Some(relation) => Value::Bool([PG_CATALOG, PUBLIC].contains(&&*relation.schema)),
        None => Value::Null,
    }
}

/// A setting's value, as the session has set it or the server has it.
pub(super) fn setting(context: &Context, of: &[Value], missing_ok: bool) -> Answer {
    let name = str_of(&of[0]).to_lowercase();
    let server = || context.snapshot.settings.iter().find(|one| one.name == name);
    let own = context.identity.setting(&name).map(Value::text);
    match own.or_else(|| server().map(|found| Value::text(&found.value))) {
        Some(value) => Ok(value),
        None if missing_ok => Ok(Value::Null),
        None => Err(crate::variables::unknown(&name)),
    }
}

pub(super) fn format_type(of: &[Value]) -> Value {
    let Some(oid) = of[0].as_int() else { return Value::Null };
    let modifier = of[1].as_int().and_then(|number| i32::try_from(number).ok());
    match oid {
        0 => Value::text("-"),
        oid => Value::text(Type(u32::try_from(oid).unwrap_or(0)).format(modifier)),
    }
}

fn relation<'a>(context: &'a Context, of: &Value) -> Option<&'a Relation> {
    let oid = match of {
        Value::Int(oid) => *oid,
        name => super::cast::find(context, Type::REGCLASS, name).as_int()?,
    };
    context.snapshot.relation(oid)
}

pub(super) fn view(context: &Context, of: &[Value]) -> Answer {
    let query = relation(context, &of[0]).and_then(|relation| relation.query.as_ref());
    Ok(query.map_or(Value::Null, |query| Value::text(format!(" {query};"))))
}

fn key_columns(relation: &Relation, key: &Key) -> Vec<String> {
    key.columns.iter().map(|at| quote_ident(&relation.columns[*at].name)).collect()
}

pub(super) fn constraint(context: &Context, of: &[Value]) -> Answer {
    let found = of[0].as_int().and_then(|oid| context.snapshot.keyed(oid));
    Ok(found.map_or(Value::Null, |(relation, key)| {
        Value::text(format!("PRIMARY KEY ({})", key_columns(relation, key).join(", ")))
    }))
}

/// The index of a primary key; with a place, that column of it.
pub(super) fn index(context: &Context, of: &[Value]) -> Answer {
    let Some((relation, key)) = of[0].as_int().and_then(|oid| context.snapshot.keyed(oid)) else {
        return Ok(Value::Null);
    };
    let columns = key_columns(relation, key);
    match of.get(1).and_then(Value::as_int).unwrap_or(0) {
        0 => {
            // Shown to people, the schema is said only where it must be.
            let pretty = of.get(2).is_some_and(Value::is_true);
            let schema = match pretty && *relation.schema == *PUBLIC {
                true => String::new(),
                false => format!("{}.", quote_ident(&relation.schema)),
            };
            let (index, table) = (quote_ident(&key.name), quote_ident(&relation.name));
            let columns = columns.join(", ");
            let text =
                format!("CREATE UNIQUE INDEX {index} ON {schema}{table} USING btree ({columns})");
            Ok(Value::text(text))
        }
        at => {
            let column = usize::try_from(at - 1).ok().and_then(|at| columns.get(at));
            Ok(column.map_or_else(|| Value::text(""), Value::text))
        }
    }
}

pub(super) fn function_arguments(_: &Context, of: &[Value]) -> Answer {
    let found = of[0].as_int().and_then(procs::by_oid);
    Ok(Value::text(found.map_or_else(String::new, |found| {
        let types = found.arguments.iter().map(|ty| ty.format(None));
        types.collect::<Vec<_>>().join(", ")
    })))
}

pub(super) fn function_result(_: &Context, of: &[Value]) -> Answer {
    let found = of[0].as_int().and_then(procs::by_oid);
    Ok(Value::text(found.map_or_else(
        || Type::ANY.format(None),
        |found| {
            let set = if found.returns_set { "SETOF " } else { "" };
            format!("{set}{}", found.result.format(None))
        },
    )))
}

/// The comment of a relation or a schema; of nothing else are there any.
pub(super) fn object(context: &Context, of: &[Value]) -> Answer {
    let kind = of.get(1).map_or("", str_of);
    let snapshot = &context.snapshot;
    let relation = || of[0].as_int().and_then(|oid| snapshot.relation(oid)?.comment.clone());
    let schema = || {
        let name = snapshot.namespace(of[0].as_int()?)?;
        snapshot.schemas.get(name)?.clone()
    };
    let comment = match kind {
        "pg_class" => relation(),
        "pg_namespace" => schema(),
        "" => relation().or_else(schema),
        _ => None,
    };
    Ok(comment.map_or(Value::Null, Value::text))
}

pub(super) fn column(context: &Context, of: &[Value]) -> Answer {
    let relation = of[0].as_int().and_then(|oid| context.snapshot.relation(oid));
    let place = of[1].as_int().and_then(|at| usize::try_from(at - 1).ok());
    let comment = relation
        .zip(place)
        .and_then(|(relation, place)| relation.columns.get(place)?.comment.as_ref());
    Ok(comment.map_or(Value::Null, Value::text))
}
