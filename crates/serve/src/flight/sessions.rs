//! Sessions: what a client has set for its later statements.
//!
//! Guarantees: a client without a session has the server's settings each time; it gets one, as
//! the cookie `arrow_flight_session_id`, when it sets something, and a cookie that nothing stands
//! behind any more is an error, since its settings would be missing in silence.
//! Left out: who the client is. A handshake is answered, and its token is not asked for again.

use super::held::{Handle, Held};
use super::status;
use parking_lot::Mutex;
use prost::Message;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tonic::metadata::MetadataMap;
use tonic::{Response, Status};
use tradewind_analyze::{Platform, Session};
use uuid::Uuid;

/// The cookie's name, as Flight's own middleware has it.
const COOKIE: &str = "arrow_flight_session_id";
/// Sessions at once. Each is a few settings.
const SESSIONS_MAX: usize = 4_096;
/// How long a session is kept after its last use: a working day's pause at the most.
const SESSION_LIFE: Duration = Duration::from_secs(12 * 3_600);

/// A client's settings and the statements it runs by them, one at a time.
pub(super) struct Client {
    pub(super) session: tokio::sync::Mutex<Session>,
    /// What was set by `SetSessionOptions`, to be asked for.
    options: Mutex<BTreeMap<String, String>>,
}

/// Whoever sent a request.
pub(super) struct Caller {
    key: Option<Handle>,
    pub(super) client: Arc<Client>,
}

/// All sessions.
pub(super) struct Sessions {
    platform: Platform,
    held: Held<Client>,
}

impl Sessions {
    pub(super) fn new(platform: Platform) -> Self {
        Self { platform, held: Held::new("session", SESSIONS_MAX, SESSION_LIFE) }
    }

    /// Who sent a request with these headers.
    pub(super) fn caller(&self, headers: &MetadataMap) -> Result<Caller, Status> {
        match cookie(headers) {
            Some(key) => Ok(Caller { key: Some(key), client: self.held.get(key)? }),
            None => {
                let session = tokio::sync::Mutex::new(self.platform.session());
                let client = Client { session, options: Mutex::default() };
                Ok(Caller { key: None, client: Arc::new(client) })
            }
        }
    }

    /// Keeps the settings that a caller's statement has changed, and says under which cookie where
    /// it has none. A prepared statement's are those of the call that prepared it.
    pub(super) fn keep<T>(
        &self,
        caller: &Caller,
        client: &Arc<Client>,
        to: &mut Response<T>,
    ) -> Result<(), Status> {
        if caller.key.is_none() {
            let key = self.held.add(Arc::clone(client))?;
            let cookie = format!("{COOKIE}={key}; HttpOnly; SameSite=Strict");
            let cookie = cookie.parse().map_err(|_| Status::internal("a cookie has no form"))?;
            to.metadata_mut().insert("set-cookie", cookie);
        }
        Ok(())
    }

    /// Ends the caller's session.
    pub(super) fn close(&self, caller: &Caller) -> CloseSessionResult {
        if let Some(key) = caller.key {
            self.held.remove(key);
        }
        CloseSessionResult { status: CLOSED }
    }
}

fn cookie(headers: &MetadataMap) -> Option<Handle> {
    let all = headers.get_all("cookie").iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|text| text.split(';')).filter_map(|pair| pair.split_once('='));
    let (_, key) = pairs.find(|(name, _)| name.trim() == COOKIE)?;
    // One that is not ours is one that we do not have.
    Some(Uuid::parse_str(key.trim().trim_matches('"')).unwrap_or_default())
}

impl Client {
    /// Sets options by the names of `SET`; what cannot be set is answered option by option.
    pub(super) async fn set(&self, asked: SetSessionOptionsRequest) -> SetSessionOptionsResult {
        let mut result = SetSessionOptionsResult::default();
        let mut session = self.session.lock().await;
        for (name, value) in asked.session_options {
            let text = value.text();
            let outcome = match (name.as_str(), &text) {
                // A name and no value takes the option back, which is to have what we begin with.
                (_, None) => Err(INVALID_VALUE),
                ("catalog", Some(text)) if text == "tradewind" => Ok(()),
                ("schema", Some(text)) if text == "public" => Ok(()),
                ("catalog" | "schema", Some(_)) => Err(INVALID_VALUE),
                ("dialect" | "timezone" | "time_zone", Some(text)) => {
                    let quoted = text.replace('\'', "''");
                    let done = session.execute(&format!("SET {name} = '{quoted}'")).await;
                    done.map(drop).map_err(|_| INVALID_VALUE)
                }
                _ => Err(INVALID_NAME),
            };
            match (outcome, text) {
                (Err(value), _) => drop(result.errors.insert(name, OptionError { value })),
                (Ok(()), text) => {
                    self.options.lock().insert(name, text.unwrap_or_default());
                }
            }
        }
        result
    }

    /// The options that were set.
    pub(super) fn options(&self) -> GetSessionOptionsResult {
        let options = self.options.lock();
        let options = options.iter().map(|(name, value)| {
            let value = SessionOptionValue { value: Some(OptionValue::Text(value.clone())) };
            (name.clone(), value)
        });
        GetSessionOptionsResult { session_options: options.collect() }
    }
}

/// Reads the body of an action that is not Flight SQL's.
pub(super) fn body<M: Message + Default>(bytes: &[u8]) -> Result<M, Status> {
    M::decode(bytes).map_err(|error| status::garbled("the action's body", error))
}

// The messages of Flight's sessions, which the library does not have yet. Of Flight.proto.

const INVALID_NAME: i32 = 1;
const INVALID_VALUE: i32 = 2;
const CLOSED: i32 = 1;

/// A value of an option; none of them takes the option back.
#[derive(Clone, PartialEq, Message)]
pub(super) struct SessionOptionValue {
    #[prost(oneof = "OptionValue", tags = "1, 2, 3, 4")]
    value: Option<OptionValue>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum OptionValue {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(bool, tag = "2")]
    Flag(bool),
    #[prost(sfixed64, tag = "3")]
    Whole(i64),
    #[prost(double, tag = "4")]
    Real(f64),
}

impl SessionOptionValue {
    fn text(&self) -> Option<String> {
        Some(match self.value.as_ref()? {
            OptionValue::Text(text) => text.clone(),
            OptionValue::Flag(flag) => flag.to_string(),
            OptionValue::Whole(whole) => whole.to_string(),
            OptionValue::Real(real) => real.to_string(),
        })
    }
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SetSessionOptionsRequest {
    #[prost(map = "string, message", tag = "1")]
    session_options: HashMap<String, SessionOptionValue>,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct OptionError {
    #[prost(int32, tag = "1")]
    value: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SetSessionOptionsResult {
    #[prost(map = "string, message", tag = "1")]
    errors: HashMap<String, OptionError>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct GetSessionOptionsResult {
    #[prost(map = "string, message", tag = "1")]
    session_options: HashMap<String, SessionOptionValue>,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct CloseSessionResult {
    #[prost(int32, tag = "1")]
    status: i32,
}
