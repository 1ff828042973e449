//! A test that may be looked at as often as one likes: do bad outcomes fall on the canary more
//! often than its traffic explains?
//!
//! # The null hypothesis
//! At any moment a request is at most as likely to end badly on the canary as on the stable
//! side. Nothing is assumed about how high that chance is or how it moves: a slow database
//! hurts both sides and must not look like a bad canary.
//!
//! # One look
//! Since the look before, the canary answered `n_c` requests and the stable side `n_s`, and `n`
//! of them all ended badly, `S` of these on the canary. Its exposure share is
//! `θ = n_c / (n_c + n_s)`. Under the null with equal chances, given exposures and `n`, every
//! way to lay the `n` bad outcomes over the requests is equally likely, so that `S` is
//! hypergeometric: at most as spread as a binomial with `n` and `θ`.
//!
//! A canary with `ρ` times the stable side's odds would receive each bad outcome with chance
//! `p = ρθ / (1 − θ + ρθ)`. The likelihood ratio of that against the null is
//! `L(ρ) = (p/θ)^S · ((1−p)/(1−θ))^(n−S)`.
//!
//! For `ρ ≥ 1` the ratio is convex and rising in `S`. Convex: its mean under the hypergeometric
//! is at most its mean under the binomial (Hoeffding 1963, theorem 4), and that is 1. Rising:
//! its mean is lower still when the canary is better than the stable side. So its mean is at
//! most 1 under all of the null, whatever the exposures of this look were.
//!
//! # All looks
//! `θ` changes with every step of a rollout, and with the traffic. Counts of several looks must
//! therefore not be pooled against one `θ`: each look brings its own factor with its own `θ`,
//! and the product over looks, for a fixed `ρ`, is a supermartingale that starts at 1. So is any
//! mixture over `ρ`. By Ville's inequality it ever reaches `1/α` with chance at most `α`: that
//! is why looking often costs nothing.
//!
//! The mixture is the Dirichlet-multinomial test of Lindon and Malek (arXiv 2011.03567) for two
//! groups, the beta-binomial, with its uniform prior set on `ρ/(1+ρ)`: the share of bad outcomes
//! that the canary would get if both sides had the same traffic. That makes the prior mean the
//! same at every exposure. It is cut to shares above one half, because only a worse canary
//! matters. With equal exposures it is exactly the beta-binomial e-value with that prior. It is
//! computed on a grid, which is no approximation of validity: a discrete prior is a prior.
//!
//! # Faults that come late
//! A canary that was fine for an hour and then breaks would first have to lose the credit of
//! that hour. So a fresh process starts with every step of the rollout, and the evidence is the
//! mean over all the processes planned (those to come count as 1). A mean of supermartingales
//! is one.
//!
//! What it assumes: outcomes of single requests are exchangeable between the sides at any one
//! moment. One player whose every request fails makes outcomes cluster; stickiness then counts
//! him on one side. Counting players instead of requests is the remedy where this matters.

/// Points of the prior on `ρ/(1+ρ)` in (1/2, 1).
const GRID: usize = 128;

/// What happened between two looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Increment {
    pub canary_requests: u64,
    pub canary_bad: u64,
    pub stable_requests: u64,
    pub stable_bad: u64,
}

/// Evidence against "the canary is no worse", as an e-value.
#[derive(Debug, Clone, PartialEq)]
pub struct EProcess {
    /// One per step begun: the log likelihood ratio at each grid point.
    begun: Vec<Vec<f64>>,
    planned: usize,
    log_e: f64,
    /// What came while only one side was seen to have traffic.
    one_sided: Increment,
}

impl EProcess {
    /// `planned`: how many times [`EProcess::begin`] will be called at most (at least 1).
    #[must_use]
    pub fn new(planned: usize) -> Self {
        Self {
            begun: Vec::new(),
            planned: planned.max(1),
            log_e: 0.0,
            one_sided: Increment::default(),
        }
    }

