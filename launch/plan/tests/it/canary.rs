//! What a canary's plan says, decisions in tables, and the sentences that tell them.

use std::collections::BTreeMap;

use tminus_plan::{
    CanarySpec, Counts, Decision, Freeze, GateKind, Look, Outcomes, Plan, Rollout, RolloutVerdict, Step,
};

const PLAN: &str = r#"name: Shop
version: v2
timezone: Asia/Shanghai
items:
  - id: canary
    number: 1
    title: { zh: 金丝雀, en: Canary }
    window: { from_h: 0, to_h: 24 }
    owner: sre
    criterion: { zh: 推进, en: Rolled out }
    sign_offs: [sre]
    gates:
      - id: rollout
        kind: canary
        gateway_admin: http://127.0.0.1:9
        stable: stable
        canary: canary
        steps: [0, { weight: 30, hold_s: 120 }, { weight: 100, hold_s: 60, approval: go-live }]
        min_requests: 10
        hold_s: 60
        budgets: { step_s: 600 }
"#;

fn spec(more: &str) -> CanarySpec {
    let indented: String = more.lines().map(|line| format!("        {line}\n")).collect();
    let plan = Plan::parse(&format!("{PLAN}{indented}"), "shop.yaml").unwrap();
    match &plan.gate("canary", "rollout").unwrap().kind {
        GateKind::Canary(spec) => CanarySpec::clone(spec),
        other => panic!("{other:?}"),
    }
}

/// A rollout that is fed figures by hand; a look each second.
struct Fed {
    rollout: Rollout,
    look: Look,
}

impl Fed {
    fn new(spec: &CanarySpec) -> Self {
        let mut fed = Self {
            rollout: Rollout::new(spec),
            look: Look::default(),
        };
        fed.rollout.next(&fed.look);
        fed
    }

    /// So many seconds, each of which brings both sides the same again.
    fn pass(&mut self, seconds: u64, stable: &Counts, canary: &Counts) -> Decision {
        let mut last = None;
        for _ in 0..seconds {
            self.look.at_ms += 1000;
            self.look.stable += stable;
            self.look.canary += canary;
            last = Some(self.rollout.next(&self.look));
            if self.rollout.is_over() {
                break;
            }
        }
        last.unwrap()
    }
}

fn answers(requests: u64, errors: u64) -> Counts {
    Counts {
        requests,
        errors,
        ..Counts::default()
    }
}

/// Answers that took so long, among these bounds: 100 ms and each a tenth more.
fn latencies(of: &[(usize, u64)]) -> Counts {
    let mut counts = Counts {
        latency_us: [100_000, 110_000, 121_000, 133_100, 146_410, 161_051]
            .map(|upper| (upper, 0))
            .to_vec(),
        ..Counts::default()
    };
    for (bucket, count) in of {
        counts.latency_us[*bucket].1 += count;
        counts.requests += count;
    }
    counts
}

fn outcomes(mut counts: Counts, name: &str, bad: u64, total: u64) -> Counts {
    counts.business.insert(name.to_owned(), Outcomes { bad, total });
    counts
}

#[test]
fn a_plan_that_says_nothing_of_margins_and_metrics_has_the_documented_ones() {
    let spec = spec("");
    assert_eq!(spec.slow_ms, None);
    assert_eq!(spec.quantiles, [0.5, 0.95, 0.99]);
    assert_eq!(
        (spec.margins.rate, spec.margins.rate_points, spec.margins.latency),
        (0.1, 0.0002, 0.1)
    );
    assert_eq!((spec.alpha, spec.business.len(), spec.freeze.len()), (0.01, 0, 0));
    assert_eq!(spec.steps, [0, 30, 100]);
    assert_eq!(
        (spec.at[&30].hold_s, &spec.at[&30].approval),
        (Some(120.0), &None)
    );
    assert_eq!(spec.at[&100].approval.as_deref(), Some("go-live"));
}

