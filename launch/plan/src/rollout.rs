//! A rollout in steps: what to do after each look at canary and stable.
//!
//! It sets no weight and reads no counter: it is told what was counted and answers with a step
//! and the reason for it.

mod blind;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::counts::Counts;
use crate::fact::{Measurement, RolloutVerdict};
use crate::judge::readable;
use crate::sequential::{EProcess, Increment};
use crate::spec::CanarySpec;

/// Errors and slow answers: each may use up half of `alpha` (Bonferroni).
const METRICS: f64 = 2.0;

/// One look at both sides.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Look {
    /// Milliseconds, on any clock that only moves forward.
    pub at_ms: u64,
    pub stable: Counts,
    pub canary: Counts,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Give the canary this weight, in percent.
    SetWeight(u32),
    /// Leave the weight.
    Hold { why: String },
    /// Weight 0 at once, and drain the canary if the plan says so.
    Rollback { reason: String },
    /// The canary carries everything and has stood the last step.
    Finished,
}

/// A step and the reason for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decision {
    pub step: Step,
    pub verdict: RolloutVerdict,
    /// One sentence with numbers.
    pub reason: String,
}

/// A rollout that is going on. A weight that [`Rollout::next`] answers counts as set.
#[derive(Debug, Clone, PartialEq)]
pub struct Rollout {
    spec: CanarySpec,
    /// Position in the plan's steps; none before the first look.
    position: Option<usize>,
    step_started_ms: u64,
    last: Look,
    in_step: (Counts, Counts),
    overall: (Counts, Counts),
    errors: EProcess,
    slow: EProcess,
    e_max: (f64, f64),
    looks: u64,
    ended: Option<Decision>,
}

impl Rollout {
    #[must_use]
    pub fn new(spec: &CanarySpec) -> Self {
        let planned = spec.steps.iter().filter(|weight| **weight > 0).count();
        Self {
            spec: spec.clone(),
            position: None,
            step_started_ms: 0,
            last: Look::default(),
            in_step: Default::default(),
            overall: Default::default(),
            errors: EProcess::new(planned),
            slow: EProcess::new(planned),
            e_max: (1.0, 1.0),
            looks: 0,
            ended: None,
        }
    }

    /// The weight that the canary has now, in percent.
    #[must_use]
    pub fn weight_percent(&self) -> u32 {
        match &self.ended {
            Some(Decision {
                step: Step::Rollback { .. },
                ..
            }) => 0,
            _ => self
                .position
                .and_then(|position| self.spec.steps.get(position))
                .copied()
                .unwrap_or(0),
        }
    }

    #[must_use]
    pub fn is_over(&self) -> bool {
        self.ended.is_some()
    }

    /// Takes a look and says what to do. After `Rollback` or `Finished` it repeats itself.
    pub fn next(&mut self, look: &Look) -> Decision {
        if let Some(ended) = &self.ended {
            return ended.clone();
        }
        let Some(position) = self.position else {
            self.last = look.clone();
            return self.enter(0, look, RolloutVerdict::Started, "the rollout begins".to_owned());
        };
        self.looks += 1;
        self.take_in(look);

        if let Some(reason) = self.worse() {
            return self.end(
                Step::Rollback {
                    reason: reason.clone(),
                },
                RolloutVerdict::Worse,
                reason,
            );
        }
        let weight = self.weight_percent();
        let elapsed_s = look.at_ms.saturating_sub(self.step_started_ms) as f64 / 1000.0;
        let shown = self.exposure();
        match self.enough(weight) {
            Err(missing) if elapsed_s >= self.spec.budgets.step_s => {
                let reason =
                    format!("not enough evidence at {weight} % after {elapsed_s:.0} s: {missing}; {shown}");
                self.end(
                    Step::Rollback {
                        reason: reason.clone(),
                    },
                    RolloutVerdict::NotEnoughEvidence,
                    reason,
                )
            }
            Err(missing) => hold(RolloutVerdict::NotEnoughEvidence, format!("{missing}; {shown}")),
            Ok(()) if elapsed_s < self.spec.hold_s => hold(
                RolloutVerdict::NotWorse,
                format!(
                    "{elapsed_s:.0} of {} s at {weight} %: {shown}",
                    readable(self.spec.hold_s)
                ),
            ),
            Ok(()) => {
                let reason = if weight == 0 {
                    format!("baseline seen for {elapsed_s:.0} s: {shown}")
                } else {
                    format!("not worse at {weight} % after {elapsed_s:.0} s: {shown}")
                };
                if position + 1 < self.spec.steps.len() {
                    self.enter(position + 1, look, RolloutVerdict::NotWorse, reason)
                } else {
                    self.end(Step::Finished, RolloutVerdict::NotWorse, reason)
                }
            }
        }
    }

    fn enter(&mut self, position: usize, look: &Look, verdict: RolloutVerdict, reason: String) -> Decision {
        self.position = Some(position);
        self.step_started_ms = look.at_ms;
        self.in_step = Default::default();
        let weight = self.weight_percent();
        if weight > 0 {
            self.errors.begin();
            self.slow.begin();
        }
        Decision {
            step: Step::SetWeight(weight),
            verdict,
            reason,
        }
    }

    fn end(&mut self, step: Step, verdict: RolloutVerdict, reason: String) -> Decision {
        let decision = Decision {
            step,
            verdict,
            reason,
        };
        self.ended = Some(decision.clone());
        decision
    }

