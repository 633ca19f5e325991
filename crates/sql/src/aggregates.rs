//! `SUM` and `AVG` of the `flink` dialect over DataFusion's batch engine.
//!
//! Guarantees: types are those of [`aggregate_result_type`]; integers and decimals are added
//! exactly; an average of integers is cut, one of decimals rounded half up; a result that does not
//! fit its type fails the query, as it fails its row in a stream.
//! Left out: `COUNT`, `MIN` and `MAX`, which are DataFusion's.

use crate::Dialect;
use crate::typing::aggregate_result_type;
use crate::typing::wide;
use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Float64Type, Int64Type};
use arrow_array::{Array, ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int64Array};
use arrow_schema::{DataType, Field, FieldRef};
use datafusion::arrow::compute;
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility,
};
use std::collections::HashSet;
use std::sync::Arc;

/// The widest decimal: what a sum of integers or decimals is kept in.
const DIGITS: u8 = crate::typing::DIGITS_MAX;

/// The aggregates of the `flink` dialect: they take the place of DataFusion's of the same name.
pub fn flink() -> Vec<Arc<AggregateUDF>> {
    ["sum", "avg"]
        .map(|name| {
            let signature = Signature::user_defined(Volatility::Immutable);
            Arc::new(AggregateUDF::from(Total { name, signature }))
        })
        .into()
}

/// `SUM` or `AVG`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Total {
    name: &'static str,
    signature: Signature,
}

impl AggregateUDFImpl for Total {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        Ok(arguments.to_vec())
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match arguments {
            [argument] => aggregate_result_type(Dialect::Flink, self.name, argument),
            _ => plan_err!("{} takes one argument", self.name.to_uppercase()),
        }
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let totals = self.totals(&args);
        match args.is_distinct {
            true => {
                let input = args.expr_fields[0].data_type().clone();
                Ok(Box::new(Distinct { seen: HashSet::new(), input, totals }))
            }
            false => Ok(Box::new(Single(totals))),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let input = args.input_fields[0].data_type();
        let field = |name: &str, data_type| Arc::new(Field::new(name, data_type, true));
        if args.is_distinct {
            return Ok(vec![field("seen", DataType::new_list(input.clone(), true))]);
        }
        Ok(vec![field("sum", state_type(input)), field("count", DataType::Int64)])
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        !args.is_distinct
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(self.totals(&args)))
    }
}

impl Total {
    fn totals(&self, args: &AccumulatorArgs<'_>) -> Totals {
        let state = state_type(args.expr_fields[0].data_type());
        Totals {
            name: self.name,
            average: self.name == "avg",
            gives: args.return_field.data_type().clone(),
            sums: match state {
                DataType::Decimal128(_, scale) => Sums::Exact(scale, Vec::new()),
                _ => Sums::Double(Vec::new()),
            },
            counts: Vec::new(),
        }
    }
}

/// What sums of a type are kept in.
fn state_type(input: &DataType) -> DataType {
    match input {
        DataType::Decimal128(_, scale) => DataType::Decimal128(DIGITS, *scale),
        other if other.is_integer() => DataType::Decimal128(DIGITS, 0),
        _ => DataType::Float64,
    }
}

/// One sum for each group.
#[derive(Debug)]
enum Sums {
    /// With so many digits after the point.
    Exact(i8, Vec<i128>),
    Double(Vec<f64>),
}

/// The sum and the number of values of each group.
#[derive(Debug)]
struct Totals {
    name: &'static str,
    average: bool,
    gives: DataType,
    sums: Sums,
    counts: Vec<i64>,
}

impl Totals {
    fn resize(&mut self, groups: usize) {
        self.counts.resize(groups, 0);
        match &mut self.sums {
            Sums::Exact(_, sums) => sums.resize(groups, 0),
            Sums::Double(sums) => sums.resize(groups, 0.0),
        }
    }

