//! HTTP/JSON through the gateway to a backend that is asked over gRPC: sizes, times, and backends that fail.

use tminus_deadline::headers::{parse_grpc, parse_plain};
use tokio::io::AsyncWriteExt as _;

use super::cases::{Stage, gzip, transcode};
use super::raw::{Raw, nobody};
use super::support::{Answer, Gateway, Settings, eventually};

#[tokio::test]
async fn a_body_over_the_limit_is_413_announced_or_not_or_once_inflated() {
    let mut stage = Stage::start_with("limits: { max_request_body_bytes: 1000 }", "").await;
    let body = |bytes: usize| format!(r#"{{"name":"{}"}}"#, "a".repeat(bytes - 11));
    let gateway = &stage.gateway;
    let fits = gateway.request("POST", "/v1/items", &[], &body(1000)).await;
    assert_eq!(fits.status, 200);
    stage.backend.saw("called").await;
    let over = gateway.request("POST", "/v1/items", &[], &body(1001)).await;
    assert_eq!(over.error(), (413, 8));

    let mut raw = Raw::connect(gateway.listen).await;
    raw.write("POST /v1/items HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    for _ in 0..3 {
        // The gateway may close in the middle of it.
        let chunk = format!("190\r\n{}\r\n", "a".repeat(0x190));
        let _ = raw.0.write_all(chunk.as_bytes()).await;
    }
    let answer = String::from_utf8(raw.rest().await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(answer.ends_with(r#"{"code":8,"message":"the request is larger than 1000 bytes","details":[]}"#));

    let bomb = gzip(body(100_000).as_bytes());
    let mut raw = Raw::connect(gateway.listen).await;
    raw.write(format!(
        "POST /v1/items HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        bomb.len()
    ))
    .await;
    raw.write(&bomb).await;
    let answer = String::from_utf8(raw.rest().await).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 413") && answer.contains("{\"code\":8,"),
        "{answer}"
    );
    assert!(stage.backend.events.try_recv().is_err());
    let stable = gateway.metrics("stable").await;
    assert_eq!(
        (&stable["statuses"]["413"], &stable["errors"]),
        (&3.into(), &0.into())
    );
}

#[tokio::test]
async fn an_answer_over_the_limit_is_no_answer() {
    let stage = Stage::start_with("", ", max_response_bytes: 2000").await;
    assert_eq!(stage.gateway.get("/v1/items/n", &[]).await.status, 200);
    let answer = stage.gateway.get("/v1/items/long", &[]).await;
    assert_eq!(answer.error(), (500, 13));
    assert!(answer.text().contains("2000 bytes"), "{}", answer.text());
}

#[tokio::test]
async fn the_deadline_is_handed_on_in_both_forms_with_or_without_a_body() {
    let stage = Stage::start().await;
    let left = |answer: &Answer| {
        let labels = &answer.json()["labels"];
        let text = |name: &str| labels[name].as_str().unwrap_or_default().to_owned();
        let plain = parse_plain(text("x-request-timeout").as_bytes())
            .unwrap()
            .unwrap();
        assert_eq!(parse_grpc(text("grpc-timeout").as_bytes()).unwrap(), plain);
        plain.as_millis()
    };
    for headers in [
        &[("x-request-timeout", "20s")][..],
        &[("grpc-timeout", "20S"), ("connection", "grpc-timeout")],
    ] {
        let answer = stage.gateway.request("POST", "/v1/items", headers, "{}").await;
        assert!((1..=19_950).contains(&left(&answer)), "{answer:?}");
    }
    // The gateway's own, as the message is whole before the backend is asked.
    let answer = stage.gateway.request("POST", "/v1/items", &[], "{}").await;
    assert!((20_000..=59_950).contains(&left(&answer)), "{answer:?}");
    let answer = stage
        .gateway
        .get("/v1/items/n", &[("x-request-timeout", "3600s")])
        .await;
    assert!((20_000..=59_950).contains(&left(&answer)), "{answer:?}");
}

#[tokio::test]
async fn a_deadline_that_passes_is_504_and_cancels_the_call() {
    let mut stage = Stage::start().await;
    let hang = r#"{"name":"hang"}"#;
    let answer = stage
        .gateway
        .request("POST", "/v1/items", &[("x-request-timeout", "500")], hang)
        .await;
    assert_eq!(answer.error(), (504, 4));
    stage.backend.saw("hang dropped").await;
    for (headers, status, code) in [
        ([("grpc-timeout", "1m")], 504, 4),
        ([("grpc-timeout", "soon")], 400, 3),
    ] {
        let answer = stage.gateway.get("/v1/items/hang", &headers).await;
        assert_eq!(answer.error(), (status, code));
    }
    assert!(stage.backend.events.try_recv().is_err());

    let mut stage = Stage::start_with("upstream_timeout_ms: 500", "").await;
    let answer = stage.gateway.request("POST", "/v1/items", &[], hang).await;
    assert_eq!(answer.error(), (504, 4));
    stage.backend.saw("hang dropped").await;
    let stable = stage.gateway.metrics("stable").await;
    assert_eq!(
        (&stable["errors"], &stable["statuses"]["504"]),
        (&1.into(), &1.into())
    );
}

#[tokio::test]
async fn a_client_that_leaves_cancels_its_call() {
    let mut stage = Stage::start().await;
    let mut raw = Raw::connect(stage.gateway.listen).await;
    raw.write("GET /v1/items/hang HTTP/1.1\r\nHost: x\r\n\r\n").await;
    stage.backend.saw("hang began").await;
    assert_eq!(stage.gateway.metrics("stable").await["in_flight"], 1);
    drop(raw);
    stage.backend.saw("hang dropped").await;
    eventually("the request is counted as cancelled", async || {
        let stable = stage.gateway.metrics("stable").await;
        stable["cancelled"] == 1 && stable["in_flight"] == 0 && stable["requests"] == 0
    })
    .await;
}

#[tokio::test]
async fn a_client_that_stops_sending_is_408_and_a_slow_one_is_no_504() {
    let more = "upstream_timeout_ms: 500\nlimits: { body_idle_timeout_ms: 1200 }";
    let mut stage = Stage::start_with(more, "").await;
    let mut raw = Raw::connect(stage.gateway.listen).await;
    raw.write("POST /v1/items HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{\"na")
        .await;
    assert!(raw.head().await.starts_with("HTTP/1.1 408"));
    assert!(stage.backend.events.try_recv().is_err());
}

#[tokio::test]
async fn calls_in_flight_over_the_limit_are_503() {
    let more = "upstream_timeout_ms: 60000\nlimits: { max_in_flight: 1 }";
    let mut stage = Stage::start_with(more, "").await;
    let mut first = Raw::connect(stage.gateway.listen).await;
    first
        .write("GET /v1/items/hang HTTP/1.1\r\nHost: x\r\n\r\n")
        .await;
    stage.backend.saw("hang began").await;
    assert_eq!(stage.gateway.get("/v1/items/n", &[]).await.error(), (503, 14));
}

#[tokio::test]
async fn a_backend_that_is_not_there_or_dies_is_503() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings {
        stable: transcode(folder.path(), ""),
        ..Settings::default()
    };
    let gateway = Gateway::start(nobody().await, nobody().await, &settings);
    assert_eq!(gateway.get("/v1/items/n", &[]).await.error(), (503, 14));
    // What passes as it is has the status of before.
    assert_eq!(gateway.get("/who", &[]).await.error(), (502, 14));
    let stable = gateway.metrics("stable").await;
    assert_eq!(
        (&stable["errors"], &stable["statuses"]["503"]),
        (&2.into(), &1.into())
    );

    let mut stage = Stage::start().await;
    let (asking, dying) = tokio::join!(stage.gateway.get("/v1/items/hang", &[]), async {
        stage.backend.saw("hang began").await;
        drop(stage.backend);
    });
    assert_eq!((asking.error(), dying), ((503, 14), ()));
}
