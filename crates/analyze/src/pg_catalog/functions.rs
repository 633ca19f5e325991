//! PostgreSQL's functions about the catalogue and the session, and those that questions about the
//! catalogue are written with.
//!
//! Guarantees: names, arguments and results are PostgreSQL's; a function is null where an argument
//! is, unless it says otherwise.
//! Left out: functions of user data. A query of that is DataFusion's, with DataFusion's functions.

use super::cast;
use super::context::Context;
use super::describe;
use super::text;
use super::types::Type;
use super::value::Value;
use crate::error::AnalyzeError;
use std::collections::HashMap;
use std::sync::LazyLock;

pub(super) type Answer = Result<Value, AnalyzeError>;
type Body = fn(&Context, &[Value]) -> Answer;

/// A scalar function.
pub(crate) struct Function {
    pub(crate) name: &'static str,
    pub(crate) arguments: Vec<Argument>,
    /// Null where an argument is.
    pub(crate) strict: bool,
    pub(crate) result: Argument,
    pub(crate) body: Body,
}

/// The type of an argument or of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Argument {
    Of(Type),
    /// Whatever comes.
    Any,
    /// The type of the argument at that place.
    Same(usize),
}

/// `name(arguments) result`. `*` behind the name: not strict; `@0`: the type of the first argument.
const FUNCTIONS: &[(&str, Body)] = &[
    ("version() text", |_, _| Ok(Value::text(super::version()))),
    ("current_database() name", |_, _| Ok(Value::text(super::snapshot::DATABASE))),
    ("current_catalog() name", |_, _| Ok(Value::text(super::snapshot::DATABASE))),
    ("current_schema() name", |_, _| Ok(Value::text("public"))),
    ("current_schemas(bool) name[]", |_, of| Ok(describe::schemas(of[0].is_true()))),
    ("current_user() name", |context, _| Ok(Value::text(context.identity.user()))),
    ("session_user() name", |context, _| Ok(Value::text(context.identity.user()))),
    ("user() name", |context, _| Ok(Value::text(context.identity.user()))),
    ("current_role() name", |context, _| Ok(Value::text(context.identity.user()))),
    ("current_query() text", |_, _| Ok(Value::Null)),
    ("current_setting(text) text", |context, of| describe::setting(context, of, false)),
    ("current_setting(text,bool) text", |context, of| {
        describe::setting(context, of, of[1].is_true())
    }),
    ("set_config(text,text,bool) text", |_, of| Ok(of[1].clone())),
    ("pg_backend_pid() int4", |_, _| Ok(Value::Int(std::process::id().into()))),
    ("pg_get_userbyid(oid) name", |context, of| Ok(Value::text(context.role(&of[0])))),
    ("pg_table_is_visible(oid) bool", |context, of| Ok(describe::is_visible(context, &of[0]))),
    ("pg_type_is_visible(oid) bool", yes),
    ("pg_function_is_visible(oid) bool", yes),
    ("pg_operator_is_visible(oid) bool", yes),
    ("pg_opclass_is_visible(oid) bool", yes),
    ("pg_opfamily_is_visible(oid) bool", yes),
    ("pg_collation_is_visible(oid) bool", yes),
    ("pg_conversion_is_visible(oid) bool", yes),
    ("pg_statistics_obj_is_visible(oid) bool", yes),
    ("pg_ts_config_is_visible(oid) bool", yes),
    ("pg_ts_dict_is_visible(oid) bool", yes),
    ("pg_ts_parser_is_visible(oid) bool", yes),
    ("pg_ts_template_is_visible(oid) bool", yes),
    ("format_type*(oid,int4) text", |_, of| Ok(describe::format_type(of))),
    ("pg_get_expr(text,oid) text", |_, of| Ok(of[0].clone())),
    ("pg_get_expr(text,oid,bool) text", |_, of| Ok(of[0].clone())),
    ("pg_get_viewdef(any) text", describe::view),
    ("pg_get_viewdef(any,any) text", describe::view),
    ("pg_get_constraintdef(oid) text", describe::constraint),
    ("pg_get_constraintdef(oid,bool) text", describe::constraint),
    ("pg_get_indexdef(oid) text", describe::index),
    ("pg_get_indexdef(oid,int4,bool) text", describe::index),
    ("pg_get_ruledef(oid) text", nothing),
    ("pg_get_ruledef(oid,bool) text", nothing),
    ("pg_get_triggerdef(oid) text", nothing),
    ("pg_get_triggerdef(oid,bool) text", nothing),
    ("pg_get_partkeydef(oid) text", nothing),
    ("pg_get_partition_constraintdef(oid) text", nothing),
    ("pg_get_functiondef(oid) text", nothing),
    ("pg_get_function_arguments(oid) text", describe::function_arguments),
    ("pg_get_function_identity_arguments(oid) text", describe::function_arguments),
    ("pg_get_function_result(oid) text", describe::function_result),
    ("pg_get_function_sqlbody(oid) text", nothing),
    ("pg_get_function_arg_default(oid,int4) text", nothing),
    ("pg_get_statisticsobjdef(oid) text", nothing),
    ("pg_get_statisticsobjdef_columns(oid) text", nothing),
    ("pg_get_serial_sequence(text,text) text", nothing),
    ("pg_get_replica_identity_index(oid) regclass", nothing),
    ("obj_description(oid) text", describe::object),
    ("obj_description(oid,name) text", describe::object),
    ("col_description(oid,int4) text", describe::column),
    ("shobj_description(oid,name) text", nothing),
    ("has_table_privilege(any,text) bool", yes),
    ("has_table_privilege(any,any,text) bool", yes),
    ("has_any_column_privilege(any,text) bool", yes),
    ("has_any_column_privilege(any,any,text) bool", yes),
    ("has_column_privilege(any,any,text) bool", yes),
    ("has_column_privilege(any,any,any,text) bool", yes),
    ("has_schema_privilege(any,text) bool", yes),
    ("has_schema_privilege(any,any,text) bool", yes),
    ("has_database_privilege(any,text) bool", yes),
    ("has_database_privilege(any,any,text) bool", yes),
    ("has_function_privilege(any,text) bool", yes),
    ("has_function_privilege(any,any,text) bool", yes),
    ("has_language_privilege(any,text) bool", yes),
    ("has_sequence_privilege(any,text) bool", yes),
    ("has_sequence_privilege(any,any,text) bool", yes),
    ("has_tablespace_privilege(any,text) bool", yes),
    ("has_type_privilege(any,text) bool", yes),
    ("has_server_privilege(any,text) bool", yes),
    ("has_foreign_data_wrapper_privilege(any,text) bool", yes),
    ("has_parameter_privilege(text,text) bool", yes),
    ("pg_has_role(any,text) bool", yes),
    ("pg_has_role(any,any,text) bool", yes),
    ("row_security_active(any) bool", no),
    ("acldefault(char,oid) aclitem[]", nothing),
    ("pg_encoding_to_char(int4) name", |_, of| {
        Ok(Value::text(if of[0].as_int() == Some(6) { "UTF8" } else { "" }))
    }),
    ("pg_char_to_encoding(name) int4", |_, of| {
        let is_ours =
            of[0].as_str().is_some_and(|name| name.replace('-', "").eq_ignore_ascii_case("utf8"));
        Ok(Value::Int(if is_ours { 6 } else { -1 }))
    }),
    ("pg_client_encoding() name", |_, _| Ok(Value::text("UTF8"))),
    ("getdatabaseencoding() name", |_, _| Ok(Value::text("UTF8"))),
    ("to_regclass(text) regclass", |context, of| Ok(cast::find(context, Type::REGCLASS, &of[0]))),
    ("to_regtype(text) regtype", |context, of| Ok(cast::find(context, Type::REGTYPE, &of[0]))),
    ("to_regproc(text) regproc", |context, of| Ok(cast::find(context, Type::REGPROC, &of[0]))),
    ("to_regrole(text) regrole", |context, of| Ok(cast::find(context, Type::REGROLE, &of[0]))),
    ("to_regnamespace(text) regnamespace", |context, of| {
        Ok(cast::find(context, Type::REGNAMESPACE, &of[0]))
    }),
    ("pg_relation_is_publishable(oid) bool", no),
    ("pg_relation_is_updatable(oid,bool) int4", zero),
    ("pg_column_is_updatable(oid,int2,bool) bool", no),
    ("pg_is_in_recovery() bool", no),
    ("pg_is_other_temp_schema(oid) bool", no),
    ("pg_my_temp_schema() oid", zero),
    ("pg_relation_size(any) int8", nothing),
    ("pg_relation_size(any,text) int8", nothing),
    ("pg_table_size(any) int8", nothing),
    ("pg_indexes_size(any) int8", nothing),
    ("pg_total_relation_size(any) int8", nothing),
    ("pg_database_size(any) int8", nothing),
    ("pg_tablespace_size(any) int8", nothing),
    ("pg_size_pretty(any) text", |_, of| Ok(text::size(&of[0]))),
    ("pg_tablespace_location(oid) text", |_, _| Ok(Value::text(""))),
    ("pg_relation_filenode(oid) oid", nothing),
    ("pg_relation_filepath(oid) text", nothing),
    ("pg_stat_get_numscans(oid) int8", zero),
    ("pg_stat_get_live_tuples(oid) int8", zero),
    ("pg_postmaster_start_time() timestamptz", |context, _| Ok(Value::Micros(context.started_at))),
    ("pg_conf_load_time() timestamptz", |context, _| Ok(Value::Micros(context.started_at))),
    ("now() timestamptz", |context, _| Ok(Value::Micros(context.now))),
    ("clock_timestamp() timestamptz", |context, _| Ok(Value::Micros(context.now))),
    ("statement_timestamp() timestamptz", |context, _| Ok(Value::Micros(context.now))),
    ("transaction_timestamp() timestamptz", |context, _| Ok(Value::Micros(context.now))),
    ("current_timestamp() timestamptz", |context, _| Ok(Value::Micros(context.now))),
    ("inet_server_addr() text", nothing),
    ("inet_client_addr() text", nothing),
    ("inet_server_port() int4", nothing),
    ("inet_client_port() int4", nothing),
    ("pg_partition_root(any) regclass", nothing),
    ("array_upper(any,int4) int4", |_, of| Ok(text::upper(&of[0], &of[1], 1))),
    ("array_lower(any,int4) int4", |_, of| Ok(text::lower(&of[0], 1))),
    ("array_length(any,int4) int4", |_, of| Ok(text::upper(&of[0], &of[1], 1))),
    ("array_ndims(any) int4", |_, of| Ok(text::lower(&of[0], 1))),
    ("cardinality(any) int4", |_, of| Ok(Value::Int(of[0].items().len() as i64))),
    ("array_position(any,any) int4", |_, of| Ok(text::position_in(&of[0], &of[1]))),
    ("array_append*(any,any) @0", |_, of| Ok(text::joined(&of[0], &[of[1].clone()]))),
    ("array_prepend*(any,any) @1", |_, of| {
        Ok(text::joined(&Value::array([of[0].clone()]), of[1].items()))
    }),
    ("array_cat*(any,any) @0", |_, of| Ok(text::joined(&of[0], of[1].items()))),
    ("array_remove(any,any) @0", |_, of| Ok(text::without(&of[0], &of[1]))),
    ("string_to_array*(text,text) text[]", |_, of| Ok(text::split(&of[0], &of[1]))),
    ("quote_ident(text) text", |_, of| Ok(text::of(of, text::quote_ident))),
    ("quote_literal(text) text", |_, of| Ok(text::of(of, text::quote_literal))),
    ("quote_nullable*(text) text", |_, of| {
        Ok(match &of[0] {
            Value::Null => Value::text("NULL"),
            _ => text::of(of, text::quote_literal),
        })
    }),
    ("parse_ident(text) text[]", text::parse_ident),
    ("parse_ident(text,bool) text[]", text::parse_ident),
    ("lower(text) text", |_, of| Ok(text::of(of, str::to_lowercase))),
    ("upper(text) text", |_, of| Ok(text::of(of, str::to_uppercase))),
    ("initcap(text) text", |_, of| Ok(text::of(of, text::initcap))),
    ("reverse(text) text", |_, of| Ok(text::of(of, |text| text.chars().rev().collect()))),
    ("length(text) int4", |_, of| Ok(text::count(&of[0]))),
    ("char_length(text) int4", |_, of| Ok(text::count(&of[0]))),
    ("character_length(text) int4", |_, of| Ok(text::count(&of[0]))),
    ("octet_length(text) int4", |_, of| Ok(Value::Int(text::str_of(&of[0]).len() as i64))),
    ("ascii(text) int4", |_, of| {
        Ok(Value::Int(text::str_of(&of[0]).chars().next().map_or(0, |c| c as i64)))
    }),
    ("btrim(text) text", |_, of| Ok(text::trim(of, true, true))),
    ("btrim(text,text) text", |_, of| Ok(text::trim(of, true, true))),
    ("ltrim(text) text", |_, of| Ok(text::trim(of, true, false))),
    ("ltrim(text,text) text", |_, of| Ok(text::trim(of, true, false))),
    ("rtrim(text) text", |_, of| Ok(text::trim(of, false, true))),
    ("rtrim(text,text) text", |_, of| Ok(text::trim(of, false, true))),
    ("replace(text,text,text) text", |_, of| {
        Ok(Value::text(text::str_of(&of[0]).replace(text::str_of(&of[1]), text::str_of(&of[2]))))
    }),
    ("split_part(text,text,int4) text", |_, of| Ok(text::split_part(of))),
    ("strpos(text,text) int4", |_, of| Ok(text::find(&of[0], &of[1]))),
    ("starts_with(text,text) bool", |_, of| {
        Ok(Value::Bool(text::str_of(&of[0]).starts_with(text::str_of(&of[1]))))
    }),
    ("substr(text,int4) text", |_, of| Ok(text::substring(of))),
    ("substr(text,int4,int4) text", |_, of| Ok(text::substring(of))),
    ("substring(text,text) text", text::regexp_substr),
    ("substring(text,int4) text", |_, of| Ok(text::substring(of))),
    ("substring(text,int4,int4) text", |_, of| Ok(text::substring(of))),
    ("left(text,int4) text", |_, of| Ok(text::left(of))),
    ("right(text,int4) text", |_, of| Ok(text::right(of))),
    ("repeat(text,int4) text", text::repeat),
    ("regexp_replace(text,text,text) text", text::regexp_replace),
    ("regexp_replace(text,text,text,text) text", text::regexp_replace),
    ("regexp_match(text,text) text[]", text::regexp_match),
    ("translate(text,text,text) text", |_, of| Ok(text::translate(of))),
    ("mod(int8,int8) int8", |_, of| {
        Ok(match (of[0].as_int(), of[1].as_int()) {
            (Some(left), Some(right)) => left.checked_rem(right).map_or(Value::Null, Value::Int),
            _ => Value::Null,
        })
    }),
    ("abs(any) @0", |_, of| {
        Ok(match &of[0] {
            Value::Int(number) => Value::Int(number.saturating_abs()),
            Value::Float(number) => Value::Float(number.abs()),
            _ => Value::Null,
        })
    }),
    ("floor(float8) float8", |_, of| {
        Ok(of[0].as_float().map_or(Value::Null, |x| Value::Float(x.floor())))
    }),
    ("ceil(float8) float8", |_, of| {
        Ok(of[0].as_float().map_or(Value::Null, |x| Value::Float(x.ceil())))
    }),
    ("round(float8) float8", |_, of| {
        Ok(of[0].as_float().map_or(Value::Null, |x| Value::Float(x.round())))
    }),
];

