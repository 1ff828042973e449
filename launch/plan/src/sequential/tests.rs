use proptest::prelude::*;

use super::*;

fn increment(canary_requests: u64, canary_bad: u64, stable_requests: u64, stable_bad: u64) -> Increment {
    Increment {
        canary_requests,
        canary_bad,
        stable_requests,
        stable_bad,
    }
}

const PLAIN: Null = Null::Rate {
    relative: 0.0,
    absolute: 0.0,
};

fn process(null: Null) -> EProcess {
    let mut process = EProcess::new(1, null);
    process.begin();
    process
}

fn e_value_of(null: Null, increments: &[Increment]) -> f64 {
    let mut process = process(null);
    for increment in increments {
        process.update(*increment);
    }
    process.log_e().exp()
}

/// As [`e_value_of`], of one increment however small.
fn scored(null: Null, full: Increment) -> f64 {
    let mut process = process(null);
    match null {
        Null::Rate { relative, absolute } => process.score_rate(full, 1.0 + relative, absolute),
        Null::Exact => process.score_exact(full),
    }
    process.log_e().exp()
}

fn choose(n: u64, k: u64) -> f64 {
    if k > n {
        return 0.0;
    }
    (0..k).map(|i| (n - i) as f64 / (i + 1) as f64).product()
}

/// The integral over the prior for equal exposures, in which each bad outcome falls on the canary with chance
/// ρ/(1+ρ) instead of 1/2.
fn integral(s: u64, n: u64) -> f64 {
    const STEPS: u32 = 20_000;
    RATE_PRIOR
        .iter()
        .map(|(from, to, mass, _)| {
            let ratio_at = |step: u32| {
                let odds = from * (to / from).powf((f64::from(step) + 0.5) / f64::from(STEPS));
                let share = odds / (1.0 + odds);
                (2.0 * share).powi(s as i32) * (2.0 * (1.0 - share)).powi((n - s) as i32)
            };
            mass * (0..STEPS).map(ratio_at).sum::<f64>() / f64::from(STEPS)
        })
        .sum()
}

#[test]
fn without_margins_and_with_equal_exposures_it_is_the_binomial_mixture() {
    for (s, n) in [(0, 1), (1, 1), (3, 4), (10, 12), (0, 10), (20, 40), (35, 40)] {
        let ours = e_value_of(PLAIN, &[increment(1000, s, 1000, n - s)]);
        let exact = integral(s, n);
        assert!(
            (ours / exact - 1.0).abs() < 0.02,
            "{s} of {n}: {ours} against {exact}"
        );
    }
}

/// The mean over every way to lay `bad` outcomes over the requests, when those on the canary have `odds`
/// times the stable side's: Fisher's noncentral hypergeometric law.
fn mean_given_bad(null: Null, odds: f64, canary: u64, stable: u64, bad: u64) -> f64 {
    let (mut sum, mut weights) = (0.0, 0.0);
    for s in bad.saturating_sub(stable)..=bad.min(canary) {
        let weight = choose(canary, s) * choose(stable, bad - s) * odds.powi(s as i32);
        weights += weight;
        sum += weight * scored(null, increment(canary, s, stable, bad - s));
    }
    sum / weights
}

const SIDES: [(u64, u64); 6] = [(1, 9), (3, 7), (5, 5), (9, 1), (12, 28), (40, 60)];

#[test]
fn given_the_bad_outcomes_its_mean_is_at_most_one_up_to_the_margin() {
    for (canary, stable) in SIDES {
        for bad in 1..=(canary + stable).min(14) {
            for relative in [0.0, 0.1, 0.5, 2.0] {
                let null = Null::Rate {
                    relative,
                    absolute: 0.0,
                };
                for odds in [0.2, 1.0, 1.0 + relative / 2.0, 1.0 + relative] {
                    let mean = mean_given_bad(null, odds, canary, stable, bad);
                    assert!(
                        mean <= 1.0 + 1e-9,
                        "{canary}:{stable}, {bad} bad, margin {relative}, odds {odds}: mean {mean}"
                    );
                }
                let beyond = mean_given_bad(null, 20.0 * (1.0 + relative), canary, stable, bad);
                assert!(
                    bad > 1 || beyond > 1.0,
                    "{canary}:{stable}, margin {relative}: mean {beyond}, it could never find anything"
                );
            }
        }
    }
}

