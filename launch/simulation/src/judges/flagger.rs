//! A rule with fixed limits, in the manner of Flagger (`pkg/controller/scheduler.go`, `scheduler_metrics.go`).
//!
//! Each interval the canary's success rate and P99 are held to limits that the user has written; the stable side
//! is not looked at. An interval that misses a limit, or in which the canary had no traffic, is a failed check;
//! checks that succeed do not make up for it. The canary is rolled back at the threshold. Limits and
//! interval are those of its documentation's example: 99 %, 500 ms, one minute, 5 failed checks.

use super::{Interval, Judge};
use crate::traffic::Second;

const INTERVAL_S: u32 = 60;
const SUCCESS_MIN: f64 = 0.99;
const DURATION_MAX_US: f64 = 500_000.0;
const FAILED_CHECKS_MAX: u32 = 5;

#[derive(Debug, Default)]
pub struct Flagger {
    canary: Interval,
    seconds: u32,
    failed_checks: u32,
}

impl Judge for Flagger {
    fn looks(&mut self, second: &Second) -> bool {
        self.canary.add(&second.canary);
        self.seconds += 1;
        if self.seconds.is_multiple_of(INTERVAL_S) {
            let interval = std::mem::take(&mut self.canary);
            let succeeds = interval
                .error_share()
                .is_some_and(|share| 1.0 - share >= SUCCESS_MIN);
            let quick = interval.quantile_us(0.99).is_some_and(|us| us <= DURATION_MAX_US);
            self.failed_checks += u32::from(!(succeeds && quick));
        }
        self.failed_checks >= FAILED_CHECKS_MAX
    }
}
