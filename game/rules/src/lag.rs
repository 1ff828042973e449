//! The time that the network takes and no player can play faster than. What the server has
//! measured is taken off a move's time, within limits that make it useless to pretend: a cap for
//! each move, and a budget for each side that refills slowly.

/// A move is forgiven this much at most, in milliseconds.
pub const LAG_PER_MOVE_MAX_MS: u32 = 500;
/// What each side has at the start, and never more.
pub const LAG_BUDGET_MAX_MS: u32 = 2_000;
/// What each of its moves gives back. A line of this round trip is forgiven in full for ever.
pub const LAG_BUDGET_PER_MOVE_MS: u32 = 100;

/// When something arrives at the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Milliseconds since 1970-01-01 UTC.
    pub now_ms: i64,
    /// The round trip to the player, in milliseconds, as the server measured it; 0 for unknown.
    pub lag_ms: u32,
}

impl Moment {
    pub fn with_lag(now_ms: i64, lag_ms: u32) -> Moment {
        Moment { now_ms, lag_ms }
    }
}

/// A moment without lag.
impl From<i64> for Moment {
    fn from(now_ms: i64) -> Moment {
        Moment { now_ms, lag_ms: 0 }
    }
}

/// What is left to forgive one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LagBudget(u32);

impl LagBudget {
    pub(crate) const FULL: LagBudget = LagBudget(LAG_BUDGET_MAX_MS);

    /// How much of `lag_ms` can be forgiven now.
    pub(crate) fn forgives_ms(self, lag_ms: u32) -> u32 {
        lag_ms.min(LAG_PER_MOVE_MAX_MS).min(self.0)
    }

    /// After a move that was forgiven `lag_ms`.
    pub(crate) fn after_move(self, lag_ms: u32) -> LagBudget {
        let left = self.0.saturating_sub(lag_ms);
        LagBudget((left + LAG_BUDGET_PER_MOVE_MS).min(LAG_BUDGET_MAX_MS))
    }
}
