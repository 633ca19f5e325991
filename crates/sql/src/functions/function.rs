//! What a scalar function of ours is made of: a name, the arguments it takes, what it returns, and
//! a kernel that makes one column from columns.
//!
//! Guarantees: a kernel sees each constant argument once, not once a row; where all arguments are
//! constants it runs for one row; an error names the function.
//! Left out: rows one at a time. A kernel loops over Arrow's buffers itself, with the readers here.

use crate::typing::cast::{parse_timestamp, to_local};
use arrow_array::builder::StringBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{
    Array, ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use arrow_schema::{DataType, Field, FieldRef, TimeUnit};
use chrono_tz::Tz;
use datafusion::common::config::ConfigOptions;
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// An argument, and what is cast to get there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Takes {
    /// `STRING`.
    Text,
    /// Any integer, as a `BIGINT`.
    Whole,
    /// Any number, as a `DOUBLE`.
    Double,
    /// `TIMESTAMP`, `DATE` or a text that is one, as a `TIMESTAMP`; a `TIMESTAMP_LTZ` in the
    /// session's zone.
    Time,
    /// As it is.
    Any,
}

/// What a function gives.
#[derive(Debug, Clone)]
pub(crate) enum Gives {
    /// Always the same.
    Type(DataType),
    /// What the types of the arguments, and those that are constants, come to.
    By(fn(&[DataType], &[Option<&ScalarValue>]) -> Result<DataType>),
}

/// Makes the column; the error is the reason alone.
pub(crate) type Kernel = fn(&Call<'_>) -> Result<ArrayRef, String>;

/// A scalar function.
#[derive(Debug, Clone)]
pub(crate) struct Function {
    name: &'static str,
    aliases: Vec<String>,
    takes: &'static [Takes],
    /// Arguments that may be left out, at the end.
    optional: usize,
    /// Whether the last argument may be there any number of times.
    repeats: bool,
    gives: Gives,
    kernel: Kernel,
    zone: Tz,
    digits: Option<u8>,
    signature: Signature,
}

impl Function {
    /// A function of exactly these arguments.
    pub(crate) fn new(
        name: &'static str,
        takes: &'static [Takes],
        gives: Gives,
        kernel: Kernel,
    ) -> Self {
        Self {
            name,
            aliases: Vec::new(),
            takes,
            optional: 0,
            repeats: false,
            gives,
            kernel,
            zone: Tz::UTC,
            digits: None,
            signature: Signature::user_defined(Volatility::Immutable),
        }
    }

    /// The last `count` arguments may be left out.
    pub(crate) const fn optional(mut self, count: usize) -> Self {
        self.optional = count;
        self
    }

    /// The last argument may be repeated.
    pub(crate) const fn repeats(mut self) -> Self {
        self.repeats = true;
        self
    }

    pub(crate) fn alias(mut self, name: &str) -> Self {
        self.aliases.push(name.to_string());
        self
    }

    pub(crate) fn udf(self) -> ScalarUDF {
        ScalarUDF::new_from_impl(self)
    }

    pub(crate) fn shared(self) -> Arc<ScalarUDF> {
        Arc::new(self.udf())
    }

    /// Its times have so many digits of a second.
    pub(crate) const fn digits(mut self, digits: u8) -> Self {
        self.digits = Some(digits);
        self
    }

    fn result(
        &self,
        arguments: &[DataType],
        constants: &[Option<&ScalarValue>],
    ) -> Result<DataType> {
        match &self.gives {
            Gives::Type(data_type) => Ok(data_type.clone()),
            Gives::By(decide) => decide(arguments, constants),
        }
    }

    fn takes(&self, index: usize) -> Takes {
        self.takes[index.min(self.takes.len() - 1)]
    }

    fn coerce(&self, index: usize, from: &DataType) -> Result<DataType> {
        let takes = self.takes(index);
        let to = match (takes, from) {
            (Takes::Any, other) => Some(other.clone()),
            (Takes::Text, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) => {
                Some(DataType::Utf8)
            }
            (Takes::Text, DataType::Null) => Some(DataType::Utf8),
            (Takes::Whole, other) if other.is_integer() || other.is_null() => Some(DataType::Int64),
            (Takes::Double, other) if other.is_numeric() || other.is_null() => {
                Some(DataType::Float64)
            }
            (Takes::Time, DataType::Timestamp(_, zone)) => {
                Some(DataType::Timestamp(TimeUnit::Microsecond, zone.clone()))
            }
            (Takes::Time, DataType::Date32 | DataType::Null) => {
                Some(DataType::Timestamp(TimeUnit::Microsecond, None))
            }
            (Takes::Time, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) => {
                Some(DataType::Utf8)
            }
            _ => None,
        };
        match to {
            Some(to) => Ok(to),
            None => plan_err!(
                "{} takes {} as argument {}, not {}",
                self.name,
                takes.name(),
                index + 1,
                crate::type_name(from)
            ),
        }
    }
}

impl Takes {
    const fn name(self) -> &'static str {
        match self {
            Self::Text => "STRING",
            Self::Whole => "an integer",
            Self::Double => "a number",
            Self::Time => "a time",
            Self::Any => "anything",
        }
    }
}

