//! Values that clients bind to the parameters of a prepared statement.
//!
//! Guarantees: a value becomes the parameter's type or is an error that names the parameter; what
//! one binding may keep here is bounded.
//! Left out: names. Columns are parameters by their place.

use super::status;
use arrow::array::RecordBatch;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Schema};
use arrow_flight::FlightData;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use datafusion::common::ScalarValue;
use futures::{Stream, TryStreamExt};
use tonic::Status;

/// Values of one row of parameters.
pub(super) type Values = Vec<ScalarValue>;

/// What the rows bound to a query may take until it is run: parameters are keys and dates, and
/// rows in bulk belong to an update, which keeps none.
pub(super) const BOUND_BYTES_MAX: usize = 256 << 10;

/// The parameters as a schema, by the names `$1`, `$2` …
pub(super) fn schema(parameters: &[DataType]) -> Schema {
    let fields = parameters
        .iter()
        .zip(1..)
        .map(|(data_type, place)| Field::new(format!("${place}"), data_type.clone(), true));
    Schema::new(fields.collect::<Vec<_>>())
}

/// The batches that a client sends with a command.
pub(super) fn batches(
    messages: impl Stream<Item = Result<FlightData, Status>> + Send + 'static,
) -> FlightRecordBatchStream {
    FlightRecordBatchStream::new_from_flight_data(
        messages.map_err(|status| FlightError::Tonic(Box::new(status))),
    )
}

/// A batch's rows as values of these types.
pub(super) fn values(batch: &RecordBatch, types: &[DataType]) -> Result<Vec<Values>, Status> {
    if batch.num_columns() != types.len() {
        return Err(Status::invalid_argument(format!(
            "the statement has {} parameters, and {} are bound",
            types.len(),
            batch.num_columns()
        )));
    }
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    let columns = batch.columns().iter().zip(types).zip(1..).map(|((column, data_type), place)| {
        cast_with_options(column, data_type, &strict)
            .map_err(|error| Status::invalid_argument(format!("parameter ${place}: {error}")))
    });
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    let row = |row| {
        let values = columns.iter().map(|column| ScalarValue::try_from_array(column, row));
        values.collect::<Result<Values, _>>().map_err(|error| status::garbled("a value", error))
    };
    (0..batch.num_rows()).map(row).collect()
}

/// All rows of a binding that is kept until its statement is run.
pub(super) async fn bound(
    mut batches: FlightRecordBatchStream,
    types: &[DataType],
) -> Result<Vec<Values>, Status> {
    let (mut rows, mut bytes) = (Vec::new(), 0);
    while let Some(batch) = batches.try_next().await.map_err(status::of_rows)? {
        bytes += batch.get_array_memory_size();
        if bytes > BOUND_BYTES_MAX {
            return Err(Status::resource_exhausted(format!(
                "more than {BOUND_BYTES_MAX} bytes of parameters for one query (bind fewer rows at once)"
            )));
        }
        rows.extend(values(&batch, types)?);
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use arrow::array::{ArrayRef, Int64Array, StringArray};
    use std::sync::Arc;

    fn batch(columns: Vec<ArrayRef>) -> RecordBatch {
        let named = columns.into_iter().enumerate();
        RecordBatch::try_from_iter(named.map(|(at, column)| (at.to_string(), column))).unwrap()
    }

    #[test]
    fn values_become_the_parameters_types_or_say_which_cannot() {
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(7), None]));
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["1.50", "2.505"]));
        let types = [DataType::Int32, DataType::Decimal128(10, 2)];
        let rows = values(&batch(vec![numbers, Arc::clone(&texts)]), &types).unwrap();
        assert_eq!(
            rows[0],
            [ScalarValue::Int32(Some(7)), ScalarValue::Decimal128(Some(150), 10, 2)]
        );
        assert_eq!(rows[1][0], ScalarValue::Int32(None));
        let wrong = values(&batch(vec![texts]), &[DataType::Date32]).unwrap_err();
        assert!(wrong.message().starts_with("parameter $1:"), "{wrong}");
        let wrong =
            values(&batch(Vec::from([Arc::new(Int64Array::from(vec![1])) as ArrayRef])), &types)
                .unwrap_err();
        assert!(wrong.message().contains("2 parameters, and 1"), "{wrong}");
    }
}
