use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use tminus_load::http::{HttpConfig, HttpReport, run, start};
use tminus_load::schedule::Arrivals;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

struct Backend {
    url: String,
    sessions: Arc<Mutex<HashMap<String, u64>>>,
    answering: watch::Sender<bool>,
}

/// Answers `/` with 200, every fourth time with 500; players with an even key are served by v1.3.
async fn backend(fail_every: u64) -> Backend {
    let sessions: Arc<Mutex<HashMap<String, u64>>> = Arc::default();
    let answering = watch::Sender::new(true);
    let (seen, gate, count) = (sessions.clone(), answering.clone(), Arc::new(AtomicU64::new(0)));
    let answer = move |headers: HeaderMap| async move {
        let key = headers["x-session-id"].to_str().unwrap().to_owned();
        let even = key.ends_with(['0', '2', '4', '6', '8']);
        *seen.lock().unwrap().entry(key).or_default() += 1;
        gate.subscribe().wait_for(|a| *a).await.unwrap();
        let n = count.fetch_add(1, SeqCst) + 1;
        let failed = fail_every > 0 && n.is_multiple_of(fail_every);
        let status = if failed {
            StatusCode::INTERNAL_SERVER_ERROR
        } else {
            StatusCode::OK
        };
        (
            status,
            [("x-served-version", if even { "v1.3" } else { "v1.2" })],
            "hello",
        )
            .into_response()
    };
    let app = axum::Router::new().route("/hello", axum::routing::any(answer));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    Backend {
        url,
        sessions,
        answering,
    }
}

fn config(backend: &Backend) -> HttpConfig {
    HttpConfig {
        rate_per_s: 200.0,
        arrivals: Arrivals::Uniform,
        duration: Duration::from_millis(500),
        players: 10,
        timeout: Duration::from_secs(20),
        ..HttpConfig::new(&backend.url, "/hello?x=1")
    }
}

async fn report(config: HttpConfig) -> HttpReport {
    run(config, CancellationToken::new()).await.unwrap()
}

#[tokio::test]
async fn everything_that_is_due_is_sent_and_told_apart_by_status_version_and_player() {
    let backend = backend(4).await;
    let report = report(config(&backend)).await;
    assert_eq!((report.requests, report.errors, report.not_sent), (100, 25, 0));
    assert_eq!(report.statuses, [(200, 75), (500, 25)].into());
    assert_eq!(
        (report.versions["v1.2"].commands, report.versions["v1.3"].commands),
        (50, 50)
    );
    assert_eq!(report.versions.values().map(|v| v.errors).sum::<u64>(), 25);
    assert_eq!(report.players_moved, 0);
    let sessions = backend.sessions.lock().unwrap();
    assert!(
        sessions.len() == 10 && sessions.values().all(|n| *n == 10),
        "{sessions:?}"
    );
    let m = report.measurements();
    assert_eq!(
        (
            m["error_rate_percent"].0,
            m["version_v1_3_percent"].0,
            m["status_500"].0
        ),
        (25.0, 50.0, 25.0)
    );
}

#[tokio::test]
async fn a_generator_later_than_its_limit_makes_a_run_void() {
    let backend = backend(0).await;
    for (generator_lag_max, valid) in [(Duration::ZERO, false), (Duration::from_secs(3_600), true)] {
        let report = report(HttpConfig {
            generator_lag_max,
            ..config(&backend)
        })
        .await;
        assert_eq!(
            (report.valid, report.notes.is_empty()),
            (valid, valid),
            "{report:#?}"
        );
    }
}

#[tokio::test]
async fn a_pause_is_charged_from_the_intended_start_and_a_full_pipe_is_counted() {
    let backend = backend(0).await;
    backend.answering.send_replace(false);
    let mut handle = start(
        HttpConfig {
            in_flight_max: 60,
            ..config(&backend)
        },
        CancellationToken::new(),
    )
    .unwrap();
    // 100 are due, 60 fit: the rest is not sent, and that is known before any answer.
    handle.snapshots.wait_for(|s| s.errors == 40).await.unwrap();
    backend.answering.send_replace(true);
    let report = handle.join().await.unwrap();
    assert_eq!((report.requests, report.not_sent, report.errors), (100, 40, 40));
    // The first request was due half a second before the last, and nothing was answered before.
    assert!(report.response.max_ms >= 490.0, "{report:#?}");
}

#[tokio::test]
async fn timeouts_and_refused_connections_are_errors() {
    let backend = backend(0).await;
    backend.answering.send_replace(false);
    let slow = HttpConfig {
        timeout: Duration::from_millis(100),
        rate_per_s: 20.0,
        ..config(&backend)
    };
    let timed_out = report(slow).await;
    assert_eq!(
        (timed_out.requests, timed_out.errors, timed_out.timeouts),
        (10, 10, 10)
    );
    assert_eq!(timed_out.versions["unknown"].timeouts, 10);

    let nobody = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let refused = report(HttpConfig {
        target: nobody,
        rate_per_s: 20.0,
        ..config(&backend)
    })
    .await;
    assert_eq!(
        (refused.errors, refused.connection_errors, refused.response.count),
        (10, 10, 0)
    );
    assert!(
        !refused.measurements().contains_key("p99_ms"),
        "no answer has no latency"
    );
}

#[tokio::test]
async fn a_player_that_two_versions_answer_has_moved() {
    let backend = backend(0).await;
    // One key for all requests of a player is what keeps it in place; here the key is taken away.
    let fixed = HttpConfig {
        headers: [("x-session-id".into(), "key-2".into())].into(),
        ..config(&backend)
    };
    let report = report(fixed).await;
    assert_eq!((report.players_moved, report.versions.len()), (0, 1));
    assert_eq!(backend.sessions.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn wrong_settings_are_refused() {
    let backend = backend(0).await;
    for (config, expected) in [
        (
            HttpConfig {
                rate_per_s: 0.0,
                ..config(&backend)
            },
            "rate_per_s",
        ),
        (
            HttpConfig {
                path: "hello".into(),
                ..config(&backend)
            },
            "path",
        ),
        (
            HttpConfig {
                method: "G ET".into(),
                ..config(&backend)
            },
            "method",
        ),
        (
            HttpConfig {
                players: 0,
                ..config(&backend)
            },
            "players",
        ),
        (
            HttpConfig {
                target: "nowhere".into(),
                ..config(&backend)
            },
            "target",
        ),
    ] {
        let error = run(config, CancellationToken::new())
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{error}");
    }
}
