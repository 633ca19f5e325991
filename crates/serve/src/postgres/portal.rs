//! Portals and cursors: statements with values, answered piece by piece.
//!
//! Guarantees: a portal is run when its first row is asked for and gives rows in order, each once;
//! at most so many per connection as [`super::PostgresLimits`] says.
//! Left out: going backwards, which would need the rows to be kept.

use super::answer::{RowSource, changes_schema};
use super::encode::Form;
use super::extended::Stored;
use arrow::datatypes::SchemaRef;
use datafusion::common::ScalarValue;
use std::sync::Arc;
use tradewind_analyze::StatementKind;

/// A statement with its values.
pub(crate) struct Portal {
    pub(crate) stored: Arc<Stored>,
    pub(crate) forms: Vec<Form>,
    pub(crate) state: State,
    /// It outlives the transaction it was declared in.
    pub(crate) hold: bool,
    /// It was made by `DECLARE`.
    pub(crate) cursor: bool,
}

/// How far it has come.
pub(crate) enum State {
    /// It has not been run.
    Bound(Vec<ScalarValue>),
    /// Rows are left, perhaps.
    Running(Box<RowSource>),
    /// All was answered.
    Done,
    /// Nobody asked for rows for too long.
    Expired,
}

impl Portal {
    pub(crate) fn new(stored: Arc<Stored>, values: Vec<ScalarValue>, forms: Vec<Form>) -> Self {
        Self { stored, forms, state: State::Bound(values), hold: false, cursor: false }
    }

    /// Whether a query waits for rows of it to be asked for.
    pub(crate) fn holds_place(&self) -> bool {
        matches!(self.state, State::Running(_))
    }

    /// Ends the query that waits.
    pub(crate) fn expire(&mut self) {
        if self.holds_place() {
            self.state = State::Expired;
        }
    }

    /// The columns it answers with; `None`: it has no rows.
    pub(crate) fn schema(&self) -> Option<SchemaRef> {
        match &self.state {
            State::Running(source) => Some(Arc::clone(source.schema())),
            _ => schema_of(&self.stored),
        }
    }
}

/// The columns a prepared statement answers with.
pub(crate) fn schema_of(stored: &Stored) -> Option<SchemaRef> {
    let prepared = stored.prepared.as_ref()?;
    let schema = prepared.schema.as_ref()?;
    Some(match prepared.statement().kind {
        StatementKind::Subscribe(_) => changes_schema(schema),
        _ => Arc::clone(schema),
    })
}

/// What is said when a statement with rows is done.
pub(crate) fn tag(kind: &StatementKind, rows: u64) -> String {
    match kind {
        StatementKind::Explain { .. } => "EXPLAIN".into(),
        StatementKind::Show(_)
        | StatementKind::ShowCreate { .. }
        | StatementKind::Connection(_) => "SHOW".into(),
        StatementKind::Subscribe(_) => format!("SUBSCRIBE {rows}"),
        _ => format!("SELECT {rows}"),
    }
}
