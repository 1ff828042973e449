//! One client connection: protocol detection, serving, and the watch over idle and slow clients.
//!
//! hyper's own header timer covers HTTP/1 only after its protocol is known, so one watch over the
//! socket does it all: a client that does not finish its headers, that keeps an idle connection, or
//! that does not take its answer.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderValue, Request};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::client_stream::{self, ClientStream};
use crate::config::Limits;
use crate::headers::forwarded_peer;
use crate::proxy;
use crate::server::Worker;

const HTTP2_STREAMS_MAX: u32 = 128;
const HTTP2_STREAM_WINDOW_BYTES: u32 = 64 * 1024;
const HTTP2_CONNECTION_WINDOW_BYTES: u32 = 256 * 1024;
const HTTP2_SEND_BUFFER_BYTES: usize = 64 * 1024;
const WATCH_INTERVAL_MIN: Duration = Duration::from_millis(10);
/// An answer that is idle for too long ends with a word about it, which has to get out first.
const LAST_WORD_WITHIN: Duration = Duration::from_secs(1);
/// No moment is recorded.
const NEVER: u64 = 0;

/// What is known of a connection's liveliness. Moments are milliseconds after `base`, from 1.
#[derive(Debug)]
pub struct Activity {
    base: Instant,
    requests: AtomicUsize,
    http2: AtomicBool,
    /// When the headers of the next request began to arrive.
    headers_since: AtomicU64,
    /// When the last request ended.
    idle_since: AtomicU64,
    /// When the socket first took no more bytes.
    write_blocked_since: AtomicU64,
    last_byte: AtomicU64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Fine,
    /// Idle for long enough: finish politely.
    Finish,
    /// Too slow: close.
    Cut(&'static str),
}

impl Activity {
    fn new() -> Self {
        Self {
            base: Instant::now(),
            requests: AtomicUsize::new(0),
            http2: AtomicBool::new(false),
            // A new connection owes its first request at once.
            headers_since: AtomicU64::new(1),
            idle_since: AtomicU64::new(1),
            write_blocked_since: AtomicU64::new(NEVER),
            last_byte: AtomicU64::new(1),
        }
    }

    fn now(&self) -> u64 {
        1 + u64::try_from(self.base.elapsed().as_millis()).unwrap_or(u64::MAX - 1)
    }

    /// Counts a request in until the guard is dropped.
    pub fn request_began(self: &Arc<Self>, http2: bool) -> RequestGuard {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.headers_since.store(NEVER, Ordering::Relaxed);
        self.http2.store(http2, Ordering::Relaxed);
        RequestGuard(Arc::clone(self))
    }

    fn bytes_read(&self, now: u64) {
        self.last_byte.store(now, Ordering::Relaxed);
        // HTTP/2 sends window updates and pings at any time: bytes do not mean headers there.
        let begins = self.requests.load(Ordering::Relaxed) == 0
            && !self.http2.load(Ordering::Relaxed)
            && self.headers_since.load(Ordering::Relaxed) == NEVER;
        if begins {
            self.headers_since.store(now, Ordering::Relaxed);
        }
    }

    fn bytes_written(&self, now: u64, blocked: bool) {
        if blocked {
            let _ =
                self.write_blocked_since
                    .compare_exchange(NEVER, now, Ordering::Relaxed, Ordering::Relaxed);
        } else {
            self.write_blocked_since.store(NEVER, Ordering::Relaxed);
            self.last_byte.store(now, Ordering::Relaxed);
        }
    }

