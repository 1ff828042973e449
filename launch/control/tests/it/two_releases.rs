//! Two releases of a small service, the router before them, and a canary gate's specification.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::get;
use tminus_control::gates::router::{self, Router as Steered};
use tminus_control::gates::{CouldNotRun, Measured};
use tminus_plan::{CanarySpec, GateKind, Plan, Variables};

/// One release: it says who it is, remembers who asked, and counts as Prometheus likes it.
#[derive(Debug, Default)]
pub struct Release {
    version: String,
    pub requests: AtomicU64,
    pub errors: AtomicU64,
    /// Every so many requests fail; 0 for none.
    pub fails_each: AtomicU64,
    /// Whether `/metrics` answers.
    pub hidden: AtomicBool,
    pub players: Mutex<Vec<String>>,
}

/// A release that is running; `address` is `127.0.0.1:PORT`.
pub async fn release(version: &str) -> (String, Arc<Release>) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let release = Arc::new(Release {
        version: version.to_owned(),
        ..Release::default()
    });
    let app = Router::new()
        .route("/metrics", get(metrics))
        .fallback(answer)
        .with_state(Arc::clone(&release));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, app).await });
    (address, release)
}

async fn answer(State(release): State<Arc<Release>>, headers: HeaderMap) -> impl IntoResponse {
    let number = release.requests.fetch_add(1, Ordering::Relaxed) + 1;
    if let Some(player) = headers.get("x-player-id") {
        let player = player.to_str().unwrap().to_owned();
        release.players.lock().unwrap().push(player);
    }
    let each = release.fails_each.load(Ordering::Relaxed);
    let fails = each > 0 && number.is_multiple_of(each);
    if fails {
        release.errors.fetch_add(1, Ordering::Relaxed);
    }
    let status = if fails {
        StatusCode::INTERNAL_SERVER_ERROR
    } else {
        StatusCode::OK
    };
    (status, [("x-served-version", release.version.clone())], "hello")
}

async fn metrics(State(release): State<Arc<Release>>) -> impl IntoResponse {
    if release.hidden.load(Ordering::Relaxed) {
        return (StatusCode::SERVICE_UNAVAILABLE, String::new());
    }
    let (version, requests) = (&release.version, release.requests.load(Ordering::Relaxed));
    let errors = release.errors.load(Ordering::Relaxed);
    let mut text = format!("http_requests_total{{release=\"{version}\"}} {requests}\n");
    // As most libraries do it: no series before the first error.
    if errors > 0 {
        text += &format!("http_errors_total{{release=\"{version}\"}} {errors}\n");
    }
    for (le, count) in [("0.1", requests), ("0.25", requests), ("+Inf", requests)] {
        text += &format!("http_seconds_bucket{{release=\"{version}\",le=\"{le}\"}} {count}\n");
    }
    text += &format!(
        "carts_total{{release=\"{version}\"}} {requests}\ncarts_lost_total{{release=\"{version}\"}} 0\n"
    );
    (StatusCode::OK, text)
}

/// A canary gate of these fields, with its variables replaced.
pub fn canary(fields: &str, variables: &[(&str, &str)]) -> (Plan, Box<CanarySpec>) {
    let indented: String = fields.lines().map(|line| format!("        {line}\n")).collect();
    let text = format!(
        "name: T\nversion: v1\nitems:\n  - id: canary\n    number: 1\n    title: {{ zh: 灰度, en: Canary }}\n    \
         window: {{ from_h: 0, to_h: 1 }}\n    owner: sre\n    criterion: {{ zh: 好, en: good }}\n    gates:\n      \
         - id: rollout\n        kind: canary\n        stable: stable\n        canary: canary\n{indented}"
    );
    let variables: Variables = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let plan = Plan::parse(&text, "t.yaml").unwrap_or_else(|error| panic!("{error}\n{text}"));
    match plan.resolve_gate("canary", "rollout", false, &variables).unwrap() {
        GateKind::Canary(spec) => (plan, spec),
        other => panic!("{other:?}"),
    }
}

/// The router of a gate.
pub async fn steered(spec: &CanarySpec) -> Result<Box<dyn Steered>, CouldNotRun> {
    Ok(router::connect(spec, 1).await?.0)
}

/// Why it could not run, with its hint.
pub fn said<T>(result: Result<T, CouldNotRun>) -> String {
    match result {
        Ok(_) => panic!("it could"),
        Err(error) => format!("{}; {}", error.why, error.hint.unwrap_or_default()),
    }
}

/// Which release each of so many players meets.
pub async fn who_meets_whom(url: &str, players: u32, pin: Option<&str>) -> BTreeMap<u32, String> {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut met = BTreeMap::new();
    for player in 0..players {
        let mut request = client.get(url).header("x-player-id", format!("p{player}"));
        if let Some(version) = pin {
            request = request.header("x-version", version);
        }
        let answer = request.send().await.unwrap();
        let version = answer.headers()["x-served-version"].to_str().unwrap().to_owned();
        met.insert(player, version);
    }
    met
}

/// A note of the evidence.
pub fn has_note(measured: &Measured, part: &str) -> bool {
    measured.notes.iter().any(|note| note.contains(part))
}
