//! The client's body on its way to the backend, and what it tells the task that waits for the answer.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::Instant;

use super::{BodyError, IdleTimer};
use crate::answers::Refusal;

const FINE: u8 = 0;
const TOO_LARGE: u8 = 1;
const STALLED: u8 = 2;
const CLIENT_BROKE: u8 = 3;

/// What the request's body tells the task that waits for the answer.
#[derive(Debug)]
pub struct Progress {
    started: Instant,
    /// Microseconds after `started` at which the client last gave something.
    last_us: AtomicU64,
    waits_for_client: AtomicBool,
    ended: AtomicBool,
    verdict: AtomicU8,
}

impl Progress {
    fn new(ended: bool) -> Self {
        Self {
            started: Instant::now(),
            last_us: AtomicU64::new(0),
            waits_for_client: AtomicBool::new(false),
            ended: AtomicBool::new(ended),
            verdict: AtomicU8::new(FINE),
        }
    }

    fn given(&self) {
        let elapsed = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.last_us.store(elapsed, Ordering::Relaxed);
        self.waits_for_client.store(false, Ordering::Relaxed);
    }

    /// Since when the backend, and not the client, keeps everybody waiting.
    pub fn backend_owes_since(&self) -> Option<Instant> {
        let waits = self.waits_for_client.load(Ordering::Relaxed) && !self.ended();
        (!waits).then(|| self.started + Duration::from_micros(self.last_us.load(Ordering::Relaxed)))
    }

    /// True when the whole body was read.
    pub fn ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// The gateway's reason for ending the body early, if it did.
    pub fn refusal(&self, limits: BodyLimits) -> Option<Refusal> {
        match self.verdict.load(Ordering::Relaxed) {
            TOO_LARGE => Some(Refusal::TooLarge {
                limit_bytes: limits.bytes,
            }),
            STALLED => Some(Refusal::ClientStalled {
                limit_ms: limits.idle.as_millis() as u64,
            }),
            CLIENT_BROKE => Some(Refusal::BrokenBody),
            _ => None,
        }
    }
}

/// Limits of a request's body.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// Bytes of the whole body; of one message for gRPC, whose streams may be endless.
    pub bytes: u64,
    /// How long the client may send nothing.
    pub idle: Duration,
}

#[derive(Debug)]
enum Counter {
    Whole { left: u64 },
    Messages(GrpcMessages),
}

/// Where a request's body comes from.
#[derive(Debug)]
enum Source {
    Client(Incoming),
    /// The one message that the gateway made of what the client sent.
    Message(Bytes),
}

/// The client's body on its way to the backend.
#[derive(Debug)]
pub struct RequestBody {
    source: Option<Source>,
    counter: Counter,
    limits: BodyLimits,
    idle: IdleTimer,
    progress: Arc<Progress>,
}

impl RequestBody {
    /// Wraps the client's body.
    pub fn new(incoming: Incoming, limits: BodyLimits, grpc: bool) -> Self {
        let empty = incoming.is_end_stream();
        let counter = if grpc {
            Counter::Messages(GrpcMessages::new(limits.bytes))
        } else {
            Counter::Whole { left: limits.bytes }
        };
        Self {
            source: (!empty).then_some(Source::Client(incoming)),
            counter,
            limits,
            idle: IdleTimer::new(limits.idle),
            progress: Arc::new(Progress::new(empty)),
        }
    }

    /// An empty body that shares the progress of this one; for a request that is sent again.
    pub fn empty_again(&self) -> Self {
        Self::instead(None, self.limits, Arc::clone(&self.progress))
    }

    /// A whole message in the place of a body that was read, and whose progress this is.
    pub fn message(message: Bytes, limits: BodyLimits, progress: Arc<Progress>) -> Self {
        Self::instead(Some(Source::Message(message)), limits, progress)
    }

    fn instead(source: Option<Source>, limits: BodyLimits, progress: Arc<Progress>) -> Self {
        Self {
            source,
            counter: Counter::Whole { left: 0 },
            limits,
            idle: IdleTimer::new(limits.idle),
            progress,
        }
    }

    /// A body that was read already.
    #[cfg(test)]
    pub(crate) fn of(message: &'static [u8]) -> Self {
        let limits = BodyLimits {
            bytes: 1,
            idle: Duration::from_secs(1),
        };
        let source = (!message.is_empty()).then(|| Source::Message(Bytes::from_static(message)));
        Self::instead(source, limits, Arc::new(Progress::new(true)))
    }