    /// Adds values, each of which stands for as many as `counts` says, or takes them back.
    fn add(
        &mut self,
        values: &ArrayRef,
        counts: Option<&Int64Array>,
        groups: &[usize],
        wanted: Option<&BooleanArray>,
        sign: i64,
    ) -> Result<()> {
        let name = self.name;
        let takes =
            |row: usize| wanted.is_none_or(|wanted| wanted.is_valid(row) && wanted.value(row));
        let count = |row: usize| sign * counts.map_or(1, |counts| counts.value(row));
        match &mut self.sums {
            Sums::Exact(scale, sums) => {
                let values = compute::cast(values, &DataType::Decimal128(DIGITS, *scale))?;
                let values = values.as_primitive::<Decimal128Type>();
                for (row, group) in groups.iter().enumerate() {
                    if values.is_valid(row) && takes(row) {
                        let value = i128::from(sign) * values.value(row);
                        let Some(sum) = sums[*group].checked_add(value) else {
                            return exec_err!(
                                "{} does not fit {DIGITS} digits",
                                name.to_uppercase()
                            );
                        };
                        sums[*group] = sum;
                        self.counts[*group] += count(row);
                    }
                }
            }
            Sums::Double(sums) => {
                let values = compute::cast(values, &DataType::Float64)?;
                let values = values.as_primitive::<Float64Type>();
                for (row, group) in groups.iter().enumerate() {
                    if values.is_valid(row) && takes(row) {
                        sums[*group] += sign as f64 * values.value(row);
                        self.counts[*group] += count(row);
                    }
                }
            }
        }
        Ok(())
    }

    /// The results of so many groups, which are forgotten.
    fn results(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let counts = emit_to.take_needed(&mut self.counts);
        match &mut self.sums {
            Sums::Double(sums) => {
                let sums = emit_to.take_needed(sums);
                let results = sums.into_iter().zip(counts).map(|(sum, count)| {
                    let divisor = if self.average { count as f64 } else { 1.0 };
                    (count != 0).then(|| sum / divisor)
                });
                Ok(compute::cast(&results.collect::<Float64Array>(), &self.gives)?)
            }
            Sums::Exact(from, sums) => {
                let sums = emit_to.take_needed(sums);
                let limit = Limit::of(&self.gives);
                let results = sums.into_iter().zip(counts).map(|(sum, count)| {
                    if count == 0 {
                        return Ok(None);
                    }
                    let divisor = if self.average { i128::from(count) } else { 1 };
                    let result = match limit.scale {
                        None => Some(sum / divisor),
                        Some(scale) => wide::divide(sum, divisor, scale - *from),
                    };
                    match result.filter(|result| limit.holds(*result)) {
                        Some(result) => Ok(Some(result)),
                        None => exec_err!(
                            "{} does not fit {}",
                            self.name.to_uppercase(),
                            crate::type_name(&self.gives)
                        ),
                    }
                });
                let results = results.collect::<Result<Decimal128Array>>()?;
                Ok(match limit.scale {
                    Some(_) => Arc::new(results.with_data_type(self.gives.clone())),
                    None => {
                        #[allow(clippy::cast_possible_truncation)] // it is within the limits
                        let whole: Int64Array = results.unary::<_, Int64Type>(|value| value as i64);
                        compute::cast(&whole, &self.gives)?
                    }
                })
            }
        }
    }
}

/// What a result's type holds.
struct Limit {
    least: i128,
    most: i128,
    /// Digits after the point; nothing for an integer, which is cut.
    scale: Option<i8>,
}

impl Limit {
    fn of(data_type: &DataType) -> Self {
        let bits = match data_type {
            DataType::Decimal128(digits, scale) => {
                let most = wide::power_of_ten(*digits).cast_signed() - 1;
                return Self { least: -most, most, scale: Some(*scale) };
            }
            DataType::Int8 => 8,
            DataType::Int16 => 16,
            DataType::Int32 => 32,
            _ => 64,
        };
        let most = (1_i128 << (bits - 1)) - 1;
        Self { least: -most - 1, most, scale: None }
    }

    fn holds(&self, value: i128) -> bool {
        (self.least..=self.most).contains(&value)
    }
}

