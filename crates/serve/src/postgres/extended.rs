//! The extended protocol: statements are prepared, bound to values and run piece by piece.
//!
//! Guarantees: a statement is planned when it is prepared, so that its mistakes show then; a
//! connection keeps so many statements and portals as [`super::PostgresLimits`] says.
//! Left out: plans that are kept. Each execution sees the tables as they are.

use super::answer::{DataRows, Passed, RowSource, description};
use super::connection::Connection;
use super::decode;
use super::encode::Form;
use super::failure::{Failure, refused};
use super::message::{Bind, Target};
use super::portal::{Portal, State, schema_of, tag};
use super::types;
use datafusion::common::ScalarValue;
use pgwire::messages::PgWireBackendMessage as Message;
use pgwire::messages::data::{NoData, ParameterDescription};
use pgwire::messages::extendedquery::{
    BindComplete, CloseComplete, ParseComplete, PortalSuspended,
};
use pgwire::messages::response::EmptyQueryResponse;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tradewind_analyze::{Answer, ErrorClass, Prepared, StatementKind};

/// A prepared statement, as a connection keeps it.
pub(crate) struct Stored {
    /// `None` for a text without a statement.
    pub(crate) prepared: Option<Prepared>,
    /// The parameters' types, as the client knows them.
    pub(crate) oids: Vec<u32>,
    /// Its text.
    pub(crate) text: Arc<str>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub(crate) async fn parse(
        &mut self,
        name: String,
        sql: String,
        oids: Vec<u32>,
    ) -> Result<(), Failure> {
        self.flag.lower();
        self.text = sql.into();
        let mut statements = self.session.parse(&self.text)?;
        if statements.len() > 1 {
            let message = "cannot insert multiple commands into a prepared statement";
            return Err(refused(ErrorClass::Syntax, message).into());
        }
        let stored = match statements.pop() {
            None => Stored { prepared: None, oids, text: Arc::clone(&self.text) },
            Some(statement) => {
                let until = Self::until(&self.session, &self.flag);
                let given: Vec<_> = oids.iter().map(|oid| types::parameter(*oid)).collect();
                let preparing = self.session.prepare(&statement, &given);
                let prepared = until.guard(&mut self.io, preparing).await?;
                self.stored(prepared, oids)
            }
        };
        self.keep(name, stored)?;
        Ok(self.io.put(Message::ParseComplete(ParseComplete::new()))?)
    }

    /// What is kept of a prepared statement, with types for the parameters that have none yet.
    pub(crate) fn stored(&self, prepared: Prepared, mut oids: Vec<u32>) -> Stored {
        oids.resize(prepared.parameters.len(), 0);
        for (oid, data_type) in oids.iter_mut().zip(&prepared.parameters) {
            if types::parameter(*oid).is_none() {
                *oid = types::of(data_type).oid();
            }
        }
        Stored { prepared: Some(prepared), oids, text: Arc::clone(&self.text) }
    }

    /// Keeps a statement under its name; the unnamed one takes the place of the last.
    pub(crate) fn keep(&mut self, name: String, stored: Stored) -> Result<(), Failure> {
        if !name.is_empty() && self.statements.contains_key(&name) {
            let message = format!("prepared statement \"{name}\" already exists");
            return Err(refused(ErrorClass::DuplicateStatement, message).into());
        }
        let most = self.shared.limits.statements_max;
        if self.statements.len() >= most && !self.statements.contains_key(&name) {
            let message = format!("a connection keeps {most} prepared statements at most");
            return Err(refused(ErrorClass::TooMany, message).hint("DEALLOCATE some").into());
        }
        self.statements.insert(name, Arc::new(stored));
        Ok(())
    }

    pub(crate) fn statement_named(&self, name: &str) -> Result<Arc<Stored>, Failure> {
        self.statements.get(name).cloned().ok_or_else(|| {
            let message = match name {
                "" => "unnamed prepared statement does not exist".to_string(),
                name => format!("prepared statement \"{name}\" does not exist"),
            };
            refused(ErrorClass::UndefinedStatement, message).into()
        })
    }

