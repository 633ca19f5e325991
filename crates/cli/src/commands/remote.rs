//! A server to ask, over `POST /api/sql`.
//!
//! Guarantees: the server's own message is what an error says.
//! Left out: rows of a query as they come. Such an answer is bounded by the server.

use serde::Deserialize;
use std::io::{BufRead, BufReader};
use std::time::Duration;

/// Bytes of an answer that are read: the server's own bound is below it.
const ANSWER_BYTES_MAX: u64 = 1 << 30;
/// How long the server may be unreachable before that is said.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A server.
#[derive(Debug, Clone)]
pub(crate) struct Remote {
    agent: ureq::Agent,
    url: String,
}

/// Rows as the server writes them.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct RemoteAnswer {
    #[serde(default)]
    pub(crate) columns: Vec<RemoteColumn>,
    #[serde(default)]
    pub(crate) rows: Vec<Vec<serde_json::Value>>,
    #[serde(default)]
    pub(crate) truncated: bool,
    /// What was done, where there are no rows.
    pub(crate) done: Option<String>,
    error: Option<RemoteError>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct RemoteColumn {
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct RemoteError {
    message: String,
    detail: Option<String>,
    hint: Option<String>,
}

impl RemoteError {
    pub(crate) fn line(&self) -> String {
        let detail = self.detail.as_ref().map_or_else(String::new, |detail| format!(": {detail}"));
        let hint = self.hint.as_ref().map_or_else(String::new, |hint| format!(" ({hint})"));
        format!("{}{detail}{hint}", self.message)
    }
}

impl RemoteAnswer {
    /// Rows under `columns`, each a name and a type.
    pub(crate) fn of(columns: &[(&str, &str)], rows: Vec<Vec<serde_json::Value>>) -> Self {
        let column = |(name, kind): &(&str, &str)| RemoteColumn {
            name: (*name).to_string(),
            kind: (*kind).to_string(),
        };
        Self { columns: columns.iter().map(column).collect(), rows, ..Self::default() }
    }
}

impl Remote {
    /// A server at `url`, as `http://host:port`.
    pub(crate) fn new(url: &str) -> Self {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .build()
            .into();
        Self { agent, url: url.trim_end_matches('/').to_string() }
    }

    /// The answer to a script.
    ///
    /// # Errors
    /// The server cannot be reached, or what it said.
    pub(crate) fn ask(&self, sql: &str) -> anyhow::Result<RemoteAnswer> {
        let text = self.post(sql, "json")?;
        let answer: RemoteAnswer = serde_json::from_str(&text).map_err(|error| {
            anyhow::anyhow!("{} did not answer as Tradewind does: {error}", self.url)
        })?;
        match &answer.error {
            Some(error) => Err(anyhow::anyhow!(error.line())),
            None => Ok(answer),
        }
    }

    /// The answer to a script as CSV.
    ///
    /// # Errors
    /// As [`Remote::ask`].
    pub(crate) fn ask_csv(&self, sql: &str) -> anyhow::Result<String> {
        self.post(sql, "csv")
    }

    /// The answer of another route to a JSON body, in the form of rows.
    ///
    /// # Errors
    /// As [`Remote::ask`].
    pub(crate) fn call(
        &self,
        path: &str,
        body: &serde_json::Value,
    ) -> anyhow::Result<RemoteAnswer> {
        let sent = self.agent.post(format!("{}{path}", self.url)).send_json(body);
        let mut response =
            sent.map_err(|error| anyhow::anyhow!("{} cannot be asked: {error}", self.url))?;
        let text = self.read(&mut response)?;
        if !response.status().is_success() {
            return Err(self.refusal(&text, response.status()));
        }
        serde_json::from_str(&text).map_err(|error| {
            anyhow::anyhow!("{} did not answer as Tradewind does: {error}", self.url)
        })
    }

    /// The lines of an answer that goes on, as they come.
    ///
    /// # Errors
    /// As [`Remote::ask`].
    pub(crate) fn lines(
        &self,
        sql: &str,
        format: &str,
        timeout: Option<Duration>,
    ) -> anyhow::Result<impl Iterator<Item = std::io::Result<String>> + Send + use<>> {
        let timeout_ms = timeout.map(|timeout| timeout.as_millis() as u64);
        let request = serde_json::json!({"sql": sql, "format": format, "timeout_ms": timeout_ms});
        let mut response = self.send(&request)?;
        if response.status().is_success() {
            return Ok(BufReader::new(response.into_body().into_reader()).lines());
        }
        let text = self.read(&mut response)?;
        Err(self.refusal(&text, response.status()))
    }

    fn post(&self, sql: &str, format: &str) -> anyhow::Result<String> {
        let mut response = self.send(&serde_json::json!({"sql": sql, "format": format}))?;
        let text = self.read(&mut response)?;
        match response.status().is_success() {
            true => Ok(text),
            false => Err(self.refusal(&text, response.status())),
        }
    }

    fn send(&self, request: &serde_json::Value) -> anyhow::Result<Response> {
        self.agent
            .post(format!("{}/api/sql", self.url))
            .send_json(request)
            .map_err(|error| anyhow::anyhow!("{} cannot be asked: {error}", self.url))
    }

    fn read(&self, response: &mut Response) -> anyhow::Result<String> {
        let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX);
        body.read_to_string()
            .map_err(|error| anyhow::anyhow!("{}: the answer broke off: {error}", self.url))
    }

    /// What a server that refuses has said.
    fn refusal(&self, text: &str, status: ureq::http::StatusCode) -> anyhow::Error {
        match serde_json::from_str::<RemoteAnswer>(text) {
            Ok(RemoteAnswer { error: Some(error), .. }) => anyhow::anyhow!(error.line()),
            _ => anyhow::anyhow!("{} answered {status}: {}", self.url, text.trim()),
        }
    }
}

type Response = ureq::http::Response<ureq::Body>;
