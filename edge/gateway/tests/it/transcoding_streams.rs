//! HTTP/JSON through the gateway to methods that answer with a stream.

use std::sync::atomic::Ordering;
use std::time::Duration;

use ::http::Request;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::cases::Stage;
use super::support::{Answer, eventually, within};

const LINES: &[(&str, &str)] = &[("accept", "application/x-ndjson")];

/// The answer's headers are there, and its body as it comes.
async fn watch(stage: &Stage, query: &str, headers: &[(&str, &str)]) -> ::http::Response<Incoming> {
    let mut request = Request::get(format!("http://{}/v1/watch?{query}", stage.gateway.listen));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    stage.gateway.send(request.body(Full::default()).unwrap()).await
}

/// The next piece of a body.
async fn piece(body: &mut Incoming) -> Bytes {
    let frame = within(body.frame()).await.expect("the body goes on").unwrap();
    frame.into_data().unwrap()
}

#[tokio::test]
async fn each_message_arrives_when_it_is_sent() {
    let stage = Stage::start().await;
    for (headers, content_type, expected) in [
        (
            LINES,
            "application/x-ndjson",
            ["{\"count\":1}\n", "{\"count\":2}\n", ""],
        ),
        (&[], "application/json", ["[{\"count\":1}", ",{\"count\":2}", "]"]),
    ] {
        stage.gate.add_permits(1);
        let response = watch(&stage, "name=gate&count=2", headers).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], content_type);
        assert_eq!(response.headers()["x-served-version"], "v1.2");
        let mut body = response.into_body();
        // The second message is not made before the test says so.
        assert_eq!(piece(&mut body).await, expected[0]);
        stage.gate.add_permits(1);
        assert_eq!(piece(&mut body).await, expected[1]);
        let rest = within(body.collect()).await.unwrap().to_bytes();
        assert_eq!(rest, expected[2]);
    }
    let stable = stage.gateway.metrics("stable").await;
    assert_eq!(
        (&stable["requests"], &stable["errors"], &stable["in_flight"]),
        (&2.into(), &0.into(), &0.into())
    );
}

#[tokio::test]
async fn a_stream_that_fails_says_so_last_and_a_servers_fault_counts() {
    let stage = Stage::start().await;
    for (name, code) in [("aborted", 10), ("internal", 13)] {
        let answer = stage
            .gateway
            .get(&format!("/v1/watch?name={name}&count=1"), LINES)
            .await;
        let lines: Vec<Value> = answer
            .text()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let error = json!({"error": {"code": code, "message": "no more", "details": []}});
        assert_eq!((answer.status, lines), (200, vec![json!({"count": 1}), error]));
    }
    // Before its first message it has its HTTP status.
    let answer = stage.gateway.get("/v1/watch?name=internal", LINES).await;
    assert_eq!(answer.error(), (500, 13));
    let stable = stage.gateway.metrics("stable").await;
    assert_eq!(
        (&stable["requests"], &stable["errors"], &stable["truncated"]),
        (&3.into(), &2.into(), &1.into())
    );
    assert_eq!(stable["statuses"], json!({"200": 2, "500": 1}));
}

