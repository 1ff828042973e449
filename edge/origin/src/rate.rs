//! How fast somebody may ask: token buckets, one or one for each of many.

use std::collections::HashMap;
use std::hash::Hash;
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

    fn full_at(&self, now: Instant) -> Self {
        Self {
            tokens: self.capacity,
            at: now,
            ..self.clone()
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

/// A full table is swept at most this often.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// A bucket for each of many, in a table that does not grow without bound: those that find no room share one.
#[derive(Debug)]
pub struct Buckets<K> {
    table: HashMap<K, TokenBucket>,
    keys_max: usize,
    others: TokenBucket,
    swept_at: Instant,
    new: TokenBucket,
}

impl<K: Eq + Hash> Buckets<K> {
    /// All begin like `new`, which is full.
    #[must_use]
    pub fn new(new: TokenBucket, keys_max: usize, now: Instant) -> Self {
        Self {
            table: HashMap::new(),
            keys_max,
            others: new.clone(),
            swept_at: now,
            new,
        }
    }

    /// Takes a token of this one's; false if there is none.
    pub fn take(&mut self, key: K, now: Instant) -> bool {
        if !self.table.contains_key(&key) {
            let full = self.table.len() >= self.keys_max;
            if full && now.saturating_duration_since(self.swept_at) >= SWEEP_EVERY {
                self.swept_at = now;
                // An allowance that is whole again need not be remembered.
                self.table.retain(|_, bucket| !bucket.is_full(now));
            }
            if self.table.len() >= self.keys_max {
                return self.others.take(now);
            }
        }
        self.table
            .entry(key)
            .or_insert_with(|| self.new.full_at(now))
            .take(now)
    }

    /// How many are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether nobody is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
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

    #[test]
    fn each_has_a_bucket_and_the_table_is_bounded() {
        let start = Instant::now();
        let mut buckets = Buckets::new(TokenBucket::per_minute(3, start), 10, start);
        let mut allowed = |n: u32, at| (0..5).filter(|_| buckets.take(n, at)).count();
        assert_eq!(allowed(0, start), 3);
        assert_eq!(allowed(1, start), 3);
        assert_eq!(
            allowed(0, start + Duration::from_secs(21)),
            1,
            "a third of a minute"
        );
        // A thousand more: those that find no room share one allowance.
        let total: usize = (2..1000).map(|n| allowed(n, start)).sum();
        assert_eq!(total, 8 * 3 + 3);
        let later = start + Duration::from_secs(120);
        assert_eq!(
            allowed(5000, later),
            3,
            "room again, for whoever is whole is forgotten"
        );
        assert_eq!(buckets.len(), 1);
    }
}
