//! A session's settings: `SET`, `SHOW name`, `RESET`, `DISCARD`.
//!
//! Guarantees: what is set holds for the statements after it and is taken back with the
//! transaction it was set in.
//! Left out: which settings PostgreSQL's clients know, which is `variables`'.

use crate::class::ErrorClass;
use crate::error::AnalyzeError;
use crate::session::{Answer, Kept, Rows, Session, fixed, not_supported};
use crate::variables;
use arrow::array::{ArrayRef, StringArray};
use std::sync::Arc;
use std::time::Duration;
use tradewind_sql::connection::{Connection, Discard};
use tradewind_sql::{Dialect, sets_dialect};

/// The names of a session's time zone.
const TIME_ZONE: [&str; 3] = ["timezone", "time_zone", "table.local-time-zone"];

impl Session {
    /// Takes in what a client says when it connects: its name, and settings that hold until it
    /// sets others and again after `RESET`.
    ///
    /// # Errors
    /// There is no such setting, or it takes no such value.
    pub fn connect(&mut self, user: &str, settings: &[(&str, &str)]) -> Result<(), AnalyzeError> {
        self.kept.variables.is("session_authorization", user);
        for (name, value) in settings {
            let name = name.to_lowercase();
            if TIME_ZONE.contains(&&*name) || sets_dialect(&name) {
                self.set(&name, Some(value), false)?;
                self.begin_with_kept();
            } else {
                self.kept.variables.begin_with(&name, value)?;
            }
        }
        Ok(())
    }

    /// What a setting is, as `SHOW` says it; `None` where there is no such setting.
    pub fn setting(&self, name: &str) -> Option<&str> {
        let name = name.to_lowercase();
        match name.as_str() {
            name if TIME_ZONE.contains(&name) => Some(&self.kept.time_zone),
            name if sets_dialect(name) => Some(self.kept.dialect.name()),
            name => self.transaction_setting(name).or_else(|| self.kept.variables.get(name)),
        }
    }

    /// How long a statement may run, where that is set.
    pub fn statement_timeout(&self) -> Option<Duration> {
        self.kept.variables.time("statement_timeout")
    }

    /// How long the client may do nothing, as far as it has set that itself: within a transaction,
    /// or without one.
    pub fn idle_timeout(&self) -> Option<Duration> {
        self.kept.variables.time(match self.block {
            Some(_) => "idle_in_transaction_session_timeout",
            None => "idle_session_timeout",
        })
    }

    pub(crate) fn connection(&mut self, connection: &Connection) -> Result<Answer, AnalyzeError> {
        let tag = match connection {
            Connection::Begin(modes) => self.begin(*modes),
            Connection::Commit { chain } => self.end(true, *chain)?,
            Connection::Rollback { chain } => self.end(false, *chain)?,
            Connection::Savepoint(name) => self.savepoint(name).map(|()| "SAVEPOINT")?,
            Connection::RollbackTo(name) => self.rollback_to(name).map(|()| "ROLLBACK")?,
            Connection::Release(name) => self.release(name).map(|()| "RELEASE")?,
            Connection::SetTransaction { session, modes } => {
                self.set_transaction(*session, *modes).map(|()| "SET")?
            }
            Connection::Set { name, value, local } => {
                self.set(name, value.as_deref(), *local).map(|()| "SET")?
            }
            Connection::Show(name) => return self.show_setting(name).map(Answer::Rows),
            Connection::Reset(Some(name)) => self.set(name, None, false).map(|()| "RESET")?,
            Connection::Reset(None) => self.reset_all().map(|()| "RESET")?,
            Connection::Discard(what) => self.discard(*what)?,
            Connection::Unlisten => "UNLISTEN",
            Connection::Prepare { .. }
            | Connection::Execute { .. }
            | Connection::Deallocate(_)
            | Connection::Declare(_)
            | Connection::Fetch { .. }
            | Connection::Close(_)
            | Connection::Copy(_) => {
                return Err(not_supported("cursors, COPY and PREPARE")
                    .hint("they need a connection that stays: ask through the Postgres port"));
            }
        };
        Ok(Answer::Done(tag.into()))
    }