#[test]
fn a_plan_may_name_everything() {
    let spec = spec(
        "slow_ms: 250\nquantiles: [95, 99.9]\nmargins: { rate_percent: 20, rate_points: 0.1, latency_percent: 25 }\n\
         business: [reconnects, { name: aborts, margin_percent: 5, margin_points: 1, min_total: 40 }]\n\
         alpha_parts: { errors: 2, p99_9: 3, aborts: 4 }\nfreeze: [{ days: [fri, sat], from: \"22:00\", to: \"08:30\" }]",
    );
    assert_eq!((spec.slow_ms, spec.quantiles.len()), (Some(250), 2));
    assert_eq!(
        (spec.margins.rate, spec.margins.rate_points, spec.margins.latency),
        (0.2, 0.001, 0.25)
    );
    let business: Vec<_> = spec
        .business
        .iter()
        .map(|b| (b.name.as_str(), b.margin, b.margin_points, b.min_total))
        .collect();
    assert_eq!(
        business,
        [("reconnects", 0.2, 0.001, 1), ("aborts", 0.05, 0.01, 40)]
    );
    assert_eq!(
        spec.alpha_parts,
        BTreeMap::from([
            ("errors".to_owned(), 2.0),
            ("p99_9".to_owned(), 3.0),
            ("aborts".to_owned(), 4.0)
        ])
    );
    let freeze = Freeze {
        days: vec![4, 5],
        from_minute: 22 * 60,
        to_minute: 8 * 60 + 30,
    };
    assert_eq!(spec.freeze, [freeze]);
}

#[test]
fn the_parts_of_alpha_add_up_to_one() {
    for (more, first) in [
        ("", 0.9),
        ("slow_ms: 250\nbusiness: [aborts]", 0.9),
        ("quantiles: []", 1.0),
        ("quantiles: [99]\nalpha_parts: { errors: 1, p99: 3 }", 0.25),
    ] {
        let comparison = tminus_plan::comparison::Comparison::new(&spec(more));
        let parts: Vec<f64> = comparison.metrics().iter().map(|metric| metric.part).collect();
        assert!(
            (parts.iter().sum::<f64>() - 1.0).abs() < 1e-12,
            "{more}: {parts:?}"
        );
        assert!((parts[0] - first).abs() < 1e-12, "{more}: {parts:?}");
    }
}

#[test]
fn steps_are_held_as_long_as_each_says_and_wait_for_their_approval() {
    let mut fed = Fed::new(&spec(""));
    let (stable, canary) = (answers(70, 0), answers(30, 0));
    let baseline = fed.pass(60, &stable, &Counts::default());
    assert_eq!(baseline.step, Step::SetWeight(30), "{}", baseline.reason);
    let held = fed.pass(119, &stable, &canary);
    assert!(held.reason.starts_with("119 of 120 s at 30 %"), "{}", held.reason);
    // Long beyond the step's budget: what is waited for is a person, not evidence.
    let waiting = fed.pass(1000, &stable, &canary);
    assert_eq!(waiting.verdict, RolloutVerdict::NotWorse);
    assert!(
        waiting
            .reason
            .starts_with("100 % waits for the approval `go-live`; not worse at 30 %"),
        "{}",
        waiting.reason
    );
    assert_eq!(waiting.awaits.as_deref(), Some("go-live"));
    fed.look.approvals.insert("somebody-else".to_owned());
    assert!(matches!(fed.pass(1, &stable, &canary).step, Step::Hold { .. }));
    fed.look.approvals.insert("go-live".to_owned());
    assert_eq!(fed.pass(1, &stable, &canary).step, Step::SetWeight(100));
    assert!(matches!(
        fed.pass(59, &answers(0, 0), &canary).step,
        Step::Hold { .. }
    ));
    assert_eq!(fed.pass(1, &answers(0, 0), &canary).step, Step::Finished);
}

#[test]
fn nothing_is_promoted_in_a_freeze_and_a_rollback_does_not_wait() {
    const DAY: u32 = 24 * 60;
    let freezes =
        "freeze: [{ days: [fri, sat], from: \"22:00\", to: \"08:30\" }, { from: \"12:00\", to: \"13:00\" }]";
    let spec = spec(freezes);
    let stable = answers(70, 0);
    let entered = |minute: Option<u32>| {
        let mut fed = Fed::new(&spec);
        fed.look.local_minute = minute;
        fed.pass(70, &stable, &Counts::default());
        fed.rollout.weight_percent() == 30
    };
    for (day, hour, minute, open) in [
        (0, 11, 59, true),
        (0, 12, 0, false),
        (6, 12, 59, false),
        (0, 13, 0, true),
        (4, 21, 59, true),
        (4, 22, 0, false),
        (5, 8, 29, false),
        (5, 8, 30, true),
        (6, 0, 0, false),
        (6, 8, 30, true),
        (6, 23, 0, true),
        (3, 23, 0, true),
    ] {
        assert_eq!(
            entered(Some(day * DAY + hour * 60 + minute)),
            open,
            "day {day}, {hour}:{minute}"
        );
    }
    assert!(!entered(None), "an unknown time is no time for a promotion");

    let mut fed = Fed::new(&spec);
    fed.look.local_minute = Some(12 * 60);
    let waiting = fed.pass(61, &stable, &Counts::default());
    assert!(
        waiting
            .reason
            .starts_with("30 % waits for the end of the freeze at 13:00; baseline seen"),
        "{}",
        waiting.reason
    );
    fed.look.local_minute = Some(13 * 60);
    assert_eq!(fed.pass(1, &stable, &Counts::default()).step, Step::SetWeight(30));
    fed.look.local_minute = Some(12 * 60);
    let rolled_back = fed.pass(60, &stable, &answers(30, 6));
    assert!(
        matches!(rolled_back.step, Step::Rollback { .. }),
        "{}",
        rolled_back.reason
    );
}

