//! One client's connection: messages in, answers out, in the same order.
//!
//! Guarantees: an idle connection holds no buffer; a message is read when those before it are
//! answered; after an error in a group of messages the rest of the group is passed by.
//! Left out: what each message does.

use super::WireError;
use super::answer::Until;
use super::cancel::{Cancels, Flag, Registered};
use super::extended::Stored;
use super::failure::{self, Failure};
use super::io::{Frame, Io};
use super::limits::{PORTAL_IDLE_MAX, PostgresLimits};
use super::message::{self, Message};
use super::portal::Portal;
use super::startup::{self, Opened};
use crate::subscribe::Subscribers;
use arrow::array::timezone::Tz;
use pgwire::messages::PgWireBackendMessage as Answer;
use pgwire::messages::response::{CommandComplete, ReadyForQuery, TransactionStatus as Shown};
use pgwire::messages::startup::{Authentication, BackendKeyData, ParameterStatus, SecretKey};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, watch};
use tokio::time::sleep;
use tradewind_analyze::{Platform, REPORTED, Session, TransactionStatus};

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) platform: Platform,
    pub(crate) subscribers: Subscribers,
    pub(crate) cancels: Arc<Cancels>,
    pub(crate) budget: Arc<Semaphore>,
    pub(crate) limits: Arc<PostgresLimits>,
    pub(crate) stopping: watch::Receiver<bool>,
}

/// A session and its client.
pub(crate) struct Connection<S> {
    pub(crate) io: Io<S>,
    pub(crate) session: Session,
    pub(crate) shared: Arc<Shared>,
    pub(crate) flag: Arc<Flag>,
    pub(crate) statements: HashMap<String, Arc<Stored>>,
    pub(crate) portals: HashMap<String, Portal>,
    /// The text that places in errors are meant in.
    pub(crate) text: Arc<str>,
    /// What the client was last told of the settings that it is told of.
    told: HashMap<&'static str, String>,
    /// A message of the group has failed: the rest is passed by.
    skipping: bool,
    stopping: watch::Receiver<bool>,
}

/// Serves a client until it is done, misbehaves, or the port closes.
///
/// # Errors
/// [`WireError`] says why the connection was cut.
pub(crate) async fn run<S>(stream: S, shared: Arc<Shared>) -> Result<(), WireError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut io = Io::new(stream, Arc::clone(&shared.limits), Arc::clone(&shared.budget));
    let (user, settings) = match startup::open(&mut io, &shared).await {
        Ok(Opened::Session { user, settings }) => (user, settings),
        Ok(Opened::Done) => {
            io.close().await;
            return Ok(());
        }
        Err(error) => return last_words(&mut io, error).await,
    };
    let registered = shared.cancels.register();
    let mut session = shared.platform.session();
    let pairs: Vec<_> = settings.iter().map(|(name, value)| (&**name, &**value)).collect();
    if let Err(error) = session.connect(&user, &pairs) {
        io.put(failure::ends(error.sqlstate(), &error.to_string()))?;
        io.flush().await?;
        io.close().await;
        return Ok(());
    }
    let mut connection = Connection {
        io,
        session,
        flag: Arc::clone(&registered.flag),
        statements: HashMap::new(),
        portals: HashMap::new(),
        text: "".into(),
        told: HashMap::new(),
        skipping: false,
        stopping: shared.stopping.clone(),
        shared,
    };
    match connection.serve(&registered).await {
        Ok(()) => {
            connection.io.close().await;
            Ok(())
        }
        Err(error) => last_words(&mut connection.io, error).await,
    }
}

/// Says why a connection is closed, where there is somebody to tell.
async fn last_words<S>(io: &mut Io<S>, error: WireError) -> Result<(), WireError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if let Some(last) = failure::fatal(&error)
        && io.put(last).is_ok()
    {
        let _ = io.flush().await;
    }
    io.close().await;
    Err(error)
}

/// What comes next.
enum Next {
    Message(Frame),
    End,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    async fn serve(&mut self, registered: &Registered) -> Result<(), WireError> {
        self.io.put(Answer::Authentication(Authentication::Ok))?;
        let secret = SecretKey::I32(registered.secret as i32);
        self.report()?;
        self.io.put(Answer::BackendKeyData(BackendKeyData::new(registered.process, secret)))?;
        self.ready().await?;
        loop {
            let Next::Message(frame) = self.next().await? else { return Ok(()) };
            let message = message::message(frame.kind, frame.body.clone())?;
            if matches!(message, Message::Terminate) {
                return Ok(());
            }
            self.handle(message).await?;
        }
    }

