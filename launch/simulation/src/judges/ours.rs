//! The judge of this project, as a plan with its defaults makes it.

use std::collections::BTreeMap;

use tminus_plan::comparison::Comparison;
use tminus_plan::sequential::{EProcess, Increment, Null};
use tminus_plan::{Budgets, CanarySpec, Counts, Margins};

use super::{ALPHA, Judge};
use crate::traffic::Second;

/// A plan that leaves everything to its defaults.
#[must_use]
pub fn spec() -> CanarySpec {
    CanarySpec {
        gateway_admin: String::new(),
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
    /// The best likelihood ratio instead of the mean over the prior: peeking without paying for it.
    BestRatio,
    /// All looks pooled against one exposure.
    PooledExposure,
    /// Errors may use all of alpha, and so may every other metric.
    AlphaForEach,
}

/// Runs a [`Comparison`] from the end of the baseline on.
#[derive(Debug)]
pub struct Ours {
    comparison: Comparison,
    begun: bool,
    mutant: Option<Mutant>,
    pooled: Increment,
}

impl Ours {
    #[must_use]
    pub fn new(mutant: Option<Mutant>) -> Self {
        Self {
            comparison: Comparison::new(&spec()),
            begun: false,
            mutant,
            pooled: Increment::default(),
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
        self.comparison.update(&second.stable, &second.canary);
        let ln_alpha = ALPHA.ln();
        match self.mutant {
            None => self.comparison.worse().is_some(),
            Some(Mutant::BestRatio) => {
                let mut metrics = self.comparison.metrics().iter();
                metrics.any(|metric| metric.ln_e_at_most() + metric.part.ln() >= -ln_alpha)
            }
            Some(Mutant::AlphaForEach) => {
                let mut metrics = self.comparison.metrics().iter();
                metrics.any(|metric| metric.ln_e() >= -ln_alpha)
            }
            Some(Mutant::PooledExposure) => self.pool(second).log_e() >= -ln_alpha,
        }
    }
}
