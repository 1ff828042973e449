//! Stored events are read for ever: a change that breaks one of these texts breaks stored games.

use starvault_rules::{Color, Command, Event, Game, GameState, Looks, Reason};

use crate::table::{START_MS, Table};

fn stored_game() -> Table {
    let mut table = Table::after("e2e4");
    table.give(Color::White, &Command::OfferDraw).unwrap();
    table
        .give(Color::Black, &Command::AnswerDraw { accept: false })
        .unwrap();
    table.give(Color::Black, &Command::Resign).unwrap();
    table
}

const STORED: [&str; 5] = [
    r#"{"sequence":1,"at_ms":1700000000000,"kind":{"started":{"setup":{"game_id":"g1","white":{"player_id":"p-white","name":"白方","rating":1500},"black":{"player_id":"p-black","name":"Black","rating":1520},"clock":{"initial_ms":10000,"increment_ms":1000},"started_at_ms":1700000000000}}}}"#,
    r#"{"sequence":2,"at_ms":1700000000001,"kind":{"move_made":{"by":"white","uci":"e2e4","san":"e4","check":false}}}"#,
    r#"{"sequence":3,"at_ms":1700000000001,"kind":{"draw_offered":{"by":"white"}}}"#,
    r#"{"sequence":4,"at_ms":1700000000001,"kind":{"draw_declined":{"by":"black"}}}"#,
    r#"{"sequence":5,"at_ms":1700000000001,"kind":{"ended":{"winner":"white","reason":"resignation"}}}"#,
];

const STORED_STATE: &str = r#"{"game_id":"g1","sequence":5,"at_ms":1700000000001,"fen":"rnbqkbnr/pppppppp/8/8/4P3/8/PPPP1PPP/RNBQKBNR b KQkq e3 0 1","white_hp":3,"black_hp":3,"white_clock_ms":10999,"black_clock_ms":10000,"moves":1,"last_move":"e2e4","draw_offered_by":null,"outcome":{"winner":"white","reason":"resignation"}}"#;

#[test]
fn events_are_written_in_their_stored_form() {
    let table = stored_game();
    for (event, stored) in table.events.iter().zip(STORED) {
        assert_eq!(serde_json::to_string(event).unwrap(), stored);
    }
    assert_eq!(table.events.len(), STORED.len());
    assert_eq!(serde_json::to_string(&table.game.state()).unwrap(), STORED_STATE);
}

#[test]
fn stored_events_are_read_and_give_the_stored_state() {
    let events: Vec<Event> = STORED
        .iter()
        .map(|stored| serde_json::from_str(stored).unwrap())
        .collect();
    assert_eq!(events[0].at_ms, START_MS);
    let game = Game::from_events(&events).unwrap();
    assert_eq!(
        game.state(),
        serde_json::from_str::<GameState>(STORED_STATE).unwrap()
    );
}

#[test]
fn reasons_have_one_name_everywhere() {
    use Reason::*;
    let all = [
        (ThreeChecks, "three_checks"),
        (Checkmate, "checkmate"),
        (Resignation, "resignation"),
        (Flag, "flag"),
        (Stalemate, "stalemate"),
        (Repetition, "repetition"),
        (FiftyMoves, "fifty_moves"),
        (Agreement, "agreement"),
        (Abandoned, "abandoned"),
        (Aborted, "aborted"),
    ];
    for (reason, name) in all {
        assert_eq!(serde_json::to_string(&reason).unwrap(), format!("\"{name}\""));
        assert_eq!(reason.as_str(), name);
    }
}

#[test]
fn an_unknown_kind_of_event_is_refused_and_not_skipped() {
    let unknown = r#"{"sequence":2,"at_ms":1,"kind":{"teleported":{"by":"white"}}}"#;
    assert!(serde_json::from_str::<Event>(unknown).is_err());
}

#[test]
fn lag_and_looks_are_written_where_there_are_any() {
    let mut looks = Looks::default();
    looks.black.level = 3;
    looks.black.equipped.put_on("board-nebula", 3).unwrap();
    let (game, started) = Game::with_looks(crate::table::setup(), looks).unwrap();
    let json = serde_json::to_string(&started).unwrap();
    let expect =
        r#""looks":{"white":{"level":1,"equipped":[]},"black":{"level":3,"equipped":["board-nebula"]}}}}}"#;
    assert!(json.ends_with(expect), "{json}");
    let mut table = Table::new();
    (table.game, table.events) = (game, vec![started]);
    table.now_ms += 400;
    table.lag_ms = 70;
    table.play("e2e4").unwrap();
    let json = serde_json::to_string(&table.events[1].kind).unwrap();
    let expect = r#"{"move_made":{"by":"white","uci":"e2e4","san":"e4","check":false,"lag_ms":70}}"#;
    assert_eq!(json, expect);
    let replayed = table.replayed().unwrap();
    assert_eq!(replayed.state(), table.game.state());
    assert_eq!(replayed.look(Color::Black).equipped.ids(), ["board-nebula"]);
}
