//! Judges of a canary that all see the same traffic. Each answers after every second whether it would roll back now.

mod flagger;
mod kayenta;
mod ours;
mod peeked;
mod sprt;

pub use flagger::Flagger;
pub use kayenta::Kayenta;
pub use ours::{Mutant, Ours, spec};
pub use peeked::Peeked;
pub use sprt::{Knows, Sprt};

use tminus_plan::Counts;

use crate::traffic::Second;

/// The bound on false rollbacks that a judge is asked to keep, if it knows such a bound.
pub const ALPHA: f64 = 0.01;

/// Decides while traffic goes on.
pub trait Judge {
    /// Before the canary has traffic.
    fn baseline(&mut self, _second: &Second) {}

    /// Whether the canary is rolled back after this second.
    fn looks(&mut self, second: &Second) -> bool;
}

/// What one side answered in an interval.
#[derive(Debug, Default)]
struct Interval(Counts);

impl Interval {
    fn add(&mut self, counts: &Counts) {
        self.0 += counts;
    }

    fn error_share(&self) -> Option<f64> {
        (self.0.requests > 0).then(|| self.0.errors as f64 / self.0.requests as f64)
    }

    /// Linear within the bucket, as Prometheus' `histogram_quantile` does it.
    fn quantile_us(&self, quantile: f64) -> Option<f64> {
        let all: u64 = self.0.latency_us.iter().map(|bucket| bucket.1).sum();
        let rank = quantile * all as f64;
        let (mut below, mut lower) = (0.0, 0.0);
        for (upper, count) in &self.0.latency_us {
            let count = *count as f64;
            if count > 0.0 && below + count >= rank {
                return Some(lower + (*upper as f64 - lower) * (rank - below) / count);
            }
            below += count;
            lower = *upper as f64;
        }
        None
    }
}
