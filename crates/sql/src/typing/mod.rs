//! What expressions mean in each dialect.
//!
//! Guarantees: [`FlinkExpressions`] gives the expressions of a plan the types and the meaning they
//! have in Apache Flink 2.3; `docs/numbers.md` says them as tables. It runs before DataFusion's
//! own type coercion, which then finds nothing to do but widen.
//! Left out: the `postgres` dialect, which means what DataFusion means.

mod aggregate;
mod arithmetic;
pub(crate) mod cast;
mod common;
mod compare;
mod decimal;
mod operators;
mod prepare;
mod rule;
pub(crate) mod wide;

pub use aggregate::{AVERAGE_SCALE_MIN, aggregate_result_type};
pub use cast::decimal_of;
pub use common::common_type;
pub use decimal::{DIGITS_MAX, Digits};
pub use operators::FlinkOperators;
pub use prepare::prepare;
pub use rule::FlinkExpressions;
pub(crate) use rule::session_zone;