    /// Waits for a message, as long as a silent client is borne with.
    async fn next(&mut self) -> Result<Next, WireError> {
        loop {
            let holding = self.portals.values().any(Portal::holds_place);
            let idle = [self.shared.limits.idle_timeout, self.session.idle_timeout()];
            let idle = idle.into_iter().flatten().min();
            let patience = match holding {
                true => Some(idle.map_or(PORTAL_IDLE_MAX, |idle| idle.min(PORTAL_IDLE_MAX))),
                false => idle,
            };
            let ready = tokio::select! {
                biased;
                ready = self.io.ready() => ready?,
                _ = self.stopping.wait_for(|stop| *stop) => return Err(WireError::Stopping),
                () = after(patience) => {
                    if !holding || idle.is_some_and(|idle| idle <= PORTAL_IDLE_MAX) {
                        return Err(WireError::Idle);
                    }
                    // The query's place is for those who use it.
                    self.portals.values_mut().for_each(Portal::expire);
                    continue;
                }
            };
            return match ready {
                true => Ok(Next::Message(self.io.message().await?)),
                false => Ok(Next::End),
            };
        }
    }

    async fn handle(&mut self, message: Message) -> Result<(), WireError> {
        if self.skipping && !matches!(message, Message::Sync) {
            return Ok(());
        }
        let done = match message {
            Message::Query(text) => return self.query(text).await,
            Message::Sync => {
                self.skipping = false;
                self.end_of_group();
                return self.ready().await;
            }
            Message::Flush => return self.io.flush().await,
            Message::Parse { name, sql, types } => self.parse(name, sql, types).await,
            Message::Bind(bind) => self.bind(bind),
            Message::Describe(target) => self.describe(&target),
            Message::Execute { portal, rows_max } => self.execute(&portal, rows_max).await,
            Message::Close(target) => self.close(&target),
            // The rest of a COPY that has failed meanwhile.
            Message::CopyData(_) | Message::CopyDone | Message::CopyFail(_) => Ok(()),
            Message::Terminate => Ok(()),
            Message::Password => return Err(WireError::Order("no password was asked for")),
            Message::Unknown(_) => return Err(WireError::Order("a message of an unknown kind")),
        };
        match done {
            Ok(()) => Ok(()),
            Err(Failure::Statement(error)) => {
                self.session.fail_transaction();
                self.skipping = true;
                let response = failure::response(&error, &self.text);
                self.notices()?;
                self.io.put(response)
            }
            Err(Failure::Connection(error)) => Err(error),
        }
    }

    /// Ends what ends with a group of messages: portals, unless a transaction keeps them.
    pub(crate) fn end_of_group(&mut self) {
        if self.session.transaction_status() == TransactionStatus::Idle {
            self.portals.retain(|_, portal| portal.hold);
        }
    }

    /// Says that the next statement may come, and sends all that was said.
    pub(crate) async fn ready(&mut self) -> Result<(), WireError> {
        self.report()?;
        let status = match self.session.transaction_status() {
            TransactionStatus::Idle => Shown::Idle,
            TransactionStatus::InBlock => Shown::Transaction,
            TransactionStatus::Failed => Shown::Error,
        };
        self.io.put(Answer::ReadyForQuery(ReadyForQuery::new(status)))?;
        self.io.flush().await
    }

    /// Tells the client of settings that are not what it was told.
    fn report(&mut self) -> Result<(), WireError> {
        for name in REPORTED {
            let value = self.session.setting(name).unwrap_or_default();
            if self.told.get(name).map(String::as_str) != Some(value) {
                let value = value.to_string();
                let status = ParameterStatus::new(name.to_string(), value.clone());
                self.io.put(Answer::ParameterStatus(status))?;
                self.told.insert(name, value);
            }
        }
        Ok(())
    }

    /// Says what there is to say beside an answer.
    pub(crate) fn notices(&mut self) -> Result<(), WireError> {
        for notice in self.session.take_notices() {
            self.io.put(failure::notice(&notice))?;
        }
        Ok(())
    }

    /// Says what was done.
    pub(crate) fn complete(&mut self, tag: impl Into<String>) -> Result<(), WireError> {
        self.notices()?;
        self.io.put(Answer::CommandComplete(CommandComplete::new(tag.into())))
    }

    /// The time zone that instants are shown in.
    pub(crate) fn zone(&self) -> Tz {
        let zone = self.session.setting("timezone").and_then(|zone| zone.parse().ok());
        zone.unwrap_or_else(|| "+00:00".parse().expect("an offset is a time zone"))
    }

    /// When the statement that begins now has to end.
    pub(crate) fn until<'a>(session: &Session, flag: &'a Flag) -> Until<'a> {
        Until::new(flag, session.statement_timeout())
    }
}

/// Resolves after `time`, or never.
async fn after(time: Option<Duration>) {
    match time {
        Some(time) => sleep(time).await,
        None => std::future::pending().await,
    }
}