    /// How far the body is.
    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    fn end(&mut self) {
        self.source = None;
        self.progress.given();
        self.progress.ended.store(true, Ordering::Relaxed);
    }

    fn refuse(&mut self, verdict: u8) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.source = None;
        self.progress.verdict.store(verdict, Ordering::Relaxed);
        let refusal = self
            .progress
            .refusal(self.limits)
            .unwrap_or(Refusal::DeadlineSpent);
        Poll::Ready(Some(Err(BodyError::Refused(refusal))))
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let incoming = match &mut this.source {
            Some(Source::Client(incoming)) => incoming,
            Some(Source::Message(message)) => {
                let message = std::mem::take(message);
                this.source = None;
                return Poll::Ready(Some(Ok(Frame::data(message))));
            }
            None => return Poll::Ready(None),
        };
        match Pin::new(&mut *incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                let ended = incoming.is_end_stream() || frame.is_trailers();
                let fits = match (&mut this.counter, frame.data_ref()) {
                    (_, None) => true,
                    (Counter::Messages(messages), Some(data)) => messages.fits(data),
                    (Counter::Whole { left }, Some(data)) => {
                        let fits = data.len() as u64 <= *left;
                        *left = left.saturating_sub(data.len() as u64);
                        fits
                    }
                };
                if !fits {
                    return this.refuse(TOO_LARGE);
                }
                this.idle.progress();
                if ended {
                    this.end();
                } else {
                    this.progress.given();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                this.source = None;
                this.progress.verdict.store(CLIENT_BROKE, Ordering::Relaxed);
                Poll::Ready(Some(Err(error.into())))
            }
            Poll::Ready(None) => {
                this.end();
                Poll::Ready(None)
            }
            Poll::Pending => {
                this.progress.waits_for_client.store(true, Ordering::Relaxed);
                ready!(this.idle.poll_expired(cx));
                this.refuse(STALLED)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.source.is_none() && self.progress.ended()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Some(Source::Client(incoming)) => incoming.size_hint(),
            Some(Source::Message(message)) => SizeHint::with_exact(message.len() as u64),
            None => SizeHint::with_exact(0),
        }
    }
}

/// Follows the length prefixes of gRPC messages (1 byte flags, 4 bytes length), never their content.
#[derive(Debug)]
struct GrpcMessages {
    limit: u64,
    prefix: [u8; 5],
    have: usize,
    payload_left: u64,
}

impl GrpcMessages {
    fn new(limit: u64) -> Self {
        Self {
            limit,
            prefix: [0; 5],
            have: 0,
            payload_left: 0,
        }
    }

    /// False once a message announces more than the limit.
    fn fits(&mut self, mut data: &[u8]) -> bool {
        while !data.is_empty() {
            if self.payload_left > 0 {
                let here = usize::try_from(self.payload_left)
                    .unwrap_or(usize::MAX)
                    .min(data.len());
                self.payload_left -= here as u64;
                data = &data[here..];
                continue;
            }
            let here = (self.prefix.len() - self.have).min(data.len());
            self.prefix[self.have..self.have + here].copy_from_slice(&data[..here]);
            self.have += here;
            data = &data[here..];
            if self.have == self.prefix.len() {
                self.have = 0;
                let [_, length @ ..] = self.prefix;
                self.payload_left = u64::from(u32::from_be_bytes(length));
                if self.payload_left > self.limit {
                    return false;
                }
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_messages_are_measured_one_by_one_however_they_are_cut() {
        let message = |length: u32| {
            let mut bytes = vec![0];
            bytes.extend(length.to_be_bytes());
            bytes.extend(vec![9; length as usize]);
            bytes
        };
        let many: Vec<u8> = [10, 0, 7, 10].into_iter().flat_map(message).collect();
        for cut in 1..many.len() {
            let mut messages = GrpcMessages::new(10);
            assert!(many.chunks(cut).all(|chunk| messages.fits(chunk)), "cut {cut}");
            assert!(
                !message(11).chunks(cut).all(|chunk| messages.fits(chunk)),
                "cut {cut}"
            );
        }
    }
}
