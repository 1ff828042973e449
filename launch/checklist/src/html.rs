//! The checklist as one HTML file: the same data as the PDF, in the same order, for a screen. No script, nothing
//! from elsewhere; a policy in it forbids both.

mod language;
mod pictures;

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest, Sha256};
use tminus_plan::Bilingual;

use self::language::{Words, at, code, lines, moment, short, values};
use self::pictures::{bar, chart_figure, timeline_row};
use crate::view::{
    ApprovalView, CanaryStepView, ChecklistData, EvidenceView, FeedbackView, GateView, ItemView, Mark,
    SignOffView, TimelineView,
};
use crate::words::{self, Shape};
use crate::{ChecklistError, DocumentModel};

const STYLE: &str = include_str!("../template/checklist.css");

/// The file's text. Equal for equal models. Files attached to the PDF are named in it, not contained.
///
/// # Errors
/// The model is too large.
pub fn html(model: &DocumentModel) -> Result<String, ChecklistError> {
    crate::typeset::bounded(model)?;
    let mut page = Page {
        text: String::new(),
        words: Words(model.language),
    };
    let data = &model.data;
    page.head(data);
    page.cover(data);
    page.timeline(&data.timeline);
    for item in &data.items {
        page.item(item);
    }
    let files = model.attachments.iter().map(|a| a.name.as_str());
    page.last(data, [crate::model::DATA_FILE].into_iter().chain(files));
    Ok(page.text)
}

/// Safe as text and in a quoted attribute. What would change the order of the letters around it, or is not seen, is
/// named by its number.
pub(crate) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => words::visible(other, &mut safe),
        }
    }
    safe
}

impl Shape {
    fn class(self) -> &'static str {
        match self {
            Self::Tick => "good",
            Self::Cross => "bad",
            Self::Bar => "open",
        }
    }

    /// The word stands beside it: no reader needs to hear it twice.
    fn svg(self) -> String {
        let pen = match self {
            Self::Tick => "M22 53 42 73 79 28",
            Self::Cross => "M27 27 73 73M73 27 27 73",
            Self::Bar => "M26 50H74",
        };
        let class = self.class();
        format!(
            "<svg class=\"mark {class}\" viewBox=\"0 0 100 100\" aria-hidden=\"true\">\
             <rect class=\"box\" width=\"100\" height=\"100\" rx=\"14\"/><path class=\"pen\" d=\"{pen}\"/></svg>"
        )
    }

    fn word(self, words: Words, [zh, en]: [&str; 2]) -> String {
        let class = self.class();
        let en = format!("<span lang=\"en\" class=\"{class}\">{en}</span>");
        format!("<span class=\"word {class}\">{}</span>", words.tell([zh, &en]))
    }

    fn marked(self, words: Words, told: [&str; 2]) -> String {
        format!("{} {}", self.svg(), self.word(words, told))
    }
}

struct Page {
    text: String,
    words: Words,
}

impl Page {
    fn put(&mut self, html: impl AsRef<str>) {
        self.text.push_str(html.as_ref());
        self.text.push('\n');
    }

    fn pair(&mut self, [zh, en]: [&str; 2], html: impl AsRef<str>) {
        let label = self.words.tell([zh, &escape(&en.to_uppercase())]);
        self.put(format!("<dt>{label}</dt><dd>{}</dd>", html.as_ref()));
    }

    fn head(&mut self, data: &ChecklistData) {
        let title = escape(&format!(
            "{} {} {} {}",
            data.product,
            data.version,
            self.words.tell(["上线检查单", "Launch checklist"]),
            data.launch_id
        ));
        let lang = if self.words.0.has_zh() { "zh-CN" } else { "en" };
        let skip = self.words.tell(["到检查项", "To the items"]);
        let hash = BASE64.encode(Sha256::digest(STYLE.as_bytes()));
        self.put(format!(
            "<!doctype html>\n<html lang=\"{lang}\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-{hash}'; \
             base-uri 'none'; form-action 'none'\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"referrer\" content=\"no-referrer\">\n<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
             <a class=\"skip\" href=\"#items\">{skip}</a>\n<main>"
        ));
    }

