//! Rollouts against simulated traffic, repeated from their seeds: how often an innocent canary is
//! rolled back, and how soon a guilty one.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tminus_plan::{
    Budgets, CanarySpec, Counts, Decision, Look, Margins, Rollout, RolloutVerdict, RouterSpec, Step,
};

pub fn spec() -> CanarySpec {
    CanarySpec {
        router: RouterSpec::Gateway {
            admin: "http://127.0.0.1:1".to_owned(),
        },
        probe: None,
        releases: None,
        metrics: None,
        stable: "stable".to_owned(),
        canary: "canary".to_owned(),
        steps: vec![0, 5, 30, 70, 100],
        at: BTreeMap::new(),
        freeze: Vec::new(),
        min_requests: 50,
        hold_s: 120.0,
        look_every_s: 1.0,
        slow_ms: Some(250),
        quantiles: vec![0.5, 0.95, 0.99],
        margins: Margins::default(),
        business: Vec::new(),
        alpha: 0.01,
        alpha_parts: BTreeMap::new(),
        traffic: None,
        drain: true,
        budgets: Budgets {
            step_s: 1200.0,
            fast_kill_min: 20,
            fast_kill_share: 0.2,
        },
    }
}

/// How a side answers: chances per request.
#[derive(Debug, Clone, Copy)]
struct Side {
    error: f64,
    slow: f64,
    timeout: f64,
}

const HEALTHY: Side = Side {
    error: 0.005,
    slow: 0.01,
    timeout: 0.0,
};

struct World {
    rng: StdRng,
    look: Look,
    requests_per_s: u32,
}

impl World {
    fn new(seed: u64, requests_per_s: u32) -> Self {
        Self {
            rng: StdRng::seed_from_u64(seed),
            look: Look {
                at_ms: 1_000,
                ..Look::default()
            },
            requests_per_s,
        }
    }

    /// One second of traffic, as busy as chance has it.
    fn second(&mut self, weight: u32, stable: Side, canary: Side) {
        let requests = self.rng.random_range(0..=2 * self.requests_per_s);
        for _ in 0..requests {
            let on_canary = self.rng.random_bool(f64::from(weight) / 100.0);
            let side = if on_canary { canary } else { stable };
            let counts = if on_canary {
                &mut self.look.canary
            } else {
                &mut self.look.stable
            };
            if self.rng.random_bool(side.timeout) {
                counts.timeouts += 1;
            } else {
                counts.requests += 1;
                counts.errors += u64::from(self.rng.random_bool(side.error));
                counts.slow += u64::from(self.rng.random_bool(side.slow));
            }
        }
        self.look.at_ms += 1_000;
    }
}

/// Runs a rollout to its end; `sides` says how both answer in each second. Answers the last
/// decision and the second in which it fell.
fn run(
    spec: &CanarySpec,
    seed: u64,
    requests_per_s: u32,
    sides: impl Fn(u32) -> (Side, Side),
) -> (Decision, u32, Rollout) {
    let mut world = World::new(seed, requests_per_s);
    let mut rollout = Rollout::new(spec);
    for second in 0..20_000 {
        let decision = rollout.next(&world.look);
        if rollout.is_over() {
            return (decision, second, rollout);
        }
        let (stable, canary) = sides(second);
        world.second(rollout.weight_percent(), stable, canary);
    }
    panic!("a rollout without end");
}

#[test]
fn an_innocent_canary_is_rolled_back_at_most_as_often_as_alpha_says() {
    // A look each second through five steps. The chance of an error wanders for both sides alike,
    // from healthy to one in ten and back: that is no fault of the canary's.
    let both = |second: u32| {
        let bad = (f64::from(second) / 97.0).sin().abs();
        let side = Side {
            error: 0.005 + 0.1 * bad.powi(6),
            slow: 0.01 + 0.2 * bad.powi(4),
            timeout: 0.001,
        };
        (side, side)
    };
    let mut spec = spec();
    spec.hold_s = 60.0;
    let mut rolled_back = 0;
    for seed in 0..1000 {
        let (decision, _, _) = run(&spec, seed, 10, both);
        match decision.verdict {
            RolloutVerdict::Worse => rolled_back += 1,
            RolloutVerdict::NotWorse => assert_eq!(decision.step, Step::Finished),
            other => panic!("seed {seed}: {other:?}, {}", decision.reason),
        }
    }
    assert!(
        rolled_back <= 15,
        "{rolled_back} of 1000 innocent canaries rolled back"
    );
}

#[test]
fn a_better_canary_is_not_rolled_back() {
    let worse_stable = Side {
        error: 0.05,
        slow: 0.3,
        timeout: 0.01,
    };
    for seed in 0..100 {
        let (decision, _, _) = run(&spec(), seed, 10, |_| (worse_stable, HEALTHY));
        assert_eq!(decision.step, Step::Finished, "seed {seed}: {}", decision.reason);
    }
}

