//! Latency histograms of fixed size (HdrHistogram), in microseconds.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize, Serializer};

/// The longest latency that is told apart; longer ones are recorded as this.
pub const LATENCY_MAX: Duration = Duration::from_secs(120);

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
