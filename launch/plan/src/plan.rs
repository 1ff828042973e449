//! The plan: what has to be true before a launch, who owns it and how it is proved.

use serde::{Deserialize, Serialize};

use crate::error::PlanError;
use crate::expectation::Expectation;
use crate::spec::GateKind;
use crate::variables::VariableUse;

/// A launch plan, as written by a launch team.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    pub name: String,
    pub version: String,
    /// IANA name of the place whose time stamps are shown beside UTC, e.g. `Asia/Shanghai`.
    pub timezone: Option<String>,
    pub artifacts: Vec<ArtifactRef>,
    /// None: nobody is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub feedback: Option<FeedbackSpec>,
    pub checklist: ChecklistSpec,
    /// In the order of the file.
    pub items: Vec<Item>,
    /// The plan's file as the caller named it.
    pub file: String,
    /// Every use of a variable, in the order of the file.
    pub variables: Vec<VariableUse>,
}

/// A file whose digest the launch is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ArtifactRef {
    pub name: String,
    /// May hold variables.
    pub path: String,
    pub line: u32,
}

/// Where those who were there say how it went, and about what they are asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FeedbackSpec {
    /// `https://launch.example.org`, without a slash at its end.
    pub url: String,
    /// Distinct, at least one.
    pub sections: Vec<String>,
    pub line: u32,
}

/// How the document at the end is written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChecklistSpec {
    pub language: Language,
    /// Of the edition for customers.
    pub customer_language: Language,
    /// The artifact that it is typeset with; none for the template that every release brings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// Of the edition for customers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer_template: Option<String>,
}

impl ChecklistSpec {
    /// The artifacts that are templates, each once.
    pub fn templates(&self) -> impl Iterator<Item = &str> {
        let customer = self.customer_template.as_deref();
        let other = customer.filter(|name| self.template.as_deref() != Some(*name));
        self.template.as_deref().into_iter().chain(other)
    }
}

/// Chinese, English, or each text twice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    #[default]
    Both,
    Zh,
    En,
}

impl Language {
    #[must_use]
    pub fn has_zh(self) -> bool {
        self != Self::En
    }

    #[must_use]
    pub fn has_en(self) -> bool {
        self != Self::Zh
    }
}

/// A text in the two languages of a launch room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bilingual {
    pub zh: String,
    pub en: String,
}

/// Hours since the launch clock started: from `from_h` (included) to `to_h`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Window {
    pub from_h: f64,
    pub to_h: f64,
}

/// One line of the checklist.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Item {
    /// `load-test`: lower-case words with hyphens, unique in the plan.
    pub id: String,
    pub number: u32,
    pub title: Bilingual,
    pub window: Window,
    /// The role that answers for it.
    pub owner: String,
    /// What its tick says.
    pub criterion: Bilingual,
    /// What its tick does not say.
    pub not_covered: Option<Bilingual>,
    pub gates: Vec<Gate>,
    /// Roles whose signature the tick needs, after every gate has passed.
    pub sign_offs: Vec<String>,
    /// Line of the item in the plan file, 1-based.
    pub line: u32,
}

/// A check that runs against the live system and leaves evidence.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Gate {
    /// Unique in its item.
    pub id: String,
    pub kind: GateKind,
    /// The same with the `rehearsal:` fields laid over; none when the gate has no such fields.
    pub rehearsal: Option<GateKind>,
    /// As written. Use [`Gate::expectations`] for all that is judged.
    pub expect: Vec<Expectation>,
    /// Line of the gate in the plan file, 1-based.
    pub line: u32,
}

impl Plan {
    /// Reads a plan. `file` only names it in errors.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place, what was found and what was expected.
    pub fn parse(yaml: &str, file: &str) -> Result<Self, PlanError> {
        crate::parse::plan(yaml, file)
    }

    #[must_use]
    pub fn item(&self, id: &str) -> Option<&Item> {
        self.items.iter().find(|item| item.id == id)
    }

    #[must_use]
    pub fn gate(&self, item: &str, gate: &str) -> Option<&Gate> {
        self.item(item)?
            .gates
            .iter()
            .find(|candidate| candidate.id == gate)
    }

    /// Every role that has to sign something, sorted, each once.
    #[must_use]
    pub fn roles(&self) -> Vec<&str> {
        let mut roles: Vec<&str> = self
            .items
            .iter()
            .flat_map(|item| item.sign_offs.iter().map(String::as_str))
            .collect();
        roles.sort_unstable();
        roles.dedup();
        roles
    }

    /// The hour at which the last window closes.
    #[must_use]
    pub fn ends_h(&self) -> f64 {
        self.items.iter().map(|item| item.window.to_h).fold(0.0, f64::max)
    }
}

impl Gate {
    /// What to run: in a rehearsal with the rehearsal's own durations and sizes.
    /// Expectations are the same in both.
    #[must_use]
    pub fn kind_for(&self, rehearsal: bool) -> &GateKind {
        match &self.rehearsal {
            Some(kind) if rehearsal => kind,
            _ => &self.kind,
        }
    }

    /// Everything that is judged: what the kind implies (a command must exit with 0, a rollout
    /// must not have been rolled back) and then what the plan writes.
    #[must_use]
    pub fn expectations(&self) -> Vec<Expectation> {
        let mut all = self.kind.implied();
        all.extend(
            self.expect
                .iter()
                .filter(|expectation| !all.contains(expectation))
                .cloned()
                .collect::<Vec<_>>(),
        );
        all
    }
}
