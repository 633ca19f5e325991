//! `IF(condition, then, else)`, `IFNULL(value, other)` and `MOD(value, divisor)`.
//!
//! Guarantees: the rule of Flink's expressions turns them into `CASE`, `COALESCE` and `%`, of
//! which the first two look at one branch only; the results have one type.
//! Left out: running them: without that rule they are refused.

use super::function::{Function, Gives, Takes};
use crate::typing::{Digits, common_type};
use arrow_schema::DataType;
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::ScalarUDF;
use std::sync::Arc;

pub(super) fn all() -> Vec<Arc<ScalarUDF>> {
    let refuse = |_: &super::function::Call<'_>| Err("it belongs to the flink dialect".to_string());
    vec![
        Function::new("if", &[Takes::Any; 3], Gives::By(|types, _| one_type(&types[1..])), refuse)
            .shared(),
        Function::new("ifnull", &[Takes::Any; 2], Gives::By(one_type_of_all), refuse).shared(),
        Function::new("mod", &[Takes::Any; 2], Gives::By(remainder), refuse).shared(),
    ]
}

fn one_type_of_all(types: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
    one_type(types)
}

/// What `%` gives.
fn remainder(types: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
    match (Digits::of(&types[0]), Digits::of(&types[1])) {
        _ if types.iter().all(DataType::is_integer) => Ok(types[1].clone()),
        (Some(value), Some(divisor)) => Ok(value.modulo(divisor).data_type()),
        _ => plan_err!("MOD takes exact numbers"),
    }
}

fn one_type(types: &[DataType]) -> Result<DataType> {
    match common_type(types) {
        Some(data_type) => Ok(data_type),
        None => {
            let names: Vec<_> = types.iter().map(crate::type_name).collect();
            plan_err!("the results mix {}", names.join(" and "))
        }
    }
}
