//! Each rule: a history that keeps to it narrowly, and ones that do not.

use starvault_history::{Kind, Record, Refusal, Rule};

use crate::support::{acknowledged, broken, check, game, on, record, refused, resumed, sent, told};

const NOTHING: [Rule; 0] = [];

/// The game, with more noted after it.
fn game_and(more: impl IntoIterator<Item = Record>) -> Vec<Record> {
    let mut records = game();
    records.extend(more);
    records
}

/// The game without the notes that fit.
fn game_without(fits: impl Fn(&Record) -> bool) -> Vec<Record> {
    game().into_iter().filter(|record| !fits(record)).collect()
}

fn is_told(record: &Record, client: &str, at: u32) -> bool {
    record.client == client && matches!(record.kind, Kind::Told { sequence, .. } if sequence == at)
}

#[test]
fn a_sound_game_breaks_no_rule() {
    let report = check(&game());
    assert!(report.is_clean(), "{report:#?}");
    assert_eq!((report.commands, report.events), (3, 3));
}

#[test]
fn agreement_two_clients_are_told_the_same_event() {
    let mut records = game();
    let other = records.iter_mut().find(|one| is_told(one, "b", 3)).unwrap();
    if let Kind::Told { event, .. } = &mut other.kind {
        event.push('!');
    }
    assert_eq!(broken(&records), [Rule::Agreement]);
}

#[test]
fn agreement_holds_for_one_client_over_all_its_connections() {
    let again = |event: &str| {
        let kind = Kind::Told {
            sequence: 4,
            event: event.into(),
            cause: Some("white g1f3".into()),
        };
        [on(2, resumed("b", 80, 90, 3, 4)), on(2, record("b", 90, kind))]
    };
    assert_eq!(broken(&game_and(again("4 Some(\"white g1f3\")"))), NOTHING);
    assert_eq!(broken(&game_and(again("other"))), [Rule::Agreement]);
}

#[test]
fn real_time_a_command_comes_after_one_that_was_answered_before_it_was_sent() {
    // Both under way at once: any order will do.
    let order = |second_sent| {
        vec![
            sent("w", 10, "w1", 2, "white a"),
            acknowledged("w", 20, "w1", 3),
            sent("b", second_sent, "b1", 1, "black b"),
            acknowledged("b", 40, "b1", 2),
        ]
    };
    assert_eq!(broken(&order(15)), NOTHING);
    assert_eq!(broken(&order(20)), NOTHING);
    assert_eq!(broken(&order(21)), [Rule::RealTime]);
}

#[test]
fn a_command_is_under_way_from_the_first_time_it_is_sent() {
    let records = [
        sent("b", 5, "b1", 1, "black b"),
        sent("w", 10, "w1", 2, "white a"),
        acknowledged("w", 20, "w1", 3),
        sent("b", 25, "b1", 1, "black b"),
        acknowledged("b", 40, "b1", 2),
    ];
    assert_eq!(broken(&records), NOTHING);
}

#[test]
fn command_an_acknowledged_one_is_the_event_at_its_place() {
    // Another event stands there.
    let mut records = game();
    for one in &mut records {
        if let Kind::Told {
            sequence: 3, cause, ..
        } = &mut one.kind
        {
            *cause = Some("black d7d5".into());
        }
    }
    assert_eq!(broken(&records), [Rule::Command]);
    // Nothing that comes of a command stands there.
    for one in &mut records {
        if let Kind::Told {
            sequence: 3, cause, ..
        } = &mut one.kind
        {
            *cause = None;
        }
    }
    assert_eq!(broken(&records), [Rule::Command]);
}

#[test]
fn command_an_acknowledgement_names_the_last_event_of_its_command() {
    // The end of the game follows of itself.
    let with_end = |cause| {
        let mut records = game_without(
            |one| matches!(&one.kind, Kind::Acknowledged { command_id, .. } if command_id == "w2"),
        );
        records.push(acknowledged("w", 75, "w2", 5));
        records.push(told("w", 76, 5, cause));
        records
    };
    assert_eq!(broken(&with_end(None)), NOTHING);
    // Somebody else's does not.
    assert_eq!(broken(&with_end(Some("black a7a6"))), [Rule::Command]);
    // Also where it is known how that came about.
    let mut records = with_end(Some("black a7a6"));
    records.push(sent("b", 73, "b2", 4, "black a7a6"));
    assert_eq!(broken(&records), [Rule::Command]);
    // Below its place.
    let early = game_and([
        sent("b", 80, "b2", 4, "black a7a6"),
        acknowledged("b", 90, "b2", 4),
    ]);
    assert_eq!(broken(&early), [Rule::Command]);
}

