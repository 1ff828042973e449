//! From record entries to the document: a pure function.

use std::collections::BTreeMap;

use tminus_plan::{
    Approved, Attempt, AttemptEnd, Bilingual, Evidence, Fact, Gate, GateKind, GateState, Item, ItemState,
    ItemStatus, Language, LaunchState, RolloutVerdict, SignOffState, Signed, Verdict,
};
use tminus_record::note::{self, Checkpoint};
use tminus_record::{Record, VerifyingKey, merkle};

use crate::ChecklistError;
use crate::entries::{Entry, Signers, read_all};
use crate::format::{self, Zones};
use crate::template::Template;
use crate::timeline::timeline;
use crate::view::{
    ApprovalView, AttemptView, CanaryStepView, ChartView, ChecklistData, EvidenceView, ExpectationView,
    FeedbackView, GateMark, GateView, ItemView, Mark, NamedDigest, NamedValue, Overall, RecordView, RoleView,
    SignOffView, SignedView, TotalsView, WindowView,
};

/// Version of the document's data.
pub(crate) const FORMAT: &str = "tminus-checklist/1";
/// Who derived the data; another version may word things differently.
pub(crate) const GENERATOR: &str = concat!("tminus ", env!("CARGO_PKG_VERSION"));
/// The attachment that holds [`ChecklistData`].
pub(crate) const DATA_FILE: &str = "checklist-data.json";
/// The attachment that holds the signed checkpoint.
pub(crate) const CHECKPOINT_FILE: &str = "record/checkpoint";

/// Points of a chart; more cannot be told apart on paper.
const MAX_CHART_POINTS: usize = 150;
/// Charts of one gate; the attached evidence has all of them.
const MAX_CHARTS: usize = 6;
/// Lines of notes and lengths of texts that are printed; the attached evidence has all of it.
const MAX_NOTES: usize = 12;
const MAX_TEXT_CHARS: usize = 600;
/// Enough of a commit to find it.
const COMMIT_CHARS: usize = 10;

/// A file inside the PDF.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// With `/` between folders.
    pub name: String,
    pub mime_type: &'static str,
    pub description: String,
    pub bytes: Vec<u8>,
}

/// What only paper has. Whoever makes the document brings it: the crate that reads pages back from a scanner and makes
/// links talks HTTP, and this one reads files of strangers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OnPaper {
    /// The code that holds [`FeedbackView::url`], there when that is there: rows of modules from the top, `true` for
    /// black, as many as are in a row.
    pub feedback_code: Option<Vec<Vec<bool>>>,
    /// The last page; none in editions that are not filled in.
    pub by_hand: Option<ByHand>,
}

/// The page that is filled in by hand and read back by a machine.
#[derive(Debug, Clone, PartialEq)]
pub struct ByHand {
    /// Defines the Typst function `by-hand(table, code, behind:, about:, link:)`.
    pub template: String,
    /// Where marks and check boxes are: what the machine looks at too.
    pub table: serde_json::Value,
}

/// Everything that goes into the PDF.
#[derive(Debug, Clone)]
pub struct DocumentModel {
    pub data: ChecklistData,
    /// Envelopes as the record holds them and the signed checkpoint. [`crate::render`] adds `data`.
    pub attachments: Vec<Attachment>,
    pub on_paper: OnPaper,
    /// One of those in [`ChecklistData::checklist`].
    pub language: Language,
    pub template: Template,
}

impl DocumentModel {
    /// The document of a record that is being written.
    ///
    /// # Errors
    /// An entry that does not read, is not signed as it must be, or contradicts those before it.
    pub fn of_record(record: &Record) -> Result<Self, ChecklistError> {
        Self::from_record(
            record.entries(),
            record.checkpoint().as_bytes(),
            &record.verifying_key(),
        )
    }