#[tokio::test]
async fn a_stream_of_raw_data_that_fails_is_cut() {
    let stage = Stage::start().await;
    let request = Request::get(format!("http://{}/v1/download", stage.gateway.listen));
    let response = stage.gateway.send(request.body(Full::default()).unwrap()).await;
    assert_eq!(response.headers()["content-type"], "text/csv");
    let mut body = response.into_body();
    assert_eq!(piece(&mut body).await, "a,b\n");
    stage.gate.add_permits(1);
    assert!(within(body.collect()).await.is_err());
    eventually("it is counted as cut", async || {
        let stable = stage.gateway.metrics("stable").await;
        stable["truncated"] == 1 && stable["errors"] == 1 && stable["in_flight"] == 0
    })
    .await;
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_stream() {
    let mut stage = Stage::start_with("workers: 1", "").await;
    let response = watch(&stage, "name=endless&count=1", LINES).await;
    let mut body = response.into_body();
    assert_eq!(piece(&mut body).await, "{\"count\":1}\n");
    assert_eq!(stage.gateway.metrics("stable").await["in_flight"], 1);
    drop(body);
    stage.backend.saw("watch dropped").await;
    eventually("it was answered, and is no error", async || {
        let stable = stage.gateway.metrics("stable").await;
        stable["requests"] == 1 && stable["errors"] == 0 && stable["in_flight"] == 0
    })
    .await;
    // The connection has other calls, and goes on.
    assert_eq!(stage.gateway.get("/v1/items/n", &[]).await.status, 200);
    assert_eq!(stage.backend.connections(), 1);
}

#[tokio::test]
async fn a_stream_may_begin_later_than_a_single_answer_and_keeps_the_callers_deadline() {
    let mut stage = Stage::start_with("upstream_timeout_ms: 300", "").await;
    let gate = std::sync::Arc::clone(&stage.gate);
    // The gateway's limit for a single answer is over by then.
    let later = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(700)).await;
        gate.add_permits(1);
    });
    let answer = stage.gateway.get("/v1/watch?name=gate&count=1", LINES).await;
    assert_eq!((answer.status, answer.text()), (200, "{\"count\":1}\n"));
    later.await.unwrap();

    let ended = |answer: &Answer, last: &str| {
        let error: Value = serde_json::from_str(answer.text().lines().last().unwrap()).unwrap();
        assert_eq!(
            (answer.status, &error["error"]["code"]),
            (200, &4.into()),
            "{answer:?}"
        );
        let message = error["error"]["message"].as_str().unwrap();
        assert!(message.contains(last), "{message}");
    };
    let headers = [LINES[0], ("x-request-timeout", "600ms")];
    let answer = stage
        .gateway
        .get("/v1/watch?name=endless&count=1", &headers)
        .await;
    ended(&answer, "");
    stage.backend.saw("watch dropped").await;
    let answer = stage
        .gateway
        .get("/v1/watch?name=gate&count=1", &[("x-request-timeout", "600ms")])
        .await;
    assert_eq!(answer.error(), (504, 4));

    let mut stage = Stage::start_with("limits: { stream_idle_timeout_ms: 400 }", "").await;
    let answer = stage.gateway.get("/v1/watch?name=endless&count=1", LINES).await;
    ended(&answer, "made no progress");
    stage.backend.saw("watch dropped").await;
    let stable = stage.gateway.metrics("stable").await;
    assert_eq!((&stable["truncated"], &stable["errors"]), (&1.into(), &1.into()));
}

#[tokio::test]
async fn a_backend_that_dies_in_a_stream_is_told_last() {
    let stage = Stage::start().await;
    let response = watch(&stage, "name=endless&count=1", &[]).await;
    let mut body = response.into_body();
    assert_eq!(piece(&mut body).await, "[{\"count\":1}");
    drop(stage.backend);
    let rest = within(body.collect()).await.unwrap().to_bytes();
    assert_eq!(
        rest,
        r#",{"error":{"code":14,"message":"the answer broke off","details":[]}}]"#
    );
    let stable = stage.gateway.metrics("stable").await;
    assert_eq!(
        (&stable["requests"], &stable["truncated"], &stable["errors"]),
        (&1.into(), &1.into(), &1.into())
    );
}

#[tokio::test]
async fn a_client_that_reads_slowly_slows_the_backend() {
    const ITEMS: usize = 1500;
    let stage = Stage::start().await;
    let response = watch(&stage, &format!("name=flood&count={ITEMS}"), LINES).await;
    let made = || stage.made.load(Ordering::SeqCst);
    // Until buffers are full nothing stands still for so long.
    let mut before = 0;
    eventually("the backend stops", async || {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let stopped = made() > 0 && made() == before;
        before = made();
        stopped
    })
    .await;
    assert!(made() < ITEMS, "{} of {ITEMS} were sent to nobody", made());
    let whole = within(response.into_body().collect()).await.unwrap().to_bytes();
    assert_eq!(whole.iter().filter(|byte| **byte == b'\n').count(), ITEMS);
}

#[tokio::test]
async fn head_of_a_stream_has_no_body_and_ends_the_call() {
    let mut stage = Stage::start().await;
    let answer = stage
        .gateway
        .request("HEAD", "/v1/watch?name=endless&count=1", LINES, "")
        .await;
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    assert_eq!(answer.header("content-type"), "application/x-ndjson");
    stage.backend.saw("watch dropped").await;
}
