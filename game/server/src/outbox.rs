//! What waits to be written to one player, and its way out.
//!
//! A frame that finds nothing before it goes to the operating system at once, from the task that sends
//! it: no second task has to wake for an emote. What the system does not take waits for the task of the
//! connection, which alone may wait for a socket. Frames that are sent in one go leave in one write: the
//! sender holds the outbox meanwhile ([`Outbox::hold`]).

use std::{
    cell::RefCell,
    collections::VecDeque,
    io,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
};

use starvault_wire::{Codec, v1::ServerFrame};
use tokio::{io::AsyncWrite as _, net::tcp::OwnedWriteHalf, sync::Notify, time::Instant};

use crate::{
    link::{Link, SharedFrame, write_frame, write_ping},
    nodes::Edge,
    session::Close,
};

/// Frames that leave together go to the operating system together, up to this much (bytes).
const WRITE_BYTES: usize = 16 * 1024;
/// Of pongs and the like, so much may wait behind what the operating system has not taken (bytes).
const CONTROL_BYTES_MAX: usize = 2 * WRITE_BYTES;
/// An outbox that is held for longer than this many frames is written all the same.
const TOGETHER_MAX: usize = 32;
/// A buffer that has grown above this is given back (bytes).
const KEPT_BYTES: usize = 4 * 1024;

thread_local! {
    /// Frames are written out here and stay only if the operating system does not take them: a
    /// connection has no buffer of its own.
    static WRITTEN_OUT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// What can be sent to a player.
#[derive(Debug)]
pub enum Outgoing {
    Frame(Box<ServerFrame>),
    /// One frame for several sockets, written out at most once per codec.
    Shared(Arc<SharedFrame>),
    /// A WebSocket ping with this number; see [`crate::session::Session::ping`].
    Ping(u32),
    /// The last thing that is written. Only the connection's task writes it.
    Close(Close),
}

/// How far a write has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// Nothing waits.
    All,
    /// The operating system takes no more for now. `some`: of what waited before it took all.
    Blocked { some: bool },
    /// The connection is to be closed now.
    UntilClose(Close),
    /// The connection is lost.
    Broken,
}

/// Bounded: who lets too much gather is cut.
#[derive(Debug)]
pub struct Outbox {
    frames_max: usize,
    way: Mutex<Way>,
    cut: AtomicBool,
    ended: AtomicBool,
    end: Notify,
}

#[derive(Debug, Default)]
struct Way {
    queue: VecDeque<Outgoing>,
    /// Written out and not taken by the operating system yet.
    rest: Vec<u8>,
    /// The operating system took no more, and the connection's task waits until it does.
    blocked: bool,
    out: Option<Out>,
    /// Who sends more right now.
    holds: u32,
    /// The connection's task.
    waker: Option<Waker>,
}

#[derive(Debug)]
enum Out {
    Socket {
        half: OwnedWriteHalf,
        codec: Codec,
    },
    /// The player's socket is at another node, which takes everything at once.
    Node(Arc<Edge>),
}

impl Outbox {
    #[must_use]
    pub fn new(frames_max: usize) -> Self {
        Self {
            frames_max,
            way: Mutex::default(),
            cut: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            end: Notify::new(),
        }
    }

    fn way(&self) -> MutexGuard<'_, Way> {
        self.way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From here on there is a socket to write to.
    pub fn attach(&self, half: OwnedWriteHalf, codec: Codec) {
        self.way().out = Some(Out::Socket { half, codec });
    }

    /// From here on there is a node to send to.
    pub fn attach_edge(&self, edge: Arc<Edge>) {
        self.way().out = Some(Out::Node(edge));
    }

    /// Queues, and writes unless somebody holds the outbox or something waits already. False: there was
    /// no room, and the connection is cut now.
    pub fn put(&self, link: &Link, outgoing: Outgoing) -> bool {
        let mut way = self.way();
        if self.is_closed() {
            return true;
        }
        if way.queue.len() >= self.frames_max {
            self.cut.store(true, Ordering::Release);
            way.wake();
            return false;
        }
        way.queue.push_back(outgoing);
        let together = TOGETHER_MAX.min(self.frames_max / 2);
        if way.holds == 0 || way.queue.len() > together {
            way.write_now(link);
        }
        true
    }

    /// As [`Self::put`], unless half of the room is taken already; false then.
    pub fn put_if_room(&self, link: &Link, frame: &Arc<SharedFrame>) -> bool {
        let mut way = self.way();
        if self.is_closed() || !self.has_room(&way) {
            return false;
        }
        if way.holds > 0 || !way.write_at_once(frame) {
            way.queue.push_back(Outgoing::Shared(frame.clone()));
            if way.holds == 0 {
                way.write_now(link);
            }
        }
        true
    }

    /// Whether half of the room is left.
    #[must_use]
    pub fn is_roomy(&self) -> bool {
        self.has_room(&self.way())
    }

    fn has_room(&self, way: &Way) -> bool {
        self.frames_max.saturating_sub(way.queue.len()) > self.frames_max / 2
    }

    /// What is put from here on waits for [`Self::release`] or [`Self::poll_write`].
    pub fn hold(&self) {
        self.way().holds += 1;
    }

    /// Ends a hold. The last one writes.
    pub fn release(&self, link: &Link) {
        let mut way = self.way();
        way.holds -= 1;
        if way.holds == 0 {
            way.write_now(link);
        }
    }

