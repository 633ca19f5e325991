//! `sum` over integers, which DataFusion lets wrap around. As in PostgreSQL, the sum of 64-bit
//! integers is a decimal here.
//!
//! Guarantees: a sum of integers is never wrong by overflow: 2^63 rows of any 64-bit value fit
//! DECIMAL(30, 0)'s 128-bit sum.
//! Left out: sums of narrower integers: they are summed in 64 bits, which four billion rows of the
//! largest 32-bit value do not exceed.

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::Result;
use datafusion::functions_aggregate::sum::Sum;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDFImpl, GroupsAccumulator, ReversedUDAF, SetMonotonicity, Signature,
    Volatility,
};

/// DataFusion's `sum`, with 64-bit integers taken in as decimals.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct WideSum {
    sum: Sum,
    signature: Signature,
}

impl WideSum {
    pub(crate) fn new() -> Self {
        Self { sum: Sum::new(), signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl AggregateUDFImpl for WideSum {
    fn name(&self) -> &str {
        "sum"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        use DataType::{
            Decimal128, Dictionary, Float16, Float32, Float64, Int8, Int16, Int32, Int64, Null,
            RunEndEncoded, UInt8, UInt16, UInt32, UInt64,
        };
        let [argument] = arguments else {
            return datafusion::common::plan_err!("sum() takes one argument");
        };
        let wide = match argument {
            Dictionary(_, value) => return self.coerce_types(&[value.as_ref().clone()]),
            RunEndEncoded(_, value) => return self.coerce_types(&[value.data_type().clone()]),
            Int64 | UInt64 => Decimal128(20, 0),
            Int8 | Int16 | Int32 | UInt8 | UInt16 | UInt32 => Int64,
            Float16 | Float32 | Null => Float64,
            other if other.is_numeric() => other.clone(),
            DataType::Duration(_) | DataType::Interval(_) => argument.clone(),
            other => {
                return datafusion::common::plan_err!("sum() is of numbers, not of {other}");
            }
        };
        Ok(vec![wide])
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        self.sum.return_type(arguments)
    }

    fn accumulator(&self, arguments: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.sum.accumulator(arguments)
    }

    fn state_fields(&self, arguments: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        self.sum.state_fields(arguments)
    }

    fn groups_accumulator_supported(&self, arguments: AccumulatorArgs) -> bool {
        self.sum.groups_accumulator_supported(arguments)
    }

    fn create_groups_accumulator(
        &self,
        arguments: AccumulatorArgs,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        self.sum.create_groups_accumulator(arguments)
    }

    fn create_sliding_accumulator(
        &self,
        arguments: AccumulatorArgs,
    ) -> Result<Box<dyn Accumulator>> {
        self.sum.create_sliding_accumulator(arguments)
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn set_monotonicity(&self, data_type: &DataType) -> SetMonotonicity {
        self.sum.set_monotonicity(data_type)
    }
}
