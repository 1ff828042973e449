//! HTTP/JSON through the gateway to a backend that is asked over gRPC: single answers.

use std::io::Read as _;

use base64::Engine as _;
use serde_json::{Value, json};

use super::cases::{Stage, gzip};
use super::http::seen;
use super::raw::Raw;
use super::support::{Answer, eventually};

/// What the backend got, without the metadata.
fn item(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("content-type"), "application/json");
    let mut item = answer.json();
    item.as_object_mut().unwrap().remove("labels");
    item
}

#[tokio::test]
async fn path_query_and_body_become_one_message() {
    let stage = Stage::start().await;
    let gateway = &stage.gateway;
    let answer = gateway
        .get("/v1/items/a%20b?count=3&tags=x&tags=y&nothing=1", &[])
        .await;
    assert_eq!(
        item(&answer),
        json!({"name": "a b", "parent": "Get", "count": 3, "tags": ["x", "y"]})
    );
    // The gateway made an id, and both sides see it.
    let id = answer.header("x-request-id");
    assert_eq!(
        (id.len(), &answer.json()["labels"]["x-request-id"]),
        (32, &id.into())
    );
    let answer = gateway
        .request(
            "POST",
            "/v1/items",
            &[],
            r#"{"name":"n","count":"4","child":{"count":5}}"#,
        )
        .await;
    assert_eq!(
        item(&answer),
        json!({"name": "n", "parent": "Create", "count": 4, "child": {"count": 5}})
    );
    // The body is a field, and the rest is the query's and the path's.
    let answer = gateway
        .request("PATCH", "/v1/items/n?count=6", &[], r#"{"name":"inner"}"#)
        .await;
    assert_eq!(
        item(&answer),
        json!({"name": "n", "parent": "Update", "count": 6, "child": {"name": "inner"}})
    );
    let stable = gateway.metrics("stable").await;
    assert_eq!(
        (
            &stable["requests"],
            &stable["statuses"]["200"],
            &stable["grpc_statuses"]
        ),
        (&3.into(), &3.into(), &json!({}))
    );
    eventually("nothing is in flight", async || {
        gateway.metrics("stable").await["in_flight"] == 0
    })
    .await;
}

#[tokio::test]
async fn additional_bindings_answer_the_same() {
    let stage = Stage::start().await;
    let first = stage.gateway.get("/v1/items/n?count=1", &[]).await;
    let second = stage.gateway.get("/v1alpha/items/n?count=1", &[]).await;
    let third = stage
        .gateway
        .request("POST", "/v1alpha/items/n:get", &[], r#"{"count":1}"#)
        .await;
    assert_eq!(item(&first), json!({"name": "n", "parent": "Get", "count": 1}));
    assert_eq!((item(&second), item(&third)), (item(&first), item(&first)));
}

#[tokio::test]
async fn an_error_has_its_http_status_and_its_details() {
    let stage = Stage::start().await;
    for (code, status) in [
        (3, 400),
        (5, 404),
        (7, 403),
        (8, 429),
        (12, 501),
        (13, 500),
        (14, 503),
        (16, 401),
    ] {
        let answer = stage.gateway.get(&format!("/v1/items/fail-{code}"), &[]).await;
        assert_eq!(answer.status, status, "{code}");
        assert_eq!(answer.header("content-type"), "application/json");
        assert_eq!(answer.header("x-served-version"), "v1.2");
        let detail = json!({"@type": "type.googleapis.com/cases.v1.Item", "name": "why"});
        assert_eq!(
            answer.json(),
            json!({"code": code, "message": "as asked: 棋", "details": [detail]})
        );
    }
    // Counted once each, as the client sees them: what a comparison of releases reads.
    let stable = stage.gateway.metrics("stable").await;
    assert_eq!(
        (&stable["requests"], &stable["errors"], &stable["statuses"]["404"]),
        (&8.into(), &3.into(), &1.into())
    );
    assert_eq!(
        (&stable["truncated"], &stable["grpc_statuses"]),
        (&0.into(), &json!({}))
    );
}

#[tokio::test]
async fn what_no_rule_answers_passes_as_it_is() {
    let stage = Stage::start().await;
    let told = stage.gateway.get("/echo/x?q=1", &[]).await.json();
    assert_eq!(
        (&told["version"], &told["target"]),
        (&"HTTP/1.1".into(), &"/echo/x?q=1".into())
    );
    // The path has a rule, the method has none; and canary has no rules at all.
    assert_eq!(
        stage.gateway.request("DELETE", "/v1/watch", &[], "").await.body,
        ""
    );
    assert_eq!(
        stage.gateway.request("DELETE", "/v1/watch", &[], "").await.status,
        404
    );
    let canary = stage.gateway.get("/v1/items/n", &[("x-version", "v1.3")]).await;
    assert_eq!((canary.status, canary.body.len()), (404, 0));
    assert_eq!(canary.header("x-served-version"), "v1.3");
}

#[tokio::test]
async fn for_a_backend_of_grpc_alone_the_gateway_refuses_the_rest() {
    let mut stage = Stage::start_with("", ", others: refuse").await;
    assert_eq!(stage.gateway.get("/echo/x", &[]).await.error(), (404, 5));
    let answer = stage.gateway.request("DELETE", "/v1/items", &[], "").await;
    assert_eq!(answer.error(), (405, 12));
    assert_eq!(answer.header("allow"), "GET, POST");
    assert_eq!(answer.header("x-served-version"), "v1.2");
    let answer = stage.gateway.request("HEAD", "/echo/x", &[], "").await;
    assert_eq!((answer.status, answer.body.len()), (404, 0));
    assert_eq!(stage.backend.connections(), 0);
    // No fault of the backend's.
    let stable = stage.gateway.metrics("stable").await;
    assert_eq!((&stable["requests"], &stable["errors"]), (&3.into(), &0.into()));
    assert_eq!(
        item(&stage.gateway.get("/v1/items/n", &[]).await)["parent"],
        "Get"
    );
    stage.backend.saw("called").await;
}

#[tokio::test]
async fn a_request_that_is_no_message_does_not_reach_the_backend() {
    let mut stage = Stage::start().await;
    let gateway = &stage.gateway;
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let coding = [("content-encoding", "br")];
    for (method, path, headers, body, status, code, words) in [
        (
            "POST",
            "/v1/items",
            &[][..],
            r#"{"name":"#,
            400,
            3,
            "the body is no Item",
        ),
        (
            "POST",
            "/v1/items",
            &[],
            r#"{"count":"x"}"#,
            400,
            3,
            "count: expected",
        ),
        ("GET", "/v1/items?count=x", &[], "", 400, 3, "count in the query"),
        ("GET", "/v1/items/%FF", &[], "", 400, 3, "name in the path"),
        ("POST", "/v1/items", &form, "a=b", 415, 3, "application/json"),
        ("POST", "/v1/items", &coding, "{}", 415, 3, "gzip"),
        ("POST", "/v1/gather", &[], "{}", 501, 12, "over gRPC"),
    ] {
        let answer = gateway.request(method, path, headers, body).await;
        assert_eq!(answer.error(), (status, code), "{method} {path} {body}");
        assert!(answer.text().contains(words), "{}", answer.text());
    }
    assert!(stage.backend.events.try_recv().is_err());
    assert_eq!(gateway.metrics("stable").await["requests"], 7);
}

#[tokio::test]
async fn gzip_is_taken_and_given() {
    let stage = Stage::start().await;
    let zipped = gzip(br#"{"name":"long"}"#);
    let mut raw = Raw::connect(stage.gateway.listen).await;
    raw.write(format!(
        "POST /v1/items HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        zipped.len()
    ))
    .await;
    raw.write(&zipped).await;
    let head = raw.head().await.to_ascii_lowercase();
    assert!(
        head.starts_with("http/1.1 200") && head.contains("content-encoding: gzip"),
        "{head}"
    );
    let length = head.split("content-length: ").nth(1).unwrap();
    let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
    let mut text = String::new();
    let body = raw.exactly(length).await;
    flate2::read::GzDecoder::new(&*body)
        .read_to_string(&mut text)
        .unwrap();
    let told: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(told["name"], "long");
    assert!(length < text.len() / 4);
    // The coding is between client and gateway.
    assert_eq!(
        (
            &told["labels"]["content-encoding"],
            &told["labels"]["accept-encoding"]
        ),
        (&Value::Null, &Value::Null)
    );
}

#[tokio::test]
async fn head_has_the_headers_of_get_and_no_body() {
    let stage = Stage::start().await;
    let mut raw = Raw::connect(stage.gateway.listen).await;
    raw.write("HEAD /v1/items/n HTTP/1.1\r\nHost: x\r\n\r\nGET /who HTTP/1.1\r\nHost: x\r\n\r\n")
        .await;
    let head = raw.head().await.to_ascii_lowercase();
    assert!(
        head.starts_with("http/1.1 200") && head.contains("x-public: 2"),
        "{head}"
    );
    let length = head.split("content-length: ").nth(1).unwrap();
    assert!(length.split("\r\n").next().unwrap().parse::<usize>().unwrap() > 20);
    // What follows is the next answer.
    assert!(raw.head().await.starts_with("HTTP/1.1 200"));
    assert_eq!(raw.exactly(6).await, b"stable");
}

#[tokio::test]
async fn headers_pass_and_those_of_one_hop_do_not() {
    let stage = Stage::start().await;
    let mut raw = Raw::connect(stage.gateway.listen).await;
    // Not decoded, not folded, not trimmed within, and not even text.
    let id = b"aB%2f+=/;\"x\" y\xe9~";
    raw.write(
        [
            b"GET /v1/items/n HTTP/1.1\r\nHost: play.example\r\nConnection: close, X-Secret\r\nX-Secret: 1\r\n\
              Keep-Alive: timeout=5\r\nTE: gzip\r\nProxy-Authorization: Basic eDp5\r\nAccept: */*\r\n\
              Authorization: Bearer a.b.c \r\nX-Many: 1\r\nX-Many: 2\r\nX-Forwarded-For: 203.0.113.7\r\n\
              X-Request-Id: abc-1\r\ngrpc-status: 0\r\ngrpc-encoding: gzip\r\nX-Session-ID: "
                .as_slice(),
            id,
            b"\r\n\r\n",
        ]
        .concat(),
    )
    .await;
    let answer = String::from_utf8(raw.rest().await).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let told: Value = serde_json::from_str(body).unwrap();
    let labels = told["labels"].as_object().unwrap();
    for (name, value) in [
        ("authorization", "Bearer a.b.c"),
        ("x-many", "1 | 2"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "play.example"),
        ("x-request-id", "abc-1"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
    ] {
        assert_eq!(labels.get(name), Some(&value.into()), "{name} of {labels:?}");
    }
    for gone in [
        "connection",
        "x-secret",
        "keep-alive",
        "proxy-authorization",
        "accept",
        "host",
        "grpc-status",
        "grpc-encoding",
    ] {
        assert!(!labels.contains_key(gone), "{gone}");
    }
    let data = told["data"].as_str().unwrap();
    assert_eq!(
        base64::engine::general_purpose::STANDARD.decode(data).unwrap(),
        id
    );

    let head = head.to_ascii_lowercase();
    assert!(
        head.contains("x-public: 2") && head.contains("x-request-id: abc-1"),
        "{head}"
    );
    // What the backend claims to be does not count.
    assert_eq!(head.matches("x-served-version").count(), 1);
    assert!(head.contains("x-served-version: v1.2"), "{head}");
    assert!(!head.contains("grpc-") && !head.contains("trailer"), "{head}");
}

#[tokio::test]
async fn one_connection_carries_many_calls() {
    let stage = Stage::start_with("workers: 1", "").await;
    for _ in 0..20 {
        assert_eq!(stage.gateway.get("/v1/items/n", &[]).await.status, 200);
    }
    assert_eq!(stage.backend.connections(), 1);
}

#[tokio::test]
async fn http2_clients_are_transcoded_for_and_grpc_and_websockets_pass() {
    let stage = Stage::start().await;
    let client = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new())
        .http2_only(true)
        .build_http::<http_body_util::Full<bytes::Bytes>>();
    let uri = |path: &str| format!("http://{}{path}", stage.gateway.listen);
    let request = ::http::Request::post(uri("/v1/items"))
        .body(r#"{"name":"n"}"#.into())
        .unwrap();
    let answer = Answer::read(client.request(request).await.unwrap()).await;
    assert_eq!(item(&answer), json!({"name": "n", "parent": "Create"}));
    let labels = &answer.json()["labels"];
    assert_eq!(labels["x-forwarded-host"], stage.gateway.listen.to_string());
    let request = ::http::Request::post(uri("/test.Echo/Unary"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(bytes::Bytes::from_static(b"\0\0\0\0\x02hi").into())
        .unwrap();
    let answer = Answer::read(client.request(request).await.unwrap()).await;
    assert_eq!(
        (answer.header("content-type"), &answer.body[..]),
        ("application/grpc", &b"\0\0\0\0\x02hi"[..])
    );
    // Whatever its path.
    let request = ::http::Request::post(uri("/v1/items"))
        .header("content-type", "application/grpc")
        .body(bytes::Bytes::from_static(b"\0\0\0\0\0").into())
        .unwrap();
    let answer = Answer::read(client.request(request).await.unwrap()).await;
    assert_eq!((answer.status, answer.body.len()), (404, 0));
    // So does what asks for a WebSocket.
    let mut raw = Raw::connect(stage.gateway.listen).await;
    raw.write(
        "GET /v1/items/n HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    )
    .await;
    assert!(raw.head().await.starts_with("HTTP/1.1 404"));
    let told = stage.gateway.get("/echo/x", &[]).await.json();
    assert_eq!(seen(&told, "host"), [stage.gateway.listen.to_string()]);
}
