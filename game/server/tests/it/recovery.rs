//! A Redis that lost everything is filled from the copies in both snapshot stores, and games go on.

use std::{path::Path, process::Command as Program};

use sha2::{Digest as _, Sha256};
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

/// A node whose games and players are copied to both stores.
fn with_copies(folder: &Path, redis: &RedisServer) -> impl Fn(&mut Config) + Send + Clone + 'static {
    let (node, stores) = (node(redis), STORES.map(|name| url(folder, name)));
    move |config: &mut Config| {
        node(config);
        let [primary, secondary] = stores.each_ref().map(|url| url.parse().unwrap());
        config.snapshots = Some(SnapshotStores { primary, secondary });
    }
}

/// The file of a store, to look at and to damage.
fn opened(folder: &Path, name: &str) -> rusqlite::Connection {
    rusqlite::Connection::open(folder.join(format!("{name}.sqlite"))).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn games_go_on_after_their_redis_was_lost() {
    let (folder, redis) = (folder(), RedisServer::start());
    let path = folder.path();
    assert_eq!(run(path, &["migrate"]).0, Some(0));
    let with_copies = with_copies(path, &redis);
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
        let connection = opened(path, name);
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

/// The row of a game's copy, but for its key.
type Copied = (i64, Vec<u8>, Vec<u8>, i64);

fn row(of: &rusqlite::Connection, game_id: &str) -> Copied {
    let sql = "SELECT version, body, sha256, written_at_us FROM game_snapshots WHERE game_id = ?";
    of.query_row(sql, [game_id.as_bytes()], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
    })
    .unwrap()
}

fn put(into: &rusqlite::Connection, game_id: &str, (version, body, sha256, at_us): Copied) {
    let sql =
        "UPDATE game_snapshots SET version = ?, body = ?, sha256 = ?, written_at_us = ? WHERE game_id = ?";
    let changed = into.execute(sql, (version, body, sha256, at_us, game_id.as_bytes()));
    assert_eq!(changed.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_is_damaged_or_old_gives_way_to_the_other_stores_and_is_told() {
    let (folder, redis) = (folder(), RedisServer::start());
    let path = folder.path();
    assert_eq!(run(path, &["migrate"]).0, Some(0));
    let with_copies = with_copies(path, &redis);
    let (server, threads) = Running::start_apart(&folder, "v1.2", with_copies.clone()).await;
    let mut tables = Vec::new();
    for _ in 0..4 {
        let mut table = two_in_a_game(&server, &server).await;
        table.play(1, "e2e4").await;
        tables.push(table);
    }
    copied(&server).await;
    let [primary, secondary] = STORES.map(|name| opened(path, name));
    let old = row(&secondary, &tables[1].game_id);
    for table in &mut tables {
        table.play(2, "e7e5").await;
    }
    copied(&server).await;
    server.kill(threads);
    redis.lose_everything();
    redis.go_on();

    let [half, behind, gone, no_game] = [0, 1, 2, 3].map(|at| tables[at].game_id.clone());
    let flipped = |of: &rusqlite::Connection, game_id: &str| {
        let (version, mut body, sha256, at_us) = row(of, game_id);
        let at = body.len() / 2;
        body[at] ^= 1;
        put(of, game_id, (version, body, sha256, at_us));
    };
    flipped(&primary, &half);
    put(&secondary, &behind, old);
    flipped(&primary, &gone);
    flipped(&secondary, &gone);
    // Whole by its digest, and no game: the same events, twice.
    for store in [&primary, &secondary] {
        let (version, body, _, at_us) = row(store, &no_game);
        let events: Vec<serde_json::Value> = serde_json::from_slice(&body).unwrap();
        let body = serde_json::to_vec(&[events.clone(), events].concat()).unwrap();
        let sha256 = Sha256::digest(&body).to_vec();
        put(store, &no_game, (version, body, sha256, at_us));
    }
    let damaged_player = tables[0].white_in.player_id.clone();
    let sql = "UPDATE player_snapshots SET sha256 = zeroblob(32) WHERE player_id = ?";
    assert_eq!(primary.execute(sql, [damaged_player.as_bytes()]).unwrap(), 1);
    drop((primary, secondary));

    let recover = ["recover", "--store", &redis.url(), "--release", "v1.2", "--json"];
    let (code, report, said) = run(path, &recover);
    assert_eq!(code, Some(1), "{report}{said}");
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(
        (&report["players"], &report["games"]),
        (&8.into(), &2.into()),
        "{report}"
    );
    let mut running: Vec<_> = report["running"].as_array().unwrap().iter().collect();
    running.sort_by_key(|game| game["game_id"] != half.as_str());
    for (running, game_id) in running.into_iter().zip([&half, &behind]) {
        assert_eq!(
            (&running["game_id"], &running["sequence"]),
            (&game_id.as_str().into(), &3.into())
        );
    }
    let unreadable: Vec<_> = report["unreadable"]
        .as_array()
        .unwrap()
        .iter()
        .map(|what| what.as_str().unwrap())
        .collect();
    let times = |what: &str, store: &str| {
        let is_told = |told: &&&str| told.contains(what) && told.contains(store);
        unreadable.iter().filter(is_told).count()
    };
    assert_eq!(
        [
            times(&damaged_player, "primary"),
            times(&half, "primary"),
            times(&gone, "primary"),
            times(&gone, "secondary"),
            times(&no_game, ""),
        ],
        [1; 5],
        "{unreadable:?}"
    );
    assert_eq!(unreadable.len(), 5, "{unreadable:?}");

    let server = Running::start(&folder, "v1.2", with_copies).await;
    // Whose game is gone is free for another one.
    for table in &tables {
        let is_there = [&half, &behind].contains(&&table.game_id);
        let profile = server.profile(&table.white_in).await;
        assert_eq!(
            profile.active_game_id,
            if is_there { table.game_id.as_str() } else { "" }
        );
    }
    server.stop().await;
    assert_whole(&redis).await;
}