    fn take_in(&mut self, look: &Look) {
        let stable = look.stable.since(&self.last.stable);
        let canary = look.canary.since(&self.last.canary);
        self.last = look.clone();
        for (stable_sum, canary_sum) in [&mut self.in_step, &mut self.overall] {
            *stable_sum += &stable;
            *canary_sum += &canary;
        }
        self.errors.update(Increment {
            canary_requests: canary.total(),
            canary_bad: canary.bad(),
            stable_requests: stable.total(),
            stable_bad: stable.bad(),
        });
        self.slow.update(Increment {
            canary_requests: canary.requests,
            canary_bad: canary.slow,
            stable_requests: stable.requests,
            stable_bad: stable.slow,
        });
        self.e_max = (
            self.e_max.0.max(self.errors.e_value()),
            self.e_max.1.max(self.slow.e_value()),
        );
    }

    /// Why the canary is worse, if it is.
    fn worse(&self) -> Option<String> {
        let (stable, canary) = &self.in_step;
        let weight = self.weight_percent();
        let limit = METRICS / self.spec.alpha;
        let bad: fn(&Counts) -> (u64, u64) = |counts| (counts.bad(), counts.total());
        let slow: fn(&Counts) -> (u64, u64) = |counts| (counts.slow, counts.requests);
        let slower = format!("took longer than {} ms", self.spec.slow_ms);
        for (process, what, on) in [(&self.errors, "failed", bad), (&self.slow, slower.as_str(), slow)] {
            if process.log_e() >= limit.ln() {
                // The step that tipped it speaks more clearly than the whole rollout.
                let (seen, stable, canary) = if on(canary).0 > 0 {
                    ("in this step", stable, canary)
                } else {
                    ("in this rollout", &self.overall.0, &self.overall.1)
                };
                return Some(format!(
                    "worse at {weight} %: {seen} {} of the canary's requests {what} against {} of the stable side's; \
                     e-value {} reached {} (false alarm at most {})",
                    share(on(canary)),
                    share(on(stable)),
                    short(process.e_value()),
                    short(limit),
                    readable(self.spec.alpha),
                ));
            }
        }
        let budgets = self.spec.budgets;
        let rate = |counts: &Counts| counts.bad() as f64 / counts.total().max(1) as f64;
        let killed = canary.bad() >= u64::from(budgets.fast_kill_min.max(1))
            && rate(canary) >= budgets.fast_kill_share
            && rate(canary) >= 2.0 * rate(stable);
        killed.then(|| {
            format!(
                "fast kill at {weight} %: {} of the canary's requests failed in this step against {} of the stable \
                 side's; the limit is {} % of at least {}",
                share((canary.bad(), canary.total())),
                share((stable.bad(), stable.total())),
                readable(budgets.fast_kill_share * 100.0),
                budgets.fast_kill_min,
            )
        })
    }

    /// Whether this step has shown enough to be left; if not, what is missing.
    fn enough(&self, weight: u32) -> Result<(), String> {
        let (stable, canary) = &self.in_step;
        let needed = u64::from(self.spec.min_requests);
        for (side, name, counts) in [
            (weight > 0, "the canary", canary),
            (weight < 100, "the stable side", stable),
        ] {
            if side && counts.total() < needed {
                return Err(format!(
                    "{name} has had {} of {needed} requests in this step",
                    counts.total()
                ));
            }
        }
        Ok(())
    }

    fn exposure(&self) -> String {
        let (stable, canary) = &self.in_step;
        format!(
            "canary {} failed, {} slow; stable {} failed, {} slow; e-values {} and {}",
            share((canary.bad(), canary.total())),
            canary.slow,
            share((stable.bad(), stable.total())),
            stable.slow,
            short(self.errors.e_value()),
            short(self.slow.e_value()),
        )
    }

    /// What a canary gate's evidence says. A rollout that has not finished counts as rolled
    /// back only if it was.
    #[must_use]
    pub fn measurements(&self) -> BTreeMap<String, Measurement> {
        let (stable, canary) = &self.overall;
        let rolled_back = matches!(
            &self.ended,
            Some(Decision {
                step: Step::Rollback { .. },
                ..
            })
        );
        let finished = matches!(
            &self.ended,
            Some(Decision {
                step: Step::Finished,
                ..
            })
        );
        let rate = |part: u64, of: u64| part as f64 / of.max(1) as f64;
        [
            ("rolled_back", f64::from(u8::from(rolled_back)), "1"),
            ("finished", f64::from(u8::from(finished)), "1"),
            (
                "final_weight_percent",
                f64::from(self.weight_percent()),
                "percent",
            ),
            ("looks", self.looks as f64, "1"),
            ("requests_canary", canary.total() as f64, "1"),
            ("requests_stable", stable.total() as f64, "1"),
            ("error_rate_canary", rate(canary.bad(), canary.total()), "1"),
            ("error_rate_stable", rate(stable.bad(), stable.total()), "1"),
            ("slow_rate_canary", rate(canary.slow, canary.requests), "1"),
            ("slow_rate_stable", rate(stable.slow, stable.requests), "1"),
            ("e_errors_max", self.e_max.0, "1"),
            ("e_slow_max", self.e_max.1, "1"),
        ]
        .into_iter()
        .map(|(name, value, unit)| (name.to_owned(), Measurement::new(value, unit)))
        .collect()
    }
}

fn hold(verdict: RolloutVerdict, why: String) -> Decision {
    Decision {
        step: Step::Hold { why: why.clone() },
        verdict,
        reason: why,
    }
}

/// `12 of 214 (5.61 %)`.
fn share((part, of): (u64, u64)) -> String {
    if of == 0 {
        return "0 of 0".to_owned();
    }
    format!("{part} of {of} ({:.2} %)", 100.0 * part as f64 / of as f64)
}

fn short(value: f64) -> String {
    if value >= 10_000.0 {
        format!("{value:.1e}")
    } else {
        readable(value)
    }
}
