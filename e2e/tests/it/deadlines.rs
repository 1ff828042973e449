//! One budget through gateway and server: it shrinks at each hop, and when it runs out the work is given up.

use std::{fs, path::Path, process::Command};

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde_json::Value;

use crate::common::{Gateway, Process, Starvault, binary, eventually};

/// Starts a program of ours that tells about deadlines; answers what its ready file says.
async fn serve(folder: &Path, name: &str, command: &mut Command) -> (Process, Value) {
    let ready = folder.join(format!("{name}.json"));
    command.env("RUST_LOG", "deadline=debug,info");
    command
        .args(["--exit-on-stdin-close", "--ready-file"])
        .arg(&ready);
    let mut process = Process::start(command, folder.join(format!("{name}.log")));
    let text = eventually(
        name,
        async || {
            assert!(!process.ended(), "{}", process.output());
            fs::read_to_string(&ready).ok()
        },
        async || String::new(),
    )
    .await;
    (process, serde_json::from_str(&text).unwrap())
}

/// A server behind a gateway that waits long, with what is said to each of them besides; gateway, server, and
/// where guests sign in.
pub async fn behind_a_gateway(
    folder: &Path,
    to_server: &[&str],
    to_gateway: &[&str],
) -> (Process, Process, String) {
    let mut server = Command::new(binary("starvault", "starvault-server"));
    server.args(["serve", "--listen", "127.0.0.1:0", "--release", "v1.3"]);
    server
        .arg("--store")
        .arg(format!("sqlite:{}", folder.join("store.sqlite").display()));
    server.arg("--signing-key").arg(folder.join("key.pem"));
    let (server, ready) = serve(folder, "server", server.args(to_server)).await;
    let configuration = folder.join("gateway.yaml");
    let backend = format!(
        "{{ url: \"http://{}\", version: v1.3 }}",
        ready["address"].as_str().unwrap()
    );
    let text = format!(
        "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\nupstream_timeout_ms: 60000\nbackends:\n  one: {backend}\ndefault: {{ split: {{ one: 100 }} }}\n"
    );
    fs::write(&configuration, text).unwrap();
    let mut gateway = Command::new(binary("tminus-gateway", "tminus-gateway"));
    gateway.arg("run").arg(&configuration);
    let (gateway, ready) = serve(folder, "gateway", gateway.args(to_gateway)).await;
    let url = format!("http://{}/v1/guests", ready["listen"].as_str().unwrap());
    (gateway, server, url)
}

/// What was left at each event of this hop, in order.
fn remaining_ms(log: &str, hop: &str) -> Vec<u64> {
    let quoted = format!("hop=\"{hop}\"");
    let lines = log
        .lines()
        .filter(|line| line.contains("a deadline at a hop") && line.contains(&quoted));
    let left = lines.map(|line| {
        let (_, rest) = line.split_once("deadline.remaining_ms=").expect("what is left");
        rest.split(' ').next().unwrap().parse().unwrap()
    });
    left.collect()
}

#[tokio::test]
async fn a_budget_shrinks_from_hop_to_hop_and_cancels_the_work_when_it_runs_out() {
    let folder = tempfile::tempdir().unwrap();
    let (gateway, server, url) = behind_a_gateway(folder.path(), &["--inject", "stall"], &[]).await;

    let client = Client::builder(TokioExecutor::new()).build_http::<Body>();
    // A stalling release serves its players for a while first.
    let answer = eventually(
        "a call that runs out of time",
        async || {
            let call = Request::post(&url).header("x-request-timeout", "300ms");
            let answer = client
                .request(call.body(Body::from("{}")).unwrap())
                .await
                .unwrap();
            (answer.status() == StatusCode::GATEWAY_TIMEOUT).then_some(answer)
        },
        async || format!("{}\n{}", gateway.output(), server.output()),
    )
    .await;
    let body = to_bytes(Body::new(answer.into_body()), 64 * 1024).await.unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap()["code"], 4);
    eventually(
        "the server to give the work up",
        async || server.output().contains("stalled work is given up").then_some(()),
        async || server.output(),
    )
    .await;

    let at_gateway = remaining_ms(&gateway.output(), "gateway");
    let at_server = remaining_ms(&server.output(), "starvault");
    assert!(
        at_gateway.len() >= 2 && at_gateway.len() == at_server.len(),
        "{at_gateway:?} {at_server:?}"
    );
    for (gateway, server) in at_gateway.iter().zip(&at_server) {
        assert!(
            *gateway <= 300 && server < gateway,
            "{at_gateway:?} {at_server:?}"
        );
    }
}

const PLAN: &str = r#"
name: Deadlines
version: v1.3
items:
  - id: deadlines
    number: 1
    title: { zh: 超时对齐, en: Deadlines aligned }
    window: { from_h: 0, to_h: 1 }
    owner: backend
    criterion: { zh: 0 处错位, en: nothing misaligned }
    gates:
      - id: alignment
        kind: deadlines
        target: ${gateway}
        budget_ms: 20000
        hops:
          - { name: gateway, gateway: "${gateway_config}" }
          - { name: starvault, keeps_deadline: true, limits: { timeout_ms: 10000, keep_alive_ms: 60000 } }
        request: { path: /v1/version }
        # What is late on a busy machine says nothing here.
        tolerance_ms: 60000
        grpc: {}
        expect: [hops_seen == 2]
      - id: alone
        kind: deadlines
        target: ${starvault}
        budget_ms: 20000
        hops: [{ name: starvault, keeps_deadline: true }]
        request: { path: /v1/version }
        tolerance_ms: 60000
        slow: { budget_ms: 0.000001 }
        grpc: {}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_gate_finds_gateway_and_server_aligned_and_names_what_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let plan = folder.path().join("plan.yaml");
    fs::write(&plan, PLAN).unwrap();
    let server = Starvault::start("v1.3").await;
    let routes = format!(
        "limits: {{ body_idle_timeout_ms: 10000 }}\nbackends:\n  one: {{ url: \"http://{}\", version: v1.3 }}\ndefault: {{ split: {{ one: 100 }} }}\n",
        server.address
    );
    let gateway = Gateway::start(folder.path(), &routes).await;
    let run = async |configuration: &Path| {
        let mut command = tokio::process::Command::new(binary("tminus", "tminus-control"));
        command.args(["gate", "deadlines", "--json"]).arg(&plan);
        for (name, value) in [
            ("gateway", gateway.url.clone()),
            ("gateway_config", configuration.display().to_string()),
            ("starvault", format!("http://{}", server.address)),
        ] {
            command.arg("--var").arg(format!("{name}={value}"));
        }
        let output = command.output().await.unwrap();
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code().unwrap(), said)
    };
    let configuration = folder.path().join("gateway.yaml");
    let (code, said) = run(&configuration).await;
    assert_eq!(code, 0, "{said:#}");

    let other = folder.path().join("other.yaml");
    let text = fs::read_to_string(&configuration).unwrap();
    fs::write(
        &other,
        text.replace("limits: {", "limits: { upstream_idle_ms: 60000,"),
    )
    .unwrap();
    let (code, said) = run(&other).await;
    assert_eq!(code, 1, "{said:#}");
    let notes = said["gates"][0]["notes"].as_array().unwrap();
    for (note, rule) in notes
        .iter()
        .zip(["idle-longer-than-budget", "idle-longer-than-next-hop"])
    {
        let place = format!("{rule}: {}:3:", other.display());
        assert!(note.as_str().unwrap().starts_with(&place), "{note}");
    }
}