    fn cover(&mut self, data: &ChecklistData) {
        let words = self.words;
        let checklist = words.tell(["上线检查单", "LAUNCH CHECKLIST"]);
        self.put(format!("<p class=\"eyebrow\">T-MINUS · {checklist}</p>"));
        self.put(format!(
            "<h1>{} <span>{}</span></h1>",
            escape(&data.product),
            escape(&data.version)
        ));
        let drawn = Shape::from(data.verdict);
        let t = &data.totals;
        let reasons = |of: fn(&Bilingual) -> &String, join: &str| -> String {
            let all: Vec<String> = data.verdict_reasons.iter().map(|r| escape(of(r))).collect();
            all.join(join)
        };
        let (ticked, crossed, open) = (t.ticked, t.crossed, t.not_checked);
        let mut totals = String::new();
        if words.0.has_en() {
            totals += &format!("<strong>{ticked} ticked, {crossed} crossed, {open} not checked</strong> ");
        }
        if words.0.has_zh() {
            totals += &format!("共 {} 项：已核 {ticked}，未通过 {crossed}，未核 {open}", t.items);
        }
        self.put(format!(
            "<section class=\"verdict {}\" aria-label=\"{}\">{}<div>{}<p>{totals}</p>",
            drawn.class(),
            words.tell(["结论", "verdict"]),
            drawn.svg(),
            drawn.word(words, words::overall(data.verdict)),
        ));
        if !data.verdict_reasons.is_empty() {
            let (zh, en) = (reasons(|r| &r.zh, "；"), reasons(|r| &r.en, "; "));
            let reasons = words.say([&format!("{zh}。"), &format!("{en}.")]);
            self.put(format!("<p>{reasons}</p>"));
        }
        self.put("</div></section>");
        if data.rehearsal {
            self.put(format!(
                "<section class=\"note\"><p><strong>{}</strong> {}</p>",
                words.tell(["演练", "REHEARSAL"]),
                words.say([
                    "本文件证明的是一次演练，不是上线。",
                    "This document proves a rehearsal, not a launch."
                ])
            ));
            if !data.clock_note.en.is_empty() {
                self.put(format!("<p>{}</p>", words.pair(&data.clock_note)));
            }
            self.put("</section>");
        }
        let what_a_tick_says = words.say([
            "<strong>无证不勾。</strong> 勾表示：此项的每个检查都已运行，证据在记录中，判定可由任何人离线重算。“未核”不是通过。",
            "<strong>No tick without proof.</strong> A tick says that every check of the item ran, that its evidence is on record, \
             and that anyone can take the verdict again offline. “Not checked” is not a pass.",
        ]);
        self.put(format!("<p>{what_a_tick_says}</p>"));
        self.put("<dl>");
        self.pair(["上线", "launch"], code(&data.launch_id));
        self.pair(["开始", "started"], moment(&data.started));
        let ended = if data.finished { "ended" } else { "last entry" };
        self.pair(["结束", ended], moment(&data.ended));
        self.pair(
            ["计划", "plan"],
            format!("{} SHA-256 {}", code(&data.plan_file), short(&data.plan_sha256)),
        );
        for artifact in &data.artifacts {
            let digest = code(&artifact.sha256);
            self.pair(
                ["制品", "artifact"],
                format!("{} SHA-256 {digest}", escape(&artifact.name)),
            );
        }
        let record = &data.record;
        self.pair(
            ["记录", "record"],
            format!(
                "{} {}, {} {}",
                record.size,
                words.tell(["条", "entries"]),
                if words.0.has_en() { "root" } else { "根" },
                code(&record.root)
            ),
        );
        self.put("</dl>");
        self.put("<table id=\"items\"><thead><tr><th scope=\"col\">#</th>");
        for head in [
            ["检查项", "item"],
            ["负责", "owner"],
            ["窗口", "window"],
            ["结果", "result"],
        ] {
            self.put(format!("<th scope=\"col\">{}</th>", words.tell(head)));
        }
        self.put("</tr></thead><tbody>");
        for item in &data.items {
            self.put(format!(
                "<tr><td>{0}</td><td><a href=\"#item-{0}\">{1}</a></td><td>{2}</td><td>{3}</td><td>{4}</td></tr>",
                item.number,
                words.pair(&item.title),
                escape(&item.owner),
                escape(&item.window.hours),
                Shape::from(item.status).marked(words, words::mark(item.status)),
            ));
        }
        self.put("</tbody></table>");
    }

