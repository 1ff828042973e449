//! No tick without proof: what passes, what fails, and what nobody knows.

use tminus_plan::{Evidence, Expectation, Fact, Gate, Op, Verdict, judge};

use crate::support::{evidence, small};

fn of(fact: Fact) -> Evidence {
    match fact {
        Fact::Evidence(evidence) => evidence,
        other => panic!("{other:?}"),
    }
}

fn load_gate() -> Gate {
    small().gate("load", "players").unwrap().clone()
}

fn check(measured: &[(&str, f64)], expect: &Verdict) {
    assert_eq!(
        &judge(
            &load_gate(),
            Some(&of(evidence("load", "players", "load", 1, measured)))
        ),
        expect
    );
}

#[test]
fn the_limit_itself_still_passes() {
    check(&[("p99_ms", 200.0)], &Verdict::Passed);
    check(&[("p99_ms", 12.0), ("other", 9e9)], &Verdict::Passed);
}

#[test]
fn a_broken_expectation_is_told_with_its_number() {
    let reasons = vec!["p99_ms is 200.5 ms, expected p99_ms <= 200".to_owned()];
    check(&[("p99_ms", 200.5)], &Verdict::Failed { reasons });
}

#[test]
fn what_was_not_measured_is_not_checked() {
    check(
        &[],
        &Verdict::NotChecked {
            why: "not measured: `p99_ms`".to_owned(),
        },
    );
    check(
        &[("p99_ms", f64::NAN)],
        &Verdict::NotChecked {
            why: "not measured: `p99_ms`".to_owned(),
        },
    );
    assert!(matches!(judge(&load_gate(), None), Verdict::NotChecked { .. }));
}

#[test]
fn a_broken_expectation_outweighs_a_missing_measurement() {
    let mut gate = load_gate();
    gate.expect
        .push(Expectation::parse("error_rate <= 0.001").unwrap());
    let verdict = judge(
        &gate,
        Some(&of(evidence("load", "players", "load", 1, &[("p99_ms", 999.0)]))),
    );
    assert!(matches!(verdict, Verdict::Failed { .. }));
}

#[test]
fn evidence_of_another_gate_proves_nothing() {
    let other = of(evidence("load", "journal", "load", 1, &[("p99_ms", 1.0)]));
    assert!(matches!(
        judge(&load_gate(), Some(&other)),
        Verdict::NotChecked { .. }
    ));
    let other_kind = of(evidence("load", "players", "http", 1, &[("p99_ms", 1.0)]));
    assert!(matches!(
        judge(&load_gate(), Some(&other_kind)),
        Verdict::NotChecked { .. }
    ));
}

#[test]
fn a_kind_to_come_never_passes() {
    let plan = small();
    let gate = plan.gate("contract", "diff").unwrap();
    let perfect = of(evidence("contract", "diff", "contract", 1, &[("breaking", 0.0)]));
    assert!(matches!(judge(gate, Some(&perfect)), Verdict::NotChecked { .. }));
}

#[test]
fn a_kind_holds_its_gate_to_more_than_the_plan_writes() {
    let plan = small();
    let command = plan.gate("load", "journal").unwrap();
    let exited_1 = of(evidence(
        "load",
        "journal",
        "command",
        1,
        &[("exit_code", 1.0), ("lost", 0.0)],
    ));
    assert!(matches!(judge(command, Some(&exited_1)), Verdict::Failed { .. }));

    let canary = plan.gate("canary", "rollout").unwrap();
    let back = of(evidence(
        "canary",
        "rollout",
        "canary",
        1,
        &[("rolled_back", 1.0), ("final_weight_percent", 0.0)],
    ));
    assert!(matches!(judge(canary, Some(&back)), Verdict::Failed { .. }));
}

#[test]
fn every_comparison_means_what_it_says() {
    for (source, below, at, above) in [
        ("x == 2", false, true, false),
        ("x != 2", true, false, true),
        ("x <= 2", true, true, false),
        ("x >= 2", false, true, true),
        ("x < 2", true, false, false),
        ("x > 2", false, false, true),
    ] {
        let expectation = Expectation::parse(source).unwrap();
        let holds = |value| expectation.op.holds(value, expectation.number);
        assert_eq!(
            (holds(1.0), holds(2.0), holds(3.0)),
            (below, at, above),
            "{source}"
        );
        assert!(!holds(f64::NAN), "{source}");
    }
}

#[test]
fn an_expectation_reads_with_any_white_space() {
    let expected = Expectation {
        source: "error_rate<=1e-3".to_owned(),
        ..Expectation::new("error_rate", Op::AtMost, 0.001)
    };
    assert_eq!(Expectation::parse("  error_rate<=1e-3 ").unwrap(), expected);
    assert_eq!(Expectation::parse("x >= -2.5").unwrap().number, -2.5);
    for wrong in [
        "",
        "<= 3",
        "x",
        "x <=",
        "x <= 3 ms",
        "x <= inf",
        "x <= nan",
        "x == y",
        "X <= 3",
        "1x <= 3",
        "x => 3",
    ] {
        assert!(Expectation::parse(wrong).is_err(), "{wrong}");
    }
}
