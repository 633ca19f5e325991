//! `SUM` and `AVG`.
//!
//! Guarantees: exact for integers and decimals; a result that its type cannot hold fails.
//! An average of integers is cut towards zero, one of decimals rounded half up, away from zero.
//! Floats are added as doubles in the order they come; infinities and NaNs are counted, so that
//! they can be taken back.

use super::values::{column, ints_to, to_ints};
use super::{About, Accumulator, Rows, same};
use crate::DataflowError;
use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Float64Array, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Field, Float64Type, Int64Type, i256};
use hashbrown::HashMap;
use std::any::Any;
use std::sync::Arc;

/// The sum and the number of values that are not null.
#[derive(Debug, Clone, Copy, Default)]
struct Sum<T> {
    sum: T,
    count: i64,
}

/// Integers and decimals.
pub(super) struct ExactSum {
    about: About,
    /// Digits behind the point of what is added.
    scale: i8,
    /// How sums are saved: the widest decimal, as sums of integers need more than 64 bits.
    saved: DataType,
    sums: Vec<Sum<i128>>,
}

impl ExactSum {
    pub(super) fn new(about: About, argument: &DataType) -> Self {
        let scale = match argument {
            DataType::Decimal128(_, scale) => *scale,
            _ => 0,
        };
        Self { about, scale, saved: DataType::Decimal128(38, 0), sums: Vec::new() }
    }

    fn overflow(&self) -> DataflowError {
        self.about.overflow(match self.about.output {
            DataType::Decimal128(..) => "; CAST its argument to a DECIMAL with fewer digits",
            _ => "; CAST its argument to DECIMAL(38, 0)",
        })
    }

    /// Copies of slots, made by a loop that does nothing else: reads from memory that do not wait
    /// for each other come beside each other.
    fn copied(&self, slots: &[u32]) -> Vec<Sum<i128>> {
        slots.iter().map(|slot| self.sums[*slot as usize]).collect()
    }

    /// A slot's result with this many digits behind the point, or `None` where it has no value.
    #[inline(always)]
    fn scaled(&self, sum: Sum<i128>, scale: i8) -> Result<Option<i128>, DataflowError> {
        let Sum { sum, count } = sum;
        if count == 0 {
            return Ok(None);
        }
        let digits = scale - self.scale;
        let result = match (self.about.average, digits) {
            (false, 0) => Some(sum),
            (true, 0) if self.scale == 0 => Some(cut(sum, count)),
            (true, _) => divided(sum, i128::from(count), digits),
            (false, _) => divided(sum, 1, digits),
        };
        result.map(Some).ok_or_else(|| self.overflow())
    }

    fn ints(&self, slots: &[u32], bits: u32) -> Result<ArrayRef, DataflowError> {
        let limit = 1_i128 << (bits - 1);
        let fits = |value: Option<i128>| match value {
            Some(value) if !(-limit..limit).contains(&value) => Err(self.overflow()),
            value => Ok(value.map(|value| value as i64)),
        };
        let sums = self.copied(slots);
        let values = sums.iter().map(|sum| self.scaled(*sum, 0).and_then(fits));
        ints_to(column(values)?, &self.about.output)
    }

    fn decimals(&self, slots: &[u32], digits: u8, scale: i8) -> Result<ArrayRef, DataflowError> {
        let limit = 10_i128.pow(u32::from(digits));
        let fits = |value: Option<i128>| match value {
            Some(value) if value <= -limit || value >= limit => Err(self.overflow()),
            value => Ok(value),
        };
        let sums = self.copied(slots);
        let values = sums.iter().map(|sum| self.scaled(*sum, scale).and_then(fits));
        let values = column::<Decimal128Type>(values)?;
        Ok(Arc::new(values.with_data_type(self.about.output.clone())))
    }

