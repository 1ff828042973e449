//! What a comparison finds.

use std::sync::Arc;

use serde::Serialize;

use crate::rules::{Level, Rule};

/// A line of one of the two documents.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Place {
    #[serde(serialize_with = "as_text")]
    pub file: Arc<str>,
    /// 1-based.
    pub line: u32,
    /// 1-based, in characters.
    pub column: u32,
}

fn as_text<S: serde::Serializer>(file: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(file)
}

/// One change, judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub rule: &'static Rule,
    /// The level that counts, after profile and overrides.
    pub level: Level,
    /// `GET`, …; nothing for a change outside the operations.
    pub method: Option<&'static str>,
    /// The path of the base as it is written there, `webhook:NAME`, or nothing.
    pub path: Option<Arc<str>>,
    pub operation_id: Option<Arc<str>>,
    /// What changed, in a sentence without its full stop.
    pub text: String,
    /// The value before, where a value changed.
    pub from: Option<String>,
    /// The value after, where a value changed.
    pub to: Option<String>,
    /// Where it stands in the base; what surrounds it when it is not there.
    pub base: Place,
    /// Where it stands in the revision; what surrounds it when it is not there.
    pub revision: Place,
}

impl Finding {
    /// `GET /games/{id}`, or nothing for a change outside the operations.
    pub fn operation(&self) -> Option<String> {
        match (self.method, &self.path) {
            (Some(method), Some(path)) => Some(format!("{method} {path}")),
            (None, Some(path)) => Some(path.to_string()),
            _ => None,
        }
    }

    /// The order of every report: worst first, then by place, then by rule.
    pub(crate) fn key(&self) -> impl Ord + use<'_> {
        (
            std::cmp::Reverse(self.level),
            &self.path,
            self.method,
            &self.revision,
            self.rule.id,
            &self.text,
        )
    }
}
