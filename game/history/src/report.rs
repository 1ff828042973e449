//! What was found.

use serde::{Deserialize, Serialize};

use crate::Record;

/// So many violations are described; all are counted.
pub const VIOLATIONS_MAX: usize = 100;

/// What a history must keep to; see the crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    Agreement,
    RealTime,
    Command,
    Order,
    MonotonicReads,
    StaleRefusal,
}

/// Two observations that cannot both be right, or one that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    pub rule: Rule,
    pub game_id: String,
    /// What was wrong, for people.
    pub what: String,
    pub first: Record,
    /// What contradicts it.
    pub second: Option<Record>,
}

/// What became of a check.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    pub records: u64,
    pub games: u64,
    /// Commands that were sent, each counted once.
    pub commands: u64,
    /// Events that somebody was told of, each counted once.
    pub events: u64,
    pub violations: u64,
    /// The first [`VIOLATIONS_MAX`] of them.
    pub found: Vec<Violation>,
}

impl Report {
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.violations == 0
    }

    pub(crate) fn add(&mut self, rule: Rule, what: String, first: &Record, second: Option<&Record>) {
        self.violations += 1;
        if self.found.len() < VIOLATIONS_MAX {
            self.found.push(Violation {
                rule,
                game_id: first.game_id.clone(),
                what,
                first: first.clone(),
                second: second.cloned(),
            });
        }
    }
}
