//! A WebSocket after its upgrade: bytes both ways, and a proper end when its backend drains.
//!
//! Payloads are never looked at. Server to client the frame boundaries are followed, so that a
//! drain can put a close frame (1012 "draining") between two frames, even while a large message is
//! under way; then both sides are closed. Reads go through one buffer per thread; a tunnel keeps
//! bytes of its own only while its receiver is slower than its sender, and never more than one read.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};

use crate::backend::TunnelPass;
use crate::client_stream::ClientStream;
use crate::config::Limits;
use crate::frames::{FrameTracker, close_frame};

const READ_BYTES: usize = 16 * 1024;
/// How long a client may take to answer the close frame before its socket is closed anyway.
const CLOSING_MAX: Duration = Duration::from_secs(2);
const DISCARD_BYTES_MAX: usize = 4 * 1024 * 1024;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into_boxed_slice());
}

/// One side of a tunnel: its socket, and what was read from it during the upgrade.
#[derive(Debug)]
pub struct Side<S> {
    /// The socket.
    pub stream: S,
    /// Bytes that came right behind the upgrade.
    pub early: Bytes,
}

/// How a tunnel ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Both sides finished.
    Finished,
    /// A side's connection failed.
    Broken,
    /// Nothing went either way for too long.
    Idle,
    /// One side finished and the other did not.
    HalfClosed,
    /// The backend drains; the client was told so.
    Drained,
    /// The backend drains; the client could not be told in time.
    Cut,
}

/// Runs a tunnel to its end. The pass is given back as soon as the tunnel is closed; the client's
/// socket may then still wait shortly for the answer to a close frame.
pub async fn run(
    client: Side<ClientStream>,
    server: Side<TcpStream>,
    pass: TunnelPass,
    limits: &Limits,
) -> End {
    let mut tunnel = Tunnel::new(client, server, limits);
    let end = {
        let mut drain = pin!(pass.drain.cancelled());
        let mut alarm = pin!(sleep_until(tunnel.due()));
        let bell = Arc::new(Bell::default());
        let ringing = Waker::from(Arc::clone(&bell));
        poll_fn(|cx| {
            let rung = bell.has_rung(cx.waker());
            let mut rings = Context::from_waker(&ringing);
            if rung && !tunnel.drains() && drain.as_mut().poll(&mut rings).is_ready() {
                tunnel.drain(Instant::now());
            }
            if let Some(end) = tunnel.poll_bytes(cx) {
                return Poll::Ready(end);
            }
            let due = tunnel.due();
            if due < alarm.deadline() {
                alarm.as_mut().reset(due);
            } else if !rung {
                return Poll::Pending;
            }
            while alarm.as_mut().poll(&mut rings).is_ready() {
                if let Some(end) = tunnel.expired(Instant::now()) {
                    return Poll::Ready(end);
                }
                alarm.as_mut().reset(tunnel.due());
            }
            Poll::Pending
        })
        .await
    };
    let Tunnel {
        mut client, server, ..
    } = tunnel;
    drop(server);
    drop(pass);
    if end == End::Drained {
        // Closing a socket with unread bytes resets the connection, and a reset may overtake the
        // close frame: what the client still sends is read and thrown away.
        let _ = timeout(CLOSING_MAX, discard(&mut client)).await;
    }
    end
}

/// Wakes a tunnel for what comes seldom, the drain and the alarm, so that they are asked only then and not for each
/// message.
#[derive(Debug)]
struct Bell {
    rung: AtomicBool,
    tunnel: AtomicWaker,
}

impl Default for Bell {
    fn default() -> Self {
        Self {
            // Whoever has never been asked has to be.
            rung: AtomicBool::new(true),
            tunnel: AtomicWaker::new(),
        }
    }
}

impl Bell {
    /// Whether it has rung since the last time; when it rings next it wakes `tunnel`.
    fn has_rung(&self, tunnel: &Waker) -> bool {
        self.tunnel.register(tunnel);
        self.rung.swap(false, Ordering::AcqRel)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, Ordering::Release);
        self.tunnel.wake();
    }
}

/// A tunnel that runs.
#[derive(Debug)]
struct Tunnel<'a> {
    client: ClientStream,
    server: TcpStream,
    up: Flow,
    down: Flow,
    tracker: FrameTracker,
    limits: &'a Limits,
    /// Of the last byte in either direction.
    last_byte: Instant,
    /// When one side has finished, until when the other may go on.
    half_closed_until: Option<Instant>,
    /// When the backend drains, until when the tunnel has to be at a boundary.
    drained_until: Option<Instant>,
}

impl<'a> Tunnel<'a> {
    fn new(client: Side<ClientStream>, server: Side<TcpStream>, limits: &'a Limits) -> Self {
        let mut tracker = FrameTracker::default();
        tracker.advance(&server.early, false);
        Self {
            up: Flow::beginning_with(&client.early),
            down: Flow::beginning_with(&server.early),
            client: client.stream,
            server: server.stream,
            tracker,
            limits,
            last_byte: Instant::now(),
            half_closed_until: None,
            drained_until: None,
        }
    }

    fn drains(&self) -> bool {
        self.drained_until.is_some()
    }

    fn drain(&mut self, now: Instant) {
        self.drained_until = Some(now + self.limits.drain_timeout);
    }

    fn idle_until(&self) -> Instant {
        self.last_byte + self.limits.stream_idle_timeout
    }

    /// When the tunnel ends next if nothing happens.
    fn due(&self) -> Instant {
        [self.half_closed_until, self.drained_until]
            .into_iter()
            .flatten()
            .fold(self.idle_until(), Instant::min)
    }

