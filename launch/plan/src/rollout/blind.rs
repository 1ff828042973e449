//! A look at which nothing was known of a side that matters: never good news.

use super::{Decision, Rollout, Step, hold};
use crate::fact::RolloutVerdict;

impl Rollout {
    /// Whether the next look has to know stable and canary. A side without traffic need not have counters.
    #[must_use]
    pub fn needs(&self) -> (bool, bool) {
        let weight = self.weight_percent();
        (weight < 100, weight > 0)
    }

    /// Says what to do when `why` has kept a side from being known for `blind_ms`: the step is held, whatever had
    /// been seen in it before, and after `limit_ms` the canary is taken back.
    pub fn blind(&mut self, why: &str, blind_ms: u64, limit_ms: u64) -> Decision {
        if let Some(ended) = &self.ended {
            return ended.clone();
        }
        let weight = self.weight_percent();
        if blind_ms < limit_ms {
            return hold(
                RolloutVerdict::NotEnoughEvidence,
                format!("nothing is known at {weight} %: {why}"),
            );
        }
        let reason = format!(
            "not enough evidence at {weight} %: nothing has been known for {} s: {why}",
            blind_ms / 1000
        );
        self.end(
            Step::Rollback {
                reason: reason.clone(),
            },
            RolloutVerdict::NotEnoughEvidence,
            reason,
        )
    }
}
