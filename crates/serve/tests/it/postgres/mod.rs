//! The Postgres port, with PostgreSQL's own clients and with hostile ones.

mod clients;
mod hostile;
mod psql;
mod wire;

use crate::support::PATIENCE;
use bytes::{Buf, BufMut, BytesMut};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tradewind_analyze::{AnalyzeSettings, Platform, PlatformParts};
use tradewind_serve::{PostgresLimits, SubscribeLimits, Subscribers, postgres};

/// A port with files only.
pub(super) struct Port {
    pub(super) address: SocketAddr,
    stop: oneshot::Sender<()>,
    _stopping: watch::Sender<bool>,
    running: JoinHandle<()>,
}

impl Port {
    pub(super) async fn start(limits: PostgresLimits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        // Few queries at a time: what is not given back is missed soon.
        let settings = AnalyzeSettings { queries_max: 4, ..AnalyzeSettings::default() };
        let platform = Platform::new(PlatformParts { settings, ..PlatformParts::default() });
        let (stopping, is_stopping) = watch::channel(false);
        let subscribers = Subscribers::new(SubscribeLimits { subscribers_max: 1 }, is_stopping);
        let (stop, stopped) = oneshot::channel();
        let shutdown = async {
            let _ = stopped.await;
        };
        let serving = postgres::serve(listener, platform.unwrap(), subscribers, limits, shutdown);
        let running = tokio::spawn(serving);
        Self { address, stop, _stopping: stopping, running }
    }

    pub(super) async fn connect(&self) -> Wire {
        let mut wire = Wire(TcpStream::connect(self.address).await.unwrap());
        wire.startup(&[("user", "ann"), ("database", "shop")]).await;
        wire.until_ready().await;
        wire
    }

    pub(super) async fn stop(self) {
        let _ = self.stop.send(());
        tokio::time::timeout(PATIENCE, self.running).await.unwrap().unwrap();
    }
}

/// A client that says what it is told to.
pub(super) struct Wire(pub(super) TcpStream);

/// A message of the server's.
#[derive(Debug, Clone)]
pub(super) struct Said {
    pub(super) kind: char,
    pub(super) body: Vec<u8>,
}

impl Said {
    /// The field of an error or a notice.
    pub(super) fn field(&self, code: u8) -> String {
        let mut fields = self.body.split(|byte| *byte == 0);
        let found = fields.find(|field| field.first() == Some(&code));
        String::from_utf8(found.map(|field| field[1..].to_vec()).unwrap_or_default()).unwrap()
    }

    /// A row's values.
    pub(super) fn row(&self) -> Vec<Option<Vec<u8>>> {
        let mut body = &self.body[..];
        let count = body.get_i16();
        let value = |body: &mut &[u8]| match body.get_i32() {
            -1 => None,
            length => {
                let (value, rest) = body.split_at(length as usize);
                *body = rest;
                Some(value.to_vec())
            }
        };
        (0..count).map(|_| value(&mut body)).collect()
    }

    /// A row's values as texts with `|` between.
    pub(super) fn texts(&self) -> String {
        let text = |value: Option<Vec<u8>>| String::from_utf8(value.unwrap_or_default()).unwrap();
        self.row().into_iter().map(text).collect::<Vec<_>>().join("|")
    }

    /// The text of a command's end.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).trim_end_matches('\0').to_string()
    }
}

impl Wire {
    pub(super) async fn startup(&mut self, parameters: &[(&str, &str)]) {
        let mut body = BytesMut::new();
        body.put_u32(196_608);
        for (name, value) in parameters {
            body.extend_from_slice(format!("{name}\0{value}\0").as_bytes());
        }
        body.put_u8(0);
        self.0.write_u32(body.len() as u32 + 4).await.unwrap();
        self.0.write_all(&body).await.unwrap();
    }

    pub(super) async fn send(&mut self, kind: u8, body: &[u8]) {
        let mut message = BytesMut::new();
        message.put_u8(kind);
        message.put_u32(body.len() as u32 + 4);
        message.extend_from_slice(body);
        self.0.write_all(&message).await.unwrap();
    }

    /// The next message; `None` where the server has closed the connection.
    pub(super) async fn said(&mut self) -> Option<Said> {
        let read = async {
            let kind = self.0.read_u8().await.ok()?;
            let length = self.0.read_u32().await.ok()?;
            let mut body = vec![0; length as usize - 4];
            self.0.read_exact(&mut body).await.ok()?;
            Some(Said { kind: char::from(kind), body })
        };
        tokio::time::timeout(PATIENCE, read).await.expect("the server says nothing")
    }

    pub(super) async fn until_ready(&mut self) -> Vec<Said> {
        let mut all = Vec::new();
        loop {
            let said = self.said().await.unwrap_or_else(|| panic!("closed after {all:?}"));
            let ready = said.kind == 'Z';
            all.push(said);
            if ready {
                return all;
            }
        }
    }

    pub(super) async fn query(&mut self, sql: &str) -> Vec<Said> {
        self.send(b'Q', format!("{sql}\0").as_bytes()).await;
        self.until_ready().await
    }

    /// A query's rows, each as text.
    pub(super) async fn rows(&mut self, sql: &str) -> Vec<String> {
        let said = self.query(sql).await;
        if let Some(error) = said.iter().find(|said| said.kind == 'E') {
            panic!("{sql}: {}", error.field(b'M'));
        }
        said.iter().filter(|said| said.kind == 'D').map(Said::texts).collect()
    }

    /// What a query fails with.
    pub(super) async fn error(&mut self, sql: &str) -> Said {
        let said = self.query(sql).await;
        let error = said.iter().find(|said| said.kind == 'E').cloned();
        error.unwrap_or_else(|| panic!("{sql} was answered with {said:?}"))
    }
}

/// The kinds of messages, one letter each.
pub(super) fn kinds(said: &[Said]) -> String {
    said.iter().map(|said| said.kind).filter(|kind| *kind != 'S').collect()
}
