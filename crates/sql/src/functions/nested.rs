//! `CARDINALITY` and `ELEMENT` of arrays and maps.
//!
//! Guarantees: null of null; `ELEMENT` of more than one is an error of its row.
//! Left out: `a[1]`, `m['k']` and `r.f`, which DataFusion plans.

use super::function::{Call, Function, Gives, INT, Takes};
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, UInt64Array};
use arrow_schema::DataType;
use datafusion::arrow::compute;
use datafusion::common::plan_err;
use datafusion::logical_expr::ScalarUDF;
use std::sync::Arc;

pub(super) fn all() -> Vec<Arc<ScalarUDF>> {
    let element = Gives::By(|types, _| match &types[0] {
        DataType::List(field) => Ok(field.data_type().clone()),
        other => plan_err!("ELEMENT takes an ARRAY, not {}", crate::type_name(other)),
    });
    vec![
        Function::new("cardinality", &[Takes::Any], INT, |call| {
            let lengths = lengths(call)?;
            call.ints(|row| lengths(row).and_then(|length| length.try_into().ok()))
        })
        .shared(),
        Function::new("element", &[Takes::Any], element, |call| {
            let lengths = lengths(call)?;
            let list = call.column(0).as_list::<i32>();
            let places = (0..call.rows).map(|row| match lengths(row) {
                None | Some(0) => Ok(None),
                Some(1) => {
                    let start = list.value_offsets()[call.row_of(0, row)];
                    Ok(u64::try_from(start).ok())
                }
                Some(more) => Err(format!("the array has {more} elements")),
            });
            let places = places.collect::<Result<UInt64Array, _>>()?;
            compute::take(list.values(), &places, None).map_err(|error| error.to_string())
        })
        .shared(),
    ]
}

fn lengths<'a>(call: &'a Call<'_>) -> Result<impl Fn(usize) -> Option<usize> + 'a, String> {
    let column: &ArrayRef = call.column(0);
    if !matches!(column.data_type(), DataType::List(_) | DataType::Map(..)) {
        return Err(format!("{} has no elements", crate::type_name(column.data_type())));
    }
    Ok(move |row| {
        let at = call.row_of(0, row);
        column.is_valid(at).then(|| match column.data_type() {
            DataType::List(_) => column.as_list::<i32>().value(at).len(),
            _ => column.as_map().value(at).len(),
        })
    })
}