    fn judge(&self, now: u64, limits: &Limits) -> Verdict {
        let longer = |since: u64, limit: Duration| {
            since != NEVER && u128::from(now.saturating_sub(since)) >= limit.as_millis()
        };
        if longer(
            self.write_blocked_since.load(Ordering::Relaxed),
            limits.body_idle_timeout,
        ) {
            return Verdict::Cut("the client does not take its answer");
        }
        if self.requests.load(Ordering::Relaxed) > 0 {
            let silent = longer(
                self.last_byte.load(Ordering::Relaxed),
                limits.stream_idle_timeout + LAST_WORD_WITHIN,
            );
            return if silent {
                Verdict::Cut("no byte either way")
            } else {
                Verdict::Fine
            };
        }
        if longer(
            self.headers_since.load(Ordering::Relaxed),
            limits.header_read_timeout,
        ) {
            return Verdict::Cut("the request's headers did not arrive");
        }
        if longer(self.idle_since.load(Ordering::Relaxed), limits.keep_alive_idle) {
            return Verdict::Finish;
        }
        Verdict::Fine
    }
}

/// A request under way on a connection.
#[derive(Debug)]
pub struct RequestGuard(Arc<Activity>);

impl Drop for RequestGuard {
    fn drop(&mut self) {
        if self.0.requests.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.idle_since.store(self.0.now(), Ordering::Relaxed);
        }
    }
}

/// A client's socket under watch.
#[derive(Debug)]
pub struct WatchedStream {
    stream: ClientStream,
    activity: Arc<Activity>,
}

impl WatchedStream {
    /// The socket, after an upgrade.
    pub fn into_inner(self) -> ClientStream {
        self.stream
    }
}

impl AsyncRead for WatchedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if read.is_ready() {
            self.activity.bytes_read(self.activity.now());
        }
        read
    }
}

impl AsyncWrite for WatchedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.activity
            .bytes_written(self.activity.now(), written.is_pending());
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.activity
            .bytes_written(self.activity.now(), written.is_pending());
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// What every request of a connection knows.
#[derive(Debug)]
pub struct Client {
    /// The worker that serves the connection.
    pub worker: Arc<Worker>,
    /// The other end, or whom it speaks for by the PROXY protocol.
    pub peer: SocketAddr,
    /// Whether it speaks TLS.
    pub tls: bool,
    /// The other end as the backends are told of it.
    pub forwarded: HeaderValue,
    /// Its liveliness.
    pub activity: Arc<Activity>,
    /// Its place among the connections; a tunnel keeps it after the upgrade.
    pub permit: Arc<OwnedSemaphorePermit>,
}