    fn floats(&self, slots: &[u32]) -> Result<ArrayRef, DataflowError> {
        let one = 10_f64.powi(i32::from(self.scale));
        let values = slots.iter().map(|slot| {
            let Sum { sum, count } = self.sums[*slot as usize];
            let divisor = if self.about.average { one * count as f64 } else { one };
            Ok((count != 0).then(|| sum as f64 / divisor))
        });
        Ok(cast(&column::<Float64Type>(values)?, &self.about.output)?)
    }
}

/// `sum / count`, cut towards zero.
#[inline]
fn cut(sum: i128, count: i64) -> i128 {
    match i64::try_from(sum) {
        // One instruction, where the wide division is a function of many; -1 may overflow it.
        Ok(sum) if count > 0 => i128::from(sum / count),
        _ => sum / i128::from(count),
    }
}

/// `value * 10^digits / divisor`, rounded half up, away from zero.
fn divided(value: i128, divisor: i128, digits: i8) -> Option<i128> {
    let power = 10_i128.checked_pow(u32::from(digits.unsigned_abs()))?;
    let (factor, divisor) = match digits {
        0.. => (power, divisor),
        _ => (1, divisor.checked_mul(power)?),
    };
    if let Some(value) = value.checked_mul(factor) {
        let (whole, rest) = match (i64::try_from(value), i64::try_from(divisor)) {
            (Ok(value), Ok(divisor)) if divisor > 0 => {
                (i128::from(value / divisor), i128::from(value % divisor))
            }
            _ => (value / divisor, value % divisor),
        };
        let up = rest.unsigned_abs() >= divisor.unsigned_abs() - rest.unsigned_abs();
        let away = if (value < 0) == (divisor < 0) { 1 } else { -1 };
        return whole.checked_add(if up { away } else { 0 });
    }
    let value = i256::from_i128(value).checked_mul(i256::from_i128(factor))?;
    let wide = i256::from_i128(divisor);
    let whole = value.checked_div(wide)?.to_i128()?;
    let rest = value.checked_rem(wide)?.to_i128()?;
    let up = rest.unsigned_abs() >= divisor.unsigned_abs() - rest.unsigned_abs();
    let away = if value.is_negative() == (divisor < 0) { 1 } else { -1 };
    whole.checked_add(if up { away } else { 0 })
}

impl Accumulator for ExactSum {
    fn grow(&mut self, slots: usize) {
        self.sums.resize(slots.max(self.sums.len()), Sum::default());
    }

    fn update(&mut self, rows: &Rows) -> Result<(), DataflowError> {
        let Some(argument) = &rows.argument else { return Err(self.about.wrong(&DataType::Null)) };
        let sums = &mut self.sums[..];
        let data_type = argument.data_type();
        if !matches!(data_type, DataType::Decimal128(..)) {
            if !data_type.is_integer() {
                return Err(self.about.wrong(data_type));
            }
            let ints = to_ints(argument)?;
            let values = &ints.values()[..];
            // Cannot overflow before 2^63 rows.
            rows.each(|row, slot, weight| {
                let sum = &mut sums[slot];
                sum.sum += i128::from(values[row]) * i128::from(weight);
                sum.count += weight;
            });
            return Ok(());
        }
        let values = &argument.as_primitive::<Decimal128Type>().values()[..];
        let mut overflows = false;
        rows.each(|row, slot, weight| {
            let sum = &mut sums[slot];
            let (change, too_much) = match weight {
                1 => (values[row], false),
                _ => values[row].overflowing_mul(i128::from(weight)),
            };
            let (new, too_large) = sum.sum.overflowing_add(change);
            overflows |= too_much | too_large;
            sum.sum = new;
            sum.count += weight;
        });
        if overflows { Err(self.overflow()) } else { Ok(()) }
    }

    fn merge(
        &mut self,
        other: &dyn Accumulator,
        from: &[u32],
        into: &[u32],
    ) -> Result<(), DataflowError> {
        let other = same::<Self>(other)?;
        for (from, into) in from.iter().zip(into) {
            let from = other.sums[*from as usize];
            let into = &mut self.sums[*into as usize];
            into.count += from.count;
            match into.sum.checked_add(from.sum) {
                Some(sum) => into.sum = sum,
                None => return Err(self.overflow()),
            }
        }
        Ok(())
    }

