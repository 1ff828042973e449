//! One budget through gateway, server and store as a collector of traces sees it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use futures_util::{SinkExt as _, StreamExt as _};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::{Span, span::Event, status::StatusCode};
use tokio::net::TcpListener;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use crate::common::Process;
use crate::deadlines::behind_a_gateway;

const CALLER: &str = "00f067aa0ba902b7";

/// A collector that keeps what it is sent: service and span.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<(String, Span)>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for group in request.into_inner().resource_spans {
            let attributes = group.resource.unwrap().attributes;
            let service = text(&attributes, "service.name").unwrap();
            let spans = group.scope_spans.into_iter().flat_map(|scope| scope.spans);
            self.0
                .lock()
                .unwrap()
                .extend(spans.map(|span| (service.clone(), span)));
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    async fn start() -> (Collector, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let collector = Collector::default();
        let service = TraceServiceServer::new(collector.clone());
        let serving = tonic::transport::Server::builder().add_service(service);
        tokio::spawn(serving.serve_with_incoming(TcpIncoming::from(listener)));
        (collector, url)
    }

    /// The spans of one trace, by service and name.
    fn trace(&self, id: &str) -> BTreeMap<(String, String), Span> {
        let all = self.0.lock().unwrap();
        let of_it = all.iter().filter(|(_, span)| hex(&span.trace_id) == id);
        of_it
            .map(|(service, span)| ((service.clone(), span.name.clone()), span.clone()))
            .collect()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn value<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a Value> {
    let found = attributes.iter().find(|found| found.key == key)?;
    match &found.value {
        Some(AnyValue { value }) => value.as_ref(),
        None => None,
    }
}

fn text(attributes: &[KeyValue], key: &str) -> Option<String> {
    match value(attributes, key)? {
        Value::StringValue(text) => Some(text.clone()),
        other => panic!("{key} is {other:?}"),
    }
}

/// What was left when the request came to a hop.
fn left(span: &Span, hop: &str) -> i64 {
    let is_it = |event: &&Event| {
        event.name == "a deadline at a hop" && text(&event.attributes, "hop").as_deref() == Some(hop)
    };
    let event = span
        .events
        .iter()
        .find(is_it)
        .unwrap_or_else(|| panic!("no deadline at {hop}: {span:?}"));
    match value(&event.attributes, "deadline.remaining_ms") {
        Some(Value::IntValue(left)) => *left,
        other => panic!("{other:?}"),
    }
}

/// The span of each hop, each the parent of the next.
fn chain(collector: &Collector, trace: &str) -> [Span; 3] {
    let spans = collector.trace(trace);
    let of = |service: &str, name: &str| {
        let key = (service.to_owned(), name.to_owned());
        spans
            .get(&key)
            .unwrap_or_else(|| panic!("{key:?} is not in {:?}", spans.keys()))
            .clone()
    };
    let hops = [
        of("tminus-gateway", "POST"),
        of("starvault", "POST"),
        of("starvault", "create_player"),
    ];
    assert_eq!(spans.len(), hops.len(), "{:?}", spans.keys());
    assert_eq!(hex(&hops[0].parent_span_id), CALLER);
    assert_eq!(hops[1].parent_span_id, hops[0].span_id);
    assert_eq!(hops[2].parent_span_id, hops[1].span_id);
    hops
}

fn assert_shrinking([gateway, server, store]: &[Span; 3]) {
    let (gateway, server, store) = (
        left(gateway, "gateway"),
        left(server, "starvault"),
        left(store, "store"),
    );
    // The store is asked within the process: it may be the same millisecond.
    assert!(
        gateway <= 300 && server < gateway && store <= server && store > 0,
        "{gateway} {server} {store}"
    );
}

/// Both programs, telling `collector`, and where guests sign in.
async fn start(folder: &Path, collector: &str) -> (Process, Process, String) {
    let told = ["--otlp-endpoint", collector];
    behind_a_gateway(folder, &told, &told).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_of_a_websocket_is_a_trace_with_its_deadline() {
    let folder = tempfile::tempdir().unwrap();
    let (collector, address) = Collector::start().await;
    let (mut gateway, mut server, url) = start(folder.path(), &address).await;
    let client = Client::builder(TokioExecutor::new()).build_http::<Body>();
    let call = axum::http::Request::post(&url).header("content-type", "application/json");
    let answer = client
        .request(call.body(Body::from("{}")).unwrap())
        .await
        .unwrap();
    let body = axum::body::to_bytes(Body::new(answer.into_body()), 64 * 1024)
        .await
        .unwrap();
    let guest: serde_json::Value = serde_json::from_slice(&body).unwrap();

    let uri = url.replace("http://", "ws://").replace("/v1/guests", "/v1/play");
    let token = format!("Bearer {}", guest["token"].as_str().unwrap());
    let (mut socket, _) = tokio_websockets::ClientBuilder::new()
        .uri(&uri)
        .unwrap()
        .add_header(axum::http::header::AUTHORIZATION, token.parse().unwrap())
        .unwrap()
        .connect()
        .await
        .unwrap();
    let join = r#"{"requestId":1,"joinLobby":{}}"#;
    socket.send(tokio_websockets::Message::text(join)).await.unwrap();
    loop {
        let told = socket.next().await.unwrap().unwrap();
        if told.as_text().is_some_and(|text| text.contains("queued")) {
            break;
        }
    }
    drop(socket);
    for process in [&mut gateway, &mut server] {
        assert!(
            process.ends_within(Duration::from_secs(60)),
            "{}",
            process.output()
        );
    }
    let spans = collector.0.lock().unwrap();
    let (service, span) = spans.iter().find(|(_, span)| span.name == "join_lobby").unwrap();
    assert_eq!((service.as_str(), span.parent_span_id.len()), ("starvault", 0));
    let player = guest["profile"]["playerId"].as_str().unwrap();
    assert_eq!(text(&span.attributes, "player.id").as_deref(), Some(player));
    assert!((1..=10_000).contains(&left(span, "starvault")));
    // A credential is nowhere in what was sent.
    let secret = guest["token"].as_str().unwrap();
    assert!(!format!("{spans:?}").contains(secret));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_is_one_trace_through_gateway_server_and_store_and_its_end_cancels_the_work() {
    let folder = tempfile::tempdir().unwrap();
    let (collector, address) = Collector::start().await;
    let (mut gateway, mut server, url) = start(folder.path(), &address).await;
    let client = Client::builder(TokioExecutor::new()).build_http::<Body>();
    let trace = |number: u32| format!("4bf92f3577b34da6a3ce929d{number:08x}");
    let sign_in = async |number: u32| {
        let call = axum::http::Request::post(&url)
            .header("content-type", "application/json")
            .header("x-request-timeout", "300ms")
            .header("traceparent", format!("00-{}-{CALLER}-01", trace(number)));
        let body = serde_json::json!({ "display_name": format!("guest {number}") });
        let call = call.body(Body::from(body.to_string())).unwrap();
        client.request(call).await.unwrap().status().as_u16()
    };
    assert_eq!(sign_in(1).await, 200, "{}", server.output());

    // Another program keeps the store: the first write waits for it, and the second for the first.
    let store = rusqlite::Connection::open(folder.path().join("store.sqlite")).unwrap();
    store.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(sign_in(2).await, 504);
    assert_eq!(sign_in(3).await, 504);
    store.execute_batch("ROLLBACK").unwrap();
    // Behind those two.
    let mut last = 4;
    while sign_in(last).await != 200 {
        last += 1;
        assert!(last < 100, "{}", server.output());
    }

    for process in [&mut gateway, &mut server] {
        assert!(
            process.ends_within(Duration::from_secs(60)),
            "{}",
            process.output()
        );
    }
    let done = chain(&collector, &trace(1));
    assert_shrinking(&done);
    for number in [2, 3] {
        let given_up = chain(&collector, &trace(number));
        assert_shrinking(&given_up);
        let [gateway, server, _] = &given_up;
        for span in [gateway, server] {
            assert_eq!(
                span.status.as_ref().unwrap().code(),
                StatusCode::Error,
                "{span:?}"
            );
        }
        let passed = |event: &Event| event.name == "a deadline has passed";
        assert!(server.events.iter().any(passed), "{server:?}");
    }
    // Work that nobody waits for any longer was not done.
    let made = |number: u32| {
        let name = format!("guest {number}");
        let counted = store.query_row(
            "SELECT COUNT(*) FROM players WHERE display_name = ?1",
            [name],
            |row| row.get::<_, u32>(0),
        );
        counted.unwrap()
    };
    assert_eq!((made(1), made(3), made(last)), (1, 0, 1));
}