    /// Starts a fresh process beside those that run. Beyond the planned number it does nothing.
    pub fn begin(&mut self) {
        if self.begun.len() < self.planned {
            // It starts at 1, the value that stood in for it: the mean does not change.
            self.begun.push(vec![0.0; GRID]);
        }
    }

    /// Takes in what happened since the look before. An increment in which one side had no traffic compares
    /// nothing: it waits for the other side, whose counters may be read at other times.
    pub fn update(&mut self, increment: Increment) {
        let waited = std::mem::take(&mut self.one_sided);
        let increment = Increment {
            canary_requests: waited.canary_requests + increment.canary_requests,
            canary_bad: waited.canary_bad + increment.canary_bad,
            stable_requests: waited.stable_requests + increment.stable_requests,
            stable_bad: waited.stable_bad + increment.stable_bad,
        };
        let Increment {
            canary_requests,
            canary_bad,
            stable_requests,
            stable_bad,
        } = increment;
        if canary_requests == 0 || stable_requests == 0 {
            self.one_sided = increment;
            return;
        }
        let on_canary = canary_bad.min(canary_requests) as f64;
        let on_stable = stable_bad.min(stable_requests) as f64;
        if on_canary + on_stable == 0.0 {
            return;
        }
        let theta = canary_requests as f64 / (canary_requests as f64 + stable_requests as f64);
        for point in 0..GRID {
            let odds = odds_ratio(point);
            // p/θ = ρ / (1 − θ + ρθ) and (1 − p)/(1 − θ) = 1 / (1 − θ + ρθ).
            let denominator = (1.0 - theta + odds * theta).ln();
            let change = on_canary * (odds.ln() - denominator) - on_stable * denominator;
            for process in &mut self.begun {
                process[point] += change;
            }
        }
        self.log_e = self.mean_log();
    }

    /// Natural logarithm of the e-value; 0 before anything was seen.
    #[must_use]
    pub fn log_e(&self) -> f64 {
        self.log_e
    }

    fn mean_log(&self) -> f64 {
        let planned = self.planned as f64;
        let waiting = planned - self.begun.len() as f64;
        let mut terms: Vec<f64> = self
            .begun
            .iter()
            .flatten()
            .map(|log| log - (GRID as f64).ln() - planned.ln())
            .collect();
        if waiting > 0.0 {
            terms.push((waiting / planned).ln());
        }
        log_sum_exp(&terms)
    }

    /// The e-value, at most 1e12 so that it can be written down.
    #[must_use]
    pub fn e_value(&self) -> f64 {
        self.log_e.exp().min(E_VALUE_MAX)
    }
}

/// The largest e-value that is reported.
pub const E_VALUE_MAX: f64 = 1e12;

/// Midpoints of equal slices of (1/2, 1) as the share, turned into odds.
fn odds_ratio(point: usize) -> f64 {
    let share = 0.5 + 0.5 * (point as f64 + 0.5) / GRID as f64;
    share / (1.0 - share)
}

