//! What holds of every game, however it is played.

use proptest::prelude::*;
use starvault_rules::{Color, Command, Event, EventKind, Game, GameState, ReplayError};

use crate::table::Table;

/// One step of a random game: mostly moves.
#[derive(Clone, Debug)]
enum Step {
    Move {
        choice: prop::sample::Index,
        think_ms: i64,
        lag_ms: u32,
    },
    Other {
        by: Color,
        command: Command,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let color = prop_oneof![Just(Color::White), Just(Color::Black)];
    let command = prop_oneof![
        40 => Just(Command::OfferDraw),
        30 => Just(Command::AnswerDraw { accept: false }),
        5 => Just(Command::AnswerDraw { accept: true }),
        2 => Just(Command::Resign),
        2 => Just(Command::Abandon),
        2 => Just(Command::Abort),
        20 => Just(Command::Flag),
    ];
    prop_oneof![
        60 => (any::<prop::sample::Index>(), 0..400i64, 0..700u32)
            .prop_map(|(choice, think_ms, lag_ms)| Step::Move { choice, think_ms, lag_ms }),
        1 => (any::<prop::sample::Index>(), 0..12_000i64, any::<u32>())
            .prop_map(|(choice, think_ms, lag_ms)| Step::Move { choice, think_ms, lag_ms }),
        3 => (color, command).prop_map(|(by, command)| Step::Other { by, command }),
    ]
}

fn game() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), 1..300)
}

/// Everything that can be seen of a game.
type Seen = (GameState, [Vec<String>; 3], Option<i64>, bool, u32);

fn seen(game: &Game) -> Seen {
    let texts = |moves: &[starvault_rules::MoveText]| moves.iter().map(|text| text.to_string()).collect();
    let moves = [
        game.legal_moves_uci(),
        texts(game.moves_uci()),
        texts(game.moves_san()),
    ];
    (
        game.state(),
        moves,
        game.flag_deadline_ms(),
        game.in_check(),
        game.checks_given(),
    )
}

/// What the table's clocks start with and get for a move.
fn table_clock() -> (i64, i64) {
    let clock = crate::table::setup().clock;
    (clock.initial_ms.into(), clock.increment_ms.into())
}

fn play(steps: &[Step], mut after_each: impl FnMut(&Table, &[Event])) -> Table {
    let mut table = Table::new();
    for step in steps {
        let (by, command) = match step {
            Step::Move {
                choice,
                think_ms,
                lag_ms,
            } => {
                let legal = table.game.legal_moves_uci();
                if legal.is_empty() {
                    assert!(
                        table.game.outcome().is_some(),
                        "no move and no end: {}",
                        table.game.fen()
                    );
                    break;
                }
                table.now_ms += think_ms;
                table.lag_ms = *lag_ms;
                let uci = choice.get(&legal).clone();
                (
                    table.game.to_move(),
                    Command::Move {
                        uci,
                        expected_sequence: table.game.sequence(),
                    },
                )
            }
            Step::Other { by, command } => (*by, command.clone()),
        };
        // Checks the invariants of the game too.
        let events = table.give(by, &command).unwrap_or_default();
        after_each(&table, &events);
    }
    table
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_replay_is_the_game(steps in game()) {
        let table = play(&steps, |_, _| {});
        prop_assert_eq!(seen(&table.replayed().unwrap()), seen(&table.game));
        let json = serde_json::to_string(&table.events).unwrap();
        let read: Vec<Event> = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(&read, &table.events);
    }

    #[test]
    fn lag_never_makes_a_clock_show_more_than_it_did(steps in game()) {
        let clock = table_clock();
        let mut before = [clock.0; 2];
        play(&steps, |table, events| {
            for event in events {
                if let EventKind::MoveMade { by, lag_ms, .. } = event.kind {
                    let now = table.game.clock_ms(by, event.at_ms);
                    assert!(now <= before[by as usize] + clock.1, "{lag_ms} ms of lag");
                    assert!(lag_ms <= starvault_rules::LAG_PER_MOVE_MAX_MS);
                    before[by as usize] = now;
                }
            }
        });
    }

    #[test]
    fn hp_falls_by_checks_alone_and_never_rises(steps in game()) {
        let mut before = [3u8, 3];
        play(&steps, |table, events| {
            let now = Color::BOTH.map(|color| table.game.hp(color).points());
            let mut expected = before;
            for event in events {
                if let EventKind::MoveMade { by, check: true, .. } = event.kind {
                    expected[by.other() as usize] -= 1;
                }
            }
            assert_eq!(now, expected);
            assert_eq!(now.contains(&0), expected.contains(&0) && table.game.outcome().is_some());
            before = now;
        });
    }

    #[test]
    fn nothing_follows_the_end(steps in game(), extra in step(), by in prop::bool::ANY) {
        let mut table = play(&steps, |_, _| {});
        if table.game.outcome().is_none() {
            table.give(Color::White, &Command::Resign).unwrap();
        }
        let by = if by { Color::White } else { Color::Black };
        let command = match extra {
            Step::Move { .. } => {
                Command::Move { uci: "e2e4".into(), expected_sequence: table.game.sequence() }
            }
            Step::Other { command, .. } => command,
        };
        prop_assert!(table.game.decide(by, &command, i64::MAX).is_err());
        let sequence = table.game.sequence() + 1;
        for event in &table.events {
            let event = Event { sequence, at_ms: i64::MAX, kind: event.kind.clone() };
            prop_assert_eq!(table.game.apply(&event), Err(ReplayError::AfterTheEnd { sequence }));
        }
    }

    #[test]
    fn a_refused_command_and_a_refused_event_change_nothing(steps in game(), text in "\\PC{0,8}") {
        let table = play(&steps, |_, _| {});
        let before = seen(&table.game);
        let mut game = table.game.clone();
        let command = Command::Move { uci: text.clone(), expected_sequence: game.sequence() };
        match game.decide(game.to_move(), &command, table.now_ms) {
            Ok(_) => prop_assert!(game.legal_moves_uci().contains(&text)),
            Err(_) => prop_assert!(!game.legal_moves_uci().contains(&text)
                || game.clock_ms(game.to_move(), table.now_ms) == 0),
        }
        let kind = EventKind::MoveMade { by: game.to_move(), uci: text, san: "?".into(), check: false, lag_ms: 0 };
        let wrong = Event { sequence: game.sequence() + 1, at_ms: game.last_event_at_ms(), kind };
        prop_assert!(game.apply(&wrong).is_err());
        prop_assert_eq!(seen(&game), before);
    }

    #[test]
    fn every_random_game_ends(seed in any::<u64>()) {
        let mut table = Table::new();
        let mut random = seed;
        while table.game.outcome().is_none() {
            random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let legal = table.game.legal_moves_uci();
            table.play(&legal[(random >> 33) as usize % legal.len()]).unwrap();
            // Fifty moves without progress end it; there are at most 118 captures and pawn moves.
            prop_assert!(table.game.moves_san().len() < 12_000);
        }
    }
}