impl GroupsAccumulator for Totals {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        wanted: Option<&BooleanArray>,
        count: usize,
    ) -> Result<()> {
        self.resize(count);
        self.add(&values[0], None, groups, wanted, 1)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        self.results(emit_to)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let sums: ArrayRef = match &mut self.sums {
            Sums::Exact(scale, sums) => {
                let sums = Decimal128Array::from(emit_to.take_needed(sums));
                Arc::new(sums.with_data_type(DataType::Decimal128(DIGITS, *scale)))
            }
            Sums::Double(sums) => Arc::new(Float64Array::from(emit_to.take_needed(sums))),
        };
        Ok(vec![sums, Arc::new(Int64Array::from(emit_to.take_needed(&mut self.counts)))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], count: usize) -> Result<()> {
        self.resize(count);
        self.add(&states[0], Some(states[1].as_primitive::<Int64Type>()), groups, None, 1)
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        wanted: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let sums = match &self.sums {
            Sums::Exact(scale, _) => Sums::Exact(*scale, Vec::new()),
            Sums::Double(_) => Sums::Double(Vec::new()),
        };
        let (gives, counts) = (self.gives.clone(), Vec::new());
        let mut each = Self { gives, sums, counts, ..*self };
        let groups: Vec<usize> = (0..values[0].len()).collect();
        each.update_batch(values, &groups, wanted, groups.len())?;
        each.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        let sums = match &self.sums {
            Sums::Exact(_, sums) => sums.capacity() * size_of::<i128>(),
            Sums::Double(sums) => sums.capacity() * size_of::<f64>(),
        };
        size_of::<Self>() + sums + self.counts.capacity() * size_of::<i64>()
    }
}

/// The whole input as one group.
#[derive(Debug)]
struct Single(Totals);

impl Single {
    fn add(&mut self, values: &ArrayRef, counts: Option<&Int64Array>, sign: i64) -> Result<()> {
        self.0.resize(1);
        self.0.add(values, counts, &vec![0; values.len()], None, sign)
    }
}

impl Accumulator for Single {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.add(&values[0], None, 1)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.0.resize(1);
        // A window asks again after more rows.
        let state = self.0.state(EmitTo::All)?;
        self.merge_batch(&state)?;
        let result = self.0.results(EmitTo::All)?;
        self.merge_batch(&state)?;
        ScalarValue::try_from_array(&result, 0)
    }

    fn size(&self) -> usize {
        self.0.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.0.resize(1);
        let state = self.0.state(EmitTo::All)?;
        state.iter().map(|column| ScalarValue::try_from_array(column, 0)).collect()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.add(&states[0], Some(states[1].as_primitive::<Int64Type>()), 1)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.add(&values[0], None, -1)
    }

    fn supports_retract_batch(&self) -> bool {
        // What a float has lost in a sum does not come back.
        matches!(self.0.sums, Sums::Exact(..))
    }
}

/// Each value once.
#[derive(Debug)]
struct Distinct {
    seen: HashSet<ScalarValue>,
    input: DataType,
    totals: Totals,
}

impl Accumulator for Distinct {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for row in 0..values[0].len() {
            if values[0].is_valid(row) {
                self.seen.insert(ScalarValue::try_from_array(&values[0], row)?);
            }
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        if self.seen.is_empty() {
            return ScalarValue::try_from(&self.totals.gives);
        }
        let values = ScalarValue::iter_to_array(self.seen.iter().cloned())?;
        self.totals.resize(1);
        self.totals.add(&values, None, &vec![0; values.len()], None, 1)?;
        ScalarValue::try_from_array(&self.totals.results(EmitTo::All)?, 0)
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.seen.iter().map(ScalarValue::size).sum::<usize>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let values: Vec<_> = self.seen.iter().cloned().collect();
        Ok(vec![ScalarValue::List(ScalarValue::new_list_nullable(&values, &self.input))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let lists = states[0].as_list::<i32>();
        lists.iter().flatten().try_for_each(|list| self.update_batch(&[list]))
    }
}
