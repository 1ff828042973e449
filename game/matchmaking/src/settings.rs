//! The policies, their knobs, the limits within which they are safe, and what they mean.

/// By which rules a pool makes its matches. All tickets of a pool are under one policy at any time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    /// First come, first served: a window that stays as it is, and of all who fit the one who has waited longest. Nobody is
    /// avoided. The bound on waiting holds.
    V1,
    /// Windows that widen, the nearest rating, last opponents avoided.
    #[default]
    V2,
}

impl Policy {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
        }
    }

    /// What is left of these settings under this policy; they keep saying what is true. Safe settings stay safe.
    #[must_use]
    pub fn applied_to(self, settings: Settings) -> Settings {
        match self {
            Self::V1 => Settings {
                policy: self,
                window_growth_per_second: 0,
                avoid_ms: 0,
                avoid_alone_ms: 0,
                ..settings
            },
            Self::V2 => Settings {
                policy: self,
                ..settings
            },
        }
    }
}

/// How wide a window is, and how long anybody may wait while an opponent is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    pub policy: Policy,
    /// Half-width of the window on arrival, in rating points.
    pub window_initial: u32,
    /// Rating points by which the half-width grows in each second of waiting.
    pub window_growth_per_second: u32,
    /// After this wait (milliseconds) any opponent will do.
    pub wait_ms_max: u64,
    /// Last opponents meet again only after both have waited this long (milliseconds), or one of
    /// them for `wait_ms_max`.
    pub avoid_ms: u64,
    /// The same while nobody else waits: long enough for somebody else to arrive where many play,
    /// short enough not to be felt where only two do. Never more than `avoid_ms`.
    pub avoid_alone_ms: u64,
    /// How many tickets may wait at once, suspended ones included.
    pub tickets_max: usize,
}

impl Default for Settings {
    /// Wide enough that players near the starting rating meet at once.
    fn default() -> Self {
        Self {
            policy: Policy::V2,
            window_initial: 400,
            window_growth_per_second: 100,
            wait_ms_max: 10_000,
            avoid_ms: 3_000,
            avoid_alone_ms: 300,
            tickets_max: 100_000,
        }
    }
}

/// A knob outside its safe range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    #[error(
        "the window would be {points} rating points wide to either side when the bound on waiting \
         is reached; at most {limit}"
    )]
    WindowTooWide { points: u64, limit: u64 },
    #[error("wait_ms_max is {wait_ms_max}; it must be from {lowest} to {highest} milliseconds")]
    WaitOutOfRange {
        wait_ms_max: u64,
        lowest: u64,
        highest: u64,
    },
    #[error("avoid_ms is {avoid_ms}; it must not exceed wait_ms_max, {wait_ms_max}")]
    AvoidBeyondBound { avoid_ms: u64, wait_ms_max: u64 },
    #[error("tickets_max is {tickets_max}; it must be from {lowest} to {highest}")]
    TicketsOutOfRange {
        tickets_max: usize,
        lowest: usize,
        highest: usize,
    },
}

impl Settings {
    /// The widest window (rating points to either side) that a ticket may reach before its bound.
    /// A search looks at no more than twice as many ratings.
    pub const WINDOW_LIMIT: u64 = 10_000;
    pub const WAIT_MS_LOWEST: u64 = 100;
    pub const WAIT_MS_HIGHEST: u64 = 600_000;
    pub const TICKETS_LOWEST: usize = 2;
    /// About 260 bytes of memory per ticket.
    pub const TICKETS_HIGHEST: usize = 4_000_000;

    /// The same settings, if each is within its safe range.
    ///
    /// # Errors
    /// The first knob that is not, with the range.
    pub fn validate(self) -> Result<Self, SettingsError> {
        if !(Self::WAIT_MS_LOWEST..=Self::WAIT_MS_HIGHEST).contains(&self.wait_ms_max) {
            return Err(SettingsError::WaitOutOfRange {
                wait_ms_max: self.wait_ms_max,
                lowest: Self::WAIT_MS_LOWEST,
                highest: Self::WAIT_MS_HIGHEST,
            });
        }
        let points = self.window(self.wait_ms_max);
        if points > Self::WINDOW_LIMIT {
            return Err(SettingsError::WindowTooWide {
                points,
                limit: Self::WINDOW_LIMIT,
            });
        }
        if self.avoid_ms > self.wait_ms_max {
            return Err(SettingsError::AvoidBeyondBound {
                avoid_ms: self.avoid_ms,
                wait_ms_max: self.wait_ms_max,
            });
        }
        if !(Self::TICKETS_LOWEST..=Self::TICKETS_HIGHEST).contains(&self.tickets_max) {
            return Err(SettingsError::TicketsOutOfRange {
                tickets_max: self.tickets_max,
                lowest: Self::TICKETS_LOWEST,
                highest: Self::TICKETS_HIGHEST,
            });
        }
        Ok(self)
    }

    /// Half-width of the window of a ticket that has waited `wait_ms`, in rating points.
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
