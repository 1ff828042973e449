//! Latency histograms of fixed size (HdrHistogram), in microseconds.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize, Serializer};

/// The longest latency that is told apart; longer ones are recorded as this.
pub const LATENCY_MAX: Duration = Duration::from_secs(120);

const BUCKET_FIRST_US: f64 = 100.0;
const BUCKET_GROWTH: f64 = 1.1;
const BUCKET_LAST_US: u64 = 60_000_000;

/// Latencies with three significant digits, from 1 µs to [`LATENCY_MAX`]. Serialises as its summary.
#[derive(Clone, Debug, PartialEq)]
pub struct LatencyHistogram {
    micros: Histogram<u64>,
}

/// The usual figures of a histogram, in milliseconds. All zero when nothing was recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LatencySummary {
    pub count: u64,
    pub mean_ms: f64,
    pub p50_ms: f64,
    pub p90_ms: f64,
    pub p99_ms: f64,
    pub p999_ms: f64,
    pub max_ms: f64,
}

impl Default for LatencyHistogram {
    fn default() -> Self {
        let micros = Histogram::new_with_bounds(1, LATENCY_MAX.as_micros() as u64, 3)
            .expect("1 µs to 120 s at 3 digits is a valid range");
        Self { micros }
    }
}

impl LatencyHistogram {
    pub fn record(&mut self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.micros.saturating_record(micros.max(1));
    }

    /// Adds all that `other` holds.
    pub fn merge(&mut self, other: &Self) {
        self.micros
            .add(&other.micros)
            .expect("both histograms have the same bounds");
    }

    pub fn clear(&mut self) {
        self.micros.reset();
    }

    pub fn count(&self) -> u64 {
        self.micros.len()
    }

    /// How many were longer than `limit` (to three significant digits).
    pub fn count_above(&self, limit: Duration) -> u64 {
        let micros = u64::try_from(limit.as_micros()).unwrap_or(u64::MAX);
        if micros >= self.micros.high() {
            return 0;
        }
        self.micros.len() - self.micros.count_between(0, micros)
    }

    /// (Upper bound in µs, count), not cumulative, with bounds that grow by a tenth from 100 µs to 60 s; the
    /// last bucket also holds what was longer. Two histograms of one run may be subtracted bucket by bucket.
    pub fn buckets_us(&self) -> Vec<(u64, u64)> {
        let mut buckets: Vec<(u64, u64)> =
            std::iter::successors(Some(BUCKET_FIRST_US), |bound| Some(bound * BUCKET_GROWTH))
                .take_while(|bound| *bound < BUCKET_LAST_US as f64)
                .map(|bound| (bound.round() as u64, 0))
                .chain([(BUCKET_LAST_US, 0)])
                .collect();
        let last = buckets.len() - 1;
        for value in self.micros.iter_recorded() {
            let at = buckets.partition_point(|(upper, _)| *upper < value.value_iterated_to());
            buckets[at.min(last)].1 += value.count_at_value();
        }
        buckets
    }

    /// The latency at quantile `q` (0 to 1), in milliseconds; 0 when empty.
    pub fn quantile_ms(&self, q: f64) -> f64 {
        if self.micros.is_empty() {
            0.0
        } else {
            self.micros.value_at_quantile(q) as f64 / 1000.0
        }
    }

    pub fn summary(&self) -> LatencySummary {
        if self.micros.is_empty() {
            return LatencySummary::default();
        }
        LatencySummary {
            count: self.micros.len(),
            mean_ms: self.micros.mean() / 1000.0,
            p50_ms: self.quantile_ms(0.50),
            p90_ms: self.quantile_ms(0.90),
            p99_ms: self.quantile_ms(0.99),
            p999_ms: self.quantile_ms(0.999),
            max_ms: self.micros.max() as f64 / 1000.0,
        }
    }
}

impl Serialize for LatencyHistogram {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.summary().serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_hold_every_latency_once() {
        let mut h = LatencyHistogram::default();
        for us in [1, 100, 101, 110, 50_000, 119_000_000] {
            h.record(Duration::from_micros(us));
        }
        let buckets = h.buckets_us();
        assert_eq!(buckets.len(), 141);
        assert_eq!(buckets[..3], [(100, 2), (110, 2), (121, 0)]);
        assert_eq!(buckets[140], (60_000_000, 1));
        assert_eq!(buckets.iter().map(|bucket| bucket.1).sum::<u64>(), 6);
    }

    #[test]
    fn quantiles_are_right_to_three_digits() {
        let mut h = LatencyHistogram::default();
        for ms in 1..=1000 {
            h.record(Duration::from_millis(ms));
        }
        let s = h.summary();
        assert_eq!(s.count, 1000);
        for (got, want) in [
            (s.p50_ms, 500.0),
            (s.p90_ms, 900.0),
            (s.p99_ms, 990.0),
            (s.max_ms, 1000.0),
        ] {
            assert!((got - want).abs() <= want * 0.002, "{got} for {want}");
        }
        assert_eq!(h.count_above(Duration::from_millis(990)), 10);
        assert_eq!(h.count_above(LATENCY_MAX), 0);
    }

    #[test]
    fn an_empty_histogram_is_all_zero_and_a_long_latency_is_kept_as_the_longest() {
        let mut h = LatencyHistogram::default();
        assert_eq!(h.summary(), LatencySummary::default());
        h.record(Duration::from_secs(3600));
        h.record(Duration::ZERO);
        assert_eq!(h.count(), 2);
        assert!((h.summary().max_ms - 120_000.0).abs() < 200.0);
    }

    #[test]
    fn merging_adds_counts() {
        let (mut a, mut b) = (LatencyHistogram::default(), LatencyHistogram::default());
        a.record(Duration::from_millis(1));
        b.record(Duration::from_millis(100));
        a.merge(&b);
        assert_eq!((a.count(), a.count_above(Duration::from_millis(50))), (2, 1));
    }
}
