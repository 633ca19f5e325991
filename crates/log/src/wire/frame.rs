//! Requests off the socket: a four-byte length, then that many bytes.
//!
//! Guarantees: a connection that is silent holds no buffer; a length beyond the limit of its kind
//! of request is refused from its first eight bytes; memory follows what has arrived, not what
//! is claimed, and is charged to the budget as it grows. [`FrameReader::next`] may be dropped at
//! any await without losing bytes.
//! Left out: what the bytes mean.

use super::WireError;
use super::budget::{Budget, Charge};
use super::limits::{Transfer, WireLimits};
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

/// What a read brought.
#[derive(Debug)]
pub(crate) enum Arrived {
    /// A whole request.
    Frame(Frame),
    /// Some of a request; the deadline has moved.
    Part,
    /// The peer closed between requests.
    End,
}

/// Puts frames together from whatever pieces arrive.
#[derive(Debug)]
pub(crate) struct FrameReader {
    prologue: [u8; PROLOGUE_BYTES],
    prologue_filled: usize,
    body: Option<Body>,
    /// The frame under way, or the silence before it.
    transfer: Transfer,
    silent_since: Instant,
}

#[derive(Debug)]
struct Body {
    length: usize,
    bytes: BytesMut,
    charged: usize,
    charge: Charge,
    /// The budget has no room for more: the peer is not to blame for the wait.
    out_of_room: bool,
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
    pub(crate) fn new() -> Self {
        Self {
            prologue: [0; PROLOGUE_BYTES],
            prologue_filled: 0,
            body: None,
            transfer: Transfer::begin(),
            silent_since: Instant::now(),
        }
    }

    /// Starts the idle clock again: called when an answer has been sent.
    pub(crate) fn touch(&mut self) {
        self.silent_since = Instant::now();
    }

    /// Starts all clocks again: nothing was read for a while, for reasons of the port's own.
    pub(crate) fn resume(&mut self) {
        self.silent_since = Instant::now();
        self.transfer = Transfer::begin();
    }

    /// When this connection has been silent, or a frame under way, for too long; `None` while it
    /// is the port that keeps the peer waiting.
    pub(crate) fn deadline(&self, limits: &WireLimits, pressed: bool) -> Option<Instant> {
        match &self.body {
            Some(body) if body.out_of_room => None,
            _ if self.midway() => Some(limits.stalled_at(&self.transfer, pressed)),
            _ => Some(self.silent_since + limits.idle_timeout),
        }
    }

    /// Whether a frame's length is known: more of it would take memory.
    pub(crate) fn begun(&self) -> bool {
        self.body.is_some()
    }

    /// Whether part of a frame has arrived.
    pub(crate) fn midway(&self) -> bool {
        self.prologue_filled > 0
    }

    /// Whether the rest of a frame is the peer's to send, not the budget's to give.
    pub(crate) fn awaits_peer(&self) -> bool {
        self.midway() && self.body.as_ref().is_none_or(|body| !body.out_of_room)
    }

    /// What arrives next. Returns at each step that moves the deadline, so that the caller waits
    /// by the new one.
    pub(crate) async fn next(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        limits: &WireLimits,
        budget: &Budget,
    ) -> Result<Arrived, WireError> {
        let Some(body) = &mut self.body else {
            return self.read_prologue(stream, limits).await;
        };
        if body.out_of_room {
            body.wait_for_room(budget).await;
            self.transfer = Transfer::begin();
            return Ok(Arrived::Part);
        }
        if !body.full() {
            if !body.make_room(budget) {
                body.out_of_room = true;
                return Ok(Arrived::Part);
            }
            let mut window = stream.take((body.charged - body.bytes.len()) as u64);
            match window.read_buf(&mut body.bytes).await? {
                0 => return Err(WireError::Cut),
                read => self.transfer.moved(read),
            }
        }
        match self.body.take_if(|body| body.full()) {
            None => Ok(Arrived::Part),
            Some(body) => {
                self.prologue_filled = 0;
                self.silent_since = Instant::now();
                Ok(Arrived::Frame(Frame { bytes: body.bytes.freeze(), charge: body.charge }))
            }
        }
    }

    async fn read_prologue(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        limits: &WireLimits,
    ) -> Result<Arrived, WireError> {
        let read = stream.read(&mut self.prologue[self.prologue_filled..]).await?;
        match (read, self.prologue_filled) {
            (0, 0) => return Ok(Arrived::End),
            (0, _) => return Err(WireError::Cut),
            (_, 0) => self.transfer = Transfer::begin(),
            _ => {}
        }
        self.prologue_filled += read;
        if self.prologue_filled == PROLOGUE_BYTES {
            let length = check_prologue(self.prologue, limits)?;
            self.body = Some(Body::new(length, &self.prologue[4..]));
        }
        Ok(Arrived::Part)
    }
}

impl Body {
    fn new(length: usize, first: &[u8]) -> Self {
        Self {
            length,
            bytes: BytesMut::from(first),
            charged: first.len(),
            charge: Charge::default(),
            out_of_room: false,
        }
    }

    fn full(&self) -> bool {
        self.bytes.len() == self.length
    }

    /// How large the buffer is to be next.
    fn target(&self) -> usize {
        self.length.min((self.charged * 4).max(FIRST_BUFFER_BYTES))
    }

    /// Charges and makes room for the next piece once the last one is full; false when the
    /// budget has none.
    fn make_room(&mut self, budget: &Budget) -> bool {
        let target = self.target();
        if self.bytes.len() < self.charged {
            return true;
        }
        if !budget.try_charge(&mut self.charge, target - self.charged) {
            return false;
        }
        self.grow(target);
        true
    }

    async fn wait_for_room(&mut self, budget: &Budget) {
        let target = self.target();
        budget.charge(&mut self.charge, target - self.charged).await;
        self.grow(target);
        self.out_of_room = false;
    }

    fn grow(&mut self, target: usize) {
        self.charged = target;
        // `BytesMut::reserve` may double; this buffer is exactly what was charged.
        let mut larger = BytesMut::with_capacity(target);
        larger.extend_from_slice(&self.bytes);
        self.bytes = larger;
    }
}
