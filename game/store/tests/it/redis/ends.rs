//! Games that begin and end in two steps, and what becomes of the half.

use starvault_rules::{Color, Command, GameId};
use starvault_store::{
    AppendOutcome, CreateOutcome, DeadLetters, Journal, RedisJournal, RedisOptions, StoreError, check_redis,
};
use starvault_testing::RedisServer;

use super::{FAST, key_of, open, raw, until, url};
use crate::room::{Room, START_MS, add_player, game_id, new_game, owner, player_id};

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
