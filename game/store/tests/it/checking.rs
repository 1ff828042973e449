use std::{
    fs::{self, File},
    io::{Read, Seek, SeekFrom, Write},
};

use starvault_rules::{Color, Command};
use starvault_store::{CheckReport, FindingKind, StoreError, check};

use crate::room::{Place, Room, owner, place};

/// A closed journal with a finished game `g1`, a running game `g2` and a refusal.
async fn journal() -> Place {
    let place = place();
    let journal = place.open();
    let mut ended = Room::begin(&journal, "g1", owner("v1")).await;
    ended.play("f2f3 e7e5 g2g4 d8h4").await;
    let mut running = Room::begin(&journal, "g2", owner("v1")).await;
    running.play("e2e4 e7e5 g1f3").await;
    let wrong = running.mv("a1a8");
    running.give(Color::Black, "wrong", &wrong).await;
    running.give(Color::White, "offer", &Command::OfferDraw).await;
    journal.close().await;
    let report = check(&place.path, None).unwrap();
    assert!(report.is_clean(), "{report:?}");
    assert_eq!((report.games, report.events), (2, 11));
    place
}

#[tokio::test]
async fn whatever_is_changed_behind_the_journals_back_is_found() {
    use FindingKind::{Broken, Twice};
    let whole = journal().await;
    let changes = [
        (
            "DELETE FROM log WHERE game = 2 AND sequence = 3",
            Broken,
            "is missing",
        ),
        (
            "DELETE FROM log WHERE game = 2 AND sequence = 3",
            Broken,
            "must be the start of the game",
        ),
        (
            "DELETE FROM log WHERE game = 2 AND sequence = 5",
            Broken,
            "is missing",
        ),
        ("DELETE FROM log WHERE game = 1", Broken, "needs a first event"),
        (
            "UPDATE heads SET last = last - 1, sequence = sequence - 1 WHERE game = 2",
            Broken,
            "the log has 11 events, its games lead to 10",
        ),
        (
            "UPDATE heads SET last = last - 5 WHERE game = 2",
            Broken,
            "not of the game that leads to it",
        ),
        (
            "UPDATE log SET previous = previous - 1 WHERE game = 2 AND sequence = 4",
            Broken,
            "the log has 11 events, its games lead to 10",
        ),
        (
            "UPDATE log SET previous = position WHERE game = 2 AND sequence = 4",
            Broken,
            "not of the game that leads to it",
        ),
        (
            "UPDATE log SET event = replace(event, 'e2e4', 'd2d4')",
            Broken,
            "not e4",
        ),
        (
            "UPDATE log SET event = replace(event, '\"check\":false', '\"check\":true')",
            Broken,
            "check: false",
        ),
        (
            // What the rules cannot notice: the time of a move.
            "UPDATE log SET event = replace(event, '\"at_ms\":1700000000001', '\"at_ms\":1700000000000')",
            Broken,
            "event 2 is not what was written",
        ),
        (
            "UPDATE log SET payload_hash = zeroblob(32) WHERE game = 2 AND sequence = 3",
            Broken,
            "event 3 is not what was written",
        ),
        (
            "UPDATE log SET digest = zeroblob(8) WHERE game = 2 AND sequence = 3",
            Broken,
            "event 3 is not what was written",
        ),
        (
            "UPDATE log SET event = '{' WHERE game = 2 AND sequence = 4",
            Broken,
            "cannot be read",
        ),
        (
            "UPDATE log SET event = replace(event, '\"sequence\":4', '\"sequence\":5')
             WHERE game = 2 AND sequence = 4",
            Broken,
            "event 5 lies at sequence 4",
        ),
        (
            "UPDATE log SET state_digest = zeroblob(8)",
            Broken,
            "game that was stored",
        ),
        (
            "UPDATE log SET seat = 7 WHERE game = 2 AND sequence = 4",
            Broken,
            "there is no seat 7",
        ),
        (
            "UPDATE heads SET sequence = 4 WHERE game = 2",
            Broken,
            "head says sequence 4",
        ),
        (
            "UPDATE heads SET ended_at_ms = 5 WHERE game = 2",
            Broken,
            "head says it ended",
        ),
        ("DELETE FROM heads WHERE game = 2", Broken, "the game has no head"),
        (
            "UPDATE games SET white_id = 'b-g2', black_id = 'w-g2' WHERE game_id = 'g2'",
            Broken,
            "other players",
        ),
        (
            "DELETE FROM games WHERE game_id = 'g2'",
            Broken,
            "log has rows of game number 2, which does not exist",
        ),
        (
            "UPDATE players SET wins = wins + 1 WHERE player_id = 'b-g1'",
            Broken,
            "player b-g1 has (2, 0, 0)",
        ),
        (
            "UPDATE players SET games_played = 9 WHERE player_id = 'w-g2'",
            Broken,
            "player w-g2",
        ),
        (
            "UPDATE players SET active_game_id = NULL",
            Broken,
            "is in None by the profile",
        ),
        (
            "UPDATE players SET active_game_id = 'g2' WHERE player_id = 'w-g1'",
            Broken,
            "player w-g1 is in",
        ),
        (
            "UPDATE players SET rating = 3000 WHERE player_id = 'w-g1'",
            Broken,
            "snapshot of player w-g1",
        ),
        (
            "UPDATE standings SET rating_milli = rating_milli + 1000 WHERE player_id = 'w-g1'",
            Broken,
            "is not that of the skill",
        ),
        (
            "UPDATE standings SET rating_milli = rating_milli + 1 WHERE player_id = 'w-g1'",
            Broken,
            "snapshot of player w-g1",
        ),
        (
            "UPDATE standings SET deviation_milli = -1 WHERE player_id = 'b-g1'",
            Broken,
            "player b-g1: the deviation",
        ),
        (
            "UPDATE standings SET volatility_nano = 0 WHERE player_id = 'b-g1'",
            Broken,
            "player b-g1: the volatility",
        ),
        (
            "UPDATE standings SET equipped = '[\"board-eclipse\"]' WHERE player_id = 'b-g1'",
            Broken,
            "wears board-eclipse, which is owned from level 20 on",
        ),
        (
            "UPDATE standings SET equipped = '[\"crown\"]' WHERE player_id = 'b-g1'",
            Broken,
            "cannot be read to its end",
        ),
        (
            "UPDATE standings SET games_played = 2 WHERE player_id = 'b-g1'",
            Broken,
            "standing of player b-g1 counts",
        ),
        (
            "INSERT INTO standings SELECT 'ghost', 0, 1500000, 350000, 60000000, NULL, '[]'",
            Broken,
            "1 standings are of players that do not exist",
        ),
        (
            "DELETE FROM players WHERE player_id = 'w-g1'",
            Broken,
            "1 players of games do not exist",
        ),
        (
            "UPDATE outbox SET sha256 = zeroblob(32)",
            Broken,
            "snapshot of player b-g1",
        ),
        (
            "DELETE FROM outbox WHERE player_id = 'w-g2'",
            Broken,
            "snapshot of player w-g2",
        ),
        (
            "UPDATE refusals SET command_id = 'c2' WHERE command_id = 'wrong'",
            Broken,
            "command c2 of player b-g2: kept as refused and among the events",
        ),
        (
            "UPDATE refusals SET seat = 7",
            Broken,
            "refused command wrong: there is no seat 7",
        ),
        (
            "UPDATE refusals SET game = 9",
            Broken,
            "refusals has rows of game number 9",
        ),
        (
            "UPDATE log SET command_id = 'c1' WHERE game = 2 AND sequence = 4",
            Twice,
            "command c1 of player w-g2 was applied more than once",
        ),
        (
            "UPDATE log SET command_id = 'offer' WHERE game = 2 AND sequence = 4",
            Twice,
            "command offer of player w-g2",
        ),
    ];
    for (change, kind, expect) in changes {
        let place = place();
        fs::copy(&whole.path, &place.path).unwrap();
        assert!(
            place.raw().execute(change, []).unwrap() > 0,
            "{change}: changes nothing"
        );
        let report = check(&place.path, None).unwrap();
        let found = report
            .findings
            .iter()
            .any(|f| f.kind == kind && f.what.contains(expect));
        assert!(found && !report.is_clean(), "{change}: {report:#?}");
        assert_eq!(
            counted(&report),
            (report.lost, report.twice, report.broken),
            "{change}"
        );
    }
}

