//! The state of a launch from its facts; entries that contradict the others are named.

use tminus_plan::{AttemptEnd, Fact, ItemStatus, LaunchState, RolloutVerdict, Verdict};

use crate::support::{
    SMALL, START_MS, both_gates_passed, evidence, fold, gate_started, numbered, sign_off, started,
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
        feedback_url: None,
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
        plan_commit: None,
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

/// The launch of a plan whose canary waits for an approval before 100 %, at 30 %.
fn at_30_percent() -> Vec<Fact> {
    let mut first = started();
    let Fact::LaunchStarted { plan_yaml, .. } = &mut first else {
        unreachable!()
    };
    *plan_yaml = SMALL
        .replace(
            "steps: [0, 5, 30, 70, 100]",
            "steps: [0, 30, { weight: 100, approval: go-live }]",
        )
        .replace("en: Not worse }\n", "en: Not worse }\n    sign_offs: [sre]\n");
    vec![
        first,
        gate_started("canary", "rollout", 1),
        step(0, RolloutVerdict::Started),
        step(30, RolloutVerdict::NotWorse),
    ]
}

fn step(weight_percent: u32, verdict: RolloutVerdict) -> Fact {
    Fact::RolloutStep {
        item: "canary".to_owned(),
        gate: "rollout".to_owned(),
        at_ms: START_MS,
        weight_percent,
        reason: "seen".to_owned(),
        verdict,
    }
}

fn approval(name: &str, role: &str, record_size: u64) -> Fact {
    Fact::Approval {
        item: "canary".to_owned(),
        gate: "rollout".to_owned(),
        approval: name.to_owned(),
        role: role.to_owned(),
        at_ms: START_MS + 4,
        statement: "watched it".to_owned(),
        record_root_hex: "ab".repeat(32),
        record_size,
    }
}

#[test]
fn an_approval_is_given_by_a_signer_of_the_item_who_saw_the_step_before() {
    let given = |fact| with(at_30_percent(), [fact]);
    let state = fold(given(approval("go-live", "sre", 4)));
    let approvals = &state.gate("canary", "rollout").unwrap().approvals;
    assert_eq!(approvals.len(), 1);
    assert_eq!(
        (approvals[0].role.as_str(), approvals[0].signed.entry),
        ("sre", 4)
    );
    // It is of the attempt: the next one has to be looked at anew.
    let again = with(
        given(approval("go-live", "sre", 4)),
        [gate_started("canary", "rollout", 2)],
    );
    assert!(
        fold(again)
            .gate("canary", "rollout")
            .unwrap()
            .approvals
            .is_empty()
    );

    refused(
        given(approval("go-live", "qa", 4)),
        4,
        "`qa` signs nothing of item `canary`",
    );
    refused(
        given(approval("go-home", "sre", 4)),
        4,
        "no step of it waits for such an approval",
    );
    refused(
        given(approval("go-live", "sre", 3)),
        4,
        "before the step before it was reached (entry 3)",
    );
    refused(given(approval("go-live", "sre", 9)), 4, "there were 4");
    let twice = with(
        given(approval("go-live", "sre", 4)),
        [approval("go-live", "sre", 5)],
    );
    refused(twice, 5, "`sre` has given it in entry 4");
}

#[test]
fn nothing_is_approved_ahead_of_the_canary_or_after_it() {
    let ahead = with(at_30_percent()[..3].to_vec(), [approval("go-live", "sre", 3)]);
    refused(ahead, 3, "100 % comes after 30 %, where the canary is not");
    let taken_back = with(
        at_30_percent(),
        [step(0, RolloutVerdict::Worse), approval("go-live", "sre", 5)],
    );
    refused(taken_back, 5, "where the canary is not");
    let idle = with(at_30_percent()[..1].to_vec(), [approval("go-live", "sre", 1)]);
    refused(idle, 1, "the gate is not running");
}
