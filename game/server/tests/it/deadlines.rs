//! A call does not outlive its caller.

use std::time::Duration;

use http::{Method, StatusCode};
use starvault_server::{FaultKind, Injection, LegacySessions, SessionFormat};
use starvault_wire::{
    Codec,
    v1::{Ping, client_frame::Command, error::Code},
};

use crate::support::{Running, folder, hold, request, request_with, soon, store};

/// A server that answers no player.
async fn stalled(folder: &tempfile::TempDir, route_max: Duration) -> Running {
    Running::start(folder, "v1.3", move |config| {
        let injection = Injection::new(FaultKind::Stall, 1.0);
        config.injection = Some(Injection {
            stall_after: Duration::ZERO,
            ..injection
        });
        config.limits.request_timeout = route_max;
    })
    .await
}

#[tokio::test]
async fn work_that_takes_longer_than_its_caller_waits_is_given_up_in_the_callers_protocol() {
    let folder = folder();
    // Longer than the test has patience: only the caller's own limit can end these.
    let server = stalled(&folder, Duration::from_secs(3_600)).await;
    for (name, value) in [
        ("x-request-timeout", "50ms"),
        ("grpc-timeout", "50000u"),
        ("x-envoy-expected-rq-timeout-ms", "50"),
    ] {
        let headers = [(name, value)];
        let asked = request(
            server.address,
            Method::POST,
            "/v1/guests",
            &headers,
            String::new(),
        );
        let answer = soon(name, asked).await;
        assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT, "{name}");
        assert_eq!(answer.json()["code"], 4, "{name}");
        assert_eq!(answer.headers["x-release"], "v1.3", "{name}");
    }
    let headers = [
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("grpc-timeout", "50m"),
    ];
    let path = "/starvault.v1.PlayerService/SignInAsGuest";
    let asked = request_with(
        server.address,
        Method::POST,
        path,
        &headers,
        "\0\0\0\0\0".into(),
        true,
    );
    let answer = soon("gRPC", asked).await;
    assert_eq!(
        (answer.status, answer.headers["grpc-status"].as_bytes()),
        (StatusCode::OK, &b"4"[..])
    );
    server.stop().await;
}

#[tokio::test]
async fn nobody_waits_longer_than_the_server_allows() {
    let folder = folder();
    let server = stalled(&folder, Duration::from_millis(50)).await;
    let headers = [("x-request-timeout", "3600s")];
    let asked = request(
        server.address,
        Method::POST,
        "/v1/guests",
        &headers,
        String::new(),
    );
    let answer = soon("the server's own limit", asked).await;
    assert_eq!(
        (answer.status, &answer.json()["code"]),
        (StatusCode::GATEWAY_TIMEOUT, &4.into())
    );
    server.stop().await;
}

#[tokio::test]
async fn a_limit_that_cannot_be_read_is_refused_before_anything_is_done() {
    let folder = folder();
    let server = Running::start(&folder, "v1.3", |_| {}).await;
    for (name, value) in [
        ("grpc-timeout", "999999999n"),
        ("grpc-timeout", "0m"),
        ("grpc-timeout", "-1m"),
        ("grpc-timeout", "5"),
        ("x-request-timeout", "soon"),
        ("x-request-timeout", "1.5"),
        ("x-envoy-expected-rq-timeout-ms", "1s"),
    ] {
        let answer = server.get("/v1/version", &[(name, value)]).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{name}: {value}");
        let error = answer.json();
        assert_eq!(error["code"], 3, "{name}: {value}");
        assert!(error["message"].as_str().unwrap().contains(name), "{error}");
        let headers = [
            ("content-type", "application/grpc"),
            ("te", "trailers"),
            (name, value),
        ];
        let path = "/starvault.v1.SystemService/GetVersion";
        let answer = request_with(
            server.address,
            Method::POST,
            path,
            &headers,
            "\0\0\0\0\0".into(),
            true,
        )
        .await;
        assert_eq!(answer.headers["grpc-status"], "3", "{name}: {value}");
    }
    server.stop().await;
}

/// The store is busy, the caller leaves: what has not begun is not begun any more.
#[tokio::test]
async fn a_write_that_nobody_waits_for_is_not_made() {
    let folder = folder();
    let server = Running::start(&folder, "v1.3", |_| {}).await;
    server.sign_in("Ada").await;
    let held = hold(&folder);
    let headers = [("x-request-timeout", "50ms")];
    let body = "{\"displayName\":\"Nobody\"}".to_owned();
    let answer = request(server.address, Method::POST, "/v1/guests", &headers, body).await;
    assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT);
    drop(held);
    // Writes are made in their order: with this one, the one before is decided.
    server.sign_in("Bo").await;
    let database = rusqlite::Connection::open(store(folder.path())).unwrap();
    let mut statement = database
        .prepare("SELECT display_name FROM players ORDER BY display_name")
        .unwrap();
    let names = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
    assert_eq!(names.map(Result::unwrap).collect::<Vec<_>>(), ["Ada", "Bo"]);
    server.stop().await;
}

/// Whoever shows a session waits for the store of sessions, but not longer than said.
#[tokio::test]
async fn a_store_that_takes_connections_and_says_nothing_ends_with_the_deadline() {
    let (folder, silent) = (folder(), std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let address = silent.local_addr().unwrap();
    let server = Running::start(&folder, "v1.3", |config| {
        config.credentials.sessions = Some(LegacySessions {
            redis: format!("redis://{address}").parse().unwrap(),
            format: SessionFormat::Json,
            key_prefix: "sess:".into(),
            player_field: "player_id".into(),
            cookie: None,
        });
    })
    .await;
    let headers = [("x-session-id", "S1"), ("x-request-timeout", "20ms")];
    let answer = soon("504", server.get("/v1/players/me", &headers)).await;
    // Not 503, which the store's own limit would lead to.
    assert_eq!(
        (answer.status, &answer.json()["code"]),
        (StatusCode::GATEWAY_TIMEOUT, &4.into())
    );
    // It was connecting.
    silent.set_nonblocking(true).unwrap();
    silent.accept().unwrap();
    server.stop().await;
}

#[tokio::test]
async fn a_command_on_a_socket_that_takes_too_long_is_given_up() {
    let folder = folder();
    let server = Running::start(&folder, "v1.3", |config| {
        config.injection = Some(Injection::new(FaultKind::Latency, 1.0));
        config.limits.command_timeout = Duration::from_millis(20);
    })
    .await;
    let ada = server.sign_in("Ada").await;
    let mut ada = server.connect(&ada, Codec::Json).await;
    assert_eq!(ada.refused(Command::Ping(Ping {})).await, Code::Unavailable);
    // And the conversation goes on.
    assert_eq!(ada.refused(Command::Ping(Ping {})).await, Code::Unavailable);
    server.stop().await;
}
