use starvault_rules::{Color, Command, Event, EventKind, Game, InvalidSetup, Reason, Rejection, ReplayError};

use crate::table::{START_MS, Table, setup};

fn play_at(table: &mut Table, at_ms: i64, uci: &str) -> Result<Vec<Event>, Rejection> {
    table.now_ms = START_MS + at_ms - 1;
    table.play(uci)
}

#[test]
fn a_clock_runs_during_its_own_turn_and_gains_the_increment() {
    let mut table = Table::new();
    assert_eq!(table.game.clock_ms(Color::White, START_MS + 2_500), 7_500);
    assert_eq!(table.game.clock_ms(Color::Black, START_MS + 2_500), 10_000);
    play_at(&mut table, 3_000, "e2e4").unwrap();
    assert_eq!(table.game.clock_ms(Color::White, START_MS + 9_000), 8_000);
    assert_eq!(table.game.clock_ms(Color::Black, START_MS + 9_000), 4_000);
    assert_eq!(table.game.flag_deadline_ms(), Some(START_MS + 13_000));
    play_at(&mut table, 12_999, "e7e5").unwrap();
    assert_eq!(table.game.clock_ms(Color::Black, START_MS + 13_000), 1_001);
}

#[test]
fn a_move_at_the_deadline_is_too_late_and_the_flag_is_due() {
    let mut table = Table::new();
    let deadline_ms = START_MS + 10_000;
    table.now_ms = deadline_ms - 1;
    let early = table.give(Color::White, &Command::Flag);
    assert_eq!(early, Err(Rejection::ClockStillRunning { deadline_ms }));
    assert_eq!(play_at(&mut table, 10_000, "e2e4"), Err(Rejection::OutOfTime));
    let other = table.give(Color::Black, &Command::Flag);
    assert_eq!(
        other,
        Err(Rejection::NotYourTurn {
            to_move: Color::White
        })
    );
    table.give(Color::White, &Command::Flag).unwrap();
    assert_eq!(table.game.outcome().unwrap().winner, Some(Color::Black));
    assert_eq!(table.game.clock_ms(Color::White, i64::MAX), 0);
}

#[test]
fn clocks_stop_with_the_game() {
    let mut table = Table::after("e2e4");
    table.now_ms += 4_000;
    table.give(Color::White, &Command::Resign).unwrap();
    assert_eq!(table.game.clock_ms(Color::Black, i64::MAX), 6_000);
}

#[test]
fn a_clock_set_back_does_not_make_time_run_backwards() {
    let mut table = Table::new();
    play_at(&mut table, 5_000, "e2e4").unwrap();
    let events = play_at(&mut table, 10, "e7e5").unwrap();
    assert_eq!(events[0].at_ms, START_MS + 5_000);
    assert_eq!(table.game.clock_ms(Color::Black, events[0].at_ms), 11_000);
}

#[test]
fn a_replay_refuses_impossible_times() {
    let mut table = Table::new();
    play_at(&mut table, 3_000, "e2e4").unwrap();
    let mut early = table.events.clone();
    early[1].at_ms = START_MS - 1;
    let sequence = 2;
    assert_eq!(
        Game::from_events(&early).unwrap_err(),
        ReplayError::TimeRunsBackwards {
            sequence,
            at_ms: START_MS - 1
        }
    );
    let mut late = table.events.clone();
    late[1].at_ms = START_MS + 10_000;
    assert!(matches!(
        Game::from_events(&late),
        Err(ReplayError::Impossible { sequence: 2, .. })
    ));
    let kind = EventKind::Ended {
        winner: Some(Color::White),
        reason: Reason::Flag,
    };
    let flag = Event {
        sequence: 3,
        at_ms: START_MS + 12_999,
        kind,
    };
    assert!(matches!(
        table.game.apply(&flag),
        Err(ReplayError::Impossible { sequence: 3, .. })
    ));
}

