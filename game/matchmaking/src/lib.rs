//! One-against-one matchmaking by rating windows.
//!
//! A [`Queue`] is one pool: the players of one release who wait for one mode. It owns who waits,
//! who fits whom and when that next changes. It never reads a clock, never sleeps and never talks
//! to a player: time is an argument in milliseconds and a match is a value.
//!
//! Two tickets fit when the gap between their ratings lies in *both* windows. A window opens with
//! waiting time ([`Settings::window`]), so the younger ticket decides. A ticket that has waited
//! [`Settings::wait_ms_max`] fits anybody: that is the bound on starvation, and the oldest goes
//! first.

mod queue;
#[cfg(test)]
mod tests;

pub use queue::Queue;

/// A ticket's name, chosen by the caller. Unique within a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TicketId(pub u64);

/// A player's wish for a game.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    pub id: TicketId,
    /// Elo points.
    pub rating: i32,
    /// When the wait began, in milliseconds of the caller's clock. Seniority counts from here.
    pub enqueued_at_ms: u64,
}

/// A ticket that a match took out of the queue. If the other side is gone, [`Queue::put_back`]
/// returns it with its seniority, as if it had never left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reserved {
    pub ticket: Ticket,
    arrival: u64,
}

/// Two tickets that fit. Neither is in the queue any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Match {
    /// The one that has waited longer.
    pub older: Reserved,
    pub younger: Reserved,
}

/// How wide a window is, and how long anybody may wait while an opponent is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Half-width of the window on arrival, in Elo points.
    pub window_initial: u32,
    /// Elo points by which the half-width grows in each second of waiting.
    pub window_growth_per_second: u32,
    /// After this wait (milliseconds) any opponent will do.
    pub wait_ms_max: u64,
    /// How many tickets may wait at once.
    pub tickets_max: usize,
}

impl Default for Settings {
    /// Wide enough that players near the starting rating meet at once.
    fn default() -> Self {
        Self {
            window_initial: 400,
            window_growth_per_second: 100,
            wait_ms_max: 10_000,
            tickets_max: 100_000,
        }
    }
}

impl Settings {
    /// Half-width of the window of a ticket that has waited `wait_ms`, in Elo points.
    #[must_use]
    pub fn window(&self, wait_ms: u64) -> u64 {
        let grown = u64::from(self.window_growth_per_second).saturating_mul(wait_ms) / 1000;
        u64::from(self.window_initial).saturating_add(grown)
    }

    /// The shortest wait (milliseconds) after which a window holds `gap`; `None` if it never does.
    #[must_use]
    pub fn wait_for_gap(&self, gap: u32) -> Option<u64> {
        let missing = u64::from(gap.saturating_sub(self.window_initial));
        match (missing, u64::from(self.window_growth_per_second)) {
            (0, _) => Some(0),
            (_, 0) => None,
            (missing, growth) => Some((missing * 1000).div_ceil(growth)),
        }
    }
}

/// Why a ticket was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddError {
    #[error("ticket {} is already waiting", id.0)]
    AlreadyWaiting { id: TicketId },
    #[error("the queue is full: {tickets_max} tickets wait")]
    Full { tickets_max: usize },
}
