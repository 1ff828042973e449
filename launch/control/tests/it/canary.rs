use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::extract::{Path, State};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde_json::{Value, json};
use tminus_control::board::SharedBoard;
use tminus_control::gates::journal::Acknowledged;
use tminus_control::gates::live::Live;
use tminus_control::gates::{Approvals, GateRunner as _, Hands, Job, StepNote};
use tminus_control::wall::SystemWall;
use tminus_plan::{GateKind, Plan, RolloutVerdict, Variables};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// A gateway's admin side whose counters grow with every look, as its weights say.
#[derive(Debug, Default)]
struct Gateway {
    canary_weight: u64,
    /// The canary fails this share of its requests, in percent.
    canary_fails: u64,
    requests: BTreeMap<&'static str, u64>,
    errors: BTreeMap<&'static str, u64>,
    orders: Vec<String>,
}

type Shared = Arc<Mutex<Gateway>>;

async fn gateway(canary_fails: u64, canary_weight: u64) -> (String, Shared) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let shared: Shared = Arc::new(Mutex::new(Gateway {
        canary_fails,
        canary_weight,
        ..Gateway::default()
    }));
    let app = Router::new()
        .route(
            "/metrics.json",
            get(|State(g): State<Shared>| async move {
                let mut g = g.lock().unwrap();
                let weight = g.canary_weight;
                *g.requests.entry("stable").or_default() += 100 - weight;
                *g.requests.entry("canary").or_default() += weight;
                let failed = weight * g.canary_fails / 100;
                *g.errors.entry("canary").or_default() += failed;
                let side = |name: &str, version: &str, weight: u64| {
                    json!({
                        "version": version, "weight": weight, "draining": false,
                        "requests": g.requests.get(name).copied().unwrap_or(0),
                        "errors": g.errors.get(name).copied().unwrap_or(0),
                        "open_websockets": 0, "latency_us_buckets": [[1000, 5]],
                    })
                };
                Json(json!({ "backends": {
                    "stable": side("stable", "v1.2", 100 - weight), "canary": side("canary", "v1.3", weight),
                } }))
            }),
        )
        .route(
            "/weights",
            put(|State(g): State<Shared>, Json(weights): Json<Value>| async move {
                let mut g = g.lock().unwrap();
                g.canary_weight = weights["canary"].as_u64().unwrap();
                assert_eq!(weights["stable"].as_u64().unwrap() + g.canary_weight, 100);
                let order = format!("canary {}", g.canary_weight);
                g.orders.push(order);
                Json(json!({}))
            }),
        )
        .route(
            "/backends/{name}/{order}",
            post(
                |State(g): State<Shared>, Path((name, order)): Path<(String, String)>| async move {
                    g.lock().unwrap().orders.push(format!("{order} {name}"));
                    Json(json!({ "closed_websockets": 3 }))
                },
            ),
        )
        .with_state(Arc::clone(&shared));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    (format!("http://{address}"), shared)
}

const PLAN: &str = r#"
name: T
version: v1
items:
  - id: canary
    number: 1
    title: { zh: 灰度, en: Canary }
    window: { from_h: 0, to_h: 1 }
    owner: sre
    criterion: { zh: 好, en: good }
    gates:
      - id: rollout
        kind: canary
        gateway_admin: ${admin}
        stable: stable
        canary: canary
        steps: [20, 100]
        min_requests: 200
        hold_s: 0.1
        look_every_s: 0.1
        slow_ms: 250
        alpha: 0.01
        drain: true
        budgets: { step_s: 30, fast_kill_min: 1000, fast_kill_share: 0.5 }
"#;

pub struct Ran {
    pub measured: Result<tminus_control::gates::Measured, tminus_control::gates::CouldNotRun>,
    pub steps: Vec<(u32, RolloutVerdict)>,
}

/// Runs the gate with a person who lets it on as soon as it asks; tells what was asked for, and at which weight.
async fn run_with_approvals(admin: &str, shared: &Shared) -> (Ran, Vec<(String, u64)>) {
    let yaml = PLAN
        .replace(
            "steps: [20, 100]",
            "steps: [20, { weight: 100, approval: go-live }]",
        )
        .replace("    gates:", "    sign_offs: [sre]\n    gates:");
    let plan = Plan::parse(&yaml, "t.yaml").unwrap();
    let variables = Variables::from([("admin".to_owned(), admin.to_owned())]);
    let kind = plan.resolve_gate("canary", "rollout", false, &variables).unwrap();
    let (approvals, mut approver) = Approvals::channel();
    let shared = Arc::clone(shared);
    let person = tokio::spawn(async move {
        let mut asked = Vec::new();
        while approver.awaited.changed().await.is_ok() {
            let Some(name) = approver.awaited.borrow_and_update().clone() else {
                continue;
            };
            asked.push((name.clone(), shared.lock().unwrap().canary_weight));
            approver.give.send_modify(|given| {
                given.insert(name);
            });
        }
        asked
    });
    let ran = run_gate_with(&plan, kind, approvals, |_| false).await;
    (ran, person.await.unwrap())
}

