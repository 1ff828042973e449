//! The words for a mark, in both languages, where code has to know them (the template has its own), and
//! what is printed of a text.

use serde_json::Value;

use tminus_plan::Language;

use crate::view::{GateMark, Mark, Overall};

/// What is drawn for a mark or a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Tick,
    Cross,
    Bar,
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Tick => "a tick",
            Self::Cross => "a cross",
            Self::Bar => "a bar",
        })
    }
}

impl From<Mark> for Shape {
    fn from(mark: Mark) -> Self {
        match mark {
            Mark::Ticked => Self::Tick,
            Mark::Crossed => Self::Cross,
            Mark::NotChecked => Self::Bar,
        }
    }
}

impl From<GateMark> for Shape {
    fn from(mark: GateMark) -> Self {
        match mark {
            GateMark::Passed => Self::Tick,
            GateMark::Failed => Self::Cross,
            GateMark::NotChecked => Self::Bar,
        }
    }
}

impl From<Overall> for Shape {
    fn from(verdict: Overall) -> Self {
        match verdict {
            Overall::Complete => Self::Tick,
            Overall::Failed => Self::Cross,
            Overall::Incomplete => Self::Bar,
        }
    }
}

pub(crate) fn overall(verdict: Overall) -> [&'static str; 2] {
    match verdict {
        Overall::Complete => ["完成", "COMPLETE"],
        Overall::Incomplete => ["未完成", "INCOMPLETE"],
        Overall::Failed => ["未通过", "FAILED"],
    }
}

pub(crate) fn mark(status: Mark) -> [&'static str; 2] {
    match status {
        Mark::Ticked => ["已核", "Ticked"],
        Mark::Crossed => ["未通过", "Crossed"],
        Mark::NotChecked => ["未核", "Not checked"],
    }
}

pub(crate) fn gate(verdict: GateMark) -> [&'static str; 2] {
    match verdict {
        GateMark::Passed => ["通过", "Passed"],
        GateMark::Failed => ["未通过", "Failed"],
        GateMark::NotChecked => ["未核", "Not checked"],
    }
}

pub(crate) fn expectation(holds: Option<bool>) -> GateMark {
    match holds {
        Some(true) => GateMark::Passed,
        Some(false) => GateMark::Failed,
        None => GateMark::NotChecked,
    }
}

/// Chinese, English, or both in this order.
pub(crate) fn tell(language: Language, [zh, en]: [&str; 2], gap: &str) -> String {
    match language {
        Language::Zh => zh.to_owned(),
        Language::En => en.to_owned(),
        Language::Both => format!("{zh}{gap}{en}"),
    }
}

/// On every page; names moment and record.
pub(crate) fn water_mark(data: &crate::view::ChecklistData) -> String {
    let part = |from, to| data.ended.utc.get(from..to).unwrap_or_default();
    let root = data.record.root.get(..16).unwrap_or(&data.record.root);
    format!("CONFIDENTIAL-{}-{}Z-{root}", part(0, 10), part(11, 19))
}

/// A digest as the pages shorten it.
pub(crate) fn short_hash(hash: &str) -> String {
    format!("{}…", hash.get(..16).unwrap_or(hash))
}

/// Appends the character; a line end as a space, and what is not seen by itself by its number.
pub(crate) fn visible(character: char, to: &mut String) {
    match character {
        c if c.is_ascii_graphic() => to.push(c),
        c if c.is_ascii() && c.is_whitespace() => to.push(' '),
        c if c.is_control() || unseen(c) => by_number(c, to),
        c => to.push(c),
    }
}

pub(crate) fn by_number(character: char, to: &mut String) {
    to.push_str(&format!("\u{2039}U+{:04X}\u{203a}", u32::from(character)));
}

/// Changes the order of the letters around it, or shows nothing: bidirectional controls, joiners, fillers,
/// selectors, tags, private use, no characters at all.
pub(crate) fn unseen(character: char) -> bool {
    matches!(
        u32::from(character),
        0xad | 0x34f | 0x61c | 0x115f..=0x1160 | 0x17b4..=0x17b5 | 0x180b..=0x180f | 0x200b..=0x200f
            | 0x2028..=0x202e | 0x2060..=0x206f | 0x3164 | 0xe000..=0xf8ff | 0xfdd0..=0xfdef | 0xfe00..=0xfe0f
            | 0xfeff | 0xffa0 | 0xfff0..=0xffff | 0xe0000..=0xfffff | 0x10_0000..
    )
}

/// The value with another text for each of its texts; names stay.
pub(crate) fn each_text(value: Value, other: &mut impl FnMut(&str) -> String) -> Value {
    match value {
        Value::String(text) => Value::String(other(&text)),
        Value::Array(values) => Value::Array(values.into_iter().map(|v| each_text(v, other)).collect()),
        Value::Object(map) => Value::Object(
            map.into_iter()
                .map(|(key, v)| (key, each_text(v, other)))
                .collect(),
        ),
        flat => flat,
    }
}
