//! Values into columns, as PostgreSQL assigns them.
//!
//! Guarantees: numbers go to numbers, rounded where the column has fewer digits after the point
//! (decimals half away from zero, floats half to even); a number that does not fit is an error that
//! names row and column, never a null and never a wrapped number. Dates and times go to each other
//! by UTC, anything plain to text. Text goes to other types where it is a literal alone.
//! Left out: casts that have to be written, such as of a text column to a number.

use crate::error::AnalyzeError;
use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, Decimal128Array, RecordBatch, StringArray,
    new_null_array,
};
use arrow::compute::{CastOptions, can_cast_types, cast_with_options};
use arrow::datatypes::{DataType, Float32Type, Float64Type, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use std::sync::Arc;
use tradewind_sql::type_name;
use tradewind_sql::typing::decimal_of;

/// Characters of a value that an error shows.
const SHOWN_CHARS_MAX: usize = 60;

/// A column of the rows that come.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) data_type: DataType,
    /// Its texts are literals (or a file's cells), which have no type of their own.
    pub(crate) untyped: bool,
}

/// How rows become a table's.
pub(crate) struct Assignment {
    table: String,
    schema: SchemaRef,
    /// For each column of the table the column of the rows.
    from: Vec<Option<usize>>,
    rows: u64,
}

impl Assignment {
    pub(crate) fn new(table: &str, schema: &SchemaRef) -> Self {
        let from = vec![None; schema.fields().len()];
        Self { table: table.to_string(), schema: Arc::clone(schema), from, rows: 0 }
    }

    /// Column `index` of the rows goes to the table's column `place`.
    pub(crate) fn assign(
        &mut self,
        place: usize,
        index: usize,
        source: &Source,
    ) -> Result<(), AnalyzeError> {
        let field = self.schema.field(place);
        if !assignable(&source.data_type, field.data_type(), source.untyped) {
            let (column, wanted) = (field.name(), type_name(field.data_type()));
            let given = type_name(&source.data_type);
            return Err(AnalyzeError::user(format!(
                "column \"{column}\" is of type {wanted}, and the value is {given}"
            ))
            .hint(format!("CAST(... AS {wanted})")));
        }
        self.from[place] = Some(index);
        Ok(())
    }

    /// Columns that get nothing may be null.
    pub(crate) fn check_missing(&self) -> Result<(), AnalyzeError> {
        let fields = self.schema.fields().iter().zip(&self.from);
        let missing = fields.filter(|(_, from)| from.is_none()).map(|(field, _)| field);
        match missing.into_iter().find(|field| !field.is_nullable()) {
            None => Ok(()),
            Some(field) => Err(AnalyzeError::user(format!(
                "column \"{}\" of table \"{}\" is NOT NULL and gets no value",
                field.name(),
                self.table
            ))),
        }
    }

    /// The rows as the table's.
    pub(crate) fn rows(&mut self, batch: &RecordBatch) -> Result<RecordBatch, AnalyzeError> {
        let mut columns = Vec::with_capacity(self.from.len());
        for (place, from) in self.from.iter().enumerate() {
            let field = self.schema.field(place);
            let Some(from) = from else {
                columns.push(new_null_array(field.data_type(), batch.num_rows()));
                continue;
            };
            let given = plain(batch.column(*from))?;
            let assigned = convert(&given, field.data_type())?;
            if let Some(row) = lost(&given, &assigned) {
                return Err(self.refused(&given, row, place));
            }
            if !field.is_nullable() && assigned.null_count() > 0 {
                let row = (0..assigned.len()).find(|row| assigned.is_null(*row)).unwrap_or(0);
                return Err(AnalyzeError::user(format!(
                    "null value in column \"{}\" of table \"{}\", row {}: it is NOT NULL",
                    field.name(),
                    self.table,
                    self.rows + row as u64 + 1
                )));
            }
            columns.push(assigned);
        }
        self.rows += batch.num_rows() as u64;
        RecordBatch::try_new(Arc::clone(&self.schema), columns)
            .map_err(|error| AnalyzeError::bug(error.to_string()))
    }

