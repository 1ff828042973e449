//! The arithmetic of a deadline. Reads no clock.

use std::time::{Duration, Instant};

/// The longest that any limit is: a caller that asks for more waits for the route's limit anyway.
pub const BUDGET_MAX: Duration = Duration::from_secs(100 * 3600);

/// A twentieth of what is left stays with a hop, within these bounds, so that the next one gives up
/// first and its own answer still arrives.
pub const MARGIN_MIN: Duration = Duration::from_millis(1);
pub const MARGIN_MAX: Duration = Duration::from_millis(50);

/// What a hop keeps of what is left.
#[must_use]
pub fn margin(left: Duration) -> Duration {
    (left / 20).clamp(MARGIN_MIN, MARGIN_MAX)
}

/// The moment after which nobody waits for a request any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline {
    at: Instant,
}

impl Deadline {
    /// Arrival + the shorter of what the caller asks for and what the route allows.
    #[must_use]
    pub fn of(arrival: Instant, requested: Option<Duration>, route_max: Duration) -> Self {
        let budget = requested.map_or(route_max, |requested| requested.min(route_max));
        Self::after(arrival, budget)
    }

    /// Of a limit above [`BUDGET_MAX`], so much holds.
    #[must_use]
    pub fn after(arrival: Instant, budget: Duration) -> Self {
        Self {
            at: arrival + budget.min(BUDGET_MAX),
        }
    }

    #[must_use]
    pub fn at(self) -> Instant {
        self.at
    }

    /// Zero once it has passed.
    #[must_use]
    pub fn left(self, now: Instant) -> Duration {
        self.at.saturating_duration_since(now)
    }

    #[must_use]
    pub fn has_passed(self, now: Instant) -> bool {
        self.left(now).is_zero()
    }

    /// What the next hop may take: what is left, less the margin, rounded down to milliseconds. Never
    /// zero, which some read as "no limit": `None` says that the next hop is not to be called.
    #[must_use]
    pub fn remaining_for_next_hop(self, now: Instant, margin: Duration) -> Option<Duration> {
        let milliseconds = self.left(now).saturating_sub(margin).as_millis();
        let milliseconds = u64::try_from(milliseconds).unwrap_or(u64::MAX);
        (milliseconds > 0).then(|| Duration::from_millis(milliseconds))
    }
}