    fn results(&self, slots: &[u32]) -> Result<ArrayRef, DataflowError> {
        match self.about.output {
            DataType::Int8 => self.ints(slots, 8),
            DataType::Int16 => self.ints(slots, 16),
            DataType::Int32 => self.ints(slots, 32),
            DataType::Int64 => self.ints(slots, 64),
            DataType::Decimal128(digits, scale) => self.decimals(slots, digits, scale),
            ref output if output.is_floating() => self.floats(slots),
            ref output => Err(self.about.wrong(output)),
        }
    }

    fn clear(&mut self, slot: u32) {
        self.sums[slot as usize] = Sum::default();
    }

    fn fields(&self) -> Vec<Field> {
        vec![
            Field::new("sum", self.saved.clone(), false),
            Field::new("count", DataType::Int64, false),
        ]
    }

    fn save(&self, slots: &[u32]) -> Result<Vec<ArrayRef>, DataflowError> {
        let sums = slots.iter().map(|slot| self.sums[*slot as usize].sum).collect::<Vec<_>>();
        let sums = Decimal128Array::from(sums).with_data_type(self.saved.clone());
        let counts = slots.iter().map(|slot| self.sums[*slot as usize].count).collect::<Vec<_>>();
        Ok(vec![Arc::new(sums), Arc::new(Int64Array::from(counts))])
    }

