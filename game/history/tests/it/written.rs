//! The form in which a history is written down, and its limits.

use starvault_history::{History, Record, Report, TooManyRecords, VIOLATIONS_MAX};

use crate::support::{acknowledged, check, game, sent};

#[test]
fn a_record_is_one_flat_object() {
    let written = serde_json::to_string(&sent("w", 20, "w1", 1, "white e2e4")).unwrap();
    assert_eq!(
        written,
        r#"{"client":"w","connection":1,"game_id":"g","at":20,"kind":"sent","command_id":"w1","expected_sequence":1,"what":"white e2e4"}"#
    );
    for record in game() {
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
    }
}

#[test]
fn a_report_names_the_rule_the_game_and_both_records() {
    let mut records = game();
    records.push(acknowledged("b", 90, "b1", 4));
    let report = check(&records);
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["violations"], 1);
    let found = &json["found"][0];
    assert_eq!(
        (&found["rule"], &found["game_id"]),
        (&"command".into(), &"g".into())
    );
    assert_eq!(found["first"]["at"], 50);
    assert_eq!(found["second"]["at"], 90);
    assert!(found["what"].as_str().unwrap().contains("b1"), "{found}");
    assert_eq!(serde_json::from_value::<Report>(json).unwrap(), report);
}

#[test]
fn games_are_checked_apart_and_counted() {
    let mut records = game();
    records.extend(game().into_iter().map(|record| Record {
        game_id: "h".into(),
        ..record
    }));
    let report = check(&records);
    assert!(report.is_clean(), "{report:#?}");
    assert_eq!(
        (report.records, report.games, report.commands, report.events),
        (28, 2, 6, 6)
    );
}

#[test]
fn a_history_holds_so_many_records_and_no_more() {
    let mut history = History::new(2);
    let record = acknowledged("w", 1, "w1", 2);
    history.push(record.clone()).unwrap();
    history.push(record.clone()).unwrap();
    assert_eq!(history.push(record), Err(TooManyRecords { records_max: 2 }));
    assert_eq!(history.check().records, 2);
}

#[test]
fn all_violations_are_counted_and_the_first_are_described() {
    let many = VIOLATIONS_MAX as u32 + 20;
    let records: Vec<Record> = (0..many)
        .map(|n| acknowledged("w", u64::from(n), &format!("never-sent-{n}"), n))
        .collect();
    let report = check(&records);
    assert_eq!(report.violations, u64::from(many));
    assert_eq!(report.found.len(), VIOLATIONS_MAX);
}