#[test]
fn command_an_event_comes_of_a_command_that_was_sent() {
    let again = game_and([told("w", 80, 5, Some("black e7e5"))]);
    assert_eq!(broken(&again), [Rule::Command]);
    // Sent for this place, and not answered: the answer may have been lost.
    let unanswered = game_and([
        sent("b", 75, "b2", 4, "black e7e5"),
        told("w", 80, 5, Some("black e7e5")),
    ]);
    assert_eq!(broken(&unanswered), NOTHING);
    // Sent for another place.
    let elsewhere = game_and([
        sent("b", 75, "b2", 3, "black e7e5"),
        told("w", 80, 5, Some("black e7e5")),
    ]);
    assert_eq!(broken(&elsewhere), [Rule::Command]);
}

#[test]
fn command_a_refused_one_has_no_event_and_an_undecided_one_may() {
    let with = |refusal| {
        game_and([
            sent("b", 75, "b2", 4, "black a7a6"),
            refused("b", 78, "b2", refusal, None),
            told("w", 80, 5, Some("black a7a6")),
        ])
    };
    assert_eq!(broken(&with(Refusal::Rejected)), [Rule::Command]);
    assert_eq!(broken(&with(Refusal::Undecided)), NOTHING);
}

#[test]
fn command_two_cannot_hold_one_place() {
    let records = game_and([
        sent("b", 45, "b9", 2, "black e7e5"),
        acknowledged("b", 90, "b9", 3),
    ]);
    assert_eq!(broken(&records), [Rule::Command]);
}

#[test]
fn command_repeated_answers_agree() {
    let again = |answer| game_and([sent("b", 75, "b1", 2, "black e7e5"), answer]);
    assert_eq!(broken(&again(acknowledged("b", 80, "b1", 3))), NOTHING);
    assert_eq!(
        broken(&again(refused("b", 80, "b1", Refusal::Undecided, None))),
        NOTHING
    );
    assert_eq!(broken(&again(acknowledged("b", 80, "b1", 5))), [Rule::Command]);
    assert_eq!(
        broken(&again(refused("b", 80, "b1", Refusal::Rejected, None))),
        [Rule::Command]
    );
}

#[test]
fn command_what_is_answered_was_sent() {
    let records =
        game_without(|one| matches!(&one.kind, Kind::Sent { command_id, .. } if command_id == "b1"));
    let report = check(&records);
    assert!(report.found[0].what.contains("never sent"), "{report:#?}");
    assert!(
        report.found.iter().all(|one| one.rule == Rule::Command),
        "{report:#?}"
    );
}

#[test]
fn command_without_a_sequence_stands_where_it_was_acknowledged() {
    let resign = |at, cause: &str| {
        let command_id = "b2".to_owned();
        let kind = Kind::Sent {
            command_id,
            expected_sequence: None,
            what: "black resigns".into(),
        };
        game_and([
            record("b", 80, kind),
            acknowledged("b", 90, "b2", at),
            told("w", 90, 5, Some(cause)),
            told("b", 91, 5, Some(cause)),
        ])
    };
    assert_eq!(broken(&resign(5, "black resigns")), NOTHING);
    assert!(broken(&resign(4, "black resigns")).contains(&Rule::Command));
    assert!(broken(&resign(5, "white resigns")).contains(&Rule::Command));
}

#[test]
fn order_a_connection_is_told_of_events_one_after_the_other() {
    let hole = game_without(|one| is_told(one, "b", 3));
    assert_eq!(broken(&hole), [Rule::Order]);
    let first_left_out = game_without(|one| is_told(one, "b", 2));
    assert_eq!(broken(&first_left_out), [Rule::Order]);
    let twice = game_and([told("b", 80, 4, Some("white g1f3"))]);
    assert_eq!(broken(&twice), [Rule::Order]);
    let back = game_and([told("b", 80, 2, Some("white e2e4"))]);
    assert_eq!(broken(&back), [Rule::Order]);
}

#[test]
fn order_a_resume_says_from_where() {
    let again = |tell: &[u32]| {
        let causes = ["white e2e4", "black e7e5", "white g1f3"];
        let told = tell
            .iter()
            .map(|at| on(2, told("b", 90, *at, Some(causes[*at as usize - 2]))));
        game_and([on(2, resumed("b", 80, 90, 2, 4))].into_iter().chain(told))
    };
    assert_eq!(broken(&again(&[3, 4])), NOTHING);
    assert_eq!(broken(&again(&[4])), [Rule::Order]);
    assert_eq!(broken(&again(&[2, 3, 4])), [Rule::Order]);
    // What was promised does not come.
    assert_eq!(broken(&again(&[3])), [Rule::Order]);
    assert_eq!(broken(&again(&[])), [Rule::Order]);
    let backwards = game_and([on(2, resumed("b", 80, 90, 5, 4))]);
    assert_eq!(broken(&backwards), [Rule::Order]);
}

