//! How long callers wait: read, handed on with less, and kept.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use serde_json::Value;
use tminus_deadline::headers::{parse_grpc, parse_plain};

use super::backend::Backend;
use super::http::seen;
use super::raw::{Raw, listener, nobody};
use super::support::{Gateway, within};

/// What the backend was told, in both forms.
fn told(answer: &Value) -> Option<Duration> {
    let plain = match *seen(answer, "x-request-timeout") {
        [] => None,
        [text] => parse_plain(text.as_bytes()).unwrap(),
        ref many => panic!("told more than once: {many:?}"),
    };
    let grpc = match *seen(answer, "grpc-timeout") {
        [] => None,
        [text] => Some(parse_grpc(text.as_bytes()).unwrap()),
        ref many => panic!("told more than once: {many:?}"),
    };
    assert_eq!(plain, grpc);
    plain
}

#[tokio::test]
async fn the_callers_deadline_is_handed_on_with_less_and_in_both_forms() {
    let backend = Backend::start("stable").await;
    let gateway = Gateway::before_with(backend.address, "upstream_timeout_ms: 60000");
    for headers in [
        &[("x-request-timeout", "20s")][..],
        &[("grpc-timeout", "20S")],
        &[("x-envoy-expected-rq-timeout-ms", "20000")],
        &[("x-request-timeout", "40s"), ("grpc-timeout", "20000m")],
        // A client cannot take its own deadline away.
        &[
            ("x-request-timeout", "20s"),
            ("connection", "x-request-timeout, grpc-timeout"),
        ],
    ] {
        let answer = gateway.request("POST", "/echo/x", headers, "body").await.json();
        let left = told(&answer).expect("a deadline");
        // At least the margin is kept.
        assert!(left <= Duration::from_millis(19_950), "{headers:?}: {left:?}");
    }
    let envoy = gateway
        .get("/echo/x", &[("x-envoy-expected-rq-timeout-ms", "20000")])
        .await
        .json();
    let [rewritten] = seen(&envoy, "x-envoy-expected-rq-timeout-ms")[..] else {
        panic!("{envoy}")
    };
    assert_eq!(rewritten.parse(), Ok(told(&envoy).unwrap().as_millis()));
}

#[tokio::test]
async fn without_one_the_gateways_own_limit_is_told_where_it_is_one() {
    let backend = Backend::start("stable").await;
    let gateway = Gateway::before_with(backend.address, "upstream_timeout_ms: 60000");
    let left = told(&gateway.get("/echo/x", &[]).await.json()).expect("the gateway's limit");
    assert!(left <= Duration::from_millis(59_950), "{left:?}");
    let shorter = [("x-request-timeout", "3600s")];
    let left = told(&gateway.get("/echo/x", &shorter).await.json()).expect("the shorter one");
    assert!(left <= Duration::from_millis(59_950), "{left:?}");
    // A body may take its time: the gateway's limit does not count it, so it is no deadline.
    assert_eq!(
        told(&gateway.request("POST", "/echo/x", &[], "body").await.json()),
        None
    );
    assert_eq!(
        told(
            &gateway
                .request("POST", "/echo/x", &[("x-request-timeout", "0")], "b")
                .await
                .json()
        ),
        None
    );
}

#[tokio::test]
async fn a_deadline_that_passes_is_504_and_cancels_the_call() {
    let mut backend = Backend::start("stable").await;
    let gateway = Gateway::before_with(backend.address, "upstream_timeout_ms: 60000");
    let answer = gateway.get("/hang", &[("x-request-timeout", "500")]).await;
    assert_eq!(answer.error(), (504, 4));
    backend.saw("hang dropped").await;
}

#[tokio::test]
async fn with_nothing_left_the_backend_is_not_called() {
    let mut backend = Backend::start("stable").await;
    let gateway = Gateway::before_with(backend.address, "upstream_timeout_ms: 60000");
    for headers in [
        [("grpc-timeout", "1n")],
        [("grpc-timeout", "1m")],
        [("x-request-timeout", "0.5ms")],
    ] {
        assert_eq!(
            gateway.get("/hang", &headers).await.error(),
            (504, 4),
            "{headers:?}"
        );
    }
    assert!(backend.events.try_recv().is_err());
}

#[tokio::test]
async fn a_deadline_that_cannot_be_read_is_refused() {
    let mut backend = Backend::start("stable").await;
    let gateway = Gateway::before(backend.address);
    for header in [
        ("grpc-timeout", "0m"),
        ("grpc-timeout", "-5m"),
        ("grpc-timeout", "5"),
        ("grpc-timeout", "999999999n"),
        ("x-request-timeout", "1.5"),
        ("x-envoy-expected-rq-timeout-ms", "soon"),
    ] {
        assert_eq!(
            gateway.get("/hang", &[header]).await.error(),
            (400, 3),
            "{header:?}"
        );
    }
    assert!(backend.events.try_recv().is_err());
    // By hand: a client library writes a good one.
    assert_eq!(grpc_status(&gateway, "999999999n").await, "3");
}

