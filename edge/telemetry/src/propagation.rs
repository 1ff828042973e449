//! `traceparent` and `tracestate`, in and out.

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator as _};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// Names the trace and the span that a request comes from.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

struct Headers<'h>(&'h HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        // Two of them name two callers: neither is believed.
        let mut values = self.0.get_all(key).iter();
        let (first, second) = (values.next(), values.next());
        first
            .filter(|_| second.is_none())
            .and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

struct HeadersMut<'h>(&'h mut HeaderMap);

impl Injector for HeadersMut<'_> {
    fn set(&mut self, key: &str, value: String) {
        let (Ok(name), Ok(value)) = (HeaderName::try_from(key), HeaderValue::try_from(value)) else {
            return;
        };
        if value.is_empty() {
            // An empty `tracestate` says nothing.
            self.0.remove(name);
        } else {
            self.0.insert(name, value);
        }
    }
}

/// Makes the caller's span, if the headers name one, the parent of `span`.
pub(crate) fn follow(span: &Span, headers: &HeaderMap) {
    if !headers.contains_key(TRACEPARENT) {
        return;
    }
    let caller = TraceContextPropagator::new().extract_with_context(&Context::new(), &Headers(headers));
    // It fails only where nothing exports the span.
    let _ = span.set_parent(caller);
}

/// Writes `span` into the headers of a request that leaves, in the place of its own caller. A span that is not made
/// leaves them as they are.
pub fn hand_on(span: &Span, headers: &mut HeaderMap) {
    if !span.is_disabled() {
        TraceContextPropagator::new().inject_context(&span.context(), &mut HeadersMut(headers));
    }
}
