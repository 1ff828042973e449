//! A backend's answer on its way to the client: passed as it came, or transcoded.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tminus_transcode::TranscodedBody;
use tokio::time::{Instant, Sleep, sleep_until};

use super::{BodyError, IdleTimer};
use crate::answers::{GRPC_STATUS, Refusal, blames_server, code};
use crate::exchange::Exchange;
use crate::upstream::Lease;

type Polled = Poll<Option<Result<Frame<Bytes>, BodyError>>>;

/// What a backend sends, within the limits of time.
#[derive(Debug)]
pub struct BackendBody {
    incoming: Option<Incoming>,
    lease: Option<Lease>,
    idle: IdleTimer,
    /// The client's own deadline, which a gRPC call keeps also while it streams.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl BackendBody {
    /// Wraps the backend's body. `lease` goes back to its pool when the body has ended well.
    pub fn new(incoming: Incoming, lease: Lease, idle: Duration, deadline: Option<Instant>) -> Self {
        let mut body = Self {
            incoming: Some(incoming),
            lease: Some(lease),
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
    }

    fn end_badly(&mut self, error: BodyError) -> Polled {
        self.incoming = None;
        self.lease = None;
        Poll::Ready(Some(Err(error)))
    }
}

impl Body for BackendBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        let this = &mut *self;
        let Some(incoming) = &mut this.incoming else {
            return Poll::Ready(None);
        };
        match Pin::new(&mut *incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                this.idle.progress();
                if frame.is_trailers() || incoming.is_end_stream() {
                    this.end_well();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => this.end_badly(error.into()),
            Poll::Ready(None) => {
                this.end_well();
                Poll::Ready(None)
            }
            Poll::Pending => {
                if let Some(deadline) = &mut this.deadline
                    && deadline.as_mut().poll(cx).is_ready()
                {
                    return this.end_badly(BodyError::Refused(Refusal::DeadlineSpent));
                }
                ready!(this.idle.poll_expired(cx));
                let limit = this.idle.limit;
                this.end_badly(BodyError::Idle(limit))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming
            .as_ref()
            .map_or(SizeHint::with_exact(0), Body::size_hint)
    }
}

/// A backend's answer, passed as it came.
#[derive(Debug)]
pub struct PassedAnswer {
    backend: BackendBody,
    exchange: Exchange,
}

impl PassedAnswer {
    /// The answer of this exchange.
    pub fn new(backend: BackendBody, exchange: Exchange) -> Self {
        let mut answer = Self { backend, exchange };
        answer.note_end();
        answer
    }

    /// A gRPC call that ended without a status is an error; of anything else the status is known.
    fn note_end(&mut self) {
        if self.backend.incoming.is_none() {
            self.exchange.grpc_ended(code::UNKNOWN);
        }
    }
}

impl Body for PassedAnswer {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        let this = &mut *self;
        let polled = ready!(Pin::new(&mut this.backend).poll_frame(cx));
        match &polled {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_ref() {
                    this.exchange
                        .grpc_ended(grpc_status(trailers).unwrap_or(code::UNKNOWN));
                }
            }
            // gRPC callers learn why in trailers, others see the connection break.
            Some(Err(error)) => {
                this.exchange.broke_off(error.grpc_code());
                if this.exchange.is_grpc() {
                    return Poll::Ready(Some(Ok(error.trailers())));
                }
            }
            None => {}
        }
        this.note_end();
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.backend.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.backend.size_hint()
    }
}

/// A backend's gRPC answer that is to be transcoded: if the gateway ends it, it says so in trailers.
#[derive(Debug)]
pub struct CalledBody(pub BackendBody);

impl Body for CalledBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        Poll::Ready(match ready!(Pin::new(&mut self.0).poll_frame(cx)) {
            Some(Err(error @ (BodyError::Idle(_) | BodyError::Refused(_)))) => Some(Ok(error.trailers())),
            other => other,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }
}

/// A backend's gRPC answer as HTTP/JSON.
#[derive(Debug)]
pub struct TranscodedAnswer {
    body: TranscodedBody<CalledBody>,
    exchange: Exchange,
    failed: bool,
}

impl TranscodedAnswer {
    /// The answer of this exchange, whose HTTP status was counted.
    pub fn new(body: TranscodedBody<CalledBody>, exchange: Exchange) -> Self {
        Self {
            body,
            exchange,
            failed: false,
        }
    }
}

impl Body for TranscodedAnswer {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        let this = &mut *self;
        let polled = ready!(Pin::new(&mut this.body).poll_frame(cx));
        // A stream's HTTP status is out when it fails, and it is cut short all the same.
        if !this.failed
            && let Some(failure) = this.body.failure()
        {
            this.failed = true;
            if blames_server(failure) {
                this.exchange.broke_off(failure);
            }
        }
        Poll::Ready(polled.map(|polled| polled.map_err(BodyError::Transcoded)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The gRPC status in trailers, or in the headers of a trailers-only answer.
pub fn grpc_status(headers: &HeaderMap) -> Option<u32> {
    headers.get(GRPC_STATUS)?.to_str().ok()?.parse().ok()
}
