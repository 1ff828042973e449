//! Facts become statements and come back unchanged.

use serde_json::Value;
use tminus_plan::{
    Fact, FactError, MAX_SERIES_POINTS, RolloutVerdict, STATEMENT_TYPE, Subject, from_statement, thin_series,
    to_statement,
};

use crate::support::{evidence, gate_started, sign_off, started};

fn every_fact() -> Vec<Fact> {
    let text = str::to_owned;
    vec![
        started(),
        gate_started("load", "players", 1),
        evidence("load", "players", "load", 1, &[("p99_ms", 31.25), ("tiny", 1e-9)]),
        Fact::GateCouldNotRun {
            item: text("a"),
            gate: text("b"),
            attempt: 2,
            at_ms: 5,
            why: text("no gateway"),
        },
        Fact::RolloutStep {
            item: text("canary"),
            gate: text("rollout"),
            at_ms: 6,
            weight_percent: 30,
            reason: text("not worse"),
            verdict: RolloutVerdict::NotWorse,
        },
        sign_off("load", "qa", 3),
        Fact::Approval {
            item: text("canary"),
            gate: text("rollout"),
            approval: text("go-live"),
            role: text("sre"),
            at_ms: 7,
            statement: text("watched it"),
            record_root_hex: "ef".repeat(32),
            record_size: 6,
        },
        Fact::LaunchFinished {
            at_ms: 7,
            ticked: 5,
            crossed: 0,
            not_checked: 4,
            feedback_url: Some(text("https://launch.example.org/feedback/f1.k1.e30.AA")),
        },
        Fact::ChecklistIssued {
            at_ms: 8,
            file_name: text("checklist.pdf"),
            sha256: "cd".repeat(32),
            bytes: 9,
        },
    ]
}

#[test]
fn every_fact_survives_its_statement() {
    let subject = vec![Subject::sha256("starvault", &"ab".repeat(32))];
    for fact in every_fact() {
        let bytes = to_statement(&fact, &subject).unwrap();
        let (again, subject_again) = from_statement(&bytes).unwrap();
        assert_eq!(again, fact);
        assert_eq!(subject_again, subject);
        assert_eq!(
            to_statement(&again, &subject_again).unwrap(),
            bytes,
            "the same bytes again"
        );
    }
}

#[test]
fn the_end_of_a_launch_that_asks_nobody_reads_and_writes_as_it_always_did() {
    let before = r#"{"_type":"https://in-toto.io/Statement/v1","predicate":{"at_ms":7,"crossed":0,"not_checked":4,"ticked":5},"predicateType":"urn:tminus:launch-finished:v1","subject":[]}"#;
    let (fact, subject) = from_statement(before.as_bytes()).unwrap();
    let Fact::LaunchFinished { feedback_url, .. } = &fact else {
        panic!("{fact:?}")
    };
    assert_eq!(feedback_url, &None);
    assert_eq!(
        String::from_utf8(to_statement(&fact, &subject).unwrap()).unwrap(),
        before
    );
}

#[test]
fn a_statement_is_what_in_toto_says_it_is() {
    let bytes = to_statement(
        &gate_started("load", "players", 1),
        &[Subject::sha256("starvault", "ab")],
    )
    .unwrap();
    assert_eq!(
        String::from_utf8(bytes).unwrap(),
        format!(
            r#"{{"_type":"{STATEMENT_TYPE}","predicate":{{"at_ms":1795348800001,"attempt":1,"gate":"players","item":"load"}},"predicateType":"urn:tminus:gate-started:v1","subject":[{{"digest":{{"sha256":"ab"}},"name":"starvault"}}]}}"#
        )
    );
}

#[test]
fn what_is_no_fact_is_named() {
    let good = to_statement(&gate_started("load", "players", 1), &[]).unwrap();
    let change = |pointer: &str, value: Value| {
        let mut statement: Value = serde_json::from_slice(&good).unwrap();
        *statement.pointer_mut(pointer).unwrap() = value;
        from_statement(&serde_json::to_vec(&statement).unwrap()).unwrap_err()
    };
    let unknown = change("/predicateType", "urn:tminus:gate-painted:v1".into());
    assert!(matches!(&unknown, FactError::UnknownFact { .. }));
    assert!(
        unknown.to_string().contains("gate-painted") && unknown.to_string().contains("gate-started"),
        "{unknown}"
    );
    assert!(matches!(
        change("/predicateType", "urn:tminus:gate-started:v2".into()),
        FactError::UnknownFact { .. }
    ));
    assert!(matches!(
        change("/_type", "https://in-toto.io/Statement/v0.1".into()),
        FactError::StatementType { .. }
    ));
    assert!(matches!(
        change("/predicate/attempt", "one".into()),
        FactError::Predicate { .. }
    ));
    assert!(matches!(
        change("/predicate", Value::Null),
        FactError::Predicate { .. }
    ));
    assert!(matches!(
        from_statement(b"{"),
        Err(FactError::NotAStatement { .. })
    ));
    assert!(matches!(
        from_statement(b""),
        Err(FactError::NotAStatement { .. })
    ));
}

#[test]
fn a_number_that_json_would_swallow_is_refused() {
    for value in [f64::NAN, f64::INFINITY] {
        let error = to_statement(&evidence("a", "b", "load", 1, &[("p99_ms", value)]), &[]).unwrap_err();
        assert!(matches!(&error, FactError::NotFinite { .. }), "{error}");
        assert!(error.to_string().contains("p99_ms"), "{error}");
    }
}

#[test]
fn a_long_series_is_thinned_and_an_unthinned_one_refused() {
    let points: Vec<(f64, f64)> = (0..5000).map(|second| (f64::from(second), 1.0)).collect();
    let thinned = thin_series(&points);
    assert_eq!(thinned.len(), MAX_SERIES_POINTS);
    assert_eq!((thinned[0].0, thinned[MAX_SERIES_POINTS - 1].0), (0.0, 4999.0));
    assert!(thinned.windows(2).all(|pair| pair[0].0 < pair[1].0));

    let Fact::Evidence(mut long) = evidence("a", "b", "load", 1, &[]) else {
        unreachable!()
    };
    long.series.insert("p99_ms".to_owned(), points);
    assert!(matches!(
        to_statement(&Fact::Evidence(long), &[]),
        Err(FactError::SeriesTooLong { points: 5000, .. })
    ));
}
