//! A connection's bytes: messages in, answers out.
//!
//! Guarantees: a message takes no more memory than has come of it, is refused before it is read
//! when it says that it is too long, and waits for its part of the common budget; a connection
//! without anything to read or write holds no buffer; a peer that moves nothing in time is cut.
//! Left out: what messages mean.

use super::WireError;
use super::limits::{
    AHEAD_BYTES, FLUSH_BYTES, KEEP_BYTES, PostgresLimits, SLOWEST_BYTES_PER_SECOND, SMALL_BYTES,
    STARTUP_BYTES_MAX,
};
use bytes::{Buf, Bytes, BytesMut};
use pgwire::messages::PgWireBackendMessage;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

/// The unit of the common budget.
const BUDGET_UNIT: usize = 1 << 10;

/// Both ends of a connection.
pub(crate) struct Io<S> {
    stream: S,
    inbox: BytesMut,
    out: BytesMut,
    limits: Arc<PostgresLimits>,
    budget: Arc<Semaphore>,
}

/// A message's bytes, with what they hold of the budget.
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) body: Bytes,
    _charge: Option<OwnedSemaphorePermit>,
}

/// The budget for the long messages of all connections.
pub(crate) fn budget(limits: &PostgresLimits) -> Semaphore {
    Semaphore::new((limits.inflight_bytes_max / BUDGET_UNIT).min(Semaphore::MAX_PERMITS))
}

impl<S: AsyncRead + AsyncWrite + Unpin> Io<S> {
    pub(crate) fn new(stream: S, limits: Arc<PostgresLimits>, budget: Arc<Semaphore>) -> Self {
        Self { stream, inbox: BytesMut::new(), out: BytesMut::new(), limits, budget }
    }

    /// Waits for the first byte of a message; false when there will be none. Whoever stops waiting
    /// loses nothing.
    pub(crate) async fn ready(&mut self) -> Result<bool, WireError> {
        if !self.inbox.is_empty() {
            return Ok(true);
        }
        self.inbox = BytesMut::new();
        if self.out.is_empty() && self.out.capacity() > KEEP_BYTES {
            self.out = BytesMut::new();
        }
        // On the stack: nothing is allocated before something has come.
        let mut first = [0; 1];
        let read = self.stream.read(&mut first).await?;
        self.inbox.extend_from_slice(&first[..read]);
        Ok(read > 0)
    }

    /// A client's first message: what stands behind its length.
    pub(crate) async fn opening(&mut self) -> Result<Bytes, WireError> {
        self.fill(4).await?;
        let length = self.length(0)?;
        if length > STARTUP_BYTES_MAX {
            return Err(WireError::TooLong { length, most: STARTUP_BYTES_MAX });
        }
        self.fill(length).await?;
        let mut message = self.inbox.split_to(length).freeze();
        message.advance(4);
        Ok(message)
    }

    /// The next message, once its first byte is there.
    pub(crate) async fn message(&mut self) -> Result<Frame, WireError> {
        timeout(self.limits.stall_timeout, self.fill(5))
            .await
            .map_err(|_| WireError::Stalled)??;
        let kind = self.inbox[0];
        let length = self.length(1)?;
        let most = match kind {
            b'Q' | b'P' | b'B' | b'd' => self.limits.message_bytes_max,
            _ => SMALL_BYTES,
        };
        if length > most {
            return Err(WireError::TooLong { length, most });
        }
        let charge = match length > SMALL_BYTES {
            true => Some(self.charge(length).await?),
            false => None,
        };
        let slow = Duration::from_secs((length / SLOWEST_BYTES_PER_SECOND) as u64);
        let deadline = Instant::now() + self.limits.stall_timeout + slow;
        timeout_at(deadline, self.fill(1 + length)).await.map_err(|_| WireError::Stalled)??;
        let mut body = self.inbox.split_to(1 + length).freeze();
        body.advance(5);
        Ok(Frame { kind, body, _charge: charge })
    }

    async fn charge(&self, length: usize) -> Result<OwnedSemaphorePermit, WireError> {
        let units = length.min(self.limits.inflight_bytes_max) / BUDGET_UNIT;
        let permit = Arc::clone(&self.budget).acquire_many_owned(units as u32);
        match timeout(self.limits.stall_timeout, permit).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(WireError::Busy),
        }
    }

    /// The length at a place of the inbox, which counts itself.
    fn length(&self, at: usize) -> Result<usize, WireError> {
        let length = (&self.inbox[at..at + 4]).get_i32();
        usize::try_from(length).ok().filter(|length| *length >= 4).ok_or(WireError::Length)
    }

    /// Reads until so many bytes are there.
    async fn fill(&mut self, bytes: usize) -> Result<(), WireError> {
        while self.inbox.len() < bytes {
            // What is announced is not what has come: memory follows the latter.
            let missing = bytes - self.inbox.len();
            self.inbox.reserve(missing.min(SMALL_BYTES));
            let read = timeout(self.limits.stall_timeout, self.stream.read_buf(&mut self.inbox));
            if read.await.map_err(|_| WireError::Stalled)?? == 0 {
                return Err(WireError::Cut);
            }
        }
        Ok(())
    }

    /// Resolves when the peer is gone; reads a little ahead for that.
    pub(crate) async fn gone(&mut self) {
        while self.inbox.len() < AHEAD_BYTES {
            self.inbox.reserve(1);
            match self.stream.read_buf(&mut self.inbox).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
        std::future::pending().await
    }

    /// Puts a message behind those that are to be sent.
    pub(crate) fn put(&mut self, message: PgWireBackendMessage) -> Result<(), WireError> {
        message.encode(&mut self.out).map_err(|error| WireError::Unwritable(error.to_string()))
    }

    /// What is to be sent, to be written to.
    pub(crate) fn out(&mut self) -> &mut BytesMut {
        &mut self.out
    }

    /// Whether enough is written to be sent.
    pub(crate) fn full(&self) -> bool {
        self.out.len() >= FLUSH_BYTES
    }

    /// Sends what is written.
    pub(crate) async fn flush(&mut self) -> Result<(), WireError> {
        while !self.out.is_empty() {
            let moved = self.stream.write_buf(&mut self.out);
            match timeout(self.limits.stall_timeout, moved).await {
                Ok(Ok(0)) => return Err(WireError::Cut),
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(error.into()),
                Err(_) => return Err(WireError::Stalled),
            }
        }
        self.out.clear();
        Ok(())
    }

    /// Closes the connection; the peer may be gone already.
    pub(crate) async fn close(&mut self) {
        let _ = timeout(Duration::from_secs(1), self.stream.shutdown()).await;
    }
}
