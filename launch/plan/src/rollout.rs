//! A rollout in steps: what to do after each look at canary and stable.
//!
//! It sets no weight and reads no counter: it is told what was counted and answers with a step
//! and the reason for it.

mod blind;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::comparison::{Comparison, Metric, Subject, share};
use crate::counts::Counts;
use crate::fact::{Measurement, RolloutVerdict};
use crate::judge::readable;
use crate::quantile::quantile_us;
use crate::spec::{CanarySpec, Freeze};

const MINUTES_A_DAY: u32 = 24 * 60;
pub(crate) const MINUTES_A_WEEK: u32 = 7 * MINUTES_A_DAY;

/// One look at both sides.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Look {
    /// Milliseconds, on any clock that only moves forward.
    pub at_ms: u64,
    pub stable: Counts,
    pub canary: Counts,
    /// Approvals that have been given, by the names that the plan's steps ask for.
    #[serde(default)]
    pub approvals: BTreeSet<String>,
    /// Minutes since Monday, 00:00, in the plan's timezone; needed where the plan has freeze windows.
    #[serde(default)]
    pub local_minute: Option<u32>,
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
    /// The approval without which the next step is not entered, when it is the only thing missing.
    pub awaits: Option<String>,
}

/// Why a step is not entered now.
struct Barred {
    why: String,
    approval: Option<String>,
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
    comparison: Comparison,
    looks: u64,
    ended: Option<Decision>,
}

impl Rollout {
    #[must_use]
    pub fn new(spec: &CanarySpec) -> Self {
        Self {
            spec: spec.clone(),
            position: None,
            step_started_ms: 0,
            last: Look::default(),
            in_step: Default::default(),
            overall: Default::default(),
            comparison: Comparison::new(spec),
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
            return match self.barred(0, look) {
                Some(barred) => barred.hold(RolloutVerdict::Started, String::new()),
                None => self.enter(0, look, RolloutVerdict::Started, "the rollout begins".to_owned()),
            };
        };
        self.looks += 1;
        self.take_in(look);

        if let Some(reason) = self.worse() {
            return self.roll_back(RolloutVerdict::Worse, reason);
        }
        let weight = self.weight_percent();
        let hold_s = self.hold_s(weight);
        let elapsed_s = look.at_ms.saturating_sub(self.step_started_ms) as f64 / 1000.0;
        let shown = self.exposure();
        match self.enough(weight) {
            Err(missing) if elapsed_s >= self.spec.budgets.step_s.max(hold_s) => {
                let reason =
                    format!("not enough evidence at {weight} % after {elapsed_s:.0} s: {missing}; {shown}");
                self.roll_back(RolloutVerdict::NotEnoughEvidence, reason)
            }
            Err(missing) => hold(RolloutVerdict::NotEnoughEvidence, format!("{missing}; {shown}")),
            Ok(()) if elapsed_s < hold_s => hold(
                RolloutVerdict::NotWorse,
                format!("{elapsed_s:.0} of {} s at {weight} %: {shown}", readable(hold_s)),
            ),
            Ok(()) => {
                let reason = if weight == 0 {
                    format!("baseline seen for {elapsed_s:.0} s: {shown}")
                } else {
                    format!("not worse at {weight} % after {elapsed_s:.0} s: {shown}")
                };
                if position + 1 == self.spec.steps.len() {
                    return self.end(Step::Finished, RolloutVerdict::NotWorse, reason);
                }
                match self.barred(position + 1, look) {
                    Some(barred) => barred.hold(RolloutVerdict::NotWorse, format!("; {reason}")),
                    None => self.enter(position + 1, look, RolloutVerdict::NotWorse, reason),
                }
            }
        }
    }

    fn hold_s(&self, weight: u32) -> f64 {
        let own = self.spec.at.get(&weight).and_then(|step| step.hold_s);
        own.unwrap_or(self.spec.hold_s)
    }

    /// Why the step at this position may not be entered now, if it may not: an approval that is missing, or
    /// a time at which nothing is promoted. A rollback asks neither.
    fn barred(&self, position: usize, look: &Look) -> Option<Barred> {
        let weight = self.spec.steps.get(position).copied()?;
        if weight == 0 {
            return None;
        }
        let approval = self.spec.at.get(&weight).and_then(|step| step.approval.as_ref());
        if let Some(name) = approval.filter(|name| !look.approvals.contains(*name)) {
            return Some(Barred {
                why: format!("{weight} % waits for the approval `{name}`"),
                approval: Some(name.clone()),
            });
        }
        if self.spec.freeze.is_empty() {
            return None;
        }
        let Some(now) = look.local_minute else {
            return Some(Barred {
                why: format!("{weight} % waits: the plan has freeze windows and the local time is unknown"),
                approval: None,
            });
        };
        let freeze = self.spec.freeze.iter().find(|freeze| freeze.covers(now))?;
        Some(Barred {
            why: format!(
                "{weight} % waits for the end of the freeze at {:02}:{:02}",
                freeze.to_minute / 60,
                freeze.to_minute % 60
            ),
            approval: None,
        })
    }

