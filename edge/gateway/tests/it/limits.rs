//! What a client may not do: too much, too big, too slow.

use ::http::{Request, Response};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncWriteExt as _;

use super::backend::Backend;
use super::raw::{Raw, listener};
use super::support::{Gateway, eventually, within};

#[tokio::test]
async fn oversize_headers_are_431() {
    let backend = Backend::start("stable").await;
    let gateway = Gateway::before_with(backend.address, "limits: { max_header_bytes: 8192 }");
    let mut raw = Raw::connect(gateway.listen).await;
    raw.write(format!(
        "GET /who HTTP/1.1\r\nHost: x\r\nX-Big: {}\r\n\r\n",
        "a".repeat(20_000)
    ))
    .await;
    assert!(raw.head().await.starts_with("HTTP/1.1 431"));
    assert_eq!(backend.connections(), 0);
    assert_eq!(
        gateway.get("/who", &[("x-big", &"a".repeat(4_000))]).await.status,
        200
    );
}

#[tokio::test]
async fn a_client_that_does_not_finish_its_headers_is_cut() {
    let backend = Backend::start("stable").await;
    let gateway = Gateway::before_with(backend.address, "limits: { header_read_timeout_ms: 500 }");
    // Nothing, half of HTTP/2's preface, half a request, and half a second request.
    for begun in [
        "",
        "PRI * HTTP/2.0\r\n",
        "GET /who HTTP/1.1\r\nHost: x\r\nX-Slow: ",
    ] {
        let mut raw = Raw::connect(gateway.listen).await;
        raw.write(begun).await;
        assert_eq!(raw.rest().await, b"", "{begun}");
    }
    let mut raw = Raw::connect(gateway.listen).await;
    raw.write("GET /who HTTP/1.1\r\nHost: x\r\n\r\n").await;
    raw.head().await;
    raw.exactly(6).await;
    raw.write("GET /who HT").await;
    assert_eq!(raw.rest().await, b"");
    assert_eq!(backend.connections(), 1);
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let backend = Backend::start("stable").await;
    let gateway = Gateway::before_with(backend.address, "limits: { keep_alive_idle_ms: 60 }");
    let mut raw = Raw::connect(gateway.listen).await;
    raw.write("GET /who HTTP/1.1\r\nHost: x\r\n\r\n").await;
    raw.head().await;
    assert_eq!(raw.rest().await, b"stable");
}

#[tokio::test]
async fn an_idle_connection_to_a_backend_is_closed_before_anybody_asks_for_it() {
    let (h1, address) = listener().await;
    let gateway = Gateway::before_with(address, "limits: { upstream_idle_ms: 60 }");
    let backend = async {
        let mut backend = Raw::accept(&h1).await;
        backend.head().await;
        backend
            .write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            .await;
        // Ends when the gateway closes it.
        assert_eq!(backend.rest().await, b"");
    };
    tokio::join!(backend, async {
        assert_eq!(gateway.get("/who", &[]).await.text(), "ok");
    });
}

#[tokio::test]
async fn an_http2_connection_to_a_backend_without_streams_is_closed_as_well() {
    let (h2, address) = listener().await;
    let gateway = Gateway::before_with(address, "limits: { upstream_idle_ms: 60 }");
    let backend = async {
        let stream = Raw::accept(&h2).await.0;
        let answer = service_fn(async |_: Request<Incoming>| {
            let answer = Response::builder()
                .header("content-type", "application/grpc")
                .header("grpc-status", "0");
            answer.body(Empty::<Bytes>::new())
        });
        let serving =
            http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), answer);
        within(serving).await.unwrap();
    };
    let call = async {
        let call = Request::post(format!("http://{}/test.Echo/Unary", gateway.listen))
            .header("content-type", "application/grpc");
        let answer = gateway.send(call.body(Full::default()).unwrap()).await;
        assert_eq!(answer.headers()["grpc-status"], "0");
        within(answer.into_body().collect()).await.unwrap();
    };
    tokio::join!(backend, call);
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_announced_or_not() {
    let backend = Backend::start("stable").await;
    let gateway = Gateway::before_with(backend.address, "limits: { max_request_body_bytes: 1000 }");
    assert_eq!(
        gateway
            .request("POST", "/echo/x", &[], &"a".repeat(1000))
            .await
            .status,
        200
    );
    assert_eq!(
        gateway
            .request("POST", "/echo/x", &[], &"a".repeat(1001))
            .await
            .error(),
        (413, 8)
    );
    let mut raw = Raw::connect(gateway.listen).await;
    raw.write("POST /echo/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    for _ in 0..3 {
        // The gateway may close in the middle of it.
        let _ = raw
            .0
            .write_all(format!("190\r\n{}\r\n", "a".repeat(0x190)).as_bytes())
            .await;
    }
    assert!(raw.head().await.starts_with("HTTP/1.1 413"));
    let stable = gateway.metrics("stable").await;
    assert_eq!(
        (&stable["statuses"]["413"], &stable["errors"]),
        (&2.into(), &0.into())
    );
}

#[tokio::test]
async fn a_client_that_stops_sending_its_body_is_408_and_a_slow_one_is_no_504() {
    let backend = Backend::start("stable").await;
    let gateway = Gateway::before_with(
        backend.address,
        "upstream_timeout_ms: 500\nlimits: { body_idle_timeout_ms: 1200 }",
    );
    let mut raw = Raw::connect(gateway.listen).await;
    raw.write("POST /echo/x HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345")
        .await;
    assert!(raw.head().await.starts_with("HTTP/1.1 408"));
}

#[tokio::test]
async fn connections_over_the_limit_are_refused_and_counted() {
    let backend = Backend::start("stable").await;
    let gateway = Gateway::before_with(backend.address, "limits: { max_connections: 1 }");
    let mut first = Raw::connect(gateway.listen).await;
    first.write("GET /who HTTP/1.1\r\nHost: x\r\n\r\n").await;
    first.head().await;
    let mut second = Raw::connect(gateway.listen).await;
    let refused = String::from_utf8(second.rest().await).unwrap();
    let (head, body) = refused.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 503"), "{head}");
    assert!(
        head.contains(&format!("content-length: {}", body.len())),
        "{head}"
    );
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(body).unwrap()["code"],
        14
    );
    let metrics = gateway.ask_admin("GET", "/metrics.json", &[], "").await.json();
    assert_eq!(
        (&metrics["connections"], &metrics["connections_refused"]),
        (&1.into(), &1.into())
    );
    drop(first);
    eventually("there is room again", async || {
        gateway.ask_admin("GET", "/metrics.json", &[], "").await.json()["connections"] == 0
    })
    .await;
    assert_eq!(gateway.get("/who", &[]).await.status, 200);
}

#[tokio::test]
async fn requests_in_flight_over_the_limit_are_503() {
    let mut backend = Backend::start("stable").await;
    let gateway = Gateway::before_with(
        backend.address,
        "upstream_timeout_ms: 60000\nlimits: { max_in_flight: 1 }",
    );
    let mut first = Raw::connect(gateway.listen).await;
    first.write("GET /hang HTTP/1.1\r\nHost: x\r\n\r\n").await;
    backend.saw("hang began").await;
    assert_eq!(gateway.get("/who", &[]).await.error(), (503, 14));
}