#[test]
fn a_game_does_not_begin_with_an_impossible_setup() {
    let check = |change: fn(&mut starvault_rules::Setup), expect: fn(&InvalidSetup) -> bool| {
        let mut changed = setup();
        change(&mut changed);
        let error = Game::new(changed).unwrap_err();
        assert!(expect(&error), "{error}");
    };
    check(
        |s| s.black = s.white.clone(),
        |e| matches!(e, InvalidSetup::SamePlayer { .. }),
    );
    check(
        |s| s.white.name.clear(),
        |e| matches!(e, InvalidSetup::Name { .. }),
    );
    check(
        |s| s.white.name = "x".repeat(25),
        |e| matches!(e, InvalidSetup::Name { .. }),
    );
    check(
        |s| s.black.name = "a\u{7}b".into(),
        |e| matches!(e, InvalidSetup::Name { .. }),
    );
    check(
        |s| s.clock.initial_ms = 0,
        |e| matches!(e, InvalidSetup::InitialTime { .. }),
    );
    check(
        |s| s.clock.increment_ms = u32::MAX,
        |e| matches!(e, InvalidSetup::Increment { .. }),
    );
    check(
        |s| s.started_at_ms = -1,
        |e| matches!(e, InvalidSetup::StartTime { .. }),
    );
}

#[test]
fn measured_lag_is_not_charged_up_to_a_cap_and_a_budget() {
    let mut table = Table::new();
    table.lag_ms = 80;
    let lag_of = |events: Vec<Event>| match events[0].kind {
        EventKind::MoveMade { lag_ms, .. } => lag_ms,
        _ => panic!("a move"),
    };
    assert_eq!(lag_of(play_at(&mut table, 1_000, "g1f3").unwrap()), 80);
    assert_eq!(table.game.clock_ms(Color::White, START_MS + 1_000), 10_080);
    // Never more than the move took.
    assert_eq!(lag_of(play_at(&mut table, 1_030, "g8f6").unwrap()), 30);
    assert_eq!(table.game.clock_ms(Color::Black, START_MS + 1_030), 11_000);

    // A line as bad as this one: 500 ms a move while the budget of 2,000 lasts, then what comes back.
    let mut table = Table::new();
    table.lag_ms = 60_000;
    let mut forgiven = Vec::new();
    for (n, file) in "abcdefg".chars().enumerate() {
        let at_ms = 2_000 * n as i64;
        let uci = format!("{file}2{file}3");
        forgiven.push(lag_of(play_at(&mut table, at_ms + 1_000, &uci).unwrap()));
        let uci = format!("{file}7{file}6");
        play_at(&mut table, at_ms + 2_000, &uci).unwrap();
    }
    assert_eq!(forgiven, [500, 500, 500, 500, 400, 100, 100]);
}

#[test]
fn a_flag_waits_for_the_way_of_a_move_that_was_made_in_time() {
    let mut table = Table::new();
    table.lag_ms = 200;
    let deadline_ms = START_MS + 10_200;
    assert_eq!(table.game.flag_deadline_with_lag_ms(200), Some(deadline_ms));
    assert_eq!(table.game.flag_deadline_ms(), Some(START_MS + 10_000));
    table.now_ms = deadline_ms - 1;
    let early = table.give(Color::White, &Command::Flag);
    assert_eq!(early, Err(Rejection::ClockStillRunning { deadline_ms }));
    let mut late = table.clone();
    assert_eq!(play_at(&mut late, 10_200, "e2e4"), Err(Rejection::OutOfTime));
    play_at(&mut table, 10_199, "e2e4").unwrap();
    assert_eq!(table.game.clock_ms(Color::White, deadline_ms), 1_001);
    // What was not measured is not forgiven in a replay either.
    for lag_ms in [201, 501, u32::MAX] {
        let mut events = table.events.clone();
        if let EventKind::MoveMade { lag_ms: stored, .. } = &mut events[1].kind {
            *stored = lag_ms;
        }
        let replayed = Game::from_events(&events);
        assert_eq!(replayed.is_ok(), lag_ms == 201, "{lag_ms} ms: {replayed:?}");
    }
}
