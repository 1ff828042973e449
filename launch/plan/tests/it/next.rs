//! What is due, and what is never done twice.

use tminus_plan::{Action, Fact, LaunchState, next_actions};

use crate::support::{
    START_MS, both_gates_passed, evidence, fold, gate_started, numbered, sign_off, started,
};

/// 12 plan hours.
const HALF_DAY_MS: u64 = 120_000;

fn run(item: &str, gate: &str, attempt: u32) -> Action {
    Action::RunGate {
        item: item.to_owned(),
        gate: gate.to_owned(),
        attempt,
    }
}

fn ask(item: &str, role: &str) -> Action {
    Action::AwaitSignOff {
        item: item.to_owned(),
        role: role.to_owned(),
    }
}

#[track_caller]
fn check(facts: Vec<Fact>, at_ms: u64, expect: &[Action]) {
    assert_eq!(next_actions(&fold(facts), START_MS + at_ms), expect);
}

fn signed() -> Vec<Fact> {
    let mut facts = both_gates_passed();
    facts.extend([sign_off("load", "qa", 5), sign_off("load", "sre", 6)]);
    facts
}

#[test]
fn gates_run_one_by_one_in_the_order_of_the_plan() {
    check(vec![started()], 0, &[run("load", "players", 1)]);
    check(both_gates_passed()[..3].to_vec(), 5, &[run("load", "journal", 1)]);
}

#[test]
fn a_gate_that_was_interrupted_runs_again_as_the_next_attempt() {
    let mut facts = vec![started(), gate_started("load", "players", 1)];
    check(facts.clone(), 0, &[run("load", "players", 2)]);
    for attempt in 2..=5 {
        facts.push(gate_started("load", "players", attempt));
    }
    // Five times is enough: something about this gate kills whoever runs it.
    check(facts, 0, &[run("load", "journal", 1)]);
}

#[test]
fn a_gate_with_evidence_never_runs_again_whether_it_passed_or_failed() {
    let mut facts = vec![
        started(),
        gate_started("load", "players", 1),
        evidence("load", "players", "load", 1, &[("p99_ms", 900.0)]),
    ];
    check(facts.clone(), 5, &[run("load", "journal", 1)]);
    facts.push(gate_started("load", "journal", 1));
    facts.push(Fact::GateCouldNotRun {
        item: "load".to_owned(),
        gate: "journal".to_owned(),
        attempt: 1,
        at_ms: START_MS,
        why: "no such program".to_owned(),
    });
    // Nobody is asked to sign what failed; the next window is waited for.
    check(facts, 5, &[Action::WaitUntil(START_MS + 2 * HALF_DAY_MS)]);
}

#[test]
fn people_are_asked_once_the_gates_have_passed() {
    let wait = Action::WaitUntil(START_MS + 2 * HALF_DAY_MS);
    check(
        both_gates_passed(),
        5,
        &[ask("load", "qa"), ask("load", "sre"), wait.clone()],
    );
    let mut one = both_gates_passed();
    one.push(sign_off("load", "sre", 5));
    check(one, 5, &[ask("load", "qa"), wait]);
}

#[test]
fn a_missing_signature_holds_up_no_gate() {
    check(
        both_gates_passed(),
        2 * HALF_DAY_MS,
        &[run("canary", "rollout", 1), ask("load", "qa"), ask("load", "sre")],
    );
}

#[test]
fn a_window_is_waited_for_and_opens_on_time() {
    check(signed(), 5, &[Action::WaitUntil(START_MS + 2 * HALF_DAY_MS)]);
    check(
        signed(),
        2 * HALF_DAY_MS - 1,
        &[Action::WaitUntil(START_MS + 2 * HALF_DAY_MS)],
    );
    check(signed(), 2 * HALF_DAY_MS, &[run("canary", "rollout", 1)]);
}

#[test]
fn a_gate_whose_window_has_closed_runs_late() {
    check(vec![started()], 100 * HALF_DAY_MS, &[run("load", "players", 1)]);
}

