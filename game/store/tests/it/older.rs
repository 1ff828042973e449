//! A file that an older release made, and an older release that goes on beside this one.

use starvault_rules::{Color, Command};
use starvault_store::{Answer, AppendOutcome, Epoch, Journal, StoreError, check};

use crate::room::{Place, Room, START_MS, add_player, game_id, owner, place, player_id};

/// What the release before this one wrote, statement by statement: it knew ten columns of a player,
/// a rating and counters, and no standings.
struct OlderRelease(rusqlite::Connection);

impl OlderRelease {
    fn create_player(&self, id: &str) {
        self.0
            .execute(
                "INSERT INTO players VALUES (?1, ?1, 1200, 0, 0, 0, 0, 1, NULL, ?2) ON CONFLICT DO NOTHING",
                (id, START_MS),
            )
            .unwrap();
        self.publish(id);
    }

    /// Counts a game that the player has won and rates it by 16 points.
    fn count_a_win(&self, id: &str) {
        self.0
            .execute(
                "UPDATE players SET rating = rating + 16, games_played = games_played + 1, wins = wins + 1,
                        version = version + 1, active_game_id = NULL WHERE player_id = ?1",
                [id],
            )
            .unwrap();
        self.publish(id);
    }

    fn publish(&self, id: &str) {
        let body: String = self
            .0
            .query_row(
                "SELECT json_object('player_id', player_id, 'display_name', display_name, 'rating', rating,
                    'games_played', games_played, 'wins', wins, 'losses', losses, 'draws', draws,
                    'version', version) FROM players WHERE player_id = ?1",
                [id],
                |row| row.get(0),
            )
            .unwrap();
        use sha2::{Digest, Sha256};
        let digest: [u8; 32] = Sha256::digest(&body).into();
        self.0
            .execute(
                "INSERT INTO outbox (player_id, position, version, body, sha256, at_ms)
                 VALUES (?1, (SELECT coalesce(max(position), 0) + 1 FROM outbox),
                         (SELECT version FROM players WHERE player_id = ?1), ?2, ?3, 0)
                 ON CONFLICT (player_id) DO UPDATE SET position = excluded.position,
                     version = excluded.version, body = excluded.body, sha256 = excluded.sha256",
                (id, body, digest),
            )
            .unwrap();
    }
}

/// A file as the older release left it, with one player.
async fn older_file() -> Place {
    let place = place();
    place.open().close().await;
    let older = OlderRelease(place.raw());
    older.0.execute_batch("DROP TABLE standings").unwrap();
    older.create_player("old");
    place
}

#[tokio::test]
async fn an_older_file_is_checked_as_it_is_and_brought_up_to_date_at_the_opening() {
    let place = older_file().await;
    let report = check(&place.path, None).unwrap();
    assert!(report.is_clean(), "{report:?}");
    let tables = || -> i64 {
        place
            .raw()
            .query_row(
                "SELECT count(*) FROM sqlite_schema WHERE name = 'standings'",
                [],
                |row| row.get(0),
            )
            .unwrap()
    };
    assert_eq!(tables(), 0, "a check changes nothing");
    // Twice: nothing is done again.
    for _ in 0..2 {
        let journal = place.open();
        let profile = journal.get_profile(&player_id("old")).await.unwrap().unwrap();
        assert_eq!(
            (profile.progress.rating, profile.progress.skill.deviation()),
            (1200, 350)
        );
        journal.close().await;
        assert_eq!(tables(), 1);
    }
    // The older release can still open it: the version is its own.
    let version: i64 = place
        .raw()
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .unwrap();
    assert_eq!(version, 2);
    assert!(check(&place.path, None).unwrap().is_clean());
}

#[tokio::test]
async fn games_that_an_older_release_counts_meanwhile_are_not_lost() {
    let place = older_file().await;
    let journal = place.open();
    let older = OlderRelease(place.raw());
    let profile = async |id: &str| journal.get_profile(&player_id(id)).await.unwrap().unwrap();

    // A player whom this release has rated already plays there.
    let mut room = Room::begin(&journal, "g1", owner("v2")).await;
    room.play("f2f3 e7e5 g2g4 d8h4").await;
    let before = profile("b-g1").await.progress;
    older.count_a_win("b-g1");
    let after = profile("b-g1").await.progress;
    assert_eq!(
        (after.rating, after.skill.rating()),
        (before.rating + 16, before.rating + 16)
    );
    assert_eq!(
        after.skill.deviation_milli, before.skill.deviation_milli,
        "as well known as before"
    );
    assert_eq!((after.games_played, after.xp()), (2, 200));
    after.check().unwrap();

    // And comes back, against a player of the older release.
    older.create_player("new");
    let game = crate::room::new_game("g2", "b-g1", "new", owner("v2"));
    let starvault_store::CreateOutcome::Created(created) = journal.create_game(game).await.unwrap() else {
        panic!("both are free")
    };
    let mut room = Room {
        journal: journal.clone(),
        owner: owner("v2"),
        epoch: created.epoch,
        game: created.game,
    };
    room.give(Color::Black, "r", &Command::Resign).await;
    let rated = profile("b-g1").await.progress;
    assert_eq!((rated.games_played, rated.xp()), (3, 300));
    assert!(rated.rating > after.rating && rated.skill.deviation_milli < after.skill.deviation_milli);
    assert_eq!(profile("new").await.progress.losses, 1);
    add_player(&journal, "p").await;
    journal.close().await;
    // But for the game that only the counters know of, which no file of games can prove.
    let report = check(&place.path, None).unwrap();
    let wrong: Vec<&str> = report
        .findings
        .iter()
        .map(|finding| finding.what.as_str())
        .collect();
    let [only] = wrong.as_slice() else {
        panic!("{wrong:?}")
    };
    assert!(only.starts_with("player b-g1 has (3, 0, 0)"), "{only}");
}

