//! The judge keeps its promise on simulated traffic, and a judge that is broken does not.

use tminus_plan::{CanarySpec, Look, Rollout, Step, StepSpec};
use tminus_simulation::judges::{Mutant, spec};
use tminus_simulation::plot;
use tminus_simulation::report::{BY_PLAYER, PER_MINUTE, Report, SHAPES, STEP_S};
use tminus_simulation::scenario::{BASELINE_S, OURS, SPRT, Scenario, run_all, run_ours};
use tminus_simulation::traffic::{Fault, Shape, Traffic, beyond, normal_beyond};

fn scenario(shape: Shape, fault: Fault, per_minute: u32, length_s: u32) -> Scenario {
    Scenario {
        shape,
        fault,
        per_minute,
        length_s,
        runs: 1,
    }
}

/// How many of the first runs of a scenario end in a rollback.
fn rollbacks(scenario: &Scenario, runs: u64, mutant: Option<Mutant>) -> usize {
    (0..runs)
        .filter(|seed| run_ours(scenario, *seed, mutant).is_some())
        .count()
}

#[test]
fn a_canary_that_is_no_worse_is_seldom_rolled_back() {
    for shape in SHAPES.into_iter().chain([Shape::Rising]) {
        let scenario = scenario(shape, Fault::None, 600, STEP_S);
        let found = rollbacks(&scenario, 150, None);
        assert!(found <= 3, "{}: {found} of 150", shape.name());
    }
}

#[test]
fn peeking_without_paying_for_it_is_noticed() {
    let scenario = scenario(Shape::Steady, Fault::None, 600, STEP_S);
    for mutant in [Mutant::PeekedScore, Mutant::NoLimit] {
        let found = rollbacks(&scenario, 150, Some(mutant));
        assert!(found > 3, "{mutant:?}: {found} of 150");
    }
}

#[test]
fn what_repeats_a_players_error_is_no_evidence() {
    for shape in BY_PLAYER {
        let scenario = scenario(shape, Fault::None, 6000, STEP_S);
        let found = rollbacks(&scenario, 100, None);
        assert!(found <= 3, "{}: {found} of 100", shape.name());
        let every_error = rollbacks(&scenario, 100, Some(Mutant::EveryError));
        assert!(every_error > 3, "{}: {every_error} of 100", shape.name());
    }
}

#[test]
fn looks_pooled_against_one_exposure_are_noticed() {
    let scenario = scenario(Shape::Rising, Fault::None, 6000, STEP_S);
    let found = rollbacks(&scenario, 20, Some(Mutant::PooledExposure));
    assert!(found > 3, "{found} of 20");
    assert_eq!(rollbacks(&scenario, 20, None), 0);
}

#[test]
fn faults_are_found_about_as_soon_as_can_be() {
    let faults = [
        (Fault::Errors(10.0), 600, 1.6),
        (Fault::Errors(10.0), 6000, 2.0),
        (Fault::Slower(1.3), 6000, 2.0),
    ];
    let scenarios = faults.map(|(fault, per_minute, _)| Scenario {
        runs: 60,
        ..scenario(Shape::Steady, fault, per_minute, 1200)
    });
    let results = run_all(&scenarios, 7, 2);
    for ((fault, per_minute, ratio_max), verdicts) in faults.into_iter().zip(results) {
        let median = |judge: usize| {
            let mut times: Vec<u32> = verdicts.iter().map(|v| v[judge].unwrap_or(u32::MAX)).collect();
            times.sort_unstable();
            f64::from(times[times.len() / 2])
        };
        let ratio = median(OURS) / median(SPRT);
        assert!(ratio <= ratio_max, "{fault:?} at {per_minute}/min: {ratio}");
    }
}

#[test]
fn a_rollout_decides_what_the_comparison_decides() {
    for seed in 0..5 {
        let scenario = scenario(Shape::Steady, Fault::Errors(10.0), 600, 600);
        let alone = run_ours(&scenario, seed, None);
        let mut traffic = Traffic::new(&scenario.model(), seed);
        let mut plan = CanarySpec {
            hold_s: f64::from(BASELINE_S),
            ..spec()
        };
        let held = StepSpec {
            hold_s: Some(1e6),
            approval: None,
        };
        plan.at.insert(30, held);
        let mut rollout = Rollout::new(&plan);
        let mut look = Look::default();
        rollout.next(&look);
        let mut decided = None;
        for at in 1..=BASELINE_S + 600 {
            let second = if at <= BASELINE_S {
                traffic.baseline()
            } else {
                traffic.pass_second()
            };
            look.at_ms += 1000;
            look.stable += &second.stable;
            look.canary += &second.canary;
            match rollout.next(&look).step {
                Step::SetWeight(weight) => assert_eq!((weight, at), (30, BASELINE_S)),
                Step::Rollback { .. } => {
                    decided = Some(at - BASELINE_S);
                    break;
                }
                Step::Hold { .. } => {}
                Step::Finished => panic!("finished"),
            }
        }
        assert!(alone.is_some());
        assert_eq!(decided, alone, "seed {seed}");
    }
}