#[test]
fn the_exact_ratio_has_mean_one_when_both_sides_are_alike_and_less_when_the_canary_is_better() {
    for (canary, stable) in SIDES {
        for bad in 1..canary + stable {
            let alike = mean_given_bad(Null::Exact, 1.0, canary, stable, bad);
            assert!(
                (alike - 1.0).abs() < 1e-9,
                "{canary}:{stable}, {bad} bad: mean {alike}"
            );
            let better = mean_given_bad(Null::Exact, 0.5, canary, stable, bad);
            assert!(
                better <= 1.0 + 1e-9,
                "{canary}:{stable}, {bad} bad: mean {better}"
            );
        }
    }
}

#[test]
fn the_bound_for_large_increments_is_one() {
    let all = |canary: u64, stable: u64, bad: u64| {
        Hypergeometric::of(increment(canary, bad.min(canary), stable, bad - bad.min(canary)))
    };
    for (canary, stable, bad) in [(30, 70, 50), (40, 60, 3), (200, 300, 250), (256, 256, 256)] {
        let exact = all(canary, stable, bad);
        let bound = Hypergeometric {
            chances: None,
            ..all(canary, stable, bad)
        };
        let grid = [1.0_f64, 1.01, 2.0, 10.0, 14.0].map(|odds| Point {
            odds,
            ln_odds: odds.ln(),
            ln_mass: 0.0,
        });
        for (exact, bound) in exact
            .ln_mean_powers(&grid)
            .into_iter()
            .zip(bound.ln_mean_powers(&grid))
        {
            assert!(
                exact.is_finite() && exact <= bound + 1e-9,
                "{canary}:{stable}, {bad} bad: {exact} {bound}"
            );
        }
    }
    let huge = e_value_of(Null::Exact, &[increment(300_000, 160_000, 700_000, 350_000)]);
    assert!(huge > 1e6, "{huge}");
}

/// The mean over all choices of `canary` among the requests, and over their outcomes, when request `i` fails
/// with chance `chances[i]` on the stable side and with `worst(chances[i])` on the canary.
fn mean_over_choices(null: Null, chances: &[f64], canary: usize, worst: impl Fn(f64) -> f64) -> f64 {
    let all = chances.len();
    let stable = (all - canary) as u64;
    let (mut sum, mut choices) = (0.0, 0.0);
    for choice in 0..1_u32 << all {
        if choice.count_ones() as usize != canary {
            continue;
        }
        choices += 1.0;
        // The law of the bad outcomes on each side, request by request.
        let mut law = vec![vec![0.0; all + 1]; all + 1];
        law[0][0] = 1.0;
        for (at, chance) in chances.iter().enumerate() {
            let on_canary = choice >> at & 1 == 1;
            let chance = if on_canary {
                worst(*chance).min(1.0)
            } else {
                *chance
            };
            for s in (0..=all).rev() {
                for t in (0..=all).rev() {
                    let from = if on_canary {
                        s.checked_sub(1).map(|s| law[s][t])
                    } else {
                        t.checked_sub(1).map(|t| law[s][t])
                    };
                    law[s][t] = law[s][t] * (1.0 - chance) + from.unwrap_or(0.0) * chance;
                }
            }
        }
        for (s, row) in law.iter().enumerate() {
            for (t, weight) in row.iter().enumerate().filter(|(_, weight)| **weight > 0.0) {
                sum += weight * scored(null, increment(canary as u64, s as u64, stable, t as u64));
            }
        }
    }
    sum / choices
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn its_mean_is_at_most_one_whatever_the_chances_of_the_requests(
        chances in proptest::collection::vec(prop_oneof![Just(0.0), Just(1.0), 0.0..1.0_f64], 2..8),
        canary in 1..7_usize,
        relative in prop_oneof![Just(0.0), 0.0..2.0_f64],
        absolute in prop_oneof![Just(0.0), 0.0..0.3_f64],
    ) {
        let canary = canary.min(chances.len() - 1);
        let null = Null::Rate { relative, absolute };
        let mean = mean_over_choices(null, &chances, canary, |chance| (1.0 + relative) * chance + absolute);
        prop_assert!(mean <= 1.0 + 1e-9, "mean {mean}");
        let exact = mean_over_choices(Null::Exact, &chances, canary, |chance| chance);
        prop_assert!(exact <= 1.0 + 1e-9, "exact: mean {exact}");
    }

    #[test]
    fn any_counts_give_a_finite_e_value(
        counts in proptest::collection::vec((any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>()), 1..5),
        small in proptest::collection::vec((0..400_u64, 0..400_u64, 0..400_u64, 0..400_u64), 1..5),
    ) {
        for null in [PLAIN, Null::Rate { relative: 0.1, absolute: 0.001 }, Null::Exact] {
            for counts in [&counts, &small] {
                let increments: Vec<_> = counts.iter().map(|(a, b, c, d)| increment(*a, *b, *c, *d)).collect();
                let value = e_value_of(null, &increments);
                prop_assert!(!value.is_nan() && value >= 0.0, "{value}");
            }
        }
    }
}

