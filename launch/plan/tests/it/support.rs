//! A small plan, and the facts of its launch.

use std::collections::BTreeMap;

use tminus_plan::{Evidence, Fact, LaunchState, Measurement, Plan};

/// One hour of plan is ten seconds here.
pub const SCALE: f64 = 360.0;
pub const START_MS: u64 = 1_795_348_800_000;

pub const SMALL: &str = r#"name: Small
version: v1
items:
  - id: load
    number: 1
    title: { zh: 压测, en: Load }
    window: { from_h: 0, to_h: 12 }
    owner: sre
    criterion: { zh: P99 达标, en: P99 holds }
    gates:
      - id: players
        kind: load
        protocol: starvault
        target: ${gateway}
        players: ${players}
        duration_s: 60
        rehearsal: { duration_s: 5 }
        expect:
          - p99_ms <= 200
      - id: journal
        kind: command
        argv: [starvault, journal, check]
        json_measurements: true
        expect: [lost == 0]
    sign_offs: [qa, sre]
  - id: contract
    number: 2
    title: { zh: 契约, en: Contract }
    window: { from_h: 12, to_h: 24 }
    owner: qa
    criterion: { zh: 无破坏, en: Nothing broken }
    gates:
      - { id: diff, kind: contract }
  - id: canary
    number: 3
    title: { zh: 灰度, en: Canary }
    window: { from_h: 24, to_h: 48 }
    owner: sre
    criterion: { zh: 不劣, en: Not worse }
    gates:
      - id: rollout
        kind: canary
        gateway_admin: ${gateway_admin}
        stable: stable
        canary: canary
        steps: [0, 5, 30, 70, 100]
        min_requests: 50
        hold_s: 10
        slow_ms: 250
"#;

pub fn small() -> Plan {
    Plan::parse(SMALL, "small.yaml").unwrap()
}

pub fn started() -> Fact {
    Fact::LaunchStarted {
        launch_id: "l-1".to_owned(),
        at_ms: START_MS,
        plan_sha256: "00".repeat(32),
        plan_yaml: SMALL.to_owned(),
        plan_file: "small.yaml".to_owned(),
        plan_commit: None,
        rehearsal: true,
        clock_scale: SCALE,
        artifacts: Vec::new(),
        role_keys: BTreeMap::new(),
    }
}

pub fn gate_started(item: &str, gate: &str, attempt: u32) -> Fact {
    Fact::GateStarted {
        item: item.to_owned(),
        gate: gate.to_owned(),
        attempt,
        at_ms: START_MS + 1,
    }
}

pub fn evidence(item: &str, gate: &str, kind: &str, attempt: u32, measured: &[(&str, f64)]) -> Fact {
    Fact::Evidence(Evidence {
        item: item.to_owned(),
        gate: gate.to_owned(),
        kind: kind.to_owned(),
        attempt,
        started_at_ms: START_MS + 1,
        ended_at_ms: START_MS + 2,
        target: "http://127.0.0.1:1".to_owned(),
        command: vec!["probe".to_owned()],
        inputs: BTreeMap::from([("seed".to_owned(), "7".to_owned())]),
        measurements: measured
            .iter()
            .map(|(name, value)| ((*name).to_owned(), Measurement::new(*value, "ms")))
            .collect(),
        notes: vec!["a note".to_owned()],
        series: BTreeMap::from([("p99_ms".to_owned(), vec![(0.0, 1.5), (1.0, 2.0)])]),
    })
}

pub fn sign_off(item: &str, role: &str, record_size: u64) -> Fact {
    Fact::SignOff {
        item: item.to_owned(),
        role: role.to_owned(),
        at_ms: START_MS + 3,
        statement: "I have read it".to_owned(),
        record_root_hex: "ab".repeat(32),
        record_size,
    }
}

/// The facts with the indexes that a record would give them.
pub fn numbered(facts: Vec<Fact>) -> Vec<(u64, Fact)> {
    facts
        .into_iter()
        .enumerate()
        .map(|(index, fact)| (index as u64, fact))
        .collect()
}

pub fn fold(facts: Vec<Fact>) -> LaunchState {
    LaunchState::fold(numbered(facts)).unwrap()
}

/// Item 1 with both gates passed.
pub fn both_gates_passed() -> Vec<Fact> {
    vec![
        started(),
        gate_started("load", "players", 1),
        evidence("load", "players", "load", 1, &[("p99_ms", 31.0)]),
        gate_started("load", "journal", 1),
        evidence(
            "load",
            "journal",
            "command",
            1,
            &[("exit_code", 0.0), ("lost", 0.0)],
        ),
    ]
}
