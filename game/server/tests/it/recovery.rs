//! A Redis that lost everything is filled from the copies in both snapshot stores, and games go on.

use std::{path::Path, process::Command as Program};

use starvault_server::{Config, SnapshotStores};
use starvault_testing::RedisServer;
use starvault_wire::{
    Codec,
    v1::{Resign, client_frame::Command, error::Code, server_frame::Event},
};

use crate::{
    nodes::{assert_whole, node, two_in_a_game},
    process::BINARY,
    support::{Running, folder},
};

const STORES: [&str; 2] = ["primary", "secondary"];

fn url(folder: &Path, name: &str) -> String {
    format!("sqlite:{}", folder.join(format!("{name}.sqlite")).display())
}

fn run(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Program::new(BINARY)
        .args(arguments)
        .args(["--primary", &url(folder, "primary")])
        .args(["--secondary", &url(folder, "secondary")])
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

async fn copied(server: &Running) {
    for store in STORES {
        for figure in ["snapshot_lag_positions", "game_copies_waiting"] {
            server
                .figure_is(&format!("starvault_{figure}{{store=\"{store}\"}}"), 0.0)
                .await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn games_go_on_after_their_redis_was_lost() {
    let (folder, redis) = (folder(), RedisServer::start());
    let path = folder.path();
    assert_eq!(run(path, &["migrate"]).0, Some(0));
    let with_copies = {
        let node = node(&redis);
        let stores = STORES.map(|name| url(path, name));
        move |config: &mut Config| {
            node(config);
            let [primary, secondary] = stores.each_ref().map(|url| url.parse().unwrap());
            config.snapshots = Some(SnapshotStores { primary, secondary });
        }
    };
    let (server, threads) = Running::start_apart(&folder, "v1.2", with_copies.clone()).await;
    let mut goes_on = two_in_a_game(&server, &server).await;
    goes_on.play(1, "e2e4").await;
    goes_on.play(2, "e7e5").await;
    let mut left_alone = two_in_a_game(&server, &server).await;
    left_alone.play(1, "c2c4").await;
    let mut over = two_in_a_game(&server, &server).await;
    over.play(1, "d2d4").await;
    let resign = Command::Resign(Resign {
        game_id: over.game_id.clone(),
        command_id: "resign".into(),
    });
    assert!(matches!(over.white.ask(resign).await, Event::Ack(_)));
    copied(&server).await;
    // What comes now is in no copy.
    let held = STORES.map(|name| {
        let connection = rusqlite::Connection::open(path.join(format!("{name}.sqlite"))).unwrap();
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        connection
    });
    goes_on.play(3, "g1f3").await;
    redis.lose_everything();
    server.kill(threads);
    drop(held);
    redis.go_on();

    let recover = ["recover", "--store", &redis.url(), "--release", "v1.2", "--json"];
    let (code, report, said) = run(path, &recover);
    assert_eq!(code, Some(0), "{report}{said}");
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(
        (&report["players"], &report["games"], &report["games_over"]),
        (&6.into(), &2.into(), &1.into()),
        "{report}"
    );
    // The newest first.
    let running = report["running"].as_array().unwrap();
    let ids = [&left_alone.game_id, &goes_on.game_id];
    for (running, (game_id, sequence)) in running.iter().zip(ids.into_iter().zip([2, 3])) {
        assert_eq!(
            (&running["game_id"], &running["sequence"]),
            (&game_id.as_str().into(), &sequence.into())
        );
    }
    assert_eq!(report["newest_event_at_ms"], running[0]["at_ms"]);
    // Never into something that is in use.
    let (code, _, said) = run(path, &recover);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("not empty"), "{said}");
    assert_whole(&redis).await;

    let server = Running::start(&folder, "v1.2", with_copies).await;
    // Of itself, since nobody resumes it.
    server.figure_is("starvault_games_running", 2.0).await;
    goes_on.white = server.connect(&goes_on.white_in, Codec::Json).await;
    goes_on.black = server.connect(&goes_on.black_in, Codec::Proto).await;
    assert_eq!(goes_on.white.welcome.active_game_id, goes_on.game_id);
    // Who has seen more than is left hears so, and begins anew.
    assert_eq!(goes_on.white.refused(goes_on.resume(4)).await, Code::SequenceGap);
    for player in [&mut goes_on.white, &mut goes_on.black] {
        let resumed = player.resume_in_time(&goes_on.game_id, 0).await;
        assert_eq!(resumed.missed.len(), 3);
        let game = resumed.game.unwrap();
        let clocks = [game.white.unwrap().clock_ms, game.black.unwrap().clock_ms];
        assert!(clocks.iter().all(|clock_ms| *clock_ms > 60_000), "{clocks:?}");
    }
    goes_on.play(3, "g1f3").await;
    let resign = Command::Resign(Resign {
        game_id: goes_on.game_id.clone(),
        command_id: "resign".into(),
    });
    assert!(matches!(goes_on.black.ask(resign).await, Event::Ack(_)));
    for (who, wins) in [
        (&goes_on.white_in, 1),
        (&goes_on.black_in, 0),
        (&over.white_in, 0),
        (&over.black_in, 1),
    ] {
        let profile = server.profile(who).await;
        assert_eq!(
            (
                profile.games_played,
                profile.wins,
                profile.active_game_id.as_str()
            ),
            (1, wins, "")
        );
    }
    copied(&server).await;
    server.stop().await;
    assert_whole(&redis).await;
    let (code, report, said) = run(path, &["data", "verify", "--json"]);
    assert_eq!(code, Some(0), "{report}{said}");
}