#[test]
fn a_freeze_that_wraps_the_week_ends_on_monday() {
    let freeze = "freeze: [{ days: [sun], from: \"20:00\", to: \"06:00\" }]";
    let mut fed = Fed::new(&spec(freeze));
    fed.look.local_minute = Some(5 * 60 + 59);
    fed.pass(61, &answers(70, 0), &Counts::default());
    assert_eq!(fed.rollout.weight_percent(), 0);
    fed.look.local_minute = Some(6 * 60);
    fed.pass(1, &answers(70, 0), &Counts::default());
    assert_eq!(fed.rollout.weight_percent(), 30);
}

#[test]
fn blue_green_is_a_rollout_of_two_steps() {
    let plan = PLAN.replace(
        "[0, { weight: 30, hold_s: 120 }, { weight: 100, hold_s: 60, approval: go-live }]",
        "[0, { weight: 100, hold_s: 300 }]",
    );
    let plan = Plan::parse(&plan, "shop.yaml").unwrap();
    let GateKind::Canary(spec) = plan.gate("canary", "rollout").unwrap().kind.clone() else {
        panic!("a canary")
    };
    let mut fed = Fed::new(&spec);
    let all = answers(100, 0);
    assert_eq!(fed.pass(60, &all, &Counts::default()).step, Step::SetWeight(100));
    let mut broken = Fed {
        rollout: fed.rollout.clone(),
        look: fed.look.clone(),
    };
    let killed = broken.pass(10, &Counts::default(), &answers(100, 50));
    assert!(
        killed.reason.starts_with("fast kill at 100 %"),
        "{}",
        killed.reason
    );
    assert!(matches!(
        fed.pass(299, &Counts::default(), &all).step,
        Step::Hold { .. }
    ));
    assert_eq!(fed.pass(1, &Counts::default(), &all).step, Step::Finished);
}

/// Runs until a rollback and answers the sentence.
fn told(spec: &CanarySpec, stable: &Counts, canary: &Counts) -> String {
    let mut fed = Fed::new(spec);
    fed.pass(60, stable, &Counts::default());
    let decision = fed.pass(119, stable, canary);
    assert!(
        matches!(decision.step, Step::Rollback { .. }),
        "{}",
        decision.reason
    );
    assert_eq!(decision.verdict, RolloutVerdict::Worse);
    decision.reason
}

#[test]
fn the_reason_is_one_sentence_with_metric_values_margin_and_evidence() {
    let slow = |counts: Counts, slow| Counts { slow, ..counts };
    let sentences = [
        told(&spec(""), &answers(70, 1), &answers(30, 4)),
        told(
            &spec("slow_ms: 250"),
            &slow(answers(70, 0), 1),
            &slow(answers(30, 0), 5),
        ),
        told(
            &spec(""),
            &latencies(&[(0, 40), (1, 25), (2, 4), (3, 1)]),
            &latencies(&[(2, 20), (3, 10)]),
        ),
        told(
            &spec("business: [{ name: aborts, margin_percent: 20, margin_points: 1 }]"),
            &outcomes(answers(70, 0), "aborts", 2, 70),
            &outcomes(answers(30, 0), "aborts", 6, 30),
        ),
    ];
    insta::assert_snapshot!(sentences.join("\n"));
}

