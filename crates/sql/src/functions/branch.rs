//! `IF(condition, then, else)` and `IFNULL(value, other)`.
//!
//! Guarantees: the rule of Flink's expressions turns them into `CASE` and `COALESCE`, which look at
//! one branch only; the results have one type.
//! Left out: running them: without that rule they are refused.

use super::function::{Function, Gives, Takes};
use crate::typing::common_type;
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
    ]
}

fn one_type_of_all(types: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
    one_type(types)
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
