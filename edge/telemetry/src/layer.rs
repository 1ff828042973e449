//! A span for every request that passes through a tower service.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use http::{Request, Response};
use tower::{Layer, Service};
use tracing::Instrument as _;

use crate::span::{answered, request_span};

/// Puts what a service does for a request into a span of its own.
#[derive(Debug, Clone, Copy, Default)]
pub struct TraceLayer;

impl<S> Layer<S> for TraceLayer {
    type Service = TraceService<S>;

    fn layer(&self, inner: S) -> TraceService<S> {
        TraceService { inner }
    }
}

/// A service behind a [`TraceLayer`].
#[derive(Debug, Clone)]
pub struct TraceService<S> {
    inner: S,
}

impl<S, B, R> Service<Request<B>> for TraceService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    R: Send + 'static,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let span = request_span(request.method(), request.uri().path(), request.headers());
        if span.is_disabled() {
            return Box::pin(self.inner.call(request));
        }
        let work = span.in_scope(|| self.inner.call(request));
        let told = span.clone();
        let work = async move {
            let answer = work.await;
            if let Ok(response) = &answer {
                answered(&told, response.status());
            }
            answer
        };
        Box::pin(work.instrument(span))
    }
}
