use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse as _;
use axum::routing::get;
use tminus_control::gates::{command, http};
use tminus_plan::{CommandSpec, GateKind, HttpSpec, Plan, Variables};

use crate::hands::hands;

fn shell(script: &str, timeout_s: f64) -> CommandSpec {
    CommandSpec {
        argv: vec!["/bin/sh".into(), "-c".into(), script.into()],
        timeout_s,
        cwd: None,
        json_measurements: true,
    }
}

#[tokio::test]
async fn a_commands_numbers_and_exit_code_are_measured() {
    let script =
        "echo working; echo '{\"lost\": 0, \"exit_code\": 0, \"games\": {\"open\": 4}}'; echo oh >&2; exit 3";
    let measured = command::run(&shell(script, 20.0), &hands()).await.unwrap();
    let value = |name: &str| measured.measurements[name].value;
    assert_eq!((value("lost"), value("games_open")), (0.0, 4.0));
    // What the program claims about its own exit does not count.
    assert_eq!(value("exit_code"), 3.0);
    assert!(
        measured.notes.contains(&"stderr: oh".to_owned()),
        "{:?}",
        measured.notes
    );
}

#[tokio::test]
async fn output_is_bounded_and_digested_whole() {
    use sha2::Digest as _;
    let measured = command::run(&shell("head -c 3000000 /dev/zero", 20.0), &hands())
        .await
        .unwrap();
    assert_eq!(measured.measurements["stdout_bytes"].value, 3_000_000.0);
    assert_eq!(
        measured.inputs["stdout_sha256"],
        hex::encode(sha2::Sha256::digest(vec![0_u8; 3_000_000]))
    );
}

#[tokio::test]
async fn a_command_that_does_not_end_is_stopped_with_all_it_started_and_has_no_answer() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("alive");
    // The grandchild holds the pipe open as long as it lives.
    let script = format!("mkfifo {0}; sleep 600 > {0} & sleep 600", fifo.display());
    let run = tokio::spawn(async move { command::run(&shell(&script, 1.0), &hands()).await });
    while !fifo.exists() {
        tokio::task::yield_now().await;
    }
    let reader = tokio::task::spawn_blocking(move || std::fs::read(fifo));
    let why = run.await.unwrap().unwrap_err().why;
    assert!(why.contains("did not end within 1 s"), "{why}");
    // Ends only when the grandchild has.
    assert_eq!(reader.await.unwrap().unwrap(), b"");
}

#[tokio::test]
async fn a_program_that_is_not_there_could_not_run() {
    let spec = CommandSpec {
        argv: vec!["/no/such/program".into()],
        timeout_s: 5.0,
        cwd: None,
        json_measurements: false,
    };
    let why = command::run(&spec, &hands()).await.unwrap_err().why;
    assert!(
        why.contains("/no/such/program") && why.contains("No such file"),
        "{why}"
    );
}

/// A server that serves every third player by v2, and nobody without a player.
async fn server() -> (String, Arc<AtomicU64>) {
    let count = Arc::new(AtomicU64::new(0));
    let app = Router::new()
        .route(
            "/v1/version",
            get(
                |State(count): State<Arc<AtomicU64>>, headers: HeaderMap| async move {
                    let n = count.fetch_add(1, Ordering::SeqCst);
                    let version = if n.is_multiple_of(3) { "v2" } else { "v1" };
                    let player = headers
                        .get("x-session-id")
                        .and_then(|v| v.to_str().ok())
                        .unwrap_or("")
                        .to_owned();
                    (
                        [("x-served-version", version)],
                        format!("{{\"release\":\"{version}\",\"player\":\"{player}\"}}"),
                    )
                },
            ),
        )
        .route(
            "/private",
            get(|| async { (StatusCode::UNAUTHORIZED, "{\"code\":16}").into_response() }),
        )
        .with_state(Arc::clone(&count));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    (format!("http://{address}"), count)
}

fn http_spec(url: &str, more: &str) -> HttpSpec {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let yaml = format!(
        "name: T\nversion: v1\nitems:\n  - id: item\n    number: 1\n    title: {{ zh: 一, en: One }}\n    \
         window: {{ from_h: 0, to_h: 1 }}\n    owner: qa\n    criterion: {{ zh: 好, en: good }}\n    gates:\n      \
         - id: gate\n        kind: http\n        url: {url}\n{more}"
    );
    let plan = Plan::parse(&yaml, "t.yaml").unwrap();
    match plan
        .resolve_gate("item", "gate", false, &Variables::new())
        .unwrap()
    {
        GateKind::Http(spec) => spec,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn every_answer_is_compared_and_mismatches_are_counted_with_their_reason() {
    let (base, count) = server().await;
    let spec = http_spec(
        &format!("{base}/v1/version"),
        "        repeat: 30\n        expect_headers: { x-served-version: v1 }\n",
    );
    let measured = http::run(&spec, &hands()).await.unwrap();
    assert_eq!(count.load(Ordering::SeqCst), 30);
    assert_eq!(measured.measurements["requests"].value, 30.0);
    assert_eq!(measured.measurements["mismatches"].value, 10.0);
    assert!(
        measured
            .notes
            .iter()
            .any(|n| n.starts_with("10 × ") && n.contains("x-served-version")),
        "{:?}",
        measured.notes
    );

    let spec = http_spec(
        &format!("{base}/private"),
        "        expect_status: 401\n        expect_json: { /code: 16 }\n",
    );
    assert_eq!(
        http::run(&spec, &hands()).await.unwrap().measurements["mismatches"].value,
        0.0
    );
}

#[tokio::test]
async fn a_split_is_counted_over_distinct_players() {
    let (base, count) = server().await;
    let split = "        split:\n          header: x-served-version\n          shares: { v1: 67, v2: 33 }\n          \
                 key_header: x-session-id\n          keys: 300\n        expect: [split_sigmas <= 3]\n";
    let measured = http::run(&http_spec(&format!("{base}/v1/version"), split), &hands())
        .await
        .unwrap();
    assert_eq!(count.load(Ordering::SeqCst), 300);
    assert!(measured.measurements["split_sigmas"].value < 1.0);
    assert!(
        measured.notes.iter().any(|n| n.starts_with("v2: 100 of 300")),
        "{:?}",
        measured.notes
    );

    let all_new = split.replace("{ v1: 67, v2: 33 }", "{ v2: 100 }");
    let measured = http::run(&http_spec(&format!("{base}/v1/version"), &all_new), &hands())
        .await
        .unwrap();
    assert!(measured.measurements["split_sigmas"].value > 100.0);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_no_failure_but_no_answer() {
    // A port that was just free.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let spec = http_spec(&format!("http://127.0.0.1:{port}/"), "        repeat: 3\n");
    let why = http::run(&spec, &hands()).await.unwrap_err().why;
    assert!(
        why.contains("gives no answer") && why.contains("refused"),
        "{why}"
    );
}

#[test]
fn measurements_of_gates_have_names_that_plans_can_write() {
    let names = BTreeMap::from([("split_sigmas", ()), ("exit_code", ())]);
    for name in names.keys() {
        assert!(tminus_plan::Expectation::parse(&format!("{name} <= 1")).is_ok());
    }
}
