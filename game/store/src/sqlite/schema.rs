//! Opening a journal file: is it ours, is it of our time, and its tables.

use std::{
    collections::BTreeSet,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};

use super::fault::Fault;
use crate::StoreError;

/// "STAV": marks the file as a journal, whoever else writes SQLite files.
const APPLICATION_ID: i64 = 0x5354_4156;

/// The tables of an empty file.
const PLAYERS: &str = "
    CREATE TABLE players (
        player_id TEXT NOT NULL PRIMARY KEY,
        display_name TEXT NOT NULL,
        rating INTEGER NOT NULL,
        games_played INTEGER NOT NULL,
        wins INTEGER NOT NULL,
        losses INTEGER NOT NULL,
        draws INTEGER NOT NULL,
        version INTEGER NOT NULL,
        active_game_id TEXT,
        created_at_ms INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;

    -- The newest snapshot of each profile. A copy elsewhere is caught up by reading from the
    -- position that it has reached.
    CREATE TABLE outbox (
        player_id TEXT NOT NULL PRIMARY KEY,
        position INTEGER NOT NULL UNIQUE,
        version INTEGER NOT NULL,
        body TEXT NOT NULL,
        sha256 BLOB NOT NULL,
        at_ms INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
";
const GAMES: &str = "
    -- Games and owners have numbers, so that what a move changes is small; see `log` and `append`.
    CREATE TABLE owners (
        owner INTEGER PRIMARY KEY,
        release TEXT NOT NULL,
        instance TEXT NOT NULL,
        UNIQUE (release, instance)
    ) STRICT;

    CREATE TABLE heads (
        game INTEGER PRIMARY KEY,
        owner INTEGER NOT NULL,
        epoch INTEGER NOT NULL,
        sequence INTEGER NOT NULL,
        last INTEGER NOT NULL,
        ended_at_ms INTEGER
    ) STRICT;

    -- seat (0 White, 1 Black), command_id and payload_hash: the command that caused the event, NULL where
    -- the server did. previous: the position of the event before it in the same game.
    CREATE TABLE log (
        position INTEGER PRIMARY KEY,
        game INTEGER NOT NULL,
        sequence INTEGER NOT NULL,
        previous INTEGER,
        seat INTEGER,
        command_id TEXT,
        payload_hash BLOB,
        digest BLOB,
        state_digest BLOB,
        event TEXT NOT NULL
    ) STRICT;

    CREATE TABLE refusals (
        id INTEGER PRIMARY KEY,
        game INTEGER NOT NULL,
        seat INTEGER NOT NULL,
        command_id TEXT NOT NULL,
        payload_hash BLOB NOT NULL,
        sequence INTEGER NOT NULL,
        code TEXT NOT NULL,
        message TEXT NOT NULL,
        at_ms INTEGER NOT NULL,
        UNIQUE (game, seat, command_id)
    ) STRICT;

    CREATE TABLE games (
        game INTEGER PRIMARY KEY,
        game_id TEXT NOT NULL UNIQUE,
        white_id TEXT NOT NULL,
        black_id TEXT NOT NULL
    ) STRICT;
";
const RUNNING_GAMES: &str = "CREATE INDEX running_games ON heads (owner) WHERE ended_at_ms IS NULL;";

/// Out of the tables of version 1, in which each game had its events, its answers and its state in places
/// of its own. The state was redundant and is not taken along; of answers only the refusals are.
const GAMES_OF_VERSION_1: &str = "
    INSERT INTO games (game_id, white_id, black_id)
        SELECT game_id, white_id, black_id FROM former_games ORDER BY game_id;
    INSERT INTO owners (release, instance) SELECT DISTINCT owner_release, owner_instance FROM former_games;
    INSERT INTO log (game, sequence, seat, command_id, payload_hash, event)
        SELECT g.game, e.sequence, CASE e.player_id WHEN g.white_id THEN 0 WHEN g.black_id THEN 1 END,
               e.command_id, iif(e.player_id IS NULL, NULL, coalesce(a.payload_hash, x'')), e.event
        FROM events e JOIN games g USING (game_id)
            LEFT JOIN answers a ON a.game_id = e.game_id AND a.player_id = e.player_id
                AND a.command_id = e.command_id
        ORDER BY g.game, e.sequence;
    UPDATE log SET previous = position - 1 WHERE sequence > 1;
    INSERT INTO heads (game, owner, epoch, sequence, last, ended_at_ms)
        SELECT g.game, o.owner, f.epoch, f.sequence, l.last, f.ended_at_ms
        FROM former_games f JOIN games g USING (game_id)
            JOIN owners o ON o.release = f.owner_release AND o.instance = f.owner_instance
            JOIN (SELECT game, max(position) AS last FROM log GROUP BY game) l ON l.game = g.game;
    INSERT INTO refusals (game, seat, command_id, payload_hash, sequence, code, message, at_ms)
        SELECT g.game, iif(a.player_id = g.white_id, 0, 1), a.command_id, a.payload_hash,
               a.answer ->> '$.rejected.sequence', a.answer ->> '$.rejected.code',
               a.answer ->> '$.rejected.message', a.at_ms
        FROM answers a JOIN games g USING (game_id) WHERE a.accepted = 0 ORDER BY a.id;
    DROP TABLE answers;
    DROP TABLE events;
    DROP TABLE former_games;
";

/// The newest schema version that this program knows.
const VERSION: i64 = 2;

/// What brings a file of some version to the newest. Never change what was released; add.
fn steps_from(version: i64) -> &'static [&'static str] {
    match version {
        0 => &[PLAYERS, GAMES, RUNNING_GAMES],
        1 => &[
            "ALTER TABLE games RENAME TO former_games;",
            GAMES,
            GAMES_OF_VERSION_1,
            RUNNING_GAMES,
        ],
        _ => &[],
    }
}

/// Tables that were added since, each made if it is missing. They raise no schema version: a release
/// that does not know them goes on beside this one, on the same file. So nothing here may change a
/// table of [`PLAYERS`] or [`GAMES`], and whoever reads these expects that the older release did not write them.
const ADDITIONS: &str = "
    -- Skill in integers and equipment as a JSON list; see `progress` for what `games_played` tells.
    CREATE TABLE IF NOT EXISTS standings (
        player_id TEXT NOT NULL PRIMARY KEY,
        games_played INTEGER NOT NULL,
        rating_milli INTEGER NOT NULL,
        deviation_milli INTEGER NOT NULL,
        volatility_nano INTEGER NOT NULL,
        rated_at_ms INTEGER,
        equipped TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
";

/// What the writer keeps of the file in memory: the pages of heads, of players and the end of the log, and
/// the log of running games, which a repeated command is looked up in.
const CACHE_KIB_MAX: i64 = 64 * 1024;
/// The log is carried over into the file when it has so many pages (of 4 KiB). Whoever commits then
/// waits for the disk: seldom and much made one move in fifty wait for 200 ms, often and little does not.
const LOG_PAGES: i64 = 1_000;

/// How long SQLite itself polls for a lock before [`begin`] asks for the deadline.
const POLLS_MAX: i32 = 400;
const POLL: Duration = Duration::from_micros(250);
/// The header is locked only while another process turns a new file into a journal.
const HEADER_TIMEOUT_MS: u64 = 2000;
/// Readers wait only while another process opens or closes the file.
pub(super) const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// Opens the file for writing, makes it a journal if it is empty, and brings its schema up to date.
/// Safe when several processes do it at once.
pub(crate) fn open(path: &Path, busy_timeout_ms: u64) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let connection = connect(path, flags)?;
    let failed = |fault: Fault| fault.at(path, "open");
    if identify(&connection, path)? == 0 {
        migrate(&connection, path, busy_timeout_ms)?;
    }
    let patience = Patience::new(busy_timeout_ms);
    patience
        .retry(|| {
            // Not covered by the busy handler: switching needs the file to itself for a moment.
            connection.pragma_update(None, "journal_mode", "WAL")
        })
        .map_err(|error| patience.explain(error, path, "switch to write-ahead logging"))?;
    let tune = || {
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB_MAX)?;
        connection.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)
    };
    tune().map_err(|error| failed(error.into()))?;
    migrate(&connection, path, busy_timeout_ms)?;
    expect_columns(&connection).map_err(failed)?;
    Ok(connection)
}

