//! Proves a journal file sound, or says what is not. Reads only.

use std::path::Path;

use serde::{Deserialize, Serialize};
use starvault_rules::GameId;

use crate::StoreError;

/// How many findings a report spells out; all of them are counted.
pub(crate) const FINDINGS_MAX: usize = 100;

/// What was looked at and what was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckReport {
    pub games: u64,
    pub events: u64,
    /// How many acknowledged commands were looked up.
    pub acknowledged: u64,
    /// Acknowledged commands that the journal does not have at their sequence.
    pub lost: u64,
    /// Commands that were applied more than once.
    pub twice: u64,
    /// Everything else that must not be: gaps, events against the rules, stored state that is not
    /// their replay, damaged pages.
    pub broken: u64,
    /// The first findings, in words.
    pub findings: Vec<Finding>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    pub kind: FindingKind,
    pub game_id: Option<GameId>,
    pub what: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    Lost,
    Twice,
    Broken,
}

impl CheckReport {
    /// Whether nothing was found.
    pub fn is_clean(&self) -> bool {
        self.lost == 0 && self.twice == 0 && self.broken == 0
    }
}

/// Checks the journal at `path` as of one moment; others may go on writing meanwhile.
///
/// `acknowledged` is a file of lines `{"game_id","command_id","sequence","player_id"}`: what clients
/// were told is durable. An unfinished last line is what a killed writer leaves and is passed over.
/// Blocks; call it where that is allowed.
pub fn check(path: &Path, acknowledged: Option<&Path>) -> Result<CheckReport, StoreError> {
    let _ = (path, acknowledged, FINDINGS_MAX);
    todo!()
}