    pub(crate) fn bind(&mut self, bind: Bind) -> Result<(), Failure> {
        let stored = self.statement_named(&bind.statement)?;
        self.text = Arc::clone(&stored.text);
        let (given, wanted) = (bind.values.len(), stored.oids.len());
        if given != wanted {
            let message = format!(
                "bind message supplies {given} parameters, but prepared statement \"{}\" requires {wanted}",
                bind.statement
            );
            return Err(refused(ErrorClass::Protocol, message).into());
        }
        let forms = forms(&bind.formats, wanted)?;
        let zone = self.session.setting("timezone").unwrap_or("UTC");
        let targets = stored.prepared.iter().flat_map(|prepared| &prepared.parameters);
        let values = bind.values.iter().zip(&stored.oids).zip(targets).zip(&forms);
        let values: Result<Vec<ScalarValue>, _> = values
            .map(|(((bytes, oid), target), form)| {
                decode::parameter(bytes.as_deref(), *form == Form::Binary, *oid, target, zone)
            })
            .collect();
        let values = values?;
        let columns = schema_of(&stored).map_or(0, |schema| schema.fields().len());
        // Its own columns are not known before a cursor is asked.
        let result_forms = match (columns, &*bind.result_formats) {
            (0, all) => all.iter().map(|format| form(*format)).collect::<Result<_, _>>()?,
            (columns, formats) => self::forms(formats, columns)?,
        };
        let portal = Portal::new(stored, values, result_forms);
        self.add_portal(bind.portal, portal)?;
        Ok(self.io.put(Message::BindComplete(BindComplete::new()))?)
    }

    pub(crate) fn add_portal(&mut self, name: String, portal: Portal) -> Result<(), Failure> {
        if !name.is_empty() && self.portals.contains_key(&name) {
            let message = format!("cursor \"{name}\" already exists");
            return Err(refused(ErrorClass::DuplicateCursor, message).into());
        }
        let most = self.shared.limits.portals_max;
        if self.portals.len() >= most && !self.portals.contains_key(&name) {
            let message = format!("a connection keeps {most} portals and cursors at most");
            return Err(refused(ErrorClass::TooMany, message).hint("CLOSE some").into());
        }
        self.portals.insert(name, portal);
        Ok(())
    }

    pub(crate) fn describe(&mut self, target: &Target) -> Result<(), Failure> {
        let (schema, forms) = match target {
            Target::Statement(name) => {
                let stored = self.statement_named(name)?;
                let types = stored.oids.clone();
                self.io.put(Message::ParameterDescription(ParameterDescription::new(types)))?;
                (self.columns_of(&stored), Vec::new())
            }
            Target::Portal(name) => {
                let portal = self.portals.get(name).ok_or_else(|| no_portal(name))?;
                let schema = portal.schema().or_else(|| self.columns_of(&portal.stored));
                (schema, portal.forms.clone())
            }
        };
        // One for all, where the columns were not known when it was bound.
        let forms = match (&*forms, &schema) {
            ([all], Some(schema)) => vec![*all; schema.fields().len()],
            _ => forms,
        };
        Ok(self.io.put(match schema {
            Some(schema) => Message::RowDescription(description(&schema, &forms)),
            None => Message::NoData(NoData::new()),
        })?)
    }

    /// The columns of a statement, which for `FETCH` are its cursor's and for `EXECUTE` those of
    /// what is executed.
    fn columns_of(&self, stored: &Stored) -> Option<arrow::datatypes::SchemaRef> {
        use tradewind_analyze::connection::Connection as Asked;
        let prepared = stored.prepared.as_ref()?;
        if let StatementKind::Connection(asked) = &prepared.statement().kind {
            match &**asked {
                Asked::Fetch { cursor, moves: false, .. } => {
                    return self.portals.get(cursor)?.schema();
                }
                Asked::Execute { name, .. } => return schema_of(self.statements.get(name)?),
                _ => {}
            }
        }
        schema_of(stored)
    }

    pub(crate) async fn execute(&mut self, name: &str, rows_max: u32) -> Result<(), Failure> {
        self.flag.lower();
        let mut portal = self.portals.remove(name).ok_or_else(|| no_portal(name))?;
        self.text = Arc::clone(&portal.stored.text);
        let Some(prepared) = portal.stored.prepared.clone() else {
            self.io.put(Message::EmptyQueryResponse(EmptyQueryResponse::new()))?;
            self.portals.insert(name.to_string(), portal);
            return Ok(());
        };
        metrics::counter!("sql_statements_total").increment(1);
        let kind = &prepared.statement().kind;
        if let (StatementKind::Connection(asked), State::Bound(values)) = (kind, &mut portal.state)
        {
            // It may end the transaction, and the portals with it.
            let values = std::mem::take(values);
            if self.special(asked, Some(&portal.forms), &values).await? {
                portal.state = State::Done;
                self.portals.insert(name.to_string(), portal);
                return Ok(());
            }
        }
        let rows_max = (rows_max > 0).then_some(u64::from(rows_max));
        let outcome = self.pull(&mut portal, rows_max, false).await?;
        match outcome {
            Pulled::Rows(_, false) => {
                self.io.put(Message::PortalSuspended(PortalSuspended::new()))?;
            }
            Pulled::Rows(rows, true) => self.complete(tag(kind, rows))?,
            Pulled::Done(tag) => self.complete(tag)?,
        }
        self.portals.insert(name.to_string(), portal);
        Ok(())
    }

