//! Bodies on their way through: limits, inactivity, and the moment at which they end.
//!
//! A body is never collected; at most one frame is held. [`RequestBody`] tells the waiting request
//! whose turn it is ([`Progress`]), [`GatewayBody`] tells the metrics how the answer ended.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::answers::{GRPC_STATUS, Refusal, code, write_grpc_status};
use crate::exchange::Exchange;
use crate::upstream::Lease;

/// Why a body ends before its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The peer or its connection failed.
    #[error("the body broke off: {0}")]
    Broken(#[from] hyper::Error),
    /// A limit of the gateway was reached.
    #[error("{0}")]
    Refused(Refusal),
    /// The backend stopped sending.
    #[error("the answer made no progress for {0:?}")]
    Idle(Duration),
}

/// Fires when nothing has happened for a while; costs nothing until something is waited for.
#[derive(Debug)]
struct IdleTimer {
    limit: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
    armed: bool,
}

impl IdleTimer {
    fn new(limit: Duration) -> Self {
        Self {
            limit,
            sleep: None,
            armed: false,
        }
    }

    fn progress(&mut self) {
        self.armed = false;
    }

    fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.armed {
            self.armed = true;
            let deadline = Instant::now() + self.limit;
            match &mut self.sleep {
                Some(sleep) => sleep.as_mut().reset(deadline),
                none => *none = Some(Box::pin(sleep_until(deadline))),
            }
        }
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}

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

    /// True when the client's connection failed under the body.
    pub fn client_broke(&self) -> bool {
        self.verdict.load(Ordering::Relaxed) == CLIENT_BROKE
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

/// The client's body on its way to the backend.
#[derive(Debug)]
pub struct RequestBody {
    incoming: Option<Incoming>,
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
            incoming: (!empty).then_some(incoming),
            counter,
            limits,
            idle: IdleTimer::new(limits.idle),
            progress: Arc::new(Progress::new(empty)),
        }
    }

    /// An empty body that shares the progress of this one; for a request that is sent again.
    pub fn empty_again(&self) -> Self {
        Self {
            incoming: None,
            counter: Counter::Whole { left: 0 },
            limits: self.limits,
            idle: IdleTimer::new(self.limits.idle),
            progress: Arc::clone(&self.progress),
        }
    }

    /// How far the body is.
    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    fn end(&mut self) {
        self.incoming = None;
        self.progress.given();
        self.progress.ended.store(true, Ordering::Relaxed);
    }

    fn refuse(&mut self, verdict: u8) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.incoming = None;
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
        let Some(incoming) = &mut this.incoming else {
            return Poll::Ready(None);
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
                this.incoming = None;
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
        self.incoming.is_none() && self.progress.ended()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming
            .as_ref()
            .map_or(SizeHint::with_exact(0), Body::size_hint)
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

/// A body that the gateway sends to a client: its own, or a backend's.
#[derive(Debug)]
pub enum GatewayBody {
    /// At most one piece.
    Full(Option<Bytes>),
    /// A backend's answer.
    Stream(Box<AnswerBody>),
}

impl GatewayBody {
    /// No content.
    pub fn empty() -> Self {
        Self::Full(None)
    }

    /// The whole content.
    pub fn full(content: Bytes) -> Self {
        Self::Full(Some(content).filter(|content| !content.is_empty()))
    }
}

impl Body for GatewayBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Full(content) => Poll::Ready(content.take().map(|content| Ok(Frame::data(content)))),
            Self::Stream(answer) => answer.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(content) => content.is_none(),
            Self::Stream(answer) => answer.incoming.as_ref().is_none_or(Body::is_end_stream),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(content) => {
                SizeHint::with_exact(content.as_ref().map_or(0, |content| content.len() as u64))
            }
            Self::Stream(answer) => answer
                .incoming
                .as_ref()
                .map_or(SizeHint::with_exact(0), Body::size_hint),
        }
    }
}

/// A backend's answer on its way to the client.
#[derive(Debug)]
pub struct AnswerBody {
    incoming: Option<Incoming>,
    lease: Option<Lease>,
    exchange: Exchange,
    idle: IdleTimer,
    /// The client's own deadline, which a gRPC call keeps also while it streams.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl AnswerBody {
    /// Wraps the backend's body. `lease` goes back to its pool when the body has ended well.
    pub fn new(
        incoming: Incoming,
        lease: Lease,
        exchange: Exchange,
        idle: Duration,
        deadline: Option<Instant>,
    ) -> Self {
        let mut body = Self {
            incoming: Some(incoming),
            lease: Some(lease),
            exchange,
            idle: IdleTimer::new(idle),
            deadline: deadline.map(|deadline| Box::pin(sleep_until(deadline))),
        };
        if body.incoming.as_ref().is_some_and(Body::is_end_stream) {
            body.end_well();
        }
        body
    }

    fn end_well(&mut self) {
        self.incoming = None;
        if let Some(lease) = self.lease.take() {
            lease.give_back();
        }
        // A gRPC call that ended without a status is an error; of anything else the status is known.
        self.exchange.grpc_ended(code::UNKNOWN);
    }

    /// Ends the body early: gRPC callers learn why in trailers, others see the connection break.
    fn end_badly(
        &mut self,
        grpc_code: u32,
        error: BodyError,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.incoming = None;
        self.lease = None;
        self.exchange.broke_off(grpc_code);
        if self.exchange.is_grpc() {
            let mut trailers = HeaderMap::new();
            write_grpc_status(&mut trailers, grpc_code, &error.to_string());
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        Poll::Ready(Some(Err(error)))
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(incoming) = &mut self.incoming else {
            return Poll::Ready(None);
        };
        match Pin::new(&mut *incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.idle.progress();
                if let Some(trailers) = frame.trailers_ref() {
                    self.exchange
                        .grpc_ended(grpc_status(trailers).unwrap_or(code::UNKNOWN));
                }
                if frame.is_trailers() || incoming.is_end_stream() {
                    self.end_well();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => self.end_badly(code::UNAVAILABLE, error.into()),
            Poll::Ready(None) => {
                self.end_well();
                Poll::Ready(None)
            }
            Poll::Pending => {
                if let Some(deadline) = &mut self.deadline
                    && deadline.as_mut().poll(cx).is_ready()
                {
                    return self.end_badly(
                        code::DEADLINE_EXCEEDED,
                        BodyError::Refused(Refusal::DeadlineSpent),
                    );
                }
                ready!(self.idle.poll_expired(cx));
                let limit = self.idle.limit;
                self.end_badly(code::DEADLINE_EXCEEDED, BodyError::Idle(limit))
            }
        }
    }
}

/// The gRPC status in trailers, or in the headers of a trailers-only answer.
pub fn grpc_status(headers: &HeaderMap) -> Option<u32> {
    headers.get(GRPC_STATUS)?.to_str().ok()?.parse().ok()
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
