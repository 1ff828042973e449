//! The page of figures as HTML, in two languages. What others wrote is shown as text; every time says its zone.

use tminus_after::feedback::{Answer, Figures, Language};
use tminus_after::stamps::Zone;
use tminus_after::text::{html, one_line};
use tminus_after::tickets::{Entry, State};
use tminus_after::triggers::{Raised, Reason};

use super::board::Seen;

/// The newest of what people wrote.
const TEXTS_MAX: usize = 50;
/// The newest retrospectives.
const RAISED_MAX: usize = 200;
const NAME_CHARACTERS_MAX: usize = 120;

pub(super) struct View<'a> {
    pub language: Language,
    pub zone: Option<&'a Zone>,
    pub now_ms: u64,
    pub launch: &'a str,
    pub sinks: &'a [&'static str],
    pub figures: Vec<Told>,
    pub seen: &'a Seen,
    pub unknown_zone: bool,
}

/// What was told of one launch.
pub(super) struct Told {
    pub launch: String,
    pub figures: Vec<Figures>,
    /// Oldest first.
    pub texts: Vec<Answer>,
}

impl View<'_> {
    fn say(&self, zh: &'static str, en: &'static str) -> &'static str {
        self.language.pick(zh, en)
    }

    fn stamp(&self, at_ms: u64) -> String {
        html(&super::stamp(at_ms, self.zone))
    }
}

fn name(text: &str) -> String {
    format!("<bdi>{}</bdi>", html(&one_line(text, NAME_CHARACTERS_MAX)))
}

pub(super) fn whole(view: &View<'_>) -> String {
    let title = view.say("上线之后", "After the launch");
    let other = match view.language {
        Language::Zh => Language::En,
        Language::En => Language::Zh,
    };
    let zone = view.zone.map_or("UTC", Zone::name);
    let unknown = if view.unknown_zone {
        format!(
            "<p class=\"bad\" role=\"alert\">{}</p>",
            view.say("没有这个时区。", "There is no zone of that name.")
        )
    } else {
        String::new()
    };
    format!(
        "<!doctype html><html lang=\"{lang}\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>{title}</title>\
         <link rel=\"icon\" href=\"/favicon.svg\" type=\"image/svg+xml\"><link rel=\"stylesheet\" href=\"/after.css\">\
         <script src=\"/after.js\" defer></script></head><body>\
         <a class=\"skip\" href=\"#live\">{skip}</a>\
         <header><h1>{title}</h1><p>{launch}</p><p id=\"link\" role=\"status\"></p>\
         <form method=\"get\" action=\"/\"><input type=\"hidden\" name=\"lang\" value=\"{tag}\">\
         <label>{zone_label} <input name=\"zone\" value=\"{zone}\" maxlength=\"64\" autocomplete=\"off\" spellcheck=\"false\"></label>\
         <button>{set}</button> <a href=\"/?lang={other_tag}\" hreflang=\"{other_tag}\" lang=\"{other_tag}\">{other_name}</a></form>{unknown}</header>\
         <main id=\"live\" tabindex=\"-1\">{live}</main></body></html>",
        lang = match view.language {
            Language::Zh => "zh-Hans",
            Language::En => "en",
        },
        skip = view.say("跳到内容", "Skip to the content"),
        launch = name(view.launch),
        tag = view.language.tag(),
        zone_label = view.say("时区", "Time zone"),
        zone = html(zone),
        set = view.say("应用", "Use"),
        other_tag = other.tag(),
        other_name = other.pick("中文", "English"),
        live = live(view),
    )
}

/// The part that changes.
pub(super) fn live(view: &View<'_>) -> String {
    let mut body = String::new();
    if !view.seen.troubles.is_empty() {
        body += "<section class=\"bad\" role=\"alert\"><ul>";
        for (place, trouble) in &view.seen.troubles {
            body += &format!(
                "<li><b>{}</b>: {}</li>",
                html(place),
                html(&one_line(trouble, 600))
            );
        }
        body += "</ul></section>";
    }
    body += &format!("<section><h2>{}</h2>", view.say("反馈", "Feedback"));
    for told in &view.figures {
        body += &figures(view, told);
    }
    body += &format!(
        "</section><section><h2>{}</h2>",
        view.say("复盘与工单", "Retrospectives and tickets")
    );
    body += &retrospectives(view);
    body += &format!(
        "</section><p class=\"now\">{} {}</p>",
        view.say("截至", "As of"),
        view.stamp(view.now_ms)
    );
    body
}

