//! What waits to be sent, what was, and when to try again. Pure: time and chance are arguments.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::tickets::{Failure, Made, Ticket};

/// Tickets that are kept, made ones included.
pub const ENTRIES_MAX: usize = 10_000;

/// How often it is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// The first wait; each further one is twice as long …
    pub first_ms: u64,
    /// … up to this.
    pub longest_ms: u64,
    /// After so long without success it is given up.
    pub give_up_after_ms: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            first_ms: 1_000,
            longest_ms: 15 * 60_000,
            give_up_after_ms: 3 * 24 * 3_600_000,
        }
    }
}

impl Pace {
    /// Between half and all of the wait after so many failures. `chance` is in 0..1.
    pub fn wait_ms(&self, failures: u32, chance: f64) -> u64 {
        let doublings = failures.saturating_sub(1).min(40);
        let full = self.first_ms.saturating_mul(1 << doublings).min(self.longest_ms);
        let share = 0.5 + chance.clamp(0.0, 1.0) / 2.0;
        (full as f64 * share) as u64
    }
}

/// Where a ticket stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    Waiting {
        from_ms: u64,
    },
    /// A request is under way, or was when the process ended.
    Sending {
        since_ms: u64,
    },
    Made(Made),
    /// Nothing more is tried until [`Outbox::again`].
    GaveUp {
        at_ms: u64,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub ticket: Ticket,
    pub put_at_ms: u64,
    #[serde(flatten)]
    pub state: State,
    pub failures: u32,
    /// The last failure, in words.
    pub trouble: Option<String>,
}

/// Whether a ticket was new to the outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    New,
    Known,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutboxError {
    #[error("the outbox holds {ENTRIES_MAX} tickets; move its file away once none of them waits")]
    Full,
    #[error("no ticket {id} is in the outbox")]
    Unknown { id: String },
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outbox {
    entries: BTreeMap<String, Entry>,
}

impl Outbox {
    /// Takes a ticket in, once per id.
    ///
    /// # Errors
    /// The outbox is full.
    pub fn put(&mut self, ticket: Ticket, now_ms: u64) -> Result<Taken, OutboxError> {
        if self.entries.contains_key(&ticket.id) {
            return Ok(Taken::Known);
        }
        if self.entries.len() >= ENTRIES_MAX {
            return Err(OutboxError::Full);
        }
        let entry = Entry {
            put_at_ms: now_ms,
            state: State::Waiting { from_ms: now_ms },
            failures: 0,
            trouble: None,
            ticket,
        };
        self.entries.insert(entry.ticket.id.clone(), entry);
        Ok(Taken::New)
    }

    /// What a process that ended left under way may exist: it is looked for once the sink's search knows.
    pub fn recover(&mut self, search_lag_ms: u64) {
        for entry in self.entries.values_mut() {
            if let State::Sending { since_ms } = entry.state {
                entry.failures += 1;
                entry.trouble = Some("the process ended before an answer was noted".to_owned());
                entry.state = State::Waiting {
                    from_ms: since_ms.saturating_add(search_lag_ms),
                };
            }
        }
    }

    /// The ticket that has waited longest of those whose time has come.
    pub fn next(&self, now_ms: u64) -> Option<&Ticket> {
        self.waiting()
            .filter(|(from_ms, _)| *from_ms <= now_ms)
            .min_by_key(|(from_ms, _)| *from_ms)
            .map(|w| w.1)
    }

    /// When the next one's time comes.
    pub fn wake_at_ms(&self) -> Option<u64> {
        self.waiting().map(|(from_ms, _)| from_ms).min()
    }

    /// To be durable before the first byte leaves.
    ///
    /// # Errors
    /// An unknown id.
    pub fn sending(&mut self, id: &str, now_ms: u64) -> Result<(), OutboxError> {
        self.entry(id)?.state = State::Sending { since_ms: now_ms };
        Ok(())
    }

    /// What came of it.
    ///
    /// # Errors
    /// An unknown id.
    pub fn note(
        &mut self,
        id: &str,
        outcome: &Result<Made, Failure>,
        search_lag_ms: u64,
        pace: &Pace,
        now_ms: u64,
        chance: f64,
    ) -> Result<&State, OutboxError> {
        let entry = self.entry(id)?;
        let failure = match outcome {
            Ok(made) => {
                entry.trouble = None;
                entry.state = State::Made(made.clone());
                return Ok(&entry.state);
            }
            Err(failure) => failure,
        };
        entry.failures = entry.failures.saturating_add(1);
        entry.trouble = Some(failure.to_string());
        let wait_ms = pace.wait_ms(entry.failures, chance);
        let wait_ms = match failure {
            Failure::Refused { .. } => None,
            Failure::Later { after_ms, .. } => Some(wait_ms.max(after_ms.unwrap_or(0))),
            Failure::Uncertain { after_ms, .. } => {
                Some(wait_ms.max(after_ms.unwrap_or(0)).max(search_lag_ms))
            }
        };
        let last_ms = entry.put_at_ms.saturating_add(pace.give_up_after_ms);
        entry.state = match wait_ms.map(|wait_ms| now_ms.saturating_add(wait_ms)) {
            Some(from_ms) if from_ms <= last_ms => State::Waiting { from_ms },
            _ => State::GaveUp { at_ms: now_ms },
        };
        Ok(&entry.state)
    }

    /// Tries one again that was given up, with the whole time before it.
    ///
    /// # Errors
    /// An unknown id.
    pub fn again(&mut self, id: &str, now_ms: u64) -> Result<(), OutboxError> {
        let entry = self.entry(id)?;
        if matches!(entry.state, State::GaveUp { .. }) {
            entry.put_at_ms = now_ms;
            entry.failures = 0;
            entry.state = State::Waiting { from_ms: now_ms };
        }
        Ok(())
    }

    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    pub fn get(&self, id: &str) -> Option<&Entry> {
        self.entries.get(id)
    }

    fn waiting(&self) -> impl Iterator<Item = (u64, &Ticket)> {
        self.entries.values().filter_map(|entry| match entry.state {
            State::Waiting { from_ms } => Some((from_ms, &entry.ticket)),
            _ => None,
        })
    }

    fn entry(&mut self, id: &str) -> Result<&mut Entry, OutboxError> {
        let unknown = || OutboxError::Unknown { id: id.to_owned() };
        self.entries.get_mut(id).ok_or_else(unknown)
    }
}
