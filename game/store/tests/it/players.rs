use std::{
    future::Future,
    task::{Context, Poll, Waker},
};

use starvault_rules::{Color, Command, EquipError};
use starvault_store::{
    CreateOutcome, EquipOutcome, Journal, NewPlayer, Profile, SqliteJournal, StoreError, check,
};

use crate::room::{Room, START_MS, add_player, game_id, new_game, owner, place, player_id};

#[tokio::test]
async fn a_new_player_has_a_profile_and_an_id_is_taken_once() {
    let place = place();
    let journal = place.open();
    let player = NewPlayer {
        player_id: player_id("p1"),
        display_name: "星 Star".into(),
        rating: 1500,
        created_at_ms: START_MS,
    };
    let made = journal.create_player(player.clone()).await.unwrap();
    assert_eq!(
        (made.version, made.progress.rating, made.progress.games_played),
        (1, 1500, 0)
    );
    assert_eq!(made.display_name, "星 Star");
    assert_eq!(
        place.open().get_profile(&player_id("p1")).await.unwrap(),
        Some(made)
    );
    assert_eq!(journal.get_profile(&player_id("p2")).await.unwrap(), None);
    let error = journal.create_player(player).await.unwrap_err();
    assert!(matches!(error, StoreError::PlayerExists { .. }), "{error}");
}

#[tokio::test]
async fn a_player_is_in_one_running_game_at_a_time() {
    let place = place();
    // Two processes: the rule holds in the file, not in a process.
    let (stable, canary) = (place.open(), place.open());
    for id in ["a", "b", "c"] {
        add_player(&stable, id).await;
    }
    let first = stable
        .create_game(new_game("g1", "a", "b", owner("v1")))
        .await
        .unwrap();
    assert!(matches!(first, CreateOutcome::Created(_)), "{first:?}");
    assert_eq!(
        canary.active_game_of(&player_id("b")).await.unwrap(),
        Some(game_id("g1"))
    );
    for (white, black) in [("b", "c"), ("c", "b"), ("c", "a")] {
        match canary
            .create_game(new_game("g2", white, black, owner("v2")))
            .await
            .unwrap()
        {
            CreateOutcome::AlreadyPlaying {
                player_id: busy,
                game_id: at,
            } => {
                assert_ne!(busy, player_id("c"));
                assert_eq!(at, game_id("g1"));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(canary.active_game_of(&player_id("c")).await.unwrap(), None);
    let mut room = Room::acquire(&canary, &game_id("g1"), owner("v2")).await;
    room.give(Color::White, "r", &Command::Resign).await;
    assert_eq!(stable.active_game_of(&player_id("b")).await.unwrap(), None);
    let next = canary
        .create_game(new_game("g2", "b", "c", owner("v2")))
        .await
        .unwrap();
    assert!(matches!(next, CreateOutcome::Created(_)), "{next:?}");
}

#[tokio::test]
async fn a_game_needs_a_fresh_id_and_players_that_exist() {
    let place = place();
    let journal = place.open();
    add_player(&journal, "a").await;
    let error = journal
        .create_game(new_game("g1", "a", "ghost", owner("v1")))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, StoreError::UnknownPlayer { player_id: p } if *p == player_id("ghost")),
        "{error}"
    );
    assert_eq!(
        journal.active_game_of(&player_id("a")).await.unwrap(),
        None,
        "nothing half done"
    );
    Room::begin(&journal, "g1", owner("v1")).await;
    add_player(&journal, "b").await;
    let error = journal
        .create_game(new_game("g1", "a", "b", owner("v1")))
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::GameExists { .. }), "{error}");
    let error = journal
        .create_game(new_game("g2", "a", "a", owner("v1")))
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::Invalid { .. }), "{error}");
}

/// A profile in short: rating, games, wins, losses, draws, version.
fn short(profile: &Profile) -> (i32, [u32; 4], i64) {
    let p = profile.progress;
    (
        p.rating,
        [p.games_played, p.wins, p.losses, p.draws],
        profile.version,
    )
}

