//! Games outlast every deadline of a rollout: the gateway's drain limit and the end of the release
//! that they began on.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tminus_load::Snapshot;
use tminus_load::players::{PlayersConfig, PlayersHandle};
use tokio_util::sync::CancellationToken;

use crate::common::{Gateway, PATIENCE, Starvault, binary};

/// What a drain may take. The games of this test go on for many times as long.
const DRAIN_TIMEOUT_MS: u32 = 200;
const PLAYERS: u32 = 8;

async fn until(players: &PlayersHandle, what: &str, seen: impl FnMut(&Snapshot) -> bool) -> Snapshot {
    let mut snapshots = players.snapshots.clone();
    let waited = tokio::time::timeout(PATIENCE, snapshots.wait_for(seen))
        .await
        .map(|seen| seen.expect("the players are at play").clone());
    waited.unwrap_or_else(|_| {
        panic!(
            "waited {PATIENCE:?} for {what}: {:#?}",
            players.snapshots.borrow()
        )
    })
}

async fn post(url: String) -> Value {
    let answer = reqwest::Client::new().post(&url).send().await.expect("an answer");
    let text = answer.text().await.expect("a body");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{url} answered {text}: {error}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_game_is_not_cut_at_a_drain_deadline_nor_by_the_end_of_its_release() {
    let mut stable = Starvault::start("v1.2").await;
    let canary = stable.start_beside("v1.3").await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let routes = format!(
        "sticky: [bearer-subject]\naffinity_query: at\nlimits: {{ drain_timeout_ms: {DRAIN_TIMEOUT_MS} }}\n\
         backends:\n  stable: {{ url: \"http://{}\", version: v1.2 }}\n  canary: {{ url: \"http://{}\", version: v1.3 }}\n\
         default: {{ split: {{ stable: 100, canary: 0 }} }}\n",
        stable.address, canary.address
    );
    let gateway = Gateway::start(folder.path(), &routes).await;
    let log = folder.path().join("acknowledged.jsonl");
    let players = tminus_load::players::start(
        PlayersConfig {
            players: PLAYERS,
            arrivals_over: Duration::from_millis(50),
            duration: Duration::from_secs(600),
            finish_within: Duration::from_millis(100),
            think_time: Duration::from_millis(40),
            command_timeout: Duration::from_secs(30),
            resume_within: PATIENCE,
            acknowledged_log: Some(log.clone()),
            ..PlayersConfig::new(&gateway.url)
        },
        CancellationToken::new(),
    )
    .await
    .expect("the gateway answers");
    let before = until(&players, "games in their midst", |now| {
        now.games_open == u64::from(PLAYERS) / 2 && now.moves >= 20
    })
    .await;
    assert_eq!(
        before.games_finished, 0,
        "every game is to be drained in its midst"
    );

    let drained = post(format!("{}/backends/stable/drain", gateway.admin)).await;
    assert_eq!(drained, json!({ "closed_websockets": PLAYERS }));
    // The deadline has passed; now the release that the games began on goes down altogether.
    stable.drain();

    let done = until(&players, "every drained game to end", |now| {
        now.games_finished >= u64::from(PLAYERS) / 2
    })
    .await;
    assert!(done.moves > before.moves, "{done:#?}");
    players.stop();
    let report = players.join().await.expect("a report");
    assert_eq!(
        (report.games_lost, report.lost_moves, report.games_abandoned),
        (0, 0, 0),
        "{report:#?}"
    );
    assert!(report.resumed >= u64::from(PLAYERS), "{report:#?}");

    let check = Command::new(binary("starvault", "starvault-server"))
        .args([
            "journal",
            "check",
            "--json",
            "--store",
            &stable.store(),
            "--acknowledged",
        ])
        .arg(&log)
        .output()
        .expect("starvault starts");
    let found: Value = serde_json::from_slice(&check.stdout).expect("JSON");
    assert_eq!(check.status.code(), Some(0), "{found:#}");
    assert_eq!(found["acknowledged"], report.moves, "{found:#}");
    drop(canary);
}