    fn expired(&self, now: Instant) -> Option<End> {
        let over = |until: Option<Instant>| until.is_some_and(|until| until <= now);
        if over(self.drained_until) {
            Some(End::Cut)
        } else if over(self.half_closed_until) {
            Some(End::HalfClosed)
        } else {
            over(Some(self.idle_until())).then_some(End::Idle)
        }
    }

    /// Carries what there is to carry, both ways.
    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Option<End> {
        match self.poll_down(cx) {
            Poll::Ready(Ok(Down::Drained)) => return Some(End::Drained),
            Poll::Ready(Err(_)) => return Some(End::Broken),
            Poll::Ready(Ok(Down::Finished)) | Poll::Pending => {}
        }
        if let Poll::Ready(Err(_)) = self.poll_up(cx) {
            return Some(End::Broken);
        }
        match (self.up.finished, self.down.finished) {
            (true, true) => return Some(End::Finished),
            (false, false) => return None,
            // The backend has finished already: nothing is left to be told to the client.
            (false, true) if self.drains() => return Some(End::Drained),
            _ => {}
        }
        if self.half_closed_until.is_none() {
            self.half_closed_until = Some(Instant::now() + self.limits.half_close_timeout);
        }
        None
    }

    /// Client to server, until the client has finished.
    fn poll_up(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.up.finished {
            let last_byte = &mut self.last_byte;
            ready!(
                self.up
                    .poll_pass(cx, &mut self.client, &mut self.server, last_byte, |chunk| chunk
                        .len())
            )?;
        }
        Poll::Ready(Ok(()))
    }

    /// Server to client, until the server has finished or the drain has reached a frame boundary.
    fn poll_down(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Down>> {
        let draining = self.drains();
        while !self.down.finished {
            let (tracker, last_byte) = (&mut self.tracker, &mut self.last_byte);
            if draining && tracker.at_boundary() {
                // What is read before a boundary is written first.
                ready!(self.down.poll_rest(cx, &mut self.client, last_byte))?;
                if !tracker.close_seen() {
                    tracker.advance(&close_frame(), false);
                    self.down.unwritten.extend(close_frame());
                    continue;
                }
                ready!(Pin::new(&mut self.client).poll_shutdown(cx))?;
                return Poll::Ready(Ok(Down::Drained));
            }
            ready!(
                self.down
                    .poll_pass(cx, &mut self.server, &mut self.client, last_byte, |chunk| tracker
                        .advance(chunk, draining))
            )?;
        }
        Poll::Ready(Ok(Down::Finished))
    }
}

#[derive(Debug)]
enum Down {
    Finished,
    Drained,
}

/// One direction.
#[derive(Debug)]
struct Flow {
    /// What was read and did not fit into the receiver's socket yet: less than one read.
    unwritten: Vec<u8>,
    written: usize,
    /// What was written may not have left yet.
    unflushed: bool,
    /// The sender has finished, and the receiver was told.
    finished: bool,
}

impl Flow {
    fn beginning_with(early: &[u8]) -> Self {
        Self {
            unwritten: early.to_vec(),
            written: 0,
            unflushed: false,
            finished: false,
        }
    }

    /// Writes what is left of the last read.
    fn poll_rest(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut (impl AsyncWrite + Unpin),
        last_byte: &mut Instant,
    ) -> Poll<io::Result<()>> {
        if self.unwritten.is_empty() && !self.unflushed {
            return Poll::Ready(Ok(()));
        }
        while self.written < self.unwritten.len() {
            let written = ready!(Pin::new(&mut *to).poll_write(cx, &self.unwritten[self.written..]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += written;
        }
        self.unflushed = true;
        ready!(Pin::new(to).poll_flush(cx))?;
        self.unflushed = false;
        *last_byte = Instant::now();
        // Its memory is given back: most tunnels need none.
        self.unwritten = Vec::new();
        self.written = 0;
        Poll::Ready(Ok(()))
    }

    /// One read and one write through the thread's buffer. `accept` says how many bytes of the read are to be passed on;
    /// the rest is dropped.
    ///
    /// A read that does not fill the buffer tells the runtime that the socket is empty, so that it is not asked
    /// once more for the sake of that answer.
    fn poll_pass(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
        last_byte: &mut Instant,
        accept: impl FnOnce(&[u8]) -> usize,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_rest(cx, to, last_byte))?;
        SCRATCH.with_borrow_mut(|buffer| {
            let mut buffer = ReadBuf::new(buffer);
            ready!(Pin::new(from).poll_read(cx, &mut buffer))?;
            let read = buffer.filled();
            if read.is_empty() {
                ready!(Pin::new(to).poll_shutdown(cx))?;
                self.finished = true;
                return Poll::Ready(Ok(()));
            }
            *last_byte = Instant::now();
            let chunk = &read[..accept(read)];
            if chunk.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let written = match Pin::new(&mut *to).poll_write(cx, chunk) {
                Poll::Ready(written) => written?,
                Poll::Pending => 0,
            };
            // TLS keeps what its socket does not take; TCP keeps nothing, and this costs nothing.
            match Pin::new(to).poll_flush(cx) {
                Poll::Ready(flushed) => flushed?,
                Poll::Pending => self.unflushed = true,
            }
            self.unwritten.extend_from_slice(&chunk[written..]);
            Poll::Ready(Ok(()))
        })
    }
}

async fn discard(stream: &mut ClientStream) {
    let mut discarded = 0;
    while discarded < DISCARD_BYTES_MAX {
        let read = poll_fn(|cx| {
            SCRATCH.with_borrow_mut(|buffer| {
                let mut buffer = ReadBuf::new(buffer);
                ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer))?;
                Poll::Ready(io::Result::Ok(buffer.filled().len()))
            })
        });
        match read.await {
            Ok(read) if read > 0 => discarded += read,
            _ => return,
        }
    }
}