fn log_sum_exp(terms: &[f64]) -> f64 {
    let largest = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if !largest.is_finite() {
        return 0.0;
    }
    largest + terms.iter().map(|term| (term - largest).exp()).sum::<f64>().ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn increment(canary_requests: u64, canary_bad: u64, stable_requests: u64, stable_bad: u64) -> Increment {
        Increment {
            canary_requests,
            canary_bad,
            stable_requests,
            stable_bad,
        }
    }

    fn e_value_of(increments: &[Increment]) -> f64 {
        let mut process = EProcess::new(1);
        process.begin();
        for increment in increments {
            process.update(*increment);
        }
        process.log_e().exp()
    }

    fn choose(n: u64, k: u64) -> f64 {
        if k > n {
            return 0.0;
        }
        (0..k).map(|i| (n - i) as f64 / (i + 1) as f64).product()
    }

    /// The beta-binomial e-value with a uniform prior on (1/2, 1), for equal exposures:
    /// 2 · 2^n · ∫ p^s (1−p)^(n−s) dp over (1/2, 1), by the binomial sum for the incomplete beta.
    fn closed_form(s: u64, n: u64) -> f64 {
        let beta = 1.0 / ((n + 1) as f64 * choose(n, s));
        let upper: f64 = (0..=s).map(|k| choose(n + 1, k)).sum::<f64>() / 2.0_f64.powi(n as i32 + 1);
        2.0 * 2.0_f64.powi(n as i32) * beta * upper
    }

    #[test]
    fn with_equal_exposures_it_is_the_beta_binomial_e_value() {
        for (s, n) in [(0, 1), (1, 1), (3, 4), (10, 12), (0, 10), (20, 40), (35, 40)] {
            let ours = e_value_of(&[increment(1000, s, 1000, n - s)]);
            let exact = closed_form(s, n);
            assert!(
                (ours / exact - 1.0).abs() < 0.01,
                "{s} of {n}: {ours} against {exact}"
            );
        }
    }

    #[test]
    fn its_mean_is_at_most_one_when_the_canary_is_the_same() {
        // Every way to lay the bad outcomes over the requests, weighted: the hypergeometric law.
        for (canary, stable) in [(1, 9), (3, 7), (5, 5), (9, 1), (40, 60)] {
            for bad in 1..=8 {
                let all = choose(canary + stable, bad);
                let mean: f64 = (0..=bad)
                    .filter(|s| *s <= canary && bad - s <= stable)
                    .map(|s| {
                        choose(canary, s) * choose(stable, bad - s) / all
                            * e_value_of(&[increment(canary, s, stable, bad - s)])
                    })
                    .sum();
                assert!(mean <= 1.0 + 1e-9, "{canary}:{stable}, {bad} bad: mean {mean}");
                assert!(
                    mean > 0.3,
                    "{canary}:{stable}, {bad} bad: mean {mean}, it could never find anything"
                );
            }
        }
    }

    #[test]
    fn it_rises_with_every_bad_outcome_on_the_canary_and_only_then() {
        let values: Vec<f64> = (0..=6)
            .map(|s| e_value_of(&[increment(50, s, 100, 6 - s)]))
            .collect();
        assert!(values.windows(2).all(|pair| pair[0] < pair[1]), "{values:?}");
        assert!(
            values[0] < 1.0,
            "a better canary is no evidence against it: {values:?}"
        );
    }

    #[test]
    fn exposure_that_changes_is_not_pooled() {
        // A quiet hour with a small canary, then a bad one for everybody with a large one. In each
        // the canary got what its traffic explains; pooled, it seems to have caused it all.
        let quiet = increment(100, 0, 900, 1);
        let bad = increment(900, 18, 100, 2);
        let fair = e_value_of(&[quiet, bad]);
        let pooled = e_value_of(&[increment(1000, 18, 1000, 3)]);
        assert!(fair < 1.0, "{fair}");
        assert!(pooled > 30.0, "{pooled}");
    }

    #[test]
    fn a_side_without_traffic_proves_nothing() {
        for alone in [increment(100, 100, 0, 0), increment(0, 0, 100, 3)] {
            assert_eq!(e_value_of(&[alone, alone]), 1.0);
        }
    }

    #[test]
    fn a_side_whose_traffic_shows_later_is_waited_for() {
        let apart = [increment(100, 30, 0, 0), increment(0, 0, 300, 1)];
        assert_eq!(e_value_of(&apart), e_value_of(&[increment(100, 30, 300, 1)]));
    }

    #[test]
    fn a_fresh_step_forgets_an_innocent_past() {
        let past = increment(3000, 150, 7000, 350);
        let fault = increment(100, 25, 300, 2);
        let mut restarted = EProcess::new(2);
        restarted.begin();
        restarted.update(past);
        restarted.begin();
        restarted.update(fault);
        let mut pooled = EProcess::new(1);
        pooled.begin();
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
    fn impossible_counts_do_not_break_it() {
        let value = e_value_of(&[increment(1, u64::MAX, u64::MAX, u64::MAX)]);
        assert!(value.is_finite(), "{value}");
    }
}
