//! PostgreSQL's types: their oids, names and places in `pg_type`, and what Arrow type carries each.
//!
//! Guarantees: an oid here is the one PostgreSQL 15 has for that type; a type of a table's column
//! is the one the wire reports for it.
//! Left out: types that users define. There are none.

use super::value::Value;
use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

/// Key of a field's metadata: the oid of the PostgreSQL type that its values are of, where Arrow's
/// type alone does not say it.
pub const PG_TYPE: &str = "tradewind.pg_type";
/// The key by which `arrow-pg` knows an object identifier.
const OID_KEY: &str = "pg.oid_alias";
/// The key by which `arrow-pg` knows a `"char"`.
const CHAR_KEY: &str = "pg.char";

/// A type, by its oid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Type(pub(crate) u32);

impl Type {
    pub(crate) const BOOL: Self = Self(16);
    pub(crate) const BYTEA: Self = Self(17);
    pub(crate) const CHAR: Self = Self(18);
    pub(crate) const NAME: Self = Self(19);
    pub(crate) const INT8: Self = Self(20);
    pub(crate) const INT2: Self = Self(21);
    pub(crate) const INT2VECTOR: Self = Self(22);
    pub(crate) const INT4: Self = Self(23);
    pub(crate) const REGPROC: Self = Self(24);
    pub(crate) const TEXT: Self = Self(25);
    pub(crate) const OID: Self = Self(26);
    pub(crate) const XID: Self = Self(28);
    pub(crate) const OIDVECTOR: Self = Self(30);
    pub(crate) const JSON: Self = Self(114);
    pub(crate) const FLOAT4: Self = Self(700);
    pub(crate) const FLOAT8: Self = Self(701);
    pub(crate) const UNKNOWN: Self = Self(705);
    pub(crate) const BPCHAR: Self = Self(1042);
    pub(crate) const VARCHAR: Self = Self(1043);
    pub(crate) const DATE: Self = Self(1082);
    pub(crate) const TIME: Self = Self(1083);
    pub(crate) const TIMESTAMP: Self = Self(1114);
    pub(crate) const TIMESTAMPTZ: Self = Self(1184);
    pub(crate) const INTERVAL: Self = Self(1186);
    pub(crate) const NUMERIC: Self = Self(1700);
    pub(crate) const REGPROCEDURE: Self = Self(2202);
    pub(crate) const REGCLASS: Self = Self(2205);
    pub(crate) const REGTYPE: Self = Self(2206);
    pub(crate) const RECORD: Self = Self(2249);
    pub(crate) const ANY: Self = Self(2276);
    pub(crate) const REGNAMESPACE: Self = Self(4089);
    pub(crate) const REGROLE: Self = Self(4096);
    pub(crate) const INT2_ARRAY: Self = Self(1005);
    pub(crate) const TEXT_ARRAY: Self = Self(1009);
}

/// A row of `pg_type`, as far as it is not the same for all.
#[derive(Debug)]
pub(crate) struct TypeRow {
    pub(crate) ty: Type,
    pub(crate) name: &'static str,
    pub(crate) len: i16,
    /// The remaining columns as they are written, from `typbyval` on.
    pub(crate) rest: Vec<&'static str>,
    pub(crate) category: char,
    pub(crate) element: u32,
    pub(crate) array: u32,
    pub(crate) collation: u32,
}

struct Registry {
    rows: Vec<TypeRow>,
    by_oid: HashMap<u32, usize>,
    by_name: HashMap<&'static str, usize>,
}

static TYPES: LazyLock<Registry> = LazyLock::new(|| {
    let mut registry =
        Registry { rows: Vec::new(), by_oid: HashMap::new(), by_name: HashMap::new() };
    for line in include_str!("data/types.txt").lines() {
        let words: Vec<&'static str> = line.split(' ').collect();
        let number = |at: usize| words[at].parse::<u32>().expect("a number, as written");
        let at = registry.rows.len();
        registry.by_oid.insert(number(0), at);
        registry.by_name.insert(words[1], at);
        registry.rows.push(TypeRow {
            ty: Type(number(0)),
            name: words[1],
            len: words[2].parse().expect("a length, as written"),
            category: words[5].chars().next().expect("a letter, as written"),
            element: number(8),
            array: number(9),
            collation: number(12),
            rest: words[3..].to_vec(),
        });
    }
    registry
});

/// All types, by oid.
pub(crate) fn all() -> &'static [TypeRow] {
    &TYPES.rows
}