    fn refused(&self, given: &ArrayRef, row: usize, place: usize) -> AnalyzeError {
        let field = self.schema.field(place);
        let formatted = ArrayFormatter::try_new(given.as_ref(), &FormatOptions::new());
        let value = formatted.map(|all| all.value(row).to_string()).unwrap_or_default();
        let shown: String = value.chars().take(SHOWN_CHARS_MAX).collect();
        let (column, wanted) = (field.name(), type_name(field.data_type()));
        let number = self.rows + row as u64 + 1;
        let text = given.data_type() == &DataType::Utf8;
        AnalyzeError::user(match text {
            true => {
                format!("invalid input for column \"{column}\" {wanted}, row {number}: {shown:?}")
            }
            false => format!(
                "number out of range: {shown} does not fit column \"{column}\" {wanted}, row {number}"
            ),
        })
    }
}

fn is_number(data_type: &DataType) -> bool {
    data_type.is_numeric()
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

fn is_bytes(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Binary | DataType::LargeBinary | DataType::BinaryView)
}

/// Whether values of a type go into a column of another without a cast.
fn assignable(from: &DataType, to: &DataType, untyped: bool) -> bool {
    use DataType::{Date32, Date64, Dictionary, LargeList, List, Map, Null, Struct, Timestamp};
    match (from, to) {
        (Null, _) => true,
        (Dictionary(_, value), _) => assignable(value, to, untyped),
        _ if from == to => true,
        _ if is_number(from) && is_number(to) => true,
        _ if is_text(from) && is_text(to) => true,
        _ if is_text(from) => untyped && !to.is_nested(),
        _ if is_text(to) => !from.is_nested() && !is_bytes(from),
        _ if is_bytes(from) && is_bytes(to) => true,
        (Date32 | Date64 | Timestamp(..), Date32 | Date64 | Timestamp(..)) => true,
        (List(_) | LargeList(_), List(_)) | (Struct(_), Struct(_)) | (Map(..), Map(..)) => {
            can_cast_types(from, to)
        }
        _ => false,
    }
}

/// Without dictionaries and views of text.
fn plain(column: &ArrayRef) -> Result<ArrayRef, AnalyzeError> {
    let to = match column.data_type() {
        DataType::Dictionary(_, value) => value.as_ref().clone(),
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
        _ => return Ok(Arc::clone(column)),
    };
    cast(column, &to)
}

/// What cannot be converted is null where the value was none.
fn convert(given: &ArrayRef, to: &DataType) -> Result<ArrayRef, AnalyzeError> {
    use DataType::{Decimal128, Float32, Float64, Utf8};
    let from = given.data_type().clone();
    Ok(match (&from, to) {
        _ if from == *to => Arc::clone(given),
        (Utf8, _) => from_text(given, to)?,
        (Float32, _) if to.is_integer() => {
            let whole =
                given.as_primitive::<Float32Type>().unary::<_, Float32Type>(f32::round_ties_even);
            cast(&(Arc::new(whole) as ArrayRef), to)?
        }
        (Float64, _) if to.is_integer() => {
            let whole =
                given.as_primitive::<Float64Type>().unary::<_, Float64Type>(f64::round_ties_even);
            cast(&(Arc::new(whole) as ArrayRef), to)?
        }
        (Float64, Float32) => {
            let narrow = given.as_primitive::<Float64Type>().unary_opt::<_, Float32Type>(|wide| {
                let narrow = wide as f32;
                (narrow.is_finite() || !wide.is_finite()).then_some(narrow)
            });
            Arc::new(narrow)
        }
        (Decimal128(_, scale), _) if to.is_integer() && *scale > 0 => {
            cast(&cast(given, &Decimal128(38, 0))?, to)?
        }
        _ => cast(given, to)?,
    })
}

/// What a literal's text or a file's cell says.
fn from_text(given: &ArrayRef, to: &DataType) -> Result<ArrayRef, AnalyzeError> {
    let texts = given.as_string::<i32>();
    Ok(match to {
        DataType::Binary => {
            let bytes = texts.iter().map(|text| text.map(bytes_of));
            let bytes: Vec<Option<Option<Vec<u8>>>> = bytes.collect();
            Arc::new(bytes.into_iter().map(Option::flatten).collect::<BinaryArray>())
        }
        DataType::Decimal128(precision, scale) => {
            let parsed = texts.iter().map(|text| decimal_of(text?, *precision, *scale));
            let parsed = parsed.collect::<Decimal128Array>();
            let parsed = parsed.with_precision_and_scale(*precision, *scale);
            Arc::new(parsed.map_err(|error| AnalyzeError::bug(error.to_string()))?)
        }
        _ => {
            let trimmed: StringArray = texts.iter().map(|text| text.map(str::trim)).collect();
            cast(&(Arc::new(trimmed) as ArrayRef), to)?
        }
    })
}

