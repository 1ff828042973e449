//! How long callers wait: read, handed on with less, and kept.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use serde_json::Value;
use tminus_deadline::headers::{parse_grpc, parse_plain};

use super::backend::Backend;
use super::http::seen;
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
    let client = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new())
        .http2_only(true)
        .build_http::<Full<Bytes>>();
    let call = ::http::Request::post(format!("http://{}/test.Echo/Hang", gateway.listen))
        .header("content-type", "application/grpc")
        .header("grpc-timeout", "999999999n")
        .body(Full::from(&[0, 0, 0, 0, 0][..]))
        .unwrap();
    let response = within(client.request(call)).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["grpc-status"]),
        (200, &"3".parse().unwrap())
    );
    within(response.into_body().collect()).await.unwrap();
}
