//! The binary itself: its ready file, its end, and the check of the journal.

use std::{
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use sha2::{Digest as _, Sha256};
use starvault_testing::RedisServer;
use starvault_wire::{
    Codec,
    v1::{JoinLobby, client_frame, server_frame::Event},
};

use crate::{
    nodes::table,
    support::{Player, Running, SignedIn, assert_sound, folder, request, soon, store},
};

pub const BINARY: &str = env!("CARGO_BIN_EXE_starvault");

fn serve(folder: &Path, ready: &Path, more: &[&str]) -> Child {
    Command::new(BINARY)
        .args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--release",
            "v1.2",
            "--exit-on-stdin-close",
            "--admin",
            "127.0.0.1:0",
        ])
        .arg("--signing-key")
        .arg(folder.join("signing-key.pem"))
        .arg("--ready-file")
        .arg(ready)
        .args(more)
        .env("RUST_LOG", "warn")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap()
}

async fn is_ready(ready: &Path) -> serde_json::Value {
    let said = async {
        loop {
            if let Ok(text) = std::fs::read_to_string(ready) {
                return serde_json::from_str::<serde_json::Value>(&text).unwrap();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    soon("the ready file is written", said).await
}

fn file(folder: &Path) -> String {
    format!("sqlite:{}", store(folder).display())
}

fn check(folder: &Path, more: &[&str]) -> Output {
    Command::new(BINARY)
        .args(["journal", "check", "--json", "--store"])
        .arg(file(folder))
        .args(more)
        .output()
        .unwrap()
}

#[tokio::test]
async fn a_process_says_when_it_is_ready_and_ends_with_its_parent() {
    let folder = folder();
    let ready = folder.path().join("ready.json");
    let mut child = serve(folder.path(), &ready, &["--store", &file(folder.path())]);
    let said = is_ready(&ready).await;
    assert_eq!(
        (&said["pid"], &said["release"]),
        (&child.id().into(), &"v1.2".into())
    );
    let address = said["address"].as_str().unwrap().parse().unwrap();

    let admin = said["admin"].as_str().unwrap().parse().unwrap();
    let figures = request(admin, http::Method::GET, "/metrics", &[], String::new()).await;
    assert!(
        figures.text().contains("\nstarvault_sockets 0\n"),
        "{}",
        figures.text()
    );

    let version = request(address, http::Method::GET, "/v1/version", &[], String::new())
        .await
        .json();
    let executable = std::fs::read(BINARY).unwrap();
    assert_eq!(
        version["executableSha256"],
        hex::encode(Sha256::digest(executable))
    );
    let guest = request(address, http::Method::POST, "/v1/guests", &[], String::new())
        .await
        .json();
    let who = SignedIn {
        token: guest["token"].as_str().unwrap().into(),
        player_id: guest["profile"]["playerId"].as_str().unwrap().into(),
    };
    let mut player = Player::connect(address, &who, Codec::Json, None).await;
    assert!(matches!(
        player
            .ask(client_frame::Command::JoinLobby(JoinLobby {
                region: String::new()
            }))
            .await,
        Event::Queued(_)
    ));

    drop(child.stdin.take());
    assert_eq!(player.closed().await, 1012);
    let ended = tokio::task::spawn_blocking(move || child.wait().unwrap());
    assert!(soon("the process ends", ended).await.unwrap().success());
}

#[tokio::test]
async fn the_check_exits_with_0_1_or_2() {
    let folder = folder();
    let missing = check(folder.path(), &[]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(missing.stdout.is_empty() && !missing.stderr.is_empty());

    let server = Running::start(&folder, "v1.2", |_| {}).await;
    let mut table = server.two_in_a_game().await;
    table.play(1, "e2e4").await;
    server.stop().await;
    let acknowledged = folder.path().join("acknowledged.jsonl");
    let line = |command_id: &str| {
        let (game_id, player_id) = (&table.game_id, &table.white_in.player_id);
        serde_json::json!({ "game_id": game_id, "command_id": command_id, "sequence": 2, "player_id": player_id })
            .to_string()
            + "\n"
    };
    std::fs::write(&acknowledged, line("e2e4-1")).unwrap();
    let path = acknowledged.to_str().unwrap();
    let sound = check(folder.path(), &["--acknowledged", path]);
    let report: serde_json::Value = serde_json::from_slice(&sound.stdout).unwrap();
    assert_eq!(sound.status.code(), Some(0), "{report}");
    assert_eq!(
        (&report["games"], &report["events"], &report["acknowledged"]),
        (&1.into(), &2.into(), &1.into())
    );

    std::fs::write(&acknowledged, line("e2e4-1") + &line("never-seen")).unwrap();
    let lost = check(folder.path(), &["--acknowledged", path]);
    let report: serde_json::Value = serde_json::from_slice(&lost.stdout).unwrap();
    assert_eq!(
        (lost.status.code(), &report["lost"]),
        (Some(1), &1.into()),
        "{report}"
    );
}

#[test]
fn a_wrong_command_line_could_not_run() {
    for arguments in [
        &["serve"][..],
        &[
            "serve",
            "--store",
            "redis:x",
            "--release",
            "v1",
            "--signing-key",
            "k",
        ],
        &[
            "serve",
            "--store",
            "sqlite:x",
            "--release",
            "v 1",
            "--signing-key",
            "k",
        ],
        &[
            "serve",
            "--store",
            "sqlite:x",
            "--release",
            "v1",
            "--signing-key",
            "k",
            "--inject",
            "fire",
        ],
    ] {
        let output = Command::new(BINARY).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}

pub async fn guest(address: SocketAddr) -> SignedIn {
    let guest = request(address, http::Method::POST, "/v1/guests", &[], String::new())
        .await
        .json();
    SignedIn {
        token: guest["token"].as_str().unwrap().into(),
        player_id: guest["profile"]["playerId"].as_str().unwrap().into(),
    }
}

/// A process that is one of several.
pub struct Node {
    child: Child,
    pub address: SocketAddr,
    admin: SocketAddr,
}

impl Node {
    pub async fn start(folder: &Path, name: &str, arguments: &[&str]) -> Node {
        let ready = folder.join(name);
        let child = serve(folder, &ready, arguments);
        let said = is_ready(&ready).await;
        let address = |name: &str| said[name].as_str().unwrap().parse().unwrap();
        Node {
            child,
            address: address("address"),
            admin: address("admin"),
        }
    }

    /// By a signal that nothing can catch.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub async fn stop(mut self) {
        drop(self.child.stdin.take());
        let ended = tokio::task::spawn_blocking(move || self.child.wait().unwrap());
        assert!(soon("the process ends", ended).await.unwrap().success());
    }
}

pub async fn know_each_other(nodes: &[Node]) {
    let all = format!("\nstarvault_nodes_linked {}\n", nodes.len() - 1);
    let linked = async {
        for node in nodes {
            let figures = async || {
                request(node.admin, http::Method::GET, "/metrics", &[], String::new())
                    .await
                    .text()
            };
            while !figures().await.contains(&all) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    };
    soon("the nodes know each other", linked).await;
}

/// As on one machine: three processes over a file, the usual times.
#[tokio::test]
async fn a_game_outlives_a_node_that_is_killed() {
    let (folder, redis) = (folder(), RedisServer::start());
    let mut nodes = Vec::new();
    for name in ["a", "b", "c"] {
        let arguments = ["--store", &file(folder.path()), "--nodes", &redis.url()];
        nodes.push(Node::start(folder.path(), name, &arguments).await);
    }
    know_each_other(&nodes).await;
    let (ada, bo) = (guest(nodes[0].address).await, guest(nodes[1].address).await);
    let mut one = Player::connect(nodes[0].address, &ada, Codec::Json, None).await;
    let mut two = Player::connect(nodes[1].address, &bo, Codec::Proto, None).await;
    assert!(matches!(one.ask(join()).await, Event::Queued(_)));
    two.send(join()).await;
    let (seat_one, seat_two) = (one.matched().await, two.matched().await);
    let mut table = table((one, ada, seat_one), (two, bo, seat_two));
    table.play(1, "e2e4").await;
    table.play(2, "e7e5").await;

    // Of the one who had joined first, and the leader too.
    let at = std::time::Instant::now();
    nodes.remove(0).kill();
    table.white = Player::connect(nodes[0].address, &table.white_in, Codec::Json, None).await;
    table.black = Player::connect(nodes[1].address, &table.black_in, Codec::Proto, None).await;
    let resumed = table.white.resume_in_time(&table.game_id, 0).await;
    assert_eq!(resumed.missed.len(), 3, "no move is lost");
    table.black.resume_in_time(&table.game_id, 3).await;
    table.play(3, "g1f3").await;
    eprintln!(
        "the next move was played {} ms after the kill",
        at.elapsed().as_millis()
    );
    for node in nodes {
        node.stop().await;
    }
    assert_sound(&folder);
}

fn join() -> client_frame::Command {
    client_frame::Command::JoinLobby(JoinLobby {
        region: String::new(),
    })
}