    fn timeline(&mut self, timeline: &TimelineView) {
        let words = self.words;
        self.put(format!(
            "<article class=\"item\"><header><h2>{}</h2></header><p>{}</p>",
            words.say(["时间线", "Timeline"]),
            words.say([
                "横轴为计划小时；演练按时钟倍率换算。",
                "The axis is in hours of the plan; a rehearsal is stretched by its clock.",
            ])
        ));
        let legend = [
            ("plan", "计划窗口", "planned window"),
            ("ran", "检查运行", "checks ran"),
            ("other", "其他尝试", "other attempts"),
        ];
        let legend = legend.map(|(class, zh, en)| {
            let sample = bar(class, (0.0, 1.0), 1.0);
            format!("<li><svg class=\"sample\" viewBox=\"0 0 1000 76\" preserveAspectRatio=\"none\" aria-hidden=\"true\">{sample}</svg> {}</li>", words.say([zh, en]))
        });
        self.put(format!("<ul class=\"plain values\">{}</ul>", legend.concat()));
        let labels: String = timeline
            .labels_h
            .iter()
            .map(|hour| format!("<span>{hour} h</span>"))
            .collect();
        self.put(format!(
            "<table class=\"timeline\"><thead><tr><th scope=\"col\">{}</th><th scope=\"col\"><div class=\"axis\">{labels}</div></th>\
             <th scope=\"col\">{}</th></tr></thead><tbody>",
            words.tell(["检查项", "item"]),
            words.tell(["时间", "time"]),
        ));
        for row in &timeline.rows {
            self.put(timeline_row(row, timeline, words));
        }
        self.put("</tbody></table></article>");
    }

    fn feedback(&mut self, feedback: &FeedbackView) {
        let url = escape(&feedback.url);
        let asked: Vec<String> = feedback.sections.iter().map(|section| escape(section)).collect();
        self.put(format!(
            "</tbody></table></article>\n<article class=\"item\"><header><h2>{}</h2></header>\
             <p>{}</p><p><a href=\"{url}\" rel=\"noopener noreferrer\"><code>{url}</code></a></p>",
            self.words.say(["这次上线怎么样？", "How did it go?"]),
            asked.join(" · ")
        ));
    }

    fn item(&mut self, item: &ItemView) {
        let words = self.words;
        let drawn = Shape::from(item.status);
        self.put(format!(
            "<article class=\"item\" id=\"item-{0}\"><header class=\"{1}\">{2}<h2>{0} {3}</h2>{4}</header><dl>",
            item.number,
            drawn.class(),
            drawn.svg(),
            words.pair(&item.title),
            drawn.word(words, words::mark(item.status)),
        ));
        self.pair(["判定标准", "criterion"], words.paragraphs(&item.criterion));
        if let Some(not_covered) = &item.not_covered {
            self.pair(["此勾不含", "not covered"], words.paragraphs(not_covered));
        }
        if !item.reasons.is_empty() {
            self.pair(["未勾原因", "why no tick"], lines(&item.reasons));
        }
        self.pair(
            ["负责", "owner"],
            format!("{} {}", escape(&item.owner), code(&item.plan_line)),
        );
        let window = &item.window;
        self.pair(
            ["窗口", "window"],
            format!(
                "<p>{}</p><p>{} – {}</p>",
                escape(&window.hours),
                moment(&window.opens),
                moment(&window.closes)
            ),
        );
        self.put("</dl>");
        for gate in &item.gates {
            self.gate(gate);
        }
        if !item.sign_offs.is_empty() {
            self.table([
                ["签字", "sign-off"],
                ["声明", "statement"],
                ["时间", "time"],
                ["密钥", "key"],
            ]);
            for sign_off in &item.sign_offs {
                self.put(sign_off_row(sign_off, words));
            }
            self.put("</tbody></table>");
        }
        self.put("</article>");
    }