/// Names of types that SQL writes otherwise than `pg_type` does, and what `format_type` calls them.
const SPELLED: [(&str, &str); 14] = [
    ("bool", "boolean"),
    ("char", "\"char\""),
    ("int8", "bigint"),
    ("int2", "smallint"),
    ("int4", "integer"),
    ("float4", "real"),
    ("float8", "double precision"),
    ("bpchar", "character"),
    ("varchar", "character varying"),
    ("timestamp", "timestamp without time zone"),
    ("timestamptz", "timestamp with time zone"),
    ("time", "time without time zone"),
    ("timetz", "time with time zone"),
    ("varbit", "bit varying"),
];

/// Further spellings that are read and never written.
const READ: [(&str, &str); 9] = [
    ("int", "int4"),
    ("decimal", "numeric"),
    ("dec", "numeric"),
    ("float", "float8"),
    ("double", "float8"),
    ("string", "text"),
    ("timestamp_ltz", "timestamptz"),
    ("char varying", "varchar"),
    ("bytes", "bytea"),
];

impl Type {
    pub(crate) fn row(self) -> Option<&'static TypeRow> {
        TYPES.by_oid.get(&self.0).map(|at| &TYPES.rows[*at])
    }

    /// Its name in `pg_type`.
    pub(crate) fn name(self) -> &'static str {
        self.row().map_or("???", |row| row.name)
    }

    /// The type that SQL text names, with the length or precision it says; any case, with or
    /// without `pg_catalog`.
    pub(crate) fn named(text: &str) -> Option<(Self, i32)> {
        let text = text.trim();
        let text = match text.get(..11) {
            Some(schema) if schema.eq_ignore_ascii_case("pg_catalog.") => &text[11..],
            _ => text,
        };
        if let Some(element) = text.strip_suffix("[]") {
            let (element, modifier) = Self::named(element)?;
            return Some((element.array()?, modifier));
        }
        if let Some(quoted) = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            return Self::exact(quoted).map(|found| (found, -1));
        }
        let lower = text.to_lowercase();
        let (base, arguments) = match lower.split_once('(') {
            None => (lower.clone(), Vec::new()),
            Some((before, rest)) => {
                let (inside, after) = rest.split_once(')')?;
                let numbers = inside.split(',').map(|each| each.trim().parse::<i32>().ok());
                (format!("{}{after}", before.trim_end()), numbers.collect::<Option<Vec<_>>>()?)
            }
        };
        let spelled = SPELLED.iter().find(|(_, long)| *long == base).map(|(short, _)| *short);
        let read = READ.iter().find(|(written, _)| *written == base).map(|(_, name)| *name);
        // CHAR alone is a character of SQL; the one byte of the catalogue is "char", quoted.
        let name = if base == "char" { Some("bpchar") } else { spelled.or(read) };
        let found = Self::exact(name.unwrap_or(&base))?;
        Some((found, found.modifier(&arguments)))
    }

    fn exact(name: &str) -> Option<Self> {
        TYPES.by_name.get(name).map(|at| TYPES.rows[*at].ty)
    }

    fn modifier(self, arguments: &[i32]) -> i32 {
        match (self, arguments) {
            (Self::NUMERIC, [precision]) => (precision << 16) + 4,
            (Self::NUMERIC, [precision, scale]) => ((precision << 16) | scale) + 4,
            (Self::VARCHAR | Self::BPCHAR, [length]) => length + 4,
            (_, [digits]) => *digits,
            _ => -1,
        }
    }

    /// As `format_type` writes it.
    pub(crate) fn format(self, modifier: Option<i32>) -> String {
        let Some(row) = self.row() else { return "???".into() };
        if row.element != 0 && row.rest[14] == "6179" && row.name.starts_with('_') {
            return format!("{}[]", Self(row.element).format(modifier));
        }
        if self == Self::BPCHAR && modifier == Some(-1) {
            return "bpchar".into();
        }
        let spelled = SPELLED.iter().find(|(short, _)| *short == row.name);
        let name = spelled.map_or(row.name, |(_, long)| *long);
        let modifier = modifier.unwrap_or(-1);
        if modifier < 0 {
            return name.into();
        }
        match self {
            Self::NUMERIC => {
                format!("numeric({},{})", (modifier - 4) >> 16, (modifier - 4) & 0xffff)
            }
            Self::VARCHAR | Self::BPCHAR => format!("{name}({})", modifier - 4),
            Self::TIME | Self::TIMESTAMP | Self::TIMESTAMPTZ => {
                let (first, rest) = name.split_once(' ').unwrap_or((name, ""));
                format!("{first}({modifier}) {rest}")
            }
            _ => name.into(),
        }
    }

    /// What it is an array of; for `int2vector` and `oidvector` too.
    pub(crate) fn element(self) -> Option<Self> {
        let row = self.row()?;
        (row.category == 'A' && row.element != 0).then_some(Self(row.element))
    }

    pub(crate) fn array(self) -> Option<Self> {
        let array = self.row()?.array;
        (array != 0).then_some(Self(array))
    }

    pub(crate) fn is_vector(self) -> bool {
        matches!(self, Self::INT2VECTOR | Self::OIDVECTOR)
    }

    /// Text without further meaning.
    pub(crate) fn is_text(self) -> bool {
        matches!(self, Self::TEXT | Self::NAME | Self::VARCHAR | Self::BPCHAR | Self::CHAR)
    }

    /// A number that is computed with.
    pub(crate) fn is_number(self) -> bool {
        self.is_integer() || matches!(self, Self::FLOAT4 | Self::FLOAT8 | Self::NUMERIC)
    }

    pub(crate) fn is_integer(self) -> bool {
        matches!(self, Self::INT2 | Self::INT4 | Self::INT8)
    }

    /// An object identifier that is shown by the object's name.
    pub(crate) fn is_reg(self) -> bool {
        matches!(self.0, 24 | 2202..=2206 | 3734 | 3769 | 4089 | 4096 | 4191)
    }

    /// Whole numbers in memory.
    pub(crate) fn is_whole(self) -> bool {
        self.is_integer() || self.is_reg() || matches!(self, Self::OID | Self(27..=29) | Self(5069))
    }

    /// What a column of a table is, with its precision.
    pub(crate) fn of(data_type: &DataType) -> (Self, i32) {
        let plain = match data_type {
            DataType::Boolean => Self::BOOL,
            DataType::Int8 | DataType::Int16 | DataType::UInt8 => Self::INT2,
            DataType::Int32 | DataType::UInt16 => Self::INT4,
            DataType::Int64 | DataType::UInt32 => Self::INT8,
            DataType::UInt64 => Self::NUMERIC,
            DataType::Float16 | DataType::Float32 => Self::FLOAT4,
            DataType::Float64 => Self::FLOAT8,
            DataType::Decimal128(precision, scale) => {
                let modifier = (i32::from(*precision) << 16 | i32::from(*scale)) + 4;
                return (Self::NUMERIC, modifier);
            }
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView => Self::BYTEA,
            DataType::Date32 | DataType::Date64 => Self::DATE,
            DataType::Time32(_) | DataType::Time64(_) => Self::TIME,
            DataType::Timestamp(_, Some(_)) => Self::TIMESTAMPTZ,
            DataType::Timestamp(_, None) => Self::TIMESTAMP,
            DataType::Interval(_) | DataType::Duration(_) => Self::INTERVAL,
            DataType::Struct(_) | DataType::Map(..) => Self::JSON,
            // As the wire has it: what PostgreSQL's arrays cannot hold is JSON.
            DataType::List(item) | DataType::LargeList(item) => {
                let (element, modifier) = Self::of(item.data_type());
                let array = element.array().filter(|_| element != Self::JSON);
                return array.map_or((Self::JSON, -1), |array| (array, modifier));
            }
            _ => Self::TEXT,
        };
        (plain, -1)
    }

    /// The Arrow type that carries its values out.
    pub(crate) fn arrow(self) -> DataType {
        match self {
            Self::BOOL => DataType::Boolean,
            Self::INT2 => DataType::Int16,
            Self::INT4 | Self::OID => DataType::Int32,
            Self::INT8 => DataType::Int64,
            Self::FLOAT4 => DataType::Float32,
            Self::FLOAT8 | Self::NUMERIC => DataType::Float64,
            Self::DATE => DataType::Date32,
            Self::TIMESTAMP => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::TIMESTAMPTZ => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            vector if vector.is_vector() => DataType::Utf8,
            other => match other.element() {
                Some(element) => DataType::List(element.item()),
                None => DataType::Utf8,
            },
        }
    }

    fn item(self) -> FieldRef {
        Arc::new(self.field("item"))
    }

    /// A column of an answer.
    pub(crate) fn field(self, name: &str) -> Field {
        let field = Field::new(name, self.arrow(), true);
        let mut metadata = HashMap::new();
        match self {
            Self::OID => drop(metadata.insert(OID_KEY.to_string(), "oid".to_string())),
            Self::CHAR => drop(metadata.insert(CHAR_KEY.to_string(), "char".to_string())),
            Self::UNKNOWN => return field,
            _ => {}
        }
        metadata.insert(PG_TYPE.to_string(), self.0.to_string());
        field.with_metadata(metadata)
    }
}

/// What a value read from a file of ours is.
pub(crate) fn written(ty: Type, text: &str) -> Value {
    match ty {
        _ if text.is_empty() => Value::Null,
        Type::BOOL => Value::Bool(text == "t"),
        _ if ty.is_whole() => text.parse().map_or(Value::Null, Value::Int),
        _ => Value::text(text),
    }
}
