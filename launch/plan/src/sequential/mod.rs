//! Tests that may be looked at as often as one likes: do bad outcomes fall on the canary more often than
//! its traffic, and the margin that the plan allows, explain?
//!
//! # The null hypothesis
//! A request `i` would end badly on the stable side with chance `qᵢ`. On a canary that is *not worse* it
//! would with chance at most `min(1, ρ₀·qᵢ + δ)`: `ρ₀ = 1 +` the relative margin, `δ` the absolute one.
//! Nothing is assumed about the `qᵢ`: they may differ from request to request and move with the hour. A
//! slow database hurts both sides and must not look like a bad canary. Which requests of one increment
//! went to the canary is chance: every choice of `n_c` among the `N = n_c + n_s` is as likely.
//!
//! # One increment
//! Of `n` bad outcomes `S` fell on the canary; `θ = n_c/N`. Bad outcomes that are `ρ` times as likely on
//! the canary fall there with chance `p = ρθ/D(ρ)`, `D(ρ) = 1 − θ + ρθ`; at the edge of the null with
//! chance `p₀ = ρ₀θ/D(ρ₀)`. With `a = p/p₀` and `b = (1−p)/(1−p₀)` the factor of this increment is
//!
//! `L(ρ) = aˢ · bⁿ⁻ˢ · exp(−(a−1)δ·n_c)`   for `ρ ≥ ρ₀`.
//!
//! *Its mean is at most 1 under all of the null.* Given who went where, outcomes are independent and the
//! mean of `aˢ bⁿ⁻ˢ` is a product over requests: at most `(1 + (a−1)ρ₀qᵢ)(1 + (a−1)δ)` for one on the
//! canary, `1 − (1−b)qᵢ` for one on the stable side. The `δ` parts are cancelled by the last factor, since `1+x ≤ eˣ`. What is left of
//! the factor of request `i` is larger when `i` is on the canary, whatever `i`; and a random choice of
//! `n_c` requests is negatively associated (Joag-Dev and Proschan 1983), so that the mean of the product is
//! at most the product of the means, each `1 + qᵢ·(θ(a−1)ρ₀ − (1−θ)(1−b))`. Since
//! `(a−1)·ρ₀θ/(1−θ) = (p−p₀)/(1−p₀) = 1−b`, the bracket is 0 and each of them is 1.
//!
//! Where stickiness and not chance decides who goes where, it is enough that the *mean* chance of the canary's requests
//! is at most `ρ₀` times that of the stable side's, and `δ` more: `1+x ≤ eˣ` then bounds the mean by
//! `exp((a−1)·n_c·ρ₀q̄ − (1−b)·n_s·q̄) = 1`.
//!
//! The same holds conditionally, given `n`, where all requests of a side are alike and the *odds* are at
//! most `ρ₀` times the stable side's (`δ = 0`): `S` then follows Fisher's noncentral hypergeometric law with
//! some `ψ ≤ ρ₀`. It is a sum of `n` independent indicators (its generating polynomial has real roots only), so
//! the mean of a convex function such as `L` is at most that under the binomial law with the same mean
//! (Hoeffding 1956). That mean is at most `n·p₀`: at `ψ = 1` both are `nθ`, along `ln ψ` the derivative is the variance, which is
//! `m(1−m/n)` for the binomial law and at most that for the other. And `L` rises in `S`.
//!
//! # Outcomes that are frequent
//! Where half of all outcomes are "bad" (answers slower than the median), `L` above wastes half of the
//! evidence, since it treats them as rare. Without margins (`ρ₀ = 1`, `δ = 0`) the exact ratio is at hand: under equal
//! chances `S` is hypergeometric given `n`, `Z(ψ) = E[ψˢ]`, and `L(ψ) = ψˢ/Z(ψ)` has mean 1 by construction; it
//! rises in `S`, so that a better canary lowers it. Any `U ≥ Z` instead of `Z` keeps the mean at most 1: for
//! large increments `U` is the smaller one of the two binomial bounds `(1−θ+θψ)ⁿ` and `(1−n/N+ψn/N)^n_c`
//! (Hoeffding 1963, theorem 4). Quantiles have their margin in their thresholds: `crate::quantile`.
//!
//! # All increments
//! `θ` changes with every step of a rollout, and with the traffic. Counts of several steps must therefore
//! not be pooled against one `θ`: each increment brings its own factor with its own `θ`, and the product, for
//! a fixed `ρ`, is a supermartingale that starts at 1. So is any mixture over `ρ`. By Ville's inequality it
//! ever reaches `1/α` with chance at most `α`: that is why looking often costs nothing.
//!
//! An increment of `N` requests tells about `1/N` less than its share of a large one would, and one without a
//! request on either side tells nothing. So looks are gathered until [`INCREMENT_MIN`] requests have come, with some on either
//! side. What ends an increment is traffic alone, never an outcome: else the proof would not hold.
//!
//! The mixture is a Dirichlet-multinomial test in the manner of Lindon and Malek (arXiv 2011.03567) for two groups, with
//! another prior than theirs: on `ρ` itself, so that it means the same at every exposure, uniform in `ln ρ` in one or two slices beyond the
//! margin's edge, where faults lie. Only `ρ` beyond the
//! margin has any mass, because only a worse canary matters. It is computed on a grid, which is no
//! approximation of validity: a discrete prior is a prior.
//!
//! # Faults that come late
//! A canary that was fine for an hour and then breaks would first have to lose the credit of that hour. So a
//! fresh process starts with every step of the rollout, and the evidence is the mean over all the processes
//! planned (those to come count as 1). A mean of supermartingales is one.
//!
//! # What it assumes
//! Given the chances, outcomes are independent. One player whose every request fails makes outcomes cluster, and
//! stickiness then puts all of them on one side. So errors that repeat one of the same player are left out where the
//! source tells them (`Counts::errors_repeated`); where none does, counting players instead of requests is the remedy
//! (`business` counters).