#[tokio::test]
async fn the_end_of_a_game_changes_both_profiles_with_it() {
    let place = place();
    let journal = place.open();
    let mut room = Room::begin(&journal, "g1", owner("v1")).await;
    let profile = |color| {
        let (journal, id) = (journal.clone(), room.player(color));
        async move { journal.get_profile(&id).await.unwrap().unwrap() }
    };
    let (white, black) = (profile(Color::White), profile(Color::Black));
    assert_eq!(white.await.active_game_id, Some(game_id("g1")));
    assert_eq!(short(&black.await), (1500, [0, 0, 0, 0], 1));
    let (white, black) = (profile(Color::White), profile(Color::Black));
    room.play("f2f3 e7e5 g2g4 d8h4").await;
    let (white, black) = (white.await, black.await);
    assert_eq!(short(&white), (1338, [1, 0, 1, 0], 2));
    assert_eq!(short(&black), (1662, [1, 1, 0, 0], 2));
    assert_eq!((white.active_game_id, black.active_game_id), (None, None));

    let again = new_game("g2", "b-g1", "w-g1", owner("v1"));
    let CreateOutcome::Created(created) = journal.create_game(again).await.unwrap() else {
        panic!("both are free")
    };
    let mut second = Room {
        journal: journal.clone(),
        owner: owner("v1"),
        epoch: created.epoch,
        game: created.game,
    };
    second.give(Color::White, "o", &Command::OfferDraw).await;
    second
        .give(Color::Black, "y", &Command::AnswerDraw { accept: true })
        .await;
    let stronger = journal.get_profile(&player_id("b-g1")).await.unwrap().unwrap();
    // Both played two games, and the drawn one brings them nearer to each other.
    assert_eq!(short(&stronger), (1577, [2, 1, 0, 1], 3));
    assert_eq!((stronger.progress.level(), stronger.progress.xp()), (2, 160));
    assert_eq!(
        second.game.look(Color::White).level,
        2,
        "as of the start of the game"
    );
    assert_eq!(second.game.look(Color::Black).level, 1);

    // The outbox holds the newest snapshot of each, in the order of change, with its digest.
    let raw = place.raw();
    let mut statement = raw
        .prepare("SELECT player_id, version, body FROM outbox ORDER BY position")
        .unwrap();
    let rows: Vec<(String, i64, String)> = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(rows.len(), 2);
    let skill = stronger.progress.skill;
    let body = format!(
        r#"{{"player_id":"b-g1","display_name":"name of b-g1","rating":1577,"games_played":2,"wins":1,"losses":0,"draws":1,"rating_milli":{},"deviation_milli":{},"volatility_nano":{},"rated_at_ms":{},"equipped":[],"version":3}}"#,
        skill.rating_milli,
        skill.deviation_milli,
        skill.volatility_nano,
        skill.rated_at_ms.unwrap()
    );
    assert_eq!(rows[0], ("b-g1".into(), 3, body));
    journal.close().await;
    assert!(check(&place.path, None).unwrap().is_clean());
}

#[tokio::test]
async fn an_aborted_game_frees_both_players_and_counts_for_nobody() {
    let place = place();
    let journal = place.open();
    let mut room = Room::begin(&journal, "g1", owner("v1")).await;
    room.play("e2e4").await;
    let (decision, _) = room.decide(Color::Black, &Command::Abort);
    journal.append(room.append_of(None, decision)).await.unwrap();
    for id in ["w-g1", "b-g1"] {
        let profile = journal.get_profile(&player_id(id)).await.unwrap().unwrap();
        assert_eq!(short(&profile), (1500, [0, 0, 0, 0], 1));
        assert_eq!((profile.progress.xp(), profile.active_game_id), (0, None));
    }
    journal.close().await;
    let report = check(&place.path, None).unwrap();
    assert!(report.is_clean(), "{report:?}");
}