#[test]
fn monotonic_reads_what_one_was_told_nobody_who_asks_later_is_told_is_still_to_come() {
    // Black resumes; white has been told of event 4 at 70.
    let asked = |asked_at| game_and([on(2, resumed("b", asked_at, 90, 3, 3))]);
    assert_eq!(broken(&asked(69)), NOTHING);
    assert_eq!(broken(&asked(70)), NOTHING);
    assert_eq!(broken(&asked(71)), [Rule::MonotonicReads]);
}

#[test]
fn monotonic_reads_a_server_that_has_forgotten_says_so_itself() {
    let kind = Kind::NotResumed {
        asked_at: 80,
        from: 4,
        sequence: 3,
    };
    assert_eq!(
        broken(&game_and([on(2, record("b", 90, kind))])),
        [Rule::MonotonicReads]
    );
}

#[test]
fn monotonic_reads_a_refusal_is_one_too() {
    let stands = |at| {
        game_and([
            sent("b", 80, "b2", 9, "black a7a6"),
            refused("b", 90, "b2", Refusal::Stale, Some(at)),
        ])
    };
    assert_eq!(broken(&stands(4)), NOTHING);
    assert_eq!(broken(&stands(3)), [Rule::MonotonicReads]);
}

#[test]
fn monotonic_reads_nobody_is_told_of_what_was_not_yet_sent() {
    let mut records = game();
    for one in &mut records {
        if matches!(&one.kind, Kind::Sent { command_id, .. } if command_id == "b1") {
            one.at = 49;
        }
    }
    assert_eq!(broken(&records), [Rule::MonotonicReads]);
}

#[test]
fn stale_refusal_the_game_may_have_stood_elsewhere() {
    // Sent for 4, where the game stands from 70 on at the latest and after 60 at the earliest.
    let refusal = |sent_at, at, said, more: &[Record]| {
        game_and(
            [
                sent("b", sent_at, "b2", 4, "black a7a6"),
                refused("b", at, "b2", Refusal::Stale, said),
            ]
            .into_iter()
            .chain(more.to_vec()),
        )
    };
    let last_look = [on(2, resumed("w", 100, 110, 4, 4))];
    // It still stood at 3 when this was sent, perhaps.
    assert_eq!(broken(&refusal(65, 80, None, &last_look)), NOTHING);
    // It stood at 4 from before it was sent until after it was answered.
    assert_eq!(broken(&refusal(75, 80, None, &last_look)), [Rule::StaleRefusal]);
    // Nobody has looked since: somebody's unanswered command may have come first.
    assert_eq!(broken(&refusal(75, 80, None, &[])), NOTHING);
    // It is said to stand where the command follows it.
    assert_eq!(broken(&refusal(65, 80, Some(4), &[])), [Rule::StaleRefusal]);
    // It is said to stand where it came only later.
    assert!(broken(&refusal(75, 80, Some(5), &last_look)).contains(&Rule::StaleRefusal));
    assert_eq!(broken(&refusal(65, 80, Some(3), &last_look)), NOTHING);
}

#[test]
fn stale_refusal_a_command_that_is_sent_later_cannot_have_come_first() {
    let with_next_sent = |at| {
        game_and([
            sent("b", 75, "b2", 4, "black a7a6"),
            refused("b", 80, "b2", Refusal::Stale, None),
            sent("b", at, "b3", 4, "black b7b6"),
            acknowledged("b", 95, "b3", 5),
        ])
    };
    assert_eq!(broken(&with_next_sent(79)), NOTHING);
    assert_eq!(broken(&with_next_sent(90)), [Rule::StaleRefusal]);
}

#[test]
fn stale_refusal_of_a_command_that_follows_anything_is_wrong() {
    let command_id = "b2".to_owned();
    let kind = Kind::Sent {
        command_id,
        expected_sequence: None,
        what: "black resigns".into(),
    };
    let records = game_and([
        record("b", 80, kind),
        refused("b", 90, "b2", Refusal::Stale, None),
    ]);
    assert_eq!(broken(&records), [Rule::StaleRefusal]);
}