#[cfg(test)]
mod tests;

/// An increment is scored when it has so many requests on both sides together.
pub const INCREMENT_MIN: u64 = 20;
/// Up to so many possible values of `S` are summed exactly, beyond it a bound stands in.
const EXACT_MAX: u64 = 256;

/// What happened between two looks, or several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Increment {
    pub canary_requests: u64,
    pub canary_bad: u64,
    pub stable_requests: u64,
    pub stable_bad: u64,
}

impl Increment {
    fn add(&mut self, other: Self) {
        for (sum, more) in [
            (&mut self.canary_requests, other.canary_requests),
            (&mut self.canary_bad, other.canary_bad.min(other.canary_requests)),
            (&mut self.stable_requests, other.stable_requests),
            (&mut self.stable_bad, other.stable_bad.min(other.stable_requests)),
        ] {
            *sum = sum.saturating_add(more);
        }
    }

    /// Whether it may be scored: a question of traffic alone.
    fn is_full(&self) -> bool {
        self.canary_requests > 0
            && self.stable_requests > 0
            && self.canary_requests.saturating_add(self.stable_requests) >= INCREMENT_MIN
    }
}

/// What "not worse" means.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Null {
    /// The canary's chance of a bad outcome is at most `1 + relative` times the stable side's, and
    /// `absolute` more.
    Rate { relative: f64, absolute: f64 },
    /// It is at most the stable side's; for outcomes that may be frequent.
    Exact,
}

/// Evidence against "the canary is not worse", as an e-value.
#[derive(Debug, Clone, PartialEq)]
pub struct EProcess {
    null: Null,
    grid: Vec<Point>,
    /// One per step begun: the log likelihood ratio at each grid point.
    begun: Vec<Vec<f64>>,
    planned: usize,
    open: Increment,
}

/// A point of the prior.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Point {
    odds: f64,
    ln_odds: f64,
    /// Of its prior mass.
    ln_mass: f64,
}

