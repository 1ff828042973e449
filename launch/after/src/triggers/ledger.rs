//! The decisions that were raised, kept for good: where couriers take their tickets from, and what people are shown.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::files::{FileTrouble, JsonFile, peek};
use crate::triggers::Decision;

const BYTES_MAX: u64 = 64 << 20;
/// Decisions that one file keeps.
pub const LEDGER_MAX: usize = 10_000;

/// A decision, and what was settled when it was raised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Raised {
    pub decision: Decision,
    pub raised_at_ms: u64,
    /// Roles of the plan.
    pub owners: Vec<String>,
    /// The sinks that there were; none: for whichever comes first.
    pub sinks: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    #[error(transparent)]
    File(#[from] FileTrouble),
    #[error("{LEDGER_MAX} retrospectives are kept already; move the state folder away to begin anew")]
    Full,
}

/// The file; oldest first.
#[derive(Debug)]
pub struct Ledger {
    file: JsonFile,
    raised: Vec<Raised>,
}

impl Ledger {
    /// # Errors
    /// The file cannot be read, holds something else, or is in use.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        let (file, held) = JsonFile::open(path, BYTES_MAX)?;
        Ok(Self {
            file,
            raised: held.unwrap_or_default(),
        })
    }

    /// What another process keeps in the file now; empty when there is none.
    ///
    /// # Errors
    /// The file cannot be read or holds something else.
    pub fn peek(path: &Path) -> Result<Vec<Raised>, FileTrouble> {
        Ok(peek(path, BYTES_MAX)?.unwrap_or_default())
    }

    /// Takes a decision in, once per id; it is durable when this returns.
    ///
    /// # Errors
    /// Too many, or a file that cannot be written; then it was not taken.
    pub fn add(&mut self, raised: Raised) -> Result<(), LedgerError> {
        if self
            .raised
            .iter()
            .any(|known| known.decision.id == raised.decision.id)
        {
            return Ok(());
        }
        if self.raised.len() >= LEDGER_MAX {
            return Err(LedgerError::Full);
        }
        let mut next = self.raised.clone();
        next.push(raised);
        self.file.write(&next)?;
        self.raised = next;
        Ok(())
    }

    pub fn raised(&self) -> &[Raised] {
        &self.raised
    }
}
