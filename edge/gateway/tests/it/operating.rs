//! A gateway as it is operated: its commands, another configuration while it runs, and a restart.

use std::path::PathBuf;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio_websockets::{ClientBuilder, CloseCode, MaybeTlsStream, Message, WebSocketStream};

use super::backend::Backend;
use super::process::{command, output, run};
use super::raw::nobody;
use super::support::{Settings, eventually, within, yaml};

/// A process with its files.
struct Operated {
    directory: TempDir,
    child: Child,
    ready: Value,
}

impl Operated {
    async fn start(yaml: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (child, ready) = run(directory.path(), yaml, &[]).await;
        Self {
            directory,
            child,
            ready,
        }
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("gateway.yaml")
    }

    fn write(&self, yaml: &str) {
        std::fs::write(self.file(), yaml).unwrap();
    }

    /// A command to it: exit code, standard output and error.
    async fn order(&self, words: &[&str]) -> (Option<i32>, String) {
        let admin = format!("http://{}", self.ready["admin"].as_str().unwrap());
        output(command().args(words).args(["--admin", &admin]).spawn().unwrap()).await
    }

    async fn told(&self, words: &[&str]) -> Value {
        let (code, text) = self.order(&[words, &["--json"]].concat()).await;
        assert_eq!(code, Some(0), "{words:?}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    async fn weights(&self) -> Value {
        self.told(&["weights", "get"]).await["default"].clone()
    }

    /// The release that answers a player without an id.
    async fn release(&self, target: &str) -> String {
        let admin = format!("http://{}", self.ready["admin"].as_str().unwrap());
        let mut command = command();
        command.args(["explain", target, "--json", "--admin", &admin]);
        let (code, text) = output(command.spawn().unwrap()).await;
        assert_eq!(code, Some(0), "{text}");
        let told: Value = serde_json::from_str(&text).unwrap();
        told["version"].as_str().unwrap().to_owned()
    }

    async fn signal(&self, name: &str) {
        let pid = self.child.id().unwrap().to_string();
        let sent = within(Command::new("kill").args([name, &pid]).status()).await;
        assert!(sent.unwrap().success());
    }

    async fn kill_and_restart(self) -> Self {
        let Self {
            directory, mut child, ..
        } = self;
        within(child.kill()).await.unwrap();
        std::fs::remove_file(directory.path().join("ready.json")).unwrap();
        let text = std::fs::read_to_string(directory.path().join("gateway.yaml")).unwrap();
        let (child, ready) = run(directory.path(), &text, &[]).await;
        Self {
            directory,
            child,
            ready,
        }
    }

    async fn websocket(&self) -> WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>> {
        let uri = format!("ws://{}/play", self.ready["listen"].as_str().unwrap());
        let (socket, _) = within(ClientBuilder::new().uri(&uri).unwrap().connect())
            .await
            .unwrap();
        socket
    }
}

async fn settings(more: &str) -> String {
    yaml(
        nobody().await,
        nobody().await,
        &Settings {
            more: more.to_owned(),
            ..Settings::default()
        },
    )
}

#[tokio::test]
async fn weights_are_set_and_told_by_command() {
    let gateway = Operated::start(&settings("").await).await;
    assert_eq!(gateway.weights().await, json!({ "stable": 100, "canary": 0 }));
    let (code, text) = gateway
        .order(&["weights", "set", "stable=99.9", "canary=0.1"])
        .await;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("canary           0.1 %"), "{text}");
    assert_eq!(gateway.weights().await, json!({ "stable": 99.9, "canary": 0.1 }));
    for (wrong, code, words) in [
        (["stable=99", "canary=2"], 1, "add up to 101"),
        (["stable=99", "canery=1"], 1, "canary, stable"),
        (["stable=99", "canary"], 2, "canary=30"),
        (["stable=99", "canary=0.001"], 2, "two decimals"),
    ] {
        let (found, text) = gateway.order(&[["weights", "set"], wrong].concat()).await;
        assert_eq!(found, Some(code), "{text}");
        assert!(text.contains(words), "{text}");
    }
    let mut command = command();
    command.args(["weights", "get", "--admin", &format!("http://{}", nobody().await)]);
    let (code, text) = output(command.spawn().unwrap()).await;
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("is it running"), "{text}");
}

#[tokio::test]
async fn a_drain_by_command_ends_the_websockets_and_undrain_takes_it_back() {
    let backend = Backend::start("stable").await;
    let gateway = Operated::start(&yaml(backend.address, backend.address, &Settings::default())).await;
    let mut sockets = Vec::new();
    for _ in 0..3 {
        sockets.push(gateway.websocket().await);
    }
    assert_eq!(gateway.release("/").await, "v1.2");
    let drained = gateway.told(&["drain", "stable", "--over", "30ms"]).await;
    assert_eq!(drained, json!({ "closed_websockets": 3 }));
    for socket in &mut sockets {
        let last = within(socket.next()).await.unwrap().unwrap();
        assert_eq!(last.as_close(), Some((CloseCode::SERVICE_RESTART, "draining")));
    }
    assert_eq!(gateway.release("/").await, "v1.3", "the other stands in");
    gateway.told(&["undrain", "stable"]).await;
    assert_eq!(gateway.release("/").await, "v1.2");
    let (code, text) = gateway.order(&["drain", "nobody"]).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("canary, stable"), "{text}");
}

