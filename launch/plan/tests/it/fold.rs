//! The state of a launch from its facts; entries that contradict the others are named.

use tminus_plan::{AttemptEnd, Fact, ItemStatus, LaunchState, RolloutVerdict, Verdict};

use crate::support::{
    START_MS, both_gates_passed, evidence, fold, gate_started, numbered, sign_off, started,
};

fn status(facts: Vec<Fact>, item: &str) -> (ItemStatus, Vec<String>) {
    let state = fold(facts);
    let item = state.item(item).unwrap();
    (item.status, item.reasons.clone())
}

fn with(mut facts: Vec<Fact>, more: impl IntoIterator<Item = Fact>) -> Vec<Fact> {
    facts.extend(more);
    facts
}

#[track_caller]
fn refused(facts: Vec<Fact>, index: u64, says: &str) {
    let error = LaunchState::fold(numbered(facts)).unwrap_err();
    assert_eq!(error.index, index, "{error}");
    assert!(error.what.contains(says), "{error}");
}

#[test]
fn a_fresh_launch_has_checked_nothing() {
    let state = fold(vec![started()]);
    let totals = state.totals();
    assert_eq!((totals.ticked, totals.crossed, totals.not_checked), (0, 0, 3));
    assert!(state.items.iter().all(|item| !item.reasons.is_empty()));
}

#[test]
fn an_item_is_ticked_when_all_gates_passed_and_all_roles_signed() {
    let gates = both_gates_passed();
    let (before, reasons) = status(gates.clone(), "load");
    assert_eq!(before, ItemStatus::NotChecked);
    assert_eq!(reasons, ["no sign-off by qa", "no sign-off by sre"]);
    let signed = with(gates, [sign_off("load", "qa", 5), sign_off("load", "sre", 6)]);
    assert_eq!(status(signed.clone(), "load"), (ItemStatus::Ticked, vec![]));
    let state = fold(signed);
    assert_eq!(state.gate("load", "players").unwrap().evidence_entry(), Some(2));
    assert_eq!(
        state.item("load").unwrap().sign_offs[1]
            .signed
            .as_ref()
            .unwrap()
            .entry,
        6
    );
}

#[test]
fn one_failed_gate_crosses_an_item_whatever_is_signed() {
    let facts = vec![
        started(),
        gate_started("load", "players", 1),
        evidence("load", "players", "load", 1, &[("p99_ms", 500.0)]),
        gate_started("load", "journal", 1),
        evidence(
            "load",
            "journal",
            "command",
            1,
            &[("exit_code", 0.0), ("lost", 0.0)],
        ),
        sign_off("load", "qa", 5),
        sign_off("load", "sre", 6),
    ];
    let (status, reasons) = status(facts, "load");
    assert_eq!(status, ItemStatus::Crossed);
    assert_eq!(reasons, ["players: p99_ms is 500 ms, expected p99_ms <= 200"]);
}

#[test]
fn a_gate_that_could_not_run_is_not_checked() {
    let facts = vec![
        started(),
        gate_started("load", "players", 1),
        Fact::GateCouldNotRun {
            item: "load".to_owned(),
            gate: "players".to_owned(),
            attempt: 1,
            at_ms: START_MS + 2,
            why: "the gateway refused the connection".to_owned(),
        },
    ];
    let (status, reasons) = status(facts, "load");
    assert_eq!(status, ItemStatus::NotChecked);
    assert!(reasons[0].contains("refused the connection"), "{reasons:?}");
}

#[test]
fn a_new_attempt_takes_the_old_verdict_back() {
    let facts = with(
        both_gates_passed(),
        [sign_off("load", "qa", 5), sign_off("load", "sre", 6)],
    );
    let again = with(facts, [gate_started("load", "players", 2)]);
    let state = fold(again.clone());
    assert_eq!(state.item("load").unwrap().status, ItemStatus::NotChecked);
    let failed = with(
        again,
        [evidence("load", "players", "load", 2, &[("p99_ms", 201.0)])],
    );
    assert_eq!(status(failed, "load").0, ItemStatus::Crossed);
}

#[test]
fn a_late_end_of_an_older_attempt_does_not_decide() {
    // Attempt 1 was given up for dead, attempt 2 failed; then the end of attempt 1 turns up.
    let facts = vec![
        started(),
        gate_started("load", "players", 1),
        gate_started("load", "players", 2),
        evidence("load", "players", "load", 2, &[("p99_ms", 999.0)]),
        evidence("load", "players", "load", 1, &[("p99_ms", 1.0)]),
    ];
    let state = fold(facts);
    let gate = state.gate("load", "players").unwrap();
    assert!(matches!(gate.verdict, Verdict::Failed { .. }));
    assert!(
        gate.attempts
            .iter()
            .all(|attempt| matches!(attempt.end, AttemptEnd::Evidence { .. }))
    );
}

