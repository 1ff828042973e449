//! From evidence to a verdict. The only place that decides whether a gate has passed.

use serde::{Deserialize, Serialize};

use crate::expectation::Expectation;
use crate::fact::Evidence;
use crate::plan::Gate;
use crate::spec::GateKind;

/// What the evidence says about a gate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "verdict")]
pub enum Verdict {
    Passed,
    /// Every expectation that does not hold, with its number.
    Failed {
        reasons: Vec<String>,
    },
    /// It did not run, or could not know. Never a tick.
    NotChecked {
        why: String,
    },
}

impl Verdict {
    #[must_use]
    pub fn is_passed(&self) -> bool {
        matches!(self, Self::Passed)
    }
}

/// Judges a gate by its evidence.
///
/// A broken expectation fails the gate even if another measurement is missing; a missing
/// measurement alone makes it "not checked".
#[must_use]
pub fn judge(gate: &Gate, evidence: Option<&Evidence>) -> Verdict {
    if let GateKind::ToCome { kind } = &gate.kind {
        return Verdict::NotChecked {
            why: format!("gates of kind `{kind}` do not run in this release"),
        };
    }
    let Some(evidence) = evidence else {
        return Verdict::NotChecked {
            why: "it has not run".to_owned(),
        };
    };
    if evidence.gate != gate.id || evidence.kind != gate.kind.name() {
        return Verdict::NotChecked {
            why: format!(
                "the evidence is of gate `{}` ({}), not of `{}` ({})",
                evidence.gate,
                evidence.kind,
                gate.id,
                gate.kind.name()
            ),
        };
    }
    let expectations = gate.expectations();
    if expectations.is_empty() {
        return Verdict::NotChecked {
            why: "it expects nothing".to_owned(),
        };
    }
    let mut reasons = Vec::new();
    let mut missing = Vec::new();
    for expectation in &expectations {
        match evidence.measurements.get(&expectation.measurement) {
            None => missing.push(format!("`{}`", expectation.measurement)),
            Some(measurement) if measurement.value.is_nan() => {
                missing.push(format!("`{}`", expectation.measurement));
            }
            Some(measurement) if expectation.op.holds(measurement.value, expectation.number) => {}
            Some(measurement) => reasons.push(broken(expectation, measurement.value, &measurement.unit)),
        }
    }
    if !reasons.is_empty() {
        Verdict::Failed { reasons }
    } else if missing.is_empty() {
        Verdict::Passed
    } else {
        Verdict::NotChecked {
            why: format!("not measured: {}", missing.join(", ")),
        }
    }
}

fn broken(expectation: &Expectation, value: f64, unit: &str) -> String {
    let unit = if ["", "1", "ratio"].contains(&unit) {
        String::new()
    } else {
        format!(" {unit}")
    };
    format!(
        "{} is {}{unit}, expected {}",
        expectation.measurement,
        readable(value),
        expectation.source
    )
}

/// At most four decimals, more only for values that would read as zero.
pub(crate) fn readable(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    if value.abs() < 0.001 {
        return format!("{value:.2e}");
    }
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
