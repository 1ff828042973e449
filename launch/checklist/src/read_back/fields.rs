//! What the pages must say, in the order in which they must say it: from the data alone.

use serde_json::Value;

use crate::view::{
    ApprovalView, ChecklistData, EvidenceView, GateView, ItemView, Mark, NamedValue, SignOffView, SignedView,
    Stamp, TimelineView,
};
use crate::words::{self, Shape};

use super::text::squeeze;

/// A stretch of the document with a heading that only it has.
#[derive(Debug)]
pub(crate) struct Section {
    pub name: String,
    /// None: it begins with the document.
    pub head: Option<String>,
    pub fields: Vec<Field>,
}

/// One thing that must be there.
#[derive(Debug)]
pub(crate) struct Field {
    pub name: String,
    /// Without white space, as [`squeeze`] leaves it.
    pub text: String,
}

/// A tick, cross or bar that must be there.
#[derive(Debug, Clone)]
pub(crate) struct ExpectedMark {
    pub name: String,
    pub shape: Shape,
}

/// The whole document: text by sections, and all marks.
#[derive(Debug, Default)]
pub(crate) struct Required {
    pub sections: Vec<Section>,
    pub marks: Vec<ExpectedMark>,
}

impl Required {
    /// `files`: names of all attached files. `by_hand`: what the page of that name is drawn from, where there is one.
    pub(crate) fn of(data: &ChecklistData, files: &[&str], by_hand: Option<&Value>) -> Self {
        let mut required = Self::default();
        required.cover(data);
        required.timeline(&data.timeline);
        for item in &data.items {
            required.item(item);
        }
        required.last_page(data, files);
        match by_hand {
            None => {
                required.feedback(data);
                required.generator(data);
            }
            Some(table) => {
                required.generator(data);
                required.by_hand(data, table);
            }
        }
        required
    }

    fn section(&mut self, name: String, head: Option<String>) {
        self.sections.push(Section {
            name,
            head: head.map(|h| squeeze(&h)),
            fields: Vec::new(),
        });
    }

    fn field(&mut self, name: impl Into<String>, text: impl AsRef<str>) {
        let text = squeeze(text.as_ref());
        if let (Some(section), false) = (self.sections.last_mut(), text.is_empty()) {
            section.fields.push(Field {
                name: name.into(),
                text,
            });
        }
    }

    fn mark(&mut self, name: impl Into<String>, shape: impl Into<Shape>) {
        self.marks.push(ExpectedMark {
            name: name.into(),
            shape: shape.into(),
        });
    }

    fn cover(&mut self, data: &ChecklistData) {
        self.section("cover".to_owned(), None);
        self.field("product and version", format!("{}{}", data.product, data.version));
        self.mark("verdict", data.verdict);
        self.field("verdict", words::overall(data.verdict).concat());
        let totals = &data.totals;
        self.field(
            "totals",
            format!(
                "{} ticked, {} crossed, {} not checked",
                totals.ticked, totals.crossed, totals.not_checked
            ),
        );
        for reason in &data.verdict_reasons {
            self.field("reason of the verdict", &reason.zh);
        }
        for reason in &data.verdict_reasons {
            self.field("reason of the verdict", &reason.en);
        }
        if data.rehearsal {
            self.field("rehearsal", "演练 REHEARSAL");
            self.field("clock", &data.clock_note.zh);
            self.field("clock", &data.clock_note.en);
        }
        self.field("launch", format!("LAUNCH{}", data.launch_id));
        self.field("start", format!("STARTED{}", moment(&data.started)));
        let ended = if data.finished { "ENDED" } else { "LASTENTRY" };
        self.field("end", format!("{ended}{}", moment(&data.ended)));
        self.field(
            "plan file",
            format!(
                "{}SHA-256{}",
                data.plan_file,
                words::short_hash(&data.plan_sha256)
            ),
        );
        for artifact in &data.artifacts {
            self.field(
                format!("artifact {}", artifact.name),
                format!("{}SHA-256{}", artifact.name, artifact.sha256),
            );
        }
        self.field(
            "record root",
            format!("{}条entries,root{}", data.record.size, data.record.root),
        );
        for item in &data.items {
            let name = format!("row of item {} ({})", item.number, item.id);
            self.mark(name.clone(), item.status);
            self.field(
                name,
                [
                    title(item),
                    item.owner.clone(),
                    item.window.hours.clone(),
                    words::mark(item.status).concat(),
                ]
                .concat(),
            );
        }
    }

