//! Connections to backends, behind one small seam.
//!
//! [`Upstream::send`] sends one request and answers its headers and a [`Lease`]. [`h1`] keeps a pool
//! of HTTP/1.1 connections, [`h2c`] multiplexes HTTP/2 by prior knowledge. Each worker owns its own:
//! a connection is used by the thread that opened it, and closed when it was idle for a while. Nothing here
//! knows routes or limits of time other than the connect timeout and that one.

pub mod h1;
pub mod h2c;

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Request, Response};
use hyper::body::Incoming;
use tokio::net::TcpStream;

use crate::body::RequestBody;
use crate::config::{BackendConfig, Limits};

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// No connection.
    #[error("{0}")]
    Connect(#[source] io::Error),
    /// The connection failed under the request.
    #[error("{0}")]
    Broken(#[source] hyper::Error),
}

/// A backend's answer with the claim on its connection.
#[derive(Debug)]
pub struct Answered {
    /// Headers and body.
    pub response: Response<Incoming>,
    /// To be given back when the body has ended.
    pub lease: Lease,
}

/// Sends requests to one backend.
pub trait Upstream {
    /// Sends one request and waits for the answer's headers, without a limit of time. Dropping
    /// the future cancels the request at the backend.
    fn send(&self, request: Request<RequestBody>)
    -> impl Future<Output = Result<Answered, SendError>> + Send;
}

/// A claim on the connection that carries an answer's body. Dropped before the body has ended it
/// closes the connection (HTTP/1.1) or only this stream (HTTP/2).
#[derive(Debug)]
pub enum Lease {
    /// An HTTP/1.1 connection.
    H1(h1::H1Lease),
    /// A stream of an HTTP/2 connection.
    H2(h2c::H2Lease),
}

impl Lease {
    /// The body has ended: the connection may serve others.
    pub fn give_back(self) {
        match self {
            Self::H1(lease) => lease.give_back(),
            Self::H2(lease) => drop(lease),
        }
    }
}

/// Both clients of one backend.
#[derive(Debug)]
pub struct Clients {
    /// HTTP/1.1.
    pub h1: h1::H1Pool,
    /// HTTP/2 without TLS.
    pub h2c: h2c::H2Pool,
}

impl Clients {
    /// Clients without connections.
    pub fn new(backend: &BackendConfig, limits: &Limits) -> Self {
        let keep_for = limits.upstream_idle;
        let dial = Arc::new(Dial {
            host: backend.host.clone(),
            port: backend.port,
            timeout: limits.connect_timeout,
        });
        Self {
            h1: h1::H1Pool::new(
                Arc::clone(&dial),
                limits.max_idle_upstream,
                keep_for,
                limits.retries_per_second,
            ),
            h2c: h2c::H2Pool::new(dial, keep_for),
        }
    }
}

/// Connections of which some may be idle for too long.
trait Expires: Send + Sync + 'static {
    /// Closes those; answers when to look again, or `None` when nothing is left, and is then swept no more.
    fn expire(&self, now: Instant) -> Option<Instant>;
}

/// Closes idle connections in time, also when no request comes by.
fn sweep(pool: &Arc<impl Expires>) {
    let pool = Arc::downgrade(pool);
    tokio::spawn(async move {
        while let Some(again) = pool.upgrade().and_then(|pool| pool.expire(Instant::now())) {
            tokio::time::sleep_until(again.into()).await;
        }
    });
}

/// How to reach a backend.
#[derive(Debug)]
struct Dial {
    host: String,
    port: u16,
    timeout: Duration,
}

impl Dial {
    async fn connect(&self) -> Result<TcpStream, SendError> {
        let connecting = TcpStream::connect((self.host.as_str(), self.port));
        let stream = match tokio::time::timeout(self.timeout, connecting).await {
            Ok(connected) => connected.map_err(SendError::Connect)?,
            Err(_) => {
                let what = format!("no connection within {} ms", self.timeout.as_millis());
                return Err(SendError::Connect(io::Error::new(io::ErrorKind::TimedOut, what)));
            }
        };
        stream.set_nodelay(true).map_err(SendError::Connect)?;
        Ok(stream)
    }
}