// Name and zone say which function it is; DataFusion compares functions when it compares
// expressions.
impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.zone == other.zone
    }
}

impl Eq for Function {}

impl Hash for Function {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.name, self.zone).hash(state);
    }
}

impl ScalarUDFImpl for Function {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        let (given, most) = (arguments.len(), self.takes.len());
        if given + self.optional < most || (given > most && !self.repeats) {
            return match self.optional {
                0 => plan_err!("{} takes {most} arguments, not {given}", self.name),
                optional => plan_err!(
                    "{} takes {} to {most} arguments, not {given}",
                    self.name,
                    most - optional
                ),
            };
        }
        let types = arguments.iter().enumerate();
        types.map(|(index, from)| self.coerce(index, from)).collect()
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        self.result(arguments, &vec![None; arguments.len()])
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let types: Vec<_> = args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let data_type = self.result(&types, args.scalar_arguments)?;
        let field = Field::new(self.name, data_type, true);
        Ok(Arc::new(match self.digits {
            Some(digits) => crate::with_precision(field, digits),
            None => field,
        }))
    }

    fn with_updated_config(&self, config: &ConfigOptions) -> Option<ScalarUDF> {
        let zone = crate::typing::session_zone(config).ok()?;
        (zone != self.zone).then(|| Self { zone, ..self.clone() }.udf())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let columns = args.args.iter().map(|arg| match arg {
            ColumnarValue::Array(array) => Ok((array.clone(), false)),
            ColumnarValue::Scalar(scalar) => Ok((scalar.to_array_of_size(1)?, true)),
        });
        let call = Call {
            columns: columns.collect::<Result<Vec<_>>>()?,
            rows: if constant { 1 } else { args.number_rows },
            zone: self.zone,
            gives: args.return_field.data_type(),
        };
        let array = match (self.kernel)(&call) {
            Ok(array) => array,
            Err(reason) => return exec_err!("{}: {reason}", self.name.to_uppercase()),
        };
        match constant {
            true => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?)),
            false => Ok(ColumnarValue::Array(array)),
        }
    }
}

/// One batch's arguments.
pub(crate) struct Call<'a> {
    columns: Vec<(ArrayRef, bool)>,
    /// How many rows the kernel gives.
    pub(crate) rows: usize,
    /// The session's zone.
    pub(crate) zone: Tz,
    /// The type the kernel gives.
    pub(crate) gives: &'a DataType,
}

/// A column, or one value for all rows.
pub(crate) struct Reader<'a, A> {
    array: &'a A,
    step: usize,
}

impl<A> Clone for Reader<'_, A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A> Copy for Reader<'_, A> {}

impl<'a, A: Array> Reader<'a, A> {
    fn at(&self, row: usize) -> Option<usize> {
        let index = row * self.step;
        self.array.is_valid(index).then_some(index)
    }
}

impl<'a> Reader<'a, StringArray> {
    pub(crate) fn get(&self, row: usize) -> Option<&'a str> {
        self.at(row).map(|index| self.array.value(index))
    }

    /// The value where it is the same for all rows.
    pub(crate) fn constant(&self) -> Option<&'a str> {
        (self.step == 0).then(|| self.get(0)).flatten()
    }
}

impl Reader<'_, Int64Array> {
    pub(crate) fn get(&self, row: usize) -> Option<i64> {
        self.at(row).map(|index| self.array.value(index))
    }
}

impl Reader<'_, Float64Array> {
    pub(crate) fn get(&self, row: usize) -> Option<f64> {
        self.at(row).map(|index| self.array.value(index))
    }
}

impl Reader<'_, TimestampMicrosecondArray> {
    pub(crate) fn get(&self, row: usize) -> Option<i64> {
        self.at(row).map(|index| self.array.value(index))
    }
}

/// Local microseconds, of a column or of one value for all rows.
pub(crate) struct Locals {
    array: TimestampMicrosecondArray,
    step: usize,
}

impl Locals {
    pub(crate) fn get(&self, row: usize) -> Option<i64> {
        let index = row * self.step;
        self.array.is_valid(index).then(|| self.array.value(index))
    }
}

