//! Faults on purpose: players meet them, launch control does not.

use std::time::Duration;

use http::{Method, StatusCode};
use starvault_server::{FaultKind, Injection};
use starvault_wire::{
    Codec,
    v1::{Ping, client_frame::Command},
};

use crate::support::{Running, bearer, folder, request, request_with};

/// How long nothing must come to count as no answer.
const SILENCE: Duration = Duration::from_millis(600);

async fn assert_healthy(server: &Running) {
    let health = server.get("/healthz", &[]).await;
    assert_eq!((health.status, health.text().as_str()), (StatusCode::OK, "ok"));
    assert_eq!(server.get("/v1/version", &[]).await.status, StatusCode::OK);
}

#[tokio::test]
async fn errors_hit_players_only() {
    let folder = folder();
    let server = Running::start(&folder, "v1.3", |config| {
        config.injection = Some(Injection::new(FaultKind::Errors, 1.0));
    })
    .await;
    let answer = request(server.address, Method::POST, "/v1/guests", &[], String::new()).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(answer.json()["code"], 13);
    assert_eq!(answer.headers["x-release"], "v1.3");
    assert_healthy(&server).await;
    server.stop().await;
}

#[tokio::test]
async fn a_stalling_release_answers_players_at_first_and_then_never() {
    let folder = folder();
    let server = Running::start(&folder, "v1.3", |config| {
        let injection = Injection::new(FaultKind::Stall, 1.0);
        config.injection = Some(Injection {
            stall_after: Duration::from_millis(1_500),
            ..injection
        });
        config.limits.disconnect_grace = Duration::from_millis(100);
    })
    .await;
    let mut table = server.two_in_a_game().await;
    let mut answered = 0;
    loop {
        let request_id = table.white.send(Command::Ping(Ping {})).await;
        let answer = table
            .white
            .until(|frame| (frame.request_id == request_id).then_some(()));
        if tokio::time::timeout(SILENCE, answer).await.is_err() {
            break;
        }
        answered += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(answered > 0, "it serves at first");
    let authorization = bearer(&table.white_in.token);
    let headers = [("authorization", authorization.as_str())];
    let profile = request_with(
        server.address,
        Method::GET,
        "/v1/players/me",
        &headers,
        String::new(),
        false,
    );
    assert!(tokio::time::timeout(SILENCE, profile).await.is_err());
    assert_healthy(&server).await;

    // Nothing comes any more, not even the end of the connection; and nobody forfeits by it.
    drop(table.white);
    table.black.send(Command::Ping(Ping {})).await;
    let silence = table.black.until(|frame| (frame.request_id != 0).then_some(()));
    assert!(tokio::time::timeout(SILENCE, silence).await.is_err());
    let healthy = Running::start(&folder, "v1.2", |_| {}).await;
    let mut black = healthy.connect(&table.black_in, Codec::Json).await;
    assert_eq!(black.resume(&table.game_id, 0).await.game.unwrap().outcome, None);
    // Even so it goes down in order.
    for running in [server, healthy] {
        running.stop().await;
    }
}

#[tokio::test]
async fn latency_delays_every_answer_and_loses_none() {
    let folder = folder();
    let server = Running::start(&folder, "v1.3", |config| {
        config.injection = Some(Injection::new(FaultKind::Latency, 1.0));
    })
    .await;
    let began = std::time::Instant::now();
    server.sign_in("Ada").await;
    assert!(began.elapsed() >= Duration::from_millis(400));
    server.stop().await;
}