/// The same games and players in a file of version 1. A state is not taken along, so it is left out.
fn version_1_of(current: &Place) -> Place {
    let former = place();
    let file = former.raw();
    file.execute_batch(include_str!("version_1.sql")).unwrap();
    file.execute("ATTACH ?1 AS current", [current.path.to_str().unwrap()])
        .unwrap();
    file.execute_batch(
        "CREATE TABLE standings AS SELECT * FROM current.standings;
         INSERT INTO players SELECT * FROM current.players;
         INSERT INTO outbox SELECT * FROM current.outbox;
         INSERT INTO games SELECT game_id, white_id, black_id, release, instance, epoch, sequence, '', ended_at_ms
             FROM current.games JOIN current.heads USING (game) JOIN current.owners USING (owner);
         INSERT INTO events
             SELECT game_id, sequence, CASE seat WHEN 0 THEN white_id WHEN 1 THEN black_id END, command_id, event
             FROM current.log JOIN current.games USING (game);
         INSERT INTO answers (game_id, player_id, command_id, payload_hash, accepted, answer, at_ms)
             SELECT game_id, iif(seat = 0, white_id, black_id), command_id, payload_hash, 1,
                    json_object('accepted', json_object('sequence', max(sequence))), 0
             FROM current.log JOIN current.games USING (game)
             WHERE seat IS NOT NULL GROUP BY game, seat, command_id;
         INSERT INTO answers (game_id, player_id, command_id, payload_hash, accepted, answer, at_ms)
             SELECT game_id, iif(seat = 0, white_id, black_id), command_id, payload_hash, 0,
                    json_object('rejected', json_object('code', code, 'message', message, 'sequence', sequence)),
                    at_ms
             FROM current.refusals JOIN current.games USING (game);
         PRAGMA application_id = 0x53544156;
         PRAGMA user_version = 1;",
    )
    .unwrap();
    former
}

#[tokio::test]
async fn games_of_the_first_version_go_on_and_know_their_commands() {
    let current = place();
    let journal = current.open();
    let mut ended = Room::begin(&journal, "g1", owner("v1")).await;
    ended.play("f2f3 e7e5 g2g4 d8h4").await;
    let mut running = Room::begin(&journal, "g2", owner("v2")).await;
    running.play("e2e4 e7e5").await;
    let wrong = running.mv("a1a8");
    running.give(Color::Black, "wrong", &wrong).await;
    journal.close().await;

    let former = version_1_of(&current);
    let error = check(&former.path, None).unwrap_err();
    assert!(
        matches!(error, StoreError::OlderSchema { found: 1, .. }),
        "{error}"
    );
    let journal = former.open();
    let report = check(&former.path, None).unwrap();
    assert!(report.is_clean(), "{report:?}");
    assert_eq!((report.games, report.events), (2, 9));

    // By the owner that it had, without acquiring it again.
    let mut room = Room {
        journal: journal.clone(),
        ..running
    };
    let refusal = room.give(Color::Black, "wrong", &wrong).await;
    assert!(
        matches!(
            &refusal,
            AppendOutcome::Repeated {
                answer: Answer::Rejected { sequence: 3, .. }
            }
        ),
        "{refusal:?}"
    );
    room.play("g1f3").await;
    let mut over = Room::acquire(&journal, &game_id("g1"), owner("v2")).await;
    assert_eq!(over.epoch, Epoch(2));
    let mate = Command::Move {
        uci: "d8h4".into(),
        expected_sequence: 4,
    };
    let answer = Answer::Accepted { sequence: 6 };
    assert_eq!(
        over.give(Color::Black, "c4", &mate).await,
        AppendOutcome::Repeated {
            answer: answer.clone()
        }
    );
    let again = Room::acquire(&journal, &game_id("g2"), owner("v3")).await;
    assert_eq!(again.game.sequence(), 4);
    journal.close().await;
    let report = check(&former.path, None).unwrap();
    assert!(report.is_clean(), "{report:?}");
    assert_eq!((report.games, report.events), (2, 10));
}