impl Call<'_> {
    /// How many arguments there are.
    pub(crate) fn len(&self) -> usize {
        self.columns.len()
    }

    /// The argument as it came, with one row where it is a constant.
    pub(crate) fn column(&self, index: usize) -> &ArrayRef {
        &self.columns[index].0
    }

    /// The row of [`Self::column`] that belongs to `row`.
    pub(crate) fn row_of(&self, index: usize, row: usize) -> usize {
        if self.columns[index].1 { 0 } else { row }
    }

    fn reader<'b, A>(&'b self, index: usize, array: &'b A) -> Reader<'b, A> {
        Reader { array, step: usize::from(!self.columns[index].1) }
    }

    pub(crate) fn text(&self, index: usize) -> Reader<'_, StringArray> {
        self.reader(index, self.column(index).as_string::<i32>())
    }

    pub(crate) fn whole(&self, index: usize) -> Reader<'_, Int64Array> {
        self.reader(index, self.column(index).as_primitive::<Int64Type>())
    }

    pub(crate) fn double(&self, index: usize) -> Reader<'_, Float64Array> {
        self.reader(index, self.column(index).as_primitive::<Float64Type>())
    }

    /// Microseconds, of a `TIMESTAMP` or a `TIMESTAMP_LTZ`.
    pub(crate) fn micros(&self, index: usize) -> Reader<'_, TimestampMicrosecondArray> {
        self.reader(index, self.column(index).as_primitive::<TimestampMicrosecondType>())
    }

    /// Local microseconds that were made of the argument at `index`.
    pub(crate) fn locals(&self, index: usize, array: TimestampMicrosecondArray) -> Locals {
        Locals { array, step: usize::from(!self.columns[index].1) }
    }

    /// Local microseconds of a time: an instant is looked at in the session's zone, a text is read.
    pub(crate) fn local(&self, index: usize) -> Result<Locals, String> {
        let column = self.column(index);
        let array = match column.data_type() {
            DataType::Timestamp(_, Some(_)) => column
                .as_primitive::<TimestampMicrosecondType>()
                .unary(|instant| to_local(instant, self.zone)),
            DataType::Timestamp(_, None) => {
                column.as_primitive::<TimestampMicrosecondType>().clone()
            }
            DataType::Utf8 => {
                let texts = column.as_string::<i32>().iter().map(|text| match text {
                    None => Ok(None),
                    Some(text) => match parse_timestamp(text) {
                        Some(time) => Ok(Some(time)),
                        None => Err(format!("{text:?} is no TIMESTAMP")),
                    },
                });
                texts.collect::<Result<TimestampMicrosecondArray, _>>()?
            }
            other => return Err(format!("{other} is no time")),
        };
        Ok(self.locals(index, array))
    }

    /// A column of texts: `body` writes one into the buffer and says whether there is one.
    pub(crate) fn texts(
        &self,
        mut body: impl FnMut(usize, &mut String) -> Result<bool, String>,
    ) -> Result<ArrayRef, String> {
        let mut builder = StringBuilder::with_capacity(self.rows, self.rows * 16);
        let mut buffer = String::new();
        for row in 0..self.rows {
            buffer.clear();
            match body(row, &mut buffer)? {
                true => builder.append_value(&buffer),
                false => builder.append_null(),
            }
        }
        Ok(Arc::new(builder.finish()))
    }

    /// The same where the texts are parts of others.
    pub(crate) fn slices<'b>(
        &self,
        mut body: impl FnMut(usize) -> Option<&'b str>,
    ) -> Result<ArrayRef, String> {
        let mut builder = StringBuilder::with_capacity(self.rows, self.rows * 16);
        (0..self.rows).for_each(|row| builder.append_option(body(row)));
        Ok(Arc::new(builder.finish()))
    }

    pub(crate) fn longs(
        &self,
        body: impl FnMut(usize) -> Result<Option<i64>, String>,
    ) -> Result<ArrayRef, String> {
        Ok(Arc::new((0..self.rows).map(body).collect::<Result<Int64Array, _>>()?))
    }

    pub(crate) fn ints(&self, body: impl FnMut(usize) -> Option<i32>) -> Result<ArrayRef, String> {
        Ok(Arc::new((0..self.rows).map(body).collect::<arrow_array::Int32Array>()))
    }

    pub(crate) fn doubles(
        &self,
        body: impl FnMut(usize) -> Option<f64>,
    ) -> Result<ArrayRef, String> {
        Ok(Arc::new((0..self.rows).map(body).collect::<Float64Array>()))
    }

    pub(crate) fn booleans(
        &self,
        body: impl FnMut(usize) -> Option<bool>,
    ) -> Result<ArrayRef, String> {
        Ok(Arc::new((0..self.rows).map(body).collect::<BooleanArray>()))
    }

    /// A column of times in the type the function gives.
    pub(crate) fn times(
        &self,
        body: impl FnMut(usize) -> Result<Option<i64>, String>,
    ) -> Result<ArrayRef, String> {
        let times = (0..self.rows).map(body).collect::<Result<TimestampMicrosecondArray, _>>()?;
        match self.gives {
            DataType::Timestamp(_, Some(zone)) => Ok(Arc::new(times.with_timezone(zone.clone()))),
            _ => Ok(Arc::new(times)),
        }
    }
}

/// Text.
pub(crate) const TEXT: Gives = Gives::Type(DataType::Utf8);
/// A whole number.
pub(crate) const INT: Gives = Gives::Type(DataType::Int32);
/// A large one.
pub(crate) const BIGINT: Gives = Gives::Type(DataType::Int64);
/// A floating number.
pub(crate) const DOUBLE: Gives = Gives::Type(DataType::Float64);
/// Yes or no.
pub(crate) const BOOLEAN: Gives = Gives::Type(DataType::Boolean);
/// A time without a zone.
pub(crate) const TIMESTAMP: Gives = Gives::Type(DataType::Timestamp(TimeUnit::Microsecond, None));
