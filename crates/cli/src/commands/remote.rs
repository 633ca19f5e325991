//! A server to ask, over `POST /api/sql`.
//!
//! Guarantees: the server's own message is what an error says.
//! Left out: streaming. An answer is bounded by the server.

use serde::Deserialize;
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
#[derive(Debug, Default, Deserialize)]
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

#[derive(Debug, Deserialize)]
pub(crate) struct RemoteColumn {
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
}

#[derive(Debug, Deserialize)]
struct RemoteError {
    message: String,
    detail: Option<String>,
    hint: Option<String>,
}

impl RemoteError {
    fn line(&self) -> String {
        let detail = self.detail.as_ref().map_or_else(String::new, |detail| format!(": {detail}"));
        let hint = self.hint.as_ref().map_or_else(String::new, |hint| format!(" ({hint})"));
        format!("{}{detail}{hint}", self.message)
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

    fn post(&self, sql: &str, format: &str) -> anyhow::Result<String> {
        let request = serde_json::json!({"sql": sql, "format": format});
        let mut response = self
            .agent
            .post(format!("{}/api/sql", self.url))
            .send_json(&request)
            .map_err(|error| anyhow::anyhow!("{} cannot be asked: {error}", self.url))?;
        let text = response
            .body_mut()
            .with_config()
            .limit(ANSWER_BYTES_MAX)
            .read_to_string()
            .map_err(|error| anyhow::anyhow!("{}: the answer broke off: {error}", self.url))?;
        if response.status().is_success() {
            return Ok(text);
        }
        match serde_json::from_str::<RemoteAnswer>(&text) {
            Ok(RemoteAnswer { error: Some(error), .. }) => Err(anyhow::anyhow!(error.line())),
            _ => {
                Err(anyhow::anyhow!("{} answered {}: {}", self.url, response.status(), text.trim()))
            }
        }
    }
}
