//! The check of a journal in Redis finds what is planted.

use std::collections::HashMap;

use redis::cmd;
use sha2::{Digest as _, Sha256};
use starvault_rules::{Color, Command};
use starvault_store::{FindingKind, check_redis};
use starvault_testing::RedisServer;

use super::{FAST, key_of, open, raw, url};
use crate::room::{Room, owner};

/// What is planted, and in which words it must be found.
const PLANTED: [(&str, FindingKind, &str); 8] = [
    ("LPOP EVENTS", FindingKind::Broken, "the events are no game"),
    ("RPOP EVENTS", FindingKind::Broken, "its head says sequence"),
    (
        "HSET HEAD sequence 77",
        FindingKind::Broken,
        "its head says sequence 77",
    ),
    (
        "HSET HEAD state 0011223344556677",
        FindingKind::Broken,
        "not what the events give",
    ),
    (
        "HDEL RUNNING g1",
        FindingKind::Broken,
        "not listed as a running game",
    ),
    ("HDEL HEAD w:c1", FindingKind::Broken, "the answer to command c1"),
    (
        "HSET sv:{players}:p:w-g1 version 9",
        FindingKind::Broken,
        "version and digest",
    ),
    (
        "HDEL sv:{players}:p:w-g1 game",
        FindingKind::Broken,
        "by the games",
    ),
];

#[tokio::test]
async fn the_check_finds_what_is_planted() {
    for (plant, kind, words) in PLANTED {
        let server = RedisServer::start();
        let journal = open(&server, FAST).await;
        let mut room = Room::begin(&journal, "g1", owner("v1")).await;
        room.play("e2e4 e7e5 g1f3").await;
        journal.close().await;
        let report = check_redis(&url(&server), None).await.unwrap();
        assert!(report.is_clean(), "{report:?}");
        assert_eq!((report.games, report.events), (1, 4));
        let mut keys = HashMap::new();
        for (name, part) in [("EVENTS", "e"), ("HEAD", "h")] {
            keys.insert(name, key_of(&server, part, "g1").await);
        }
        let running = keys["HEAD"].replace(":h:g1", ":running");
        keys.insert("RUNNING", running);
        let mut command = plant.to_owned();
        for (name, key) in keys {
            command = command.replace(name, &key);
        }
        let _: redis::Value = raw(&server, &command).await;
        let report = check_redis(&url(&server), None).await.unwrap();
        let found = report
            .findings
            .iter()
            .any(|f| f.kind == kind && f.what.contains(words));
        assert!(found, "{plant}: {report:?}");
    }
}

#[tokio::test]
async fn the_check_finds_lost_and_doubled_commands() {
    let server = RedisServer::start();
    let journal = open(&server, FAST).await;
    let mut room = Room::begin(&journal, "g1", owner("v1")).await;
    room.play("e2e4 e7e5").await;
    journal.close().await;
    let events = key_of(&server, "e", "g1").await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("acknowledged.jsonl");
    let line = |command: &str, sequence: u32| {
        format!(
            "{{\"game_id\":\"g1\",\"command_id\":\"{command}\",\"sequence\":{sequence},\"player_id\":\"w-g1\"}}\n"
        )
    };
    std::fs::write(&path, line("c1", 2) + &line("c9", 3)).unwrap();
    let report = check_redis(&url(&server), Some(&path)).await.unwrap();
    assert_eq!((report.acknowledged, report.lost), (2, 1), "{report:?}");
    // The same command once more, as another event.
    let doubled: Vec<String> = raw(&server, &format!("LRANGE {events} 1 1")).await;
    let doubled = doubled[0].replace("\"sequence\":2", "\"sequence\":4");
    let client = redis::Client::open(server.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let _: i64 = cmd("RPUSH")
        .arg(&events)
        .arg(doubled)
        .query_async(&mut connection)
        .await
        .unwrap();
    let report = check_redis(&url(&server), None).await.unwrap();
    assert_eq!(report.twice, 1, "{report:?}");
}

#[tokio::test]
async fn the_check_finds_a_game_that_counted_twice() {
    let server = RedisServer::start();
    let journal = open(&server, FAST).await;
    let mut room = Room::begin(&journal, "g1", owner("v1")).await;
    room.give(Color::White, "resign", &Command::Resign).await;
    journal.close().await;
    let player = "sv:{players}:p:b-g1";
    let client = redis::Client::open(server.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let body: String = cmd("HGET")
        .arg(player)
        .arg("body")
        .query_async(&mut connection)
        .await
        .unwrap();
    let twice = body
        .replace("\"games_played\":1", "\"games_played\":2")
        .replace("\"wins\":1", "\"wins\":2");
    assert_ne!(twice, body);
    // As whoever applied an end twice would have written it.
    let digest = Sha256::digest(&twice);
    let _: i64 = cmd("HSET")
        .arg(player)
        .arg("body")
        .arg(&twice)
        .arg("sha256")
        .arg(&digest[..])
        .query_async(&mut connection)
        .await
        .unwrap();
    let report = check_redis(&url(&server), None).await.unwrap();
    let [finding] = &report.findings[..] else {
        panic!("{report:?}")
    };
    assert!(
        finding
            .what
            .contains("[2, 0, 0] wins, losses and draws in the profile"),
        "{finding:?}"
    );
}
