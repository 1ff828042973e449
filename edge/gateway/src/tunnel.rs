//! A WebSocket after its upgrade: bytes both ways, and a proper end when its backend drains.
//!
//! Payloads are never looked at. Server to client the frame boundaries are followed, so that a
//! drain can put a close frame (1012 "draining") between two frames, even while a large message is
//! under way; then both sides are closed. Reads go through one buffer per thread; a tunnel keeps
//! bytes of its own only while its receiver is slower than its sender, and never more than one read.

use std::cell::RefCell;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::backend::TunnelPass;
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
pub struct Side {
    /// The socket.
    pub stream: TcpStream,
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

/// Moment of the last byte in either direction.
#[derive(Debug)]
struct Activity {
    base: Instant,
    last_ms: AtomicU64,
}

impl Activity {
    fn new() -> Self {
        Self {
            base: Instant::now(),
            last_ms: AtomicU64::new(0),
        }
    }

    fn touch(&self) {
        self.last_ms
            .store(self.base.elapsed().as_millis() as u64, Ordering::Relaxed);
    }

    /// Returns when nothing has happened for this long.
    async fn idle(&self, limit: Duration) {
        loop {
            let deadline = self.base + Duration::from_millis(self.last_ms.load(Ordering::Relaxed)) + limit;
            if Instant::now() >= deadline {
                return;
            }
            sleep_until(deadline).await;
        }
    }
}

/// Runs a tunnel to its end. The pass is given back as soon as the tunnel is closed; the client's
/// socket may then still wait shortly for the answer to a close frame.
pub async fn run(mut client: Side, mut server: Side, pass: TunnelPass, limits: &Limits) -> End {
    let activity = Activity::new();
    let end = {
        let (client_read, mut client_write) = client.stream.split();
        let (server_read, mut server_write) = server.stream.split();
        let up = pump_up(&client_read, &mut server_write, &client.early, &activity);
        let down = pump_down(
            &server_read,
            &mut client_write,
            &server.early,
            &activity,
            &pass.drain,
        );
        let idle = activity.idle(limits.stream_idle_timeout);
        let drained = async {
            pass.drain.cancelled().await;
            tokio::time::sleep(limits.drain_timeout).await;
        };
        tokio::pin!(up, down, idle, drained);
        let mut half_closed: Option<Instant> = None;
        let (mut up_open, mut down_open) = (true, true);
        loop {
            let half_close_limit =
                sleep_until(half_closed.unwrap_or_else(Instant::now) + limits.half_close_timeout);
            tokio::select! {
                ended = &mut down, if down_open => match ended {
                    Ok(Down::Drained) => break End::Drained,
                    Ok(Down::Finished) => down_open = false,
                    Err(_) => break End::Broken,
                },
                ended = &mut up, if up_open => match ended {
                    Ok(()) => up_open = false,
                    Err(_) => break End::Broken,
                },
                () = &mut idle => break End::Idle,
                // The backend has finished already: nothing is left to be told to the client.
                () = pass.drain.cancelled(), if !down_open => break End::Drained,
                () = &mut drained => break End::Cut,
                () = half_close_limit, if half_closed.is_some() => break End::HalfClosed,
            }
            if !up_open && !down_open {
                break End::Finished;
            }
            half_closed.get_or_insert_with(Instant::now);
        }
    };
    drop(server);
    drop(pass);
    if end == End::Drained {
        // Closing a socket with unread bytes resets the connection, and a reset may overtake the
        // close frame: what the client still sends is read and thrown away.
        let _ = timeout(CLOSING_MAX, discard(&mut client.stream)).await;
    }
    end
}

/// Client to server, until the client has finished.
async fn pump_up(
    from: &ReadHalf<'_>,
    to: &mut WriteHalf<'_>,
    early: &[u8],
    activity: &Activity,
) -> io::Result<()> {
    to.write_all(early).await?;
    loop {
        from.readable().await?;
        match transfer(from, to, |chunk| chunk.len()) {
            Transfer::Nothing => {}
            Transfer::End => return to.shutdown().await,
            Transfer::Some { unwritten } => {
                activity.touch();
                if !unwritten.is_empty() {
                    to.write_all(&unwritten).await?;
                    activity.touch();
                }
            }
            Transfer::Failed(error) => return Err(error),
        }
    }
}

enum Down {
    Finished,
    Drained,
}

/// Server to client, until the server has finished or the drain has reached a frame boundary.
async fn pump_down(
    from: &ReadHalf<'_>,
    to: &mut WriteHalf<'_>,
    early: &[u8],
    activity: &Activity,
    drain: &CancellationToken,
) -> io::Result<Down> {
    let mut tracker = FrameTracker::default();
    tracker.advance(early, false);
    to.write_all(early).await?;
    loop {
        let draining = drain.is_cancelled();
        if draining && tracker.at_boundary() {
            if !tracker.close_seen() {
                to.write_all(&close_frame()).await?;
            }
            to.shutdown().await?;
            return Ok(Down::Drained);
        }
        tokio::select! {
            biased;
            () = drain.cancelled(), if !draining => continue,
            readable = from.readable() => readable?,
        }
        match transfer(from, to, |chunk| tracker.advance(chunk, draining)) {
            Transfer::Nothing => {}
            Transfer::End => {
                to.shutdown().await?;
                return Ok(Down::Finished);
            }
            Transfer::Some { unwritten } => {
                activity.touch();
                if !unwritten.is_empty() {
                    to.write_all(&unwritten).await?;
                    activity.touch();
                }
            }
            Transfer::Failed(error) => return Err(error),
        }
    }
}

enum Transfer {
    /// Not ready after all.
    Nothing,
    /// The sender has finished.
    End,
    /// Bytes went over; these did not fit into the receiver's socket yet.
    Some {
        unwritten: Vec<u8>,
    },
    Failed(io::Error),
}

/// One read and one write through the thread's buffer, without waiting. `accept` says how many
/// bytes of the read are to be passed on; the rest is dropped.
fn transfer(from: &ReadHalf<'_>, to: &WriteHalf<'_>, accept: impl FnOnce(&[u8]) -> usize) -> Transfer {
    SCRATCH.with_borrow_mut(|buffer| {
        let read = match from.try_read(buffer) {
            Ok(0) => return Transfer::End,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Transfer::Nothing,
            Err(error) => return Transfer::Failed(error),
        };
        let accepted = accept(&buffer[..read]);
        let chunk = &buffer[..accepted];
        let written = match to.try_write(chunk) {
            Ok(written) => written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return Transfer::Failed(error),
        };
        Transfer::Some {
            unwritten: chunk[written..].to_vec(),
        }
    })
}

async fn discard(stream: &mut TcpStream) {
    let mut discarded = 0;
    while discarded < DISCARD_BYTES_MAX && stream.readable().await.is_ok() {
        let read = SCRATCH.with_borrow_mut(|buffer| stream.try_read(buffer));
        match read {
            Ok(0) => return,
            Ok(read) => discarded += read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}
