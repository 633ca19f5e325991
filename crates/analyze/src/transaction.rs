//! A connection's transaction: one moment of the lake for all its queries.
//!
//! Guarantees: the queries of one block see one snapshot of each lake table, until the block itself
//! changes something; after an error a block answers nothing but its end; settings that were set
//! in a block that is rolled back are what they were.
//! Left out: undoing. What a block changes has changed at once, and says so.

use crate::class::ErrorClass;
use crate::error::AnalyzeError;
use crate::session::{Kept, Session};
use std::sync::Arc;
use tradewind_lake::ReadSnapshots;
use tradewind_sql::connection::{Isolation, Modes};

/// Savepoints of one block: each keeps the settings of its moment.
const SAVEPOINTS_MAX: usize = 256;

/// Where a connection's transaction stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionStatus {
    /// There is none.
    Idle,
    /// It is under way.
    InBlock,
    /// It has failed, and waits for its end.
    Failed,
}

/// Something to say beside an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// `WARNING` or `NOTICE`.
    pub severity: &'static str,
    /// PostgreSQL's code for it.
    pub sqlstate: &'static str,
    /// What there is to say.
    pub message: String,
}

impl Notice {
    pub(crate) fn warning(sqlstate: &'static str, message: &str) -> Self {
        Self { severity: "WARNING", sqlstate, message: message.into() }
    }

    pub(crate) fn told(message: impl Into<String>) -> Self {
        Self { severity: "NOTICE", sqlstate: "00000", message: message.into() }
    }
}

/// A block under way.
pub(crate) struct Block {
    snapshots: Arc<ReadSnapshots>,
    modes: Modes,
    failed: bool,
    /// What settings were before it.
    before: Kept,
    /// What they are after it, without what was set for it alone.
    after: Kept,
    savepoints: Vec<(String, Kept, Kept)>,
}

impl Session {
    /// Where the transaction stands.
    pub fn transaction_status(&self) -> TransactionStatus {
        match &self.block {
            None => TransactionStatus::Idle,
            Some(block) if block.failed => TransactionStatus::Failed,
            Some(_) => TransactionStatus::InBlock,
        }
    }

    /// Whether the transaction, if there is one, still answers statements that do not end it.
    ///
    /// # Errors
    /// It has failed.
    pub fn check_block(&self) -> Result<(), AnalyzeError> {
        self.admit_in_block(false)
    }

    /// Tells the session that something it has answered with has failed after all: its block,
    /// if there is one, has failed too.
    pub fn fail_transaction(&mut self) {
        if let Some(block) = &mut self.block {
            block.failed = true;
        }
    }

    /// What is to be said beside the last answer.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// What the next statement reads of each lake table.
    pub(crate) fn snapshots(&self) -> Arc<ReadSnapshots> {
        match &self.block {
            Some(block) => Arc::clone(&block.snapshots),
            None => Arc::default(),
        }
    }

    /// Whether a block that has failed lets the statement through.
    pub(crate) fn admit_in_block(&self, ends_block: bool) -> Result<(), AnalyzeError> {
        match &self.block {
            Some(block) if block.failed && !ends_block => Err(AnalyzeError::user(
                "current transaction is aborted, commands ignored until end of transaction block",
            )
            .class(ErrorClass::FailedTransaction)),
            _ => Ok(()),
        }
    }

    /// Whether something may be changed now.
    pub(crate) fn admit_change(&self, what: &str) -> Result<(), AnalyzeError> {
        let read_only = match &self.block {
            Some(block) => block.modes.read_only,
            None => None,
        };
        if !read_only.unwrap_or_else(|| self.kept.variables.is_on("default_transaction_read_only"))
        {
            return Ok(());
        }
        Err(AnalyzeError::user(format!("cannot execute {what} in a read-only transaction"))
            .class(ErrorClass::ReadOnly))
    }

    /// Takes note of a change within a block: it has taken effect, and the block sees it.
    pub(crate) fn note_change(&mut self, tag: &str) {
        let Some(block) = &mut self.block else { return };
        block.snapshots = Arc::default();
        self.notices.push(Notice::told(format!(
            "{tag} has taken effect at once; ROLLBACK will not undo it"
        )));
    }