/// Serves a connection to its end.
pub async fn serve(stream: TcpStream, peer: SocketAddr, worker: Arc<Worker>, permit: OwnedSemaphorePermit) {
    let shared = Arc::clone(&worker.shared);
    let limits = &shared.limits;
    let routing = shared.routing();
    let opening = Box::pin(client_stream::open(
        stream,
        peer,
        &routing.front,
        limits.header_read_timeout,
    ));
    let (stream, peer) = match opening.await {
        Ok(opened) => opened,
        Err(why) => {
            tracing::debug!(%peer, %why, "a connection did not come to its first request");
            return;
        }
    };
    drop(routing);
    let activity = Arc::new(Activity::new());
    let client = Arc::new(Client {
        worker,
        peer,
        tls: stream.is_tls(),
        forwarded: forwarded_peer(peer.ip()),
        activity: Arc::clone(&activity),
        permit: Arc::new(permit),
    });
    let service = service_fn(move |request: Request<Incoming>| {
        let client = Arc::clone(&client);
        // On the heap: HTTP/2 moves it into a task of its own, in several steps.
        Box::pin(async move { Ok::<_, Infallible>(proxy::handle(&client, request).await) })
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        // A small answer is copied together faster than the system takes two pieces.
        .writev(false)
        .max_buf_size(limits.max_header_bytes);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(HTTP2_STREAMS_MAX)
        .max_header_list_size(u32::try_from(limits.max_header_bytes).unwrap_or(u32::MAX))
        .initial_stream_window_size(HTTP2_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(HTTP2_CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(HTTP2_SEND_BUFFER_BYTES);
    let io = TokioIo::new(WatchedStream {
        stream,
        activity: Arc::clone(&activity),
    });
    let serving = builder.serve_connection_with_upgrades(io, service);
    tokio::pin!(serving);

    let shortest = limits
        .header_read_timeout
        .min(limits.keep_alive_idle)
        .min(limits.body_idle_timeout)
        .min(limits.stream_idle_timeout);
    let mut watch = interval((shortest / 4).max(WATCH_INTERVAL_MIN));
    watch.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut leaving = false;
    loop {
        tokio::select! {
            served = &mut serving => {
                if let Err(error) = served {
                    tracing::debug!(%peer, %error, "connection ended");
                }
                return;
            }
            () = shared.shutdown.cancelled(), if !leaving => {
                serving.as_mut().graceful_shutdown();
                leaving = true;
            }
            _ = watch.tick() => match activity.judge(activity.now(), limits) {
                Verdict::Fine => {}
                Verdict::Finish if leaving => {}
                Verdict::Finish => {
                    serving.as_mut().graceful_shutdown();
                    leaving = true;
                }
                Verdict::Cut(why) => {
                    tracing::debug!(%peer, why, "connection cut");
                    return;
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        let mut limits = crate::config::parse(
            "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\nbackends: { a: { url: 'http://127.0.0.1:1', version: v } }\ndefault: { split: { a: 100 } }\n",
            "test",
        )
        .unwrap()
        .limits;
        limits.header_read_timeout = Duration::from_secs(10);
        limits.keep_alive_idle = Duration::from_secs(75);
        limits.body_idle_timeout = Duration::from_secs(60);
        limits.stream_idle_timeout = Duration::from_secs(300);
        limits
    }

    const SECOND: u64 = 1_000;

    #[test]
    fn a_new_connection_owes_its_headers() {
        let activity = Arc::new(Activity::new());
        activity.bytes_read(9 * SECOND);
        assert_eq!(activity.judge(9 * SECOND, &limits()), Verdict::Fine);
        assert!(
            matches!(activity.judge(1 + 10 * SECOND, &limits()), Verdict::Cut(_)),
            "a byte buys no time"
        );
    }

    /// A connection whose last request ended at about moment 1.
    fn after_a_request(http2: bool) -> Arc<Activity> {
        let activity = Arc::new(Activity::new());
        drop(activity.request_began(http2));
        activity.idle_since.store(1, Ordering::Relaxed);
        activity
    }

    #[test]
    fn an_idle_connection_finishes_and_a_begun_request_is_cut() {
        let activity = after_a_request(false);
        assert_eq!(activity.judge(75 * SECOND, &limits()), Verdict::Fine);
        assert_eq!(activity.judge(1 + 75 * SECOND, &limits()), Verdict::Finish);
        activity.bytes_read(70 * SECOND);
        activity.bytes_read(75 * SECOND);
        assert!(matches!(activity.judge(80 * SECOND, &limits()), Verdict::Cut(_)));
    }

    #[test]
    fn http2_frames_between_requests_are_no_headers() {
        let activity = after_a_request(true);
        activity.bytes_read(2 * SECOND);
        assert_eq!(activity.judge(75 * SECOND, &limits()), Verdict::Fine);
        assert_eq!(activity.judge(1 + 75 * SECOND, &limits()), Verdict::Finish);
    }

    #[test]
    fn a_client_that_takes_nothing_is_cut_and_a_quiet_stream_is_not() {
        let activity = Arc::new(Activity::new());
        let _request = activity.request_began(true);
        assert_eq!(activity.judge(290 * SECOND, &limits()), Verdict::Fine);
        activity.bytes_written(290 * SECOND, false);
        activity.bytes_written(300 * SECOND, true);
        activity.bytes_written(359 * SECOND, true);
        assert_eq!(activity.judge(359 * SECOND, &limits()), Verdict::Fine);
        assert!(matches!(activity.judge(360 * SECOND, &limits()), Verdict::Cut(_)));
        activity.bytes_written(360 * SECOND, false);
        assert_eq!(activity.judge(361 * SECOND, &limits()), Verdict::Fine);
        assert_eq!(activity.judge(660 * SECOND, &limits()), Verdict::Fine);
        assert!(
            matches!(activity.judge(661 * SECOND, &limits()), Verdict::Cut(_)),
            "not a byte for too long"
        );
    }
}
