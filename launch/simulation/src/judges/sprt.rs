//! Wald's sequential probability ratio test, which is told what nobody knows: how the canary would be worse. No test
//! with its bound on false alarms that looks at the same counts finds that one fault sooner on average, so it is the
//! limit for all others.
//!
//! It looks at errors, or at answers beyond the stable side's P99 where the fault is one of latency.

use tminus_plan::sequential::INCREMENT_MIN;

use super::peeked::{beyond_bucket, p99_bucket};
use super::{ALPHA, Judge};
use crate::traffic::{ERROR_RATE, Fault, Second, beyond, bounds_us};

/// What it is told beyond the ratio of both rates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Knows {
    /// Nothing: it sees what ours sees, the traffic and the bad outcomes of both sides, and keeps its bound when
    /// both have a bad hour.
    Ratio,
    /// Also with which chance each request went to the canary; sticky players' traffic does not tell that.
    Split,
    /// Both rates as such: it looks at the canary alone. It would not keep its bound when both sides have a bad hour.
    Rates,
}

#[derive(Debug)]
pub struct Sprt {
    knows: Knows,
    bucket: Option<usize>,
    rates: (f64, f64),
    ln_ratio: f64,
    /// Bad outcomes and requests on the canary and on the stable side that are not judged yet.
    open: [(f64, f64); 2],
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
            open: [(0.0, 0.0); 2],
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
        let odds = canary / stable;
        let compared = |on_canary: f64, on_stable: f64, share: f64| {
            on_canary * odds.ln() - (on_canary + on_stable) * (1.0 - share + odds * share).ln()
        };
        self.ln_ratio += match self.knows {
            Knows::Ratio => {
                let sides = [(on_canary, &second.canary), (on_stable, &second.stable)];
                for (open, (bad, counts)) in self.open.iter_mut().zip(sides) {
                    *open = (open.0 + bad, open.1 + counts.requests as f64);
                }
                let [canary, stable] = self.open;
                if canary.1 == 0.0 || stable.1 == 0.0 || canary.1 + stable.1 < INCREMENT_MIN as f64 {
                    0.0
                } else {
                    self.open = Default::default();
                    compared(canary.0, stable.0, canary.1 / (canary.1 + stable.1))
                }
            }
            Knows::Split => compared(on_canary, on_stable, second.share),
            Knows::Rates => {
                let well = second.canary.requests as f64 - on_canary;
                on_canary * (canary / stable).ln() + well * ((1.0 - canary) / (1.0 - stable)).ln()
            }
        };
        self.ln_ratio >= -ALPHA.ln()
    }
}
