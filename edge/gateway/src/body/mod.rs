//! Bodies on their way through: limits, inactivity, and the moment at which they end.
//!
//! A body that passes is never collected; at most one frame is held. [`RequestBody`] tells the waiting request
//! whose turn it is ([`Progress`]), [`GatewayBody`] tells the metrics how the answer ended.

mod answer;
mod request;

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::answers::{Refusal, code, write_grpc_status};

pub use answer::{BackendBody, CalledBody, PassedAnswer, TranscodedAnswer, grpc_status};
pub use request::{BodyLimits, Progress, RequestBody};

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
    /// A transcoded stream of raw data failed, which has no place for an error.
    #[error("{0}")]
    Transcoded(Box<dyn std::error::Error + Send + Sync>),
}

impl BodyError {
    /// The gRPC status code that it is told by.
    pub fn grpc_code(&self) -> u32 {
        match self {
            Self::Broken(_) | Self::Transcoded(_) => code::UNAVAILABLE,
            Self::Refused(refusal) => refusal.grpc_code(),
            Self::Idle(_) => code::DEADLINE_EXCEEDED,
        }
    }

    /// The end of a gRPC answer that ends so.
    fn trailers(&self) -> Frame<Bytes> {
        let mut trailers = HeaderMap::new();
        write_grpc_status(&mut trailers, self.grpc_code(), &self.to_string());
        Frame::trailers(trailers)
    }
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

/// A body that the gateway sends to a client: its own, or a backend's.
#[derive(Debug)]
pub enum GatewayBody {
    /// At most one piece.
    Full(Option<Bytes>),
    /// A backend's answer.
    Passed(Box<PassedAnswer>),
    /// A backend's gRPC answer as HTTP/JSON.
    Transcoded(Box<TranscodedAnswer>),
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
            Self::Passed(answer) => Pin::new(&mut **answer).poll_frame(cx),
            Self::Transcoded(answer) => Pin::new(&mut **answer).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(content) => content.is_none(),
            Self::Passed(answer) => answer.is_end_stream(),
            Self::Transcoded(answer) => answer.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(content) => {
                SizeHint::with_exact(content.as_ref().map_or(0, |content| content.len() as u64))
            }
            Self::Passed(answer) => answer.size_hint(),
            Self::Transcoded(answer) => answer.size_hint(),
        }
    }
}
