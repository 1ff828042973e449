//! The state of a launch: a fold over its facts, and nothing else.

mod fold;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::clock::Clock;
use crate::error::FoldError;
use crate::fact::{ArtifactDigest, Evidence, Fact, RolloutVerdict};
use crate::judge::Verdict;
use crate::plan::{Gate, Item, Plan};

/// Where a launch stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LaunchState {
    pub launch_id: String,
    pub plan: Plan,
    pub plan_sha256: String,
    pub plan_file: String,
    /// As in [`Fact::LaunchStarted`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan_commit: Option<String>,
    pub rehearsal: bool,
    pub clock: Clock,
    pub artifacts: Vec<ArtifactDigest>,
    pub role_keys: BTreeMap<String, String>,
    /// In the order of the plan.
    pub items: Vec<ItemState>,
    /// Entry index and time of `LaunchFinished`.
    pub finished: Option<(u64, u64)>,
    /// As in [`Fact::LaunchFinished`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub feedback_url: Option<String>,
    /// Entry index and time of `ChecklistIssued`.
    pub checklist: Option<(u64, u64)>,
    /// Number of entries read.
    pub entries: u64,
    /// Time of the newest entry.
    pub last_at_ms: u64,
}

/// ✅, ❌ or neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ItemStatus {
    /// All gates passed and all sign-offs are there.
    Ticked,
    /// A gate failed.
    Crossed,
    /// Anything else.
    NotChecked,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ItemState {
    pub id: String,
    pub number: u32,
    pub status: ItemStatus,
    /// Why it is not ticked; empty for a ticked item.
    pub reasons: Vec<String>,
    pub gates: Vec<GateState>,
    pub sign_offs: Vec<SignOffState>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GateState {
    pub id: String,
    /// The word of the plan file.
    pub kind: String,
    pub verdict: Verdict,
    /// In their order; a gate that was never started has none.
    pub attempts: Vec<Attempt>,
    /// Weight changes of the newest attempt of a canary gate.
    pub rollout: Vec<RolloutEntry>,
    /// Approvals that were given to the newest attempt of a canary gate.
    pub approvals: Vec<Approved>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Attempt {
    /// 1 for the first.
    pub attempt: u32,
    pub started_at_ms: u64,
    pub started_entry: u64,
    pub end: AttemptEnd,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttemptEnd {
    /// Nothing recorded: it runs, or whoever ran it has died.
    Open,
    Evidence {
        entry: u64,
        evidence: Box<Evidence>,
    },
    CouldNotRun {
        entry: u64,
        at_ms: u64,
        why: String,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RolloutEntry {
    pub entry: u64,
    pub at_ms: u64,
    pub weight_percent: u32,
    pub reason: String,
    pub verdict: RolloutVerdict,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Approved {
    pub approval: String,
    pub role: String,
    #[serde(flatten)]
    pub signed: Signed,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SignOffState {
    pub role: String,
    pub signed: Option<Signed>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Signed {
    pub entry: u64,
    pub at_ms: u64,
    pub statement: String,
    pub record_root_hex: String,
    pub record_size: u64,
}

/// How many items stand where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Totals {
    pub ticked: u32,
    pub crossed: u32,
    pub not_checked: u32,
}

impl LaunchState {
    /// Reads facts in the order of the record. Each comes with its entry index.
    ///
    /// # Errors
    /// The first entry that contradicts those before it.
    pub fn fold(facts: impl IntoIterator<Item = (u64, Fact)>) -> Result<Self, FoldError> {
        fold::fold(facts)
    }

    /// Reads one more fact: what `fold` does for each. On an error the state is unchanged.
    ///
    /// # Errors
    /// The entry contradicts those before it.
    pub fn apply(&mut self, index: u64, fact: &Fact) -> Result<(), FoldError> {
        fold::apply(self, index, fact)
    }

    #[must_use]
    pub fn item(&self, id: &str) -> Option<&ItemState> {
        self.items.iter().find(|item| item.id == id)
    }

    #[must_use]
    pub fn gate(&self, item: &str, gate: &str) -> Option<&GateState> {
        self.item(item)?
            .gates
            .iter()
            .find(|candidate| candidate.id == gate)
    }

    #[must_use]
    pub fn totals(&self) -> Totals {
        let count = |status| self.items.iter().filter(|item| item.status == status).count() as u32;
        Totals {
            ticked: count(ItemStatus::Ticked),
            crossed: count(ItemStatus::Crossed),
            not_checked: count(ItemStatus::NotChecked),
        }
    }

    /// Plan and state of every item, side by side.
    pub fn items_with_plan(&self) -> impl Iterator<Item = (&Item, &ItemState)> {
        self.plan.items.iter().zip(&self.items)
    }
}

impl GateState {
    /// The newest evidence, with its entry index.
    #[must_use]
    pub fn evidence(&self) -> Option<(u64, &Evidence)> {
        self.attempts.iter().rev().find_map(|attempt| match &attempt.end {
            AttemptEnd::Evidence { entry, evidence } => Some((*entry, evidence.as_ref())),
            _ => None,
        })
    }

    /// Entry index of the newest evidence.
    #[must_use]
    pub fn evidence_entry(&self) -> Option<u64> {
        self.evidence().map(|(entry, _)| entry)
    }

    /// Nothing more will come of it by itself: there is evidence, or it could not run, or it is
    /// of a kind to come.
    #[must_use]
    pub fn is_settled(&self, gate: &Gate) -> bool {
        gate.kind.is_to_come()
            || self
                .attempts
                .last()
                .is_some_and(|attempt| !matches!(attempt.end, AttemptEnd::Open))
    }
}