/// A file that somebody has altered is refused at the opening, not at the first move.
fn expect_columns(connection: &Connection) -> Result<(), Fault> {
    let model = Connection::open_in_memory()?;
    for sql in steps_from(0).iter().chain([&ADDITIONS]) {
        model.execute_batch(sql)?;
    }
    let found = columns(connection)?;
    for (table, column) in columns(&model)? {
        if !found.contains(&(table.clone(), column.clone())) {
            return Err(Fault::Corrupt(format!(
                "table {table} has no column {column}; somebody has altered it"
            )));
        }
    }
    Ok(())
}

fn columns(connection: &Connection) -> Result<BTreeSet<(String, String)>, Fault> {
    let columns = connection
        .prepare(
            "SELECT t.name, c.name FROM sqlite_schema t, pragma_table_info(t.name) c WHERE t.type = 'table'",
        )?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    Ok(columns)
}

/// Opens an existing journal for reading only.
pub(crate) fn open_to_read(path: &Path) -> Result<Connection, StoreError> {
    if !path.exists() {
        return Err(StoreError::Missing {
            path: path.to_owned(),
        });
    }
    // Opened for writing, since a file that a killed process left needs its log played back.
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let path_buf = || path.to_owned();
    match identify(&connection, path)? {
        0 => return Err(StoreError::Missing { path: path_buf() }),
        VERSION => {}
        found => {
            return Err(StoreError::OlderSchema {
                path: path_buf(),
                found,
                needed: VERSION,
            });
        }
    }
    let reads_only = || {
        connection.busy_timeout(READ_TIMEOUT)?;
        // A file that only an older release has had open: empty tables, for this connection alone.
        let known: bool = connection.query_row(
            "SELECT count(*) FROM sqlite_schema WHERE name = 'standings'",
            [],
            |row| row.get(0),
        )?;
        if !known {
            connection.execute_batch(&ADDITIONS.replace("CREATE TABLE", "CREATE TEMP TABLE"))?;
        }
        connection.pragma_update(None, "query_only", "ON")
    };
    reads_only().map_err(|error| Fault::from(error).at(path, "open for reading"))?;
    Ok(connection)
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, StoreError> {
    let connect = || {
        // No mutex: each connection stays with one thread at a time.
        let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.busy_handler(Some(|polls| {
            thread::sleep(POLL);
            polls < POLLS_MAX
        }))?;
        connection.set_prepared_statement_cache_capacity(64);
        Ok(connection)
    };
    connect().map_err(|error: rusqlite::Error| Fault::from(error).at(path, "open"))
}

/// The schema version of the file; 0 for an empty one. An error for what is not a journal.
fn identify(connection: &Connection, path: &Path) -> Result<i64, StoreError> {
    // One statement, and so of one moment: another process may be making the tables.
    let read = || {
        connection.query_row(
            "SELECT (SELECT count(*) FROM sqlite_schema),
                    (SELECT application_id FROM pragma_application_id),
                    (SELECT user_version FROM pragma_user_version)",
            [],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )
    };
    let (tables, application_id, found): (i64, i64, i64) = Patience::new(HEADER_TIMEOUT_MS)
        .retry(read)
        .map_err(|error| Fault::from(error).at(path, "read the header"))?;
    let path = || path.to_owned();
    match application_id {
        APPLICATION_ID if found > VERSION => Err(StoreError::NewerSchema {
            path: path(),
            found,
            supported: VERSION,
        }),
        APPLICATION_ID => Ok(found),
        _ if tables == 0 && found == 0 => Ok(0),
        _ => Err(StoreError::ForeignDatabase { path: path() }),
    }
}

fn migrate(connection: &Connection, path: &Path, busy_timeout_ms: u64) -> Result<(), StoreError> {
    let failed = |error: rusqlite::Error| Fault::from(error).at(path, "migrate");
    let transaction = begin(connection, path, busy_timeout_ms)?;
    // Looked at again under the lock: another process may have done it in the meantime.
    let found = identify(&transaction, path)?;
    for sql in steps_from(found) {
        transaction.execute_batch(sql).map_err(failed)?;
    }
    if found < VERSION {
        transaction
            .pragma_update(None, "user_version", VERSION)
            .map_err(failed)?;
        transaction
            .pragma_update(None, "application_id", APPLICATION_ID)
            .map_err(failed)?;
    }
    transaction.execute_batch(ADDITIONS).map_err(failed)?;
    transaction.commit().map_err(failed)
}

/// Begins a transaction that may write, waiting for other processes.
fn begin<'c>(
    connection: &'c Connection,
    path: &Path,
    busy_timeout_ms: u64,
) -> Result<Transaction<'c>, StoreError> {
    let patience = Patience::new(busy_timeout_ms);
    patience
        .retry(|| Transaction::new_unchecked(connection, TransactionBehavior::Immediate))
        .map_err(|error| patience.explain(error, path, "begin a transaction"))
}

