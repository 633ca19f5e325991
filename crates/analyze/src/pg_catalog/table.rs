//! A relation of the catalogue as a table of DataFusion's, for a statement that names others too.
//!
//! Guarantees: the same rows as a question of its own sees, made when the table is read.
//! Left out: conditions. The relations are small.

use super::bind::{Binder, Refused};
use super::node::{self, Question};
use super::registry;
use crate::error::AnalyzeError;
use crate::platform::Platform;
use datafusion::catalog::TableProvider;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::execution::session_state::SessionState;
use std::sync::Arc;
use tradewind_sql::Dialect;

/// The relation of that name; `None` where there is none.
pub(crate) fn table(
    platform: &Platform,
    state: &SessionState,
    schema: &str,
    name: &str,
) -> Result<Option<Arc<dyn TableProvider>>, AnalyzeError> {
    let Some(definition) = registry::find(schema, name) else { return Ok(None) };
    let query = match Binder::new(Dialect::Postgres, Vec::new()).whole(definition) {
        Ok(query) => query,
        Err(Refused::NotOurs(error) | Refused::Wrong(error)) => {
            return Err(AnalyzeError::bug(format!("view {name}: {}", error.message)));
        }
    };
    let part = node::part(Question::new(query, platform, state, Vec::new()));
    let schema = Arc::clone(part.schema());
    Ok(Some(Arc::new(StreamingTable::try_new(schema, vec![part])?)))
}