fn yes(_: &Context, _: &[Value]) -> Answer {
    Ok(Value::Bool(true))
}

fn no(_: &Context, _: &[Value]) -> Answer {
    Ok(Value::Bool(false))
}

fn zero(_: &Context, _: &[Value]) -> Answer {
    Ok(Value::Int(0))
}

/// What describes objects of a kind that there are none of, or a size that nobody counts.
fn nothing(_: &Context, _: &[Value]) -> Answer {
    Ok(Value::Null)
}

static BY_NAME: LazyLock<HashMap<&'static str, Vec<Function>>> = LazyLock::new(|| {
    let mut by_name: HashMap<&'static str, Vec<Function>> = HashMap::new();
    for (signature, body) in FUNCTIONS {
        let function = parse(signature, *body);
        by_name.entry(function.name).or_default().push(function);
    }
    by_name
});

fn parse(signature: &'static str, body: Body) -> Function {
    let (name, rest) = signature.split_once('(').expect("a signature, as written");
    let (arguments, result) = rest.split_once(") ").expect("a signature, as written");
    let types = arguments.split(',').filter(|one| !one.is_empty()).map(argument).collect();
    Function {
        name: name.trim_end_matches('*'),
        strict: !name.ends_with('*'),
        arguments: types,
        result: argument(result),
        body,
    }
}

