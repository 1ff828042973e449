//! The HTML edition's texts: in the languages of the edition, and as HTML.

use tminus_plan::{Bilingual, Language};

use super::escape;
use crate::view::{NamedValue, SignedView, Stamp};
use crate::words;

/// What the page is written in. Chinese and English that it is given are HTML.
#[derive(Debug, Clone, Copy)]
pub(super) struct Words(pub(super) Language);

impl Words {
    pub(super) fn tell(self, words: [&str; 2]) -> String {
        words::tell(self.0, words, " ")
    }

    /// English is told apart from the Chinese around it.
    pub(super) fn say(self, [zh, en]: [&str; 2]) -> String {
        self.tell([zh, &format!("<span lang=\"en\">{en}</span>")])
    }

    pub(super) fn pair(self, pair: &Bilingual) -> String {
        self.say([&escape(&pair.zh), &escape(&pair.en)])
    }

    pub(super) fn paragraphs(self, pair: &Bilingual) -> String {
        let [zh, en] = [escape(&pair.zh), escape(&pair.en)];
        self.tell([&format!("<p>{zh}</p>"), &format!("<p lang=\"en\">{en}</p>")])
    }

    pub(super) fn key(self, key_id: &str) -> String {
        match key_id {
            "" => self.tell(["未登记", "none named"]),
            key_id => short(key_id),
        }
    }

    pub(super) fn statement(self, signed: &SignedView) -> String {
        let (entry, size) = (signed.entry, signed.record_size);
        let (said, root) = (escape(&signed.statement), short(&signed.record_root));
        if self.0.has_en() {
            format!("{said} (entry {entry}; saw {size} entries, root {root})")
        } else {
            format!("{said}（第 {entry} 条；签时记录 {size} 条，根 {root}）")
        }
    }
}

pub(super) fn code(text: &str) -> String {
    format!("<code>{}</code>", escape(text))
}

pub(super) fn short(hash: &str) -> String {
    code(&words::short_hash(hash))
}

pub(super) fn lines(texts: &[String]) -> String {
    let all: String = texts.iter().map(|t| format!("<li>{}</li>", escape(t))).collect();
    format!("<ul class=\"plain\">{all}</ul>")
}

pub(super) fn values(values: &[NamedValue]) -> String {
    let one = |v: &NamedValue| format!("<li>{} {}</li>", code(&v.name), escape(&v.value));
    let all: String = values.iter().map(one).collect();
    format!("<ul class=\"plain values\">{all}</ul>")
}

pub(super) fn moment(stamp: &Stamp) -> String {
    let dot = if stamp.local.is_empty() { "" } else { " · " };
    format!("{}{dot}{}", escape(&stamp.utc), escape(&stamp.local))
}

pub(super) fn at(stamp: &Stamp) -> String {
    format!("{} {}", escape(&stamp.utc), escape(&stamp.local))
}
