//! The deadline of every request that passes through a tower service.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{HeaderMap, Request, Response};
use tokio::time::Instant;
use tower::{Layer, Service};

use crate::{
    budget::Deadline,
    headers::{self, GRPC_TIMEOUT, HeaderError, X_ENVOY_EXPECTED, X_REQUEST_TIMEOUT},
    hops::Left,
    keep::{Passed, note_hop, within},
};

/// Why a request is answered here and not by the service.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Missed {
    /// 504 and DEADLINE_EXCEEDED.
    #[error(transparent)]
    Passed(#[from] Passed),
    /// 400 and INVALID_ARGUMENT.
    #[error(transparent)]
    Header(#[from] HeaderError),
}

/// Reads each request's deadline, gives it to the service as an extension ([`Deadline`]) and as
/// [`current`](crate::current), drops the service's future when it passes, and answers instead. Tells what was
/// left to whoever asks ([`hops`](crate::hops)). A response's body is not bounded: it may be a stream without an end.
#[derive(Debug, Clone)]
pub struct DeadlineLayer<A> {
    hop: Arc<str>,
    route_max: Duration,
    answer: A,
}

impl<A> DeadlineLayer<A> {
    /// `hop` names this program in events; `answer` gets the request's headers without its timeouts, and
    /// answers in the protocol that they tell of.
    pub fn new(hop: &str, route_max: Duration, answer: A) -> Self {
        Self {
            hop: hop.into(),
            route_max,
            answer,
        }
    }
}

impl<S, A: Clone> Layer<S> for DeadlineLayer<A> {
    type Service = DeadlineService<S, A>;

    fn layer(&self, inner: S) -> Self::Service {
        DeadlineService {
            inner,
            layer: self.clone(),
        }
    }
}

/// A service behind a [`DeadlineLayer`].
#[derive(Debug, Clone)]
pub struct DeadlineService<S, A> {
    inner: S,
    layer: DeadlineLayer<A>,
}

impl<S, A, B, R> Service<Request<B>> for DeadlineService<S, A>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    A: Fn(&HeaderMap, Missed) -> Response<R> + Clone + Send + 'static,
    R: Send + 'static,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let arrival = Instant::now();
        let requested = match headers::requested(request.headers()) {
            Ok(requested) => requested,
            Err(wrong) => {
                let response = (self.layer.answer)(request.headers(), wrong.into());
                return Box::pin(std::future::ready(Ok(response)));
            }
        };
        let told = Left::if_asked(request.headers(), self.layer.route_max);
        let deadline = Deadline::of(arrival.into_std(), requested, self.layer.route_max);
        // Read once, here: what is further in must not add up another one.
        for name in [GRPC_TIMEOUT, X_REQUEST_TIMEOUT, X_ENVOY_EXPECTED] {
            request.headers_mut().remove(name);
        }
        request.extensions_mut().insert(deadline);
        note_hop(&self.layer.hop, deadline, arrival);
        // Kept for the answer: the service takes the request.
        let headers = request.headers().clone();
        let (hop, answer) = (self.layer.hop.clone(), self.layer.answer.clone());
        let work = self.inner.call(request);
        Box::pin(async move {
            let mut result = match within(deadline, work).await {
                Ok(result) => result,
                Err(passed) => {
                    tracing::debug!(target: "deadline", %hop, deadline.remaining_ms = 0_i64, "a deadline has passed");
                    Ok(answer(&headers, passed.into()))
                }
            };
            if let (Ok(response), Some(left)) = (&mut result, told) {
                left.tell(&hop, response.headers_mut());
            }
            result
        })
    }
}
