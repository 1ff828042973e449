//! What the document says, as data: the template typesets exactly this, and it is attached to the
//! PDF as `checklist-data.json`.

use serde::{Deserialize, Serialize};
use tminus_plan::{Bilingual, ChecklistSpec};

/// JSON Schema of [`ChecklistData`], for whoever reads the attached data or writes a template.
pub const DATA_SCHEMA: &str = include_str!("../template/checklist-data.schema.json");

/// The whole document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChecklistData {
    /// `tminus-checklist/1`.
    pub format: String,
    /// Program and version that derived this from the record.
    pub generator: String,
    pub product: String,
    pub version: String,
    pub launch_id: String,
    pub verdict: Overall,
    /// Why the verdict is not "complete"; empty when it is.
    pub verdict_reasons: Vec<Bilingual>,
    pub rehearsal: bool,
    /// 48 hours of plan take 48 h / scale.
    pub clock_scale: f64,
    /// What that means, in words; empty for a launch in real time.
    pub clock_note: Bilingual,
    /// IANA name of the second time zone; empty when every stamp is in UTC only.
    pub zone: String,
    pub started: Stamp,
    /// Time of the newest entry.
    pub ended: Stamp,
    /// Whether the record says that the launch was brought to its end.
    pub finished: bool,
    pub artifacts: Vec<NamedDigest>,
    pub plan_file: String,
    pub plan_sha256: String,
    /// The commit that holds the plan file.
    #[serde(default)]
    pub plan_commit: Option<String>,
    pub totals: TotalsView,
    #[serde(default)]
    pub timeline: TimelineView,
    pub items: Vec<ItemView>,
    pub roles: Vec<RoleView>,
    pub record: RecordView,
    pub glossary: Vec<UnitView>,
    /// None when the launch asks nobody how it went.
    #[serde(default)]
    pub feedback: Option<FeedbackView>,
    /// What the document and its edition for customers are written in and typeset with.
    #[serde(default)]
    pub checklist: ChecklistSpec,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Overall {
    /// Every item is ticked and the launch was finished.
    Complete,
    /// No item is crossed, but something was not checked.
    Incomplete,
    /// An item is crossed.
    Failed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mark {
    Ticked,
    Crossed,
    NotChecked,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GateMark {
    Passed,
    Failed,
    NotChecked,
}

/// A moment, twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Milliseconds since 1970-01-01 UTC.
    pub ms: u64,
    /// `2026-11-22 14:05:09 UTC`
    pub utc: String,
    /// `2026-11-22 22:05:09 Asia/Shanghai (+08:00)`; empty without a second zone.
    pub local: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedDigest {
    pub name: String,
    pub sha256: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TotalsView {
    pub items: u32,
    pub ticked: u32,
    pub crossed: u32,
    pub not_checked: u32,
}

/// The plan's windows and when gates ran, on one axis.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TimelineView {
    /// Hours of the plan, from one end of the axis to the other.
    pub hours: f64,
    /// Evenly from 0 to `hours`.
    pub labels_h: Vec<f64>,
    /// One for each item.
    pub rows: Vec<TimelineRow>,
}

/// Hours are of the plan, on the axis; texts say what lies beyond it too.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TimelineRow {
    pub number: u32,
    pub title: Bilingual,
    /// `T+0–12 h`
    pub planned: String,
    pub planned_h: (f64, f64),
    /// From the first to the last moment of the runs that verdicts rest on; empty when there is none.
    pub ran: String,
    pub ran_h: Vec<(f64, f64)>,
    /// Other attempts: superseded, broken off, could not run.
    pub others_h: Vec<(f64, f64)>,
    /// `+1.5 h`: so long after the window's end; empty when in time.
    pub late: String,
}

/// Where those who were there say how it went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedbackView {
    /// A signed link: whoever has it may answer.
    pub url: String,
    /// What it asks about.
    pub sections: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ItemView {
    pub number: u32,
    pub id: String,
    pub title: Bilingual,
    pub status: Mark,
    /// Why it is not ticked; empty when it is.
    pub reasons: Vec<String>,
    /// The role that answers for it.
    pub owner: String,
    pub window: WindowView,
    pub criterion: Bilingual,
    pub not_covered: Option<Bilingual>,
    /// `plans/starvault.yaml:42`
    pub plan_line: String,
    pub gates: Vec<GateView>,
    pub sign_offs: Vec<SignOffView>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WindowView {
    /// `T+0–12 h`, in hours of the plan.
    pub hours: String,
    pub opens: Stamp,
    pub closes: Stamp,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GateView {
    pub id: String,
    pub kind: String,
    pub plan_line: String,
    pub verdict: GateMark,
    pub reasons: Vec<String>,
    pub expectations: Vec<ExpectationView>,
    /// The evidence that the verdict rests on.
    pub evidence: Option<EvidenceView>,
    pub attempts: Vec<AttemptView>,
    pub canary_steps: Vec<CanaryStepView>,
    /// What let the canary into steps that waited for a person.
    #[serde(default)]
    pub approvals: Vec<ApprovalView>,
    pub charts: Vec<ChartView>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExpectationView {
    /// As the plan writes it.
    pub expected: String,
    /// With its unit; empty when it was not measured.
    pub measured: String,
    /// None when it was not measured.
    pub holds: Option<bool>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvidenceView {
    /// Index of the record's entry.
    pub entry: u64,
    /// SHA-256 of the entry, which is also that of the attached file.
    pub sha256: String,
    /// Name of the attached file.
    pub file: String,
    pub started: Stamp,
    pub ended: Stamp,
    pub target: String,
    pub command: String,
    pub inputs: Vec<NamedValue>,
    /// Measurements that no expectation asks for.
    pub also_measured: Vec<NamedValue>,
    pub notes: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NamedValue {
    pub name: String,
    pub value: String,
}

/// An attempt that the verdict does not rest on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttemptView {
    pub attempt: u32,
    pub started: Stamp,
    /// What became of it.
    pub end: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CanaryStepView {
    pub entry: u64,
    pub at: Stamp,
    pub weight_percent: u32,
    pub verdict: Bilingual,
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ApprovalView {
    pub approval: String,
    /// The weight that it let the canary have.
    pub weight_percent: u32,
    pub role: String,
    pub key_id: String,
    pub signed: SignedView,
}

/// A measured course, thinned to what paper shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChartView {
    pub name: String,
    /// Seconds since the gate started, value.
    pub points: Vec<(f64, f64)>,
    pub x_max: f64,
    pub y_max: f64,
    /// The largest value, for the axis.
    pub y_max_text: String,
    pub x_max_text: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SignOffView {
    pub role: String,
    /// Id of the key that the launch names for the role.
    pub key_id: String,
    pub signed: Option<SignedView>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SignedView {
    pub entry: u64,
    pub at: Stamp,
    pub statement: String,
    /// Entries of the record that the signer saw.
    pub record_size: u64,
    pub record_root: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RoleView {
    pub role: String,
    pub key_id: String,
}

/// The record that the document was made from. Its own issue is one entry more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecordView {
    pub origin: String,
    pub size: u64,
    pub root: String,
    pub key_id: String,
    /// The signed-note verifier key.
    pub verifier: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UnitView {
    pub unit: String,
    pub zh: String,
    pub en: String,
}
