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
        self.started_at_ms.saturating_add(self.lasts_ms(plan_h))
    }

    /// How long plan hours take, in milliseconds, rounded up.
    #[must_use]
    pub fn lasts_ms(&self, plan_h: f64) -> u64 {
        (plan_h.max(0.0) * MS_PER_HOUR / self.rate()).ceil() as u64
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

#[cfg(test)]
mod tests {
    use super::*;

    const REHEARSAL: Clock = Clock {
        started_at_ms: 1_000_000,
        scale: 720.0,
    };

    #[test]
    fn an_hour_of_the_plan_takes_an_hour_over_the_scale() {
        let window = Window {
            from_h: 12.0,
            to_h: 24.0,
        };
        assert_eq!(REHEARSAL.opens_ms(window), 1_060_000);
        assert_eq!(REHEARSAL.closes_ms(window), 1_120_000);
        assert_eq!(REHEARSAL.lasts_ms(48.0), 240_000);
        let launch = Clock {
            scale: 1.0,
            ..REHEARSAL
        };
        assert_eq!(launch.opens_ms(window) - 1_000_000, 43_200_000);
    }

    #[test]
    fn the_moment_that_is_waited_for_has_come_when_it_is_reached() {
        for scale in [1.0, 7.0, 333.3, 719.9] {
            let clock = Clock { scale, ..REHEARSAL };
            for hour in [0.1, 11.99, 12.0, 47.3] {
                assert!(
                    clock.elapsed_h(clock.at_ms(hour)) >= hour - 1e-9,
                    "{scale} {hour}"
                );
            }
        }
    }

    #[test]
    fn stamps_are_hours_and_minutes_of_the_plan() {
        assert_eq!(REHEARSAL.stamp(1_000_000), "T+00:00");
        assert_eq!(REHEARSAL.stamp(1_060_500), "T+12:06");
        assert_eq!(REHEARSAL.stamp(0), "T+00:00");
    }

    #[test]
    fn a_scale_without_sense_stops_nothing() {
        for scale in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(Clock { scale, ..REHEARSAL }.at_ms(1.0), 4_600_000, "{scale}");
        }
    }
}
