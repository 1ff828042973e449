//! What a form sends, read strictly: form_urlencoded over UTF-8.

use std::collections::BTreeMap;

use crate::feedback::links::Invitation;

/// A body that the longest answer fits into: 2,000 characters of four bytes, each written as `%XX`.
pub(crate) const BODY_BYTES_MAX: usize = 32 << 10;
/// A text has at most this many characters.
pub const TEXT_CHARACTERS_MAX: usize = 2_000;

/// What was filled in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Filled {
    pub(crate) scores: BTreeMap<String, u8>,
    pub(crate) text: String,
    pub(crate) language: String,
    pub(crate) browser: String,
    pub(crate) zone: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FormTrouble {
    /// Not form_urlencoded, not UTF-8, a field twice.
    Form,
    Score,
    LongText,
    Nothing,
}

/// Whether a `Content-Type` is one that we read.
pub(crate) fn is_form(content_type: &str) -> bool {
    let mut parts = content_type.split(';').map(str::trim);
    let kind = parts.next().unwrap_or_default();
    kind.eq_ignore_ascii_case("application/x-www-form-urlencoded")
        && parts.all(|parameter| {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let utf8 = ["utf-8", "utf8"]
                .iter()
                .any(|known| value.trim_matches('"').eq_ignore_ascii_case(known));
            !name.eq_ignore_ascii_case("charset") || utf8
        })
}

/// Reads a body for the sections of an invitation: `s0` is the first one's score.
pub(crate) fn read(body: &[u8], invitation: &Invitation) -> (Filled, Option<FormTrouble>) {
    let mut filled = Filled::default();
    let mut trouble = None;
    let mut seen = std::collections::BTreeSet::new();
    for pair in body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
        let at = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
        let value = pair.get(at + 1..).unwrap_or_default();
        let (Some(name), Some(value)) = (decode(&pair[..at]), decode(value)) else {
            return (filled, Some(FormTrouble::Form));
        };
        if !seen.insert(name.clone()) {
            return (filled, Some(FormTrouble::Form));
        }
        match name.as_str() {
            "text" => filled.text = plain(&value),
            "lang" => filled.language = value,
            "browser" => filled.browser = value,
            "zone" => filled.zone = value.trim().to_owned(),
            _ => {
                let section = name
                    .strip_prefix('s')
                    .and_then(|index| index.parse::<usize>().ok());
                let Some(section) = section.and_then(|index| invitation.sections.get(index)) else {
                    continue;
                };
                match value.as_str() {
                    "" => {}
                    "1" | "2" | "3" | "4" | "5" => {
                        filled.scores.insert(section.clone(), value.as_bytes()[0] - b'0');
                    }
                    _ => trouble = Some(FormTrouble::Score),
                }
            }
        }
    }
    if filled.text.chars().count() > TEXT_CHARACTERS_MAX {
        trouble = Some(FormTrouble::LongText);
    }
    if trouble.is_none() && filled.scores.is_empty() && filled.text.trim().is_empty() {
        trouble = Some(FormTrouble::Nothing);
    }
    (filled, trouble)
}

/// Line ends as one character, no other control characters.
fn plain(text: &str) -> String {
    text.replace("\r\n", "\n")
        .chars()
        .filter(|c| !c.is_control() || matches!(c, '\n' | '\t'))
        .collect()
}

/// `None` for a broken escape or bytes that are no UTF-8.
fn decode(text: &[u8]) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        bytes.push(match first {
            b'+' => b' ',
            b'%' => {
                let (escape, after) = rest.split_at_checked(2)?;
                rest = after;
                let digit = |byte: u8| char::from(byte).to_digit(16);
                u8::try_from(digit(escape[0])? * 16 + digit(escape[1])?).ok()?
            }
            other => *other,
        });
    }
    String::from_utf8(bytes).ok()
}
