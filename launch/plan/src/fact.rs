//! Facts: all that a record holds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The most points that one series of an evidence keeps.
pub const MAX_SERIES_POINTS: usize = 600;

/// One thing that happened in a launch. Times are milliseconds since 1970-01-01 UTC.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fact {
    LaunchStarted {
        launch_id: String,
        at_ms: u64,
        /// SHA-256 of `plan_yaml`, lower-case hexadecimal.
        plan_sha256: String,
        plan_yaml: String,
        plan_file: String,
        /// The commit that holds this very plan file, lower-case hexadecimal; none when it is in none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        plan_commit: Option<String>,
        rehearsal: bool,
        /// 48 hours of plan take 48 h / `clock_scale`.
        clock_scale: f64,
        artifacts: Vec<ArtifactDigest>,
        /// Role to its public key, base64.
        role_keys: BTreeMap<String, String>,
    },
    GateStarted {
        item: String,
        gate: String,
        /// 1 for the first.
        attempt: u32,
        at_ms: u64,
    },
    /// A gate that ran to its end.
    Evidence(Evidence),
    GateCouldNotRun {
        item: String,
        gate: String,
        attempt: u32,
        at_ms: u64,
        why: String,
    },
    /// One for every change of a canary's weight.
    RolloutStep {
        item: String,
        gate: String,
        at_ms: u64,
        weight_percent: u32,
        /// One sentence with numbers.
        reason: String,
        verdict: RolloutVerdict,
    },
    /// The envelope around it is signed with the role's key.
    SignOff {
        item: String,
        role: String,
        at_ms: u64,
        statement: String,
        /// Root of the record that the signer saw, lower-case hexadecimal, and its size.
        record_root_hex: String,
        record_size: u64,
    },
    /// A person lets a canary into the step that waits for this approval. The envelope around it is signed
    /// with the role's key.
    Approval {
        item: String,
        gate: String,
        /// As the plan's step calls it.
        approval: String,
        role: String,
        at_ms: u64,
        statement: String,
        /// Root of the record that the signer saw, lower-case hexadecimal, and its size.
        record_root_hex: String,
        record_size: u64,
    },
    LaunchFinished {
        at_ms: u64,
        ticked: u32,
        crossed: u32,
        not_checked: u32,
        /// Where those who were there say how it went: a signed link, good for whoever has it. None when the plan asks nobody.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        feedback_url: Option<String>,
    },
    /// Always the last entry.
    ChecklistIssued {
        at_ms: u64,
        file_name: String,
        /// Of the whole file, lower-case hexadecimal.
        sha256: String,
        bytes: u64,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactDigest {
    pub name: String,
    /// Lower-case hexadecimal.
    pub sha256: String,
}

/// Why a canary's weight was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RolloutVerdict {
    /// The first weight of a rollout.
    Started,
    NotWorse,
    Worse,
    NotEnoughEvidence,
}

/// What a gate measured. It says nothing of passing: that is [`crate::judge`]'s.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    pub item: String,
    pub gate: String,
    /// The gate's kind, as the plan names it.
    pub kind: String,
    pub attempt: u32,
    pub started_at_ms: u64,
    pub ended_at_ms: u64,
    /// What it was run against.
    pub target: String,
    /// The command, or a description of the probe, one word each.
    pub command: Vec<String>,
    pub inputs: BTreeMap<String, String>,
    pub measurements: BTreeMap<String, Measurement>,
    pub notes: Vec<String>,
    /// Name to points (seconds since the gate started, value); at most [`MAX_SERIES_POINTS`].
    pub series: BTreeMap<String, Vec<(f64, f64)>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    pub value: f64,
    /// `ms`, `1` for counts and shares, `percent`, `1/s`, `bytes`, …
    pub unit: String,
}

impl Measurement {
    #[must_use]
    pub fn new(value: f64, unit: &str) -> Self {
        Self {
            value,
            unit: unit.to_owned(),
        }
    }
}

impl Fact {
    /// When it happened; for an evidence, when the gate ended.
    #[must_use]
    pub fn at_ms(&self) -> u64 {
        match self {
            Self::LaunchStarted { at_ms, .. }
            | Self::GateStarted { at_ms, .. }
            | Self::GateCouldNotRun { at_ms, .. }
            | Self::RolloutStep { at_ms, .. }
            | Self::SignOff { at_ms, .. }
            | Self::Approval { at_ms, .. }
            | Self::LaunchFinished { at_ms, .. }
            | Self::ChecklistIssued { at_ms, .. } => *at_ms,
            Self::Evidence(evidence) => evidence.ended_at_ms,
        }
    }

    /// `launch-started`, `evidence`, …: the middle of the predicate type.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::LaunchStarted { .. } => "launch-started",
            Self::GateStarted { .. } => "gate-started",
            Self::Evidence(_) => "evidence",
            Self::GateCouldNotRun { .. } => "gate-could-not-run",
            Self::RolloutStep { .. } => "rollout-step",
            Self::SignOff { .. } => "sign-off",
            Self::Approval { .. } => "approval",
            Self::LaunchFinished { .. } => "launch-finished",
            Self::ChecklistIssued { .. } => "checklist-issued",
        }
    }

    pub(crate) const NAMES: [&'static str; 9] = [
        "launch-started",
        "gate-started",
        "evidence",
        "gate-could-not-run",
        "rollout-step",
        "sign-off",
        "approval",
        "launch-finished",
        "checklist-issued",
    ];

    /// `urn:tminus:<fact>:v1`.
    #[must_use]
    pub fn predicate_type(&self) -> String {
        format!("urn:tminus:{}:v1", self.name())
    }
}

/// Keeps at most [`MAX_SERIES_POINTS`] points, evenly chosen, always the first and the last.
#[must_use]
pub fn thin_series(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    if points.len() <= MAX_SERIES_POINTS {
        return points.to_vec();
    }
    let last = points.len() - 1;
    (0..MAX_SERIES_POINTS)
        .map(|i| points[i * last / (MAX_SERIES_POINTS - 1)])
        .collect()
}
