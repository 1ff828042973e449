use starvault_rules::{Color, Command};
use starvault_store::{AppendOutcome, Epoch, Journal, Ownership, check};

use crate::room::{Room, game_id, owner, place};

#[tokio::test]
async fn who_acquires_a_game_shuts_the_former_owner_out_for_good() {
    let place = place();
    let (stable, canary) = (place.open(), place.open());
    let mut old = Room::begin(&stable, "g1", owner("v1")).await;
    old.play("e2e4").await;

    let acquired = canary
        .acquire(&game_id("g1"), owner("v2"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!((acquired.epoch, &acquired.previous), (Epoch(2), &owner("v1")));
    assert_eq!(acquired.game.state(), old.game.state());
    assert_eq!(acquired.events.len(), 2);
    let ownership = Ownership {
        owner: owner("v2"),
        epoch: Epoch(2),
        players: [old.player(Color::White), old.player(Color::Black)],
        running: true,
    };
    assert_eq!(stable.owner_of(&game_id("g1")).await.unwrap(), Some(ownership));

    let fenced = AppendOutcome::Fenced {
        owner: owner("v2"),
        epoch: Epoch(2),
    };
    let late = old.mv("e7e5");
    assert_eq!(old.give(Color::Black, "late", &late).await, fenced);
    let mut new = Room {
        journal: canary.clone(),
        owner: owner("v2"),
        epoch: acquired.epoch,
        game: acquired.game,
    };
    new.play("c7c5 g1f3").await;
    assert_eq!(old.give(Color::Black, "late", &late).await, fenced);

    // Back again: the epoch goes on rising.
    let back = Room::acquire(&stable, &game_id("g1"), owner("v1")).await;
    assert_eq!(back.epoch, Epoch(3));
    assert_eq!(back.game.state(), new.game.state());
    let outcome = new.give(Color::Black, "x", &Command::Resign).await;
    assert_eq!(
        outcome,
        AppendOutcome::Fenced {
            owner: owner("v1"),
            epoch: Epoch(3)
        }
    );
    // The same owner with its first epoch is a ghost of itself.
    let outcome = old.give(Color::Black, "late", &late).await;
    assert_eq!(
        outcome,
        AppendOutcome::Fenced {
            owner: owner("v1"),
            epoch: Epoch(3)
        }
    );
    stable.close().await;
    canary.close().await;
    assert!(check(&place.path, None).unwrap().is_clean());
}

#[tokio::test]
async fn a_command_acknowledged_by_one_process_is_known_to_the_next() {
    let place = place();
    let (stable, canary) = (place.open(), place.open());
    let mut old = Room::begin(&stable, "g1", owner("v1")).await;
    let (first, resign) = (old.mv("e2e4"), Command::Resign);
    old.give(Color::White, "c", &first).await;
    old.give(Color::Black, "bye", &resign).await;
    // The game is over; its last command can still be asked for.
    let mut new = Room::acquire(&canary, &game_id("g1"), owner("v2")).await;
    for (by, id, command) in [(Color::White, "c", first), (Color::Black, "bye", resign)] {
        let outcome = new.give(by, id, &command).await;
        assert!(
            matches!(outcome, AppendOutcome::Repeated { .. }),
            "{id}: {outcome:?}"
        );
    }
}

#[tokio::test]
async fn two_who_acquire_at_the_same_time_get_two_epochs_and_one_of_them_the_game() {
    let place = place();
    let (a, b) = (place.open(), place.open());
    Room::begin(&a, "g1", owner("v0")).await;
    let id = game_id("g1");
    let (mut one, mut two) = tokio::join!(
        Room::acquire(&a, &id, owner("va")),
        Room::acquire(&b, &id, owner("vb")),
    );
    assert_ne!(one.epoch, two.epoch);
    let (winner, loser) = if one.epoch > two.epoch {
        (&mut one, &mut two)
    } else {
        (&mut two, &mut one)
    };
    let opening = winner.mv("e2e4");
    let lost = loser.give(Color::White, "c", &opening).await;
    assert_eq!(
        lost,
        AppendOutcome::Fenced {
            owner: winner.owner.clone(),
            epoch: winner.epoch
        }
    );
    winner.play("e2e4").await;
}

#[tokio::test]
async fn an_owner_finds_its_running_games() {
    let place = place();
    let journal = place.open();
    let mut rooms = Vec::new();
    for id in ["g3", "g1", "g2"] {
        rooms.push(Room::begin(&journal, id, owner("v1")).await);
    }
    let mine = journal.running_games_of(&owner("v1")).await.unwrap();
    assert_eq!(mine, ["g1", "g2", "g3"].map(game_id));
    rooms[0].give(Color::White, "r", &Command::Resign).await;
    Room::acquire(&journal, &game_id("g1"), owner("v2")).await;
    assert_eq!(
        journal.running_games_of(&owner("v1")).await.unwrap(),
        [game_id("g2")]
    );
    assert_eq!(
        journal.running_games_of(&owner("v2")).await.unwrap(),
        [game_id("g1")]
    );
    let ended = journal.owner_of(&game_id("g3")).await.unwrap().unwrap();
    assert!(!ended.running);
}

#[tokio::test]
async fn what_does_not_exist_has_no_owner() {
    let place = place();
    let journal = place.open();
    assert!(
        journal
            .acquire(&game_id("g"), owner("v1"))
            .await
            .unwrap()
            .is_none()
    );
    assert!(journal.owner_of(&game_id("g")).await.unwrap().is_none());
}
