use starvault_rules::{Color, Command, EventKind, Game, Position, Rejection, ReplayError};

use crate::table::Table;

const KIWIPETE: &str = "r3k2r/p1ppqpb1/bn2pnp1/3PN3/1p2P3/2N2Q1p/PPPBBPPP/R3K2R w KQkq - 0 1";

#[test]
fn the_tree_of_legal_moves_has_the_known_size() {
    // https://www.chessprogramming.org/Perft_Results
    assert_eq!(Position::start().perft(4), 197_281);
    assert_eq!(Position::from_fen(KIWIPETE).unwrap().perft(3), 97_862);
}

#[test]
fn castling_is_the_move_of_the_king() {
    let legal = Position::from_fen(KIWIPETE).unwrap().legal_moves_uci();
    assert!(
        legal.contains(&"e1g1".into()) && legal.contains(&"e1c1".into()),
        "{legal:?}"
    );
    assert!(
        !legal.contains(&"e1h1".into()) && !legal.contains(&"e1a1".into()),
        "{legal:?}"
    );
    assert_eq!(legal.len(), 48);

    let mut table = Table::after("g1f3 b8c6 g2g3 d7d6 f1g2 c8e6 a2a3 d8d7");
    let sequence = table.game.sequence();
    let by_rook = Command::Move {
        uci: "e1h1".into(),
        expected_sequence: sequence,
    };
    let said = table.give(Color::White, &by_rook);
    assert_eq!(said, Err(Rejection::IllegalMove { uci: "e1h1".into() }));
    table.play("e1g1").unwrap();
    table.play("e8c8").unwrap();
    let castled: Vec<&str> = table.game.moves_san()[8..].iter().map(AsRef::as_ref).collect();
    assert_eq!(castled, ["O-O", "O-O-O"]);
    assert_eq!(table.game.last_move(), Some("e8c8"));
    assert!(
        table
            .game
            .fen()
            .starts_with("2kr1bnr/pppqpppp/2npb3/8/8/P4NP1/1PPPPPBP/RNBQ1RK1 w - -")
    );
    assert_eq!(table.replayed().unwrap().state(), table.game.state());
}

#[test]
fn a_king_that_walks_two_squares_without_the_right_does_not_castle() {
    let mut table = Table::after("g1f3 a7a6 g2g3 a6a5 f1g2 a5a4 h1g1 a4a3 g1h1 h7h6");
    assert!(table.play("e1g1").is_err());
}

#[test]
fn a_pawn_takes_in_passing_at_once_or_never() {
    let mut table = Table::after("e2e4 a7a6 e4e5 d7d5");
    assert!(table.game.legal_moves_uci().contains(&"e5d6".into()));
    table.play("e5d6").unwrap();
    assert_eq!(table.game.moves_san().last().unwrap().as_ref(), "exd6");
    let late = Table::after("e2e4 a7a6 e4e5 d7d5 h2h3 h7h6");
    assert!(!late.game.legal_moves_uci().contains(&"e5d6".into()));
}

#[test]
fn a_pawn_promotes_to_four_pieces_and_must() {
    let mut table = Table::after("a2a4 b7b5 a4b5 a7a6 b5a6 c8b7 a6b7 h7h6");
    let legal = table.game.legal_moves_uci();
    for piece in ["q", "r", "b", "n"] {
        assert!(legal.contains(&format!("b7a8{piece}")), "{legal:?}");
    }
    for bad in ["b7a8", "b7a8k", "b7a8p", "b7a8Q"] {
        assert!(table.play(bad).is_err(), "{bad}");
    }
    table.play("b7a8n").unwrap();
    assert_eq!(table.game.moves_san().last().unwrap().as_ref(), "bxa8=N");
}

