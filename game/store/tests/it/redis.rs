//! What only the journal in Redis does. That it answers as the one in a file does is in `alike`.

use std::{
    collections::HashMap,
    io::{Read as _, Write as _},
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use redis::{FromRedisValue, cmd};
use starvault_rules::{Color, Command, GameId};
use starvault_store::{
    Answer, AppendOutcome, CreateOutcome, DeadLetters, FindingKind, Journal, RedisJournal, RedisOptions,
    RedisTrouble, RedisUrl, StoreError, check_redis,
};
use starvault_testing::{RedisOptions as ServerOptions, RedisServer};

use crate::room::{Room, START_MS, add_player, game_id, new_game, owner, player_id};

/// Nothing takes long here.
const FAST: RedisOptions = RedisOptions {
    queue_max: 256,
    batch_max: 64,
    calls_max: 2,
    timeout_ms: 5_000,
    sweep_every_ms: 5,
    claim_idle_ms: 1,
    deliveries_max: 3,
    dead_letters_max: 10,
    ended_kept_ms: 3_600_000,
};

fn url(server: &RedisServer) -> RedisUrl {
    server.url().parse().unwrap()
}

async fn open(server: &RedisServer, options: RedisOptions) -> RedisJournal {
    RedisJournal::open(&url(server), "test", options).await.unwrap()
}

/// Behind the journal's back.
async fn raw<T: FromRedisValue>(server: &RedisServer, command: &str) -> T {
    let client = redis::Client::open(server.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut words = command.split(' ');
    let mut asked = cmd(words.next().unwrap());
    for word in words {
        asked.arg(word);
    }
    asked.query_async(&mut connection).await.unwrap()
}

/// The key of a game's part, which this test must not know how to compute.
async fn key_of(server: &RedisServer, part: &str, id: &str) -> String {
    let keys: Vec<String> = raw(server, &format!("KEYS sv:*:{part}:{id}")).await;
    let [key] = &keys[..] else { panic!("{keys:?}") };
    key.clone()
}

async fn until<T>(mut look: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..2_000 {
        if let Some(found) = look().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it never happened");
}

fn trouble(error: StoreError) -> RedisTrouble {
    match error {
        StoreError::Redis { trouble, .. } => trouble,
        other => panic!("{other}"),
    }
}

/// A game between the two, begun or found, however often Redis is away meanwhile.
async fn begin_somehow(journal: &RedisJournal, pair: usize, round: &mut usize) -> Room<RedisJournal> {
    let (white, black) = (format!("w{pair}"), format!("b{pair}"));
    loop {
        *round += 1;
        let new = new_game(&format!("g{pair}-{round}"), &white, &black, owner("v1"));
        match journal.create_game(new).await {
            Ok(CreateOutcome::Created(created)) => {
                return Room {
                    journal: journal.clone(),
                    owner: owner("v1"),
                    epoch: created.epoch,
                    game: created.game,
                };
            }
            // One that was created without an answer.
            Ok(CreateOutcome::AlreadyPlaying { game_id, .. }) => {
                if let Ok(Some(acquired)) = journal.acquire(&game_id, owner("v1")).await {
                    return Room {
                        journal: journal.clone(),
                        owner: owner("v1"),
                        epoch: acquired.epoch,
                        game: acquired.game,
                    };
                }
            }
            Err(StoreError::Redis { .. }) => {}
            Err(other) => panic!("{other}"),
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Plays games until told to stop; what was acknowledged, as lines for the check.
async fn play_on(journal: RedisJournal, pair: usize, stop: Arc<AtomicBool>) -> String {
    let (mut told, mut round, mut random) = (String::new(), 0, pair + 1);
    while !stop.load(Ordering::SeqCst) {
        let mut room = begin_somehow(&journal, pair, &mut round).await;
        while room.game.outcome().is_none() && !stop.load(Ordering::SeqCst) {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let legal = room.game.legal_moves_uci();
            let by = room.game.to_move();
            let command = room.mv(&legal[(random >> 33) % legal.len()]);
            let id = format!("c{}", room.game.sequence());
            let (decision, after) = room.decide(by, &command);
            // As a client does: again and again, until there is an answer.
            let sequence = loop {
                let append = room.append_of(Some(room.key(by, &id, &command)), decision.clone());
                match journal.append(append).await {
                    Ok(
                        AppendOutcome::Committed { sequence }
                        | AppendOutcome::Repeated {
                            answer: Answer::Accepted { sequence },
                        },
                    ) => break sequence,
                    Ok(other) => panic!("{other:?}"),
                    Err(StoreError::Redis { .. }) => tokio::time::sleep(Duration::from_millis(2)).await,
                    Err(other) => panic!("{other}"),
                }
            };
            assert!(sequence > room.game.sequence());
            let (game, player) = (room.game.id(), room.player(by));
            // Where a move ends the game, its own event comes before.
            let sequence = after.sequence();
            told += &format!(
                r#"{{"game_id":"{game}","command_id":"{id}","sequence":{sequence},"player_id":"{player}"}}"#
            );
            told.push('\n');
            room.game = after;
        }
    }
    told
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_redis_that_is_killed_again_and_again() {
    let server = RedisServer::start();
    let journal = open(&server, FAST).await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut pairs = Vec::new();
    for pair in 0..8 {
        for id in [format!("w{pair}"), format!("b{pair}")] {
            add_player(&journal, &id).await;
        }
        pairs.push(tokio::spawn(play_on(journal.clone(), pair, stop.clone())));
    }
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_millis(150)).await;
        server.kill();
        server.go_on();
    }
    stop.store(true, Ordering::SeqCst);
    let mut lines = String::new();
    for pair in pairs {
        lines += &pair.await.unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("acknowledged.jsonl");
    std::fs::write(&path, &lines).unwrap();
    journal.close().await;
    let report = check_redis(&url(&server), Some(&path)).await.unwrap();
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(report.acknowledged, lines.lines().count() as u64);
    assert!(report.acknowledged > 100, "{report:?}");
}

#[tokio::test]
async fn a_game_whose_creator_died_lets_its_players_go_and_can_never_begin() {
    let server = RedisServer::start();
    let journal = open(&server, FAST).await;
    for id in ["a", "b"] {
        add_player(&journal, id).await;
    }
    // What a process leaves that dies between the two steps.
    let since = START_MS - 60_000;
    for id in ["a", "b"] {
        let _: i64 = raw(
            &server,
            &format!("HSET sv:{{players}}:p:{id} game ghost since_ms {since}"),
        )
        .await;
    }
    let profile = journal.get_profile(&player_id("a")).await.unwrap().unwrap();
    assert_eq!(profile.active_game_id, None, "there is no such game");
    let begun = journal
        .create_game(new_game("g1", "a", "b", owner("v1")))
        .await
        .unwrap();
    assert!(matches!(begun, CreateOutcome::Created(_)), "{begun:?}");
    // The creator was only slow.
    for id in ["c", "d"] {
        add_player(&journal, id).await;
    }
    let late = journal
        .create_game(new_game("ghost", "c", "d", owner("v1")))
        .await;
    assert!(late.unwrap_err().to_string().contains("called off"));
    let free = journal
        .create_game(new_game("g2", "c", "d", owner("v1")))
        .await
        .unwrap();
    assert!(matches!(free, CreateOutcome::Created(_)), "{free:?}");
}

#[tokio::test]
async fn a_game_that_is_being_created_keeps_its_players() {
    let server = RedisServer::start();
    let journal = open(&server, FAST).await;
    for id in ["a", "b"] {
        add_player(&journal, id).await;
    }
    let since = START_MS - 1_000;
    let _: i64 = raw(
        &server,
        &format!("HSET sv:{{players}}:p:a game ghost since_ms {since}"),
    )
    .await;
    match journal
        .create_game(new_game("g1", "a", "b", owner("v1")))
        .await
        .unwrap()
    {
        CreateOutcome::AlreadyPlaying {
            player_id: who,
            game_id: game,
        } => {
            assert_eq!((who, game), (player_id("a"), game_id("ghost")));
        }
        other => panic!("{other:?}"),
    }
}

/// A game that was resigned while one of its players could not be found.
async fn ended_without_a_player(server: &RedisServer, journal: &RedisJournal) {
    let mut room = Room::begin(journal, "g1", owner("v1")).await;
    room.play("e2e4").await;
    let _: String = raw(server, "RENAME sv:{players}:p:b-g1 elsewhere").await;
    let outcome = room.give(Color::White, "resign", &Command::Resign).await;
    assert_eq!(
        outcome,
        AppendOutcome::Committed { sequence: 3 },
        "durable all the same"
    );
}

#[tokio::test]
async fn an_end_that_its_owner_could_not_bring_reaches_the_players_later() {
    let server = RedisServer::start();
    let patient = RedisOptions {
        deliveries_max: 1_000_000,
        ..FAST
    };
    let journal = open(&server, patient).await;
    ended_without_a_player(&server, &journal).await;
    // The process dies; another one takes the entry over.
    journal.close().await;
    drop(journal);
    let _: String = raw(&server, "RENAME elsewhere sv:{players}:p:b-g1").await;
    let other = RedisJournal::open(&url(&server), "other", patient).await.unwrap();
    let ends = key_of(&server, "h", "g1").await.replace(":h:g1", ":ends");
    until(async || (raw::<i64>(&server, &format!("XLEN {ends}")).await == 0).then_some(())).await;
    let progress = async |id: &str| other.get_profile(&player_id(id)).await.unwrap().unwrap();
    let (white, black) = (progress("w-g1").await, progress("b-g1").await);
    assert_eq!((white.progress.losses, black.progress.wins), (1, 1));
    assert_eq!((white.version, black.version), (2, 2), "once");
    assert_eq!((white.active_game_id, black.active_game_id), (None, None));
    other.close().await;
    let report = check_redis(&url(&server), None).await.unwrap();
    assert!(report.is_clean(), "{report:?}");
}

#[tokio::test]
async fn who_wants_to_play_again_need_not_wait_for_the_sweep() {
    let server = RedisServer::start();
    let never = RedisOptions {
        sweep_every_ms: 3_600_000,
        ..FAST
    };
    let journal = open(&server, never).await;
    ended_without_a_player(&server, &journal).await;
    let _: String = raw(&server, "RENAME elsewhere sv:{players}:p:b-g1").await;
    let again = journal
        .create_game(new_game("g2", "b-g1", "w-g1", owner("v1")))
        .await
        .unwrap();
    assert!(matches!(again, CreateOutcome::Created(_)), "{again:?}");
    let white = journal.get_profile(&player_id("w-g1")).await.unwrap().unwrap();
    assert_eq!(
        (white.progress.losses, white.active_game_id),
        (1, Some(game_id("g2")))
    );
}

#[tokio::test]
async fn an_end_that_cannot_be_brought_is_a_dead_letter_that_can_be_replayed() {
    let server = RedisServer::start();
    let journal = open(&server, FAST).await;
    ended_without_a_player(&server, &journal).await;
    let letters = DeadLetters::open(&url(&server)).await.unwrap();
    let listed = until(async || {
        let listed = letters.list(10).await.unwrap();
        (!listed.is_empty()).then_some(listed)
    })
    .await;
    let [letter] = &listed[..] else {
        panic!("{listed:?}")
    };
    assert_eq!(letter.game_id, "g1");
    assert!(
        letter.why.contains("player b-g1 of game g1 is missing"),
        "{}",
        letter.why
    );
    assert!(!letters.replay("7/1-1").await.unwrap(), "there is no such letter");
    for wrong in ["", "7", "99/1-1", "7/x", "7/1-1-1"] {
        assert!(letters.replay(wrong).await.is_err(), "{wrong:?}");
    }
    // Mended, and tried again.
    let _: String = raw(&server, "RENAME elsewhere sv:{players}:p:b-g1").await;
    assert!(letters.replay(&letter.id).await.unwrap());
    assert_eq!(letters.list(10).await.unwrap(), []);
    let won = until(async || {
        let black = journal.get_profile(&player_id("b-g1")).await.unwrap().unwrap();
        (black.progress.wins == 1).then_some(black)
    })
    .await;
    assert_eq!(won.active_game_id, None);
}

#[tokio::test]
async fn a_dead_letter_can_be_dropped() {
    let server = RedisServer::start();
    let journal = open(&server, FAST).await;
    ended_without_a_player(&server, &journal).await;
    let letters = DeadLetters::open(&url(&server)).await.unwrap();
    let id = until(async || letters.list(1).await.unwrap().pop().map(|letter| letter.id)).await;
    assert!(letters.drop_letter(&id).await.unwrap());
    assert!(!letters.drop_letter(&id).await.unwrap(), "once");
    assert_eq!(letters.list(10).await.unwrap(), []);
}

#[tokio::test]
async fn refusals_are_kept_up_to_a_limit() {
    let server = RedisServer::start();
    let journal = open(&server, FAST).await;
    let mut room = Room::begin(&journal, "g1", owner("v1")).await;
    let wrong = Command::Move {
        uci: "e2e5".into(),
        expected_sequence: 1,
    };
    for n in 0..300 {
        room.give(Color::White, &format!("c{n}"), &wrong).await;
    }
    let answers = key_of(&server, "a", "g1").await;
    assert_eq!(raw::<i64>(&server, &format!("HLEN {answers}")).await, 256);
    let again = room.give(Color::White, "c299", &wrong).await;
    assert!(matches!(again, AppendOutcome::Repeated { .. }), "{again:?}");
    let forgotten = room.give(Color::White, "c0", &wrong).await;
    assert_eq!(forgotten, AppendOutcome::Committed { sequence: 1 });
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
    (
        "HDEL ANSWERS wc1",
        FindingKind::Broken,
        "the answer to command c1",
    ),
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
        for (name, part) in [("EVENTS", "e"), ("HEAD", "h"), ("ANSWERS", "a")] {
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
async fn the_outbox_has_the_newest_of_each_player_in_order() {
    let server = RedisServer::start();
    let journal = open(&server, FAST).await;
    let mut room = Room::begin(&journal, "g1", owner("v1")).await;
    let outbox = journal.outbox();
    let rows = outbox.after(0, 10).await.unwrap();
    let ids: Vec<&str> = rows.iter().map(|row| row.player_id.as_str()).collect();
    assert_eq!(ids, ["w-g1", "b-g1"]);
    room.give(Color::White, "resign", &Command::Resign).await;
    let rows = outbox.after(2, 10).await.unwrap();
    assert_eq!(rows.len(), 2);
    assert!(rows[0].position == 3 && rows[1].position == 4 && rows[0].version == 2);
    assert_eq!(outbox.after(3, 10).await.unwrap(), rows[1..]);
    assert_eq!(
        outbox.after(0, 1).await.unwrap(),
        rows[..1],
        "former positions are gone"
    );
    assert_eq!(outbox.newest_position().await.unwrap(), 4);
    assert_eq!(outbox.of_player("b-g1").await.unwrap().as_ref(), Some(&rows[1]));
    assert_eq!(outbox.of_player("nobody").await.unwrap(), None);
}

#[tokio::test]
async fn an_ended_game_leaves_after_its_time_and_is_unknown_then() {
    let server = RedisServer::start();
    let brief = RedisOptions {
        ended_kept_ms: 1,
        ..FAST
    };
    let journal = open(&server, brief).await;
    let mut room = Room::begin(&journal, "g1", owner("v1")).await;
    room.give(Color::White, "resign", &Command::Resign).await;
    let id: GameId = game_id("g1");
    until(async || journal.owner_of(&id).await.unwrap().is_none().then_some(())).await;
    assert_eq!(journal.events_after(&id, 0).await.unwrap(), []);
    assert!(journal.acquire(&id, owner("v2")).await.unwrap().is_none());
    let append = room.append_of(None, room.decide(Color::White, &Command::Resign).0);
    let error = journal.append(append).await.unwrap_err();
    assert!(matches!(error, StoreError::UnknownGame { .. }), "{error}");
    let loser = journal.get_profile(&player_id("w-g1")).await.unwrap().unwrap();
    assert_eq!(loser.progress.losses, 1);
}
