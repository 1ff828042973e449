use starvault_rules::{Color, Command};
use starvault_store::{CreateOutcome, Journal, NewPlayer, Profile, StoreError, check};

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
    assert_eq!(short(&white), (1484, [1, 0, 1, 0], 2));
    assert_eq!(short(&black), (1516, [1, 1, 0, 0], 2));
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
    assert_eq!(short(&stronger), (1515, [2, 1, 0, 1], 3));

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
    let body = r#"{"player_id":"b-g1","display_name":"name of b-g1","rating":1515,"games_played":2,"wins":1,"losses":0,"draws":1,"version":3}"#;
    assert_eq!(rows[0], ("b-g1".into(), 3, body.into()));
    journal.close().await;
    assert!(check(&place.path, None).unwrap().is_clean());
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
