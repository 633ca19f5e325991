//! How types are written, and how a type in a query becomes Arrow's.
//!
//! Guarantees: [`type_name`] gives text that `CREATE TABLE` reads back as the same type; a type
//! means the same in a `CAST` and in a column.
//! Left out: reading column types, which is the data definition's.

use arrow_schema::{DataType, Field, FieldRef, TimeUnit};
use datafusion::common::Result;
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

/// Types in queries: text is `Utf8`, times are microseconds, `TIMESTAMP_LTZ` is known.
///
/// Whatever it does not name is left to DataFusion.
#[derive(Debug, Clone, Copy, Default)]
pub struct FlinkTypes;

impl TypePlanner for FlinkTypes {
    fn plan_type_field(&self, sql_type: &ast::DataType) -> Result<Option<FieldRef>> {
        let data_type = match sql_type {
            ast::DataType::String(_)
            | ast::DataType::Varchar(_)
            | ast::DataType::Char(_)
            | ast::DataType::Text => DataType::Utf8,
            ast::DataType::Bytes(_)
            | ast::DataType::Bytea
            | ast::DataType::Binary(_)
            | ast::DataType::Varbinary(_) => DataType::Binary,
            ast::DataType::Timestamp(_, zone) => DataType::Timestamp(
                TimeUnit::Microsecond,
                match zone {
                    ast::TimezoneInfo::None | ast::TimezoneInfo::WithoutTimeZone => None,
                    ast::TimezoneInfo::WithTimeZone | ast::TimezoneInfo::Tz => Some("UTC".into()),
                },
            ),
            ast::DataType::Custom(name, _)
                if name.to_string().eq_ignore_ascii_case("TIMESTAMP_LTZ") =>
            {
                DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
            }
            _ => return Ok(None),
        };
        Ok(Some(Arc::new(Field::new("", data_type, true))))
    }
}
