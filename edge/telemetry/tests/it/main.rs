//! Spans as an exporter gets them.
#![cfg(test)]

use std::convert::Infallible;
use std::sync::Arc;

use http::{HeaderMap, Method, Request, Response, StatusCode};
use opentelemetry::trace::{SpanKind, Status};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use tminus_telemetry::{TraceLayer, TraceOptions, answered, hand_on, install, request_span, spans_to};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tracing::{Instrument as _, Subscriber};
use tracing_subscriber::layer::SubscriberExt as _;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

fn caller() -> String {
    format!("00-{TRACE}-{CALLER}-01")
}

struct Collected {
    exporter: InMemorySpanExporter,
    subscriber: Arc<dyn Subscriber + Send + Sync>,
}

fn collecting() -> Collected {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder()
        .with_simple_exporter(exporter.clone())
        .build();
    let subscriber = tracing_subscriber::registry().with(spans_to(&provider));
    Collected {
        exporter,
        subscriber: Arc::new(subscriber),
    }
}

impl Collected {
    fn within<T>(&self, run: impl FnOnce() -> T) -> T {
        tracing::subscriber::with_default(self.subscriber.clone(), run)
    }

    fn spans(&self) -> Vec<SpanData> {
        self.exporter.get_finished_spans().unwrap()
    }
}

fn attribute(span: &SpanData, key: &str) -> Option<String> {
    let found = span.attributes.iter().find(|found| found.key.as_str() == key);
    found.map(|found| found.value.to_string())
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let parsed = pairs
        .iter()
        .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
    parsed.collect()
}

#[test]
fn a_request_is_a_span_below_its_callers_and_the_next_is_below_it() {
    let collected = collecting();
    let mut onwards = headers(&[("traceparent", &caller()), ("tracestate", "vendor=1")]);
    collected.within(|| {
        let span = request_span(&Method::GET, "/v1/players/me", &onwards.clone());
        hand_on(&span, &mut onwards);
        answered(&span, StatusCode::NOT_FOUND);
    });
    let [span] = collected.spans().try_into().unwrap();
    assert_eq!(span.span_context.trace_id().to_string(), TRACE);
    assert_eq!(span.parent_span_id.to_string(), CALLER);
    assert_eq!((span.name.as_ref(), &span.span_kind), ("GET", &SpanKind::Server));
    assert_eq!(attribute(&span, "url.path").unwrap(), "/v1/players/me");
    let status = span
        .attributes
        .iter()
        .find(|found| found.key.as_str() == "http.response.status_code");
    // A number, as the conventions have it.
    assert_eq!(status.unwrap().value, opentelemetry::Value::I64(404));
    // The client's mistake is no error of the server.
    assert_eq!(span.status, Status::Unset);
    let handed_on = onwards["traceparent"].to_str().unwrap();
    assert_eq!(
        handed_on,
        format!("00-{TRACE}-{}-01", span.span_context.span_id())
    );
    assert_eq!(onwards["tracestate"], "vendor=1");
}

#[test]
fn a_caller_that_cannot_be_read_begins_a_new_trace() {
    for wrong in [
        "",
        "00-0-0-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "zz",
    ] {
        let collected = collecting();
        collected.within(|| {
            drop(request_span(
                &Method::GET,
                "/",
                &headers(&[("traceparent", wrong)]),
            ));
        });
        let [span] = collected.spans().try_into().unwrap();
        assert_eq!(span.parent_span_id.to_string(), "0000000000000000", "{wrong:?}");
    }
    let collected = collecting();
    let mut two = headers(&[("traceparent", &caller())]);
    two.append("traceparent", caller().replace("4bf9", "5bf9").parse().unwrap());
    collected.within(|| drop(request_span(&Method::GET, "/", &two)));
    assert_eq!(
        collected.spans()[0].parent_span_id.to_string(),
        "0000000000000000"
    );
}

#[test]
fn what_the_caller_does_not_want_recorded_is_not() {
    let collected = collecting();
    let mut onwards = headers(&[("traceparent", &format!("00-{TRACE}-{CALLER}-00"))]);
    collected.within(|| {
        let span = request_span(&Method::GET, "/", &onwards.clone());
        hand_on(&span, &mut onwards);
    });
    assert!(collected.spans().is_empty());
    assert!(onwards["traceparent"].to_str().unwrap().ends_with("-00"));
}

#[test]
fn without_a_collector_nothing_is_made_and_the_headers_pass_as_they_came() {
    let mut onwards = headers(&[("traceparent", &caller())]);
    let nobody = tracing_subscriber::registry();
    tracing::subscriber::with_default(nobody.with(tracing_subscriber::filter::LevelFilter::INFO), || {
        let span = request_span(&Method::GET, "/", &onwards.clone());
        assert!(span.is_disabled());
        hand_on(&span, &mut onwards);
    });
    assert_eq!(onwards["traceparent"], caller());
}

#[test]
fn a_method_of_grpc_names_its_span_and_no_query_is_told() {
    let collected = collecting();
    collected.within(|| {
        let request = Request::post("http://host/starvault.v1.PlayerService/GetProfile?token=secret")
            .header("content-type", "application/grpc+proto")
            .body(())
            .unwrap();
        let service = TraceLayer.layer(service_fn(async |_: Request<()>| {
            tracing::debug!(target: "deadline", hop = "here", deadline.remaining_ms = 7_i64, "a deadline at a hop");
            Ok::<_, Infallible>(Response::builder().status(503).body(()).unwrap())
        }));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(service.oneshot(request)).unwrap();
    });
    let [span] = collected.spans().try_into().unwrap();
    assert_eq!(span.name, "starvault.v1.PlayerService/GetProfile");
    assert_eq!(attribute(&span, "rpc.system").unwrap(), "grpc");
    assert!(matches!(span.status, Status::Error { .. }));
    assert!(!format!("{span:?}").contains("secret"));
    let event = &span.events.events[0];
    assert_eq!(event.name, "a deadline at a hop");
    let left = event
        .attributes
        .iter()
        .find(|found| found.key.as_str() == "deadline.remaining_ms");
    assert_eq!(left.unwrap().value.to_string(), "7");
}

#[test]
fn spans_of_a_request_nest() {
    let collected = collecting();
    collected.within(|| {
        let request = request_span(&Method::GET, "/", &HeaderMap::new());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let work = async {
            let store = tracing::debug_span!(target: "trace", "store");
            async {}.instrument(store).await;
        };
        runtime.block_on(work.instrument(request));
    });
    let [store, request] = collected.spans().try_into().unwrap();
    assert_eq!(store.parent_span_id, request.span_context.span_id());
}

#[tokio::test]
async fn a_collector_that_is_no_address_is_refused_with_what_to_write() {
    for endpoint in ["", "127.0.0.1:4317", "https://collector:4317", "grpc://collector"] {
        let options = TraceOptions {
            endpoint: endpoint.to_owned(),
            service: "test",
            version: "1".to_owned(),
        };
        let refused = install(tminus_telemetry::LogFormat::Text, Some(&options)).unwrap_err();
        assert!(refused.to_string().contains("http://127.0.0.1:4317"), "{refused}");
    }
}
