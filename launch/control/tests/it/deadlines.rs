//! The gate `deadlines` against a small backend that keeps deadlines, and against what it could get wrong.

use std::collections::BTreeMap;
use std::path::Path;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use tminus_control::gates::{Measured, deadlines};
use tminus_plan::{DeadlinesSpec, Evidence, Gate, GateKind, Plan, Variables, Verdict, judge};

use crate::hands::hands;

/// How the backend treats deadlines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Keeps,
    /// Answers whatever the caller said.
    Ignores,
    /// Answers nothing to who is in a hurry.
    Hangs,
    /// The inner hop begins anew.
    AddsTime,
    HopIsMissing,
    EverythingFails,
}

async fn answer(State(manner): State<Manner>, headers: HeaderMap) -> Response<Body> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let budget_ms: f64 = header("x-request-timeout")
        .and_then(|value| value.strip_suffix("ms"))
        .and_then(|value| value.parse().ok())
        .unwrap();
    let is_grpc = header("content-type") == Some("application/grpc");
    let asked = header("x-deadline-hops") == Some("1");
    let hurried = budget_ms < 10.0;
    if hurried && manner == Manner::Hangs {
        std::future::pending::<()>().await;
    }
    let exceeded = hurried && manner != Manner::Ignores;
    let mut response = Response::builder();
    if asked {
        let inner_ms = if manner == Manner::AddsTime {
            60_000.0
        } else {
            budget_ms - 50.0
        };
        if manner != Manner::HopIsMissing {
            response = response.header("server-timing", format!("db;dur=3, deadline-app;dur={inner_ms}"));
        }
        response = response.header("server-timing", format!("deadline-edge;dur={budget_ms}"));
    }
    if is_grpc {
        let response = response.header("content-type", "application/grpc");
        if exceeded {
            return response.header("grpc-status", "4").body(Body::empty()).unwrap();
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        let body = Full::new(Bytes::from_static(&[0; 5])).with_trailers(async { Some(Ok(trailers)) });
        return response.body(Body::new(body)).unwrap();
    }
    let status = match (manner, exceeded) {
        (Manner::EverythingFails, _) => StatusCode::UNAUTHORIZED,
        (_, true) => StatusCode::GATEWAY_TIMEOUT,
        (_, false) => StatusCode::OK,
    };
    response.status(status).body(Body::from("done")).unwrap()
}

async fn backend(manner: Manner) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().fallback(answer).with_state(manner);
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

fn plan(target: &str, fields: &str) -> String {
    format!(
        "name: x\nversion: v1\nitems:\n  - id: item\n    number: 1\n    title: {{ zh: 甲, en: a }}\n    \
         window: {{ from_h: 0, to_h: 1 }}\n    owner: sre\n    criterion: {{ zh: 甲, en: a }}\n    gates:\n      \
         - id: gate\n        kind: deadlines\n        target: {target}\n        budget_ms: 5000\n{fields}"
    )
}

/// The gate of a plan with these fields, and what it runs.
fn gate(target: &str, fields: &str) -> (Gate, DeadlinesSpec) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let plan = Plan::parse(&plan(target, fields), "x.yaml").unwrap();
    let gate = plan.gate("item", "gate").unwrap().clone();
    match plan
        .resolve_gate("item", "gate", false, &Variables::new())
        .unwrap()
    {
        GateKind::Deadlines(spec) => (gate, spec),
        other => panic!("{other:?}"),
    }
}

fn evidence(measured: &Measured) -> Evidence {
    Evidence {
        item: "item".into(),
        gate: "gate".into(),
        kind: "deadlines".into(),
        attempt: 1,
        started_at_ms: 0,
        ended_at_ms: 1,
        target: measured.target.clone(),
        command: measured.command.clone(),
        inputs: measured.inputs.clone(),
        measurements: measured.measurements.clone(),
        notes: measured.notes.clone(),
        series: BTreeMap::new(),
    }
}

const HOPS: &str =
    "        hops: [{ name: edge, keeps_deadline: true }, { name: app, keeps_deadline: true }]\n";
/// No answer is too late: whatever this machine is busy with, only what an answer says counts.
const PATIENT: &str = "        tolerance_ms: 60000\n";
/// After a microsecond every answer is late.
const LATE: &str = "        tolerance_ms: 0\n        slow: { budget_ms: 0.001 }\n        wait_ms: 60000\n";
const HANGS: &str = "        tolerance_ms: 0\n        wait_ms: 30\n";