    /// Ends the hold of the connection's task and writes; the task is woken when there is more to do.
    pub fn poll_release(&self, link: &Link, cx: &mut Context<'_>) -> Written {
        let mut way = self.way();
        way.holds -= 1;
        if !way
            .waker
            .as_ref()
            .is_some_and(|waker| waker.will_wake(cx.waker()))
        {
            way.waker = Some(cx.waker().clone());
        }
        if way.holds > 0 && way.rest.is_empty() {
            return Written::All;
        }
        way.write(link, |half, bytes| Pin::new(half).poll_write(cx, bytes))
    }

    /// Queues bytes that the protocol owes the peer, a pong or the answer to a close, before all frames
    /// that are not written out yet.
    pub fn put_control(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut way = self.way();
        if way.rest.len() > CONTROL_BYTES_MAX {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        way.rest.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    /// Ends the connection at once, whatever waits.
    pub fn cut(&self) {
        let way = self.way();
        self.cut.store(true, Ordering::Release);
        way.wake();
    }

    #[must_use]
    pub fn was_cut(&self) -> bool {
        self.cut.load(Ordering::Acquire)
    }

    /// Nothing is taken any more, and whoever waits for that knows.
    pub fn end(&self) {
        let mut way = self.way();
        self.ended.store(true, Ordering::Release);
        way.queue = VecDeque::new();
        drop(way);
        self.end.notify_waiters();
    }

    /// Gives the socket back.
    pub fn detach(&self) {
        let mut way = self.way();
        (way.out, way.waker, way.rest) = (None, None, Vec::new());
    }

    /// Ready once [`Self::end`] was called.
    pub async fn ended(&self) {
        while !self.ended.load(Ordering::Acquire) {
            let mut next = pin!(self.end.notified());
            // Counted from here on: an end between the question and the wait is not missed.
            next.as_mut().enable();
            if self.ended.load(Ordering::Acquire) {
                return;
            }
            next.await;
        }
    }

    /// Ended or cut.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.ended.load(Ordering::Acquire) || self.was_cut()
    }

    #[cfg(test)]
    pub fn take(&self) -> Option<Outgoing> {
        self.way().queue.pop_front()
    }
}

impl Way {
    fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }

    /// Writes a frame past the queue, if nothing is before it. False: nothing of it was written.
    fn write_at_once(&mut self, frame: &SharedFrame) -> bool {
        let Self { queue, rest, out, .. } = self;
        let Some(Out::Socket { half, codec }) = out else {
            return false;
        };
        if !queue.is_empty() || !rest.is_empty() {
            return false;
        }
        let bytes = frame.wire(*codec);
        match half.try_write(bytes) {
            Ok(taken) if taken < bytes.len() => {
                rest.extend_from_slice(&bytes[taken..]);
                self.blocked = true;
                self.wake();
                true
            }
            written => written.is_ok(),
        }
    }

    /// Writes what the operating system takes at once. The connection's task does what is left.
    fn write_now(&mut self, link: &Link) {
        if self.out.is_none() || self.blocked {
            return;
        }
        let written = self.write(link, |half, bytes| match half.try_write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            written => Poll::Ready(written),
        });
        if written != Written::All {
            self.wake();
        }
    }

    fn write(
        &mut self,
        link: &Link,
        write: impl FnMut(&mut OwnedWriteHalf, &[u8]) -> Poll<io::Result<usize>>,
    ) -> Written {
        let written = self.write_all(link, write);
        self.blocked = matches!(written, Written::Blocked { .. });
        written
    }

    fn write_all(
        &mut self,
        link: &Link,
        mut write: impl FnMut(&mut OwnedWriteHalf, &[u8]) -> Poll<io::Result<usize>>,
    ) -> Written {
        let Self { queue, rest, out, .. } = self;
        let (half, codec) = match out {
            Some(Out::Socket { half, codec }) => (half, codec),
            Some(Out::Node(edge)) => {
                for outgoing in queue.drain(..) {
                    edge.pass(outgoing, link);
                }
                return Written::All;
            }
            None => return Written::All,
        };
        let mut some = false;
        loop {
            while !rest.is_empty() {
                match write(half, rest) {
                    Poll::Ready(Ok(taken)) if taken > 0 => drop(rest.drain(..taken)),
                    Poll::Ready(_) => return Written::Broken,
                    Poll::Pending => return Written::Blocked { some },
                }
                some |= rest.is_empty();
            }
            if rest.capacity() > KEPT_BYTES {
                *rest = Vec::new();
            }
            match queue.front() {
                None => return Written::All,
                Some(Outgoing::Close(close)) => return Written::UntilClose(*close),
                Some(_) => {}
            }
            WRITTEN_OUT.with_borrow_mut(|bytes| {
                bytes.clear();
                while bytes.len() < WRITE_BYTES {
                    match queue.pop_front_if(|next| !matches!(next, Outgoing::Close(_))) {
                        Some(Outgoing::Frame(frame)) => write_frame(bytes, *codec, &frame),
                        Some(Outgoing::Shared(frame)) => bytes.extend_from_slice(frame.wire(*codec)),
                        Some(Outgoing::Ping(number)) => {
                            write_ping(bytes, link.on_ping(number, Instant::now()));
                        }
                        Some(Outgoing::Close(_)) | None => break,
                    }
                }
                let taken = match write(half, bytes) {
                    Poll::Ready(Ok(taken)) => taken,
                    // Told again by the next write.
                    Poll::Ready(Err(_)) | Poll::Pending => 0,
                };
                rest.extend_from_slice(&bytes[taken..]);
                some |= rest.is_empty();
                if bytes.capacity() > 4 * WRITE_BYTES {
                    *bytes = Vec::new();
                }
            });
        }
    }
}

#[cfg(test)]
mod tests;
