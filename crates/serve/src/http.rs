//! The HTTP server loop: hyper over each accepted connection, with bounds on time and number.
//!
//! Guarantees: at most `connections_max` connections, more are closed as they come; a connection
//! that says nothing costs a task and no buffer; a head, a body and an answer that do not move on
//! in time end their connection and no other. A stop lets requests under way finish.
//! Left out: TLS and HTTP/2.

use axum::Router;
use axum::body::Body as AxumBody;
use axum::extract::ConnectInfo;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tower::ServiceExt;

/// What connections may cost.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at once; more are closed as they come.
    pub connections_max: usize,
    /// How long a request's head may take to arrive.
    pub header_timeout: Duration,
    /// How long a request's body may take to arrive, and how long an answer may wait to be taken.
    pub body_timeout: Duration,
    /// How long a connection may be silent between requests.
    pub idle_timeout: Duration,
    /// The longest request head, at least 8 KiB.
    pub header_bytes_max: usize,
    /// How long requests under way may take once a stop was asked for.
    pub shutdown_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 4_096,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(75),
            header_bytes_max: 16 << 10,
            shutdown_timeout: Duration::from_secs(10),
        }
    }
}

/// Waiting after `accept` failed: out of file handles, most likely, and they come back.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);

/// Serves `router` on `listener` until `shutdown` is done and the requests under way are answered,
/// or their time is up.
pub async fn run(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) {
    let limits = Arc::new(limits);
    let slots = Arc::new(Semaphore::new(limits.connections_max));
    let (stop, stopping) = watch::channel(false);
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_BACKOFF).await;
                continue;
            }
        };
        let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
            metrics::counter!("http_connections_refused_total").increment(1);
            continue;
        };
        let (router, limits, stopping) = (router.clone(), Arc::clone(&limits), stopping.clone());
        tokio::spawn(async move {
            metrics::gauge!("http_connections").increment(1.0);
            connection(stream, router, &limits, stopping).await;
            metrics::gauge!("http_connections").decrement(1.0);
            drop(slot);
        });
    }
    drop(listener);
    let _ = stop.send(true);
    // All slots are free again when the last connection has ended.
    let all = u32::try_from(limits.connections_max).unwrap_or(u32::MAX);
    let _ = timeout(limits.shutdown_timeout, slots.acquire_many(all)).await;
}

async fn connection(
    stream: TcpStream,
    router: Router,
    limits: &Limits,
    mut stopping: watch::Receiver<bool>,
) {
    let _ = stream.set_nodelay(true);
    // Handlers see it as `ConnectInfo`, as they would under axum's own server.
    let peer = stream.peer_addr().ok().map(ConnectInfo);
    // Nothing is allocated for a connection before its first byte.
    let first = tokio::select! {
        first = timeout(limits.idle_timeout, stream.readable()) => first,
        () = stopped(&mut stopping) => return,
    };
    if !matches!(first, Ok(Ok(()))) {
        return;
    }
    let phase = Arc::new(Phase::default());
    let io = TokioIo::new(TimedIo::new(stream, Arc::clone(&phase), limits));
    let body_timeout = limits.body_timeout;
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let (router, phase) = (router.clone(), Arc::clone(&phase));
        phase.set(BUSY);
        let mut request = request.map(|body| AxumBody::new(TimedBody::new(body, body_timeout)));
        if let Some(peer) = peer {
            request.extensions_mut().insert(peer);
        }
        async move {
            let response = match router.oneshot(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            };
            Ok::<_, Infallible>(response.map(|body| Watched { body, phase }))
        }
    });
    let serving = http1::Builder::new()
        .max_buf_size(limits.header_bytes_max.max(8 << 10))
        .serve_connection(io, service);
    let mut serving = pin!(serving);
    let ended = tokio::select! {
        ended = &mut serving => ended,
        () = stopped(&mut stopping) => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an HTTP connection ended early");
    }
}

