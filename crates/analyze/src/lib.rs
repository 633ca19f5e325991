//! The SQL session: lake tables with their tail, views, topics and files, in one query.
//!
//! Guarantees: a statement sees one snapshot of each lake table, however often it names it;
//! memory is bounded by one pool for all queries, which spill to disk; sums of integers widen,
//! other arithmetic fails where it would wrap; what the parser reads and nobody plans is refused.
//! Left out: running pipelines (`process`) and the wire (`serve`). Statements that change
//! something go to whoever implements [`Control`].

mod changes;
mod class;
mod control;
mod declared;
mod error;
mod files;
mod groups;
mod joins;
mod keys;
mod names;
mod pg_catalog;
mod platform;
mod prepare;
mod scan;
mod session;
mod settings;
mod sums;
mod sys;
mod sys_pipelines;
mod tables;
mod topic;
mod transaction;
mod variables;
mod write;

pub use changes::{Change, ChangeStream, Changes};
pub use class::ErrorClass;
pub use control::{Asked, Control, OperatorRow, PipelineRow, SourceRow};
pub use error::{AnalyzeError, Fault, closest};
pub use groups::{ConsumerGroups, GroupRow};
pub use pg_catalog::PG_TYPE;
pub use platform::{AnalyzeSettings, FileAccess, Platform, PlatformParts, SettingRow};
pub use prepare::{PARAMETERS_MAX, Prepared};
pub use session::{Answer, Rows, Session};
pub use tradewind_sql::connection;
pub use tradewind_sql::text::RowKind;
pub use tradewind_sql::{Dialect, Position, Span, Statement, StatementKind, type_name};
pub use transaction::{Notice, TransactionStatus};
pub use variables::{REPORTED, SERVER_VERSION, SERVER_VERSION_NUM};