/// Waiting for a lock, with an end.
pub(super) struct Patience {
    busy_timeout_ms: u64,
    began: Instant,
}

impl Patience {
    pub(super) fn new(busy_timeout_ms: u64) -> Patience {
        Patience {
            busy_timeout_ms,
            began: Instant::now(),
        }
    }

    pub(super) fn retry<T>(&self, mut attempt: impl FnMut() -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        loop {
            match attempt() {
                Err(error)
                    if is_busy(&error)
                        && self.began.elapsed() < Duration::from_millis(self.busy_timeout_ms) =>
                {
                    thread::sleep(POLL);
                }
                other => return other,
            }
        }
    }

    pub(super) fn explain(&self, error: rusqlite::Error, path: &Path, operation: &'static str) -> StoreError {
        if is_busy(&error) {
            let waited_ms = self.began.elapsed().as_millis() as u64;
            return StoreError::Busy {
                path: path.to_owned(),
                waited_ms,
            };
        }
        Fault::from(error).at(path, operation)
    }
}

pub(super) fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_writing_connection_syncs_every_commit() {
        let folder = tempfile::tempdir().unwrap();
        let connection = open(&folder.path().join("j.sqlite"), 1000).unwrap();
        // 2 is FULL: https://www.sqlite.org/pragma.html#pragma_synchronous
        let synchronous: i64 = connection
            .query_row("PRAGMA synchronous", [], |row| row.get(0))
            .unwrap();
        assert_eq!(synchronous, 2);
    }

    #[test]
    fn a_reading_connection_cannot_write() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("j.sqlite");
        open(&path, 1000).unwrap();
        let error = open_to_read(&path)
            .unwrap()
            .execute("DELETE FROM games", [])
            .unwrap_err();
        assert_eq!(error.sqlite_error_code(), Some(ErrorCode::ReadOnly));
    }
}
