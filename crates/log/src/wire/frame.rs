//! Requests off the socket: a four-byte length, then that many bytes.
//!
//! Guarantees: a connection that is silent holds no buffer; a length beyond the limit of its kind
//! of request is refused from its first eight bytes; memory follows what has arrived, not what
//! is claimed, and is charged to the budget as it grows. [`FrameReader::next`] may be dropped at
//! any await without losing bytes.
//! Left out: what the bytes mean.

use super::WireError;
use super::budget::{Budget, Charge};
use super::limits::WireLimits;
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::Instant;

/// Length, API key and version: what is needed to know how long a frame may be.
const PROLOGUE_BYTES: usize = 8;
/// Key, version and correlation id: no request is shorter.
const FRAME_BYTES_MIN: usize = 8;
/// The first buffer of a frame; it grows fourfold as bytes arrive.
const FIRST_BUFFER_BYTES: usize = 16 * 1024;

/// One request as it came, with what it holds of the budget.
#[derive(Debug)]
pub(crate) struct Frame {
    /// From the API key on, without the length.
    pub(crate) bytes: Bytes,
    pub(crate) charge: Charge,
}

/// Puts frames together from whatever pieces arrive.
#[derive(Debug)]
pub(crate) struct FrameReader {
    prologue: [u8; PROLOGUE_BYTES],
    prologue_filled: usize,
    body: Option<Body>,
    /// When the frame under way, or the silence before it, has lasted too long.
    deadline: Instant,
}

#[derive(Debug)]
struct Body {
    length: usize,
    bytes: BytesMut,
    charged: usize,
    charge: Charge,
}

/// The length a frame may claim, by its API.
pub(crate) fn length_allowed(api_key: i16, limits: &WireLimits) -> usize {
    if api_key == super::apis::PRODUCE_KEY {
        limits.produce_bytes_max
    } else {
        limits.request_bytes_max
    }
}

/// Checks a frame's length by its first eight bytes.
///
/// # Errors
/// [`WireError::FrameLength`] when it is shorter than any request or longer than its kind may be.
pub fn check_prologue(
    prologue: [u8; PROLOGUE_BYTES],
    limits: &WireLimits,
) -> Result<usize, WireError> {
    let [a, b, c, d, key_high, key_low, ..] = prologue;
    let claimed = i32::from_be_bytes([a, b, c, d]);
    let allowed = length_allowed(i16::from_be_bytes([key_high, key_low]), limits);
    match usize::try_from(claimed) {
        Ok(length) if (FRAME_BYTES_MIN..=allowed).contains(&length) => Ok(length),
        _ => Err(WireError::FrameLength { claimed, allowed }),
    }
}

impl FrameReader {
    pub(crate) fn new(limits: &WireLimits) -> Self {
        Self {
            prologue: [0; PROLOGUE_BYTES],
            prologue_filled: 0,
            body: None,
            deadline: Instant::now() + limits.idle_timeout,
        }
    }

    /// Starts the idle clock again: called when an answer has been sent.
    pub(crate) fn touch(&mut self, limits: &WireLimits) {
        if self.prologue_filled == 0 {
            self.deadline = Instant::now() + limits.idle_timeout;
        }
    }

    /// When this connection has been silent, or a frame under way, for too long.
    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Whether part of a frame has arrived.
    pub(crate) fn midway(&self) -> bool {
        self.prologue_filled > 0
    }

    /// The next frame; `None` when the peer closed between frames.
    pub(crate) async fn next(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        limits: &WireLimits,
        budget: &Budget,
    ) -> Result<Option<Frame>, WireError> {
        if self.body.is_none() && !self.read_prologue(stream, limits).await? {
            return Ok(None);
        }
        let body = self.body.as_mut().expect("read_prologue made it");
        while body.bytes.len() < body.length {
            body.make_room(budget).await;
            let mut window = (&mut *stream).take((body.charged - body.bytes.len()) as u64);
            if window.read_buf(&mut body.bytes).await? == 0 {
                return Err(WireError::Cut);
            }
        }
        let body = self.body.take().expect("it was just filled");
        self.prologue_filled = 0;
        self.deadline = Instant::now() + limits.idle_timeout;
        Ok(Some(Frame { bytes: body.bytes.freeze(), charge: body.charge }))
    }

    async fn read_prologue(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        limits: &WireLimits,
    ) -> Result<bool, WireError> {
        while self.prologue_filled < PROLOGUE_BYTES {
            let read = stream.read(&mut self.prologue[self.prologue_filled..]).await?;
            match (read, self.prologue_filled) {
                (0, 0) => return Ok(false),
                (0, _) => return Err(WireError::Cut),
                (_, 0) => self.deadline = Instant::now() + limits.stall_timeout,
                _ => {}
            }
            self.prologue_filled += read;
        }
        let length = check_prologue(self.prologue, limits)?;
        self.deadline = Instant::now() + limits.transfer_timeout(length);
        self.body = Some(Body::new(length, &self.prologue[4..]));
        Ok(true)
    }
}

impl Body {
    fn new(length: usize, first: &[u8]) -> Self {
        Self { length, bytes: BytesMut::from(first), charged: first.len(), charge: Charge::default() }
    }

    /// Charges and makes room for the next piece once the last one is full.
    async fn make_room(&mut self, budget: &Budget) {
        if self.bytes.len() < self.charged {
            return;
        }
        let target = self.length.min((self.charged * 4).max(FIRST_BUFFER_BYTES));
        budget.charge(&mut self.charge, target - self.charged).await;
        self.charged = target;
        // `BytesMut::reserve` may double; this buffer is exactly what was charged.
        let mut larger = BytesMut::with_capacity(target);
        larger.extend_from_slice(&self.bytes);
        self.bytes = larger;
    }
}
