//! Which rows of a view a follower wants: a condition in SQL over the view's columns.
//!
//! Guarantees: a condition looks at one row at a time, so that a filtered view's changes are the
//! changes that pass; it is checked against the view's columns before a row is looked at.
//! Left out: anything that needs another row: subqueries and aggregates are refused.

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Schema};
use arrow::error::ArrowError;
use datafusion::common::DFSchema;
use datafusion::logical_expr::ExprSchemable;
use datafusion::physical_plan::PhysicalExpr;
use datafusion::prelude::SessionContext;
use std::sync::{Arc, LazyLock};

/// The longest condition: it is part of an address, and of these a head holds 16 KiB.
const CONDITION_BYTES_MAX: usize = 1_000;

/// Knows the functions a condition may call. Making one takes milliseconds.
static CONTEXT: LazyLock<SessionContext> = LazyLock::new(SessionContext::new);

/// A condition that is ready to be asked of rows.
#[derive(Debug)]
pub(crate) struct RowFilter(Arc<dyn PhysicalExpr>);

impl RowFilter {
    /// Reads a condition over the columns of `schema`.
    ///
    /// # Errors
    /// Why it is no condition on one such row.
    pub(crate) fn parse(condition: &str, schema: &Schema) -> Result<Self, String> {
        if condition.len() > CONDITION_BYTES_MAX {
            return Err(format!("a condition has at most {CONDITION_BYTES_MAX} bytes"));
        }
        let said = |error: datafusion::error::DataFusionError| error.strip_backtrace();
        let columns = DFSchema::try_from(schema.clone()).map_err(said)?;
        let parsed = CONTEXT.parse_sql_expr(condition, &columns).map_err(said)?;
        let planned = CONTEXT.create_physical_expr(parsed.clone(), &columns).map_err(said)?;
        match parsed.get_type(&columns).map_err(said)? {
            DataType::Boolean => Ok(Self(planned)),
            other => Err(format!("a condition is true or false; this one is {other}")),
        }
    }

    /// The rows that pass. Columns behind those of the schema, as a weight is, stay.
    pub(crate) fn apply(&self, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let failed = |error| ArrowError::ExternalError(Box::new(error));
        let passed = self.0.evaluate(batch).map_err(failed)?;
        let passed = passed.into_array(batch.num_rows()).map_err(failed)?;
        filter_record_batch(batch, passed.as_boolean())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use arrow::array::{Int64Array, TimestampMicrosecondArray};
    use arrow::datatypes::{Field, Int64Type, TimeUnit};

    fn schema() -> Schema {
        let instant = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        Schema::new(vec![Field::new("sold_minute", instant, true)])
    }

    #[test]
    fn rows_pass_by_instants_in_text_and_nulls_do_not() {
        let filter = RowFilter::parse("sold_minute >= '1970-01-01T00:01:00Z'", &schema()).unwrap();
        let minutes = TimestampMicrosecondArray::from(vec![Some(0), Some(60_000_000), None]);
        let weights = Int64Array::from(vec![1, -1, 1]);
        let mut fields: Vec<_> = schema().fields().iter().cloned().collect();
        fields.push(Arc::new(Field::new("_weight", DataType::Int64, false)));
        let batch = RecordBatch::try_new(
            Arc::new(Schema::new(fields)),
            vec![Arc::new(minutes.with_timezone("UTC")), Arc::new(weights)],
        );
        let kept = filter.apply(&batch.unwrap()).unwrap();
        assert_eq!(kept.column(1).as_primitive::<Int64Type>().values(), &[-1]);
    }

    #[test]
    fn what_is_no_condition_on_one_row_is_refused_with_the_reason() {
        let refused = |text: &str| RowFilter::parse(text, &schema()).unwrap_err();
        assert!(refused("sold >= '2026-01-01'").contains("sold"));
        assert!(refused("sold_minute").contains("true or false"));
        assert!(!refused("EXISTS (SELECT 1)").is_empty());
        assert!(!refused("count(sold_minute) > 1").is_empty());
        assert!(refused(&"x".repeat(CONDITION_BYTES_MAX + 1)).contains("at most"));
    }
}
