//! How types are written, and how a type in a query becomes Arrow's.
//!
//! Guarantees: [`type_name`] gives text that `CREATE TABLE` reads back as the same type; a type
//! means the same in a `CAST` and in a column.
//! Left out: reading column types, which is the data definition's.

use arrow_schema::{DataType, Field, FieldRef, TimeUnit};
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::planner::TypePlanner;
use datafusion::sql::sqlparser::ast;
use std::sync::Arc;

/// A type as Flink writes it: `ROW<name STRING, price DECIMAL(18, 6)>`.
pub fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "STRING".into(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "BYTES".into(),
        DataType::Boolean => "BOOLEAN".into(),
        DataType::Int8 => "TINYINT".into(),
        DataType::Int16 => "SMALLINT".into(),
        DataType::Int32 => "INT".into(),
        DataType::Int64 => "BIGINT".into(),
        DataType::Float32 => "FLOAT".into(),
        DataType::Float64 => "DOUBLE".into(),
        DataType::Date32 => "DATE".into(),
        DataType::Time32(_) | DataType::Time64(_) => "TIME".into(),
        DataType::Decimal128(precision, scale) => format!("DECIMAL({precision}, {scale})"),
        DataType::Timestamp(unit, zone) => {
            let name = if zone.is_some() { "TIMESTAMP_LTZ" } else { "TIMESTAMP" };
            let digits = match unit {
                TimeUnit::Second => 0,
                TimeUnit::Millisecond => 3,
                TimeUnit::Microsecond => 6,
                TimeUnit::Nanosecond => 9,
            };
            format!("{name}({digits})")
        }
        DataType::List(element) | DataType::LargeList(element) => {
            format!("ARRAY<{}>", field_type_name(element))
        }
        DataType::Struct(fields) => {
            let fields: Vec<_> = fields
                .iter()
                .map(|field| format!("`{}` {}", field.name(), field_type_name(field)))
                .collect();
            format!("ROW<{}>", fields.join(", "))
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) if pair.len() == 2 => {
                format!("MAP<{}, {}>", type_name(pair[0].data_type()), field_type_name(&pair[1]))
            }
            other => format!("MAP<{other}>"),
        },
        other => other.to_string(),
    }
}

/// The same for a field, with `NOT NULL` where it may not be null.
pub fn field_type_name(field: &Field) -> String {
    let name = type_name(field.data_type());
    if field.is_nullable() { name } else { format!("{name} NOT NULL") }
}

/// Key of a field's metadata: the digits of a second of a `TIMESTAMP(p)`, where it says so.
pub const PRECISION: &str = "tradewind.precision";
/// Key of a field's metadata: the characters of a `VARCHAR(n)` or `CHAR(n)`, in a cast.
pub(crate) const CHAR_LENGTH: &str = "tradewind.char_length";
/// Key of a field's metadata: it is a `CHAR(n)`, which is padded.
pub(crate) const IS_PADDED: &str = "tradewind.is_padded";
/// Digits of a second of a time that names none, as in Flink.
const PRECISION_DEFAULT: u8 = 6;

/// Digits of a second that a `CAST(… AS STRING)` of this field writes.
pub fn precision_of(field: &Field) -> u8 {
    let named = field.metadata().get(PRECISION).and_then(|digits| digits.parse().ok());
    named.unwrap_or(PRECISION_DEFAULT)
}

/// The same field of a `TIMESTAMP(digits)`.
#[must_use]
pub fn with_precision(field: Field, digits: u8) -> Field {
    let mut metadata = field.metadata().clone();
    metadata.insert(PRECISION.into(), digits.to_string());
    field.with_metadata(metadata)
}

/// Types in queries: text is `Utf8`, times are microseconds, `TIMESTAMP_LTZ` is known. What a cast
/// must know besides, digits of a second and lengths of texts, is metadata of the field.
///
/// Whatever it does not name is left to DataFusion.
#[derive(Debug, Clone, Copy, Default)]
pub struct FlinkTypes;

impl TypePlanner for FlinkTypes {
    fn plan_type_field(&self, sql_type: &ast::DataType) -> Result<Option<FieldRef>> {
        let field = |data_type| Field::new("", data_type, true);
        let stamp =
            |zone: Option<&str>| DataType::Timestamp(TimeUnit::Microsecond, zone.map(Into::into));
        let planned = match sql_type {
            ast::DataType::String(_) | ast::DataType::Text => field(DataType::Utf8),
            ast::DataType::Varchar(length) => text(*length, false),
            ast::DataType::Char(length) | ast::DataType::Character(length) => text(*length, true),
            ast::DataType::Bytes(_)
            | ast::DataType::Bytea
            | ast::DataType::Binary(_)
            | ast::DataType::Varbinary(_) => field(DataType::Binary),
            ast::DataType::Timestamp(digits, zone) => {
                let zone = match zone {
                    ast::TimezoneInfo::None | ast::TimezoneInfo::WithoutTimeZone => None,
                    ast::TimezoneInfo::WithTimeZone | ast::TimezoneInfo::Tz => Some("UTC"),
                };
                precise(field(stamp(zone)), *digits)?
            }
            ast::DataType::Custom(name, arguments)
                if name.to_string().eq_ignore_ascii_case("TIMESTAMP_LTZ") =>
            {
                let digits = arguments.first().and_then(|digits| digits.parse().ok());
                precise(field(stamp(Some("UTC"))), digits)?
            }
            _ => return Ok(None),
        };
        Ok(Some(Arc::new(planned)))
    }
}

fn precise(field: Field, digits: Option<u64>) -> Result<Field> {
    match digits {
        None => Ok(field),
        Some(digits @ 0..=6) => Ok(with_precision(field, digits as u8)),
        Some(digits) => plan_err!("TIMESTAMP({digits}) is finer than microseconds"),
    }
}

/// `CHAR` alone is one character, `VARCHAR` alone any number, as in Flink.
fn text(length: Option<ast::CharacterLength>, padded: bool) -> Field {
    let length = match length {
        Some(ast::CharacterLength::IntegerLength { length, .. }) => Some(length),
        Some(ast::CharacterLength::Max) => None,
        None => padded.then_some(1),
    };
    let length = length.map(|length| (CHAR_LENGTH.to_string(), length.to_string()));
    let padding = (padded && length.is_some()).then(|| (IS_PADDED.to_string(), String::new()));
    Field::new("", DataType::Utf8, true).with_metadata(length.into_iter().chain(padding).collect())
}
