use starvault_rules::{Color, Command, EventKind, Outcome, Reason, Rejection, ReplayError};

use crate::table::Table;

/// Plays `moves`, gives `last` if any, and expects the end that this makes; then nothing more may
/// happen, now or in a replay.
fn check(moves: &str, last: Option<(Color, Command)>, winner: Option<Color>, reason: Reason, hp: [u8; 2]) {
    let mut table = Table::after(moves);
    if let Some((by, command)) = last {
        assert_eq!(table.game.outcome(), None, "{reason:?} came before its time");
        table.give(by, &command).unwrap();
    }
    let outcome = Outcome { winner, reason };
    assert_eq!(table.game.outcome(), Some(outcome), "after {moves}");
    let left = Color::BOTH.map(|color| table.game.hp(color).points());
    assert_eq!(left, hp, "HP of White and Black by {reason:?}");
    let ended = table.events.last().unwrap().clone();
    assert_eq!(ended.kind, EventKind::Ended { winner, reason });

    assert!(table.game.legal_moves_uci().is_empty());
    assert_eq!(table.game.flag_deadline_ms(), None);
    let expected_sequence = table.game.sequence();
    let commands = [
        Command::Move {
            uci: "a2a3".into(),
            expected_sequence,
        },
        Command::Resign,
        Command::OfferDraw,
        Command::AnswerDraw { accept: true },
        Command::Flag,
        Command::Abandon,
        Command::Abort,
    ];
    for command in commands {
        for by in Color::BOTH {
            let said = table.game.decide(by, &command, i64::MAX);
            assert_eq!(said, Err(Rejection::GameOver { outcome }), "{command:?}");
        }
    }
    let mut again = ended;
    again.sequence += 1;
    let sequence = again.sequence;
    assert_eq!(
        table.game.apply(&again),
        Err(ReplayError::AfterTheEnd { sequence })
    );
    assert_eq!(table.replayed().unwrap().state(), table.game.state());
}

const TWO_CHECKS: &str = "e2e4 d7d5 f1b5 c7c6 b5c6 b7c6";

#[test]
fn the_third_check_wins() {
    let moves = format!("{TWO_CHECKS} d1h5 a7a6 h5f7");
    check(&moves, None, Some(Color::White), Reason::ThreeChecks, [3, 0]);
}

#[test]
fn checkmate_wins_whatever_the_hp() {
    check(
        "f2f3 e7e5 g2g4 d8h4",
        None,
        Some(Color::Black),
        Reason::Checkmate,
        [2, 3],
    );
}

#[test]
fn a_third_check_that_mates_is_called_checkmate() {
    let moves = format!("{TWO_CHECKS} g1f3 a7a6 f3e5 a6a5 d1f3 a5a4 f3f7");
    check(&moves, None, Some(Color::White), Reason::Checkmate, [3, 0]);
}

#[test]
fn stalemate_draws() {
    // Sam Loyd's shortest one.
    let moves =
        "e2e3 a7a5 d1h5 a8a6 h5a5 h7h5 h2h4 a6h6 a5c7 f7f6 c7d7 e8f7 d7b7 d8d3 b7b8 d3h7 b8c8 f7g6 c8e6";
    check(moves, None, None, Reason::Stalemate, [3, 2]);
}

#[test]
fn the_third_time_on_the_board_draws() {
    let there_and_back = "g1f3 g8f6 f3g1 f6g8";
    assert_eq!(Table::after(there_and_back).game.outcome(), None);
    check(
        &format!("{there_and_back} {there_and_back}"),
        None,
        None,
        Reason::Repetition,
        [3, 3],
    );
}

#[test]
fn fifty_moves_of_each_without_progress_draw() {
    let mut table = Table::new();
    let mut seed = 7u64;
    while table.game.outcome().is_none() {
        let quiet: Vec<String> = table
            .game
            .legal_moves_uci()
            .into_iter()
            .filter(|uci| {
                let mut next = table.clone();
                next.play(uci).unwrap();
                let san = *next.game.moves_san().last().unwrap();
                let progress = san.starts_with(|c: char| c.is_ascii_lowercase()) || san.contains(['x', '+']);
                let reason = next.game.outcome().map(|outcome| outcome.reason);
                !progress && reason.is_none_or(|reason| reason == Reason::FiftyMoves)
            })
            .collect();
        seed = seed
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        let choice = (seed >> 33) as usize % quiet.len();
        table.play(&quiet[choice]).unwrap();
    }
    assert_eq!(table.game.moves_san().len(), 100);
    let moves = table.game.moves_uci().join(" ");
    check(&moves, None, None, Reason::FiftyMoves, [3, 3]);
}

#[test]
fn resignation_and_absence_lose() {
    for by in Color::BOTH {
        check(
            "e2e4",
            Some((by, Command::Resign)),
            Some(by.other()),
            Reason::Resignation,
            [3, 3],
        );
        check(
            "e2e4",
            Some((by, Command::Abandon)),
            Some(by.other()),
            Reason::Abandoned,
            [3, 3],
        );
    }
}

#[test]
fn a_flag_loses() {
    let mut table = Table::after("e2e4");
    table.now_ms = table.game.flag_deadline_ms().unwrap();
    table.give(Color::Black, &Command::Flag).unwrap();
    let outcome = Outcome {
        winner: Some(Color::White),
        reason: Reason::Flag,
    };
    assert_eq!(table.game.outcome(), Some(outcome));
    assert_eq!(table.game.clock_ms(Color::Black, i64::MAX), 0);
    assert_eq!(table.replayed().unwrap().state(), table.game.state());
}

#[test]
fn an_accepted_draw_offer_ends_the_game() {
    let mut table = Table::after("e2e4");
    table.give(Color::White, &Command::OfferDraw).unwrap();
    table
        .give(Color::Black, &Command::AnswerDraw { accept: true })
        .unwrap();
    assert_eq!(
        table.game.outcome(),
        Some(Outcome {
            winner: None,
            reason: Reason::Agreement
        })
    );
}

#[test]
fn a_game_is_aborted_only_before_the_first_move_of_who_is_missing() {
    check(
        "",
        Some((Color::White, Command::Abort)),
        None,
        Reason::Aborted,
        [3, 3],
    );
    check(
        "",
        Some((Color::Black, Command::Abort)),
        None,
        Reason::Aborted,
        [3, 3],
    );
    check(
        "e2e4",
        Some((Color::Black, Command::Abort)),
        None,
        Reason::Aborted,
        [3, 3],
    );
    let mut table = Table::after("e2e4");
    let late = table.give(Color::White, &Command::Abort);
    assert_eq!(late, Err(Rejection::HasMoved { by: Color::White }));
    table.play("e7e5").unwrap();
    let late = table.give(Color::Black, &Command::Abort);
    assert_eq!(late, Err(Rejection::HasMoved { by: Color::Black }));
    // Nor does a replay take it.
    let mut aborted = table.events[2].clone();
    aborted.sequence = 4;
    aborted.kind = EventKind::Ended {
        winner: None,
        reason: Reason::Aborted,
    };
    assert!(matches!(
        table.game.apply(&aborted),
        Err(ReplayError::Impossible { sequence: 4, .. })
    ));
}
