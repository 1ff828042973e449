//! How fast somebody may ask: a token bucket.

use std::time::Duration;

use tokio::time::Instant;

/// Fills at a steady rate up to its capacity; each command takes one token.
#[derive(Debug, Clone)]
pub struct TokenBucket {
    capacity: f64,
    per_second: f64,
    tokens: f64,
    at: Instant,
}

impl TokenBucket {
    /// A full bucket.
    #[must_use]
    pub fn new(per_second: u32, capacity: u32, now: Instant) -> Self {
        let capacity = f64::from(capacity);
        Self {
            capacity,
            per_second: f64::from(per_second),
            tokens: capacity,
            at: now,
        }
    }

    /// A full bucket of so many tokens, which a minute fills again.
    #[must_use]
    pub fn per_minute(tokens: u32, now: Instant) -> Self {
        Self::every(Duration::from_secs(60), tokens, now)
    }

    /// A full bucket of so many tokens, which `period` fills again.
    #[must_use]
    pub fn every(period: Duration, tokens: u32, now: Instant) -> Self {
        Self {
            per_second: f64::from(tokens) / period.as_secs_f64(),
            ..Self::new(0, tokens, now)
        }
    }

    #[must_use]
    pub fn is_full(&self, now: Instant) -> bool {
        self.at_time(now) >= self.capacity
    }

    fn at_time(&self, now: Instant) -> f64 {
        let elapsed = now.saturating_duration_since(self.at).as_secs_f64();
        (self.tokens + elapsed * self.per_second).min(self.capacity)
    }

    /// Takes one token; false if there is none.
    pub fn take(&mut self, now: Instant) -> bool {
        self.tokens = self.at_time(now);
        self.at = now;
        let enough = self.tokens >= 1.0;
        if enough {
            self.tokens -= 1.0;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_fills_again_in_its_period() {
        let start = Instant::now();
        let mut bucket = TokenBucket::every(Duration::from_secs(5), 3, start);
        assert_eq!((0..5).filter(|_| bucket.take(start)).count(), 3);
        let seconds = |seconds| start + Duration::from_secs(seconds);
        assert!(!bucket.take(seconds(1)));
        assert!(bucket.take(seconds(2)), "one in five thirds of a second");
        assert_eq!((0..5).filter(|_| bucket.take(seconds(7))).count(), 3);
    }

    #[test]
    fn a_bucket_allows_a_burst_and_then_its_rate() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(10, 3, start);
        assert_eq!((0..5).filter(|_| bucket.take(start)).count(), 3);
        assert!(!bucket.take(start + Duration::from_millis(99)));
        assert!(bucket.take(start + Duration::from_millis(110)));
        let later = start + Duration::from_secs(60);
        assert_eq!(
            (0..5).filter(|_| bucket.take(later)).count(),
            3,
            "it never holds more than its capacity"
        );
    }
}
