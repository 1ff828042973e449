//! The judge of this project, as a plan with its defaults makes it.

use std::collections::BTreeMap;

use tminus_plan::comparison::Comparison;
use tminus_plan::sequential::{EProcess, Increment, Null};
use tminus_plan::{Budgets, CanarySpec, Counts, Margins, RouterSpec};

use super::{ALPHA, Judge};
use crate::traffic::Second;

/// Of the normal law, one-sided.
const Z_ONE_PERCENT: f64 = 2.326_347_9;

/// A plan that leaves everything to its defaults.
#[must_use]
pub fn spec() -> CanarySpec {
    CanarySpec {
        router: RouterSpec::Gateway { admin: String::new() },
        probe: None,
        releases: None,
        metrics: None,
        stable: "stable".to_owned(),
        canary: "canary".to_owned(),
        steps: vec![0, 30, 100],
        at: BTreeMap::new(),
        freeze: Vec::new(),
        min_requests: 1,
        hold_s: 600.0,
        look_every_s: 1.0,
        slow_ms: None,
        quantiles: vec![0.5, 0.95, 0.99],
        margins: Margins::default(),
        business: Vec::new(),
        alpha: ALPHA,
        alpha_parts: BTreeMap::new(),
        traffic: None,
        drain: false,
        budgets: Budgets {
            step_s: 1e9,
            fast_kill_min: 20,
            fast_kill_share: 0.2,
        },
    }
}

/// A judge that is broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// Errors on the canary above their mean by as many standard deviations as one look at the end would take.
    PeekedScore,
    /// All looks pooled against one exposure.
    PooledExposure,
    /// The limit is not 1/alpha but 2: impatience.
    NoLimit,
    /// Errors that repeat one count too.
    EveryError,
}

/// Runs a [`Comparison`] from the end of the baseline on.
#[derive(Debug)]
pub struct Ours {
    comparison: Comparison,
    begun: bool,
    mutant: Option<Mutant>,
    pooled: Increment,
    /// Errors on the canary beyond their share, and the variance of their number.
    excess: (f64, f64),
}

impl Ours {
    #[must_use]
    pub fn new(mutant: Option<Mutant>) -> Self {
        Self {
            comparison: Comparison::new(&spec()),
            begun: false,
            mutant,
            pooled: Increment::default(),
            excess: (0.0, 0.0),
        }
    }

    fn score(&mut self, second: &Second) -> f64 {
        let [canary, stable] = [&second.canary, &second.stable].map(|c| (c.errors as f64, c.requests as f64));
        let bad = canary.0 + stable.0;
        if canary.1 > 0.0 && stable.1 > 0.0 {
            let share = canary.1 / (canary.1 + stable.1);
            self.excess.0 += canary.0 - bad * share;
            self.excess.1 += bad * share * (1.0 - share);
        }
        // A handful of errors is not enough for the approximation.
        if self.excess.1 < 1.0 {
            0.0
        } else {
            self.excess.0 / self.excess.1.sqrt()
        }
    }

    fn pool(&mut self, second: &Second) -> EProcess {
        let pooled = &mut self.pooled;
        pooled.canary_requests += second.canary.requests;
        pooled.canary_bad += second.canary.errors;
        pooled.stable_requests += second.stable.requests;
        pooled.stable_bad += second.stable.errors;
        let null = Null::Rate {
            relative: 0.1,
            absolute: 0.0002,
        };
        let mut process = EProcess::new(1, null);
        process.begin();
        process.update(self.pooled);
        process
    }
}

impl Judge for Ours {
    fn baseline(&mut self, second: &Second) {
        self.comparison.update(&second.stable, &Counts::default());
    }

    fn looks(&mut self, second: &Second) -> bool {
        if !self.begun {
            self.begun = true;
            self.comparison.begin();
        }
        if self.mutant == Some(Mutant::EveryError) {
            let [stable, canary] = [&second.stable, &second.canary].map(|counts| Counts {
                errors_repeated: 0,
                ..counts.clone()
            });
            self.comparison.update(&stable, &canary);
        } else {
            self.comparison.update(&second.stable, &second.canary);
        }
        let ln_alpha = ALPHA.ln();
        match self.mutant {
            None | Some(Mutant::EveryError) => self.comparison.worse().is_some(),
            Some(Mutant::PeekedScore) => self.score(second) > Z_ONE_PERCENT,
            Some(Mutant::NoLimit) => {
                let mut metrics = self.comparison.metrics().iter();
                metrics.any(|metric| metric.ln_e() >= 2.0_f64.ln())
            }
            Some(Mutant::PooledExposure) => self.pool(second).log_e() >= -ln_alpha,
        }
    }
}