impl EProcess {
    /// `planned`: how many times [`EProcess::begin`] will be called at most (at least 1).
    #[must_use]
    pub fn new(planned: usize, null: Null) -> Self {
        Self {
            null,
            grid: prior(null),
            begun: Vec::new(),
            planned: planned.max(1),
            open: Increment::default(),
        }
    }

    /// Starts a fresh process beside those that run. Beyond the planned number it starts none. What was
    /// gathered and is not scored yet is dropped, since exposures are about to change.
    pub fn begin(&mut self) {
        self.open = Increment::default();
        if self.begun.len() < self.planned {
            // It starts at 1, the value that stood in for it: the mean does not change.
            self.begun.push(vec![0.0; self.grid.len()]);
        }
    }

    /// Takes in what happened since the look before; true if that filled an increment, which was scored.
    pub fn update(&mut self, increment: Increment) -> bool {
        self.open.add(increment);
        if !self.open.is_full() {
            return false;
        }
        let full = std::mem::take(&mut self.open);
        match self.null {
            Null::Rate { relative, absolute } => {
                self.score_rate(full, 1.0 + relative.max(0.0), absolute.max(0.0));
            }
            Null::Exact => self.score_exact(full),
        }
        true
    }

    fn score_rate(&mut self, full: Increment, least: f64, absolute: f64) {
        let on_canary = full.canary_bad as f64;
        let bad = on_canary + full.stable_bad as f64;
        if bad == 0.0 && absolute == 0.0 {
            return;
        }
        let canary = full.canary_requests as f64;
        let theta = canary / (canary + full.stable_requests as f64);
        let spread = |odds: f64| 1.0 - theta + odds * theta;
        let at_least = spread(least);
        for (at, point) in self.grid.iter().enumerate() {
            // b = D(ρ₀)/D(ρ), a = (ρ/ρ₀)·b.
            let b = at_least / spread(point.odds);
            let a = point.odds / least * b;
            let mut change = -(a - 1.0) * absolute * canary;
            if bad > 0.0 {
                change += on_canary * (point.ln_odds - least.ln()) + bad * b.ln();
            }
            for process in &mut self.begun {
                process[at] += change;
            }
        }
    }

    fn score_exact(&mut self, full: Increment) {
        if full.canary_bad == 0 && full.stable_bad == 0 {
            return;
        }
        let law = Hypergeometric::of(full);
        let means = law.ln_mean_powers(&self.grid);
        for (at, (point, ln_mean)) in self.grid.iter().zip(means).enumerate() {
            let change = full.canary_bad as f64 * point.ln_odds - ln_mean;
            for process in &mut self.begun {
                process[at] += change;
            }
        }
    }

    /// Natural logarithm of the e-value; 0 before anything was scored.
    #[must_use]
    pub fn log_e(&self) -> f64 {
        let ln_planned = (self.planned as f64).ln();
        let waiting = self.planned - self.begun.len();
        let terms = || {
            let waits = (waiting > 0).then(|| (waiting as f64).ln() - ln_planned);
            self.begun
                .iter()
                .flat_map(|process| process.iter().zip(&self.grid))
                .map(move |(log, point)| log + point.ln_mass - ln_planned)
                .chain(waits)
        };
        let largest = terms().fold(f64::NEG_INFINITY, f64::max);
        if !largest.is_finite() {
            return 0.0;
        }
        largest + terms().map(|term| (term - largest).exp()).sum::<f64>().ln()
    }

    /// At least [`EProcess::log_e`], and cheap: the largest log likelihood ratio.
    #[must_use]
    pub fn log_e_at_most(&self) -> f64 {
        self.begun.iter().flatten().copied().fold(0.0, f64::max)
    }

    /// The e-value, at most 1e12 so that it can be written down.
    #[must_use]
    pub fn e_value(&self) -> f64 {
        e_value(self.log_e())
    }
}

/// The largest e-value that is reported.
pub const E_VALUE_MAX: f64 = 1e12;

/// The e-value of a logarithm, at most [`E_VALUE_MAX`].
#[must_use]
pub fn e_value(log_e: f64) -> f64 {
    log_e.exp().min(E_VALUE_MAX)
}

