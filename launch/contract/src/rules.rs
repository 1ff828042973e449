//! The rules: what each is called, how bad it is, what it speaks of.
//!
//! Names and levels are those of oasdiff (<https://github.com/oasdiff/oasdiff>, commit 494bcf99,
//! Apache-2.0), so that severities and ignores written for it mean the same here.

use std::fmt;
use std::sync::LazyLock;

use serde::Serialize;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// A change that clients written against the base do not notice.
    Info,
    /// A change that some clients may notice.
    Warning,
    /// A change that breaks clients written against the base.
    Error,
}

impl Level {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "info" => Some(Self::Info),
            "warning" | "warn" => Some(Self::Warning),
            "error" | "err" => Some(Self::Error),
            _ => None,
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One rule of the table.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    pub id: &'static str,
    /// The level that oasdiff gives it.
    pub level: Level,
    /// `request`, `response` or `none`.
    pub direction: &'static str,
    /// The part of the document: `schema`, `parameters`, `paths`, …
    pub area: &'static str,
    /// The sort of change: `type`, `constraints`, `structure`, …
    pub kind: &'static str,
    /// `add`, `remove`, `change`, …
    pub action: &'static str,
}

static RULES: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    let mut rules: Vec<Rule> = include_str!("rules.tsv")
        .lines()
        .filter_map(|line| {
            let mut cells = line.split('\t');
            Some(Rule {
                id: cells.next()?,
                level: Level::parse(cells.next()?)?,
                direction: cells.next()?,
                area: cells.next()?,
                kind: cells.next()?,
                action: cells.next()?,
            })
        })
        .collect();
    rules.sort_by_key(|rule| rule.id);
    rules
});

/// Every rule, by name.
pub fn rules() -> &'static [Rule] {
    &RULES
}

/// The rule of that name.
pub fn rule(id: &str) -> Option<&'static Rule> {
    RULES
        .binary_search_by(|rule| rule.id.cmp(id))
        .ok()
        .map(|at| &RULES[at])
}