    fn load(&mut self, slots: &[u32], columns: &[ArrayRef]) -> Result<(), DataflowError> {
        let sums = columns[0].as_primitive::<Decimal128Type>().values().iter();
        let counts = columns[1].as_primitive::<Int64Type>().values();
        for ((slot, sum), count) in slots.iter().zip(sums).zip(counts) {
            self.sums[*slot as usize] = Sum { sum: *sum, count: *count };
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.sums.capacity() * size_of::<Sum<i128>>()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Floats.
pub(super) struct FloatSum {
    about: About,
    /// Of finite values; the count is of all.
    sums: Vec<Sum<f64>>,
    special: HashMap<u32, Special>,
}

/// How many values of a slot are no finite number.
#[derive(Debug, Clone, Copy, Default)]
struct Special {
    positive: i64,
    negative: i64,
    nan: i64,
}

impl Special {
    fn add(&mut self, value: f64, weight: i64) {
        match value {
            f64::INFINITY => self.positive += weight,
            f64::NEG_INFINITY => self.negative += weight,
            _ => self.nan += weight,
        }
    }

    /// What they make of a sum.
    const fn apply(self, sum: f64) -> f64 {
        match (self.nan, self.positive, self.negative) {
            (0, 0, 0) => sum,
            (0, _, 0) => f64::INFINITY,
            (0, 0, _) => f64::NEG_INFINITY,
            _ => f64::NAN,
        }
    }
}

impl FloatSum {
    pub(super) fn new(about: About) -> Self {
        Self { about, sums: Vec::new(), special: HashMap::new() }
    }

    fn special(&self, slot: u32) -> Special {
        match self.special.is_empty() {
            true => Special::default(),
            false => self.special.get(&slot).copied().unwrap_or_default(),
        }
    }
}

impl Accumulator for FloatSum {
    fn grow(&mut self, slots: usize) {
        self.sums.resize(slots.max(self.sums.len()), Sum::default());
    }

    fn update(&mut self, rows: &Rows) -> Result<(), DataflowError> {
        let Some(argument) = &rows.argument else { return Err(self.about.wrong(&DataType::Null)) };
        let floats = cast(argument, &DataType::Float64)?;
        let values = &floats.as_primitive::<Float64Type>().values()[..];
        let (sums, special) = (&mut self.sums[..], &mut self.special);
        rows.each(|row, slot, weight| {
            let (sum, value) = (&mut sums[slot], values[row]);
            sum.count += weight;
            match value.is_finite() {
                true => sum.sum += value * weight as f64,
                false => special.entry(slot as u32).or_default().add(value, weight),
            }
        });
        Ok(())
    }

    fn merge(
        &mut self,
        other: &dyn Accumulator,
        from: &[u32],
        into: &[u32],
    ) -> Result<(), DataflowError> {
        let other = same::<Self>(other)?;
        for (from, into) in from.iter().zip(into) {
            let sum = other.sums[*from as usize];
            self.sums[*into as usize].sum += sum.sum;
            self.sums[*into as usize].count += sum.count;
            if let Some(special) = other.special.get(from) {
                let to = self.special.entry(*into).or_default();
                to.positive += special.positive;
                to.negative += special.negative;
                to.nan += special.nan;
            }
        }
        Ok(())
    }

    fn results(&self, slots: &[u32]) -> Result<ArrayRef, DataflowError> {
        let values = slots.iter().map(|slot| {
            let Sum { sum, count } = self.sums[*slot as usize];
            let sum = self.special(*slot).apply(sum);
            Ok((count != 0).then_some(if self.about.average { sum / count as f64 } else { sum }))
        });
        Ok(cast(&column::<Float64Type>(values)?, &self.about.output)?)
    }

    fn clear(&mut self, slot: u32) {
        self.sums[slot as usize] = Sum::default();
        self.special.remove(&slot);
    }

    fn fields(&self) -> Vec<Field> {
        let count = |name: &str| Field::new(name, DataType::Int64, false);
        let sum = Field::new("sum", DataType::Float64, false);
        vec![sum, count("count"), count("positive"), count("negative"), count("nan")]
    }

    fn save(&self, slots: &[u32]) -> Result<Vec<ArrayRef>, DataflowError> {
        let ints = |value: &dyn Fn(u32) -> i64| -> ArrayRef {
            Arc::new(Int64Array::from_iter_values(slots.iter().map(|slot| value(*slot))))
        };
        let sums = slots.iter().map(|slot| self.sums[*slot as usize].sum).collect::<Vec<_>>();
        Ok(vec![
            Arc::new(Float64Array::from(sums)),
            ints(&|slot| self.sums[slot as usize].count),
            ints(&|slot| self.special(slot).positive),
            ints(&|slot| self.special(slot).negative),
            ints(&|slot| self.special(slot).nan),
        ])
    }

    fn load(&mut self, slots: &[u32], columns: &[ArrayRef]) -> Result<(), DataflowError> {
        let sums = columns[0].as_primitive::<Float64Type>().values();
        let ints = |place: usize| columns[place].as_primitive::<Int64Type>().values();
        let (counts, positive, negative, nan) = (ints(1), ints(2), ints(3), ints(4));
        for (row, slot) in slots.iter().enumerate() {
            self.sums[*slot as usize] = Sum { sum: sums[row], count: counts[row] };
            let (positive, negative, nan) = (positive[row], negative[row], nan[row]);
            match (positive, negative, nan) {
                (0, 0, 0) => self.special.remove(slot),
                _ => self.special.insert(*slot, Special { positive, negative, nan }),
            };
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        let special = size_of::<(u32, Special)>() + 1;
        self.sums.capacity() * size_of::<Sum<f64>>() + self.special.capacity() * special
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn division_rounds_half_up_away_from_zero_at_any_size() {
        assert_eq!(divided(1, 2, 0), Some(1));
        assert_eq!(divided(-1, 2, 0), Some(-1));
        assert_eq!(divided(1, 3, 6), Some(333_333));
        assert_eq!(divided(-2, 3, 6), Some(-666_667));
        assert_eq!(divided(149, 1, -2), Some(1));
        assert_eq!(divided(150, 1, -2), Some(2));
        let large = 10_i128.pow(37);
        assert_eq!(divided(large, large, 6), Some(1_000_000));
        assert_eq!(divided(-large * 5, large * 3, 6), Some(-1_666_667));
        assert_eq!(divided(large, 1, 6), None);
    }
}
