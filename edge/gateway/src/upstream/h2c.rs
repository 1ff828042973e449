//! HTTP/2 to a backend by prior knowledge: a few connections, many streams on each.
//!
//! Nothing is sent twice here, save a request that was never written because its connection had
//! just closed.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::Request;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::sync::Semaphore;

use super::{Answered, Dial, Lease, SendError, Upstream};
use crate::body::RequestBody;

/// A further connection is opened when all have this many streams.
const STREAMS_PER_CONNECTION: usize = 100;
/// With all of these full, streams queue on the least loaded.
const CONNECTIONS_MAX: usize = 16;
const PING_EVERY: Duration = Duration::from_secs(10);
const PONG_WITHIN: Duration = Duration::from_secs(5);
const HEADER_LIST_BYTES_MAX: u32 = 64 * 1024;

#[derive(Clone, Debug)]
struct Connection {
    sender: SendRequest<RequestBody>,
    streams: Arc<AtomicUsize>,
}

/// Open connections to one backend.
#[derive(Debug)]
pub struct H2Pool {
    dial: Arc<Dial>,
    connections: Mutex<Vec<Connection>>,
    /// One connects at a time; the others then find the new connection.
    connecting: Semaphore,
}

/// A stream's place on its connection, until dropped.
#[derive(Debug)]
pub struct H2Lease {
    streams: Arc<AtomicUsize>,
}

impl H2Lease {
    fn take(connection: &Connection) -> Self {
        connection.streams.fetch_add(1, Ordering::Relaxed);
        Self {
            streams: Arc::clone(&connection.streams),
        }
    }
}

impl Drop for H2Lease {
    fn drop(&mut self) {
        self.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

impl H2Pool {
    pub(super) fn new(dial: Arc<Dial>) -> Self {
        Self {
            dial,
            connections: Mutex::new(Vec::new()),
            connecting: Semaphore::new(1),
        }
    }

    /// The least loaded connection that has room, or any when no more may be opened.
    fn open(&self) -> Option<Connection> {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.retain(|connection| !connection.sender.is_closed());
        let streams = |connection: &Connection| connection.streams.load(Ordering::Relaxed);
        let least = connections.iter().min_by_key(|connection| streams(connection))?;
        (streams(least) < STREAMS_PER_CONNECTION || connections.len() >= CONNECTIONS_MAX)
            .then(|| least.clone())
    }

    async fn connection(&self) -> Result<Connection, SendError> {
        if let Some(connection) = self.open() {
            return Ok(connection);
        }
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
            streams: Arc::new(AtomicUsize::new(0)),
        };
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(connection.clone());
        Ok(connection)
    }
}

impl Upstream for H2Pool {
    async fn send(&self, request: Request<RequestBody>) -> Result<Answered, SendError> {
        let mut connection = self.connection().await?;
        let lease = H2Lease::take(&connection);
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
        let mut connection = self.connection().await?;
        let lease = H2Lease::take(&connection);
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
