//! Why a pipeline could not be made or go on.
//!
//! Guarantees: the user's mistakes carry their place in the statement; [`ProcessError::is_transient`]
//! says whether trying again may help.
//! Left out: rows that fail, which go to `dead_letters`.

use tradewind_dataflow::DataflowError;
use tradewind_sql::{CatalogueError, SqlError};
use tradewind_types::{LogError, SinkError, SourceError};

/// Why a pipeline could not be made or go on.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// A statement that cannot run as a stream, or means nothing.
    #[error(transparent)]
    Plan(#[from] SqlError),
    /// The catalogue refused.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// No such pipeline.
    #[error("pipeline {name:?} does not exist{}", hint.as_ref().map(|hint| format!(", {hint}")).unwrap_or_default())]
    NoPipeline {
        /// The name asked for.
        name: String,
        /// What was probably meant.
        hint: Option<String>,
    },
    /// The source failed.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A sink failed.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The operators failed.
    #[error(transparent)]
    Dataflow(#[from] DataflowError),
    /// The columns of a query are no longer those it was made with.
    #[error(
        "its query now has columns {now}, and had {then} when it was made: drop it and make it anew"
    )]
    Changed {
        /// Name and type of each.
        then: String,
        /// The same.
        now: String,
    },
    /// What an operator keeps is no longer what it kept.
    #[error(
        "{operator} keeps {now:?}, and what is kept on disk is {then:?}: drop it and make it anew"
    )]
    StateChanged {
        /// The operator's id.
        operator: String,
        /// See `Graph::fingerprint`.
        then: String,
        /// The same.
        now: String,
    },
    /// It begins anew as another incarnation.
    #[error("it begins anew")]
    Renewed,
    /// A manifest that cannot be used.
    #[error("{path}: {reason}")]
    Manifest {
        /// The file.
        path: String,
        /// What does not hold, and what to do.
        reason: String,
    },
    /// The file system failed.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: String,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// Our bug: a panic, or a batch that does not fit its schema.
    #[error("internal error: {0}")]
    Internal(String),
}

impl ProcessError {
    /// Whether trying again later may help without anybody doing something.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Io { .. } | Self::Internal(_) => true,
            Self::Dataflow(error) => !matches!(
                error,
                DataflowError::Overflow { .. } | DataflowError::ViewsTooLarge { .. }
            ),
            Self::Sink(error) => matches!(error, SinkError::Transient { .. }),
            Self::Source(SourceError::Log(error)) => !matches!(error, LogError::Corrupt { .. }),
            _ => false,
        }
    }

    /// Whether it is about a topic that is not there yet.
    pub(crate) fn is_missing_topic(&self) -> bool {
        matches!(self, Self::Source(SourceError::Log(LogError::NoTopic { .. })))
    }
}
