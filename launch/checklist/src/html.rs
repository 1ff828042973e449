//! The checklist as one HTML file: the same data as the PDF, in the same order, for a screen. No script, nothing
//! from elsewhere; a policy in it forbids both.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest, Sha256};
use tminus_plan::Bilingual;

use crate::view::{
    ApprovalView, CanaryStepView, ChartView, ChecklistData, EvidenceView, FeedbackView, GateView, ItemView,
    Mark, NamedValue, SignOffView, SignedView, Stamp, TimelineRow, TimelineView,
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
    let mut page = Page(String::new());
    let data = &model.data;
    page.head(data);
    page.cover(data);
    page.timeline(&data.timeline);
    for item in &data.items {
        page.item(item);
    }
    let files = model.attachments.iter().map(|a| a.name.as_str());
    page.last(data, [crate::model::DATA_FILE].into_iter().chain(files));
    Ok(page.0)
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

    fn word(self, [zh, en]: [&str; 2]) -> String {
        let class = self.class();
        format!("<span class=\"word {class}\">{zh} <span lang=\"en\" class=\"{class}\">{en}</span></span>")
    }

    fn marked(self, words: [&str; 2]) -> String {
        format!("{} {}", self.svg(), self.word(words))
    }
}

struct Page(String);

impl Page {
    fn put(&mut self, html: impl AsRef<str>) {
        self.0.push_str(html.as_ref());
        self.0.push('\n');
    }

    fn pair(&mut self, [zh, en]: [&str; 2], html: impl AsRef<str>) {
        self.put(format!(
            "<dt>{zh} {}</dt><dd>{}</dd>",
            escape(&en.to_uppercase()),
            html.as_ref()
        ));
    }

    fn head(&mut self, data: &ChecklistData) {
        let title = escape(&format!(
            "{} {} 上线检查单 Launch checklist {}",
            data.product, data.version, data.launch_id
        ));
        let hash = BASE64.encode(Sha256::digest(STYLE.as_bytes()));
        self.put(format!(
            "<!doctype html>\n<html lang=\"zh-CN\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-{hash}'; \
             base-uri 'none'; form-action 'none'\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"referrer\" content=\"no-referrer\">\n<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
             <a class=\"skip\" href=\"#items\">到检查项 To the items</a>\n<main>"
        ));
    }

