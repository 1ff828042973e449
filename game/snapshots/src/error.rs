//! What can go wrong with a snapshot store, which one it was, and what to do about it.

use std::{path::PathBuf, time::Duration};

use starvault_store::StoreError;

/// `store` is always the URL without its password.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error(
        "a snapshot store is mysql://USER:PASSWORD@HOST:PORT/DATABASE, tidb://… or sqlite:PATH: {what} (the URL is not shown, it may hold a password)"
    )]
    Url { what: String },
    #[error("cannot reach {store}: {what}; check address, network, TLS and that the database runs")]
    Unreachable { store: String, what: String },
    #[error("{store} refuses this user: {what}; check user, password and rights")]
    Denied { store: String, what: String },
    #[error("{store} is read-only: {what}; name a store that takes writes, or make this one take them")]
    ReadOnly { store: String, what: String },
    #[error("{store} has no snapshot tables; run `starvault migrate` with this URL")]
    NotMigrated { store: String },
    #[error(
        "{store}: the table {table} has no column {column}; it was changed by hand or belongs to another program. Rename it away and run `starvault migrate`"
    )]
    MissingColumn {
        store: String,
        table: String,
        column: String,
    },
    #[error("{store} has schema step {found}, this program knows up to {known}; run the newer release")]
    NewerSchema { store: String, found: i64, known: i64 },
    #[error("{store} did not answer within {} s", waited.as_secs())]
    Timeout { store: String, waited: Duration },
    #[error("{store} failed to {operation}: {what}")]
    Database {
        store: String,
        operation: &'static str,
        what: String,
    },
    #[error(
        "{store} answered rows out of order or twice: {what}; its index is damaged or sorts by other rules"
    )]
    OutOfOrder { store: String, what: String },
    #[error(
        "{store} is at position {cursor}, the journal ends at {newest}: it was filled from another or a newer journal. Give this journal a store of its own, or delete the row of snapshot_cursors to copy everything again"
    )]
    Ahead { store: String, cursor: i64, newest: i64 },
    #[error(
        "{store} is at position {position}, the watermark is {watermark}: it has not caught up, so nothing can be said about it"
    )]
    BelowWatermark {
        store: String,
        position: i64,
        watermark: i64,
    },
    #[error("the journal's snapshot of {player_id} cannot be copied: {what}")]
    BadSnapshot { player_id: String, what: String },
    #[error("more than {max} rows differ; the stores are not copies of each other, or one was never filled")]
    TooManyDifferences { max: usize },
    #[error("cannot keep where the comparison stands in {}: {what}", path.display())]
    Checkpoint { path: PathBuf, what: String },
    #[error(transparent)]
    Journal(#[from] StoreError),
}