/// Runs the gate; `stop_at` stops the launch when a step of that weight goes on record.
async fn run(admin: &str, stop_at: Option<u32>) -> Ran {
    let plan = Plan::parse(PLAN, "t.yaml").unwrap();
    let variables = Variables::from([("admin".to_owned(), admin.to_owned())]);
    let kind = plan.resolve_gate("canary", "rollout", false, &variables).unwrap();
    run_gate(&plan, kind, move |weight| Some(weight) == stop_at).await
}

/// The same for any plan; told of each step, and whether the launch is stopped there.
pub async fn run_gate(
    plan: &Plan,
    kind: GateKind,
    stops_at: impl FnMut(u32) -> bool + Send + 'static,
) -> Ran {
    run_gate_with(plan, kind, Approvals::channel().0, stops_at).await
}

async fn run_gate_with(
    plan: &Plan,
    kind: GateKind,
    approvals: Approvals,
    mut stops_at: impl FnMut(u32) -> bool + Send + 'static,
) -> Ran {
    let gate = plan.gate("canary", "rollout").unwrap().clone();
    let job = Job {
        item: "canary".into(),
        gate,
        kind,
        attempt: 1,
        started_at_ms: 0,
        timezone: None,
    };
    let folder = tempfile::tempdir().unwrap();
    let acknowledged = Acknowledged {
        folder: folder.path().to_owned(),
        merged: folder.path().join("all.jsonl"),
    };
    let live = Live {
        seed: 1,
        acknowledged,
        journal: None,
    };
    let (sender, mut notes) = mpsc::channel::<StepNote>(4);
    let stop = CancellationToken::new();
    let hands = Hands {
        stop: stop.clone(),
        board: SharedBoard::new(),
        steps: sender,
        approvals,
        wall: Arc::new(SystemWall),
    };
    let recorder = tokio::spawn(async move {
        let mut steps = Vec::new();
        while let Some(note) = notes.recv().await {
            steps.push((note.weight_percent, note.verdict));
            let _ = note.recorded.send(());
            if stops_at(note.weight_percent) {
                stop.cancel();
            }
        }
        steps
    });
    let measured = live.run(&job, &hands).await;
    drop(hands);
    Ran {
        measured,
        steps: recorder.await.unwrap(),
    }
}

#[tokio::test]
async fn a_sound_canary_gets_all_the_weight_step_by_step_each_on_record() {
    let (admin, shared) = gateway(0, 0).await;
    let ran = run(&admin, None).await;
    let measured = ran.measured.unwrap();
    assert_eq!(measured.measurements["final_weight_percent"].value, 100.0);
    assert_eq!(measured.measurements["rolled_back"].value, 0.0);
    assert_eq!(
        ran.steps,
        [(20, RolloutVerdict::Started), (100, RolloutVerdict::NotWorse)]
    );
    assert_eq!(
        shared.lock().unwrap().orders,
        ["canary 0", "undrain canary", "canary 20", "canary 100"]
    );
}

#[tokio::test]
async fn a_step_that_waits_for_a_person_is_entered_once_it_is_approved() {
    let (admin, shared) = gateway(0, 0).await;
    let (ran, asked) = run_with_approvals(&admin, &shared).await;
    assert_eq!(ran.measured.unwrap().measurements["finished"].value, 1.0);
    assert_eq!(asked, [("go-live".to_owned(), 20)]);
    assert_eq!(
        ran.steps,
        [(20, RolloutVerdict::Started), (100, RolloutVerdict::NotWorse)]
    );
}

#[tokio::test]
async fn a_canary_that_fails_is_taken_back_and_drained() {
    let (admin, shared) = gateway(30, 0).await;
    let ran = run(&admin, None).await;
    let measured = ran.measured.unwrap();
    assert_eq!(measured.measurements["rolled_back"].value, 1.0);
    assert_eq!(measured.measurements["final_weight_percent"].value, 0.0);
    assert!(measured.measurements["e_errors_max"].value >= 111.0);
    assert!(measured.measurements.contains_key("time_to_verdict_s"));
    assert_eq!(
        ran.steps,
        [(20, RolloutVerdict::Started), (0, RolloutVerdict::Worse)]
    );
    let orders = shared.lock().unwrap().orders.clone();
    assert_eq!(
        orders,
        [
            "canary 0",
            "undrain canary",
            "canary 20",
            "canary 0",
            "drain canary"
        ]
    );
    assert!(
        measured.notes.iter().any(|n| n.contains("3 connections")),
        "{:?}",
        measured.notes
    );
}

#[tokio::test]
async fn a_stopped_launch_takes_the_canary_back_before_it_ends() {
    let (admin, shared) = gateway(0, 0).await;
    let ran = run(&admin, Some(100)).await;
    assert!(ran.measured.is_err());
    assert_eq!(shared.lock().unwrap().canary_weight, 0);
}

#[tokio::test]
async fn an_attempt_after_a_crash_starts_from_0_and_says_so() {
    let (admin, shared) = gateway(0, 50).await;
    let ran = run(&admin, None).await;
    assert!(ran.measured.is_ok());
    assert_eq!(ran.steps[0], (0, RolloutVerdict::Started));
    assert_eq!(shared.lock().unwrap().orders[0], "canary 0");
}
