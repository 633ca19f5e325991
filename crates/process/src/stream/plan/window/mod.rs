//! `TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE))` in a logical plan.
//!
//! Guarantees: windows are made by event-time columns alone; rows keep their columns and get
//! `window_start`, `window_end` and `window_time` behind them.
//! Left out: sessions and cumulating windows, windows of processing time.

mod parse;

pub(super) use parse::WindowPlanner;

use arrow::datatypes::{DataType, Field, TimeUnit};
use datafusion::common::{Column, DFSchema, DFSchemaRef, Result};
use datafusion::logical_expr::{Expr, LogicalPlan, UserDefinedLogicalNodeCore};
use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use tradewind_dataflow::WindowSpec;
use tradewind_sql::with_precision;

/// The three columns that rows of windows have, in order.
pub(super) const COLUMNS: [&str; 3] = ["window_start", "window_end", "window_time"];

/// Digits of a second that they have.
const PRECISION: u8 = 3;

/// Each row once for each window it lies in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WindowTvf {
    pub(super) input: LogicalPlan,
    /// The event-time column, of the input.
    pub(super) time: Expr,
    pub(super) spec: WindowSpec,
    /// An aggregate above makes the windows: in place of their columns it gets the event time.
    pub(super) sliced: bool,
    schema: DFSchemaRef,
}

// A specification has no hash of its own; equal nodes have equal sizes.
impl Hash for WindowTvf {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.input.hash(state);
        self.time.hash(state);
        (self.spec.size_us, self.spec.slide_us, self.sliced).hash(state);
    }
}

// DataFusion asks for an order of plans; there is none that means anything.
impl PartialOrd for WindowTvf {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl WindowTvf {
    fn new(input: LogicalPlan, time: Column, spec: WindowSpec) -> Result<Self> {
        let index = input.schema().index_of_column(&time)?;
        let time_type = input.schema().field(index).data_type().clone();
        let bound = DataType::Timestamp(TimeUnit::Microsecond, None);
        let types = [bound.clone(), bound, time_type];
        let columns = input.schema().iter();
        let columns = columns.map(|(qualifier, field)| (qualifier.cloned(), field.clone()));
        let added = COLUMNS
            .iter()
            .zip(types)
            .map(|(name, data_type)| Field::new(*name, data_type, false))
            // As in Flink, whatever precision the event time has.
            .map(|field| (None, Arc::new(with_precision(field, PRECISION))));
        let schema =
            DFSchema::new_with_metadata(columns.chain(added).collect(), Default::default())?;
        let (time, schema) = (Expr::Column(time), Arc::new(schema));
        Ok(Self { input, time, spec, sliced: false, schema })
    }

    /// The same for an aggregate that makes the windows itself.
    pub(super) fn for_slices(&self) -> Self {
        Self { sliced: true, ..self.clone() }
    }

    /// How many of the columns are the input's.
    pub(super) fn input_columns(&self) -> usize {
        self.schema.fields().len() - COLUMNS.len()
    }

    /// The input's columns, then those of the window.
    pub(super) fn columns(&self) -> &DFSchemaRef {
        &self.schema
    }
}

impl UserDefinedLogicalNodeCore for WindowTvf {
    fn name(&self) -> &str {
        "WindowTvf"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![self.time.clone()]
    }

    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        COLUMNS.iter().map(|name| (*name).to_string()).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WindowTvf: {} {}", self.time, text(&self.spec))
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let (mut exprs, mut inputs) = (exprs, inputs);
        match (exprs.pop(), inputs.pop()) {
            (Some(Expr::Column(time)), Some(input)) => {
                let made = Self::new(input, time, self.spec)?;
                // A rewrite may have changed the input's names, never its columns.
                let schema = if made.schema.fields().len() == self.schema.fields().len() {
                    made.schema
                } else {
                    return datafusion::common::internal_err!("a window's input has changed");
                };
                Ok(Self { schema, sliced: self.sliced, ..made })
            }
            _ => datafusion::common::internal_err!("a window has one column and one input"),
        }
    }
}

/// The node as one of ours, if it is one.
pub(super) fn of(plan: &LogicalPlan) -> Option<&WindowTvf> {
    match plan {
        LogicalPlan::Extension(extension) => extension.node.as_any().downcast_ref(),
        _ => None,
    }
}

/// Windows as a person would name them: `TUMBLE 1 min`.
pub(super) fn text(spec: &WindowSpec) -> String {
    let mut text = match spec.size_us == spec.slide_us {
        true => format!("TUMBLE {}", duration(spec.size_us)),
        false => format!("HOP {} every {}", duration(spec.size_us), duration(spec.slide_us)),
    };
    if spec.offset_us != 0 {
        text.push_str(&format!(" offset {}", duration(spec.offset_us)));
    }
    if let Some(zone) = spec.zone {
        text.push_str(&format!(" in {zone}"));
    }
    text
}

fn duration(micros: i64) -> String {
    const UNITS: [(i64, &str); 5] = [
        (86_400_000_000, "d"),
        (3_600_000_000, "h"),
        (60_000_000, "min"),
        (1_000_000, "s"),
        (1_000, "ms"),
    ];
    match UNITS.iter().find(|(unit, _)| micros % unit == 0) {
        Some((unit, name)) => format!("{} {name}", micros / unit),
        None => format!("{micros} us"),
    }
}