    fn item(&mut self, item: &ItemView) {
        let name = format!("item {} ({})", item.number, item.id);
        let head = format!("{}{}", title(item), words::mark(item.status).concat());
        self.section(name.clone(), Some(head));
        self.mark(name.clone(), item.status);
        self.field("criterion", &item.criterion.zh);
        self.field("criterion", &item.criterion.en);
        if let Some(not_covered) = &item.not_covered {
            self.field("what it does not cover", &not_covered.zh);
            self.field("what it does not cover", &not_covered.en);
        }
        for reason in &item.reasons {
            self.field("why there is no tick", reason);
        }
        self.field("owner", format!("OWNER{}", item.owner));
        self.field("plan line", &item.plan_line);
        let window = &item.window;
        self.field(
            "window",
            format!(
                "{}{}–{}",
                window.hours,
                moment(&window.opens),
                moment(&window.closes)
            ),
        );
        for gate in &item.gates {
            self.gate(&name, gate);
        }
        for sign_off in &item.sign_offs {
            self.sign_off(&name, sign_off);
        }
    }

    fn gate(&mut self, item: &str, gate: &GateView) {
        let name = format!("{item}, check {}", gate.id);
        let words = words::gate(gate.verdict).concat();
        let head = format!("{}检查check·{}·{}{words}", gate.id, gate.kind, gate.plan_line);
        self.section(name.clone(), Some(head));
        self.mark(name.clone(), gate.verdict);
        for reason in &gate.reasons {
            self.field("reason", reason);
        }
        for expectation in &gate.expectations {
            let place = format!("expectation {}", expectation.expected);
            if gate.evidence.is_none() {
                self.field(place, &expectation.expected);
                continue;
            }
            let verdict = words::expectation(expectation.holds);
            let measured = match expectation.measured.as_str() {
                "" => "未测 not measured",
                measured => measured,
            };
            self.mark(format!("{name}, {place}"), verdict);
            self.field(
                place,
                format!(
                    "{}{measured}{}",
                    expectation.expected,
                    words::gate(verdict).concat()
                ),
            );
        }
        if let Some(evidence) = &gate.evidence {
            self.evidence(evidence);
        }
        for attempt in &gate.attempts {
            self.field(
                format!("attempt {}", attempt.attempt),
                format!(
                    "attempt{},{}:{}",
                    attempt.attempt,
                    moment(&attempt.started),
                    attempt.end
                ),
            );
        }
        for step in &gate.canary_steps {
            let place = format!("canary step of entry {}", step.entry);
            self.field(
                place.clone(),
                format!("{}{}{}%", step.at.utc, step.at.local, step.weight_percent),
            );
            self.field(
                place,
                format!(
                    "{}{}{}(entry{})",
                    step.verdict.zh, step.verdict.en, step.reason, step.entry
                ),
            );
        }
        for approval in &gate.approvals {
            self.approval(approval);
        }
        for chart in &gate.charts {
            let place = format!("chart {}", chart.name);
            self.field(place.clone(), format!("{}max{}", chart.name, chart.y_max_text));
            self.field(place, &chart.x_max_text);
        }
    }

    fn evidence(&mut self, evidence: &EvidenceView) {
        self.field(
            "evidence",
            format!(
                "entry{}·SHA-256{}·{}",
                evidence.entry,
                words::short_hash(&evidence.sha256),
                evidence.file
            ),
        );
        self.field(
            "time of the run",
            format!("{}{}", moment(&evidence.started), moment(&evidence.ended)),
        );
        self.field("target", format!("AGAINST{}", evidence.target));
        self.field("command", format!("COMMAND{}", evidence.command));
        self.named("input", &evidence.inputs);
        self.named("measurement", &evidence.also_measured);
        for note in &evidence.notes {
            self.field("note", note);
        }
    }

    fn named(&mut self, what: &str, values: &[NamedValue]) {
        for NamedValue { name, value } in values {
            self.field(format!("{what} {name}"), format!("{name}{value}"));
        }
    }

    fn approval(&mut self, approval: &ApprovalView) {
        let place = format!("approval {}", approval.approval);
        self.field(
            place.clone(),
            format!(
                "{}{}%·{}{}",
                approval.approval,
                approval.weight_percent,
                approval.role,
                statement(&approval.signed)
            ),
        );
        self.field(place, signed_by(&approval.signed.at, &approval.key_id));
    }