#[tokio::test]
async fn each_misalignment_of_a_live_service_is_counted_and_named() {
    let grpc = "        grpc: {}\n";
    type Row = (Manner, &'static str, &'static [&'static str]);
    let rows: [Row; 6] = [
        (Manner::Keeps, PATIENT, &[]),
        (
            Manner::Keeps,
            LATE,
            &["answers-after-caller: GET /: ", "answers-after-caller: gRPC "],
        ),
        (
            Manner::Ignores,
            LATE,
            &["ignores-deadline: GET /: ", "ignores-deadline: gRPC "],
        ),
        (
            Manner::Hangs,
            HANGS,
            &["ignores-deadline: GET /: ", "ignores-deadline: gRPC "],
        ),
        (
            Manner::AddsTime,
            PATIENT,
            &["adds-time: Server-Timing: app: it has 60000 ms left"],
        ),
        (
            Manner::HopIsMissing,
            PATIENT,
            &["hop-not-seen: Server-Timing: app: "],
        ),
    ];
    for (manner, limits, expected) in rows {
        let target = backend(manner).await;
        let (gate, spec) = gate(&target, &format!("{HOPS}{limits}{grpc}"));
        let measured = deadlines::run(&spec, &hands()).await.unwrap();
        let value = |name: &str| measured.measurements[name].value;
        assert_eq!(
            value("misalignments"),
            expected.len() as f64,
            "{manner:?} {:?}",
            measured.notes
        );
        for (note, expected) in measured.notes.iter().zip(expected) {
            assert!(note.starts_with(expected), "{manner:?}: {note}");
        }
        let seen = if manner == Manner::HopIsMissing { 1.0 } else { 2.0 };
        assert_eq!((value("hops_declared"), value("hops_seen")), (2.0, seen));
        assert_eq!(
            judge(&gate, Some(&evidence(&measured))) == Verdict::Passed,
            expected.is_empty(),
            "{manner:?}"
        );
    }
}

#[tokio::test]
async fn each_misalignment_of_a_configuration_is_named_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let nginx = write(
        "nginx.conf",
        "http {\n  include conf.d/*.conf;\n  server { location /v1/ { proxy_connect_timeout 1s; proxy_send_timeout 1s; proxy_pass http://app; } }\n}\n",
    );
    std::fs::create_dir(folder.path().join("conf.d")).unwrap();
    write(
        "conf.d/app.conf",
        "upstream app { server 127.0.0.1:1; keepalive 4; }\n",
    );
    write("conf.d/.hidden.conf", "not nginx");
    let gateway = write(
        "gateway.yaml",
        "listen: 127.0.0.1:0\nbackends: {}\nupstream_timeout_ms: 5000\nlimits: { body_idle_timeout_ms: 4000 }\n",
    );
    let target = backend(Manner::Keeps).await;
    let hops = format!(
        "        hops:\n          - {{ name: proxy, nginx: {nginx} }}\n          - {{ name: gateway, gateway: {gateway}, seen: false }}\n{PATIENT}"
    );
    let (gate, spec) = gate(&target, &hops);
    let measured = deadlines::run(&spec, &hands()).await.unwrap();
    let expected = [
        format!("timeout-not-below-caller: {nginx}:3:"),
        format!(
            "idle-longer-than-budget: {}/conf.d/app.conf:1:1 (default): proxy, location /v1/: ",
            folder.path().display()
        ),
    ];
    for (note, expected) in measured.notes.iter().zip(&expected) {
        assert!(note.starts_with(expected), "{note}\n{expected}");
    }
    assert_eq!(
        measured.measurements["misalignments"].value, 2.0,
        "{:?}",
        measured.notes
    );
    assert!(
        measured.inputs["hop proxy"].contains("sha256"),
        "{:?}",
        measured.inputs
    );
    assert!(matches!(
        judge(&gate, Some(&evidence(&measured))),
        Verdict::Failed { .. }
    ));
}

#[tokio::test]
async fn what_cannot_be_known_is_no_result() {
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("nginx.conf");
    std::fs::write(&broken, "http {\n  include nowhere.conf;\n}\n").unwrap();
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let keeps = backend(Manner::Keeps).await;
    let file =
        |kind: &str, path: &Path| format!("        hops: [{{ name: a, {kind}: {} }}]\n", path.display());
    let rows = [
        (closed, format!("{HOPS}{PATIENT}"), "gives no answer"),
        (
            backend(Manner::Ignores).await,
            format!("{HOPS}{PATIENT}"),
            "answered in time",
        ),
        (
            backend(Manner::EverythingFails).await,
            format!("{HOPS}{PATIENT}"),
            "answered 401",
        ),
        (
            keeps.clone(),
            file("gateway", &folder.path().join("none.yaml")),
            "cannot be read",
        ),
        (keeps.clone(), file("gateway", folder.path()), "it is no file"),
        (keeps.clone(), file("gateway", &broken), "nginx.conf:"),
        (
            keeps.clone(),
            file("nginx", &broken),
            "nginx.conf:2:3: what `include nowhere.conf`",
        ),
        (
            keeps,
            format!("{HOPS}{PATIENT}        grpc: {{ target: \"http://127.0.0.1:1\" }}\n"),
            "no answer",
        ),
    ];
    for (target, fields, told) in rows {
        let (_, spec) = gate(&target, &fields);
        let why = deadlines::run(&spec, &hands()).await.unwrap_err().why;
        assert!(why.contains(told), "{fields}: {why}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gate_can_be_tried_out_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plan.yaml");
    let run = async |fields: &str, target: &str| {
        std::fs::write(&file, plan("${gateway}", fields)).unwrap();
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_tminus"));
        command.args(["gate", "deadlines"]).arg(&file);
        command.args(["--json", "--var"]).arg(format!("gateway={target}"));
        let output = command.output().await.unwrap();
        let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code().unwrap(), said["gates"][0].clone())
    };
    let keeps = backend(Manner::Keeps).await;
    let (code, said) = run(&format!("{HOPS}{PATIENT}"), &keeps).await;
    assert_eq!(
        (code, &said["result"]["verdict"]),
        (0, &"passed".into()),
        "{said}"
    );
    let (code, said) = run(&format!("{HOPS}{LATE}"), &keeps).await;
    assert_eq!(
        (code, &said["result"]["verdict"]),
        (1, &"failed".into()),
        "{said}"
    );
    assert!(
        said["notes"][0]
            .as_str()
            .unwrap()
            .starts_with("answers-after-caller: "),
        "{said}"
    );
    let (code, said) = run(&format!("{HOPS}{PATIENT}"), "http://127.0.0.1:1").await;
    assert_eq!(
        (code, &said["result"]["verdict"]),
        (2, &"not-checked".into()),
        "{said}"
    );
}