    /// The document of these entries, which `checkpoint`, signed by `launch_key`, must cover exactly.
    ///
    /// # Errors
    /// As [`DocumentModel::of_record`], or a checkpoint of something else.
    pub fn from_record(
        entries: &[Vec<u8>],
        checkpoint: &[u8],
        launch_key: &VerifyingKey,
    ) -> Result<Self, ChecklistError> {
        let why = |why: String| ChecklistError::Checkpoint { why };
        let signed = Checkpoint::open(checkpoint, launch_key).map_err(|e| why(e.to_string()))?;
        let leaves: Vec<_> = entries.iter().map(|e| merkle::leaf_hash(e)).collect();
        if signed.size != leaves.len() as u64 || signed.root != merkle::root(&leaves) {
            return Err(why(format!(
                "it signs {} entries, these are {}",
                signed.size,
                leaves.len()
            )));
        }
        let entries = read_all(entries)?;
        let signers = Signers::from_first(entries.first(), *launch_key)?;
        for entry in &entries {
            signers.check(entry)?;
        }
        let record = RecordView {
            origin: signed.origin.clone(),
            size: signed.size,
            root: hex::encode(signed.root),
            key_id: launch_key.key_id(),
            verifier: note::verifier_line(&signed.origin, launch_key),
        };
        let (data, mut attachments) = derive(&entries, &signers, record)?;
        attachments.push(Attachment {
            name: CHECKPOINT_FILE.to_owned(),
            mime_type: "text/plain",
            description: "The record's signed checkpoint before this document was issued".to_owned(),
            bytes: checkpoint.to_vec(),
        });
        Ok(Self {
            language: data.checklist.language,
            data,
            attachments,
            on_paper: OnPaper::default(),
            template: Template::Shipped,
        })
    }
}

/// Data and attached envelopes of entries that were checked before.
pub(crate) fn derive(
    entries: &[Entry],
    signers: &Signers,
    record: RecordView,
) -> Result<(ChecklistData, Vec<Attachment>), ChecklistError> {
    let state = LaunchState::fold(entries.iter().map(|e| (e.index, e.fact.clone())))?;
    let zones = Zones::new(state.plan.timezone.as_deref());
    let context = Context {
        entries,
        signers,
        state: &state,
        zones: &zones,
    };
    let totals = state.totals();
    let totals = TotalsView {
        items: state.items.len() as u32,
        ticked: totals.ticked,
        crossed: totals.crossed,
        not_checked: totals.not_checked,
    };
    let (verdict, verdict_reasons) = overall(&totals, state.finished.is_some());
    let data = ChecklistData {
        format: FORMAT.to_owned(),
        generator: GENERATOR.to_owned(),
        product: state.plan.name.clone(),
        version: state.plan.version.clone(),
        launch_id: state.launch_id.clone(),
        verdict,
        verdict_reasons,
        rehearsal: state.rehearsal,
        clock_scale: state.clock.scale,
        clock_note: clock_note(state.clock.scale, state.plan.ends_h()),
        zone: zones.name().to_owned(),
        started: zones.stamp(state.clock.started_at_ms),
        ended: zones.stamp(state.last_at_ms),
        finished: state.finished.is_some(),
        artifacts: state
            .artifacts
            .iter()
            .map(|a| NamedDigest {
                name: a.name.clone(),
                sha256: a.sha256.clone(),
            })
            .collect(),
        plan_file: state.plan_file.clone(),
        plan_sha256: state.plan_sha256.clone(),
        plan_commit: state.plan_commit.clone(),
        totals,
        timeline: timeline(&state),
        items: state
            .items_with_plan()
            .map(|(item, at)| context.item(item, at))
            .collect(),
        roles: signers
            .roles()
            .iter()
            .map(|(role, key)| RoleView {
                role: role.clone(),
                key_id: key.key_id(),
            })
            .collect(),
        record,
        glossary: format::glossary(),
        feedback: feedback(&state),
        checklist: state.plan.checklist.clone(),
    };
    Ok((data, entries.iter().filter_map(attachment).collect()))
}

/// A record may say anything; only what a browser opens as a page is a link.
fn feedback(state: &LaunchState) -> Option<FeedbackView> {
    let url = state.feedback_url.as_ref()?;
    let web = url.starts_with("https://") || url.starts_with("http://");
    web.then(|| FeedbackView {
        url: short(url),
        sections: state
            .plan
            .feedback
            .iter()
            .flat_map(|f| f.sections.clone())
            .collect(),
    })
}

