//! An open WebSocket: the one task of a connection waits here for whatever comes first, a message, room
//! to write, a time limit or the end. Frames are read by `tungstenite`; what is sent goes through the
//! session's [`Outbox`](crate::outbox::Outbox), from this task or from any other.

use std::{
    future::poll_fn,
    io::{self, Read, Write},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::body::Bytes;
use starvault_wire::Codec;
use tokio::{
    io::{AsyncRead as _, ReadBuf},
    net::{TcpStream, tcp::OwnedReadHalf},
    time::{Instant, Sleep},
};
use tokio_util::sync::WaitForCancellationFutureOwned;
use tungstenite::{
    Error, Message,
    error::ProtocolError,
    protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext},
};

use crate::{
    app::App,
    outbox::Written,
    session::{Close, Outlet, SessionHandle},
};

/// Read at a time; a connection costs little more than this (bytes). Most commands have a hundred.
const READ_BUFFER_BYTES: usize = 1024;
/// Answers to pings and to a close that the outbox does not take (bytes). The library insists on a buffer.
const CONTROL_BUFFER_BYTES_MAX: usize = 1024;
/// A closing socket waits this long for the peer to close as well.
const LINGER: Duration = Duration::from_millis(500);

/// What a connection waits for.
#[derive(Debug)]
pub enum Step {
    Message(Message),
    End(End),
}

/// Why a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The peer is told.
    Tell(Close),
    /// A game has asked for it and the peer is told.
    Asked,
    /// There is nobody to tell any more.
    Lost,
}

/// One open WebSocket, for the task that owns it.
#[derive(Debug)]
pub struct Socket {
    app: Arc<App>,
    session: SessionHandle,
    outlet: Outlet,
    reader: OwnedReadHalf,
    frames: WebSocketContext,
    /// Registered once. Whether it is time is asked of `sessions`, which costs no lock.
    draining: Pin<Box<WaitForCancellationFutureOwned>>,
    /// For the earliest of the three time limits. It is moved on when it is due, and not by each message.
    timer: Pin<Box<Sleep>>,
    ping_at: Instant,
    heard_at: Instant,
    /// Until the operating system must have taken what waits for it.
    write_until: Option<Instant>,
    /// Nothing that comes can be read as frames any more.
    broken: bool,
    /// This task runs: what is sent waits until it has nothing more to read.
    attends: bool,
    /// Since when it runs.
    now: Instant,
}

impl Socket {
    /// Takes over a connection after its handshake. `ahead`: what was read beyond that.
    pub async fn new(
        app: Arc<App>,
        stream: TcpStream,
        ahead: Bytes,
        codec: Codec,
        (session, outlet): (SessionHandle, Outlet),
    ) -> Self {
        let limits = &app.config.limits;
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(0)
            .max_write_buffer_size(CONTROL_BUFFER_BYTES_MAX)
            .max_message_size(Some(limits.message_bytes_max))
            .max_frame_size(Some(limits.message_bytes_max));
        let (reader, writer) = stream.into_split();
        session.outbox().attach(writer, codec);
        let now = Instant::now();
        let ping_at = now + limits.ping_every;
        let first = ping_at.min(now + limits.idle_timeout);
        let mut socket = Self {
            frames: WebSocketContext::from_partially_read(ahead.to_vec(), Role::Server, Some(config)),
            draining: Box::pin(app.draining.clone().cancelled_owned()),
            timer: Box::pin(tokio::time::sleep_until(first)),
            ping_at,
            heard_at: now,
            write_until: None,
            broken: false,
            attends: false,
            now,
            app,
            session,
            outlet,
            reader,
        };
        // This task is woken by both from here on.
        poll_fn(|cx| {
            let _ = (socket.draining.as_mut().poll(cx), socket.timer.as_mut().poll(cx));
            Poll::Ready(())
        })
        .await;
        socket
    }