/// Seconds from the start of the first step with traffic to the rollback, sorted.
fn seconds_to_rollback(spec: &CanarySpec, runs: u64, canary: Side) -> Vec<u32> {
    let mut seconds: Vec<u32> = (0..runs)
        .map(|seed| {
            let (decision, second, rollout) = run(spec, seed, 10, |_| (HEALTHY, canary));
            assert_eq!(
                decision.verdict,
                RolloutVerdict::Worse,
                "seed {seed}: {}",
                decision.reason
            );
            assert_eq!(rollout.weight_percent(), 0);
            second
        })
        .collect();
    seconds.sort_unstable();
    seconds
}

#[test]
fn ten_times_the_errors_are_found_within_minutes() {
    let mut spec = spec();
    spec.steps = vec![30, 100];
    spec.hold_s = 600.0;
    let seconds = seconds_to_rollback(
        &spec,
        200,
        Side {
            error: 0.05,
            ..HEALTHY
        },
    );
    let (median, late) = (seconds[100], seconds[190]);
    assert!(median <= 100, "median {median} s");
    assert!(late <= 250, "19 of 20 within {late} s");
}

#[test]
fn a_canary_that_answers_late_is_found() {
    // 300 ms more on every answer: past the threshold of 250 ms, none of them an error.
    let mut spec = spec();
    spec.steps = vec![5, 30, 100];
    let seconds = seconds_to_rollback(
        &spec,
        200,
        Side {
            slow: 0.99,
            ..HEALTHY
        },
    );
    assert!(seconds[199] <= 60, "{seconds:?}");
    let (decision, _, _) = run(&spec, 1, 10, |_| {
        (
            HEALTHY,
            Side {
                slow: 0.99,
                ..HEALTHY
            },
        )
    });
    assert!(
        decision.reason.contains("took longer than 250 ms"),
        "{}",
        decision.reason
    );
}

#[test]
fn a_quarter_of_errors_is_found_at_five_percent() {
    let mut spec = spec();
    spec.steps = vec![5, 100];
    let seconds = seconds_to_rollback(
        &spec,
        200,
        Side {
            error: 0.25,
            ..HEALTHY
        },
    );
    assert!(seconds[100] <= 60 && seconds[190] <= 120, "{seconds:?}");
}

#[test]
fn requests_that_are_never_answered_count_against_the_canary() {
    let mut spec = spec();
    spec.steps = vec![5, 100];
    let seconds = seconds_to_rollback(
        &spec,
        100,
        Side {
            timeout: 1.0,
            ..HEALTHY
        },
    );
    assert!(seconds[99] <= 40, "{seconds:?}");
}

#[test]
fn a_fault_that_comes_late_is_found_in_spite_of_a_good_past() {
    let mut spec = spec();
    spec.hold_s = 300.0;
    spec.steps = vec![5, 30, 70, 100];
    for seed in 0..50 {
        // Second 650 is in the third step.
        let sides = |second| {
            (
                HEALTHY,
                if second < 650 {
                    HEALTHY
                } else {
                    Side {
                        error: 0.15,
                        ..HEALTHY
                    }
                },
            )
        };
        let (decision, second, _) = run(&spec, seed, 10, sides);
        assert_eq!(
            decision.verdict,
            RolloutVerdict::Worse,
            "seed {seed}: {}",
            decision.reason
        );
        assert!((650..750).contains(&second), "seed {seed}: second {second}");
    }
}

#[test]
fn at_full_weight_the_fast_kill_still_acts() {
    let mut spec = spec();
    spec.steps = vec![100];
    let (decision, second, _) = run(&spec, 3, 10, |_| {
        (
            HEALTHY,
            Side {
                error: 0.6,
                ..HEALTHY
            },
        )
    });
    assert!(
        decision.reason.starts_with("fast kill at 100 %"),
        "{}",
        decision.reason
    );
    assert!(second <= 10, "{second}");
}

