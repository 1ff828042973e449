//! The writer against full disks and transactions that come to nothing.

use super::super::SqliteJournal;
use super::*;
use crate::{
    Append, AppendOutcome, CommandKey, CreateOutcome, Created, Decision, Journal, NewGame, NewPlayer, Owner,
    payload_hash,
};
use futures_util::future::join_all;
use starvault_rules::{Clock, Command, CommandId, GameId, PlayerId, Seat, Setup};

fn player(n: usize) -> NewPlayer {
    let player_id = PlayerId::new(format!("p{n}")).unwrap();
    NewPlayer {
        player_id,
        display_name: "P".repeat(2000),
        rating: 1500,
        created_at_ms: 0,
    }
}

#[tokio::test]
async fn a_full_disk_is_named_and_loses_nothing_that_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j.sqlite");
    let options = SqliteOptions::default();
    let connection = schema::open(&path, options.busy_timeout_ms).unwrap();
    let pages: i64 = connection
        .query_row("PRAGMA page_count", [], |row| row.get(0))
        .unwrap();
    connection
        .query_row(&format!("PRAGMA max_page_count = {}", pages + 10), [], |_| Ok(()))
        .unwrap();
    let journal = SqliteJournal::on(connection, &path, options);
    let mut acknowledged = 0;
    let error = loop {
        match journal.create_player(player(acknowledged)).await {
            Ok(_) => acknowledged += 1,
            Err(error) => break error,
        }
        assert!(acknowledged < 100, "the limit on pages never took hold");
    };
    assert!(
        matches!(&error, StoreError::DiskFull { path: at } if *at == path),
        "{error}"
    );
    assert!(acknowledged > 0);
    for n in 0..acknowledged {
        let id = player(n).player_id;
        assert!(
            journal.get_profile(&id).await.unwrap().is_some(),
            "{id} was acknowledged"
        );
    }
    assert!(
        journal
            .get_profile(&player(acknowledged).player_id)
            .await
            .unwrap()
            .is_none()
    );
    journal.close().await;
}

/// The file may grow by so many pages from now on.
async fn leave_room(journal: &SqliteJournal, pages: i64) {
    let limit = move |connection: &Connection, _: &mut Heads| {
        let used: i64 = connection.query_row("PRAGMA page_count", [], |row| row.get(0))?;
        let limit = format!("PRAGMA max_page_count = {}", used + pages);
        Ok(connection.query_row(&limit, [], |_| Ok(()))?)
    };
    journal.write("limit the file", limit).await.unwrap();
}

const GAMES: usize = 8;

fn first_moves(created: &[Created], owner: &Owner, n: usize) -> Vec<Append> {
    let knights = ["b1a3", "b8a6", "a3b1", "a6b8"];
    let append = |created: &Created| {
        let mut game = created.game.clone();
        for at in 0..=n {
            let command = Command::Move {
                uci: knights[at % 4].into(),
                expected_sequence: game.sequence(),
            };
            let step = game.advance(game.to_move(), &command, 1).unwrap();
            if at == n {
                return Append {
                    game_id: game.id().clone(),
                    owner: owner.clone(),
                    epoch: created.epoch,
                    expected_sequence: game.sequence(),
                    command: Some(CommandKey {
                        player_id: game.setup().seat(game.to_move()).player_id.clone(),
                        command_id: CommandId::new(format!("c{n}")).unwrap(),
                        payload_hash: payload_hash(&command),
                    }),
                    decision: Decision::Accepted {
                        events: step.events,
                        state: step.game.state(),
                    },
                    at_ms: 1,
                };
            }
            game = step.game;
        }
        unreachable!("the last one is returned")
    };
    created.iter().map(append).collect()
}

#[tokio::test]
async fn moves_that_the_disk_had_no_room_for_did_not_happen_and_can_be_given_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j.sqlite");
    let owner = Owner {
        release: "v1".into(),
        instance: "v1-1".into(),
    };
    let options = SqliteOptions {
        commit_every_ms: 3_600_000,
        gather_max: GAMES,
        ..SqliteOptions::default()
    };
    let journal = SqliteJournal::open(&path, options).unwrap();
    let mut created = Vec::new();
    for n in 0..GAMES {
        let mut seats = Vec::new();
        for side in ["w", "b"] {
            let player_id = PlayerId::new(format!("{side}{n}")).unwrap();
            let new = NewPlayer {
                player_id: player_id.clone(),
                display_name: "P".into(),
                rating: 1500,
                created_at_ms: 0,
            };
            journal.create_player(new).await.unwrap();
            let name = "P".into();
            seats.push(Seat {
                player_id,
                name,
                rating: 1500,
            });
        }
        let black = seats.pop().unwrap();
        let setup = Setup {
            game_id: GameId::new(format!("g{n}")).unwrap(),
            white: seats.pop().unwrap(),
            black,
            clock: Clock {
                initial_ms: 60_000,
                increment_ms: 0,
            },
            started_at_ms: 0,
        };
        let owner = owner.clone();
        match journal.create_game(NewGame { setup, owner }).await.unwrap() {
            CreateOutcome::Created(game) => created.push(*game),
            other => panic!("{other:?}"),
        }
    }
    leave_room(&journal, 1).await;
    let mut done = 0;
    let refused = loop {
        // Threefold repetition ends a game of knights that go back and forth.
        assert!(done < 8, "the limit on pages never took hold");
        let appends = first_moves(&created, &owner, done);
        let outcomes = join_all(appends.into_iter().map(|append| journal.append(append))).await;
        match outcomes.iter().filter(|outcome| outcome.is_err()).count() {
            0 => done += 1,
            GAMES => break first_moves(&created, &owner, done),
            some => panic!("{some} of one transaction failed"),
        }
    };
    assert!(done > 0);
    leave_room(&journal, 100).await;
    let again = join_all(refused.into_iter().map(|append| journal.append(append))).await;
    for outcome in again {
        assert!(
            matches!(outcome, Ok(AppendOutcome::Committed { .. })),
            "{outcome:?}"
        );
    }
    journal.close().await;
    let report = crate::check(&path, None).unwrap();
    assert!(report.is_clean(), "{report:?}");
}

#[test]
fn a_transaction_that_is_not_committed_leaves_nothing_and_the_next_one_goes_through() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j.sqlite");
    let connection = schema::open(&path, 1000).unwrap();
    let count = || -> i64 {
        connection
            .query_row("SELECT count(*) FROM outbox", [], |row| row.get(0))
            .unwrap()
    };
    let insert = |id: &str| {
        connection
            .execute("INSERT INTO outbox VALUES (?1, 1, 1, '', x'', 0)", [id])
            .unwrap();
    };
    let open = Open::begin(&connection, &path, 1000).unwrap();
    insert("a");
    drop(open);
    assert_eq!(count(), 0);
    let open = Open::begin(&connection, &path, 1000).unwrap();
    insert("b");
    open.commit().unwrap();
    assert_eq!(count(), 1);
}
