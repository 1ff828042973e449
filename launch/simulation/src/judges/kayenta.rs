//! Samples of metrics compared by Mann and Whitney's test, in the manner of Kayenta (`NetflixACAJudge`,
//! `MannWhitneyClassifier`).
//!
//! Each minute gives one sample per metric and side: the share of errors, and P99. At the end of each analysis
//! interval all samples so far are compared: a metric is *high* when the lower end of the 98 % confidence
//! interval of the shift is above a quarter of its Hodges-Lehmann estimate. The score is the share of metrics that are not
//! high, weighted alike; below the marginal score of 75 the canary fails. (Outliers are fenced at the 1st and the 99th percentile at least, which
//! excludes nothing among fewer than 100 samples, so that step is left out.)

use super::{Interval, Judge};
use crate::traffic::Second;

const SAMPLE_S: u32 = 60;
const ANALYSIS_S: u32 = 300;
/// Of the normal law, for a two-sided level of 98 %.
const Z: f64 = 2.326_347_9;
const TOLERANCE: f64 = 0.25;
const MARGINAL_SCORE: f64 = 75.0;

#[derive(Debug, Default)]
pub struct Kayenta {
    intervals: [Interval; 2],
    /// By metric, then by side: stable, canary.
    samples: [[Vec<f64>; 2]; 2],
    seconds: u32,
    failed: bool,
}

impl Judge for Kayenta {
    fn looks(&mut self, second: &Second) -> bool {
        self.intervals[0].add(&second.stable);
        self.intervals[1].add(&second.canary);
        self.seconds += 1;
        if self.seconds.is_multiple_of(SAMPLE_S) {
            for side in 0..2 {
                let interval = std::mem::take(&mut self.intervals[side]);
                self.samples[0][side].extend(interval.error_share());
                self.samples[1][side].extend(interval.quantile_us(0.99));
            }
        }
        if self.seconds.is_multiple_of(ANALYSIS_S) {
            let metrics = self.samples.len() as f64;
            let high = self
                .samples
                .iter()
                .filter(|[stable, canary]| is_high(stable, canary));
            let score = 100.0 * (1.0 - high.count() as f64 / metrics);
            self.failed |= score < MARGINAL_SCORE;
        }
        self.failed
    }
}

/// Whether the canary's samples lie above the stable side's by more than the tolerance.
fn is_high(stable: &[f64], canary: &[f64]) -> bool {
    if stable.is_empty() || canary.is_empty() {
        return false;
    }
    let mut shifts: Vec<f64> = canary
        .iter()
        .flat_map(|x| stable.iter().map(move |y| x - y))
        .collect();
    shifts.sort_unstable_by(f64::total_cmp);
    let (m, n) = (canary.len() as f64, stable.len() as f64);
    let all = m + n;
    // Samples that are equal (minutes without an error) carry less.
    let mut sorted: Vec<f64> = stable.iter().chain(canary).copied().collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let ties: f64 = sorted
        .chunk_by(|a, b| a == b)
        .map(|tied| (tied.len() as f64).powi(3) - tied.len() as f64)
        .sum();
    let variance = m * n / 12.0 * (all + 1.0 - ties / (all * (all - 1.0)));
    if variance <= 0.0 {
        return false;
    }
    // The ends of the interval are order statistics of all shifts (normal approximation, with continuity correction).
    let rank = (m * n / 2.0 - Z * variance.sqrt() - 0.5).max(0.0) as usize;
    let middle = shifts.len() / 2;
    let estimate = if shifts.len() % 2 == 1 {
        shifts[middle]
    } else {
        f64::midpoint(shifts[middle - 1], shifts[middle])
    };
    shifts[rank] > TOLERANCE * estimate.abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_that_lie_apart_are_high_and_mixed_ones_are_not() {
        let low: Vec<f64> = (0..10).map(f64::from).collect();
        let high: Vec<f64> = (20..30).map(f64::from).collect();
        assert!(is_high(&low, &high));
        assert!(!is_high(&high, &low), "a better canary");
        assert!(!is_high(&low, &low));
        assert!(!is_high(&[0.0; 10], &[0.0; 10]), "nothing but ties");
        assert!(!is_high(&[], &high));
    }
}