/// Entries that carry the document: the plan, every evidence, every sign-off and approval.
fn attachment(entry: &Entry) -> Option<Attachment> {
    let (name, description) = match &entry.fact {
        Fact::LaunchStarted { .. } => (
            format!("launch/{}-started.json", entry.index),
            "plan and keys".to_owned(),
        ),
        Fact::Evidence(evidence) => (
            evidence_file(entry.index, evidence),
            format!("evidence of {}/{}", evidence.item, evidence.gate),
        ),
        Fact::Approval {
            item, approval, role, ..
        } => (
            format!(
                "approvals/{}-{}-{}.json",
                entry.index,
                plain(item),
                plain(approval)
            ),
            format!("approval `{approval}` of {item} by {role}"),
        ),
        Fact::SignOff { item, role, .. } => (
            format!("sign-offs/{}-{}-{}.json", entry.index, plain(item), plain(role)),
            format!("sign-off of {item} by {role}"),
        ),
        _ => return None,
    };
    Some(Attachment {
        name,
        mime_type: "application/json",
        description: format!(
            "Record entry {}: {description}, a signed DSSE envelope",
            entry.index
        ),
        bytes: entry.bytes.clone(),
    })
}

fn evidence_file(entry: u64, evidence: &Evidence) -> String {
    format!(
        "evidence/{entry}-{}-{}.json",
        plain(&evidence.item),
        plain(&evidence.gate)
    )
}

fn short_commit(commit: &str) -> String {
    commit.chars().take(COMMIT_CHARS).collect()
}

/// A part of a file name, whatever a plan calls its items and roles.
pub(crate) fn plain(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || "-_".contains(c) {
                c
            } else {
                '-'
            }
        })
        .collect()
}

fn overall(totals: &TotalsView, finished: bool) -> (Overall, Vec<Bilingual>) {
    let say = |zh: String, en: String| Bilingual { zh, en };
    let items = |n: u32| if n == 1 { "item" } else { "items" };
    let mut reasons = Vec::new();
    if totals.crossed > 0 {
        reasons.push(say(
            format!("{} 项未通过", totals.crossed),
            format!("{} {} failed", totals.crossed, items(totals.crossed)),
        ));
    }
    if totals.not_checked > 0 {
        reasons.push(say(
            format!("{} 项未核", totals.not_checked),
            format!("{} {} not checked", totals.not_checked, items(totals.not_checked)),
        ));
    }
    if !finished {
        reasons.push(say(
            "上线流程尚未结束".to_owned(),
            "the launch has not been finished".to_owned(),
        ));
    }
    let verdict = if totals.crossed > 0 {
        Overall::Failed
    } else if reasons.is_empty() && totals.items > 0 {
        Overall::Complete
    } else {
        Overall::Incomplete
    };
    (verdict, reasons)
}

fn clock_note(scale: f64, plan_h: f64) -> Bilingual {
    if scale == 1.0 {
        return Bilingual {
            zh: String::new(),
            en: String::new(),
        };
    }
    let (factor, plan_h) = (format::number(scale), format::number(plan_h));
    let took = format::span(plan_h.parse().unwrap_or(0.0) * 3600.0 / scale);
    Bilingual {
        zh: format!("时钟压缩 {factor} 倍：计划的 {plan_h} 小时在 {took} 内走完"),
        en: format!("clock compressed {factor}×: {plan_h} h of plan pass in {took}"),
    }
}

struct Context<'a> {
    entries: &'a [Entry],
    signers: &'a Signers,
    state: &'a LaunchState,
    zones: &'a Zones,
}