async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // A sender that is gone means the same.
    let _ = stopping.wait_for(|stop| *stop).await;
}

/// Between requests.
const IDLE: u8 = 0;
/// A head has begun.
const HEAD: u8 = 1;
/// A request is being answered.
const BUSY: u8 = 2;

/// What a connection is doing, shared by its socket and its service.
#[derive(Debug, Default)]
struct Phase(AtomicU8);

impl Phase {
    fn get(&self) -> u8 {
        self.0.load(Ordering::Acquire)
    }

    fn set(&self, phase: u8) {
        self.0.store(phase, Ordering::Release);
    }
}

/// A socket that fails when its peer does not move on in time.
struct TimedIo {
    stream: TcpStream,
    phase: Arc<Phase>,
    header_timeout: Duration,
    write_timeout: Duration,
    idle_timeout: Duration,
    /// The phase `read_deadline` was set for.
    reading: u8,
    read_deadline: Pin<Box<Sleep>>,
    /// Runs while a write is stuck.
    write_deadline: Option<Pin<Box<Sleep>>>,
}

impl TimedIo {
    fn new(stream: TcpStream, phase: Arc<Phase>, limits: &Limits) -> Self {
        let head = Instant::now() + limits.header_timeout;
        phase.set(HEAD);
        Self {
            stream,
            phase,
            header_timeout: limits.header_timeout,
            write_timeout: limits.body_timeout,
            idle_timeout: limits.idle_timeout,
            reading: HEAD,
            read_deadline: Box::pin(sleep_until(head)),
            write_deadline: None,
        }
    }

    /// Whether the peer has been silent too long. Starts the phase's clock when it is a new one.
    fn silent(&mut self, context: &mut Context<'_>) -> bool {
        let phase = self.phase.get();
        if phase == BUSY {
            self.reading = BUSY;
            return false;
        }
        if phase != self.reading {
            self.reading = phase;
            let wait = if phase == IDLE { self.idle_timeout } else { self.header_timeout };
            self.read_deadline.as_mut().reset(Instant::now() + wait);
        }
        self.read_deadline.as_mut().poll(context).is_ready()
    }

    fn wrote(
        &mut self,
        context: &mut Context<'_>,
        result: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if result.is_ready() {
            self.write_deadline = None;
            return result;
        }
        let wait = self.write_timeout;
        let deadline =
            self.write_deadline.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + wait)));
        match deadline.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(late("the client does not take its answer"))),
            Poll::Pending => Poll::Pending,
        }
    }
}

fn late(message: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, message)
}

impl AsyncRead for TimedIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Ready(result) => {
                if buffer.filled().len() > before && self.phase.get() == IDLE {
                    self.phase.set(HEAD);
                }
                // The head's clock runs from its first byte, not from its last.
                if self.silent(context) {
                    return Poll::Ready(Err(late("the request's head takes too long")));
                }
                Poll::Ready(result)
            }
            Poll::Pending if self.silent(context) => Poll::Ready(Err(late("the client is silent"))),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncWrite for TimedIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.wrote(context, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.wrote(context, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// A request's body that must arrive whole within its time.
struct TimedBody {
    body: Incoming,
    deadline: Pin<Box<Sleep>>,
}

impl TimedBody {
    fn new(body: Incoming, wait: Duration) -> Self {
        Self { body, deadline: Box::pin(sleep_until(Instant::now() + wait)) }
    }
}

impl Body for TimedBody {
    type Data = hyper::body::Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(frame) => Poll::Ready(frame.map(|frame| frame.map_err(Into::into))),
            Poll::Pending => {
                ready!(self.deadline.as_mut().poll(context));
                Poll::Ready(Some(Err(late("the request's body takes too long").into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer's body; when it is gone the connection is idle again.
struct Watched {
    body: AxumBody,
    phase: Arc<Phase>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.phase.set(IDLE);
    }
}

impl Body for Watched {
    type Data = hyper::body::Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
