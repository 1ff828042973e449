//! What the pages must say, in the order in which they must say it: from the data alone.

use serde_json::Value;
use tminus_plan::{Bilingual, Language};

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
    language: Language,
}

/// What the pages say and the data do not.
#[derive(Debug)]
pub(crate) struct OnPaper<'a> {
    /// Names of all attached files.
    pub files: Vec<&'a str>,
    /// What the page by hand is drawn from, where there is one.
    pub by_hand: Option<&'a Value>,
    /// The template that did not do.
    pub instead_of: Option<&'a str>,
}

impl Required {
    pub(crate) fn of(data: &ChecklistData, on_paper: &OnPaper<'_>, language: Language) -> Self {
        let mut required = Self {
            language,
            ..Self::default()
        };
        required.cover(data);
        required.timeline(&data.timeline);
        for item in &data.items {
            required.item(item);
        }
        required.last_page(data, &on_paper.files);
        match on_paper.by_hand {
            None => {
                required.feedback(data);
                required.generator(data, on_paper);
            }
            Some(table) => {
                required.generator(data, on_paper);
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

    fn tell(&self, words: [&str; 2]) -> String {
        words::tell(self.language, words, "")
    }

    /// The words of a label that stand right before what it labels.
    fn label(&self, [zh, en]: [&'static str; 2]) -> &'static str {
        if self.language.has_en() { en } else { zh }
    }

    fn pair(&mut self, name: &str, pair: &Bilingual) {
        if self.language.has_zh() {
            self.field(name, &pair.zh);
        }
        if self.language.has_en() {
            self.field(name, &pair.en);
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
        self.field("verdict", self.tell(words::overall(data.verdict)));
        let totals = &data.totals;
        let (ticked, crossed, open) = (totals.ticked, totals.crossed, totals.not_checked);
        if self.language.has_en() {
            self.field(
                "totals",
                format!("{ticked} ticked, {crossed} crossed, {open} not checked"),
            );
        } else {
            self.field(
                "totals",
                format!("共{}项：已核{ticked}，未通过{crossed}，未核{open}", totals.items),
            );
        }
        if self.language.has_zh() {
            for reason in &data.verdict_reasons {
                self.field("reason of the verdict", &reason.zh);
            }
        }
        if self.language.has_en() {
            for reason in &data.verdict_reasons {
                self.field("reason of the verdict", &reason.en);
            }
        }
        if data.rehearsal {
            self.field("rehearsal", self.tell(["演练", "REHEARSAL"]));
            self.pair("clock", &data.clock_note);
        }
        let launch = self.label(["上线", "LAUNCH"]);
        self.field("launch", format!("{launch}{}", data.launch_id));
        let started = self.label(["开始", "STARTED"]);
        self.field("start", format!("{started}{}", moment(&data.started)));
        let ended = self.label(["结束", if data.finished { "ENDED" } else { "LASTENTRY" }]);
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
            format!(
                "{}{},{}{}",
                data.record.size,
                self.tell(["条", "entries"]),
                self.label(["根", "root"]),
                data.record.root
            ),
        );
        for item in &data.items {
            let name = format!("row of item {} ({})", item.number, item.id);
            self.mark(name.clone(), item.status);
            self.field(
                name,
                [
                    self.title(item),
                    item.owner.clone(),
                    item.window.hours.clone(),
                    self.tell(words::mark(item.status)),
                ]
                .concat(),
            );
        }
    }

    fn item(&mut self, item: &ItemView) {
        let name = format!("item {} ({})", item.number, item.id);
        let head = format!("{}{}", self.title(item), self.tell(words::mark(item.status)));
        self.section(name.clone(), Some(head));
        self.mark(name.clone(), item.status);
        self.pair("criterion", &item.criterion);
        if let Some(not_covered) = &item.not_covered {
            self.pair("what it does not cover", not_covered);
        }
        for reason in &item.reasons {
            self.field("why there is no tick", reason);
        }
        let owner = self.label(["负责", "OWNER"]);
        self.field("owner", format!("{owner}{}", item.owner));
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
        let words = self.tell(words::gate(gate.verdict));
        let check = self.tell(["检查", "check"]);
        let head = format!("{}{check}·{}·{}{words}", gate.id, gate.kind, gate.plan_line);
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
                "" => self.tell(["未测", "not measured"]),
                measured => measured.to_owned(),
            };
            self.mark(format!("{name}, {place}"), verdict);
            self.field(
                place,
                format!(
                    "{}{measured}{}",
                    expectation.expected,
                    self.tell(words::gate(verdict))
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
                    "{},{}:{}",
                    self.number(["第", "次", "attempt"], u64::from(attempt.attempt)),
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
                    "{}{}{}{}{}",
                    self.tell([&step.verdict.zh, &step.verdict.en]),
                    step.reason,
                    self.label(["（", "("]),
                    self.number(["第", "条", "entry"], step.entry),
                    self.label(["）", ")"]),
                ),
            );
        }
        for approval in &gate.approvals {
            self.approval(approval);
        }
        for chart in &gate.charts {
            let place = format!("chart {}", chart.name);
            let max = self.label(["最大", "max"]);
            self.field(place.clone(), format!("{}{max}{}", chart.name, chart.y_max_text));
            self.field(place, &chart.x_max_text);
        }
    }

    fn evidence(&mut self, evidence: &EvidenceView) {
        self.field(
            "evidence",
            format!(
                "{}·SHA-256{}·{}",
                self.number(["第", "条", "entry"], evidence.entry),
                words::short_hash(&evidence.sha256),
                evidence.file
            ),
        );
        self.field(
            "time of the run",
            format!("{}{}", moment(&evidence.started), moment(&evidence.ended)),
        );
        let against = self.label(["对象", "AGAINST"]);
        self.field("target", format!("{against}{}", evidence.target));
        let command = self.label(["命令", "COMMAND"]);
        self.field("command", format!("{command}{}", evidence.command));
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
                self.statement(&approval.signed)
            ),
        );
        self.field(place, self.signed_by(&approval.signed.at, &approval.key_id));
    }

    fn sign_off(&mut self, item: &str, sign_off: &SignOffView) {
        let place = format!("sign-off by {}", sign_off.role);
        let name = format!("{item}, {place}");
        match &sign_off.signed {
            Some(signed) => {
                self.mark(name, Mark::Ticked);
                self.field(
                    place.clone(),
                    format!("{}{}", sign_off.role, self.statement(signed)),
                );
                self.field(place, self.signed_by(&signed.at, &sign_off.key_id));
            }
            None => {
                self.mark(name, Mark::NotChecked);
                let words = self.tell(words::mark(Mark::NotChecked));
                let not_signed = self.tell(["未签", "not signed"]);
                let key = self.key(&sign_off.key_id);
                self.field(place, format!("{}{words}{not_signed}{key}", sign_off.role));
            }
        }
    }

    fn last_page(&mut self, data: &ChecklistData, files: &[&str]) {
        let record = &data.record;
        self.section(
            "record and verification".to_owned(),
            Some(self.tell(["凭证与复核", "Record and verification"])),
        );
        self.field("record", &record.origin);
        for (name, label, value) in [
            ("entries", ["条数", "ENTRIES"], &record.size.to_string()),
            ("record root", ["根", "ROOT"], &record.root),
            ("launch key", ["记录密钥", "LAUNCHKEY"], &record.key_id),
            ("verifier key", ["验证密钥", "VERIFIERKEY"], &record.verifier),
        ] {
            self.field(name, format!("{}{value}", self.label(label)));
        }
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
                format!("{}{}", unit.unit, self.tell([&unit.zh, &unit.en])),
            );
        }
    }

    fn generator(&mut self, data: &ChecklistData, on_paper: &OnPaper<'_>) {
        self.field("generator", format!("{}·{}", data.generator, data.format));
        if let Some(name) = on_paper.instead_of {
            let zh = format!("以发行版自带模板排版：计划所定模板{name}不可用");
            let en = format!("set with the release's own template: the plan's, {name}, did not do");
            self.field("template that did not do", self.tell([&zh, &en]));
        }
    }

    fn feedback(&mut self, data: &ChecklistData) {
        if let Some(feedback) = &data.feedback {
            self.section(
                "feedback".to_owned(),
                Some(self.tell(["这次上线怎么样？", "How did it go?"])),
            );
            self.field("what it asks about", feedback.sections.join("·"));
            self.field("link", &feedback.url);
        }
    }

    fn by_hand(&mut self, data: &ChecklistData, table: &Value) {
        let head = words::tell(self.language, ["手工填写", "By hand"], "·");
        self.section("page by hand".to_owned(), Some(head));
        for check_box in table["boxes"].as_array().into_iter().flatten() {
            let text = |key: &str| check_box[key].as_str().unwrap_or_default();
            self.field(
                format!("box {}", text("zone")),
                self.tell([text("zh"), text("en")]),
            );
        }
        self.field(
            "whose page it is",
            format!(
                "{}{}{}·{}",
                self.label(["本页属于", "This page belongs to"]),
                data.product,
                data.version,
                data.launch_id
            ),
        );
        if let Some(feedback) = &data.feedback {
            self.field("code", self.tell(["怎么样？", "How did it go?"]));
            self.field("what it asks about", feedback.sections.join("·"));
            self.field("link", &feedback.url);
        }
    }

    fn timeline(&mut self, timeline: &TimelineView) {
        self.section("timeline".to_owned(), Some(self.tell(["时间线", "Timeline"])));
        let labels: String = timeline.labels_h.iter().map(|hour| format!("{hour}h")).collect();
        self.field("hours of the axis", labels);
        for row in &timeline.rows {
            let ran = match row.ran.as_str() {
                "" => self.tell(["未运行", "not run"]),
                ran => ran.to_owned(),
            };
            let late = match row.late.as_str() {
                "" => String::new(),
                late => format!("·{}{late}", self.tell(["超窗", "late"])),
            };
            self.field(
                format!("row of item {}", row.number),
                format!(
                    "{}{}{}{ran}{late}",
                    row.number,
                    self.tell([&row.title.zh, &row.title.en]),
                    row.planned
                ),
            );
        }
    }

    fn title(&self, item: &ItemView) -> String {
        format!("{}{}", item.number, self.tell([&item.title.zh, &item.title.en]))
    }

    /// As what stands right before or after it needs it.
    fn number(&self, [before, after, en]: [&'static str; 3], number: u64) -> String {
        if self.language.has_en() {
            format!("{en}{number}")
        } else {
            format!("{before}{number}{after}")
        }
    }

    fn statement(&self, signed: &SignedView) -> String {
        let (entry, size) = (signed.entry, signed.record_size);
        let root = words::short_hash(&signed.record_root);
        if self.language.has_en() {
            format!("{}(entry{entry};saw{size}entries,root{root})", signed.statement)
        } else {
            format!("{}（第{entry}条；签时记录{size}条，根{root}）", signed.statement)
        }
    }

    fn signed_by(&self, at: &Stamp, key_id: &str) -> String {
        format!("{}{}{}", at.utc, at.local, self.key(key_id))
    }

    fn key(&self, key_id: &str) -> String {
        if key_id.is_empty() {
            self.tell(["未登记", "none named"])
        } else {
            words::short_hash(key_id)
        }
    }
}

fn moment(stamp: &Stamp) -> String {
    let dot = if stamp.local.is_empty() { "" } else { "·" };
    format!("{}{dot}{}", stamp.utc, stamp.local)
}
