//! The form's HTML, in two languages, for a phone of 360 pixels. No script.

use base64::Engine as _;
use sha2::{Digest as _, Sha256};

use crate::feedback::form::{Filled, FormTrouble, TEXT_CHARACTERS_MAX};
use crate::feedback::links::Invitation;
use crate::text::{html, one_line};

/// The two that pages are in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    Zh,
    En,
}

impl Language {
    pub const fn tag(self) -> &'static str {
        match self {
            Self::Zh => "zh",
            Self::En => "en",
        }
    }

    /// `zh-Hans` is `zh`; other languages are none.
    pub fn of_tag(tag: &str) -> Option<Self> {
        match tag
            .split(['-', '_'])
            .next()
            .unwrap_or_default()
            .to_ascii_lowercase()
            .as_str()
        {
            "zh" => Some(Self::Zh),
            "en" => Some(Self::En),
            _ => None,
        }
    }

    /// The better liked of the two in an `Accept-Language` (RFC 9110, 12.5.4), else English.
    pub fn accepted(header: &str) -> Self {
        let mut best = (0.0, Self::En);
        for part in header.split(',').take(32) {
            let mut pieces = part.split(';').map(str::trim);
            let language = pieces.next().and_then(Self::of_tag);
            let weight = pieces
                .find_map(|piece| piece.strip_prefix("q="))
                .map_or(Ok(1.0), str::parse::<f64>);
            if let (Some(language), Ok(weight)) = (language, weight)
                && weight > best.0
            {
                best = (weight, language);
            }
        }
        best.1
    }

    pub const fn pick(self, zh: &'static str, en: &'static str) -> &'static str {
        match self {
            Self::Zh => zh,
            Self::En => en,
        }
    }
}

const STYLE: &str = "\
*{box-sizing:border-box}body{margin:0 auto;padding:16px;max-width:560px;font:16px/1.5 system-ui,sans-serif;\
color:#111;background:#fff}h1{font-size:20px;margin:8px 0}fieldset{border:1px solid #767676;border-radius:8px;\
margin:12px 0;padding:8px 8px 10px;min-width:0}legend{overflow-wrap:anywhere;padding:0 4px}.s{display:flex;gap:4px}\
.s label{flex:1 1 0;min-height:48px;display:flex;flex-direction:column;align-items:center;justify-content:center}\
input[type=radio]{width:22px;height:22px;margin:0}textarea,input[type=text]{width:100%;font:inherit;padding:8px}\
textarea{min-height:120px}button{width:100%;min-height:48px;font:inherit;font-weight:600;margin:12px 0;color:#fff;\
background:#0b57d0;border:0;border-radius:8px}a{display:inline-block;padding:12px 4px;color:#0b57d0}\
.e{border-left:4px solid #b3261e;padding:8px}.k{border-left:4px solid #146c2e;padding:8px}\
small{color:#444}";

/// `Content-Security-Policy`: our one style by its digest, our own form, nothing else.
pub(crate) fn policy() -> String {
    let digest = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(STYLE));
    format!(
        "default-src 'none'; style-src 'sha256-{digest}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
}

fn shell(language: Language, title: &str, body: &str) -> String {
    format!(
        "<!doctype html><html lang=\"{}\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>{title}</title>\
         <style>{STYLE}</style></head><body>{body}</body></html>",
        match language {
            Language::Zh => "zh-Hans",
            Language::En => "en",
        }
    )
}

/// A page that only says something.
pub(crate) fn message(language: Language, title: (&'static str, &'static str), text: &str) -> String {
    let title = language.pick(title.0, title.1);
    shell(language, title, &format!("<h1>{title}</h1><p>{}</p>", html(text)))
}

pub(crate) fn message_in(
    language: Language,
    title: (&'static str, &'static str),
    text: (&'static str, &'static str),
) -> String {
    message(language, title, language.pick(text.0, text.1))
}

/// What a form says above its questions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Notice {
    None,
    Trouble(FormTrouble),
    /// Stored, at a time shown with its zone.
    Thanks(String),
}

pub(crate) fn form(language: Language, invitation: &Invitation, filled: &Filled, notice: &Notice) -> String {
    let say = |zh, en| language.pick(zh, en);
    let title = say("这次上线怎么样？", "How did the launch go?");
    let other = match language {
        Language::Zh => Language::En,
        Language::En => Language::Zh,
    };
    let mut body = format!(
        "<a href=\"?lang={}\" hreflang=\"{0}\">{}</a><h1>{title}</h1><p><bdi>{}</bdi></p>",
        other.tag(),
        other.pick("中文", "English"),
        html(&one_line(&invitation.launch, 100)),
    );
    body.push_str(&match notice {
        Notice::None => String::new(),
        Notice::Trouble(trouble) => format!(
            "<p class=\"e\" role=\"alert\">{}</p>",
            trouble_text(language, *trouble)
        ),
        Notice::Thanks(at) => format!(
            "<p class=\"k\" role=\"status\">{}<br><small>{}</small></p>",
            say(
                "谢谢，已保存。可以随时修改。",
                "Thank you, it is stored. You can change it at any time."
            ),
            html(at)
        ),
    });
    body.push_str("<form method=\"post\" accept-charset=\"utf-8\">");
    for (name, value) in [("lang", language.tag()), ("browser", &filled.browser)] {
        body.push_str(&format!(
            "<input type=\"hidden\" name=\"{name}\" value=\"{}\">",
            html(value)
        ));
    }
    for (index, section) in invitation.sections.iter().enumerate() {
        body.push_str(&format!(
            "<fieldset><legend><bdi>{}</bdi></legend><div class=\"s\">",
            html(&one_line(section, 60))
        ));
        for score in 1..=5_u8 {
            let checked = if filled.scores.get(section) == Some(&score) {
                " checked"
            } else {
                ""
            };
            body.push_str(&format!(
                "<label><input type=\"radio\" name=\"s{index}\" value=\"{score}\"{checked}>{score}</label>"
            ));
        }
        body.push_str("</div></fieldset>");
    }
    body.push_str(&format!(
        "<p><small>{}</small></p><label>{}<textarea name=\"text\" dir=\"auto\" maxlength=\"{TEXT_CHARACTERS_MAX}\">\n{}\
         </textarea></label><label>{}<input type=\"text\" name=\"zone\" maxlength=\"64\" autocomplete=\"off\" value=\"{}\" \
         placeholder=\"Asia/Shanghai\"></label><button>{}</button></form>",
        say("1 很差，5 很好。每项都可以不答。", "1 is poor, 5 is very good. Any of them may be left out."),
        say("还有什么要说的？", "Anything else?"),
        html(&filled.text),
        say("您的时区（可不填）", "Your time zone (may be left out)"),
        html(&filled.zone),
        say("提交", "Send"),
    ));
    shell(language, title, &body)
}

const fn trouble_text(language: Language, trouble: FormTrouble) -> &'static str {
    match trouble {
        FormTrouble::Form => language.pick(
            "表单无法读取，请重新填写。",
            "The form could not be read; please fill it in again.",
        ),
        FormTrouble::Score => language.pick("评分只能是 1 到 5。", "A score is 1 to 5."),
        FormTrouble::LongText => {
            language.pick("文字最多 2000 个字符。", "The text has at most 2,000 characters.")
        }
        FormTrouble::Nothing => language.pick("请至少回答一项。", "Please answer at least one of them."),
    }
}