#[test]
fn a_run_repeats_from_its_seed_on_any_number_of_threads() {
    let scenarios = [Scenario {
        runs: 120,
        ..scenario(Shape::Skewed, Fault::Errors(10.0), 600, 60)
    }];
    let one = run_all(&scenarios, 3, 1);
    assert_eq!(one, run_all(&scenarios, 3, 4));
    assert_ne!(one, run_all(&scenarios, 4, 1));
}

#[test]
fn traffic_is_what_it_says() {
    for shape in SHAPES {
        let model = scenario(shape, Fault::Errors(10.0), 6000, 600).model();
        let mut sums = [(0_u64, 0_u64, 0_u64); 2];
        for seed in 0..20 {
            let mut traffic = Traffic::new(&model, seed);
            for _ in 0..600 {
                let second = traffic.pass_second();
                for (sum, counts) in sums.iter_mut().zip([&second.stable, &second.canary]) {
                    sum.0 += counts.requests;
                    sum.1 += counts.errors;
                    sum.2 += counts.latency_us.iter().map(|bucket| bucket.1).sum::<u64>();
                }
            }
        }
        let [stable, canary] = sums;
        let near = |value: f64, expected: f64, within: f64| {
            assert!(
                (value / expected - 1.0).abs() < within,
                "{}: {value} instead of {expected}",
                shape.name()
            );
        };
        near((stable.0 + canary.0) as f64, 20.0 * 60_000.0, 0.02);
        near(canary.0 as f64 / (stable.0 + canary.0) as f64, 0.3, 0.2);
        near(stable.1 as f64 / stable.0 as f64, 0.005, 0.1);
        near(canary.1 as f64 / canary.0 as f64, 0.05, 0.1);
        assert_eq!((stable.2, canary.2), (stable.0, canary.0));
    }
}

#[test]
fn the_normal_law_and_the_faults_are_right() {
    for (z, beyond) in [(0.0, 0.5), (1.0, 0.158_655), (2.326_348, 0.01), (-1.0, 0.841_345)] {
        assert!((normal_beyond(z) - beyond).abs() < 1e-6, "{z}");
    }
    // P99 is 398 ms; either fault of latency makes it 518 ms.
    let p99_us = 80_000.0 * (0.69_f64 * 2.326_348).exp();
    assert!((beyond(Fault::None, p99_us) - 0.01).abs() < 1e-6);
    for fault in [Fault::Slower(1.3), Fault::Tail(1.3)] {
        assert!((beyond(fault, 1.3 * p99_us) - 0.01).abs() < 1e-6, "{fault:?}");
    }
    assert_eq!(beyond(Fault::Tail(1.3), 80_000.0), beyond(Fault::None, 80_000.0));
}

#[test]
fn the_report_has_its_figures_and_its_pictures() {
    let report = Report::make(2, 2, 1, 2);
    let json = report.json();
    for figure in [
        "false_rollback_rate",
        "detect_10x_errors_median_s",
        "detect_3x_errors_median_s",
        "detect_p99_plus_30pct_median_s",
        "ratio_vs_sprt_10x",
    ] {
        for per_minute in PER_MINUTE {
            for shape in SHAPES {
                let row = &json[figure][per_minute.to_string()][shape.name()];
                for judge in ["ours", "kayenta", "flagger", "peeked_z_test", "sprt"] {
                    assert!(
                        row.get(judge).is_some(),
                        "{figure} {per_minute} {} {judge}",
                        shape.name()
                    );
                }
            }
        }
    }
    assert!(json["missed_rate"]["10x_errors"]["600"]["steady"]["ours"].is_number());
    assert!(report.text().contains("false rollbacks"));
    for svg in [
        plot::false_rollbacks(&report),
        plot::detection(&report),
        plot::both(&report),
    ] {
        assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"));
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        assert_eq!(svg.matches("<svg").count(), svg.matches("</svg>").count());
    }
}