impl Context<'_> {
    fn item(&self, item: &Item, state: &ItemState) -> ItemView {
        ItemView {
            number: item.number,
            id: item.id.clone(),
            title: item.title.clone(),
            status: match state.status {
                ItemStatus::Ticked => Mark::Ticked,
                ItemStatus::Crossed => Mark::Crossed,
                ItemStatus::NotChecked => Mark::NotChecked,
            },
            reasons: state.reasons.iter().map(|r| short(r)).collect(),
            owner: item.owner.clone(),
            window: WindowView {
                hours: format::hours(item.window.from_h, item.window.to_h),
                opens: self.zones.stamp(self.state.clock.opens_ms(item.window)),
                closes: self.zones.stamp(self.state.clock.closes_ms(item.window)),
            },
            criterion: item.criterion.clone(),
            not_covered: item.not_covered.clone(),
            plan_line: self.plan_line(item.line),
            gates: item
                .gates
                .iter()
                .zip(&state.gates)
                .map(|(gate, at)| self.gate(gate, at))
                .collect(),
            sign_offs: state.sign_offs.iter().map(|s| self.sign_off(s)).collect(),
        }
    }

    fn plan_line(&self, line: u32) -> String {
        // The commit finds the line again when the file has long been another.
        let commit = self.state.plan_commit.as_deref();
        let at = commit.map_or_else(String::new, |commit| format!("@{}", short_commit(commit)));
        format!("{}:{line}{at}", self.state.plan_file)
    }

    fn gate(&self, gate: &Gate, state: &GateState) -> GateView {
        // The newest attempt decides; an older evidence is history.
        let deciding = state.attempts.last().and_then(|attempt| match &attempt.end {
            AttemptEnd::Evidence { entry, evidence } => Some((*entry, evidence.as_ref())),
            _ => None,
        });
        let (verdict, reasons) = match &state.verdict {
            Verdict::Passed => (GateMark::Passed, Vec::new()),
            Verdict::Failed { reasons } => (GateMark::Failed, reasons.iter().map(|r| short(r)).collect()),
            Verdict::NotChecked { why } => (GateMark::NotChecked, vec![short(why)]),
        };
        let expectations = gate.expectations();
        let settled_by = deciding.map(|(entry, _)| entry);
        let expected = expectations
            .iter()
            .map(|expectation| {
                let measured = deciding.and_then(|(_, e)| e.measurements.get(&expectation.measurement));
                ExpectationView {
                    expected: expectation.source.clone(),
                    measured: measured.map(format::measurement).unwrap_or_default(),
                    holds: measured.map(|m| expectation.op.holds(m.value, expectation.number)),
                }
            })
            .collect();
        GateView {
            id: gate.id.clone(),
            kind: gate.kind.name().to_owned(),
            plan_line: self.plan_line(gate.line),
            verdict,
            reasons,
            expectations: expected,
            evidence: deciding.map(|(entry, evidence)| {
                let asked: Vec<&str> = expectations.iter().map(|e| e.measurement.as_str()).collect();
                self.evidence(entry, evidence, &asked)
            }),
            attempts: state
                .attempts
                .iter()
                .filter_map(|a| self.attempt(a, settled_by))
                .collect(),
            canary_steps: state
                .rollout
                .iter()
                .map(|step| CanaryStepView {
                    entry: step.entry,
                    at: self.zones.stamp(step.at_ms),
                    weight_percent: step.weight_percent,
                    verdict: canary_verdict(step.verdict),
                    reason: short(&step.reason),
                })
                .collect(),
            approvals: state
                .approvals
                .iter()
                .map(|given| self.approval(gate, given))
                .collect(),
            charts: deciding
                .map(|(_, evidence)| charts(&evidence.series))
                .unwrap_or_default(),
        }
    }

    fn evidence(&self, entry: u64, evidence: &Evidence, asked: &[&str]) -> EvidenceView {
        let named = |(name, value): (&String, &String)| NamedValue {
            name: name.clone(),
            value: short(value),
        };
        let mut notes: Vec<String> = evidence.notes.iter().take(MAX_NOTES).map(|n| short(n)).collect();
        if evidence.notes.len() > MAX_NOTES {
            notes.push(format!(
                "… {} more in the attached evidence",
                evidence.notes.len() - MAX_NOTES
            ));
        }
        EvidenceView {
            entry,
            sha256: self
                .entries
                .get(entry as usize)
                .map(Entry::sha256)
                .unwrap_or_default(),
            file: evidence_file(entry, evidence),
            started: self.zones.stamp(evidence.started_at_ms),
            ended: self.zones.stamp(evidence.ended_at_ms),
            target: short(&evidence.target),
            command: short(&evidence.command.join(" ")),
            inputs: evidence.inputs.iter().map(named).collect(),
            also_measured: evidence
                .measurements
                .iter()
                .filter(|(name, _)| !asked.contains(&name.as_str()))
                .map(|(name, m)| NamedValue {
                    name: name.clone(),
                    value: format::measurement(m),
                })
                .collect(),
            notes,
        }
    }

    fn attempt(&self, attempt: &Attempt, settled_by: Option<u64>) -> Option<AttemptView> {
        let end = match &attempt.end {
            AttemptEnd::Evidence { entry, .. } if Some(*entry) == settled_by => return None,
            AttemptEnd::Evidence { entry, .. } => format!("evidence in entry {entry}, superseded"),
            AttemptEnd::Open => "did not end".to_owned(),
            AttemptEnd::CouldNotRun { entry, why, .. } => {
                format!("could not run (entry {entry}): {}", short(why))
            }
        };
        Some(AttemptView {
            attempt: attempt.attempt,
            started: self.zones.stamp(attempt.started_at_ms),
            end,
        })
    }

    fn sign_off(&self, state: &SignOffState) -> SignOffView {
        SignOffView {
            role: state.role.clone(),
            key_id: self
                .signers
                .role(&state.role)
                .map(VerifyingKey::key_id)
                .unwrap_or_default(),
            signed: state.signed.as_ref().map(|signed| self.signed(signed)),
        }
    }

    fn signed(&self, signed: &Signed) -> SignedView {
        SignedView {
            entry: signed.entry,
            at: self.zones.stamp(signed.at_ms),
            statement: short(&signed.statement),
            record_size: signed.record_size,
            record_root: signed.record_root_hex.clone(),
        }
    }

    fn approval(&self, gate: &Gate, given: &Approved) -> ApprovalView {
        let step = match gate.kind_for(self.state.rehearsal) {
            GateKind::Canary(spec) => spec.approved_step(&given.approval),
            _ => None,
        };
        ApprovalView {
            approval: given.approval.clone(),
            weight_percent: step.map_or(0, |(_, weight)| weight),
            role: given.role.clone(),
            key_id: self
                .signers
                .role(&given.role)
                .map(VerifyingKey::key_id)
                .unwrap_or_default(),
            signed: self.signed(&given.signed),
        }
    }
}