#[test]
fn a_launch_ends_when_nothing_is_due_or_when_its_time_is_over() {
    let mut facts = both_gates_passed();
    facts.push(gate_started("canary", "rollout", 1));
    facts.push(evidence(
        "canary",
        "rollout",
        "canary",
        1,
        &[("rolled_back", 0.0), ("final_weight_percent", 100.0)],
    ));
    let wait = Action::WaitUntil(START_MS + 4 * HALF_DAY_MS);
    check(
        facts.clone(),
        3 * HALF_DAY_MS,
        &[ask("load", "qa"), ask("load", "sre"), wait],
    );
    check(facts.clone(), 4 * HALF_DAY_MS, &[Action::Finish]);
    facts.extend([sign_off("load", "qa", 7), sign_off("load", "sre", 8)]);
    check(facts.clone(), 3 * HALF_DAY_MS, &[Action::Finish]);
    facts.push(Fact::LaunchFinished {
        at_ms: START_MS,
        ticked: 2,
        crossed: 0,
        not_checked: 1,
        feedback_url: None,
    });
    check(facts.clone(), 3 * HALF_DAY_MS, &[Action::IssueChecklist]);
    facts.push(Fact::ChecklistIssued {
        at_ms: START_MS,
        file_name: "c.pdf".to_owned(),
        sha256: "ab".to_owned(),
        bytes: 1,
    });
    check(facts, 3 * HALF_DAY_MS, &[]);
}

#[test]
fn a_gate_that_ran_late_leaves_time_to_sign() {
    let late = START_MS + 5 * HALF_DAY_MS;
    let mut facts = both_gates_passed();
    facts.push(gate_started("canary", "rollout", 1));
    facts.push(evidence(
        "canary",
        "rollout",
        "canary",
        1,
        &[("rolled_back", 0.0), ("final_weight_percent", 100.0)],
    ));
    for fact in &mut facts {
        if let Fact::Evidence(evidence) = fact {
            evidence.ended_at_ms = late;
        }
    }
    let four_hours = HALF_DAY_MS / 3;
    let wait = Action::WaitUntil(late + four_hours);
    check(
        facts.clone(),
        5 * HALF_DAY_MS,
        &[ask("load", "qa"), ask("load", "sre"), wait],
    );
    check(facts, 5 * HALF_DAY_MS + four_hours, &[Action::Finish]);
}

/// A launch whose every action is interrupted at any moment comes to the same end, and no gate
/// that has evidence runs twice.
#[test]
fn a_launch_that_is_interrupted_anywhere_comes_to_the_same_end() {
    for interrupt_every in 1..6 {
        let mut facts = vec![started()];
        let mut now = START_MS;
        let mut turns = 0;
        let mut ran = Vec::new();
        let state = loop {
            turns += 1;
            assert!(turns < 200, "no end in sight: {facts:?}");
            // Nothing survives from turn to turn but the facts: as after a crash.
            let state = LaunchState::fold(numbered(facts.clone())).unwrap();
            let Some(action) = next_actions(&state, now).into_iter().next() else {
                break state;
            };
            match action {
                Action::RunGate { item, gate, attempt } => {
                    facts.push(gate_started(&item, &gate, attempt));
                    if turns % interrupt_every == 0 && attempt < 3 {
                        continue;
                    }
                    let kind = state.gate(&item, &gate).unwrap().kind.clone();
                    let measured = [
                        ("p99_ms", 1.0),
                        ("exit_code", 0.0),
                        ("lost", 0.0),
                        ("rolled_back", 0.0),
                        ("final_weight_percent", 100.0),
                    ];
                    facts.push(evidence(&item, &gate, &kind, attempt, &measured));
                    ran.push(gate);
                }
                Action::AwaitSignOff { item, role } => facts.push(sign_off(&item, &role, 1)),
                Action::WaitUntil(until) => {
                    assert!(until > now);
                    now = until;
                }
                Action::Finish => {
                    let totals = state.totals();
                    facts.push(Fact::LaunchFinished {
                        at_ms: now,
                        ticked: totals.ticked,
                        crossed: totals.crossed,
                        not_checked: totals.not_checked,
                        feedback_url: None,
                    });
                }
                Action::IssueChecklist => facts.push(Fact::ChecklistIssued {
                    at_ms: now,
                    file_name: "c.pdf".to_owned(),
                    sha256: "ab".to_owned(),
                    bytes: 1,
                }),
            }
        };
        assert_eq!(ran, ["players", "journal", "rollout"]);
        assert_eq!((state.totals().ticked, state.totals().not_checked), (2, 1));
    }
}
