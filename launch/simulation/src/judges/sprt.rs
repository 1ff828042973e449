//! Wald's sequential probability ratio test, which is told what nobody knows: how the canary would be worse, and
//! with which chance a request went to it. No test with its bound on false alarms finds that one fault
//! sooner on average, so it is the limit for all others.
//!
//! It looks at errors, or at answers beyond the stable side's P99 where the fault is one of latency.

use super::peeked::{beyond_bucket, p99_bucket};
use super::{ALPHA, Judge};
use crate::traffic::{ERROR_RATE, Fault, Second, beyond, bounds_us};

/// What it is told beyond the ratio of both rates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Knows {
    /// Nothing: like ours it compares the two sides, and keeps its bound when both have a bad hour.
    Ratio,
    /// Both rates as such: it looks at the canary alone. It would not keep its bound when both sides have a bad hour.
    Rates,
}

#[derive(Debug)]
pub struct Sprt {
    knows: Knows,
    bucket: Option<usize>,
    rates: (f64, f64),
    ln_ratio: f64,
}

impl Sprt {
    #[must_use]
    pub fn new(knows: Knows, fault: Fault) -> Self {
        let bucket = matches!(fault, Fault::Slower(_) | Fault::Tail(_)).then(p99_bucket);
        let rates = match bucket {
            // The bucket's lower bound.
            Some(bucket) => {
                let bound = bounds_us()[bucket - 1] as f64;
                (beyond(Fault::None, bound), beyond(fault, bound))
            }
            // Without a fault it looks for ten times the errors.
            None if fault == Fault::None => (ERROR_RATE, 10.0 * ERROR_RATE),
            None => (ERROR_RATE, ERROR_RATE * fault.error_ratio()),
        };
        Self {
            knows,
            bucket,
            rates,
            ln_ratio: 0.0,
        }
    }
}

impl Judge for Sprt {
    fn looks(&mut self, second: &Second) -> bool {
        let bad = |counts| match self.bucket {
            Some(bucket) => beyond_bucket(counts, bucket),
            None => counts.errors,
        };
        let (on_canary, on_stable) = (bad(&second.canary) as f64, bad(&second.stable) as f64);
        let (stable, canary) = self.rates;
        self.ln_ratio += match self.knows {
            Knows::Ratio => {
                let odds = canary / stable;
                let spread = 1.0 - second.share + odds * second.share;
                on_canary * odds.ln() - (on_canary + on_stable) * spread.ln()
            }
            Knows::Rates => {
                let well = second.canary.requests as f64 - on_canary;
                on_canary * (canary / stable).ln() + well * ((1.0 - canary) / (1.0 - stable)).ln()
            }
        };
        self.ln_ratio >= -ALPHA.ln()
    }
}