#[test]
fn a_check_costs_the_checked_king_one_hp_even_when_two_pieces_give_it() {
    // 6. Nd6 is check by the knight and by the queen on e3 that it uncovers.
    let mut table = Table::after("b1c3 e7e5 d2d4 e5d4 c3e4 a7a6 d1d4 d8h4 d4e3 a6a5 e4d6");
    let hp = |table: &Table| Color::BOTH.map(|color| table.game.hp(color).points());
    assert_eq!(hp(&table), [3, 2]);
    assert!(table.game.in_check());
    assert_eq!(
        table.game.legal_moves_uci(),
        ["e8d8"],
        "two pieces give check: neither can be taken"
    );
    let last = table.events.last().unwrap();
    assert!(matches!(
        last.kind,
        EventKind::MoveMade {
            check: true,
            by: Color::White,
            ..
        }
    ));
    table.play("e8d8").unwrap();
    assert_eq!(hp(&table), [3, 2], "leaving check costs nobody anything");
}

#[test]
fn a_command_must_follow_the_present_sequence_turn_and_rules() {
    let mut table = Table::after("e2e4");
    let mv = |uci: &str, expected_sequence| Command::Move {
        uci: uci.into(),
        expected_sequence,
    };
    let said = table.give(Color::Black, &mv("e7e5", 1));
    assert_eq!(
        said,
        Err(Rejection::SequenceGap {
            current: 2,
            expected: 1
        })
    );
    let said = table.give(Color::White, &mv("d2d4", 2));
    assert_eq!(
        said,
        Err(Rejection::NotYourTurn {
            to_move: Color::Black
        })
    );
    for bad in [
        "",
        "e7",
        "e7e4",
        "e7e5q",
        "E7E5",
        "e7 e5",
        "0000",
        "e2e4",
        "e7e5\u{0}",
        "♟",
        "a9a8",
    ] {
        let said = table.give(Color::Black, &mv(bad, 2));
        assert_eq!(said, Err(Rejection::IllegalMove { uci: bad.into() }));
    }
    let long = table.give(Color::Black, &mv(&"x".repeat(100_000), 2));
    assert_eq!(long, Err(Rejection::IllegalMove { uci: "x".repeat(16) }));
    assert_eq!(table.game.sequence(), 2, "what is refused changes nothing");
    table.give(Color::Black, &mv("e7e5", 2)).unwrap();
}

#[test]
fn a_replay_refuses_a_history_that_the_rules_do_not_allow() {
    let table = Table::after("e2e4 e7e5 g1f3");
    let check = |change: fn(&mut Vec<starvault_rules::Event>)| {
        let mut events = table.events.clone();
        change(&mut events);
        Game::from_events(&events).unwrap_err()
    };
    assert_eq!(check(Vec::clear), ReplayError::Empty);
    assert_eq!(check(|e| drop(e.remove(0))), ReplayError::NotStarted);
    assert_eq!(
        check(|e| drop(e.remove(1))),
        ReplayError::Sequence { after: 1, found: 3 }
    );
    assert_eq!(
        check(|e| e.swap(2, 3)),
        ReplayError::Sequence { after: 2, found: 4 }
    );
    assert_eq!(
        check(|e| e.insert(1, e[1].clone())),
        ReplayError::Sequence { after: 2, found: 2 }
    );
    type Fields<'e> = (&'e mut Color, &'e mut String, &'e mut String, &'e mut bool);
    fn second_move(events: &mut [starvault_rules::Event]) -> Fields<'_> {
        match &mut events[2].kind {
            EventKind::MoveMade {
                by, uci, san, check, ..
            } => (by, uci, san, check),
            other => panic!("{other:?}"),
        }
    }
    let impossible = |error| {
        let expected = matches!(error, ReplayError::Impossible { sequence: 3, .. });
        assert!(expected, "{error}");
    };
    impossible(check(|e| *second_move(e).0 = Color::White));
    impossible(check(|e| *second_move(e).1 = "e7e6".into()));
    impossible(check(|e| *second_move(e).2 = "e6".into()));
    impossible(check(|e| *second_move(e).3 = true));
    impossible(check(|e| e[2].kind = e[0].kind.clone()));
    impossible(check(|e| {
        e[2].kind = EventKind::DrawDeclined { by: Color::Black }
    }));
    impossible(check(|e| {
        let reason = starvault_rules::Reason::Checkmate;
        e[2].kind = EventKind::Ended {
            winner: Some(Color::White),
            reason,
        };
    }));
}