#[tokio::test]
async fn another_configuration_is_taken_whole_and_a_wrong_one_changes_nothing() {
    let backend = Backend::start("stable").await;
    let first = yaml(backend.address, backend.address, &Settings::default());
    let gateway = Operated::start(&first).await;
    let mut socket = gateway.websocket().await;
    assert_eq!(gateway.release("/beta").await, "v1.2");

    // A mistake, and what cannot change: told with the place, and nothing of it is taken.
    let rule = "rules:\n  - { name: beta, path: /beta, split: { canary: 100 } }";
    let better = first.replace("rules:", rule);
    for (wrong, words) in [
        (better.replace("canary: 100", "canary: 90"), "gateway.yaml:9:"),
        (
            better.replace("affinity_query: at", "workers: 7"),
            "workers cannot change",
        ),
        (
            format!("{better}limits: {{ connect_timeout_ms: 7 }}\nupstream_timeout_ms: 7\n"),
            "upstream_timeout_ms, limits cannot change",
        ),
    ] {
        gateway.write(&wrong);
        let (code, text) = gateway.order(&["reload"]).await;
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains(words), "{text}");
        assert_eq!(gateway.release("/beta").await, "v1.2");
    }

    // The right one, and weights that were set stay.
    gateway.told(&["weights", "set", "stable=60", "canary=40"]).await;
    gateway.write(&better);
    let taken = gateway.told(&["reload"]).await;
    assert_eq!(
        taken,
        json!({ "generation": 2, "weights_from_file": false, "new": [], "gone": [] })
    );
    assert_eq!(gateway.release("/beta").await, "v1.3");
    assert_eq!(gateway.weights().await, json!({ "stable": 60, "canary": 40 }));
    within(socket.send(Message::text("still here"))).await.unwrap();
    let echoed = within(socket.next()).await.unwrap().unwrap();
    assert_eq!(echoed.as_text(), Some("still here"));

    // A default split that the file says anew is a newer word. By signal, this time.
    gateway.write(&better.replace("stable: 100, canary: 0", "stable: 20, canary: 80"));
    gateway.signal("-HUP").await;
    eventually("the file's weights hold", async || {
        gateway.weights().await == json!({ "stable": 20, "canary": 80 })
    })
    .await;
}

#[tokio::test]
async fn a_backend_that_moves_is_counted_and_drained_as_one_with_its_earlier_address() {
    let (old, new) = (Backend::start("old").await, Backend::start("new").await);
    let first = yaml(old.address, old.address, &Settings::default());
    let gateway = Operated::start(&first).await;
    let mut socket = gateway.websocket().await;
    let moved = first.replacen(&old.address.to_string(), &new.address.to_string(), 1);
    gateway.write(&moved);
    let taken = gateway.told(&["reload"]).await;
    assert_eq!((&taken["new"], &taken["gone"]), (&json!(["stable"]), &json!([])));
    // What the earlier address carries goes on, and is told to end with the rest.
    within(socket.send(Message::text("on the old one")))
        .await
        .unwrap();
    let echoed = within(socket.next()).await.unwrap().unwrap();
    assert_eq!(echoed.as_text(), Some("on the old one"));
    let _other = gateway.websocket().await;
    let drained = gateway.told(&["drain", "stable"]).await;
    assert_eq!(drained, json!({ "closed_websockets": 2 }));
    let last = within(socket.next()).await.unwrap().unwrap();
    assert_eq!(last.as_close(), Some((CloseCode::SERVICE_RESTART, "draining")));
}

#[tokio::test]
async fn what_was_set_outlasts_a_gateway_that_is_killed_until_the_file_says_otherwise() {
    let text = settings("state_file: state.json").await;
    let gateway = Operated::start(&text).await;
    gateway.told(&["weights", "set", "stable=0", "canary=100"]).await;
    gateway.told(&["drain", "stable"]).await;
    let gateway = gateway.kill_and_restart().await;
    assert_eq!(gateway.weights().await, json!({ "stable": 0, "canary": 100 }));
    gateway.told(&["weights", "set", "stable=100", "canary=0"]).await;
    assert_eq!(gateway.release("/").await, "v1.3", "stable still drains");
    gateway.told(&["undrain", "stable"]).await;
    gateway.told(&["weights", "set", "stable=90", "canary=10"]).await;
    gateway.write(&text.replace("stable: 100, canary: 0", "stable: 50, canary: 50"));
    let gateway = gateway.kill_and_restart().await;
    assert_eq!(gateway.weights().await, json!({ "stable": 50, "canary": 50 }));
}

#[tokio::test]
async fn a_change_that_cannot_be_kept_holds_and_says_so() {
    let gateway = Operated::start(&settings("state_file: gone/state.json").await).await;
    let (code, text) = gateway.order(&["weights", "set", "stable=0", "canary=100"]).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains("warning: the state file") && text.contains("a restart"),
        "{text}"
    );
    assert_eq!(gateway.weights().await, json!({ "stable": 0, "canary": 100 }));
}
