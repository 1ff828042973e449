//! The admin API: weights, draining, metrics.

use serde_json::json;

use super::backend::Backend;
use super::support::Gateway;

#[tokio::test]
async fn weights_are_read_and_replaced_as_a_whole_or_not_at_all() {
    let backend = Backend::start("stable").await;
    let gateway = Gateway::before(backend.address);
    let weights = async || gateway.ask_admin("GET", "/weights", &[], "").await.json();
    assert_eq!(
        weights().await,
        json!({ "default": { "stable": 100, "canary": 0 } })
    );
    for bad in [
        r#"{"stable":70,"canary":20}"#,
        r#"{"stable":170,"canary":-70}"#,
        r#"{"stable":70.505,"canary":29.495}"#,
        r#"{"stable":4294967295,"canary":101}"#,
        r#"{"stable":70,"canery":30}"#,
        r#"{"stable":"70","canary":"30"}"#,
        r#"{"default":{"stable":100}}"#,
        "[]",
        "{}",
        "",
    ] {
        assert_eq!(
            gateway.ask_admin("PUT", "/weights", &[], bad).await.error(),
            (400, 3),
            "{bad}"
        );
    }
    assert_eq!(
        weights().await,
        json!({ "default": { "stable": 100, "canary": 0 } })
    );
    assert_eq!(
        gateway
            .ask_admin("PUT", "/weights", &[], r#"{"canary":100}"#)
            .await
            .status,
        200
    );
    assert_eq!(
        weights().await,
        json!({ "default": { "stable": 0, "canary": 100 } })
    );
    assert_eq!(gateway.get("/who", &[]).await.header("x-served-version"), "v1.3");
    assert_eq!(gateway.metrics("canary").await["weight"], 100);
}

#[tokio::test]
async fn what_there_is_not_is_said_so() {
    let backend = Backend::start("stable").await;
    let gateway = Gateway::before(backend.address);
    for path in ["/backends/nobody/drain", "/backends/nobody/undrain"] {
        let answer = gateway.ask_admin("POST", path, &[], "").await;
        assert_eq!(answer.error(), (404, 5));
        assert!(answer.text().contains("canary, stable"), "{}", answer.text());
    }
    assert_eq!(
        gateway.ask_admin("GET", "/nothing", &[], "").await.error(),
        (404, 5)
    );
    assert_eq!(
        gateway.ask_admin("DELETE", "/weights", &[], "").await.error(),
        (405, 12)
    );
    assert_eq!(
        gateway.ask_admin("GET", "/healthz", &[], "").await.json(),
        json!({ "status": "ok" })
    );
}

#[tokio::test]
async fn a_web_page_cannot_drain_a_backend() {
    let backend = Backend::start("stable").await;
    let gateway = Gateway::before(backend.address);
    let from_page = [("origin", "https://elsewhere.example")];
    let answer = gateway
        .ask_admin("POST", "/backends/stable/drain", &from_page, "")
        .await;
    assert_eq!(answer.error(), (403, 7));
    assert_eq!(gateway.metrics("stable").await["draining"], false);
}

#[tokio::test]
async fn metrics_count_each_request_once_at_its_backend() {
    let backend = Backend::start("stable").await;
    let gateway = Gateway::before(backend.address);
    for (status, times) in [(200, 3), (404, 2), (500, 1), (503, 2)] {
        for _ in 0..times {
            assert_eq!(
                gateway.get(&format!("/status/{status}"), &[]).await.status,
                status
            );
        }
    }
    gateway.get("/status/200", &[("x-version", "v1.3")]).await;
    let stable = gateway.metrics("stable").await;
    assert_eq!(stable["version"], "v1.2");
    assert_eq!(stable["weight"], 100);
    assert_eq!(stable["draining"], false);
    assert_eq!(
        (&stable["requests"], &stable["errors"], &stable["in_flight"]),
        (&8.into(), &3.into(), &0.into())
    );
    assert_eq!(
        stable["statuses"],
        json!({ "200": 3, "404": 2, "500": 1, "503": 2 })
    );
    let buckets = stable["latency_us_buckets"].as_array().unwrap();
    assert_eq!(buckets.len(), 141);
    assert_eq!(
        (&buckets[0][0], &buckets[140][0]),
        (&100.into(), &60_000_000.into())
    );
    assert_eq!(
        buckets
            .iter()
            .map(|bucket| bucket[1].as_u64().unwrap())
            .sum::<u64>(),
        8
    );
    // All from one address: one fault, and what follows from it. Another player's is another fault.
    assert_eq!(stable["errors_repeated"], 2);
    for session in ["one", "two", "one"] {
        gateway.get("/status/500", &[("x-session-id", session)]).await;
    }
    let stable = gateway.metrics("stable").await;
    assert_eq!(
        (&stable["errors"], &stable["errors_repeated"]),
        (&6.into(), &3.into())
    );
    let canary = gateway.metrics("canary").await;
    assert_eq!((&canary["requests"], &canary["errors"]), (&1.into(), &0.into()));

    let text = gateway.ask_admin("GET", "/metrics", &[], "").await;
    assert_eq!(text.header("content-type"), "text/plain; version=0.0.4");
    let line = r#"tminus_gateway_responses_total{backend="stable",version="v1.2",status="404"} 2"#;
    assert!(text.text().lines().any(|have| have == line), "{}", text.text());
}

#[tokio::test]
async fn a_gateway_that_stops_says_goodbye_and_frees_its_ports() {
    let backend = Backend::start("stable").await;
    let gateway = Gateway::before(backend.address);
    let (listen, admin) = (gateway.listen, gateway.admin);
    assert_eq!(gateway.get("/who", &[]).await.status, 200);
    gateway.stop().await;
    for address in [listen, admin] {
        assert!(
            tokio::net::TcpStream::connect(address).await.is_err(),
            "{address} still answers"
        );
    }
}