/// `\x` and hexadecimal digits, as PostgreSQL writes bytes; any other text is its own bytes.
fn bytes_of(text: &str) -> Option<Vec<u8>> {
    let Some(digits) = text.strip_prefix("\\x") else { return Some(text.as_bytes().to_vec()) };
    if digits.len() % 2 != 0 || !digits.is_ascii() {
        return None;
    }
    let pairs = (0..digits.len()).step_by(2);
    pairs.map(|at| u8::from_str_radix(&digits[at..at + 2], 16).ok()).collect()
}

fn cast(column: &ArrayRef, to: &DataType) -> Result<ArrayRef, AnalyzeError> {
    let options = CastOptions { safe: true, ..CastOptions::default() };
    cast_with_options(column, to, &options).map_err(|error| AnalyzeError::user(error.to_string()))
}

/// The first row that had a value and has none now.
fn lost(given: &ArrayRef, assigned: &ArrayRef) -> Option<usize> {
    if given.null_count() == assigned.null_count() || given.data_type() == &DataType::Null {
        return None;
    }
    (0..assigned.len()).find(|row| assigned.is_null(*row) && !given.is_null(*row))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use arrow::array::{Float64Array, Int64Array};
    use arrow::datatypes::{Field, Int32Type, Schema, TimeUnit};

    fn assigned(column: ArrayRef, to: DataType) -> Result<ArrayRef, String> {
        let schema = Arc::new(Schema::new(vec![Field::new("c", to, true)]));
        let mut assignment = Assignment::new("t", &schema);
        let source = Source { data_type: column.data_type().clone(), untyped: true };
        assignment.assign(0, 0, &source).map_err(|error| error.to_string())?;
        let batch = RecordBatch::try_from_iter([("x", column)]).unwrap();
        let rows = assignment.rows(&batch).map_err(|error| error.to_string())?;
        Ok(Arc::clone(rows.column(0)))
    }

    #[test]
    fn numbers_are_rounded_as_postgresql_assigns_them() {
        let floats: ArrayRef = Arc::new(Float64Array::from(vec![0.5, 1.5, 2.5, -0.5, -1.5]));
        let whole = assigned(floats, DataType::Int32).unwrap();
        assert_eq!(whole.as_primitive::<Int32Type>().values(), &[0, 2, 2, 0, -2]);
        let decimals = Decimal128Array::from(vec![5, 15, 25, -5]).with_precision_and_scale(3, 1);
        let whole = assigned(Arc::new(decimals.unwrap()), DataType::Int32).unwrap();
        assert_eq!(whole.as_primitive::<Int32Type>().values(), &[1, 2, 3, -1]);
    }

    #[test]
    fn what_does_not_fit_names_row_and_column() {
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 40_000]));
        let error = assigned(numbers, DataType::Int16).unwrap_err();
        assert_eq!(error, "number out of range: 40000 does not fit column \"c\" SMALLINT, row 2");
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["2024-02-29", "2024-02-30"]));
        let error = assigned(texts, DataType::Date32).unwrap_err();
        assert_eq!(error, "invalid input for column \"c\" DATE, row 2: \"2024-02-30\"");
        let wide = Decimal128Array::from(vec![12_345]).with_precision_and_scale(10, 2).unwrap();
        let error = assigned(Arc::new(wide), DataType::Decimal128(4, 2)).unwrap_err();
        assert!(error.contains("123.45") && error.contains("row 1"), "{error}");
    }

    #[test]
    fn typed_text_needs_a_cast() {
        let source = Source { data_type: DataType::Utf8View, untyped: false };
        let to = DataType::Timestamp(TimeUnit::Microsecond, None);
        let schema = Arc::new(Schema::new(vec![Field::new("at", to, true)]));
        let error = Assignment::new("t", &schema).assign(0, 0, &source).unwrap_err();
        assert!(error.to_string().contains("CAST(... AS TIMESTAMP(6))"), "{error}");
    }
}