fn argument(text: &str) -> Argument {
    let place = |digits: &str| digits.parse().expect("a place, as written");
    match text.split_at(1) {
        ("@", digits) => Argument::Same(place(digits)),
        _ if text == "any" => Argument::Any,
        _ if text == "char" => Argument::Of(Type::CHAR),
        _ => Argument::Of(Type::named(text).expect("a type, as written").0),
    }
}

/// The functions of that name.
pub(crate) fn named(name: &str) -> Option<&'static [Function]> {
    BY_NAME.get(name).map(Vec::as_slice)
}

/// Whether a query that names no table asks the catalogue by calling this.
pub(crate) fn asks_catalogue(name: &str) -> bool {
    const OTHERS: [&str; 20] = [
        "version",
        "current_database",
        "current_catalog",
        "current_schema",
        "current_schemas",
        "current_user",
        "session_user",
        "user",
        "current_role",
        "current_setting",
        "set_config",
        "format_type",
        "obj_description",
        "col_description",
        "shobj_description",
        "quote_ident",
        "parse_ident",
        "row_security_active",
        "acldefault",
        "_pg_expandarray",
    ];
    name.starts_with("pg_")
        || name.starts_with("to_reg")
        || name.starts_with("inet_")
        || (name.starts_with("has_") && name.ends_with("_privilege"))
        || OTHERS.contains(&name)
}
