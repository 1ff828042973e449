//! The state file of the triggers.

use std::path::Path;

use crate::files::{FileTrouble, JsonFile};
use crate::triggers::{Decision, Event, Observed, Retro, Rules, TriggerError};

const BYTES_MAX: u64 = 64 << 20;

/// [`Retro`] over restarts. What it has taken in is durable when a call returns.
#[derive(Debug)]
pub struct Keeper {
    file: JsonFile,
    retro: Retro,
    rules: Rules,
}

#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    #[error(transparent)]
    File(#[from] FileTrouble),
    #[error(transparent)]
    Trigger(#[from] TriggerError),
    #[error("a decision could not be handed on: {0}; it is kept and tried again")]
    HandedOn(String),
}

impl Keeper {
    /// # Errors
    /// The file cannot be read, holds something else, or is in use.
    pub fn open(path: &Path, rules: Rules) -> Result<Self, KeeperError> {
        let (file, held) = JsonFile::open(path, BYTES_MAX)?;
        Ok(Self {
            file,
            retro: held.unwrap_or_default(),
            rules,
        })
    }

    /// Takes events in, all or none.
    ///
    /// # Errors
    /// A bad event, or a file that cannot be written; then nothing has changed.
    pub fn observe(&mut self, events: &[Event], now_ms: u64) -> Result<Vec<Observed>, KeeperError> {
        let mut next = self.retro.clone();
        next.forget(&self.rules, now_ms);
        let observed: Vec<Observed> = events
            .iter()
            .map(|event| next.observe(event, &self.rules, now_ms))
            .collect::<Result<_, _>>()?;
        if next != self.retro {
            self.file.write(&next)?;
            self.retro = next;
        }
        Ok(observed)
    }

    /// Hands on what is due. `hand_on` must have it durably, by its id, when it returns: after a crash in between
    /// the same decision comes again.
    ///
    /// # Errors
    /// `hand_on`'s, or a file that cannot be written; both leave the decision due.
    pub fn raise<E: std::fmt::Display>(
        &mut self,
        now_ms: u64,
        mut hand_on: impl FnMut(&Decision) -> Result<(), E>,
    ) -> Result<Vec<Decision>, KeeperError> {
        let due = self.retro.due(&self.rules, now_ms);
        let mut next = self.retro.clone();
        for decision in &due {
            hand_on(decision).map_err(|error| KeeperError::HandedOn(error.to_string()))?;
            next.raised(&decision.id)?;
        }
        if !due.is_empty() {
            self.file.write(&next)?;
            self.retro = next;
        }
        Ok(due)
    }

    /// When [`Self::raise`] may have something although no event came.
    pub fn wake_at_ms(&self, now_ms: u64) -> Option<u64> {
        self.retro.wake_at_ms(&self.rules, now_ms)
    }
}