/// What a call of a method that hangs is answered, of its headers alone.
async fn grpc_status(gateway: &Gateway, timeout: &str) -> String {
    let client = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new())
        .http2_only(true)
        .build_http::<Full<Bytes>>();
    let call = ::http::Request::post(format!("http://{}/test.Echo/Hang", gateway.listen))
        .header("content-type", "application/grpc")
        .header("grpc-timeout", timeout)
        .body(Full::from(&[0, 0, 0, 0, 0][..]))
        .unwrap();
    let response = within(client.request(call)).await.unwrap();
    assert_eq!(response.status().as_u16(), 200);
    let status = response.headers()["grpc-status"].to_str().unwrap().to_owned();
    within(response.into_body().collect()).await.unwrap();
    status
}

/// An address that answers no connection: its queue is full, and the kernel drops what comes.
async fn blackhole() -> (tokio::net::TcpListener, tokio::net::TcpStream, SocketAddr) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let first = within(tokio::net::TcpStream::connect(address)).await.unwrap();
    (listener, first, address)
}

/// Far longer than a test has patience: only the caller's own limit can end these.
const ENDLESS: &str = "upstream_timeout_ms: 3600000\nlimits: { connect_timeout_ms: 3600000 }";

#[tokio::test]
async fn connecting_to_a_backend_ends_with_the_callers_deadline() {
    let (_full, _first, blackhole) = blackhole().await;
    // Takes connections and says nothing on them, not even a preface.
    let (silent_listener, silent) = listener().await;
    for backend in [blackhole, silent] {
        let gateway = Gateway::before_with(backend, ENDLESS);
        let soon = [("x-request-timeout", "200ms")];
        assert_eq!(gateway.get("/who", &soon).await.error(), (504, 4));
        assert_eq!(
            gateway.request("POST", "/who", &soon, "x").await.error(),
            (504, 4)
        );
        let mut raw = Raw::connect(gateway.listen).await;
        raw.write(
            "GET /play HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-Request-Timeout: 200ms\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
        .await;
        assert!(raw.head().await.starts_with("HTTP/1.1 504"));
        // The second one waits for the connection of the first.
        let (one, two) = tokio::join!(grpc_status(&gateway, "200m"), grpc_status(&gateway, "100m"));
        assert_eq!((&*one, &*two), ("4", "4"));
    }
    drop(silent_listener);
    // Where nobody listens, nobody waits for the deadline.
    let gateway = Gateway::before_with(nobody().await, ENDLESS);
    assert_eq!(
        gateway
            .get("/who", &[("x-request-timeout", "3600s")])
            .await
            .error()
            .0,
        502
    );
}

#[tokio::test]
async fn connecting_to_a_backend_ends_with_the_gateways_own_limit() {
    let (_full, _first, blackhole) = blackhole().await;
    let own = "upstream_timeout_ms: 200\nlimits: { connect_timeout_ms: 3600000 }";
    let gateway = Gateway::before_with(blackhole, own);
    assert_eq!(gateway.get("/who", &[]).await.error(), (504, 4));
    assert_eq!(grpc_status(&gateway, "1H").await, "4");
}

#[tokio::test]
async fn what_is_left_is_told_to_who_asks() {
    let backend = Backend::start("stable").await;
    let gateway = Gateway::before_with(backend.address, "upstream_timeout_ms: 60000");
    let asks = ("x-deadline-hops", "1");
    for (path, headers, told) in [
        (
            "/who",
            &[asks, ("x-request-timeout", "20s")][..],
            "deadline-gateway;dur=20000",
        ),
        (
            "/who",
            &[asks, ("x-request-timeout", "0.5ms")],
            "deadline-gateway;dur=0.500",
        ),
        ("/who", &[asks], "deadline-gateway;dur=60000"),
        (
            "/hang",
            &[asks, ("grpc-timeout", "50m")],
            "deadline-gateway;dur=50",
        ),
        ("/who", &[("x-request-timeout", "20s")], ""),
        ("/who", &[("x-deadline-hops", "0")], ""),
    ] {
        let answer = gateway.get(path, headers).await;
        assert_eq!(answer.header("server-timing"), told, "{path} {headers:?}");
    }
    // The next hop is asked as well.
    let echoed = gateway.get("/echo/x", &[asks]).await.json();
    assert_eq!(*seen(&echoed, "x-deadline-hops"), ["1"]);
}
