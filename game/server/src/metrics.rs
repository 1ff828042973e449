//! What games do, in figures that anybody may read while they change.

use std::sync::atomic::{AtomicU64, Ordering};

/// Something that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    #[must_use]
    pub fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How many there are at the moment. Whoever raises it lowers it again.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    pub fn rise(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub fn fall(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    #[must_use]
    pub fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Figures of the games of one process; each is right by itself.
#[derive(Debug, Default)]
pub struct GameMetrics {
    /// In memory: going on, or ended a short while ago.
    pub open: Gauge,
    /// Going on.
    pub running: Gauge,
    /// Games that followed another one of the same two.
    pub rematches: Counter,
    /// Emotes on their way to the opponent.
    pub emotes_passed: Counter,
    /// Emotes whose opponent was away or too slow.
    pub emotes_dropped: Counter,
    /// Emotes refused because there were too many.
    pub emotes_refused: Counter,
}
