//! Which PostgreSQL type each of our types is shown as, and which of ours a client's is read as.
//!
//! Guarantees: every type that a query can answer with has one; what a type of PostgreSQL's cannot
//! hold (objects, lists in lists) is JSON.
//! Left out: how values are written, which is `text`'s and `binary`'s.

use arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};
use pgwire::api::Type;
use std::sync::Arc;
use tradewind_analyze::PG_TYPE;

/// Digits and scale of a decimal whose value is not known yet.
const DECIMAL: DataType = DataType::Decimal128(38, 10);

/// The type a column is shown as.
pub(crate) fn of(data_type: &DataType) -> Type {
    match data_type {
        DataType::Boolean => Type::BOOL,
        DataType::Int8 | DataType::Int16 | DataType::UInt8 => Type::INT2,
        DataType::Int32 | DataType::UInt16 => Type::INT4,
        DataType::Int64 | DataType::UInt32 => Type::INT8,
        DataType::Float16 | DataType::Float32 => Type::FLOAT4,
        DataType::Float64 => Type::FLOAT8,
        DataType::UInt64
        | DataType::Decimal32(..)
        | DataType::Decimal64(..)
        | DataType::Decimal128(..)
        | DataType::Decimal256(..) => Type::NUMERIC,
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => Type::BYTEA,
        DataType::Date32 | DataType::Date64 => Type::DATE,
        DataType::Time32(_) | DataType::Time64(_) => Type::TIME,
        DataType::Timestamp(_, None) => Type::TIMESTAMP,
        DataType::Timestamp(_, Some(_)) => Type::TIMESTAMPTZ,
        DataType::Interval(_) | DataType::Duration(_) => Type::INTERVAL,
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            array_of(&of(item.data_type()))
        }
        DataType::Struct(_) | DataType::Map(..) => Type::JSON,
        DataType::Dictionary(_, values) => of(values),
        _ => Type::TEXT,
    }
}

/// The type a column is shown as: what the catalogue says of it, where that is written as its Arrow
/// type is.
pub(crate) fn of_field(field: &Field) -> Type {
    let said = field.metadata().get(PG_TYPE).and_then(|oid| Type::from_oid(oid.parse().ok()?));
    match (field.data_type(), said) {
        (DataType::Int32, Some(Type::OID)) => Type::OID,
        (
            DataType::Utf8,
            Some(said @ (Type::NAME | Type::CHAR | Type::VARCHAR | Type::BPCHAR | Type::JSON)),
        ) => said,
        (data_type, _) => of(data_type),
    }
}

/// Types that have arrays, with those.
static ARRAYS: [(Type, Type); 15] = [
    (Type::BOOL, Type::BOOL_ARRAY),
    (Type::INT2, Type::INT2_ARRAY),
    (Type::INT4, Type::INT4_ARRAY),
    (Type::INT8, Type::INT8_ARRAY),
    (Type::FLOAT4, Type::FLOAT4_ARRAY),
    (Type::FLOAT8, Type::FLOAT8_ARRAY),
    (Type::NUMERIC, Type::NUMERIC_ARRAY),
    (Type::TEXT, Type::TEXT_ARRAY),
    (Type::VARCHAR, Type::VARCHAR_ARRAY),
    (Type::BYTEA, Type::BYTEA_ARRAY),
    (Type::DATE, Type::DATE_ARRAY),
    (Type::TIME, Type::TIME_ARRAY),
    (Type::TIMESTAMP, Type::TIMESTAMP_ARRAY),
    (Type::TIMESTAMPTZ, Type::TIMESTAMPTZ_ARRAY),
    (Type::INTERVAL, Type::INTERVAL_ARRAY),
];

/// The type of arrays of a type; JSON where there is none.
fn array_of(item: &Type) -> Type {
    let found = ARRAYS.iter().find(|(one, _)| one == item);
    found.map_or(Type::JSON, |(_, array)| array.clone())
}

/// The type of an array's items; `None` where the type is no array.
pub(crate) fn item_of(array: &Type) -> Option<Type> {
    ARRAYS.iter().find(|(_, of)| of == array).map(|(item, _)| item.clone())
}

/// How many bytes a value takes; -1: that depends.
pub(crate) fn size(of: &Type) -> i16 {
    match *of {
        Type::BOOL | Type::CHAR => 1,
        Type::INT2 => 2,
        Type::NAME => 64,
        Type::INT4 | Type::OID | Type::FLOAT4 | Type::DATE => 4,
        Type::INT8 | Type::FLOAT8 | Type::TIME | Type::TIMESTAMP | Type::TIMESTAMPTZ => 8,
        Type::INTERVAL => 16,
        _ => -1,
    }
}

/// What more there is to say of a column's type: digits and scale; -1: nothing.
pub(crate) fn modifier(data_type: &DataType) -> i32 {
    match data_type {
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale)
            if *scale >= 0 =>
        {
            ((i32::from(*precision) << 16) | i32::from(*scale)) + 4
        }
        _ => -1,
    }
}

/// What a parameter of a client's type is read as; `None` where the client leaves that open.
/// Types without a counterpart are read as the text they are sent as.
pub(crate) fn parameter(oid: u32) -> Option<DataType> {
    let of = Type::from_oid(oid)?;
    if let Some(item) = item_of(&of) {
        let item = parameter(item.oid()).unwrap_or(DataType::Utf8);
        return Some(DataType::List(Arc::new(Field::new_list_field(item, true))));
    }
    Some(match of {
        Type::BOOL => DataType::Boolean,
        Type::INT2 => DataType::Int16,
        Type::INT4 => DataType::Int32,
        Type::INT8 | Type::OID => DataType::Int64,
        Type::FLOAT4 => DataType::Float32,
        Type::FLOAT8 => DataType::Float64,
        Type::NUMERIC => DECIMAL,
        Type::BYTEA => DataType::Binary,
        Type::DATE => DataType::Date32,
        Type::TIME => DataType::Time64(TimeUnit::Microsecond),
        Type::TIMESTAMP => DataType::Timestamp(TimeUnit::Microsecond, None),
        Type::TIMESTAMPTZ => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        Type::INTERVAL => DataType::Interval(IntervalUnit::MonthDayNano),
        Type::UNKNOWN => return None,
        _ => DataType::Utf8,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_go_there_and_back() {
        for of_ours in [
            DataType::Boolean,
            DataType::Int64,
            DataType::Float64,
            DataType::Utf8,
            DataType::Date32,
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            DataType::List(Arc::new(Field::new_list_field(DataType::Int32, true))),
        ] {
            assert_eq!(parameter(of(&of_ours).oid()), Some(of_ours));
        }
        let money = DataType::Decimal128(18, 2);
        assert_eq!((of(&money), modifier(&money)), (Type::NUMERIC, (18 << 16 | 2) + 4));
        let pair = DataType::Struct(vec![Field::new("a", DataType::Int32, true)].into());
        let pairs = DataType::List(Arc::new(Field::new_list_field(pair, true)));
        assert_eq!(of(&pairs), Type::JSON);
        assert_eq!(parameter(0), None);
    }
}