#[test]
fn it_rises_with_every_bad_outcome_on_the_canary_and_only_then() {
    for null in [
        PLAIN,
        Null::Rate {
            relative: 0.2,
            absolute: 0.01,
        },
        Null::Exact,
    ] {
        let values: Vec<f64> = (0..=6)
            .map(|s| e_value_of(null, &[increment(50, s, 100, 6 - s)]))
            .collect();
        assert!(values.windows(2).all(|pair| pair[0] < pair[1]), "{values:?}");
        assert!(
            values[0] < 1.0,
            "a better canary is no evidence against it: {values:?}"
        );
    }
}

#[test]
fn a_difference_within_the_margin_is_never_evidence_however_long_it_lasts() {
    // 0.5 % against 0.54 %: a margin of a tenth. The same without a margin is found in the end.
    let day = increment(3_000_000, 16_200, 7_000_000, 35_000);
    let with = Null::Rate {
        relative: 0.1,
        absolute: 0.0,
    };
    assert!(e_value_of(with, &[day]) < 1e-3);
    assert!(e_value_of(PLAIN, &[day]) > 1e6);
    let points = Null::Rate {
        relative: 0.0,
        absolute: 0.001,
    };
    assert!(e_value_of(points, &[day]) < 1e-3);
    // Beyond it.
    assert!(e_value_of(with, &[increment(3_000_000, 19_000, 7_000_000, 35_000)]) > 1e6);
}

#[test]
fn exposure_that_changes_is_not_pooled() {
    // A quiet hour with a small canary, then a bad one for everybody with a large one. In each the canary got
    // what its traffic explains; pooled, it seems to have caused it all.
    let quiet = increment(100, 0, 900, 1);
    let bad = increment(900, 18, 100, 2);
    for null in [PLAIN, Null::Exact] {
        let fair = e_value_of(null, &[quiet, bad]);
        let pooled = e_value_of(null, &[increment(1000, 18, 1000, 3)]);
        assert!(fair < 1.0, "{fair}");
        assert!(pooled > 30.0, "{pooled}");
    }
}

#[test]
fn looks_are_gathered_until_both_sides_have_traffic_and_there_is_enough_of_it() {
    let mut gathered = process(PLAIN);
    assert!(!gathered.update(increment(10, 9, 0, 0)));
    assert!(!gathered.update(increment(30, 20, 0, 0)), "only one side");
    assert!(gathered.log_e().abs() < 1e-9);
    assert!(gathered.update(increment(0, 0, 1, 0)));
    let at_once = e_value_of(PLAIN, &[increment(40, 29, 1, 0)]);
    assert_eq!(gathered.log_e().exp(), at_once);
    let mut few = process(PLAIN);
    assert!(!few.update(increment(9, 9, 10, 0)), "19 of 20 requests");
    assert!(few.update(increment(0, 0, 1, 0)));
}

#[test]
fn a_step_that_begins_drops_what_was_gathered_before_it() {
    let mut process = EProcess::new(2, PLAIN);
    process.begin();
    process.update(increment(5, 5, 5, 0));
    process.begin();
    process.update(increment(10, 0, 10, 0));
    assert!(process.log_e().abs() < 1e-9, "{}", process.log_e());
}

#[test]
fn a_fresh_step_forgets_an_innocent_past() {
    let past = increment(3000, 150, 7000, 350);
    let fault = increment(100, 25, 300, 2);
    let mut restarted = EProcess::new(2, PLAIN);
    restarted.begin();
    restarted.update(past);
    restarted.begin();
    restarted.update(fault);
    let mut pooled = process(PLAIN);
    pooled.update(past);
    pooled.update(fault);
    assert!(
        restarted.log_e() > pooled.log_e() + 3.0,
        "{} {}",
        restarted.log_e(),
        pooled.log_e()
    );
}

#[test]
fn the_quick_bound_is_one() {
    let mut process = EProcess::new(3, PLAIN);
    process.begin();
    for bad in [0, 3, 20, 0, 40] {
        process.update(increment(100, bad, 200, 3));
        assert!(process.log_e() <= process.log_e_at_most() + 1e-12);
    }
    assert!(process.log_e() > 5.0);
}
