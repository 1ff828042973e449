//! The outbox, read for copies elsewhere. On a connection of its own: a copier that reads much never takes a
//! connection from play.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use rusqlite::{Connection, OptionalExtension, Row};
use tokio::task;

use super::{fault::Fault, schema};
use crate::StoreError;

/// The newest snapshot of one player.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxRow {
    /// Grows with every snapshot; a player's older positions are gone.
    pub position: i64,
    pub player_id: String,
    /// The profile's.
    pub version: i64,
    /// Canonical JSON; empty for a player who was deleted.
    pub body: Vec<u8>,
    /// Of `body`.
    pub sha256: Vec<u8>,
    /// When it was written.
    pub at_ms: i64,
}

/// Reads a journal's outbox. Cheap to clone; clones share one connection.
#[derive(Clone, Debug)]
pub struct Outbox {
    path: PathBuf,
    connection: Arc<Mutex<Option<Connection>>>,
}

const COLUMNS: &str = "SELECT position, player_id, version, CAST(body AS BLOB), sha256, at_ms FROM outbox";

impl Outbox {
    /// Of the journal at `path`, which must exist by the first read.
    #[must_use]
    pub fn of(path: &Path) -> Outbox {
        Outbox {
            path: path.to_owned(),
            connection: Arc::default(),
        }
    }

    /// The snapshots after `position` in their order, at most `limit`.
    pub async fn after(&self, position: i64, limit: usize) -> Result<Vec<OutboxRow>, StoreError> {
        self.read(move |connection| after(connection, position, limit))
            .await
    }

    /// The newest position; 0 of an empty outbox.
    pub async fn newest_position(&self) -> Result<i64, StoreError> {
        self.read(|connection| {
            let newest = "SELECT coalesce(max(position), 0) FROM outbox";
            Ok(connection
                .prepare_cached(newest)?
                .query_row([], |row| row.get(0))?)
        })
        .await
    }

    /// The newest snapshot of one player.
    pub async fn of_player(&self, player_id: &str) -> Result<Option<OutboxRow>, StoreError> {
        let player_id = player_id.to_owned();
        self.read(move |connection| {
            let one = format!("{COLUMNS} WHERE player_id = ?1");
            let mut statement = connection.prepare_cached(&one)?;
            Ok(statement.query_row([player_id], from_row).optional()?)
        })
        .await
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (path, slot) = (self.path.clone(), Arc::clone(&self.connection));
        let read = move || {
            let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
            let connection = match slot.take() {
                Some(connection) => connection,
                None => schema::open_to_read(&path)?,
            };
            let result = work(&connection).map_err(|fault| fault.at(&path, "read the outbox"))?;
            *slot = Some(connection);
            Ok(result)
        };
        let closed = || StoreError::Closed {
            path: self.path.clone(),
        };
        task::spawn_blocking(read).await.map_err(|_| closed())?
    }
}

fn after(connection: &Connection, position: i64, limit: usize) -> Result<Vec<OutboxRow>, Fault> {
    let many = format!("{COLUMNS} WHERE position > ?1 ORDER BY position LIMIT ?2");
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(&many)?;
    let rows = statement.query_map([position, limit], from_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<OutboxRow> {
    Ok(OutboxRow {
        position: row.get(0)?,
        player_id: row.get(1)?,
        version: row.get(2)?,
        body: row.get(3)?,
        sha256: row.get(4)?,
        at_ms: row.get(5)?,
    })
}
