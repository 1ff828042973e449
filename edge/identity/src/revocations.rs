//! Tokens that are no longer accepted though their time has not run out: by their own id, or all of a
//! player's that were issued before some moment.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::json;

/// A longer file is no list of revocations.
pub const REVOCATIONS_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Lines that count.
pub const REVOCATIONS_MAX: usize = 100_000;

/// Why a text is no such list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RevocationsError {
    #[error("the list is longer than {REVOCATIONS_BYTES_MAX} bytes; take out tokens that have expired")]
    TooLong,
    #[error("the list has more than {REVOCATIONS_MAX} lines; take out tokens that have expired")]
    TooMany,
    #[error(
        "line {line} is neither {{\"jti\":\"ID\"}} nor {{\"sub\":\"PLAYER\",\"issued_before_s\":SECONDS SINCE 1970}}"
    )]
    Line { line: usize },
}

/// A list of revocations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Revocations {
    tokens: BTreeSet<String>,
    /// Player to the second before which everything issued is revoked.
    players: BTreeMap<String, i64>,
}

impl Revocations {
    /// Reads lines of JSON; empty lines and lines that begin with `#` say nothing. One wrong line makes the whole
    /// list wrong: a revocation that is passed over would be a token that is accepted.
    ///
    /// # Errors
    /// Says which line is wrong, and never what it holds.
    pub fn parse(text: &[u8]) -> Result<Self, RevocationsError> {
        if text.len() > REVOCATIONS_BYTES_MAX {
            return Err(RevocationsError::TooLong);
        }
        let mut list = Self::default();
        let mut lines = 0;
        for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            lines += 1;
            if lines > REVOCATIONS_MAX {
                return Err(RevocationsError::TooMany);
            }
            list.add(line).ok_or(RevocationsError::Line { line: index + 1 })?;
        }
        Ok(list)
    }

    fn add(&mut self, line: &[u8]) -> Option<()> {
        let line = json::object(line).ok()?;
        let text = |name: &str| {
            line.get(name)
                .and_then(Value::as_str)
                .filter(|text| !text.is_empty())
        };
        match (line.len(), text("jti"), text("sub")) {
            (1, Some(jti), None) => {
                self.tokens.insert(jti.to_owned());
            }
            (2, None, Some(sub)) => {
                let before_s = line.get("issued_before_s")?.as_i64()?;
                let known = self.players.entry(sub.to_owned()).or_insert(before_s);
                *known = before_s.max(*known);
            }
            _ => return None,
        }
        Some(())
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.tokens.len() + self.players.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A token that does not say when it was issued is older than any moment.
    pub(crate) fn revokes(&self, jti: Option<&str>, subject: &str, issued_at_s: Option<i64>) -> bool {
        jti.is_some_and(|jti| self.tokens.contains(jti))
            || self
                .players
                .get(subject)
                .is_some_and(|before_s| issued_at_s.is_none_or(|issued| issued < *before_s))
    }
}
