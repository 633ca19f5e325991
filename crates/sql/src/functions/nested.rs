//! `CARDINALITY` and `ELEMENT` of arrays and maps, `SPLIT` into an array, and elements with their
//! places.
//!
//! Guarantees: null of null; `ELEMENT` of more than one is an error of its row.
//! Left out: `a[1]`, `m['k']` and `r.f`, which DataFusion plans.

use super::function::{Call, Function, Gives, INT, Takes};
use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, Int32Array, ListArray, StructArray, UInt64Array};
use arrow_schema::{DataType, Field, Fields};
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
        split(),
    ]
}

/// `SPLIT(text, delimiter)`: the parts between delimiters; with an empty one the characters.
fn split() -> Arc<ScalarUDF> {
    let texts = DataType::new_list(DataType::Utf8, true);
    Function::new("split", &[Takes::Text; 2], Gives::Type(texts), |call| {
        let (text, delimiter) = (call.text(0), call.text(1));
        let mut parts = ListBuilder::new(StringBuilder::new());
        for row in 0..call.rows {
            let Some((text, delimiter)) = text.get(row).zip(delimiter.get(row)) else {
                parts.append_null();
                continue;
            };
            if delimiter.is_empty() {
                let mut letter = [0; 4];
                for one in text.chars() {
                    parts.values().append_value(one.encode_utf8(&mut letter));
                }
            } else {
                text.split(delimiter).for_each(|part| parts.values().append_value(part));
            }
            parts.append(true);
        }
        Ok(Arc::new(parts.finish()))
    })
    .shared()
}

/// The elements of an array as rows with their place, from 1, as the last field.
pub fn numbered_elements() -> Arc<ScalarUDF> {
    let gives = Gives::By(|types, _| {
        let DataType::List(element) = &types[0] else {
            return plan_err!("UNNEST takes an ARRAY, not {}", crate::type_name(&types[0]));
        };
        let fields = numbered_fields(element);
        Ok(DataType::new_list(DataType::Struct(fields), false))
    });
    Function::new("numbered_elements", &[Takes::Any], gives, |call| {
        let list = call.column(0).as_list::<i32>();
        let mut places = vec![0; list.values().len()];
        for row in list.value_offsets().windows(2) {
            for (place, number) in (row[0]..row[1]).zip(1..) {
                places[usize::try_from(place).map_err(|error| error.to_string())?] = number;
            }
        }
        let values = list.values();
        let mut columns: Vec<ArrayRef> = match values.as_struct_opt() {
            // An element that is null has null fields.
            Some(rows) => {
                let missing = compute::is_null(rows).map_err(|error| error.to_string())?;
                let columns = rows.columns().iter();
                columns
                    .map(|column| compute::nullif(column, &missing))
                    .collect::<Result<_, _>>()
                    .map_err(|error| error.to_string())?
            }
            None => vec![values.clone()],
        };
        columns.push(Arc::new(Int32Array::from(places)));
        let DataType::List(field) = call.gives else { return Err("it is no ARRAY".into()) };
        let DataType::Struct(fields) = field.data_type() else { return Err("no rows".into()) };
        let rows = StructArray::try_new(fields.clone(), columns, None);
        let rows = Arc::new(rows.map_err(|error| error.to_string())?);
        let (offsets, nulls) = (list.offsets().clone(), list.nulls().cloned());
        let numbered = ListArray::try_new(field.clone(), offsets, rows, nulls);
        Ok(Arc::new(numbered.map_err(|error| error.to_string())?))
    })
    .shared()
}

fn numbered_fields(element: &Field) -> Fields {
    let of_element: Vec<Field> = match element.data_type() {
        DataType::Struct(fields) => {
            fields.iter().map(|field| Field::clone(field).with_nullable(true)).collect()
        }
        _ => vec![Field::clone(element).with_name("f0")],
    };
    let place = Field::new("ORDINALITY", DataType::Int32, false);
    of_element.into_iter().chain(std::iter::once(place)).collect()
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