    pub(crate) fn begin(&mut self, modes: Modes) -> &'static str {
        if self.block.is_some() {
            let message = "there is already a transaction in progress";
            self.notices.push(Notice::warning("25001", message));
            return "BEGIN";
        }
        self.block = Some(Block {
            snapshots: Arc::default(),
            modes,
            failed: false,
            before: self.kept.clone(),
            after: self.kept.clone(),
            savepoints: Vec::new(),
        });
        "BEGIN"
    }

    /// Ends the block; returns what became of it.
    pub(crate) fn end(&mut self, commit: bool, chain: bool) -> Result<&'static str, AnalyzeError> {
        let Some(block) = self.block.take() else {
            if chain {
                let what = if commit { "COMMIT" } else { "ROLLBACK" };
                return Err(no_block(&format!("{what} AND CHAIN")));
            }
            let message = "there is no transaction in progress";
            self.notices.push(Notice::warning("25P01", message));
            return Ok(if commit { "COMMIT" } else { "ROLLBACK" });
        };
        let commit = commit && !block.failed;
        self.kept = if commit { block.after } else { block.before };
        if chain {
            self.begin(block.modes);
        }
        Ok(if commit { "COMMIT" } else { "ROLLBACK" })
    }

    pub(crate) fn savepoint(&mut self, name: &str) -> Result<(), AnalyzeError> {
        let kept = self.kept.clone();
        let block = self.block.as_mut().ok_or_else(|| no_block("SAVEPOINT"))?;
        if block.savepoints.len() >= SAVEPOINTS_MAX {
            let message = format!("a transaction has {SAVEPOINTS_MAX} savepoints at most");
            return Err(AnalyzeError::user(message).class(ErrorClass::TooMany));
        }
        block.savepoints.push((name.to_string(), kept, block.after.clone()));
        Ok(())
    }

    pub(crate) fn rollback_to(&mut self, name: &str) -> Result<(), AnalyzeError> {
        let block = self.block.as_mut().ok_or_else(|| no_block("ROLLBACK TO SAVEPOINT"))?;
        let at = position(block, name)?;
        block.savepoints.truncate(at + 1);
        let (_, kept, after) = &block.savepoints[at];
        (self.kept, block.after) = (kept.clone(), after.clone());
        block.failed = false;
        Ok(())
    }

    pub(crate) fn release(&mut self, name: &str) -> Result<(), AnalyzeError> {
        let block = self.block.as_mut().ok_or_else(|| no_block("RELEASE SAVEPOINT"))?;
        let at = position(block, name)?;
        block.savepoints.truncate(at);
        Ok(())
    }

    /// What transactions may do: the one under way, or all later ones.
    pub(crate) fn set_transaction(
        &mut self,
        session: bool,
        modes: Modes,
    ) -> Result<(), AnalyzeError> {
        if session {
            let read_only = modes.read_only.map(|on| if on { "on" } else { "off" });
            let isolation = modes.isolation.map(Isolation::name);
            let pairs = [
                ("default_transaction_read_only", read_only),
                ("default_transaction_isolation", isolation),
            ];
            for (name, value) in pairs {
                if let Some(value) = value {
                    self.set_kept(false, |kept| kept.variables.set(name, Some(value)))?;
                }
            }
            return Ok(());
        }
        match &mut self.block {
            Some(block) => {
                block.modes.read_only = modes.read_only.or(block.modes.read_only);
                block.modes.isolation = modes.isolation.or(block.modes.isolation);
            }
            None => {
                let message = "SET TRANSACTION can only be used in transaction blocks";
                self.notices.push(Notice::warning("25P01", message));
            }
        }
        Ok(())
    }

    /// Changes a setting, for the block alone or beyond it.
    pub(crate) fn set_kept(
        &mut self,
        local: bool,
        change: impl Fn(&mut Kept) -> Result<(), AnalyzeError>,
    ) -> Result<(), AnalyzeError> {
        match &mut self.block {
            None if local => {
                let message = "SET LOCAL can only be used in transaction blocks";
                self.notices.push(Notice::warning("25P01", message));
                // A value that is none is a mistake all the same.
                change(&mut self.kept.clone())
            }
            Some(block) if !local => {
                change(&mut self.kept)?;
                change(&mut block.after)
            }
            _ => change(&mut self.kept),
        }
    }

    /// What `SHOW` says of the transaction under way.
    pub(crate) fn transaction_setting(&self, name: &str) -> Option<&str> {
        let modes = self.block.as_ref().map(|block| block.modes).unwrap_or_default();
        match name {
            "transaction_isolation" => Some(match modes.isolation {
                Some(level) => level.name(),
                None => self.kept.variables.get("default_transaction_isolation")?,
            }),
            "transaction_read_only" => Some(match modes.read_only {
                Some(true) => "on",
                Some(false) => "off",
                None => self.kept.variables.get("default_transaction_read_only")?,
            }),
            _ => None,
        }
    }
}

fn no_block(what: &str) -> AnalyzeError {
    AnalyzeError::user(format!("{what} can only be used in transaction blocks"))
        .class(ErrorClass::NoTransaction)
}

fn position(block: &Block, name: &str) -> Result<usize, AnalyzeError> {
    block.savepoints.iter().rposition(|(known, ..)| known == name).ok_or_else(|| {
        AnalyzeError::user(format!("savepoint \"{name}\" does not exist"))
            .class(ErrorClass::UndefinedSavepoint)
    })
}
