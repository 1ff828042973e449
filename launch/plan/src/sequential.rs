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
}

impl EProcess {
    /// `planned`: how many times [`EProcess::begin`] will be called at most (at least 1).
    #[must_use]
    pub fn new(planned: usize) -> Self {
        Self {
            begun: Vec::new(),
            planned: planned.max(1),
        }
    }

    /// Starts a fresh process beside those that run. Beyond the planned number it does nothing.
    pub fn begin(&mut self) {
        if self.begun.len() < self.planned {
            self.begun.push(vec![0.0; GRID]);
        }
    }

    /// Takes in what happened since the look before. An increment in which one side had no
    /// traffic compares nothing and changes nothing.
    pub fn update(&mut self, increment: Increment) {
        let Increment {
            canary_requests,
            canary_bad,
            stable_requests,
            stable_bad,
        } = increment;
        if canary_requests == 0 || stable_requests == 0 {
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
    }

    /// Natural logarithm of the e-value; 0 before anything was seen.
    #[must_use]
    pub fn log_e(&self) -> f64 {
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
        self.log_e().exp().min(E_VALUE_MAX)
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