#[test]
fn rollout_steps_belong_to_the_attempt_that_runs() {
    let step = |weight_percent| Fact::RolloutStep {
        item: "canary".to_owned(),
        gate: "rollout".to_owned(),
        at_ms: START_MS,
        weight_percent,
        reason: "not worse".to_owned(),
        verdict: RolloutVerdict::NotWorse,
    };
    let facts = vec![
        started(),
        gate_started("canary", "rollout", 1),
        step(5),
        step(30),
        gate_started("canary", "rollout", 2),
        step(5),
    ];
    let state = fold(facts);
    let weights: Vec<u32> = state
        .gate("canary", "rollout")
        .unwrap()
        .rollout
        .iter()
        .map(|step| step.weight_percent)
        .collect();
    assert_eq!(weights, [5]);
    refused(vec![started(), step(5)], 1, "not running");
}

#[test]
fn contradictions_name_their_entry() {
    let passed = both_gates_passed();
    refused(vec![], 0, "empty");
    refused(vec![gate_started("load", "players", 1)], 0, "launch-started");
    refused(vec![started(), started()], 1, "only once");
    refused(
        vec![started(), gate_started("nowhere", "players", 1)],
        1,
        "no item `nowhere`",
    );
    refused(
        vec![started(), gate_started("load", "nothing", 1)],
        1,
        "no gate `nothing`",
    );
    refused(
        vec![started(), gate_started("load", "players", 2)],
        1,
        "attempt 1 is next",
    );
    refused(
        vec![started(), evidence("load", "players", "load", 1, &[])],
        1,
        "never started",
    );
    refused(
        with(passed.clone(), [evidence("load", "players", "load", 1, &[])]),
        5,
        "already ended in entry 2",
    );
    refused(
        vec![
            started(),
            gate_started("load", "players", 1),
            evidence("load", "players", "http", 1, &[]),
        ],
        2,
        "of kind `load`",
    );
    refused(
        vec![started(), sign_off("load", "ceo", 1)],
        1,
        "no sign-off by `ceo`",
    );
    refused(
        with(
            passed.clone(),
            [sign_off("load", "qa", 5), sign_off("load", "qa", 6)],
        ),
        6,
        "already signed",
    );
    refused(vec![started(), sign_off("load", "qa", 9)], 1, "there were 1");
    let finished = |ticked| Fact::LaunchFinished {
        at_ms: START_MS + 9,
        ticked,
        crossed: 0,
        not_checked: 3 - ticked,
    };
    refused(
        with(passed.clone(), [finished(1)]),
        5,
        "the entries before it give 0, 0, 3",
    );
    refused(
        with(passed.clone(), [finished(0), gate_started("load", "players", 2)]),
        6,
        "after the launch was finished",
    );
    let issued = Fact::ChecklistIssued {
        at_ms: START_MS + 10,
        file_name: "c.pdf".to_owned(),
        sha256: "ab".to_owned(),
        bytes: 1,
    };
    refused(
        with(passed.clone(), [issued.clone()]),
        5,
        "before the launch was finished",
    );
    refused(
        with(passed, [finished(0), issued.clone(), issued]),
        7,
        "after the checklist",
    );
}

#[test]
fn a_recorded_plan_that_does_not_read_is_told_with_its_place() {
    let Fact::LaunchStarted {
        launch_id,
        at_ms,
        plan_sha256,
        plan_file,
        rehearsal,
        clock_scale,
        artifacts,
        role_keys,
        ..
    } = started()
    else {
        unreachable!()
    };
    let broken = Fact::LaunchStarted {
        launch_id,
        at_ms,
        plan_sha256,
        plan_yaml: "name: x\noops: y\n".to_owned(),
        plan_file,
        rehearsal,
        clock_scale,
        artifacts,
        role_keys,
    };
    refused(vec![broken], 0, "small.yaml:2:1: unknown field `oops`");
}

#[test]
fn applying_one_by_one_is_folding() {
    let facts = numbered(with(both_gates_passed(), [sign_off("load", "qa", 5)]));
    let whole = LaunchState::fold(facts.clone()).unwrap();
    let mut step_by_step = LaunchState::fold(facts[..1].to_vec()).unwrap();
    for (index, fact) in &facts[1..] {
        step_by_step.apply(*index, fact).unwrap();
    }
    assert_eq!(step_by_step, whole);
    let before = step_by_step.clone();
    step_by_step.apply(6, &started()).unwrap_err();
    assert_eq!(step_by_step, before, "a refused entry changes nothing");
}