    /// Sets one; `None` takes back what was set.
    pub(crate) fn set(
        &mut self,
        key: &str,
        value: Option<&str>,
        local: bool,
    ) -> Result<(), AnalyzeError> {
        let key = key.to_lowercase();
        match key.as_str() {
            key if sets_dialect(key) => {
                let dialect = match value {
                    Some(value) => Dialect::from_name(value).ok_or_else(|| {
                        AnalyzeError::user(format!("{value:?} is no dialect"))
                            .class(ErrorClass::InvalidParameter)
                            .hint("postgres or flink")
                    })?,
                    None => self.initial.1,
                };
                self.set_kept(local, |kept| {
                    kept.dialect = dialect;
                    Ok(())
                })
            }
            key if TIME_ZONE.contains(&key) || key == "time zone" => {
                self.set_time_zone(value, local)
            }
            "pipeline.name" => {
                if value == Some("") {
                    return Err(AnalyzeError::user("a pipeline's name is not empty")
                        .class(ErrorClass::InvalidParameter));
                }
                self.pipeline_name = value.map(str::to_string);
                Ok(())
            }
            key => self.set_kept(local, |kept| kept.variables.set(key, value)),
        }
    }

    fn set_time_zone(&mut self, value: Option<&str>, local: bool) -> Result<(), AnalyzeError> {
        let initial = self.initial.0.clone();
        let zone = value.unwrap_or(&initial);
        zone.parse::<arrow::array::timezone::Tz>().map_err(|_| {
            AnalyzeError::user(format!("{zone:?} is no time zone"))
                .class(ErrorClass::InvalidParameter)
                .hint("names are as in Europe/Berlin, offsets as in +02:00")
        })?;
        self.set_kept(local, |kept| {
            kept.time_zone = zone.to_string();
            Ok(())
        })
    }

    fn begin_with_kept(&mut self) {
        self.initial = (self.kept.time_zone.clone(), self.kept.dialect);
    }

    fn reset_all(&mut self) -> Result<(), AnalyzeError> {
        let (time_zone, dialect) = self.initial.clone();
        self.set_kept(false, |kept: &mut Kept| {
            kept.variables.reset();
            (kept.time_zone, kept.dialect) = (time_zone.clone(), dialect);
            Ok(())
        })
    }

    fn discard(&mut self, what: Discard) -> Result<&'static str, AnalyzeError> {
        Ok(match what {
            Discard::All if self.block.is_some() => {
                let message = "DISCARD ALL cannot run inside a transaction block";
                return Err(AnalyzeError::user(message).class(ErrorClass::InTransaction));
            }
            Discard::All => {
                self.reset_all()?;
                self.pipeline_name = None;
                "DISCARD ALL"
            }
            Discard::Plans => "DISCARD PLANS",
            Discard::Sequences => "DISCARD SEQUENCES",
            Discard::Temp => "DISCARD TEMP",
        })
    }

    pub(crate) fn show_setting(&self, name: &str) -> Result<Rows, AnalyzeError> {
        let column = |texts: Vec<String>| Arc::new(StringArray::from(texts)) as ArrayRef;
        if name == "all" {
            let mut all = self.kept.variables.all();
            all.push(("TimeZone".into(), self.kept.time_zone.clone()));
            all.push(("dialect".into(), self.kept.dialect.name().into()));
            all.sort_by_key(|(name, _)| name.to_lowercase());
            let (names, values): (Vec<_>, Vec<_>) = all.into_iter().unzip();
            let empty = vec![String::new(); names.len()];
            return fixed(vec![
                ("name", column(names)),
                ("setting", column(values)),
                ("description", column(empty)),
            ]);
        }
        let value = self.setting(name).ok_or_else(|| variables::unknown(name))?;
        let shown = if name == "timezone" { "TimeZone" } else { name };
        fixed(vec![(shown, column(vec![value.to_string()]))])
    }
}
