//! What a spreadsheet would do: a two-proportion z-test on everything so far, looked at each second, once for
//! errors and once for answers beyond the stable side's P99 (which it is told). Each is one-sided at half of alpha, as if it were the only look.

use tminus_plan::Counts;

use super::Judge;
use crate::traffic::{Fault, Second, beyond, bounds_us};

/// Of the normal law, for 0.5 %.
const Z: f64 = 2.575_829_3;
/// Below this the approximation is no use to anybody.
const REQUESTS_MIN: u64 = 30;

#[derive(Debug)]
pub struct Peeked {
    p99_bucket: usize,
    /// By metric; per side, stable then canary, bad and all.
    sums: [[(u64, u64); 2]; 2],
}

/// The first bucket that lies beyond the stable side's P99 as a whole.
pub(super) fn p99_bucket() -> usize {
    let bounds = bounds_us();
    let within = |upper: &u64| beyond(Fault::None, *upper as f64) > 0.01;
    bounds.iter().take_while(|upper| within(upper)).count() + 1
}

/// Answers in this bucket and those after it.
pub(super) fn beyond_bucket(counts: &Counts, bucket: usize) -> u64 {
    counts.latency_us.iter().skip(bucket).map(|bucket| bucket.1).sum()
}

impl Default for Peeked {
    fn default() -> Self {
        Self {
            p99_bucket: p99_bucket(),
            sums: Default::default(),
        }
    }
}

impl Judge for Peeked {
    fn looks(&mut self, second: &Second) -> bool {
        for (side, counts) in [&second.stable, &second.canary].into_iter().enumerate() {
            let slow = beyond_bucket(counts, self.p99_bucket);
            for (metric, bad) in [counts.errors, slow].into_iter().enumerate() {
                let (sum, all) = &mut self.sums[metric][side];
                *sum += bad;
                *all += counts.requests;
            }
        }
        self.sums
            .iter()
            .any(|[stable, canary]| is_significant(*stable, *canary))
    }
}

fn is_significant(stable: (u64, u64), canary: (u64, u64)) -> bool {
    if stable.1 < REQUESTS_MIN || canary.1 < REQUESTS_MIN {
        return false;
    }
    let [(bad_s, all_s), (bad_c, all_c)] = [stable, canary].map(|(bad, all)| (bad as f64, all as f64));
    let pooled = (bad_s + bad_c) / (all_s + all_c);
    let deviation = (pooled * (1.0 - pooled) * (1.0 / all_s + 1.0 / all_c)).sqrt();
    deviation > 0.0 && bad_c / all_c - bad_s / all_s > Z * deviation
}