fn canary_verdict(verdict: RolloutVerdict) -> Bilingual {
    let (zh, en) = match verdict {
        RolloutVerdict::Started => ("开始", "started"),
        RolloutVerdict::NotWorse => ("不差于稳定版", "not worse"),
        RolloutVerdict::Worse => ("更差，回滚", "worse, rolled back"),
        RolloutVerdict::NotEnoughEvidence => ("证据不足", "not enough evidence"),
    };
    Bilingual {
        zh: zh.to_owned(),
        en: en.to_owned(),
    }
}

fn charts(series: &BTreeMap<String, Vec<(f64, f64)>>) -> Vec<ChartView> {
    let drawable = series.iter().filter(|(_, points)| points.len() >= 2);
    drawable
        .take(MAX_CHARTS)
        .map(|(name, points)| {
            let step = points.len().div_ceil(MAX_CHART_POINTS);
            // Of each group the largest value: a spike must not vanish from paper.
            let points: Vec<(f64, f64)> = points
                .chunks(step)
                .map(|group| {
                    (
                        group[0].0,
                        group.iter().map(|p| p.1).fold(f64::NEG_INFINITY, f64::max),
                    )
                })
                .collect();
            let x_max = points.iter().map(|p| p.0).fold(0.0, f64::max);
            let y_max = points.iter().map(|p| p.1).fold(0.0, f64::max);
            ChartView {
                name: name.clone(),
                points,
                x_max,
                y_max,
                y_max_text: format::number(y_max),
                x_max_text: format::span(x_max),
            }
        })
        .collect()
}

/// At most [`MAX_TEXT_CHARS`]: what a document prints of a text that a program wrote.
fn short(text: &str) -> String {
    match text.char_indices().nth(MAX_TEXT_CHARS) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}
