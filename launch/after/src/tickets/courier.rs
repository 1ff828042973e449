//! The outbox's file, and the one who carries.

use std::path::Path;
use std::sync::Arc;

use crate::files::{FileTrouble, JsonFile, peek};
use crate::tickets::{Entry, Failure, Made, Outbox, OutboxError, Pace, State, Taken, Ticket, TicketSink};

const BYTES_MAX: u64 = 64 << 20;

/// Milliseconds since 1970-01-01 UTC.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;
/// A number in 0..1.
pub type Chance = Arc<dyn Fn() -> f64 + Send + Sync>;

/// Carries the tickets of one outbox to one sink, one at a time.
pub struct Courier {
    file: JsonFile,
    outbox: Outbox,
    sink: Arc<dyn TicketSink>,
    pace: Pace,
    clock: Clock,
    chance: Chance,
}

#[derive(Debug, thiserror::Error)]
pub enum CourierError {
    #[error(transparent)]
    File(#[from] FileTrouble),
    #[error(transparent)]
    Outbox(#[from] OutboxError),
}

/// What a step did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing waits, or not before this time.
    Idle {
        until_ms: Option<u64>,
    },
    Made {
        id: String,
        made: Made,
    },
    /// It failed; the entry says when it is tried again.
    Failed {
        id: String,
        failure: Failure,
    },
    GaveUp {
        id: String,
        failure: Failure,
    },
}

impl Courier {
    /// # Errors
    /// The file cannot be read, holds something else, or is in use.
    pub fn open(
        path: &Path,
        sink: Arc<dyn TicketSink>,
        pace: Pace,
        clock: Clock,
        chance: Chance,
    ) -> Result<Self, CourierError> {
        let (file, held) = JsonFile::open(path, BYTES_MAX)?;
        let mut outbox: Outbox = held.unwrap_or_default();
        outbox.recover(sink.search_lag_ms());
        Ok(Self {
            file,
            outbox,
            sink,
            pace,
            clock,
            chance,
        })
    }

    /// What another process keeps in the file now; empty when there is none.
    ///
    /// # Errors
    /// The file cannot be read or holds something else.
    pub fn peek(path: &Path) -> Result<Outbox, FileTrouble> {
        Ok(peek(path, BYTES_MAX)?.unwrap_or_default())
    }

    /// Takes a ticket in; it is durable when this returns.
    ///
    /// # Errors
    /// The outbox is full, or its file cannot be written; then it was not taken.
    pub fn put(&mut self, ticket: Ticket) -> Result<Taken, CourierError> {
        let now_ms = (self.clock)();
        self.change(|outbox| outbox.put(ticket, now_ms))
    }

    /// Tries one again that was given up.
    ///
    /// # Errors
    /// An unknown id, or a file that cannot be written.
    pub fn again(&mut self, id: &str) -> Result<(), CourierError> {
        let now_ms = (self.clock)();
        self.change(|outbox| outbox.again(id, now_ms))
    }

    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.outbox.entries()
    }

    pub fn get(&self, id: &str) -> Option<&Entry> {
        self.outbox.get(id)
    }

    /// Sends the next ticket whose time has come. A caller sleeps until [`Step::Idle`]'s time, or until it has put
    /// another ticket. Dropping the future half way is like a crash: nothing is lost or made twice.
    ///
    /// # Errors
    /// The file cannot be written. Before the request left, nothing happened; afterwards the ticket is looked
    /// for at the next start.
    pub async fn step(&mut self) -> Result<Step, CourierError> {
        let now_ms = (self.clock)();
        let Some(ticket) = self.outbox.next(now_ms).cloned() else {
            let until_ms = self.outbox.wake_at_ms();
            return Ok(Step::Idle { until_ms });
        };
        self.change(|outbox| outbox.sending(&ticket.id, now_ms))?;
        let outcome = self.deliver(&ticket).await;
        let (lag_ms, pace, now_ms, chance) = (
            self.sink.search_lag_ms(),
            self.pace,
            (self.clock)(),
            (self.chance)(),
        );
        let id = ticket.id;
        let gave_up = self.change(|outbox| {
            let state = outbox.note(&id, &outcome, lag_ms, &pace, now_ms, chance)?;
            Ok(matches!(state, State::GaveUp { .. }))
        })?;
        Ok(match outcome {
            Ok(made) => Step::Made { id, made },
            Err(failure) if gave_up => Step::GaveUp { id, failure },
            Err(failure) => Step::Failed { id, failure },
        })
    }

    async fn deliver(&self, ticket: &Ticket) -> Result<Made, Failure> {
        match self.sink.find(ticket).await? {
            Some(made) => Ok(made),
            None => self.sink.create(ticket).await,
        }
    }

    /// Memory follows the file, never the other way round.
    fn change<T>(
        &mut self,
        change: impl FnOnce(&mut Outbox) -> Result<T, OutboxError>,
    ) -> Result<T, CourierError> {
        let mut next = self.outbox.clone();
        let result = change(&mut next)?;
        if next != self.outbox {
            self.file.write(&next)?;
            self.outbox = next;
        }
        Ok(result)
    }
}

impl std::fmt::Debug for Courier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Courier");
        shown.field("sink", &self.sink.name()).field("pace", &self.pace);
        shown.field("outbox", &self.outbox).finish_non_exhaustive()
    }
}
