//! Backends that cannot answer get nothing new while another one can.

use super::backend::Backend;
use super::raw::nobody;
use super::support::{Gateway, Settings, eventually};

const FAST: &str = "health: { every_ms: 5, timeout_ms: 500, fall: 2, rise: 2";

async fn until_healthy(gateway: &Gateway, backend: &str, healthy: bool) {
    eventually("it counts as healthy, or not", async || {
        gateway.metrics(backend).await["healthy"] == healthy
    })
    .await;
}

#[tokio::test]
async fn a_backend_that_fails_its_checks_is_left_until_it_answers_again() {
    let canary = Backend::start("canary").await;
    // Somebody is going to listen there.
    let address = nobody().await;
    let settings = Settings {
        stable: format!(", {FAST}, path: /who }}"),
        ..Settings::default()
    };
    let gateway = Gateway::start(address, canary.address, &settings);
    until_healthy(&gateway, "stable", false).await;
    assert_eq!(gateway.get("/who", &[]).await.text(), "canary");
    let _stable = Backend::start_at("stable", address).await;
    until_healthy(&gateway, "stable", true).await;
    assert_eq!(gateway.get("/who", &[]).await.text(), "stable");
}

#[tokio::test]
async fn an_answer_that_is_an_error_is_no_health() {
    let backend = Backend::start("stable").await;
    let settings = Settings {
        stable: format!(", {FAST}, path: /status/503 }}"),
        ..Settings::default()
    };
    let gateway = Gateway::start(backend.address, backend.address, &settings);
    until_healthy(&gateway, "stable", false).await;
    assert_eq!(gateway.get("/who", &[]).await.header("x-served-version"), "v1.3");
}

#[tokio::test]
async fn a_backend_that_fails_requests_is_left_for_a_while_and_tried_again() {
    let canary = Backend::start("canary").await;
    let settings = Settings {
        more: "limits: { eject_after: 3, eject_ms: 300 }".to_owned(),
        ..Settings::default()
    };
    let gateway = Gateway::start(nobody().await, canary.address, &settings);
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(gateway.get("/who", &[]).await.status);
    }
    assert_eq!(statuses, [502, 502, 502, 200]);
    eventually("stable is tried again", async || {
        gateway.get("/who", &[]).await.status == 502
    })
    .await;
}

#[tokio::test]
async fn when_nobody_is_healthy_all_are_asked() {
    let settings = Settings {
        more: "limits: { eject_after: 1, eject_ms: 3600000 }".to_owned(),
        ..Settings::default()
    };
    let backend = Backend::start("canary").await;
    let gateway = Gateway::start(nobody().await, backend.address, &settings);
    assert_eq!(gateway.get("/who", &[]).await.status, 502);
    assert_eq!(gateway.get("/who", &[]).await.text(), "canary");
    gateway.drain("canary").await;
    assert_eq!(
        gateway.get("/who", &[]).await.status,
        502,
        "better asked than refused"
    );
}