    fn table<const N: usize>(&mut self, heads: [[&str; 2]; N]) {
        let mut row = String::from("<table><thead><tr>");
        for head in heads {
            // Writing to a string cannot fail.
            let _ = write!(row, "<th scope=\"col\">{}</th>", self.words.tell(head));
        }
        self.put(row + "</tr></thead><tbody>");
    }

    fn gate(&mut self, gate: &GateView) {
        let words = self.words;
        let drawn = Shape::from(gate.verdict);
        self.put(format!(
            "<section class=\"gate\"><header>{}<h3>{} <span class=\"soft\">{} · {} · {}</span></h3>{}</header><div>",
            drawn.svg(),
            escape(&gate.id),
            words.tell(["检查", "check"]),
            escape(&gate.kind),
            code(&gate.plan_line),
            drawn.word(words, words::gate(gate.verdict)),
        ));
        if !gate.reasons.is_empty() {
            self.put(lines(&gate.reasons));
        }
        if let Some(evidence) = &gate.evidence {
            if !gate.expectations.is_empty() {
                self.table([["判据", "expected"], ["实测", "measured"], ["判定", "verdict"]]);
                for expectation in &gate.expectations {
                    let verdict = words::expectation(expectation.holds);
                    let measured = match expectation.measured.as_str() {
                        "" => words.tell(["未测", "not measured"]),
                        measured => escape(measured),
                    };
                    let marked = Shape::from(verdict).marked(words, words::gate(verdict));
                    let expected = code(&expectation.expected);
                    self.put(format!(
                        "<tr><td>{expected}</td><td>{measured}</td><td>{marked}</td></tr>"
                    ));
                }
                self.put("</tbody></table>");
            }
            self.evidence(evidence);
        } else if !gate.expectations.is_empty() {
            let all: Vec<String> = gate.expectations.iter().map(|e| code(&e.expected)).collect();
            let expected = words.tell(["判据", "expected"]);
            self.put(format!("<p class=\"soft\">{expected}: {}</p>", all.join(", ")));
        }
        for attempt in &gate.attempts {
            self.put(format!(
                "<p class=\"soft\">{}, {}: {}</p>",
                words.tell([
                    &format!("第 {} 次", attempt.attempt),
                    &format!("attempt {}", attempt.attempt)
                ]),
                moment(&attempt.started),
                escape(&attempt.end)
            ));
        }
        if !gate.canary_steps.is_empty() {
            self.table([
                ["时间", "time"],
                ["权重", "weight"],
                ["判定", "verdict"],
                ["理由", "reason"],
            ]);
            for step in &gate.canary_steps {
                self.put(step_row(step, words));
            }
            self.put("</tbody></table>");
        }
        if !gate.approvals.is_empty() {
            self.table([
                ["放行", "approval"],
                ["声明", "statement"],
                ["时间", "time"],
                ["密钥", "key"],
            ]);
            for approval in &gate.approvals {
                self.put(approval_row(approval, words));
            }
            self.put("</tbody></table>");
        }
        for chart in &gate.charts {
            self.put(chart_figure(chart, words));
        }
        self.put("</div></section>");
    }

    fn evidence(&mut self, evidence: &EvidenceView) {
        self.put("<dl>");
        self.pair(
            ["证据", "evidence"],
            format!(
                "{} · SHA-256 {} · {}",
                self.words.tell([
                    &format!("第 {} 条", evidence.entry),
                    &format!("entry {}", evidence.entry)
                ]),
                short(&evidence.sha256),
                code(&evidence.file)
            ),
        );
        self.pair(
            ["起止", "ran"],
            format!(
                "<p>{}</p><p>{}</p>",
                moment(&evidence.started),
                moment(&evidence.ended)
            ),
        );
        self.pair(["对象", "against"], code(&evidence.target));
        self.pair(["命令", "command"], code(&evidence.command));
        if !evidence.inputs.is_empty() {
            self.pair(["输入", "inputs"], values(&evidence.inputs));
        }
        if !evidence.also_measured.is_empty() {
            self.pair(["另测", "also measured"], values(&evidence.also_measured));
        }
        if !evidence.notes.is_empty() {
            self.pair(["备注", "notes"], lines(&evidence.notes));
        }
        self.put("</dl>");
    }