#[test]
fn the_fast_kill_needs_its_minimum_and_a_difference() {
    let mut spec = spec();
    spec.alpha = 1e-6;
    spec.steps = vec![50, 100];
    spec.hold_s = 30.0;
    let mut rollout = Rollout::new(&spec);
    let look = |at_s: u64, stable: (u64, u64), canary: (u64, u64)| Look {
        at_ms: at_s * 1000,
        stable: Counts {
            requests: stable.0,
            errors: stable.1,
            ..Counts::default()
        },
        canary: Counts {
            requests: canary.0,
            errors: canary.1,
            ..Counts::default()
        },
        ..Look::default()
    };
    rollout.next(&look(0, (0, 0), (0, 0)));
    // Bad, and yet too few.
    assert!(matches!(
        rollout.next(&look(1, (20, 0), (20, 9))).step,
        Step::Hold { .. }
    ));
    let mut alike = rollout.clone();
    // Enough, and the stable side is as bad: a common cause.
    assert!(matches!(
        alike.next(&look(2, (60, 30), (60, 30))).step,
        Step::Hold { .. }
    ));
    // Enough, and the stable side is well.
    let decision = rollout.next(&look(2, (60, 0), (60, 20)));
    assert_eq!(decision.verdict, RolloutVerdict::Worse);
    assert!(decision.reason.contains("20 of 60"), "{}", decision.reason);
}

#[test]
fn no_errors_on_either_side_are_no_evidence_until_enough_was_seen() {
    let mut spec = spec();
    spec.steps = vec![50, 100];
    spec.hold_s = 2.0;
    spec.budgets.step_s = 60.0;
    let mut rollout = Rollout::new(&spec);
    let look = |at_s: u64, requests: u64| Look {
        at_ms: at_s * 1000,
        stable: Counts {
            requests,
            ..Counts::default()
        },
        canary: Counts {
            requests,
            ..Counts::default()
        },
        ..Look::default()
    };
    assert_eq!(rollout.next(&look(10, 1000)).step, Step::SetWeight(50));
    let early = rollout.next(&look(13, 1049));
    assert_eq!(early.verdict, RolloutVerdict::NotEnoughEvidence);
    assert!(early.reason.contains("49 of 50 requests"), "{}", early.reason);
    let enough = rollout.next(&look(14, 1050));
    assert_eq!(
        (enough.step, enough.verdict),
        (Step::SetWeight(100), RolloutVerdict::NotWorse)
    );
    assert!(
        matches!(rollout.next(&look(15, 2050)).step, Step::Hold { .. }),
        "two seconds were asked for"
    );
    assert_eq!(rollout.next(&look(16, 2060)).step, Step::Finished);
    assert_eq!(
        rollout.next(&look(17, 2070)).step,
        Step::Finished,
        "it repeats itself"
    );
    assert_eq!(rollout.weight_percent(), 100);
}

#[test]
fn a_canary_that_nobody_visits_is_given_up_for_lack_of_evidence() {
    let mut spec = spec();
    spec.steps = vec![5, 100];
    spec.budgets.step_s = 30.0;
    spec.hold_s = 5.0;
    let (decision, second, rollout) = run(&spec, 1, 0, |_| (HEALTHY, HEALTHY));
    assert_eq!(decision.verdict, RolloutVerdict::NotEnoughEvidence);
    assert!(matches!(decision.step, Step::Rollback { .. }));
    assert!(
        decision.reason.contains("the canary has had 0 of 50 requests"),
        "{}",
        decision.reason
    );
    assert_eq!(second, 30);
    assert_eq!(rollout.measurements()["rolled_back"].value, 1.0);
}

#[test]
fn a_finished_rollout_measures_what_its_gate_is_judged_on() {
    let (decision, _, rollout) = run(&spec(), 5, 10, |_| (HEALTHY, HEALTHY));
    assert_eq!(decision.step, Step::Finished);
    let measured = rollout.measurements();
    assert_eq!(measured["rolled_back"].value, 0.0);
    assert_eq!(measured["final_weight_percent"].value, 100.0);
    assert!(measured["requests_canary"].value > 200.0);
    assert!(measured.values().all(|measurement| measurement.value.is_finite()));
}

#[test]
fn a_counter_that_starts_again_is_not_read_as_a_flood() {
    let mut spec = spec();
    spec.steps = vec![50, 100];
    let mut rollout = Rollout::new(&spec);
    let look = |at_ms, stable, canary| Look {
        at_ms,
        stable: Counts {
            requests: stable,
            ..Counts::default()
        },
        canary: Counts {
            requests: canary,
            ..Counts::default()
        },
        ..Look::default()
    };
    rollout.next(&look(0, 5000, 5000));
    rollout.next(&look(1000, 5010, 5010));
    rollout.next(&look(2000, 3, 4));
    assert_eq!(rollout.measurements()["requests_canary"].value, 14.0);
    assert_eq!(rollout.measurements()["requests_stable"].value, 13.0);
}

#[test]
fn slow_answers_are_counted_from_a_histogram() {
    let buckets = [(1_000, 10), (250_000, 5), (500_000, 3), (u64::MAX, 1)];
    assert_eq!(Counts::slow_in(&buckets, 250), 4);
    assert_eq!(Counts::slow_in(&buckets, 249), 9);
}
