//! The launch clock: hours of the plan against milliseconds of the world.

use serde::{Deserialize, Serialize};

use crate::plan::Window;

const MS_PER_HOUR: f64 = 3_600_000.0;

/// When the launch began and how fast its hours pass.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Clock {
    /// Milliseconds since 1970-01-01 UTC.
    pub started_at_ms: u64,
    /// 48 hours of plan take 48 h / scale. 1 for a launch, several hundred in a rehearsal.
    pub scale: f64,
}

impl Clock {
    /// When a plan hour falls, in milliseconds since 1970-01-01 UTC. Rounded up, so that the
    /// hour has been reached at the returned moment.
    #[must_use]
    pub fn at_ms(&self, plan_h: f64) -> u64 {
        let real_ms = (plan_h.max(0.0) * MS_PER_HOUR / self.rate()).ceil();
        self.started_at_ms.saturating_add(real_ms as u64)
    }

    #[must_use]
    pub fn opens_ms(&self, window: Window) -> u64 {
        self.at_ms(window.from_h)
    }

    #[must_use]
    pub fn closes_ms(&self, window: Window) -> u64 {
        self.at_ms(window.to_h)
    }

    /// Plan hours that have passed; 0 before the start.
    #[must_use]
    pub fn elapsed_h(&self, now_ms: u64) -> f64 {
        now_ms.saturating_sub(self.started_at_ms) as f64 * self.rate() / MS_PER_HOUR
    }

    /// `T+12:05`: plan hours and minutes since the start.
    #[must_use]
    pub fn stamp(&self, now_ms: u64) -> String {
        let minutes = (self.elapsed_h(now_ms) * 60.0).floor() as u64;
        format!("T+{:02}:{:02}", minutes / 60, minutes % 60)
    }

    /// A scale that makes no sense passes as real time.
    fn rate(&self) -> f64 {
        if self.scale.is_finite() && self.scale > 0.0 {
            self.scale
        } else {
            1.0
        }
    }
}