/// A slice of the prior, as multiples of the largest odds that the null allows: from, to, mass, points. Within it
/// the prior is uniform in the logarithm.
type Slice = (f64, f64, f64, u32);

/// Faults multiply errors; most of the mass lies where they would be felt.
const RATE_PRIOR: [Slice; 2] = [(1.05, 4.0, 0.15, 16), (4.0, 30.0, 0.85, 32)];
/// Outcomes that are frequent cannot be many times as frequent.
const EXACT_PRIOR: [Slice; 1] = [(1.05, 10.0, 1.0, 48)];

fn prior(null: Null) -> Vec<Point> {
    let (least, slices) = match null {
        Null::Rate { relative, .. } => (1.0 + relative.max(0.0), &RATE_PRIOR[..]),
        Null::Exact => (1.0, &EXACT_PRIOR[..]),
    };
    let point = |(from, to, mass, points): Slice, at: u32| {
        let odds = least * from * (to / from).powf((f64::from(at) + 0.5) / f64::from(points));
        Point {
            odds,
            ln_odds: odds.ln(),
            ln_mass: (mass / f64::from(points)).ln(),
        }
    };
    slices
        .iter()
        .flat_map(|slice| (0..slice.3).map(move |at| point(*slice, at)))
        .collect()
}

/// How many of an increment's bad outcomes fall on the canary when each request is as likely to be one.
struct Hypergeometric {
    /// Chances of the possible numbers, from the largest down; none when they are too many to sum.
    chances: Option<Vec<f64>>,
    most: f64,
    canary: f64,
    bad: f64,
    all: f64,
}

impl Hypergeometric {
    fn of(full: Increment) -> Self {
        let (canary, stable) = (full.canary_requests, full.stable_requests);
        let bad = full.canary_bad.saturating_add(full.stable_bad);
        let (least, most) = (bad.saturating_sub(stable), bad.min(canary));
        let chances = (most - least <= EXACT_MAX).then(|| {
            // Each from its neighbour, then scaled to sum to 1; the largest is kept in range on the way.
            let mut chances = vec![1.0_f64];
            for s in (least..most).rev() {
                let up = (canary - s) as f64 * (bad - s) as f64;
                let down = (s + 1) as f64 * ((stable - (bad - s)) as f64 + 1.0);
                let next = chances[chances.len() - 1] * down / up;
                chances.push(next);
                if next > 1e200 {
                    chances.iter_mut().for_each(|chance| *chance /= 1e200);
                }
            }
            let sum: f64 = chances.iter().sum();
            chances.iter_mut().for_each(|chance| *chance /= sum);
            chances
        });
        Self {
            chances,
            most: most as f64,
            canary: canary as f64,
            bad: bad as f64,
            all: canary as f64 + stable as f64,
        }
    }

    /// For each point: the logarithm of the mean of its odds to the power of the number, or a bound on it from
    /// above.
    fn ln_mean_powers(&self, grid: &[Point]) -> Vec<f64> {
        let Some(chances) = &self.chances else {
            let (by_canary, by_bad) = (self.canary / self.all, self.bad / self.all);
            let bound = |draws: f64, share: f64, odds: f64| draws * (1.0 - share + odds * share).ln();
            return grid
                .iter()
                .map(|at| bound(self.bad, by_canary, at.odds).min(bound(self.canary, by_bad, at.odds)))
                .collect();
        };
        // Horner's rule in 1/odds, so that nothing overflows; all points side by side, which is several times
        // as fast as one after the other.
        let inverses: Vec<f64> = grid.iter().map(|at| 1.0 / at.odds).collect();
        let mut sums = vec![0.0; grid.len()];
        for chance in chances.iter().rev() {
            for (sum, inverse) in sums.iter_mut().zip(&inverses) {
                *sum = *sum * inverse + chance;
            }
        }
        grid.iter()
            .zip(sums)
            .map(|(at, sum)| self.most * at.ln_odds + sum.ln())
            .collect()
    }
}