#[tokio::test]
async fn what_a_player_wears_is_owned_durable_and_seen_in_the_next_game() {
    let place = place();
    let journal = place.open();
    let mut room = Room::begin(&journal, "g1", owner("v1")).await;
    room.play("f2f3 e7e5 g2g4 d8h4").await;
    let winner = player_id("b-g1");
    let equip = |item: &'static str, equip| {
        let (journal, winner) = (journal.clone(), winner.clone());
        async move { journal.equip(&winner, item, equip, START_MS).await.unwrap() }
    };
    let refused = equip("board-nebula", true).await;
    assert!(
        matches!(
            &refused,
            EquipOutcome::Refused(EquipError::NotOwned {
                needs: 3,
                level: 2,
                ..
            })
        ),
        "{refused:?}"
    );
    let refused = equip("crown", true).await;
    assert!(
        matches!(&refused, EquipOutcome::Refused(EquipError::Unknown { .. })),
        "{refused:?}"
    );
    let nobody = journal
        .equip(&player_id("ghost"), "board-dusk", true, START_MS)
        .await;
    assert_eq!(nobody.unwrap(), EquipOutcome::Unknown);
    for (n, (item, on, expect)) in [
        ("board-dusk", true, vec!["board-dusk"]),
        ("crest-spark", true, vec!["board-dusk", "crest-spark"]),
        ("board-dusk", false, vec!["crest-spark"]),
    ]
    .into_iter()
    .enumerate()
    {
        let EquipOutcome::Done(profile) = equip(item, on).await else {
            panic!("{item} is owned")
        };
        assert_eq!(
            (profile.equipped.ids(), profile.version),
            (expect.into_iter().map(String::from).collect(), 3 + n as i64)
        );
        // Again changes nothing.
        assert_eq!(equip(item, on).await, EquipOutcome::Done(profile));
    }
    let kept = place.open().get_profile(&winner).await.unwrap().unwrap();
    assert_eq!(
        (kept.equipped.ids(), kept.version),
        (vec!["crest-spark".to_owned()], 5)
    );
    let next = new_game("g2", "b-g1", "w-g1", owner("v1"));
    let CreateOutcome::Created(created) = journal.create_game(next).await.unwrap() else {
        panic!("both are free")
    };
    assert_eq!(created.game.look(Color::White).equipped.ids(), ["crest-spark"]);
    let again = Room::acquire(&journal, &game_id("g2"), owner("v2")).await;
    assert_eq!(again.game.look(Color::White), created.game.look(Color::White));
    journal.close().await;
    let report = check(&place.path, None).unwrap();
    assert!(report.is_clean(), "{report:?}");
}

#[tokio::test]
async fn a_caller_can_be_written_against_the_trait_alone() {
    async fn rename_nobody<J: Journal>(journal: J) -> bool {
        tokio::spawn(async move { journal.get_profile(&player_id("p")).await.unwrap().is_none() })
            .await
            .unwrap()
    }
    let place = place();
    assert!(rename_nobody(place.open()).await);
}

#[tokio::test]
async fn a_profile_that_was_read_before_is_read_at_once_and_as_it_is_now() {
    let place = place();
    let journal = place.open();
    add_player(&journal, "a").await;
    let id = player_id("a");
    // The first read opens the connection that the others use.
    let known = journal.get_profile(&id).await.unwrap();
    let at_once = |journal: &SqliteJournal| {
        let mut reading = Box::pin(journal.get_recent_profile(&id));
        let mut context = Context::from_waker(Waker::noop());
        match reading.as_mut().poll(&mut context) {
            Poll::Ready(read) => read.unwrap(),
            Poll::Pending => panic!("another thread reads it"),
        }
    };
    assert_eq!(at_once(&journal), known);
    // What another process writes is seen as well.
    place
        .raw()
        .execute("UPDATE players SET display_name = 'changed'", [])
        .unwrap();
    assert_eq!(at_once(&journal).unwrap().display_name, "changed");
    // Before there is a connection it is read all the same.
    let fresh = place.open();
    assert_eq!(
        fresh.get_recent_profile(&id).await.unwrap().unwrap().display_name,
        "changed"
    );
    assert_eq!(
        fresh.get_recent_profile(&player_id("nobody")).await.unwrap(),
        None
    );
}