    fn last<'a>(&mut self, data: &ChecklistData, files: impl Iterator<Item = &'a str>) {
        let record = &data.record;
        let words = self.words;
        self.put(format!(
            "<article class=\"item\"><header><h2>{}</h2></header>\
             <p>{}: <code>tminus verify checklist.pdf --record record</code></p><p>{}</p><dl>",
            words.say(["凭证与复核", "Record and verification"]),
            words.tell(["离线复核", "Verify offline"]),
            words.say([
                "复核对象是 PDF；本页是同一数据的另一版面。",
                "What is verified is the PDF; this page shows the same data in another form.",
            ])
        ));
        self.pair(
            ["记录", "record"],
            format!("{} · C2SP tlog-tiles, RFC 6962 SHA-256", code(&record.origin)),
        );
        self.pair(["条数", "entries"], record.size.to_string());
        self.pair(["根", "root"], code(&record.root));
        self.pair(["记录密钥", "launch key"], code(&record.key_id));
        self.pair(["验证密钥", "verifier key"], code(&record.verifier));
        for role in &data.roles {
            let label = if words.0.has_zh() { "角色密钥 " } else { "" };
            let role_name = escape(&role.role.to_uppercase());
            self.put(format!(
                "<dt>{label}{role_name}</dt><dd>{}</dd>",
                code(&role.key_id)
            ));
        }
        let attached = words.tell(["附件", "attached files"]);
        self.put(format!("</dl><h3>{attached}</h3><ul class=\"plain\">"));
        for file in files {
            self.put(format!("<li>{}</li>", code(file)));
        }
        let units = words.tell(["单位与用语", "units and terms"]);
        self.put(format!("</ul><h3>{units}</h3><table><tbody>"));
        for unit in &data.glossary {
            self.put(format!(
                "<tr><th scope=\"row\">{}</th>{}</tr>",
                escape(&unit.unit),
                words.tell([
                    &format!("<td>{}</td>", escape(&unit.zh)),
                    &format!("<td lang=\"en\">{}</td>", escape(&unit.en))
                ])
            ));
        }
        match &data.feedback {
            Some(feedback) => self.feedback(feedback),
            None => self.put("</tbody></table>"),
        }
        self.put(format!(
            "</article></main>\n<footer><p>{} · {}</p><p class=\"water\">{}</p></footer>\n</body>\n</html>",
            escape(&data.generator),
            escape(&data.format),
            escape(&words::water_mark(data)),
        ));
    }
}

fn sign_off_row(sign_off: &SignOffView, words: Words) -> String {
    let (said, when) = match &sign_off.signed {
        Some(signed) => (
            format!("{} {}", Shape::Tick.svg(), words.statement(signed)),
            at(&signed.at),
        ),
        None => (
            format!(
                "{} {}",
                Shape::Bar.marked(words, words::mark(Mark::NotChecked)),
                words.tell(["未签", "not signed"])
            ),
            String::new(),
        ),
    };
    let (role, key) = (escape(&sign_off.role), words.key(&sign_off.key_id));
    format!("<tr><td>{role}</td><td>{said}</td><td>{when}</td><td>{key}</td></tr>")
}

fn approval_row(approval: &ApprovalView, words: Words) -> String {
    format!(
        "<tr><td>{} {} % · {}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
        escape(&approval.approval),
        approval.weight_percent,
        escape(&approval.role),
        words.statement(&approval.signed),
        at(&approval.signed.at),
        words.key(&approval.key_id)
    )
}

fn step_row(step: &CanaryStepView, words: Words) -> String {
    let weight = step.weight_percent;
    let entry = if words.0.has_en() {
        format!("(entry {})", step.entry)
    } else {
        format!("（第 {} 条）", step.entry)
    };
    format!(
        "<tr><td>{}</td><td><svg class=\"weight\" viewBox=\"0 0 100 10\" preserveAspectRatio=\"none\" aria-hidden=\"true\">\
         <rect width=\"{weight}\" height=\"10\"/></svg> {weight} %</td><td>{}</td><td>{} {entry}</td></tr>",
        at(&step.at),
        words.pair(&step.verdict),
        escape(&step.reason),
    )
}
