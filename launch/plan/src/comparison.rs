//! Everything that is compared between the two sides of a rollout, with one bound on false alarms for all of it.
//!
//! Each metric is a test of its own ([`crate::sequential`]) and may use up its part of `alpha`: it has found something
//! when its e-value reaches `1 / (alpha × part)`. The parts add up to 1, so a canary that is not worse in
//! any metric is called worse with a chance of at most `alpha`, over all metrics and looks (union bound): that
//! holds however the metrics hang together.

use crate::counts::{Counts, Outcomes};
use crate::quantile::{Thresholds, perhaps_beyond, quantile_us, surely_beyond};
use crate::sequential::{EProcess, Increment, Null, e_value};
use crate::spec::CanarySpec;

/// What errors weigh against all other metrics together, where the plan does not say: they are what a rollback
/// is for most often, and what is rarest in the counts.
const ERRORS_WEIGHT: f64 = 9.0;

/// What is compared.
#[derive(Debug, Clone, PartialEq)]
pub enum Subject {
    /// Answers with an error, and requests without an answer.
    Errors,
    /// Answers later than this.
    Slow { slow_ms: u32 },
    /// A latency quantile, 0 to 1, and its margin.
    Quantile { quantile: f64, margin: f64 },
    /// A counter that the plan names.
    Business { name: String },
}

impl Subject {
    /// As `parts` and measurements name it: `errors`, `slow`, `p99`, or the counter's own name.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Errors => "errors".to_owned(),
            Self::Slow { .. } => "slow".to_owned(),
            Self::Quantile { quantile, .. } => quantile_name(*quantile),
            Self::Business { name } => name.clone(),
        }
    }
}

/// `p50`, `p99`, `p99_9`.
#[must_use]
pub fn quantile_name(quantile: f64) -> String {
    // A quantile is a percentage that the plan wrote: five digits give it back.
    let percent = (quantile * 100_000.0).round() / 1000.0;
    format!("p{percent}").replace('.', "_")
}

/// One metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    pub subject: Subject,
    /// Its part of `alpha`, 0 to 1.
    pub part: f64,
    process: EProcess,
    thresholds: Option<Thresholds>,
    ln_e_max: f64,
}

/// All metrics of a rollout.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    metrics: Vec<Metric>,
    alpha: f64,
    /// Latencies of the stable side so far, from which thresholds are chosen.
    stable_latency: Counts,
}

impl Comparison {
    /// What the plan asks for.
    #[must_use]
    pub fn new(spec: &CanarySpec) -> Self {
        // At full weight there is nothing left to compare with.
        let planned = spec
            .steps
            .iter()
            .filter(|weight| (1..100).contains(*weight))
            .count();
        let margins = spec.margins;
        let rate = Null::Rate {
            relative: margins.rate,
            absolute: margins.rate_points,
        };
        let mut subjects = vec![(Subject::Errors, rate)];
        if let Some(slow_ms) = spec.slow_ms {
            subjects.push((Subject::Slow { slow_ms }, rate));
        }
        for quantile in &spec.quantiles {
            let subject = Subject::Quantile {
                quantile: *quantile,
                margin: margins.latency,
            };
            subjects.push((subject, Null::Exact));
        }
        for business in &spec.business {
            let null = Null::Rate {
                relative: business.margin,
                absolute: business.margin_points,
            };
            let name = business.name.clone();
            subjects.push((Subject::Business { name }, null));
        }
        let parts = parts(spec, subjects.iter().map(|(subject, _)| subject.name()));
        let metrics = subjects
            .into_iter()
            .zip(parts)
            .map(|((subject, null), part)| Metric {
                subject,
                part,
                process: EProcess::new(planned, null),
                thresholds: None,
                ln_e_max: 0.0,
            })
            .collect();
        Self {
            metrics,
            alpha: spec.alpha,
            stable_latency: Counts::default(),
        }
    }

    #[must_use]
    pub fn metrics(&self) -> &[Metric] {
        &self.metrics
    }

    /// A step in which both sides have traffic begins.
    pub fn begin(&mut self) {
        for metric in &mut self.metrics {
            metric.process.begin();
        }
    }

    /// Takes in what came on both sides since the look before.
    pub fn update(&mut self, stable: &Counts, canary: &Counts) {
        for metric in &mut self.metrics {
            metric.update(stable, canary, &self.stable_latency.latency_us);
        }
        self.stable_latency.add_latency(&stable.latency_us);
    }

    /// The metric that speaks most clearly, if any has reached its limit.
    #[must_use]
    pub fn worse(&self) -> Option<&Metric> {
        self.metrics
            .iter()
            .filter(|metric| {
                let ln_limit = self.ln_limit(metric);
                metric.process.log_e_at_most() >= ln_limit && metric.ln_e() >= ln_limit
            })
            .max_by(|a, b| a.ln_weighed().total_cmp(&b.ln_weighed()))
    }

    /// The metric nearest to its limit.
    #[must_use]
    pub fn nearest(&self) -> Option<&Metric> {
        self.metrics
            .iter()
            .map(|metric| (metric.ln_weighed(), metric))
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .map(|(_, metric)| metric)
    }

    /// The e-value from which on a metric is worse.
    #[must_use]
    pub fn limit(&self, metric: &Metric) -> f64 {
        1.0 / (self.alpha * metric.part)
    }

