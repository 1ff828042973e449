//! The lobby's time: the wall clock, except that it never goes back.

use crate::time::TimeSource;

/// Reads a clock that may be set back and passes on one that is not. A wait goes on as if nothing
/// had happened; without this a clock set back by an hour would keep windows shut for an hour.
#[derive(Debug)]
pub struct SteadyTime {
    source: TimeSource,
    last_ms: i64,
    /// By how much the clock was set back so far.
    behind_ms: i64,
}

impl SteadyTime {
    #[must_use]
    pub fn new(source: TimeSource) -> Self {
        let last_ms = source.now_ms();
        Self {
            source,
            last_ms,
            behind_ms: 0,
        }
    }

    /// Milliseconds since 1970-01-01 UTC, never fewer than before.
    pub fn now_ms(&mut self) -> u64 {
        let read_ms = self.source.now_ms();
        if read_ms < self.last_ms {
            tracing::warn!(by_ms = self.last_ms - read_ms, "the clock was set back");
            self.behind_ms += self.last_ms - read_ms;
        }
        self.last_ms = read_ms;
        u64::try_from(read_ms.saturating_add(self.behind_ms)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    };

    use super::*;

    #[test]
    fn a_clock_set_back_goes_on_from_where_it_was() {
        let wall = Arc::new(AtomicI64::new(1_000_000));
        let read = wall.clone();
        let mut steady = SteadyTime::new(TimeSource::new(move || read.load(Ordering::Relaxed)));
        let mut at = |wall_ms: i64| {
            wall.store(wall_ms, Ordering::Relaxed);
            steady.now_ms()
        };
        assert_eq!(at(1_000_500), 1_000_500);
        assert_eq!(at(400_000), 1_000_500, "set back by ten minutes");
        assert_eq!(at(400_250), 1_000_750);
        assert_eq!(at(400_100), 1_000_750, "and again");
        assert_eq!(at(400_200), 1_000_850);
    }
}
