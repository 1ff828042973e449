//! What only the journal in Redis does. That it answers as the one in a file does is in `alike`.

mod check;
mod ends;
mod trouble;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::FutureExt as _;
use redis::{FromRedisValue, cmd};
use starvault_rules::{Color, Command};
use starvault_store::{
    Answer, AppendOutcome, CreateOutcome, Journal, RedisJournal, RedisOptions, RedisUrl, StoreError,
    check_redis,
};
use starvault_testing::{RedisOverTls, RedisServer};

use crate::room::{Room, add_player, new_game, owner};

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

/// A game between the two, begun or found, however often Redis is away meanwhile.
async fn begin_somehow(journal: &RedisJournal, pair: usize, round: &mut usize) -> Room<RedisJournal> {
    let (white, black) = (format!("w{pair}"), format!("b{pair}"));
    loop {
        *round += 1;
        let mut new = new_game(&format!("g{pair}-{round}"), &white, &black, owner("v1"));
        // Time goes on: players of a game that Redis never got to create are free after a while.
        new.setup.started_at_ms += 6_000 * *round as i64;
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
    let head = key_of(&server, "h", "g1").await;
    let fields: Vec<String> = raw(&server, &format!("HKEYS {head}")).await;
    assert_eq!(fields.iter().filter(|field| field.starts_with("w:")).count(), 256);
    let again = room.give(Color::White, "c299", &wrong).await;
    assert!(matches!(again, AppendOutcome::Repeated { .. }), "{again:?}");
    let forgotten = room.give(Color::White, "c0", &wrong).await;
    assert_eq!(forgotten, AppendOutcome::Committed { sequence: 1 });
}

#[tokio::test]
async fn a_game_that_is_damaged_holds_no_other_up() {
    let server = RedisServer::start();
    let journal = open(&server, FAST).await;
    let mut rooms = Vec::new();
    for id in ["g1", "g2", "g3", "g4"] {
        rooms.push(Room::begin(&journal, id, owner("v1")).await);
    }
    let [one, two, three, four] = &mut rooms[..] else {
        panic!("four")
    };
    for (part, id) in [("h", "g1"), ("e", "g2"), ("r", "g3")] {
        let key = match part {
            // Not there before the first refusal.
            "r" => key_of(&server, "h", id).await.replace(":h:", ":r:"),
            _ => key_of(&server, part, id).await,
        };
        let _: String = raw(&server, &format!("SET {key} text")).await;
    }
    let wrong = Command::Move {
        uci: "e2e5".into(),
        expected_sequence: 1,
    };
    // All of them in one call.
    let (one, two, three, four) = tokio::join!(
        one.attempt(Color::White, "c1", &Command::Resign),
        two.attempt(Color::White, "c1", &Command::Resign),
        three.attempt(Color::White, "c1", &wrong),
        four.attempt(Color::White, "c1", &Command::Resign),
    );
    for (id, damaged) in [("g1", one), ("g2", two), ("g3", three)] {
        let error = damaged.unwrap_err().to_string();
        assert!(error.contains(id) && error.contains("WRONGTYPE"), "{error}");
    }
    assert_eq!(four.unwrap(), AppendOutcome::Committed { sequence: 2 });
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
async fn a_close_answers_everything_that_waits() {
    let server = RedisServer::start();
    let alone = RedisOptions { calls_max: 1, ..FAST };
    let journal = open(&server, alone).await;
    let mut appends = Vec::new();
    for n in 0..20 {
        let room = Room::begin(&journal, &format!("g{n}"), owner("v1")).await;
        let (decision, _) = room.decide(Color::White, &Command::Resign);
        let append = room.append_of(Some(room.key(Color::White, "c", &Command::Resign)), decision);
        let journal = journal.clone();
        let mut waiting = Box::pin(async move { journal.append(append).await });
        assert!((&mut waiting).now_or_never().is_none(), "on its way");
        appends.push(waiting);
    }
    journal.close().await;
    for mut waiting in appends {
        let answer = (&mut waiting).now_or_never();
        assert!(
            matches!(answer, Some(Ok(AppendOutcome::Committed { sequence: 2 }))),
            "it has its answer"
        );
    }
}

#[tokio::test]
async fn a_game_is_kept_over_tls() {
    let server = RedisOverTls::start(true);
    let url: RedisUrl = server.url().parse().unwrap();
    assert_eq!(url.to_string(), server.host());
    let journal = RedisJournal::open(&url, "test", FAST).await.unwrap();
    let mut room = Room::begin(&journal, "g1", owner("v1")).await;
    let first = room.mv("e2e4");
    let kept = room.give(Color::White, "c1", &first).await;
    assert_eq!(kept, AppendOutcome::Committed { sequence: 2 });
    journal.close().await;
    let report = check_redis(&url, None).await.unwrap();
    assert!(report.is_clean(), "{report:?}");
}

#[tokio::test]
async fn a_certificate_that_the_address_names_and_nobody_has_is_a_mistake_of_the_address() {
    let url: RedisUrl = "rediss://127.0.0.1:1?cacert=/nowhere/ca.pem".parse().unwrap();
    let error = RedisJournal::open(&url, "test", FAST).await.unwrap_err();
    assert!(matches!(error, StoreError::Address { .. }), "{error:?}");
    assert!(error.to_string().contains("/nowhere/ca.pem"), "{error}");
}