/// The findings by kind.
fn counted(report: &CheckReport) -> (u64, u64, u64) {
    let count = |kind| {
        report
            .findings
            .iter()
            .filter(|finding| finding.kind == kind)
            .count() as u64
    };
    (
        count(FindingKind::Lost),
        count(FindingKind::Twice),
        count(FindingKind::Broken),
    )
}

#[tokio::test]
async fn damaged_pages_are_found() {
    let whole = journal().await;
    let pages = fs::metadata(&whole.path).unwrap().len() / 4096;
    for page in 1..pages {
        let place = place();
        fs::copy(&whole.path, &place.path).unwrap();
        let mut file = File::options().read(true).write(true).open(&place.path).unwrap();
        let mut bytes = vec![0; 4096];
        file.seek(SeekFrom::Start(page * 4096)).unwrap();
        file.read_exact(&mut bytes).unwrap();
        bytes.iter_mut().for_each(|byte| *byte ^= 0x55);
        file.seek(SeekFrom::Start(page * 4096)).unwrap();
        file.write_all(&bytes).unwrap();
        drop(file);
        let report = check(&place.path, None).unwrap();
        assert!(report.broken > 0, "page {page}: {report:?}");
    }
}

fn line(game: &str, player: &str, command: &str, sequence: u32) -> String {
    format!(r#"{{"game_id":"{game}","command_id":"{command}","sequence":{sequence},"player_id":"{player}"}}"#)
        + "\n"
}

#[tokio::test]
async fn acknowledged_commands_are_looked_up_one_by_one() {
    let place = journal().await;
    let log = place.folder.path().join("acknowledged.jsonl");
    let looked_up = |lines: &[String]| {
        fs::write(&log, lines.concat()).unwrap();
        check(&place.path, Some(&log))
    };
    let good = [
        line("g1", "w-g1", "c1", 2),
        line("g1", "b-g1", "c4", 6),
        line("g2", "w-g2", "offer", 5),
        // Told twice, as to a client that asked twice.
        line("g2", "w-g2", "offer", 5),
    ];
    let report = looked_up(&good).unwrap();
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(report.acknowledged, 4);

    let bad = [
        (line("g2", "w-g2", "never", 5), "does not have it"),
        (line("g2", "w-g2", "offer", 4), "has it at 5"),
        (line("g2", "b-g2", "offer", 5), "does not have it"),
        (line("g9", "w-g2", "offer", 5), "does not have it"),
        (line("g2", "b-g2", "wrong", 4), "does not have it"),
    ];
    for (line, expect) in bad {
        let report = looked_up(&[good[0].clone(), line.clone()]).unwrap();
        assert_eq!(
            (report.acknowledged, report.lost, report.twice, report.broken),
            (2, 1, 0, 0),
            "{line}"
        );
        assert!(report.findings[0].what.contains(expect), "{report:?}");
    }
}

#[tokio::test]
async fn a_torn_last_line_is_passed_over_and_any_other_nonsense_is_named() {
    let place = journal().await;
    let log = place.folder.path().join("acknowledged.jsonl");
    let good = line("g1", "w-g1", "c1", 2);
    fs::write(&log, format!("{good}{}", &good[..20])).unwrap();
    let report = check(&place.path, Some(&log)).unwrap();
    assert_eq!((report.acknowledged, report.lost), (1, 0));

    for nonsense in [
        format!("{good}nonsense\n{good}"),
        format!("{good}{}", "x".repeat(5000)),
    ] {
        fs::write(&log, nonsense).unwrap();
        let error = check(&place.path, Some(&log)).unwrap_err();
        assert!(
            matches!(error, StoreError::Acknowledged { line: 2, .. }),
            "{error}"
        );
    }
    let missing = check(&place.path, Some(&place.folder.path().join("nowhere"))).unwrap_err();
    assert!(
        matches!(missing, StoreError::Acknowledged { line: 0, .. }),
        "{missing}"
    );
}

#[tokio::test]
async fn a_report_has_the_documented_form() {
    let place = journal().await;
    let json = serde_json::to_value(check(&place.path, None).unwrap()).unwrap();
    let expect = serde_json::json!({
        "games": 2, "events": 11, "acknowledged": 0, "lost": 0, "twice": 0, "broken": 0, "findings": []
    });
    assert_eq!(json, expect);
}

#[tokio::test]
async fn a_journal_in_use_can_be_checked() {
    let place = place();
    let journal = place.open();
    let mut room = Room::begin(&journal, "g1", owner("v1")).await;
    for _ in 0..3 {
        room.play("g1f3 g8f6").await;
        let report = check(&place.path, None).unwrap();
        assert!(report.is_clean(), "{report:?}");
        assert_eq!(report.events, u64::from(room.game.sequence()));
        if room.game.outcome().is_none() {
            room.play("f3g1 f6g8").await;
        }
        if room.game.outcome().is_some() {
            break;
        }
    }
}
