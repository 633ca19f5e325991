//! How a connection begins: TLS is refused, another's statement is ended, or a session is set up.
//!
//! Guarantees: nothing is asked of the platform before the client has said who it is.
//! Left out: passwords and certificates. They come between [`Opened::Session`] and the session's
//! first answer; the stream is generic for TLS's sake.

use super::WireError;
use super::connection::Shared;
use super::failure;
use super::io::Io;
use super::limits::STARTUP_TIMEOUT;
use super::message::{self, Opening};
use pgwire::messages::PgWireBackendMessage as Answer;
use pgwire::messages::response::{GssEncResponse, SslResponse};
use pgwire::messages::startup::NegotiateProtocolVersion;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

/// Questions before a session: TLS, GSSAPI, and once more after a refusal.
const QUESTIONS_MAX: usize = 4;

/// What a client wants.
pub(crate) enum Opened {
    /// It has said all it wanted.
    Done,
    /// A session, for a user and with settings.
    Session {
        /// Who.
        user: String,
        /// Settings, in order.
        settings: Vec<(String, String)>,
    },
}

/// Reads what a client begins with.
pub(crate) async fn open<S: AsyncRead + AsyncWrite + Unpin>(
    io: &mut Io<S>,
    shared: &Shared,
) -> Result<Opened, WireError> {
    for _ in 0..QUESTIONS_MAX {
        let opening =
            timeout(STARTUP_TIMEOUT, io.opening()).await.map_err(|_| WireError::Stalled)?;
        match message::opening(opening?)? {
            Opening::Ssl => io.put(Answer::SslResponse(SslResponse::Refuse))?,
            Opening::GssEncryption => io.put(Answer::GssEncResponse(GssEncResponse::Refuse))?,
            Opening::Cancel { process, secret } => {
                shared.cancels.cancel(process, &secret);
                return Ok(Opened::Done);
            }
            Opening::Startup { minor, parameters } => return session(io, minor, parameters),
        }
        io.flush().await?;
    }
    Err(WireError::Order("a session was expected"))
}

fn session<S: AsyncRead + AsyncWrite + Unpin>(
    io: &mut Io<S>,
    minor: u16,
    parameters: Vec<(String, String)>,
) -> Result<Opened, WireError> {
    let (mut user, mut settings, mut unknown) = (None, Vec::new(), Vec::new());
    for (name, value) in parameters {
        match name.as_str() {
            "user" => user = Some(value),
            // There is one database, whatever a client calls it.
            "database" => settings.push(("tradewind.database".to_string(), value)),
            "options" => settings.extend(options(&value)),
            "replication" if !["false", "off", "no", "0"].contains(&&*value) => {
                let text = "replication is not for here: topics are read through the Kafka port";
                return Err(WireError::Startup(text.into()));
            }
            "replication" => {}
            name if name.starts_with("_pq_.") => unknown.push(name.to_string()),
            name => settings.push((name.to_lowercase(), value)),
        }
    }
    let user = user.filter(|user| !user.is_empty());
    let user = user.ok_or_else(|| WireError::Startup("no user name is given".into()))?;
    if minor > 0 || !unknown.is_empty() {
        io.put(Answer::NegotiateProtocolVersion(NegotiateProtocolVersion::new(0, unknown)))?;
    }
    Ok(Opened::Session { user, settings })
}

/// The settings in `-c name=value --other=value`; a backslash keeps a space.
fn options(text: &str) -> Vec<(String, String)> {
    let (mut words, mut word, mut kept) = (Vec::new(), String::new(), false);
    for character in text.chars() {
        match character {
            '\\' if !kept => kept = true,
            ' ' | '\t' if !kept => words.push(std::mem::take(&mut word)),
            other => {
                word.push(other);
                kept = false;
            }
        }
    }
    words.push(word);
    let mut settings = Vec::new();
    let mut next_is = false;
    for word in words.iter().filter(|word| !word.is_empty()) {
        let assignment = match word.as_str() {
            "-c" => {
                next_is = true;
                continue;
            }
            word if next_is => Some(word),
            word => word.strip_prefix("--").or_else(|| word.strip_prefix("-c")),
        };
        next_is = false;
        if let Some((name, value)) = assignment.and_then(|assignment| assignment.split_once('=')) {
            settings.push((name.replace('-', "_").to_lowercase(), value.to_string()));
        }
    }
    settings
}

/// Tells a client that there is no room, in the order it expects.
pub(crate) async fn refuse<S: AsyncRead + AsyncWrite + Unpin>(stream: S, shared: &Arc<Shared>) {
    let mut io = Io::new(stream, Arc::clone(&shared.limits), Arc::clone(&shared.budget));
    // Whoever comes to end a statement needs no room.
    if let Ok(Opened::Session { .. }) = open(&mut io, shared).await
        && io.put(failure::ends("53300", "sorry, too many clients already")).is_ok()
    {
        let _ = io.flush().await;
    }
    io.close().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_settings() {
        let found = options(r"-c statement_timeout=5s --search-path=a\ b  -cjit=off -c nothing");
        let expected = [("statement_timeout", "5s"), ("search_path", "a b"), ("jit", "off")];
        let expected = expected.map(|(name, value)| (name.to_string(), value.to_string()));
        assert_eq!(found, expected);
    }
}
