//! An edge with files only, and raw sockets to it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tradewind_analyze::{AnalyzeSettings, Control, Platform, PlatformParts};
use tradewind_serve::{Health, Limits, SqlLimits, SubscribeLimits, Subscribers, http, sql_router};

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Edge {
    pub(crate) address: SocketAddr,
    pub(crate) health: Health,
    stop: oneshot::Sender<()>,
    stopping: watch::Sender<bool>,
    running: JoinHandle<()>,
}

impl Edge {
    pub(crate) async fn start(limits: Limits, sql: SqlLimits) -> Self {
        Self::of(limits, sql, None).await
    }

    /// An edge whose statements are carried out by somebody.
    pub(crate) async fn of(
        limits: Limits,
        sql: SqlLimits,
        control: Option<Arc<dyn Control>>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        // One query at a time: what is not given back is missed at once.
        let settings = AnalyzeSettings { queries_max: 1, ..AnalyzeSettings::default() };
        let parts = PlatformParts { settings, control, ..PlatformParts::default() };
        let health = Health::default();
        let (stopping, is_stopping) = watch::channel(false);
        let subscribers = Subscribers::new(SubscribeLimits { subscribers_max: 1 }, is_stopping);
        let platform = Platform::new(parts).unwrap();
        let router = sql_router(platform, sql, subscribers).merge(health.router());
        let (stop, stopped) = oneshot::channel();
        let shutdown = async {
            let _ = stopped.await;
        };
        let running = tokio::spawn(http::run(listener, router, limits, shutdown));
        Self { address, health, stop, stopping, running }
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends a statement on a connection of its own and reads the whole answer.
    pub(crate) async fn ask(&self, sql: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request(sql).as_bytes()).await.unwrap();
        read_all(&mut stream).await
    }

    pub(crate) async fn stop(self) {
        let _ = self.stopping.send(true);
        let _ = self.stop.send(());
        tokio::time::timeout(PATIENCE, self.running).await.unwrap().unwrap();
    }
}

pub(crate) fn request(sql: &str) -> String {
    request_to("/api/sql", sql)
}

pub(crate) fn request_to(path: &str, sql: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{sql}",
        sql.len()
    )
}

/// Reads until the server ends the connection, by a close or a reset.
pub(crate) async fn read_all(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    let _ = read.expect("the server kept the connection open");
    String::from_utf8_lossy(&answer).into_owned()
}

pub(crate) fn generous() -> SqlLimits {
    SqlLimits {
        rows_max: 100_000_000,
        bytes_max: 1 << 40,
        statement_timeout: Duration::from_secs(600),
    }
}
