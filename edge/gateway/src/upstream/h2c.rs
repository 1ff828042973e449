//! HTTP/2 to a backend by prior knowledge: a few connections, many streams on each; one without streams is closed
//! after a while.
//!
//! Nothing is sent twice here, save a request that was never written because its connection had
//! just closed.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::Request;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::sync::Semaphore;

use super::{Answered, Dial, Expires, Lease, SendError, Upstream, sweep};
use crate::body::RequestBody;

/// A further connection is opened when all have this many streams.
const STREAMS_PER_CONNECTION: usize = 100;
/// With all of these full, streams queue on the least loaded.
const CONNECTIONS_MAX: usize = 16;
const PING_EVERY: Duration = Duration::from_secs(10);
const PONG_WITHIN: Duration = Duration::from_secs(5);
const HEADER_LIST_BYTES_MAX: u32 = 64 * 1024;

/// How much a connection is used.
#[derive(Debug)]
struct Usage {
    streams: AtomicUsize,
    /// When its last stream ended.
    idle_since: Mutex<Instant>,
}

#[derive(Clone, Debug)]
struct Connection {
    sender: SendRequest<RequestBody>,
    usage: Arc<Usage>,
}

impl Connection {
    fn streams(&self) -> usize {
        self.usage.streams.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Default)]
struct Shelf {
    connections: Vec<Connection>,
    swept: bool,
}

#[derive(Debug)]
struct Open {
    shelf: Mutex<Shelf>,
    keep_for: Duration,
}

impl Open {
    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Expires for Open {
    fn expire(&self, now: Instant) -> Option<Instant> {
        let mut shelf = self.shelf();
        let mut again: Option<Instant> = None;
        shelf.connections.retain(|connection| {
            let idle_since = *connection
                .usage
                .idle_since
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let since = if connection.streams() == 0 {
                idle_since
            } else {
                now
            };
            let until = since + self.keep_for;
            let kept = until > now && !connection.sender.is_closed();
            if kept {
                again = Some(again.map_or(until, |known| known.min(until)));
            }
            kept
        });
        shelf.swept = again.is_some();
        again
    }
}

/// Open connections to one backend.
#[derive(Debug)]
pub struct H2Pool {
    dial: Arc<Dial>,
    open: Arc<Open>,
    /// One connects at a time; the others then find the new connection.
    connecting: Semaphore,
}

/// A stream's place on its connection, until dropped.
#[derive(Debug)]
pub struct H2Lease {
    usage: Arc<Usage>,
}

impl H2Lease {
    fn take(connection: &Connection) -> Self {
        connection.usage.streams.fetch_add(1, Ordering::Relaxed);
        Self {
            usage: Arc::clone(&connection.usage),
        }
    }
}

impl Drop for H2Lease {
    fn drop(&mut self) {
        // First, so that nobody sees a connection without streams and with an old time.
        *self
            .usage
            .idle_since
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.usage.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

impl H2Pool {
    pub(super) fn new(dial: Arc<Dial>, keep_for: Duration) -> Self {
        Self {
            dial,
            open: Arc::new(Open {
                shelf: Mutex::default(),
                keep_for,
            }),
            connecting: Semaphore::new(1),
        }
    }

    /// The least loaded connection that has room, or any when no more may be opened.
    fn open(&self) -> Option<(Connection, H2Lease)> {
        let mut shelf = self.open.shelf();
        shelf
            .connections
            .retain(|connection| !connection.sender.is_closed());
        let least = shelf
            .connections
            .iter()
            .min_by_key(|connection| connection.streams())?;
        // Taken while nobody can find it idle.
        (least.streams() < STREAMS_PER_CONNECTION || shelf.connections.len() >= CONNECTIONS_MAX)
            .then(|| (least.clone(), H2Lease::take(least)))
    }

    async fn connection(&self) -> Result<(Connection, H2Lease), SendError> {
        match self.open() {
            Some(connection) => Ok(connection),
            // On the heap: a request that finds a connection need not have room for making one.
            None => Box::pin(self.connected()).await,
        }
    }

    async fn connected(&self) -> Result<(Connection, H2Lease), SendError> {
        let _turn = self
            .connecting
            .acquire()
            .await
            .expect("the semaphore is never closed");
        if let Some(connection) = self.open() {
            return Ok(connection);
        }
        let stream = self.dial.connect().await?;
        let (sender, task) = Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PONG_WITHIN)
            .max_header_list_size(HEADER_LIST_BYTES_MAX)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(SendError::Broken)?;
        // How a connection ends is seen by its streams, so the task tells nobody.
        tokio::spawn(async move { drop(task.await) });
        let connection = Connection {
            sender,
            usage: Arc::new(Usage {
                streams: AtomicUsize::new(0),
                idle_since: Mutex::new(Instant::now()),
            }),
        };
        let lease = H2Lease::take(&connection);
        let mut shelf = self.open.shelf();
        shelf.connections.push(connection.clone());
        let swept = std::mem::replace(&mut shelf.swept, true);
        drop(shelf);
        if !swept {
            sweep(&self.open);
        }
        Ok((connection, lease))
    }
}

impl Upstream for H2Pool {
    async fn send(&self, request: Request<RequestBody>) -> Result<Answered, SendError> {
        let (mut connection, lease) = self.connection().await?;
        let mut error = match connection.sender.try_send_request(request).await {
            Ok(response) => {
                return Ok(Answered {
                    response,
                    lease: Lease::H2(lease),
                });
            }
            Err(error) => error,
        };
        let Some(unsent) = error.take_message() else {
            return Err(SendError::Broken(error.into_error()));
        };
        drop(lease);
        let (mut connection, lease) = self.connection().await?;
        let response = connection
            .sender
            .send_request(unsent)
            .await
            .map_err(SendError::Broken)?;
        Ok(Answered {
            response,
            lease: Lease::H2(lease),
        })
    }
}
