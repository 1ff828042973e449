//! The spans, with the names of OpenTelemetry's semantic conventions.

use http::{HeaderMap, Method, StatusCode};
use tracing::{Span, field::Empty};

use crate::propagation::follow;

/// Target of every span. Level debug: a log at its usual level is not longer for them.
pub const SPANS: &str = "trace";

/// A request that came in. Its query is left out: it may carry a credential.
#[must_use]
pub fn request_span(method: &Method, path: &str, headers: &HeaderMap) -> Span {
    let span = tracing::debug_span!(
        target: SPANS,
        "request",
        otel.kind = "server",
        otel.name = %method,
        otel.status_code = Empty,
        http.request.method = %method,
        http.response.status_code = Empty,
        rpc.system = Empty,
        url.path = path,
    );
    if span.is_disabled() {
        return span;
    }
    let content_type = headers.get(http::header::CONTENT_TYPE);
    if content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc")) {
        // The full name of a method of gRPC is one of few, unlike a path of HTTP.
        span.record("otel.name", path.trim_start_matches('/'));
        span.record("rpc.system", "grpc");
    }
    follow(&span, headers);
    span
}

/// Records an answer. As the conventions have it, a server's fault is an error and a client's is not.
pub fn answered(span: &Span, status: StatusCode) {
    if span.is_disabled() {
        return;
    }
    span.record("http.response.status_code", i64::from(status.as_u16()));
    if status.is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
}
