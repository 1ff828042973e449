//! What can be wrong with a Redis: each is told apart, and nothing acknowledged is lost.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
};

use starvault_rules::{Color, Command};
use starvault_store::{AppendOutcome, Journal, RedisJournal, RedisTrouble, RedisUrl, StoreError};
use starvault_testing::{RedisOptions as ServerOptions, RedisServer};

use super::{FAST, open, raw, until, url};
use crate::room::{Room, owner};

fn trouble(error: StoreError) -> RedisTrouble {
    match error {
        StoreError::Redis { trouble, .. } => trouble,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_redis_that_is_full_or_read_only_says_so_and_loses_nothing() {
    let server = RedisServer::start();
    let journal = open(&server, FAST).await;
    let mut room = Room::begin(&journal, "g1", owner("v1")).await;
    let command = room.mv("e2e4");
    let (decision, _) = room.decide(Color::White, &command);
    let append = room.append_of(Some(room.key(Color::White, "c", &command)), decision);
    let _: String = raw(&server, "CONFIG SET maxmemory 1").await;
    let error = journal.append(append.clone()).await.unwrap_err();
    assert_eq!(trouble(error), RedisTrouble::OutOfMemory);
    let _: String = raw(&server, "CONFIG SET maxmemory 0").await;
    let _: String = raw(&server, "REPLICAOF 127.0.0.1 1").await;
    let error = journal.append(append).await.unwrap_err();
    assert_eq!(trouble(error), RedisTrouble::ReadOnly);
    let _: String = raw(&server, "REPLICAOF NO ONE").await;
    let done = room.give(Color::White, "c", &command).await;
    assert_eq!(done, AppendOutcome::Committed { sequence: 2 });
}

#[tokio::test]
async fn a_redis_that_lost_everything_is_not_taken_for_a_new_one() {
    let server = RedisServer::start();
    let journal = open(&server, FAST).await;
    let room = Room::begin(&journal, "g1", owner("v1")).await;
    server.lose_everything();
    server.go_on();
    let command = room.mv("e2e4");
    let lost = until(async || {
        let (decision, _) = room.decide(Color::White, &command);
        let append = room.append_of(Some(room.key(Color::White, "c", &command)), decision);
        let trouble = trouble(journal.append(append).await.unwrap_err());
        (!matches!(trouble, RedisTrouble::Unreachable(_))).then_some(trouble)
    })
    .await;
    assert_eq!(lost, RedisTrouble::Lost);
}

#[tokio::test]
async fn what_is_not_our_journal_is_refused_at_the_opening() {
    let server = RedisServer::start();
    drop(open(&server, FAST).await);
    let _: i64 = raw(&server, "HSET sv:meta shards 7").await;
    let error = RedisJournal::open(&url(&server), "test", FAST).await.unwrap_err();
    assert!(error.to_string().contains("its shards is 7"), "{error}");
    let nobody: RedisUrl = "redis://127.0.0.1:1".parse().unwrap();
    let error = RedisJournal::open(&nobody, "test", FAST).await.unwrap_err();
    assert!(matches!(trouble(error), RedisTrouble::Unreachable(_)));
    let guarded = RedisServer::start_with(ServerOptions {
        more: ["--requirepass", "geheim"].map(String::from).into(),
        ..ServerOptions::default()
    });
    let error = RedisJournal::open(&url(&guarded), "test", FAST)
        .await
        .unwrap_err();
    assert!(matches!(trouble(error), RedisTrouble::Denied(_)));
    let wrong: RedisUrl = format!("redis://:falsch@{}", guarded.address()).parse().unwrap();
    let error = RedisJournal::open(&wrong, "test", FAST).await.unwrap_err();
    assert!(!error.to_string().contains("falsch"), "{error}");
    assert!(matches!(trouble(error), RedisTrouble::Denied(_)));
    let right: RedisUrl = format!("redis://:geheim@{}", guarded.address()).parse().unwrap();
    RedisJournal::open(&right, "test", FAST).await.unwrap();
}

#[tokio::test]
async fn a_redis_that_is_loading_is_told_apart() {
    // Loading a few games takes a real one no time.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            std::thread::spawn(move || {
                let mut asked = [0; 4096];
                while let Ok(1..) = stream.read(&mut asked) {
                    // The greeting is two or three commands, whatever they are.
                    let commands = asked.split(|byte| *byte == b'*').count().min(8);
                    let loading = b"-LOADING Redis is loading the dataset in memory\r\n".repeat(commands);
                    if stream.write_all(&loading).is_err() {
                        break;
                    }
                    asked = [0; 4096];
                }
            });
        }
    });
    let url: RedisUrl = format!("redis://{address}").parse().unwrap();
    let error = RedisJournal::open(&url, "test", FAST).await.unwrap_err();
    assert_eq!(trouble(error), RedisTrouble::Loading);
}

#[tokio::test]
async fn a_cluster_of_three_carries_games_and_one_of_its_nodes_alone_does_not() {
    let start = || {
        RedisServer::start_with(ServerOptions {
            more: ["--cluster-enabled", "yes"].map(String::from).into(),
            ..ServerOptions::default()
        })
    };
    let nodes = [start(), start(), start()];
    for (node, slots) in nodes.iter().zip(["0 5460", "5461 10922", "10923 16383"]) {
        let _: String = raw(node, &format!("CLUSTER ADDSLOTSRANGE {slots}")).await;
    }
    for node in &nodes[1..] {
        let _: String = raw(node, &format!("CLUSTER MEET 127.0.0.1 {}", nodes[0].port())).await;
    }
    for node in &nodes {
        until(async || {
            let info: String = raw(node, "CLUSTER INFO").await;
            let whole = [
                "cluster_state:ok",
                "cluster_known_nodes:3",
                "cluster_slots_ok:16384",
            ];
            whole.iter().all(|line| info.contains(line)).then_some(())
        })
        .await;
    }
    let cluster: RedisUrl = format!("redis-cluster://{},{}", nodes[0].address(), nodes[1].address())
        .parse()
        .unwrap();
    let journal = RedisJournal::open(&cluster, "test", FAST).await.unwrap();
    let mut rooms = Vec::new();
    for n in 0..12 {
        let mut room = Room::begin(&journal, &format!("g{n}"), owner("v1")).await;
        room.play("e2e4 e7e5").await;
        rooms.push(room);
    }
    for room in &mut rooms {
        let ended = room.give(Color::White, "resign", &Command::Resign).await;
        assert_eq!(ended, AppendOutcome::Committed { sequence: 4 });
        let white = journal
            .get_profile(&room.player(Color::White))
            .await
            .unwrap()
            .unwrap();
        assert_eq!((white.progress.losses, white.active_game_id), (1, None));
        let acquired = journal
            .acquire(room.game.id(), owner("v2"))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(acquired.game.state(), room.game.state());
    }
    // The games are really on several nodes.
    for node in &nodes {
        assert!(raw::<i64>(node, "DBSIZE").await > 0);
    }
    let error = RedisJournal::open(&url(&nodes[0]), "test", FAST)
        .await
        .unwrap_err();
    assert_eq!(trouble(error), RedisTrouble::Cluster);
    journal.close().await;
}
