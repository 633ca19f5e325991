//! One client's connection: requests in, answers out, in the same order.
//!
//! Guarantees: an idle connection holds no buffer; at most one request is read ahead while
//! another is worked on, except produces, of which `produces_in_flight_max` may wait for their
//! fsync together; a request that waits for other clients holds no budget, and ends when its peer
//! goes; a peer that sends or reads too slowly is cut; one that went beyond a quota is not read from
//! until its time is over.
//! Left out: TLS and SASL. A stage before [`Stage::Open`] is where they go; the stream is generic
//! for their sake.

use super::WireError;
use super::apis::{self, Pending};
use super::broker::Broker;
use super::budget::Charge;
use super::frame::{Arrived, Frame, FrameReader};
use super::limits::{TRANSFER_TICK, Transfer};
use super::quota;
use super::request::{self, ELEMENT_BYTES, Opened, Reply};
use bytes::{Buf, Bytes};
use futures::future::BoxFuture;
use futures::stream::{FuturesOrdered, StreamExt};
use std::collections::VecDeque;
use std::io::IoSlice;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

/// Pieces of an answer handed to the system at once.
const PIECES_PER_WRITE: usize = 64;

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Every API is served.
    Open,
    /// What was asked is still answered; nothing more is read.
    Finishing,
}

/// A request's answer under way, with what the request holds of the budget.
type Answering = BoxFuture<'static, Answered>;

/// An answer, or why there is none.
struct Answered {
    reply: Result<Option<Reply>, WireError>,
    /// What the request held of the budget.
    charge: Charge,
    /// How long the connection is muted after it: the client went beyond a quota.
    throttle: Duration,
}

struct Connection<S> {
    stream: S,
    peer: IpAddr,
    broker: Arc<Broker>,
    stage: Stage,
    reader: FrameReader,
    /// A request that waits for those before it.
    ahead: Option<Frame>,
    answering: FuturesOrdered<Answering>,
    /// Whether all of `answering` are produces, which may overlap.
    only_produces: bool,
    /// Whether the request being answered waits for other clients, perhaps for minutes.
    parked: bool,
    /// Nothing is read, and nothing begun, before this: the client went beyond a quota.
    muted_until: Option<Instant>,
}

/// Serves `stream` until the peer is done, misbehaves, or the port closes.
///
/// # Errors
/// [`WireError`] says why the connection was cut.
pub(crate) async fn run<S>(stream: S, peer: IpAddr, broker: Arc<Broker>) -> Result<(), WireError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let reader = FrameReader::new();
    let mut connection = Connection {
        stream,
        peer,
        broker,
        stage: Stage::Open,
        reader,
        ahead: None,
        answering: FuturesOrdered::new(),
        only_produces: true,
        parked: false,
        muted_until: None,
    };
    while connection.step().await? {}
    // The peer may be gone already; there is nothing left to tell it.
    let _ = connection.stream.shutdown().await;
    Ok(())
}

enum Event {
    Closing,
    Answered(Answered),
    Unmuted,
    Arrived(Arrived),
    Late,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Does one thing; false when the connection is done.
    async fn step(&mut self) -> Result<bool, WireError> {
        if let Some(frame) = self.next_to_start() {
            self.start(frame).await?;
            return Ok(true);
        }
        if self.stage == Stage::Finishing && self.answering.is_empty() && self.ahead.is_none() {
            return Ok(false);
        }
        match self.event().await? {
            Event::Closing => {
                self.stage = Stage::Finishing;
                self.ahead = None;
            }
            Event::Answered(Answered { reply, charge, throttle }) => {
                if let Some(reply) = reply? {
                    self.write(reply).await?;
                }
                drop(charge);
                if std::mem::take(&mut self.parked) {
                    self.reader.resume();
                }
                self.reader.touch();
                if throttle > Duration::ZERO {
                    self.muted_until = self.muted_until.max(Some(Instant::now() + throttle));
                }
            }
            Event::Unmuted => {
                self.muted_until = None;
                self.reader.resume();
            }
            Event::Arrived(Arrived::Frame(frame)) => self.ahead = Some(frame),
            Event::Arrived(Arrived::Part) => {}
            Event::Arrived(Arrived::End) => {
                self.stage = Stage::Finishing;
                if self.parked {
                    // Nobody is left to be told, and others wait for this member.
                    self.answering = FuturesOrdered::new();
                }
            }
            Event::Late if self.reader.midway() => return Err(WireError::Stalled("a request")),
            Event::Late => return Err(WireError::Idle),
        }
        Ok(true)
    }

