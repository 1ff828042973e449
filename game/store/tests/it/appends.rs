use starvault_rules::{Color, Command, Game};
use starvault_store::{
    Answer, Append, AppendOutcome, Decision, Epoch, Journal, SqliteJournal, SqliteOptions, StoreError, check,
};

use crate::room::{Place, Room, game_id, owner, place};

async fn table() -> (Place, SqliteJournal, Room) {
    let place = place();
    let journal = place.open();
    let room = Room::begin(&journal, "g1", owner("v1")).await;
    (place, journal, room)
}

/// The game as it is stored.
async fn stored(journal: &SqliteJournal) -> Game {
    journal
        .acquire(&game_id("g1"), owner("reader"))
        .await
        .unwrap()
        .unwrap()
        .game
}

#[tokio::test]
async fn a_committed_command_is_in_the_stored_game() {
    let (place, journal, mut room) = table().await;
    room.play("e2e4 e7e5 g1f3").await;
    assert_eq!(stored(&journal).await.state(), room.game.state());
    journal.close().await;
    let report = check(&place.path, None).unwrap();
    assert!(report.is_clean(), "{report:?}");
    assert_eq!((report.games, report.events), (1, 4));
}

#[tokio::test]
async fn a_repeated_command_hears_its_first_answer_and_happens_once() {
    let (_place, journal, mut room) = table().await;
    let first = room.mv("e2e4");
    room.give(Color::White, "c", &first).await;
    room.play("e7e5 g1f3").await;
    let again = room.give(Color::White, "c", &first).await;
    let answer = Answer::Accepted { sequence: 2 };
    assert_eq!(
        again,
        AppendOutcome::Repeated {
            answer: answer.clone()
        }
    );
    // Even by an owner who has lost count.
    let mut late = room.append_of(
        Some(room.key(Color::White, "c", &first)),
        Decision::Rejected {
            code: "x".into(),
            message: "x".into(),
        },
    );
    late.expected_sequence = 77;
    assert_eq!(
        journal.append(late).await.unwrap(),
        AppendOutcome::Repeated { answer }
    );
    assert_eq!(stored(&journal).await.sequence(), 4);
}

#[tokio::test]
async fn a_command_that_ended_the_game_can_be_repeated_after_the_end() {
    let (_place, _journal, mut room) = table().await;
    room.play("f2f3 e7e5 g2g4").await;
    let mate = room.mv("d8h4");
    assert_eq!(
        room.give(Color::Black, "mate", &mate).await,
        AppendOutcome::Committed { sequence: 6 }
    );
    let answer = Answer::Accepted { sequence: 6 };
    assert_eq!(
        room.give(Color::Black, "mate", &mate).await,
        AppendOutcome::Repeated { answer }
    );
}

#[tokio::test]
async fn a_command_id_used_for_something_else_is_a_conflict() {
    let (_place, journal, mut room) = table().await;
    let first = room.mv("e2e4");
    room.give(Color::White, "c", &first).await;
    assert_eq!(
        room.give(Color::White, "c", &Command::Resign).await,
        AppendOutcome::Conflict
    );
    // The other player's ids are its own.
    let reply = room.mv("e7e5");
    assert_eq!(
        room.give(Color::Black, "c", &reply).await,
        AppendOutcome::Committed { sequence: 3 }
    );
    assert_eq!(stored(&journal).await.outcome(), None);
}

#[tokio::test]
async fn a_refusal_is_kept_so_that_a_retry_agrees() {
    let (_place, _journal, mut room) = table().await;
    // Not Black's turn now; later it would be.
    let early = Command::Move {
        uci: "e7e5".into(),
        expected_sequence: 1,
    };
    assert_eq!(
        room.give(Color::Black, "early", &early).await,
        AppendOutcome::Committed { sequence: 1 }
    );
    room.play("e2e4").await;
    let expect = |outcome: AppendOutcome| match outcome {
        AppendOutcome::Repeated {
            answer:
                Answer::Rejected {
                    code,
                    message,
                    sequence,
                },
        } => {
            assert_eq!((code.as_str(), sequence), ("not_your_turn", 1));
            assert_eq!(message, "it is white's turn");
        }
        other => panic!("{other:?}"),
    };
    expect(room.give(Color::Black, "early", &early).await);
}

#[tokio::test]
async fn refusals_do_not_grow_without_end() {
    let (place, journal, mut room) = table().await;
    let wrong = room.mv("e2e5");
    for n in 0..260 {
        room.give(Color::White, &format!("w{n}"), &wrong).await;
    }
    let kept: i64 = place
        .raw()
        .query_row("SELECT count(*) FROM refusals", [], |row| row.get(0))
        .unwrap();
    assert_eq!(kept, 256);
    let newest = room.give(Color::White, "w259", &wrong).await;
    assert!(matches!(newest, AppendOutcome::Repeated { .. }), "{newest:?}");
    room.play("e2e4").await;
    journal.close().await;
    assert!(check(&place.path, None).unwrap().is_clean());
}

#[tokio::test]
async fn an_owner_who_missed_something_is_told_the_gap() {
    let (_place, journal, mut room) = table().await;
    let before = room.clone();
    room.play("e2e4 e7e5").await;
    let mut behind = before;
    let stale = behind.mv("d2d4");
    assert_eq!(
        behind.give(Color::White, "other", &stale).await,
        AppendOutcome::Gap { current: 3 }
    );
    assert_eq!(stored(&journal).await.state(), room.game.state());
}