#[test]
fn errors_that_repeat_one_are_told_and_are_no_evidence() {
    let repeated = |counts: Counts, errors_repeated| Counts {
        errors_repeated,
        ..counts
    };
    let mut fed = Fed::new(&spec(""));
    fed.pass(60, &answers(70, 1), &Counts::default());
    let decision = fed.pass(119, &answers(70, 1), &repeated(answers(30, 4), 4));
    assert!(matches!(decision.step, Step::Hold { .. }), "{}", decision.reason);
    let reason = told(&spec(""), &answers(70, 1), &repeated(answers(30, 5), 1));
    assert!(reason.contains("%, besides "), "{reason}");
    // Whoever fails half of all requests is stopped, repeats or not.
    let mut fed = Fed::new(&spec(""));
    fed.pass(60, &answers(70, 1), &Counts::default());
    let decision = fed.pass(119, &answers(70, 1), &repeated(answers(30, 15), 15));
    assert!(decision.reason.starts_with("fast kill"), "{}", decision.reason);
}

#[test]
fn a_difference_within_the_margin_is_no_reason() {
    for (more, stable, canary) in [
        (
            "margins: { rate_percent: 100, rate_points: 0 }",
            answers(700, 7),
            answers(300, 5),
        ),
        (
            "margins: { rate_percent: 0, rate_points: 1 }",
            answers(700, 0),
            answers(300, 2),
        ),
        (
            "margins: { rate_percent: 0, rate_points: 0 }",
            answers(700, 14),
            answers(300, 6),
        ),
        (
            "",
            latencies(&[(0, 40), (1, 25), (2, 4), (3, 1)]),
            latencies(&[(1, 18), (2, 11), (3, 1)]),
        ),
    ] {
        let mut fed = Fed::new(&spec(more));
        fed.pass(60, &stable, &Counts::default());
        let decision = fed.pass(5000, &stable, &canary);
        assert_eq!(
            decision.verdict,
            RolloutVerdict::NotWorse,
            "{more}: {}",
            decision.reason
        );
    }
}

#[test]
fn a_business_counter_that_nobody_reports_is_not_enough_evidence() {
    let spec = spec("business: [{ name: aborts, min_total: 5 }]");
    let mut fed = Fed::new(&spec);
    let (stable, canary) = (answers(70, 0), answers(30, 0));
    fed.pass(60, &stable, &Counts::default());
    let missing = fed.pass(200, &stable, &canary);
    assert_eq!(missing.verdict, RolloutVerdict::NotEnoughEvidence);
    assert!(
        missing
            .reason
            .starts_with("`aborts` has counted 0 of 5 on the canary in this step"),
        "{}",
        missing.reason
    );
    let given_up = fed.pass(400, &stable, &canary);
    assert!(matches!(given_up.step, Step::Rollback { .. }));
    assert_eq!(given_up.verdict, RolloutVerdict::NotEnoughEvidence);
}

#[test]
fn each_source_of_counters_may_restart_by_itself() {
    let mut fed = Fed::new(&spec("business: [aborts]"));
    let side = |requests, (at_100, at_110), aborts| {
        outcomes(
            Counts {
                requests,
                latency_us: vec![(100_000, at_100), (110_000, at_110)],
                ..Counts::default()
            },
            "aborts",
            aborts,
            10 * aborts,
        )
    };
    fed.look.stable = side(1000, (500, 3), 7);
    fed.rollout.next(&fed.look);
    // Its histogram and its business counters began again; its requests did not.
    fed.look.stable = side(1010, (499, 600), 1);
    fed.rollout.next(&fed.look);
    let measured = fed.rollout.measurements();
    assert_eq!(measured["requests_stable"].value, 1010.0);
    assert_eq!(measured["aborts_rate_stable"].value, 0.1);
    // 999 and 603: whoever takes the difference of both looks has 500 and 600, whoever drops the second 500 and 3.
    assert_eq!(measured["p50_ms_stable"].value, 100.0);
    assert_eq!(measured["p95_ms_stable"].value, 110.0);
}

#[test]
fn measurements_name_every_metric() {
    let spec = spec("slow_ms: 250\nbusiness: [aborts]");
    let mut fed = Fed::new(&spec);
    let both = outcomes(latencies(&[(0, 40), (1, 25), (2, 4), (3, 1)]), "aborts", 1, 9);
    fed.pass(60, &both, &Counts::default());
    fed.pass(50, &both, &both);
    let measured = fed.rollout.measurements();
    for name in ["errors", "slow", "p50", "p95", "p99", "aborts"] {
        let e_max = measured[&format!("e_{name}_max")].value;
        assert!(e_max >= 1.0 && e_max.is_finite(), "{name}: {e_max}");
    }
    for side in ["canary", "stable"] {
        assert_eq!(measured[&format!("p99_ms_{side}")].value, 133.1);
        assert!((measured[&format!("aborts_rate_{side}")].value - 1.0 / 9.0).abs() < 1e-12);
    }
}
