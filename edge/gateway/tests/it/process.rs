//! The command itself: exit codes, ready file, signals, the end of standard input.

use std::path::Path;
use std::process::Stdio;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};
use tokio_websockets::{ClientBuilder, CloseCode, Message};

use super::backend::Backend;
use super::raw::nobody;
use super::support::{Settings, eventually, within, yaml};

pub fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tminus-gateway"));
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

pub async fn output(child: Child) -> (Option<i32>, String) {
    let output = within(child.wait_with_output()).await.unwrap();
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (output.status.code(), text)
}

pub async fn run(directory: &Path, yaml: &str, more: &[&str]) -> (Child, Value) {
    let (config, ready) = (directory.join("gateway.yaml"), directory.join("ready.json"));
    std::fs::write(&config, yaml).unwrap();
    let child = command()
        .arg("run")
        .arg(&config)
        .arg("--ready-file")
        .arg(&ready)
        .args(more)
        .spawn()
        .unwrap();
    eventually("the gateway is ready", async || ready.exists()).await;
    let ready: Value = serde_json::from_slice(&std::fs::read(&ready).unwrap()).unwrap();
    assert_eq!(ready["pid"].as_u64(), child.id().map(u64::from));
    (child, ready)
}

#[tokio::test]
async fn explain_tells_where_a_request_goes_and_why() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("gateway.yaml");
    std::fs::write(&file, yaml(nobody().await, nobody().await, &Settings::default())).unwrap();
    let explain = async |more: &[&str]| {
        let mut command = command();
        command.arg("explain").arg("--config").arg(&file).args(more);
        output(command.spawn().unwrap()).await
    };
    let (code, text) = explain(&["/v1/play", "-H", "x-version: v1.2", "--json"]).await;
    assert_eq!(code, Some(0), "{text}");
    let told: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&told["decided_by"], &told["backend"]),
        (&"rule".into(), &"stable".into())
    );
    let (code, text) = explain(&["/v1/play", "--from", "203.0.113.9"]).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("default split: no rule matches"), "{text}");
    for wrong in [
        &["/", "-Hx-version"],
        &["/", "--from=home"],
        &["/", "--admin=http://127.0.0.1:1"],
    ] {
        let (code, text) = explain(wrong).await;
        assert_eq!(code, Some(2), "{text}");
    }
    let (code, text) = explain(&["no path at all"]).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("no path at all"), "{text}");
}

#[tokio::test]
async fn check_tells_good_from_bad_by_exit_code_and_place() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("gateway.yaml");
    let good = yaml(nobody().await, nobody().await, &Settings::default());
    let check = async |yaml: &str, more: &[&str]| {
        std::fs::write(&file, yaml).unwrap();
        output(command().arg("check").arg(&file).args(more).spawn().unwrap()).await
    };
    assert_eq!(check(&good, &[]).await.0, Some(0));
    let (code, text) = check(&good.replace("admin: 127.0.0.1:0", "admin: 0.0.0.0:0"), &[]).await;
    assert_eq!(code, Some(1));
    assert!(
        text.contains(&format!("{}:2:", file.display())) && text.contains("loopback"),
        "{text}"
    );
    let (code, text) = check(&good.replace("sticky:", "stiky:"), &["--json"]).await;
    let told: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (code, &told["ok"], &told["line"]),
        (Some(1), &false.into(), &3.into())
    );
    // What it names is read, too.
    let names = good.replacen(
        "version: v1.2",
        "version: v1.2, transcode: { descriptor_set: x.binpb }",
        1,
    );
    let (code, text) = check(&names, &[]).await;
    assert_eq!(code, Some(1));
    assert!(
        text.contains(&format!("{}:6:", file.display())) && text.contains("x.binpb"),
        "{text}"
    );
    let (code, _) = output(command().arg("run").arg(&file).spawn().unwrap()).await;
    assert_eq!(code, Some(2));
    std::fs::write(directory.path().join("x.binpb"), super::cases::descriptors()).unwrap();
    assert_eq!(check(&names, &[]).await.0, Some(0));
    let (code, text) = output(command().args(["check", "no-such-file.yaml"]).spawn().unwrap()).await;
    assert_eq!(code, Some(2));
    assert!(text.contains("no-such-file.yaml"), "{text}");
}

#[tokio::test]
async fn run_refuses_a_remote_admin_and_a_taken_port() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("gateway.yaml");
    let good = yaml(nobody().await, nobody().await, &Settings::default());
    std::fs::write(&file, good.replace("admin: 127.0.0.1:0", "admin: 0.0.0.0:0")).unwrap();
    let (code, text) = output(command().arg("run").arg(&file).spawn().unwrap()).await;
    assert_eq!(code, Some(2));
    assert!(text.contains("gateway.yaml:2:"), "{text}");
    let (taken, address) = super::raw::listener().await;
    std::fs::write(
        &file,
        good.replace("listen: 127.0.0.1:0", &format!("listen: {address}")),
    )
    .unwrap();
    let (code, text) = output(command().arg("run").arg(&file).spawn().unwrap()).await;
    drop(taken);
    assert_eq!(code, Some(2));
    assert!(text.contains(&address.to_string()), "{text}");
}

#[tokio::test]
async fn sigterm_lets_requests_finish_and_closes_tunnels_with_a_frame() {
    let backend = Backend::start("stable").await;
    let directory = tempfile::tempdir().unwrap();
    let (child, ready) = run(
        directory.path(),
        &yaml(backend.address, backend.address, &Settings::default()),
        &[],
    )
    .await;
    let uri = format!("ws://{}/play", ready["listen"].as_str().unwrap());
    let (mut socket, _) = within(ClientBuilder::new().uri(&uri).unwrap().connect())
        .await
        .unwrap();
    within(socket.send(Message::text("hello"))).await.unwrap();
    assert_eq!(
        within(socket.next()).await.unwrap().unwrap().as_text(),
        Some("hello")
    );

    let killed = Command::new("kill")
        .arg("-TERM")
        .arg(child.id().unwrap().to_string())
        .status();
    assert!(within(killed).await.unwrap().success());
    let last = within(socket.next()).await.unwrap().unwrap();
    assert_eq!(last.as_close(), Some((CloseCode::SERVICE_RESTART, "draining")));
    drop(socket);
    assert_eq!(output(child).await.0, Some(0));
}

#[tokio::test]
async fn the_end_of_standard_input_ends_the_gateway_when_asked() {
    let directory = tempfile::tempdir().unwrap();
    let yaml = yaml(nobody().await, nobody().await, &Settings::default());
    let (mut child, _) = run(directory.path(), &yaml, &["--exit-on-stdin-close"]).await;
    drop(child.stdin.take());
    let status = within(child.wait()).await.unwrap();
    let mut log = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut log)
        .await
        .unwrap();
    assert_eq!(status.code(), Some(0), "{log}");
}