#[tokio::test]
async fn another_owner_or_another_epoch_is_fenced() {
    let (_place, journal, mut room) = table().await;
    let change = |change: fn(&mut Append)| {
        let (decision, _) = room.decide(Color::White, &room.mv("e2e4"));
        let mut append = room.append_of(Some(room.key(Color::White, "c", &room.mv("e2e4"))), decision);
        change(&mut append);
        journal.append(append)
    };
    let fenced = AppendOutcome::Fenced {
        owner: owner("v1"),
        epoch: Epoch(1),
    };
    assert_eq!(change(|a| a.epoch = Epoch(0)).await.unwrap(), fenced);
    assert_eq!(change(|a| a.epoch = Epoch(2)).await.unwrap(), fenced);
    assert_eq!(change(|a| a.owner.release = "v2".into()).await.unwrap(), fenced);
    assert_eq!(
        change(|a| a.owner.instance = "v1-2".into()).await.unwrap(),
        fenced
    );
    room.play("e2e4").await;
}

#[tokio::test]
async fn what_the_rules_cannot_have_decided_is_refused() {
    let (_place, journal, mut room) = table().await;
    let check = |change: fn(&mut Append)| {
        let (decision, _) = room.decide(Color::White, &room.mv("e2e4"));
        let mut append = room.append_of(None, decision);
        change(&mut append);
        journal.append(append)
    };
    fn events(append: &mut Append) -> &mut Vec<starvault_rules::Event> {
        match &mut append.decision {
            Decision::Accepted { events, .. } => events,
            Decision::Rejected { .. } => panic!("accepted"),
        }
    }
    fn state(append: &mut Append) -> &mut starvault_rules::GameState {
        match &mut append.decision {
            Decision::Accepted { state, .. } => state,
            Decision::Rejected { .. } => panic!("accepted"),
        }
    }
    let changes: [fn(&mut Append); 5] = [
        |a| events(a).clear(),
        |a| events(a)[0].sequence = 3,
        |a| state(a).sequence = 3,
        |a| state(a).game_id = game_id("g2"),
        |a| {
            let outcome = starvault_rules::Outcome {
                winner: None,
                reason: starvault_rules::Reason::Agreement,
            };
            state(a).outcome = Some(outcome);
        },
    ];
    for (n, change) in changes.into_iter().enumerate() {
        let error = check(change).await.unwrap_err();
        assert!(matches!(error, StoreError::Invalid { .. }), "change {n}: {error}");
    }
    let missing = check(|a| a.game_id = game_id("nowhere")).await.unwrap_err();
    assert!(matches!(missing, StoreError::UnknownGame { .. }), "{missing}");
    room.play("e2e4").await;
    room.give(Color::White, "r", &Command::Resign).await;
    let mut after = room.clone();
    after.game = stored(&journal).await;
    let again = Room::acquire(&journal, &game_id("g1"), owner("v1")).await;
    let (decision, _) = {
        let mut fresh = again.clone();
        fresh.game = Game::new(room.game.setup().clone()).unwrap().0;
        fresh.decide(Color::White, &Command::OfferDraw)
    };
    let error = journal.append(again.append_of(None, decision)).await.unwrap_err();
    assert!(error.to_string().contains("after the end"), "{error}");
}

#[tokio::test]
async fn refusals_are_forgotten_only_for_games_that_ended_long_ago() {
    let (place, journal, mut ended) = table().await;
    let mut running = Room::begin(&journal, "g2", owner("v1")).await;
    let wrong = running.mv("e2e5");
    for room in [&mut running, &mut ended] {
        room.give(Color::White, "wrong", &wrong).await;
        room.play("e2e4").await;
    }
    ended.give(Color::Black, "bye", &Command::Resign).await;
    let ended_at_ms = ended.game.last_event_at_ms();
    assert_eq!(journal.forget_refusals(ended_at_ms).await.unwrap(), 0);
    assert_eq!(journal.forget_refusals(ended_at_ms + 1).await.unwrap(), 1);
    let kept = running.give(Color::White, "wrong", &wrong).await;
    assert!(matches!(kept, AppendOutcome::Repeated { .. }), "{kept:?}");
    // What was accepted is never forgotten.
    let again = ended.give(Color::Black, "bye", &Command::Resign).await;
    assert!(matches!(again, AppendOutcome::Repeated { .. }), "{again:?}");
    journal.close().await;
    assert!(check(&place.path, None).unwrap().is_clean());
}

#[tokio::test]
async fn only_who_plays_in_a_game_commands_it() {
    let (_place, journal, room) = table().await;
    let command = room.mv("e2e4");
    let (decision, _) = room.decide(Color::White, &command);
    let mut key = room.key(Color::White, "c", &command);
    key.player_id = crate::room::player_id("stranger");
    let error = journal
        .append(room.append_of(Some(key), decision))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("stranger does not play in game g1"),
        "{error}"
    );
    assert_eq!(stored(&journal).await.sequence(), 1);
}

#[tokio::test]
async fn a_command_that_was_refused_is_known_after_many_others() {
    let place = place();
    let options = SqliteOptions {
        commit_every_ms: 0,
        ..SqliteOptions::default()
    };
    let journal = SqliteJournal::open(&place.path, options).unwrap();
    let mut room = Room::begin(&journal, "g1", owner("v1")).await;
    let wrong = room.mv("e2e5");
    // More than a game's owner keeps in mind.
    for n in 0..1_100 {
        room.give(Color::White, &format!("w{n}"), &wrong).await;
    }
    for (id, known) in [("w1099", true), ("w900", true), ("w17", false)] {
        let outcome = room.give(Color::White, id, &wrong).await;
        let repeated = matches!(outcome, AppendOutcome::Repeated { .. });
        assert_eq!(repeated, known, "{id}: {outcome:?}");
    }
}
