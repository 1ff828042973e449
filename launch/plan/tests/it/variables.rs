//! `${name}`: replaced everywhere, unknown nowhere, read only once.

use tminus_plan::{Count, GateKind, Plan, Variables, variables_in};

use crate::shipped::STARVAULT;
use crate::support::{SMALL, small};

fn variables(pairs: &[(&str, &str)]) -> Variables {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

#[test]
fn a_gate_is_resolved_with_its_rehearsal_sizes() {
    let known = variables(&[("gateway", "http://127.0.0.1:9"), ("players", "400")]);
    for (rehearsal, seconds) in [(false, 60.0), (true, 5.0)] {
        let GateKind::Load(load) = small()
            .resolve_gate("load", "players", rehearsal, &known)
            .unwrap()
        else {
            panic!()
        };
        assert_eq!(load.traffic.target, "http://127.0.0.1:9");
        assert_eq!(load.traffic.players, Count::Number(400));
        assert_eq!(load.duration_s, seconds);
    }
}

#[test]
fn an_unknown_variable_is_told_with_its_line_and_the_known_names() {
    let error = small()
        .resolve_gate(
            "load",
            "players",
            true,
            &variables(&[("players", "4"), ("port", "1")]),
        )
        .unwrap_err();
    let line = SMALL
        .lines()
        .position(|line| line.contains("${gateway}"))
        .unwrap()
        + 1;
    assert_eq!(error.line as usize, line);
    assert!(error.what.contains("${gateway}"), "{error}");
    assert!(error.expected.contains("players, port"), "{error}");
    let error = small().check_variables(["gateway", "players"]).unwrap_err();
    assert!(error.what.contains("${gateway_admin}"), "{error}");
    small()
        .check_variables(["gateway", "players", "gateway_admin"])
        .unwrap();
}

#[test]
fn a_variable_that_is_no_number_cannot_count_players() {
    let known = variables(&[("gateway", "x"), ("players", "a few")]);
    let error = small().resolve_gate("load", "players", true, &known).unwrap_err();
    assert!(
        error.what.contains("a few") && error.expected.contains("whole number"),
        "{error}"
    );
}

#[test]
fn a_value_is_never_read_for_variables_again() {
    let known = variables(&[("gateway", "${players}"), ("players", "4")]);
    let GateKind::Load(load) = small().resolve_gate("load", "players", true, &known).unwrap() else {
        panic!()
    };
    assert_eq!(load.traffic.target, "${players}");
}

#[test]
fn nothing_of_a_resolved_plan_holds_a_variable() {
    let plan = Plan::parse(STARVAULT, "plans/starvault.yaml").unwrap();
    let names = [
        "gateway",
        "gateway_admin",
        "gateway_config",
        "stable",
        "canary",
        "starvault",
        "tminus",
        "store",
        "acknowledged",
        "artifact.starvault.sha256",
        "seed",
        "players",
    ];
    plan.check_variables(names).unwrap();
    let known: Variables = names
        .iter()
        .map(|name| ((*name).to_owned(), "7".to_owned()))
        .collect();
    for item in &plan.items {
        for gate in &item.gates {
            for rehearsal in [false, true] {
                let kind = plan.resolve_gate(&item.id, &gate.id, rehearsal, &known).unwrap();
                let text = serde_json::to_string(&kind).unwrap();
                assert!(!text.contains("${"), "{}/{}: {text}", item.id, gate.id);
            }
        }
    }
    assert_eq!(plan.resolve_artifact(&plan.artifacts[0], &known).unwrap(), "7");
}

#[test]
fn names_are_found_in_their_order() {
    assert_eq!(variables_in("${a}/x/${b.c-d_1}").unwrap(), ["a", "b.c-d_1"]);
    assert!(variables_in("${a").is_err());
    assert!(variables_in("${a b}").is_err());
    assert_eq!(variables_in("$a {b} $").unwrap(), Vec::<&str>::new());
}
