//! A few threads that send batches at once, behind a bounded queue.
//!
//! Guarantees: every batch taken in comes back exactly once with its outcome; none is taken in
//! while the queue is full, so that memory is bounded by `QUEUE_PER_CONNECTION` batches for each
//! connection beside the ones being sent.
//! Left out: order. Batches come back as their connections finish them.

use super::{Answer, Client, ClientError, ClientSettings};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Batches waiting for each connection: one is enough to keep it busy, two ride out a hiccup.
const QUEUE_PER_CONNECTION: usize = 2;

/// A batch that was dealt with.
#[derive(Debug)]
pub struct Done<T> {
    /// What the caller handed in beside the body.
    pub tag: T,
    /// What became of it.
    pub outcome: Result<Answer, ClientError>,
}

/// Threads with a connection each.
#[derive(Debug)]
pub struct Pool<T> {
    queue: Option<SyncSender<(Vec<u8>, T)>>,
    // Unbounded in type only: it holds at most what the queue and the threads held, because the
    // caller drains it between two submits.
    done: Receiver<Done<T>>,
    in_flight: usize,
    clients: Vec<Client>,
    threads: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
}

impl<T: Send + 'static> Pool<T> {
    /// Starts `settings.connections` threads (at least one).
    pub fn start(settings: &ClientSettings) -> Result<Self, ClientError> {
        let connections = settings.connections.max(1);
        let (queue, jobs) = sync_channel::<(Vec<u8>, T)>(connections * QUEUE_PER_CONNECTION);
        let jobs = Arc::new(Mutex::new(jobs));
        let (finished, done) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let mut clients = Vec::new();
        let mut threads = Vec::new();
        for _ in 0..connections {
            let client = Client::new(settings, stop.clone())?;
            clients.push(client.clone());
            let (jobs, finished) = (jobs.clone(), finished.clone());
            threads.push(std::thread::spawn(move || {
                loop {
                    let job = jobs.lock().recv();
                    let Ok((body, tag)) = job else { return };
                    let outcome = client.send(&body);
                    if finished.send(Done { tag, outcome }).is_err() {
                        return;
                    }
                }
            }));
        }
        Ok(Self { queue: Some(queue), done, in_flight: 0, clients, threads, stop })
    }

    /// Hands in a batch; gives it back while the queue is full. Between two tries the caller
    /// takes what is done.
    pub fn submit(&mut self, body: Vec<u8>, tag: T) -> Result<(), (Vec<u8>, T)> {
        let queue = self.queue.as_ref().expect("the queue is closed only by drop");
        match queue.try_send((body, tag)) {
            Ok(()) => {
                self.in_flight += 1;
                Ok(())
            }
            Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) => Err(job),
        }
    }

    /// The next finished batch, waiting for at most `wait`; `None` when there is none by then.
    pub fn done(&mut self, wait: Duration) -> Option<Done<T>> {
        if self.in_flight == 0 {
            return None;
        }
        let done = self.done.recv_timeout(wait).ok()?;
        self.in_flight -= 1;
        Some(done)
    }

    /// Batches handed in that have not come back.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// What a connection is waiting for at the moment, if any waits.
    pub fn trouble(&self) -> Option<String> {
        self.clients.iter().find_map(Client::trouble)
    }

    /// Makes everything unsent come back as [`ClientError::Stopped`] soon.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl<T> Drop for Pool<T> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.queue = None;
        for thread in self.threads.drain(..) {
            // A sender that panicked has already said so on stderr; there is nothing to add.
            let _ = thread.join();
        }
    }
}