fn figures(view: &View<'_>, told: &Told) -> String {
    if told.figures.is_empty() && told.texts.is_empty() {
        return format!(
            "<h3>{}</h3><p>{}</p>",
            name(&told.launch),
            view.say("还没有人回答。", "Nobody has answered yet.")
        );
    }
    let mut body = format!(
        "<table><caption>{}</caption><thead><tr><th scope=\"col\">{}</th><th scope=\"col\">{}</th><th scope=\"col\">{}</th>",
        name(&told.launch),
        view.say("部分", "Section"),
        view.say("份数", "Answers"),
        view.say("平均（1 至 5）", "Mean (1 to 5)"),
    );
    for score in 1..=5 {
        body += &format!(
            "<th scope=\"col\">{}</th>",
            view.say("评分 ", "Scored ").to_owned() + &score.to_string()
        );
    }
    body += &format!(
        "<th scope=\"col\">{}</th></tr></thead><tbody>",
        view.say("最近一次", "Last")
    );
    for section in &told.figures {
        let most = section.distribution.iter().copied().max().unwrap_or(0).max(1);
        body += &format!(
            "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td>",
            name(&section.section),
            section.count,
            section
                .mean
                .map_or_else(|| "–".to_owned(), |mean| format!("{mean:.2}"))
        );
        for count in section.distribution {
            // The picture of the number beside it.
            let width = count * 100 / most;
            body += &format!(
                "<td>{count}<svg viewBox=\"0 0 100 8\" preserveAspectRatio=\"none\" aria-hidden=\"true\" focusable=\"false\">\
                 <rect width=\"{width}\" height=\"8\"/></svg></td>"
            );
        }
        let last = section
            .last
            .zip(section.last_at_ms)
            .map_or_else(String::new, |(score, at_ms)| {
                format!("{score} · {}", view.stamp(at_ms))
            });
        body += &format!("<td>{last}</td></tr>");
    }
    body += "</tbody></table>";
    if !told.texts.is_empty() {
        body += &format!(
            "<h3>{}</h3><ul class=\"texts\">",
            view.say("还写道", "What people wrote")
        );
        for answer in told.texts.iter().rev().take(TEXTS_MAX) {
            let text: Vec<String> = answer
                .text
                .lines()
                .map(|line| html(&one_line(line, 2_000)))
                .collect();
            body += &format!(
                "<li><p dir=\"auto\">{}</p><small>{}</small></li>",
                text.join("<br>"),
                view.stamp(answer.at_ms)
            );
        }
        body += "</ul>";
    }
    body
}

fn retrospectives(view: &View<'_>) -> String {
    let seen = view.seen;
    let mut body = String::new();
    if view.sinks.is_empty() {
        body += &format!(
            "<p>{}</p>",
            view.say(
                "没有配置工单系统：复盘只在这里列出。",
                "No ticket system is configured: retrospectives are listed here only."
            )
        );
    }
    if seen.retrospectives.is_empty() {
        body += &format!(
            "<p>{}</p>",
            view.say("目前不需要复盘。", "No retrospective is due.")
        );
        return body;
    }
    body += "<ul class=\"retros\">";
    for raised in seen.retrospectives.iter().rev().take(RAISED_MAX) {
        body += &format!(
            "<li><h3>{}</h3><p>{} · {} {} · <code>{}</code></p><ul>",
            title(view, raised),
            name(&raised.decision.launch),
            view.say("提出于", "raised"),
            view.stamp(raised.raised_at_ms),
            html(&raised.decision.id),
        );
        for (sink, entries) in &seen.tickets {
            let entry = entries.iter().find(|entry| entry.ticket.id == raised.decision.id);
            if let Some(entry) = entry {
                body += &format!("<li><b>{}</b> {}</li>", html(sink), ticket(view, entry));
            }
        }
        body += "</ul></li>";
    }
    body + "</ul>"
}

fn title(view: &View<'_>, raised: &Raised) -> String {
    match &raised.decision.reason {
        Reason::EmergencyRollback => view.say("紧急回滚", "Emergency rollback").to_owned(),
        Reason::EditedByHand { version, edits_at_ms } => format!(
            "{} {} ({})",
            name(version),
            view.say("多次被手工改动", "edited by hand again and again"),
            edits_at_ms
                .iter()
                .map(|at_ms| view.stamp(*at_ms))
                .collect::<Vec<_>>()
                .join("; ")
        ),
        Reason::NotCarriedOut {
            file,
            who,
            downloaded_at_ms,
        } => format!(
            "{} {} ({}, {})",
            name(file),
            view.say("已下载但未执行", "was downloaded but not carried out"),
            name(who),
            view.stamp(*downloaded_at_ms)
        ),
    }
}

fn ticket(view: &View<'_>, entry: &Entry) -> String {
    let trouble = entry
        .trouble
        .as_deref()
        .map(|trouble| format!(": {}", html(&one_line(trouble, 300))))
        .unwrap_or_default();
    match &entry.state {
        State::Waiting { from_ms } => format!(
            "{} {}{trouble}",
            view.say("等待，下次尝试", "waits, next try"),
            view.stamp(*from_ms)
        ),
        State::Sending { since_ms } => {
            format!(
                "{} {}",
                view.say("正在发送，自", "on its way since"),
                view.stamp(*since_ms)
            )
        }
        State::GaveUp { at_ms } => format!(
            "<strong>{}</strong> {}{trouble} · <code>tminus after tickets again {}</code>",
            view.say("已放弃", "given up"),
            view.stamp(*at_ms),
            html(&entry.ticket.id)
        ),
        State::Made(made) => match made.url.as_deref().filter(|url| is_web(url)) {
            Some(url) => format!(
                "<a href=\"{}\" rel=\"noreferrer noopener\">{}</a>",
                html(url),
                html(&one_line(&made.key, 100))
            ),
            None => html(&one_line(&made.key, 100)),
        },
    }
}

/// A server's address is followed only where a browser shows a page.
fn is_web(url: &str) -> bool {
    url.starts_with("https://") || url.starts_with("http://")
}