    fn enter(&mut self, position: usize, look: &Look, verdict: RolloutVerdict, reason: String) -> Decision {
        self.position = Some(position);
        self.step_started_ms = look.at_ms;
        self.in_step = Default::default();
        let weight = self.weight_percent();
        if weight > 0 {
            self.comparison.begin();
        }
        Decision {
            step: Step::SetWeight(weight),
            verdict,
            reason,
            awaits: None,
        }
    }

    fn roll_back(&mut self, verdict: RolloutVerdict, reason: String) -> Decision {
        let step = Step::Rollback {
            reason: reason.clone(),
        };
        self.end(step, verdict, reason)
    }

    fn end(&mut self, step: Step, verdict: RolloutVerdict, reason: String) -> Decision {
        let decision = Decision {
            step,
            verdict,
            reason,
            awaits: None,
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
        self.comparison.update(&stable, &canary);
    }

    /// Why the canary is worse, if it is.
    fn worse(&self) -> Option<String> {
        let weight = self.weight_percent();
        if let Some(metric) = self.comparison.worse() {
            return Some(self.found(metric, weight));
        }
        let (stable, canary) = &self.in_step;
        let budgets = self.spec.budgets;
        let rate = |counts: &Counts| counts.bad() as f64 / counts.total().max(1) as f64;
        let killed = canary.bad() >= u64::from(budgets.fast_kill_min.max(1))
            && rate(canary) >= budgets.fast_kill_share
            && rate(canary) >= 2.0 * rate(stable);
        killed.then(|| {
            format!(
                "fast kill at {weight} %: {} of the canary's requests failed in this step against {} of the stable \
                 side's; the limit is {} % of at least {}",
                share(canary.bad(), canary.total()),
                share(stable.bad(), stable.total()),
                readable(budgets.fast_kill_share * 100.0),
                budgets.fast_kill_min,
            )
        })
    }

    /// One sentence: which metric, both sides, margin, e-value against limit.
    fn found(&self, metric: &Metric, weight: u32) -> String {
        // The step that tipped it speaks more clearly than the whole rollout.
        let tipped_here = match &metric.subject {
            Subject::Errors => self.in_step.1.bad_apart() > 0,
            Subject::Slow { .. } => self.in_step.1.slow > 0,
            Subject::Quantile { .. } => !self.in_step.1.latency_us.is_empty(),
            Subject::Business { name } => self.in_step.1.business.get(name).is_some_and(|o| o.bad > 0),
        };
        let (seen, (stable, canary)) = if tipped_here {
            ("in this step", &self.in_step)
        } else {
            ("in this rollout", &self.overall)
        };
        let (on_canary, on_stable) = metric.sides(canary, stable);
        let margins = self.spec.margins;
        let rates = |relative: f64, points: f64| {
            format!(
                "a margin of {} % and {} points",
                readable(relative * 100.0),
                readable(points * 100.0)
            )
        };
        let (what, margin) = match &metric.subject {
            Subject::Errors => (
                format!(
                    "{on_canary} of the canary's requests failed against {on_stable} of the stable side's"
                ),
                rates(margins.rate, margins.rate_points),
            ),
            Subject::Slow { slow_ms } => (
                format!(
                    "{on_canary} of the canary's requests took longer than {slow_ms} ms against {on_stable} of the \
                     stable side's"
                ),
                rates(margins.rate, margins.rate_points),
            ),
            Subject::Quantile { margin, .. } => {
                // Buckets may make it wider than the plan's.
                let in_force = metric
                    .thresholds()
                    .map_or(*margin, |t| t.canary_us as f64 / t.stable_us.max(1) as f64 - 1.0);
                let name = metric.subject.name().to_uppercase().replace('_', ".");
                (
                    format!("{name} is {on_canary} on the canary against {on_stable} on the stable side"),
                    format!("a margin of {:.0} %", in_force * 100.0),
                )
            }
            Subject::Business { name } => {
                let own = self.spec.business.iter().find(|business| business.name == *name);
                (
                    format!("`{name}` is {on_canary} on the canary against {on_stable} on the stable side"),
                    own.map_or_else(String::new, |own| rates(own.margin, own.margin_points)),
                )
            }
        };
        format!(
            "worse at {weight} %: {seen} {what}, beyond {margin}; e-value {} reached {} (false alarm at most {} over \
             all metrics)",
            short(metric.e_value()),
            short(self.comparison.limit(metric)),
            readable(self.spec.alpha),
        )
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
        for business in self.spec.business.iter().filter(|_| weight > 0) {
            let total = canary
                .business
                .get(&business.name)
                .map_or(0, |outcomes| outcomes.total);
            if total < u64::from(business.min_total) {
                return Err(format!(
                    "`{}` has counted {total} of {} on the canary in this step",
                    business.name, business.min_total
                ));
            }
        }
        Ok(())
    }

    fn exposure(&self) -> String {
        let (stable, canary) = &self.in_step;
        let side = |counts: &Counts| {
            let slow = match self.spec.slow_ms {
                Some(_) => format!(", {} slow", counts.slow),
                None => String::new(),
            };
            format!("{} failed{slow}", share(counts.bad(), counts.total()))
        };
        let evidence = self.comparison.nearest().map_or_else(String::new, |metric| {
            format!(
                "; largest e-value {} of {} ({})",
                short(metric.e_value()),
                short(self.comparison.limit(metric)),
                metric.subject.name()
            )
        });
        format!("canary {}; stable {}{evidence}", side(canary), side(stable))
    }

    /// How near the metric that speaks most clearly is to its limit: it reaches `ln(1/alpha)` there.
    #[must_use]
    pub fn ln_evidence(&self) -> f64 {
        self.comparison.nearest().map_or(0.0, Metric::ln_weighed)
    }

    /// Where [`Rollout::ln_evidence`] makes a rollback.
    #[must_use]
    pub fn ln_limit(&self) -> f64 {
        -self.spec.alpha.ln()
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
        let mut measured = vec![
            ("rolled_back".to_owned(), f64::from(u8::from(rolled_back)), "1"),
            ("finished".to_owned(), f64::from(u8::from(finished)), "1"),
            (
                "final_weight_percent".to_owned(),
                f64::from(self.weight_percent()),
                "percent",
            ),
            ("looks".to_owned(), self.looks as f64, "1"),
        ];
        for (side, counts) in [("canary", canary), ("stable", stable)] {
            measured.push((format!("requests_{side}"), counts.total() as f64, "1"));
        }
        for metric in self.comparison.metrics() {
            let name = metric.subject.name();
            measured.push((format!("e_{name}_max"), metric.e_max(), "1"));
            for (side, counts) in [("canary", canary), ("stable", stable)] {
                let value = match &metric.subject {
                    Subject::Errors => {
                        let value = rate(counts.bad(), counts.total());
                        Some((format!("error_rate_{side}"), value, "1"))
                    }
                    Subject::Slow { .. } => {
                        let value = rate(counts.slow, counts.requests);
                        Some((format!("slow_rate_{side}"), value, "1"))
                    }
                    Subject::Quantile { quantile, .. } => quantile_us(&counts.latency_us, *quantile)
                        .map(|us| (format!("{name}_ms_{side}"), us as f64 / 1000.0, "ms")),
                    Subject::Business { name } => counts.business.get(name).map(|outcomes| {
                        let value = rate(outcomes.bad, outcomes.total);
                        (format!("{name}_rate_{side}"), value, "1")
                    }),
                };
                measured.extend(value);
            }
        }
        measured
            .into_iter()
            .map(|(name, value, unit)| (name, Measurement::new(value, unit)))
            .collect()
    }
}

impl Freeze {
    /// Whether a minute of the week lies in it.
    pub(crate) fn covers(&self, minute: u32) -> bool {
        let (from, to) = (u32::from(self.from_minute), u32::from(self.to_minute));
        let lasts = if to > from {
            to - from
        } else {
            to + MINUTES_A_DAY - from
        };
        self.days.iter().any(|day| {
            let begins = u32::from(*day) * MINUTES_A_DAY + from;
            (minute + MINUTES_A_WEEK - begins % MINUTES_A_WEEK) % MINUTES_A_WEEK < lasts
        })
    }
}

fn hold(verdict: RolloutVerdict, why: String) -> Decision {
    Decision {
        step: Step::Hold { why: why.clone() },
        verdict,
        reason: why,
        awaits: None,
    }
}

impl Barred {
    fn hold(self, verdict: RolloutVerdict, seen: String) -> Decision {
        Decision {
            awaits: self.approval,
            ..hold(verdict, self.why + &seen)
        }
    }
}

fn short(value: f64) -> String {
    if value >= 10_000.0 {
        format!("{value:.1e}")
    } else if value >= 100.0 {
        format!("{value:.0}")
    } else {
        readable(value)
    }
}