    fn cover(&mut self, data: &ChecklistData) {
        self.put("<p class=\"eyebrow\">T-MINUS · 上线检查单 LAUNCH CHECKLIST</p>");
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
        self.put(format!(
            "<section class=\"verdict {}\" aria-label=\"结论 verdict\">{}<div>{}\
             <p><strong>{} ticked, {} crossed, {} not checked</strong> \
             共 {} 项：已核 {}，未通过 {}，未核 {}</p>",
            drawn.class(),
            drawn.svg(),
            drawn.word(words::overall(data.verdict)),
            t.ticked,
            t.crossed,
            t.not_checked,
            t.items,
            t.ticked,
            t.crossed,
            t.not_checked,
        ));
        if !data.verdict_reasons.is_empty() {
            let (zh, en) = (reasons(|r| &r.zh, "；"), reasons(|r| &r.en, "; "));
            self.put(format!("<p>{zh}。 <span lang=\"en\">{en}.</span></p>"));
        }
        self.put("</div></section>");
        if data.rehearsal {
            self.put(
                "<section class=\"note\"><p><strong>演练 REHEARSAL</strong> 本文件证明的是一次演练，不是上线。 \
                 <span lang=\"en\">This document proves a rehearsal, not a launch.</span></p>",
            );
            if !data.clock_note.en.is_empty() {
                self.put(format!("<p>{}</p>", bilingual(&data.clock_note)));
            }
            self.put("</section>");
        }
        self.put(
            "<p><strong>无证不勾。</strong> 勾表示：此项的每个检查都已运行，证据在记录中，判定可由任何人离线重算。“未核”不是通过。 \
             <span lang=\"en\"><strong>No tick without proof.</strong> A tick says that every check of the item ran, that its \
             evidence is on record, and that anyone can take the verdict again offline. “Not checked” is not a pass.</span></p>",
        );
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
            format!("{} 条 entries, root {}", record.size, code(&record.root)),
        );
        self.put("</dl>");
        self.put(
            "<table id=\"items\"><thead><tr><th scope=\"col\">#</th><th scope=\"col\">检查项 item</th><th scope=\"col\">负责 owner</th>\
             <th scope=\"col\">窗口 window</th><th scope=\"col\">结果 result</th></tr></thead><tbody>",
        );
        for item in &data.items {
            self.put(format!(
                "<tr><td>{0}</td><td><a href=\"#item-{0}\">{1}</a></td><td>{2}</td><td>{3}</td><td>{4}</td></tr>",
                item.number,
                bilingual(&item.title),
                escape(&item.owner),
                escape(&item.window.hours),
                Shape::from(item.status).marked(words::mark(item.status)),
            ));
        }
        self.put("</tbody></table>");
    }

    fn timeline(&mut self, timeline: &TimelineView) {
        self.put(
            "<article class=\"item\"><header><h2>时间线 <span lang=\"en\">Timeline</span></h2></header>\
             <p>横轴为计划小时；演练按时钟倍率换算。 <span lang=\"en\">The axis is in hours of the plan; a rehearsal is stretched \
             by its clock.</span></p>",
        );
        let legend = [
            ("plan", "计划窗口", "planned window"),
            ("ran", "检查运行", "checks ran"),
            ("other", "其他尝试", "other attempts"),
        ];
        let legend = legend.map(|(class, zh, en)| {
            let sample = bar(class, (0.0, 1.0), 1.0);
            format!("<li><svg class=\"sample\" viewBox=\"0 0 1000 76\" preserveAspectRatio=\"none\" aria-hidden=\"true\">{sample}</svg> {zh} <span lang=\"en\">{en}</span></li>")
        });
        self.put(format!("<ul class=\"plain values\">{}</ul>", legend.concat()));
        let labels: String = timeline
            .labels_h
            .iter()
            .map(|hour| format!("<span>{hour} h</span>"))
            .collect();
        self.put(format!(
            "<table class=\"timeline\"><thead><tr><th scope=\"col\">检查项 item</th><th scope=\"col\"><div class=\"axis\">{labels}</div></th>\
             <th scope=\"col\">时间 time</th></tr></thead><tbody>"
        ));
        for row in &timeline.rows {
            self.put(timeline_row(row, timeline));
        }
        self.put("</tbody></table></article>");
    }

    fn feedback(&mut self, feedback: &FeedbackView) {
        let url = escape(&feedback.url);
        let asked: Vec<String> = feedback.sections.iter().map(|section| escape(section)).collect();
        self.put(format!(
            "</tbody></table></article>\n<article class=\"item\"><header><h2>这次上线怎么样？ <span lang=\"en\">How did it go?</span></h2></header>\
             <p>{}</p><p><a href=\"{url}\" rel=\"noopener noreferrer\"><code>{url}</code></a></p>",
            asked.join(" · ")
        ));
    }

    fn item(&mut self, item: &ItemView) {
        let drawn = Shape::from(item.status);
        self.put(format!(
            "<article class=\"item\" id=\"item-{0}\"><header class=\"{1}\">{2}<h2>{0} {3}</h2>{4}</header><dl>",
            item.number,
            drawn.class(),
            drawn.svg(),
            bilingual(&item.title),
            drawn.word(words::mark(item.status)),
        ));
        self.pair(["判定标准", "criterion"], paragraphs(&item.criterion));
        if let Some(not_covered) = &item.not_covered {
            self.pair(["此勾不含", "not covered"], paragraphs(not_covered));
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
                self.put(sign_off_row(sign_off));
            }
            self.put("</tbody></table>");
        }
        self.put("</article>");
    }

    fn table<const N: usize>(&mut self, heads: [[&str; 2]; N]) {
        let mut row = String::from("<table><thead><tr>");
        for [zh, en] in heads {
            // Writing to a string cannot fail.
            let _ = write!(row, "<th scope=\"col\">{zh} {en}</th>");
        }
        self.put(row + "</tr></thead><tbody>");
    }

    fn gate(&mut self, gate: &GateView) {
        let drawn = Shape::from(gate.verdict);
        self.put(format!(
            "<section class=\"gate\"><header>{}<h3>{} <span class=\"soft\">检查 check · {} · {}</span></h3>{}</header><div>",
            drawn.svg(),
            escape(&gate.id),
            escape(&gate.kind),
            code(&gate.plan_line),
            drawn.word(words::gate(gate.verdict)),
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
                        "" => "未测 not measured".to_owned(),
                        measured => escape(measured),
                    };
                    let marked = Shape::from(verdict).marked(words::gate(verdict));
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
            self.put(format!("<p class=\"soft\">判据 expected: {}</p>", all.join(", ")));
        }
        for attempt in &gate.attempts {
            self.put(format!(
                "<p class=\"soft\">第 {0} 次 attempt {0}, {1}: {2}</p>",
                attempt.attempt,
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
                self.put(step_row(step));
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
                self.put(approval_row(approval));
            }
            self.put("</tbody></table>");
        }
        for chart in &gate.charts {
            self.put(chart_figure(chart));
        }
        self.put("</div></section>");
    }

    fn evidence(&mut self, evidence: &EvidenceView) {
        self.put("<dl>");
        self.pair(
            ["证据", "evidence"],
            format!(
                "第 {0} 条 entry {0} · SHA-256 {1} · {2}",
                evidence.entry,
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
        self.put(
            "<article class=\"item\"><header><h2>凭证与复核 <span lang=\"en\">Record and verification</span></h2></header>\
             <p>离线复核 Verify offline: <code>tminus verify checklist.pdf --record record</code></p>\
             <p>复核对象是 PDF；本页是同一数据的另一版面。 <span lang=\"en\">What is verified is the PDF; this page shows the same data \
             in another form.</span></p><dl>",
        );
        self.pair(
            ["记录", "record"],
            format!("{} · C2SP tlog-tiles, RFC 6962 SHA-256", code(&record.origin)),
        );
        self.pair(["条数", "entries"], record.size.to_string());
        self.pair(["根", "root"], code(&record.root));
        self.pair(["记录密钥", "launch key"], code(&record.key_id));
        self.pair(["验证密钥", "verifier key"], code(&record.verifier));
        for role in &data.roles {
            self.pair(["角色密钥", &role.role], code(&role.key_id));
        }
        self.put("</dl><h3>附件 attached files</h3><ul class=\"plain\">");
        for file in files {
            self.put(format!("<li>{}</li>", code(file)));
        }
        self.put("</ul><h3>单位与用语 units and terms</h3><table><tbody>");
        for unit in &data.glossary {
            self.put(format!(
                "<tr><th scope=\"row\">{}</th><td>{}</td><td lang=\"en\">{}</td></tr>",
                escape(&unit.unit),
                escape(&unit.zh),
                escape(&unit.en)
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

fn code(text: &str) -> String {
    format!("<code>{}</code>", escape(text))
}

fn short(hash: &str) -> String {
    code(&words::short_hash(hash))
}

fn bilingual(pair: &Bilingual) -> String {
    format!(
        "{} <span lang=\"en\">{}</span>",
        escape(&pair.zh),
        escape(&pair.en)
    )
}

fn paragraphs(pair: &Bilingual) -> String {
    format!(
        "<p>{}</p><p lang=\"en\">{}</p>",
        escape(&pair.zh),
        escape(&pair.en)
    )
}

fn lines(texts: &[String]) -> String {
    let all: String = texts.iter().map(|t| format!("<li>{}</li>", escape(t))).collect();
    format!("<ul class=\"plain\">{all}</ul>")
}

fn values(values: &[NamedValue]) -> String {
    let one = |v: &NamedValue| format!("<li>{} {}</li>", code(&v.name), escape(&v.value));
    let all: String = values.iter().map(one).collect();
    format!("<ul class=\"plain values\">{all}</ul>")
}

fn moment(stamp: &Stamp) -> String {
    let dot = if stamp.local.is_empty() { "" } else { " · " };
    format!("{}{dot}{}", escape(&stamp.utc), escape(&stamp.local))
}

fn statement(signed: &SignedView) -> String {
    format!(
        "{} (entry {}; saw {} entries, root {})",
        escape(&signed.statement),
        signed.entry,
        signed.record_size,
        short(&signed.record_root)
    )
}

fn at(stamp: &Stamp) -> String {
    format!("{} {}", escape(&stamp.utc), escape(&stamp.local))
}

fn key(key_id: &str) -> String {
    match key_id {
        "" => "未登记 none named".to_owned(),
        key_id => short(key_id),
    }
}

fn sign_off_row(sign_off: &SignOffView) -> String {
    let (said, when) = match &sign_off.signed {
        Some(signed) => (
            format!("{} {}", Shape::Tick.svg(), statement(signed)),
            at(&signed.at),
        ),
        None => (
            format!(
                "{} 未签 not signed",
                Shape::Bar.marked(words::mark(Mark::NotChecked))
            ),
            String::new(),
        ),
    };
    let (role, key) = (escape(&sign_off.role), key(&sign_off.key_id));
    format!("<tr><td>{role}</td><td>{said}</td><td>{when}</td><td>{key}</td></tr>")
}

fn approval_row(approval: &ApprovalView) -> String {
    format!(
        "<tr><td>{} {} % · {}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
        escape(&approval.approval),
        approval.weight_percent,
        escape(&approval.role),
        statement(&approval.signed),
        at(&approval.signed.at),
        key(&approval.key_id)
    )
}

fn step_row(step: &CanaryStepView) -> String {
    let weight = step.weight_percent;
    format!(
        "<tr><td>{}</td><td><svg class=\"weight\" viewBox=\"0 0 100 10\" preserveAspectRatio=\"none\" aria-hidden=\"true\">\
         <rect width=\"{weight}\" height=\"10\"/></svg> {weight} %</td><td>{}</td><td>{} (entry {})</td></tr>",
        at(&step.at),
        bilingual(&step.verdict),
        escape(&step.reason),
        step.entry
    )
}

/// What the bars show is the row's text too.
fn timeline_row(row: &TimelineRow, timeline: &TimelineView) -> String {
    let mut bars = String::new();
    for hour in &timeline.labels_h {
        let x = 1000.0 * hour / timeline.hours;
        // Writing to a string cannot fail.
        let _ = write!(bars, "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"0\" y2=\"76\"/>");
    }
    bars += &bar("plan", row.planned_h, timeline.hours);
    for (class, spans) in [("other", &row.others_h), ("ran", &row.ran_h)] {
        bars.extend(spans.iter().map(|span| bar(class, *span, timeline.hours)));
    }
    let ran = match row.ran.as_str() {
        "" => "未运行 not run".to_owned(),
        ran => format!("<strong>{}</strong>", escape(ran)),
    };
    let late = match row.late.as_str() {
        "" => String::new(),
        late => format!(" · 超窗 late {}", escape(late)),
    };
    format!(
        "<tr><td><strong>{} {}</strong> <span lang=\"en\">{}</span></td>\
         <td class=\"bars\"><svg viewBox=\"0 0 1000 76\" preserveAspectRatio=\"none\" aria-hidden=\"true\">{bars}</svg></td>\
         <td><span class=\"soft\">{}</span><br>{ran}{late}</td></tr>",
        row.number,
        escape(&row.title.zh),
        escape(&row.title.en),
        escape(&row.planned),
    )
}

/// In a picture of 1000 by 76, as on paper: planned above, ran below.
fn bar(class: &str, (from_h, to_h): (f64, f64), hours: f64) -> String {
    let at = |hour: f64| (1000.0 * hour / hours).clamp(0.0, 1000.0);
    let width = (at(to_h) - at(from_h)).max(8.0);
    let x = at(from_h).min(1000.0 - width);
    let (y, height) = match class {
        "plan" => (9, 25),
        "other" => (51, 7),
        _ => (42, 25),
    };
    format!("<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y}\" width=\"{width:.1}\" height=\"{height}\"/>")
}

/// As on paper; the figures of the axes are its text.
fn chart_figure(chart: &ChartView) -> String {
    let scale = |value: f64, max: f64| if max > 0.0 { value / max } else { 0.0 };
    let mut points = String::new();
    for (x, y) in &chart.points {
        let (x, y) = (
            scale(*x, chart.x_max) * 400.0,
            80.0 - scale(y.max(0.0), chart.y_max) * 80.0,
        );
        // Writing to a string cannot fail.
        let _ = write!(points, "{x:.1},{y:.1} ");
    }
    let (name, max, end) = (
        escape(&chart.name),
        escape(&chart.y_max_text),
        escape(&chart.x_max_text),
    );
    format!(
        "<figure class=\"chart\"><figcaption><code>{name}</code> max {max}</figcaption>\
         <svg viewBox=\"0 0 400 80\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{name}, max {max}, 0 – {end}\">\
         <polyline points=\"{points}\"/></svg><div class=\"axis\"><span>0</span><span>{end}</span></div></figure>"
    )
}
