//! The simple protocol, and the statements about the connection in both.
//!
//! Guarantees: a script's statements are carried out in order up to the first that fails; cursors
//! are run when they are declared, so that they see the tables of that moment.
//! Left out: what the session does itself.

use super::answer::{DataRows, description};
use super::connection::Connection;
use super::encode::Form;
use super::extended::{Pulled, Stored, no_portal};
use super::failure::{self, Failure, refused};
use super::portal::{Portal, State, tag};
use super::{WireError, types};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast;
use pgwire::messages::PgWireBackendMessage as Message;
use pgwire::messages::response::EmptyQueryResponse;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tradewind_analyze::connection::{Connection as Asked, Declare, Direction, Discard};
use tradewind_analyze::{Answer, ErrorClass, Statement, StatementKind, TransactionStatus};

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Answers a script.
    pub(crate) async fn query(&mut self, text: String) -> Result<(), WireError> {
        self.flag.lower();
        self.text = text.into();
        match self.script().await {
            Ok(()) => {}
            Err(Failure::Statement(error)) => {
                self.session.fail_transaction();
                self.notices()?;
                let response = failure::response(&error, &self.text);
                self.io.put(response)?;
            }
            Err(Failure::Connection(error)) => return Err(error),
        }
        self.end_of_group();
        self.ready().await
    }

    async fn script(&mut self) -> Result<(), Failure> {
        let statements = self.session.parse(&self.text)?;
        if statements.is_empty() {
            return Ok(self.io.put(Message::EmptyQueryResponse(EmptyQueryResponse::new()))?);
        }
        for statement in &statements {
            metrics::counter!("sql_statements_total").increment(1);
            self.statement(statement).await?;
        }
        Ok(())
    }

    async fn statement(&mut self, statement: &Statement) -> Result<(), Failure> {
        if let StatementKind::Connection(asked) = &statement.kind
            && self.special(asked, None, &[]).await?
        {
            return Ok(());
        }
        let until = Self::until(&self.session, &self.flag);
        let running = self.session.run(statement);
        let mut source = match until.guard(&mut self.io, running).await? {
            Answer::Done(tag) => return Ok(self.complete(tag)?),
            answer => self.source(answer)?,
        };
        self.io.put(Message::RowDescription(description(source.schema(), &[])))?;
        let zone = self.zone();
        let mut rows = DataRows(&[]);
        let (rows, _) = source.send(&mut self.io, until, &zone, None, &mut rows).await?;
        Ok(self.complete(tag(&statement.kind, rows))?)
    }

    /// Carries out what is the connection's own; false for what is the session's. `forms` are
    /// those of the extended protocol, where columns have been described before, and `values` are
    /// those of the statement's parameters.
    pub(crate) async fn special(
        &mut self,
        asked: &Asked,
        forms: Option<&[Form]>,
        values: &[ScalarValue],
    ) -> Result<bool, Failure> {
        match asked {
            Asked::Discard(Discard::All) => {
                if self.session.transaction_status() == TransactionStatus::Idle {
                    self.statements.clear();
                    self.portals.clear();
                }
                return Ok(false);
            }
            Asked::Prepare { .. }
            | Asked::Execute { .. }
            | Asked::Deallocate(_)
            | Asked::Declare(_)
            | Asked::Fetch { .. }
            | Asked::Close(_)
            | Asked::Copy(_) => self.session.check_block()?,
            _ => return Ok(false),
        }
        match asked {
            Asked::Prepare { name, types, statement } => {
                self.prepare_named(name, types, statement).await?;
                self.complete("PREPARE")?;
            }
            Asked::Execute { name, values } => self.execute_named(name, values, forms).await?,
            Asked::Deallocate(name) => self.deallocate(name.as_deref())?,
            Asked::Declare(declare) => self.declare(declare, values).await?,
            Asked::Fetch { cursor, direction, moves } => {
                self.fetch(cursor, *direction, *moves, forms).await?;
            }
            Asked::Close(name) => self.close_cursor(name.as_deref())?,
            Asked::Copy(copy) if copy.from => self.copy_in(copy).await?,
            Asked::Copy(copy) => self.copy_out(copy).await?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    async fn prepare_named(
        &mut self,
        name: &str,
        types: &[ast::DataType],
        statement: &Statement,
    ) -> Result<(), Failure> {
        let mut given = Vec::with_capacity(types.len());
        for of in types {
            let probe = self.session.parse(&format!("SELECT CAST(NULL AS {of})"))?;
            let probe = probe.first().ok_or_else(|| refused(ErrorClass::Internal, "no type"))?;
            let probe = self.session.prepare(probe, &[]).await?;
            given.push(probe.schema.map(|schema| schema.field(0).data_type().clone()));
        }
        let oids = given.iter().flatten().map(|of: &DataType| types::of(of).oid()).collect();
        let until = Self::until(&self.session, &self.flag);
        let preparing = self.session.prepare(statement, &given);
        let prepared = until.guard(&mut self.io, preparing).await?;
        let stored = self.stored(prepared, oids);
        self.keep(name.to_string(), stored)
    }

    async fn execute_named(
        &mut self,
        name: &str,
        values: &[ast::Expr],
        forms: Option<&[Form]>,
    ) -> Result<(), Failure> {
        let stored = self.statement_named(name)?;
        let Some(prepared) = &stored.prepared else {
            return Ok(self.io.put(Message::EmptyQueryResponse(EmptyQueryResponse::new()))?);
        };
        let values = self.constants(values, &prepared.parameters).await?;
        let kind = prepared.statement().kind.clone();
        let mut portal = Portal::new(Arc::clone(&stored), values, Vec::new());
        self.show_portal(&mut portal, None, forms, false, |rows| tag(&kind, rows)).await
    }

    /// The values of expressions without columns.
    async fn constants(
        &mut self,
        expressions: &[ast::Expr],
        types: &[DataType],
    ) -> Result<Vec<ScalarValue>, Failure> {
        if expressions.is_empty() {
            return Ok(Vec::new());
        }
        let list: Vec<String> = expressions.iter().map(ToString::to_string).collect();
        let sql = format!("SELECT {}", list.join(", "));
        let until = Self::until(&self.session, &self.flag);
        let running = self.session.execute(&sql);
        let Answer::Rows(rows) = until.guard(&mut self.io, running).await? else {
            return Err(refused(ErrorClass::Internal, "no values").into());
        };
        let batches = until.guard(&mut self.io, rows.collect()).await?;
        let batch = batches.iter().find(|batch| batch.num_rows() == 1);
        let batch = batch.ok_or_else(|| refused(ErrorClass::Internal, "no values"))?;
        let columns = batch.columns().iter().enumerate().map(|(index, column)| {
            let value = ScalarValue::try_from_array(column, 0)?;
            match types.get(index) {
                Some(DataType::Decimal128(..)) | None => Ok(value),
                Some(of) => value.cast_to(of),
            }
        });
        let values: Result<_, datafusion::common::DataFusionError> = columns.collect();
        Ok(values.map_err(tradewind_analyze::AnalyzeError::from)?)
    }

    fn deallocate(&mut self, name: Option<&str>) -> Result<(), Failure> {
        match name {
            Some(name) => {
                self.statement_named(name)?;
                self.statements.remove(name);
                Ok(self.complete("DEALLOCATE")?)
            }
            None => {
                self.statements.clear();
                Ok(self.complete("DEALLOCATE ALL")?)
            }
        }
    }

    async fn declare(&mut self, declare: &Declare, values: &[ScalarValue]) -> Result<(), Failure> {
        let within = self.session.transaction_status() != TransactionStatus::Idle;
        if !within && !declare.hold {
            let message = "DECLARE CURSOR can only be used in transaction blocks";
            let error = refused(ErrorClass::NoTransaction, message);
            return Err(error.hint("BEGIN before it, or WITH HOLD").into());
        }
        if declare.scroll {
            let error = refused(ErrorClass::NotSupported, "cursors go forward only");
            return Err(error.hint("leave out SCROLL").into());
        }
        if !declare.statement.is_query() {
            let message = "a cursor is for a query";
            return Err(refused(ErrorClass::Syntax, message).into());
        }
        let until = Self::until(&self.session, &self.flag);
        let types: Vec<_> = values.iter().map(|value| Some(value.data_type())).collect();
        let preparing = self.session.prepare(&declare.statement, &types);
        let prepared = until.guard(&mut self.io, preparing).await?;
        let answer = self.session.execute_prepared(&prepared, values);
        let answer = until.guard(&mut self.io, answer).await?;
        let source = self.source(answer)?;
        let form = if declare.binary { Form::Binary } else { Form::Text };
        let forms = vec![form; source.schema().fields().len()];
        let stored =
            Stored { prepared: Some(prepared), oids: Vec::new(), text: Arc::clone(&self.text) };
        let mut portal = Portal::new(Arc::new(stored), Vec::new(), forms);
        portal.state = State::Running(Box::new(source));
        (portal.hold, portal.cursor) = (declare.hold, true);
        self.add_portal(declare.name.clone(), portal)?;
        Ok(self.complete("DECLARE CURSOR")?)
    }

    async fn fetch(
        &mut self,
        name: &str,
        direction: Direction,
        moves: bool,
        forms: Option<&[Form]>,
    ) -> Result<(), Failure> {
        let rows_max = match direction {
            Direction::Forward(rows) => Some(rows),
            Direction::All => None,
            Direction::Other => {
                let error = refused(ErrorClass::NotSupported, "cursors go forward only");
                return Err(error.hint("FETCH n, FETCH NEXT or FETCH ALL").into());
            }
        };
        let mut portal = self.portals.remove(name).ok_or_else(|| no_portal(name))?;
        let word = if moves { "MOVE" } else { "FETCH" };
        let shown = |rows| format!("{word} {rows}");
        let done = self.show_portal(&mut portal, rows_max, forms, moves, shown).await;
        self.portals.insert(name.to_string(), portal);
        done
    }

    /// Sends rows of a portal that is not the protocol's own.
    async fn show_portal(
        &mut self,
        portal: &mut Portal,
        rows_max: Option<u64>,
        forms: Option<&[Form]>,
        moves: bool,
        tag: impl Fn(u64) -> String,
    ) -> Result<(), Failure> {
        let schema = portal.schema();
        let columns = schema.as_ref().map_or(0, |schema| schema.fields().len());
        match (forms, &schema) {
            (Some([all]), _) => portal.forms = vec![*all; columns],
            (Some(each), _) => portal.forms = each.to_vec(),
            (None, Some(schema)) if !moves => {
                let description = description(schema, &portal.forms);
                self.io.put(Message::RowDescription(description))?;
            }
            (None, _) => {}
        }
        match self.pull(portal, rows_max, moves).await? {
            Pulled::Rows(rows, _) => Ok(self.complete(tag(rows))?),
            Pulled::Done(tag) => Ok(self.complete(tag)?),
        }
    }

    fn close_cursor(&mut self, name: Option<&str>) -> Result<(), Failure> {
        match name {
            None => {
                self.portals.retain(|_, portal| !portal.cursor);
                Ok(self.complete("CLOSE CURSOR ALL")?)
            }
            Some(name) => {
                self.portals.remove(name).ok_or_else(|| no_portal(name))?;
                Ok(self.complete("CLOSE CURSOR")?)
            }
        }
    }
}