    fn ln_limit(&self, metric: &Metric) -> f64 {
        -(self.alpha * metric.part).ln()
    }
}

impl Metric {
    /// Natural logarithm of its e-value.
    #[must_use]
    pub fn ln_e(&self) -> f64 {
        self.process.log_e()
    }

    /// No less than [`Metric::ln_e`], without the mean over the prior.
    #[must_use]
    pub fn ln_e_at_most(&self) -> f64 {
        self.process.log_e_at_most()
    }

    #[must_use]
    pub fn e_value(&self) -> f64 {
        e_value(self.ln_e())
    }

    /// The largest e-value that was seen.
    #[must_use]
    pub fn e_max(&self) -> f64 {
        e_value(self.ln_e_max)
    }

    /// What the quantile is held to at the moment; none for other metrics, and before it is known.
    #[must_use]
    pub fn thresholds(&self) -> Option<Thresholds> {
        self.thresholds
    }

    /// Comparable between metrics: it reaches `ln(1/alpha)` when the metric reaches its limit.
    #[must_use]
    pub fn ln_weighed(&self) -> f64 {
        self.ln_e() + self.part.ln()
    }

    fn update(&mut self, stable: &Counts, canary: &Counts, stable_so_far: &[(u64, u64)]) {
        let ((canary_bad, canary_requests), (stable_bad, stable_requests)) = match &self.subject {
            Subject::Errors => (
                (canary.bad_apart(), canary.total()),
                (stable.bad_apart(), stable.total()),
            ),
            Subject::Slow { .. } => ((canary.slow, canary.requests), (stable.slow, stable.requests)),
            Subject::Quantile { quantile, margin } => {
                // Thresholds are fixed before an increment begins: from what was there before this look.
                if self.thresholds.is_none() {
                    self.thresholds = Thresholds::choose(stable_so_far, *quantile, *margin);
                }
                let Some(thresholds) = self.thresholds else { return };
                (
                    surely_beyond(&canary.latency_us, thresholds.canary_us),
                    perhaps_beyond(&stable.latency_us, thresholds.stable_us),
                )
            }
            Subject::Business { name } => {
                let of = |counts: &Counts| {
                    let Outcomes { bad, total } = counts.business.get(name).copied().unwrap_or_default();
                    (bad, total)
                };
                (of(canary), of(stable))
            }
        };
        let scored = self.process.update(Increment {
            canary_requests,
            canary_bad,
            stable_requests,
            stable_bad,
        });
        if scored {
            if let Subject::Quantile { quantile, margin } = self.subject {
                // `stable_so_far` lacks this look's answers; they are in by the time of the next choice.
                self.thresholds = Thresholds::choose(stable_so_far, quantile, margin);
            }
            if self.process.log_e_at_most() > self.ln_e_max {
                self.ln_e_max = self.ln_e_max.max(self.process.log_e());
            }
        }
    }

    /// What it is about, for both sides: (canary, stable), as a sentence needs it.
    #[must_use]
    pub fn sides(&self, canary: &Counts, stable: &Counts) -> (String, String) {
        match &self.subject {
            Subject::Errors => (errors(canary), errors(stable)),
            Subject::Slow { .. } => (
                share(canary.slow, canary.requests),
                share(stable.slow, stable.requests),
            ),
            Subject::Quantile { quantile, .. } => {
                let of = |counts: &Counts| {
                    quantile_us(&counts.latency_us, *quantile)
                        .map_or_else(|| "unknown".to_owned(), milliseconds)
                };
                (of(canary), of(stable))
            }
            Subject::Business { name } => {
                let of = |counts: &Counts| {
                    let Outcomes { bad, total } = counts.business.get(name).copied().unwrap_or_default();
                    share(bad, total)
                };
                (of(canary), of(stable))
            }
        }
    }
}

/// Parts of alpha, in the order of the names: as the plan weighs them, else nine tenths for errors and the
/// rest alike. They add up to 1.
fn parts(spec: &CanarySpec, names: impl ExactSizeIterator<Item = String>) -> Vec<f64> {
    let others = (names.len() - 1) as f64;
    let weights: Vec<f64> = names
        .map(|name| match spec.alpha_parts.get(&name) {
            Some(weight) => *weight,
            None if name == "errors" => ERRORS_WEIGHT * others.max(1.0),
            None => 1.0,
        })
        .collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / sum).collect()
}

/// `12 of 214 (5.61 %)`, or `12 of 214 (5.61 %, besides 3 repeats)`.
fn errors(counts: &Counts) -> String {
    let judged = share(counts.bad_apart(), counts.total());
    match counts.bad() - counts.bad_apart() {
        0 => judged,
        repeats => format!("{}, besides {repeats} repeats)", judged.trim_end_matches(')')),
    }
}

/// `12 of 214 (5.61 %)`.
#[must_use]
pub fn share(part: u64, of: u64) -> String {
    if of == 0 {
        return "0 of 0".to_owned();
    }
    format!("{part} of {of} ({:.2} %)", 100.0 * part as f64 / of as f64)
}

/// `at most 412 ms`: a histogram knows no more.
fn milliseconds(us: u64) -> String {
    let ms = us as f64 / 1000.0;
    if ms < 10.0 {
        format!("at most {ms:.2} ms")
    } else {
        format!("at most {ms:.0} ms")
    }
}