    async fn event(&mut self) -> Result<Event, WireError> {
        let open = self.stage == Stage::Open;
        let muted_until = self.muted_until;
        // Behind a parked request nothing is read that would take memory for as long.
        let parked = self.parked && self.reader.begun();
        let reading = open && self.ahead.is_none() && muted_until.is_none() && !parked;
        let broker = &self.broker;
        let (midway, awaits_peer) = (self.reader.midway(), self.reader.awaits_peer());
        let deadline = self
            .reader
            .deadline(&broker.limits, broker.requests.pressed())
            .filter(|_| reading && (midway || self.answering.is_empty()));
        tokio::select! {
            biased;
            () = broker.closed(), if open => Ok(Event::Closing),
            Some(answered) = self.answering.next() => Ok(Event::Answered(answered)),
            () = until(muted_until), if open && muted_until.is_some() => Ok(Event::Unmuted),
            arrived = self.reader.next(&mut self.stream, &broker.limits, &broker.requests),
                if reading => arrived.map(Event::Arrived),
            () = until(deadline) => Ok(Event::Late),
            // Whether memory is short may have changed: the deadline is taken anew.
            () = sleep(TRANSFER_TICK), if reading && awaits_peer => Ok(Event::Arrived(Arrived::Part)),
        }
    }

    /// The request read ahead, if those before it allow it to start.
    fn next_to_start(&mut self) -> Option<Frame> {
        if self.muted_until.is_some() {
            return None;
        }
        let produce = self.ahead.as_ref().map(|frame| apis::is_produce(&frame.bytes))?;
        let free = self.answering.is_empty()
            || (produce
                && self.only_produces
                && self.answering.len() < self.broker.limits.produces_in_flight_max);
        if !free {
            return None;
        }
        self.only_produces = produce;
        self.ahead.take()
    }

    /// Does the part of a request that must happen in order and queues the rest.
    async fn start(&mut self, frame: Frame) -> Result<(), WireError> {
        let Frame { bytes, mut charge } = frame;
        let asked = bytes.len();
        let mut request = match request::open(bytes)? {
            Opened::FutureApiVersions { correlation } => {
                let pending = apis::future_api_versions(correlation)?;
                self.answering.push_back(Box::pin(async move {
                    Answered { reply: pending.await, charge, throttle: Duration::ZERO }
                }));
                return Ok(());
            }
            Opened::Request(request) => request,
        };
        request.peer = self.peer;
        self.parked = apis::parks(request.api);
        let (key, version, client) = (request.api.key, request.version, request.client.clone());
        metrics::counter!("tradewind_kafka_requests_total", "api" => request.api.name).increment(1);
        let decoded = request.elements * ELEMENT_BYTES;
        self.broker.requests.charge(&mut charge, decoded).await;
        let pending: Pending = (request.api.handle)(Arc::clone(&self.broker), request).await?;
        if self.parked {
            // What it keeps is counted by the groups.
            charge = Charge::default();
        }
        let broker = Arc::clone(&self.broker);
        self.answering.push_back(Box::pin(async move {
            let mut reply = pending.await;
            let answered = match &reply {
                Ok(Some(reply)) => reply.len(),
                _ => 0,
            };
            let throttle = broker.quotas.note(&client, key, asked, answered);
            if let (Ok(Some(reply)), false) = (&mut reply, throttle.is_zero()) {
                quota::stamp(reply, key, version, throttle);
            }
            Answered { reply, charge, throttle }
        }));
        Ok(())
    }

    /// Sends an answer to a peer that reads it at the slowest allowed speed or faster.
    async fn write(&mut self, reply: Reply) -> Result<(), WireError> {
        let mut transfer = Transfer::begin();
        let Reply { mut pieces, charge: _charge } = reply;
        while !pieces.is_empty() {
            let pressed = self.broker.answers.pressed();
            let deadline = self.broker.limits.stalled_at(&transfer, pressed);
            let tick = deadline.min(Instant::now() + TRANSFER_TICK);
            let mut next = [IoSlice::new(&[]); PIECES_PER_WRITE];
            next.iter_mut().zip(&pieces).for_each(|(slice, piece)| *slice = IoSlice::new(piece));
            let next = &next[..pieces.len().min(PIECES_PER_WRITE)];
            match timeout_at(tick, self.stream.write_vectored(next)).await {
                Ok(written) => match written? {
                    0 => return Err(WireError::Cut),
                    written => {
                        forget_written(&mut pieces, written);
                        transfer.moved(written);
                    }
                },
                Err(_) if Instant::now() < deadline => {}
                Err(_) => return Err(WireError::Stalled("reading an answer")),
            }
        }
        Ok(())
    }
}

/// Lets go of what the peer has been sent.
fn forget_written(pieces: &mut VecDeque<Bytes>, mut written: usize) {
    while let Some(first) = pieces.front_mut() {
        if first.len() > written {
            first.advance(written);
            return;
        }
        written -= first.len();
        pieces.pop_front();
    }
}

/// Resolves at `deadline`, or never.
async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