    fn sign_off(&mut self, item: &str, sign_off: &SignOffView) {
        let place = format!("sign-off by {}", sign_off.role);
        let name = format!("{item}, {place}");
        match &sign_off.signed {
            Some(signed) => {
                self.mark(name, Mark::Ticked);
                self.field(place.clone(), format!("{}{}", sign_off.role, statement(signed)));
                self.field(place, signed_by(&signed.at, &sign_off.key_id));
            }
            None => {
                self.mark(name, Mark::NotChecked);
                let words = words::mark(Mark::NotChecked).concat();
                let key = key(&sign_off.key_id);
                self.field(place, format!("{}{words}未签 not signed{key}", sign_off.role));
            }
        }
    }

    fn last_page(&mut self, data: &ChecklistData, files: &[&str]) {
        let record = &data.record;
        self.section(
            "record and verification".to_owned(),
            Some("凭证与复核Record and verification".to_owned()),
        );
        self.field("record", &record.origin);
        self.field("entries", format!("ENTRIES{}", record.size));
        self.field("record root", format!("ROOT{}", record.root));
        self.field("launch key", format!("LAUNCHKEY{}", record.key_id));
        self.field("verifier key", format!("VERIFIERKEY{}", record.verifier));
        for role in &data.roles {
            self.field(
                format!("key of role {}", role.role),
                format!("{}{}", role.role.to_uppercase(), role.key_id),
            );
        }
        for file in files {
            self.field(format!("attached file {file}"), file);
        }
        for unit in &data.glossary {
            self.field(
                format!("unit {}", unit.unit),
                format!("{}{}{}", unit.unit, unit.zh, unit.en),
            );
        }
    }

    fn generator(&mut self, data: &ChecklistData) {
        self.field("generator", format!("{}·{}", data.generator, data.format));
    }

    fn feedback(&mut self, data: &ChecklistData) {
        if let Some(feedback) = &data.feedback {
            self.section(
                "feedback".to_owned(),
                Some("这次上线怎么样？How did it go?".to_owned()),
            );
            self.field("what it asks about", feedback.sections.join("·"));
            self.field("link", &feedback.url);
        }
    }

    fn by_hand(&mut self, data: &ChecklistData, table: &Value) {
        self.section("page by hand".to_owned(), Some("手工填写·By hand".to_owned()));
        for check_box in table["boxes"].as_array().into_iter().flatten() {
            let text = |key: &str| check_box[key].as_str().unwrap_or_default();
            self.field(
                format!("box {}", text("zone")),
                format!("{}{}", text("zh"), text("en")),
            );
        }
        self.field(
            "whose page it is",
            format!(
                "This page belongs to{}{}·{}",
                data.product, data.version, data.launch_id
            ),
        );
        if let Some(feedback) = &data.feedback {
            self.field("code", "怎么样？How did it go?");
            self.field("what it asks about", feedback.sections.join("·"));
            self.field("link", &feedback.url);
        }
    }

    fn timeline(&mut self, timeline: &TimelineView) {
        self.section("timeline".to_owned(), Some("时间线Timeline".to_owned()));
        let labels: String = timeline.labels_h.iter().map(|hour| format!("{hour}h")).collect();
        self.field("hours of the axis", labels);
        for row in &timeline.rows {
            let ran = match row.ran.as_str() {
                "" => "未运行 not run",
                ran => ran,
            };
            let late = match row.late.as_str() {
                "" => String::new(),
                late => format!("·超窗late{late}"),
            };
            self.field(
                format!("row of item {}", row.number),
                format!(
                    "{}{}{}{}{ran}{late}",
                    row.number, row.title.zh, row.title.en, row.planned
                ),
            );
        }
    }
}

fn title(item: &ItemView) -> String {
    format!("{}{}{}", item.number, item.title.zh, item.title.en)
}

fn moment(stamp: &Stamp) -> String {
    let dot = if stamp.local.is_empty() { "" } else { "·" };
    format!("{}{dot}{}", stamp.utc, stamp.local)
}

fn statement(signed: &SignedView) -> String {
    format!(
        "{}(entry{};saw{}entries,root{})",
        signed.statement,
        signed.entry,
        signed.record_size,
        words::short_hash(&signed.record_root)
    )
}

fn signed_by(at: &Stamp, key_id: &str) -> String {
    format!("{}{}{}", at.utc, at.local, key(key_id))
}

fn key(key_id: &str) -> String {
    if key_id.is_empty() {
        "未登记 none named".to_owned()
    } else {
        words::short_hash(key_id)
    }
}
