//! How far one store is, in figures that anybody may read while they change.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};

/// Written by one copier alone; each figure is right by itself, and they may be a moment apart.
#[derive(Debug, Default)]
pub struct SinkFigures {
    pub(crate) up: AtomicBool,
    pub(crate) position: AtomicI64,
    pub(crate) newest: AtomicI64,
    /// 0: nothing waits.
    pub(crate) waiting_since_ms: AtomicI64,
    pub(crate) rows: AtomicU64,
    pub(crate) batches: AtomicU64,
    pub(crate) failures: AtomicU64,
}

impl SinkFigures {
    /// Whether the last thing that was asked of the store went well.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.up.load(Relaxed)
    }

    /// The position of the journal up to which everything is in the store.
    #[must_use]
    pub fn position(&self) -> i64 {
        self.position.load(Relaxed)
    }

    /// How many positions of the journal are not in the store yet. No less than the rows to copy: a player's
    /// newer snapshot takes a new position and leaves the old one empty.
    #[must_use]
    pub fn lag_positions(&self) -> u64 {
        let behind = self.newest.load(Relaxed) - self.position();
        u64::try_from(behind).unwrap_or(0)
    }

    /// How long the oldest snapshot that is not in the store has waited at `now_ms`, in milliseconds; 0 where
    /// none waits. Both times are wall clocks of this machine, which may be set back: never below 0.
    #[must_use]
    pub fn lag_ms(&self, now_ms: i64) -> u64 {
        match self.waiting_since_ms.load(Relaxed) {
            0 => 0,
            since_ms => u64::try_from(now_ms - since_ms).unwrap_or(0),
        }
    }

    /// Snapshots written so far by this process.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows.load(Relaxed)
    }

    /// Transactions in which they were written.
    #[must_use]
    pub fn batches(&self) -> u64 {
        self.batches.load(Relaxed)
    }

    /// Attempts that failed.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures.load(Relaxed)
    }
}