    /// Runs a portal on, if need be from the start.
    pub(crate) async fn pull(
        &mut self,
        portal: &mut Portal,
        rows_max: Option<u64>,
        pass: bool,
    ) -> Result<Pulled, Failure> {
        let until = Self::until(&self.session, &self.flag);
        if let State::Bound(values) = &mut portal.state {
            let values = std::mem::take(values);
            portal.state = State::Done;
            let prepared = portal.stored.prepared.as_ref();
            let prepared = prepared.ok_or_else(|| refused(ErrorClass::Internal, "no statement"))?;
            let answer = self.session.execute_prepared(prepared, &values);
            match until.guard(&mut self.io, answer).await? {
                Answer::Done(tag) => return Ok(Pulled::Done(tag)),
                answer => portal.state = State::Running(Box::new(self.source(answer)?)),
            }
        }
        let zone = self.zone();
        let source = match &mut portal.state {
            State::Running(source) => source,
            State::Expired => {
                let message = "nobody asked for rows for too long, and the query was ended";
                return Err(refused(ErrorClass::UndefinedCursor, message).into());
            }
            _ => return Ok(Pulled::Rows(0, true)),
        };
        let io = &mut self.io;
        let sent = match pass {
            true => source.send(io, until, &zone, rows_max, &mut Passed).await,
            false => {
                let mut rows = DataRows(&portal.forms);
                source.send(io, until, &zone, rows_max, &mut rows).await
            }
        };
        // What has failed, or has no more, keeps no query.
        if !matches!(sent, Ok((_, false))) {
            portal.state = State::Done;
        }
        sent.map(|(rows, all)| Pulled::Rows(rows, all))
    }

    /// Where an answer's rows come from.
    pub(crate) fn source(&self, answer: Answer) -> Result<RowSource, Failure> {
        match answer {
            Answer::Rows(rows) => Ok(RowSource::of_rows(rows)),
            Answer::Changes(changes) => match self.shared.subscribers.admit() {
                Some(place) => Ok(RowSource::of_changes(changes, place)),
                None => Err(refused(ErrorClass::TooMany, "there are too many subscribers").into()),
            },
            Answer::Done(_) => Err(refused(ErrorClass::Internal, "no rows").into()),
        }
    }

    pub(crate) fn close(&mut self, target: &Target) -> Result<(), Failure> {
        match target {
            Target::Statement(name) => drop(self.statements.remove(name)),
            Target::Portal(name) => drop(self.portals.remove(name)),
        }
        Ok(self.io.put(Message::CloseComplete(CloseComplete::new()))?)
    }
}

/// What a portal has given.
pub(crate) enum Pulled {
    /// So many rows, and whether those were all.
    Rows(u64, bool),
    /// No rows: what was done.
    Done(String),
}

pub(crate) fn no_portal(name: &str) -> Failure {
    let message = match name {
        "" => "unnamed portal does not exist".to_string(),
        name => format!("cursor \"{name}\" does not exist"),
    };
    refused(ErrorClass::UndefinedCursor, message).into()
}

fn form(format: i16) -> Result<Form, Failure> {
    match format {
        0 => Ok(Form::Text),
        1 => Ok(Form::Binary),
        other => {
            Err(refused(ErrorClass::Protocol, format!("unsupported format code: {other}")).into())
        }
    }
}

/// One form for each of `count`: none given is text, one given is all.
fn forms(formats: &[i16], count: usize) -> Result<Vec<Form>, Failure> {
    match formats {
        [] => Ok(vec![Form::Text; count]),
        [all] => Ok(vec![form(*all)?; count]),
        each if each.len() == count => each.iter().map(|format| form(*format)).collect(),
        each => {
            let message = format!("{} formats are given for {count} values", each.len());
            Err(refused(ErrorClass::Protocol, message).into())
        }
    }
}