    /// When the message that was read last had arrived.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    /// The next message, or the end. Everything that was sent meanwhile is written before this waits.
    pub async fn next(&mut self) -> Step {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Waits for a command to be carried out, and writes meanwhile what it and others send.
    pub async fn during(&mut self, command: impl Future<Output = ()>) -> Option<End> {
        let mut command = pin!(command);
        let mut end = None;
        poll_fn(|cx| {
            self.attend();
            if command.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            // What has begun is carried out, as long as that takes.
            end = end.or_else(|| self.poll_others(cx));
            Poll::Pending
        })
        .await;
        end
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        self.attend();
        if self.app.sessions.is_closed() {
            return Poll::Ready(Step::End(End::Tell(Close::GOING_DOWN)));
        }
        if self.session.outbox().was_cut() {
            return Poll::Ready(Step::End(End::Lost));
        }
        match self.poll_read(cx) {
            Poll::Ready(Ok(message)) => {
                self.heard_at = self.now;
                return Poll::Ready(Step::Message(message));
            }
            Poll::Ready(Err(error)) => return Poll::Ready(Step::End(end_for(&error))),
            Poll::Pending => {}
        }
        match self.poll_others(cx) {
            Some(end) => Poll::Ready(Step::End(end)),
            None => Poll::Pending,
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<Message, Error>> {
        let mut io = Io {
            reader: &mut self.reader,
            session: &self.session,
            cx,
        };
        match self.frames.read(&mut io) {
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            read => {
                self.broken = read.is_err();
                Poll::Ready(read)
            }
        }
    }

    /// From here on what is sent waits for [`Self::poll_others`].
    fn attend(&mut self) {
        if !self.attends {
            self.attends = true;
            self.now = Instant::now();
            self.session.outbox().hold();
        }
    }

    /// All but reading: time limits, then what is to be written.
    fn poll_others(&mut self, cx: &mut Context<'_>) -> Option<End> {
        if self.now >= self.timer.deadline() || self.timer.is_elapsed() {
            if self.write_until.is_some_and(|until| until <= self.now) {
                self.session.cut();
                return Some(End::Lost);
            }
            if self.heard_at + self.app.config.limits.idle_timeout <= self.now {
                return Some(End::Tell(Close::SILENT));
            }
            if self.ping_at <= self.now {
                self.session.ping();
                self.ping_at = self.now + self.app.config.limits.ping_every;
            }
            self.wait(cx);
        }
        match self.poll_write(cx) {
            Written::All => self.write_until = None,
            Written::Blocked { some } => {
                if some || self.write_until.is_none() {
                    self.write_until = Some(self.now + self.app.config.limits.write_timeout);
                }
                self.wait(cx);
            }
            Written::UntilClose(_) => return Some(End::Asked),
            Written::Broken => return Some(End::Lost),
        }
        // It may have come since the last look, from another thread that found nobody to wake yet.
        self.session.outbox().was_cut().then_some(End::Lost)
    }

    /// Sees to it that this task is woken for the earliest time limit.
    fn wait(&mut self, cx: &mut Context<'_>) {
        let silent_at = self.heard_at + self.app.config.limits.idle_timeout;
        let times = [Some(self.ping_at), Some(silent_at), self.write_until];
        if let Some(first) = times.into_iter().flatten().min()
            && first != self.timer.deadline()
        {
            self.timer.as_mut().reset(first);
        }
        // One that has passed meanwhile is looked at in the next turn.
        if self.timer.as_mut().poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
    }

    /// Tells the peer why, and lets the closing handshake end, so that the peer can read it.
    pub async fn close(mut self, end: End) {
        match end {
            End::Tell(close) => self.session.close(close),
            End::Asked => {}
            End::Lost => self.session.cut(),
        }
        let write_timeout = self.app.config.limits.write_timeout;
        if !self.session.outbox().was_cut() {
            let last = poll_fn(|cx| self.poll_last(cx));
            if tokio::time::timeout(write_timeout, last).await.is_err() {
                self.session.cut();
            }
        }
        // Games know before the handshake is over.
        self.session.outbox().end();
        let handshake = poll_fn(|cx| self.poll_handshake(cx));
        let _ = tokio::time::timeout(LINGER, handshake).await;
        drop(self.outlet);
    }

    /// Writes what is left, up to the frame that closes the connection.
    fn poll_last(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match self.poll_write(cx) {
                Written::UntilClose(close) => {
                    let frame = CloseFrame {
                        code: close.code.into(),
                        reason: close.reason.into(),
                    };
                    let mut io = Io {
                        reader: &mut self.reader,
                        session: &self.session,
                        cx: &mut *cx,
                    };
                    if self.frames.close(&mut io, Some(frame)).is_err() {
                        return Poll::Ready(());
                    }
                    // Nothing comes after it.
                    self.session.outbox().end();
                }
                Written::Blocked { .. } if !self.session.outbox().was_cut() => return Poll::Pending,
                Written::All | Written::Blocked { .. } | Written::Broken => return Poll::Ready(()),
            }
        }
    }

    /// Reads on until the peer has closed as well. To close before would reset a connection over which
    /// the peer still sends, and the peer could not read why.
    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while !self.broken {
            match self.poll_read(cx) {
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(Error::ConnectionClosed | Error::AlreadyClosed)) => {
                    // The answer to the peer's close.
                    let _ = self.poll_write(cx);
                    return Poll::Ready(());
                }
                Poll::Ready(Err(_)) => break,
                Poll::Pending => {
                    let _ = self.poll_write(cx);
                    return Poll::Pending;
                }
            }
        }
        // The peer hears the end at once, and what it still sends is not held against it.
        self.session.outbox().detach();
        let mut thrown_away = [0; 1024];
        loop {
            let mut buffer = ReadBuf::new(&mut thrown_away);
            match Pin::new(&mut self.reader).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {}
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Written {
        self.attend();
        self.attends = false;
        self.session.outbox().poll_release(self.session.link(), cx)
    }
}

fn end_for(error: &Error) -> End {
    match error {
        Error::Capacity(_) => End::Tell(Close::TOO_LARGE),
        Error::Utf8(_) => End::Tell(Close::NOT_UTF8),
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => End::Lost,
        Error::Protocol(_) => End::Tell(Close::PROTOCOL),
        _ => End::Lost,
    }
}

/// The socket as the library sees it for the time of one call: it reads from the operating system, and
/// what it writes of itself joins the outbox.
struct Io<'a, 'c> {
    reader: &'a mut OwnedReadHalf,
    session: &'a SessionHandle,
    cx: &'a mut Context<'c>,
}

impl Read for Io<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut buffer = ReadBuf::new(buffer);
        match Pin::new(&mut *self.reader).poll_read(self.cx, &mut buffer) {
            Poll::Ready(read) => read.map(|()| buffer.filled().len()),
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl Write for Io<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.session.outbox().put_control(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
