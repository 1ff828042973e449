//! A store of snapshots: a database of one of two kinds, behind one set of operations.

mod fault;
mod session;
mod sql;

use std::{fmt, sync::Arc, time::Duration};

use sqlx::{
    ConnectOptions as _, MySql, Sqlite,
    mysql::{MySqlConnectOptions, MySqlQueryResult},
    sqlite::{
        SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteQueryResult, SqliteSynchronous,
    },
};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    SnapshotError, StoreUrl,
    pace::Batch,
    ranges::{KeyRange, Summary},
    row::{Page, Row},
    url::Target,
};
use session::{Engine, Session};
use sql::{Sql, Step};

/// Rows of one range digest at most.
pub(crate) use sql::DIGEST_ROWS_MAX;

/// Until a connection stands and is set up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For one operation: a page, a batch, a digest. A database that hangs must not hang its copier.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(60);
/// How long another process may hold a SQLite file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

impl Engine for MySql {
    const SQL: Sql = sql::MYSQL;
    type Options = MySqlConnectOptions;

    fn rows_met(result: &MySqlQueryResult) -> u64 {
        // The driver asks for matched rows, not for changed ones.
        result.rows_affected()
    }
}

impl Engine for Sqlite {
    const SQL: Sql = sql::SQLITE;
    type Options = SqliteConnectOptions;

    fn rows_met(result: &SqliteQueryResult) -> u64 {
        result.rows_affected()
    }
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// Rows and cursor are durable by the database's own rules.
    Written,
    /// Another copier has moved the cursor; nothing was written.
    Elsewhere,
}

/// How far a store is. Everything that stood at or before `position` when its last batch was read is there.
/// A player whose snapshot had moved on by then, to at most `newest`, may still be there in an older version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    pub position: i64,
    pub newest: i64,
}

/// A handle on one store; cheap to clone, clones share one connection. Nothing is connected to before the
/// first operation.
#[derive(Clone)]
pub struct Store {
    shown: Arc<str>,
    sessions: Sessions,
}

#[derive(Clone)]
enum Sessions {
    MySql(Arc<Session<MySql>>),
    Sqlite(Arc<Session<Sqlite>>),
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({})", self.shown)
    }
}

/// Opens the file, and waits for another process that is making or closing it: switching to write-ahead
/// logging needs the file to itself for a moment, and SQLite's own busy timeout does not cover that.
async fn made(making: &SqliteConnectOptions) -> Result<SqliteConnection, sqlx::Error> {
    const PAUSE: Duration = Duration::from_millis(5);
    let until = Instant::now() + BUSY_TIMEOUT;
    loop {
        match making.connect().await {
            Err(error) if is_busy(&error) && Instant::now() < until => sleep(PAUSE).await,
            made => return made,
        }
    }
}

/// SQLITE_BUSY, in its extended forms too.
fn is_busy(error: &sqlx::Error) -> bool {
    const BUSY: i32 = 5;
    error
        .as_database_error()
        .and_then(|error| error.code())
        .and_then(|code| code.parse::<i32>().ok())
        .is_some_and(|code| code & 0xff == BUSY)
}

/// Runs one operation of whichever kind, with a limit in time and its errors explained.
macro_rules! on {
    ($store:ident, $operation:literal, $session:ident => $work:expr) => {
        match &$store.sessions {
            Sessions::MySql($session) => {
                $store.explained($operation, timeout(OPERATION_TIMEOUT, $work).await)
            }
            Sessions::Sqlite($session) => {
                $store.explained($operation, timeout(OPERATION_TIMEOUT, $work).await)
            }
        }
    };
}

impl Store {
    #[must_use]
    pub fn new(url: &StoreUrl) -> Store {
        let sessions = match &url.target {
            Target::MySql(options) => {
                let options = options.as_ref().clone();
                // The session's own settings are set below, in words that TiDB takes too.
                let options = options
                    .pipes_as_concat(false)
                    .no_engine_substitution(false)
                    .timezone(None);
                let setup = &[
                    // What does not fit is an error, and never cut short.
                    "SET SESSION sql_mode = 'STRICT_TRANS_TABLES,STRICT_ALL_TABLES'",
                    "SET SESSION group_concat_max_len = 1048576",
                ];
                let options = options.disable_statement_logging();
                Sessions::MySql(Arc::new(Session::new(options, setup, CONNECT_TIMEOUT)))
            }
            Target::Sqlite(path) => {
                let options = SqliteConnectOptions::new()
                    .filename(path)
                    .create_if_missing(false)
                    .busy_timeout(BUSY_TIMEOUT)
                    .disable_statement_logging();
                Sessions::Sqlite(Arc::new(Session::new(options, &[], CONNECT_TIMEOUT)))
            }
        };
        Store {
            shown: url.to_string().into(),
            sessions,
        }
    }

    /// Brings the schema up to date, and makes the file of a SQLite store if it is missing. Can run at any
    /// time, twice, at the same time as another, and beside a running release: steps add, they never change.
    /// Returns how many steps were made.
    ///
    /// # Errors
    /// [`SnapshotError::NewerSchema`] where a newer release was here; [`SnapshotError::MissingColumn`] where
    /// the tables are not what the steps made.
    pub async fn migrate(url: &StoreUrl) -> Result<usize, SnapshotError> {
        let store = Store::new(url);
        if let Target::Sqlite(path) = &url.target {
            let making = SqliteConnectOptions::new()
                .filename(path)
                .create_if_missing(true)
                .busy_timeout(BUSY_TIMEOUT)
                .journal_mode(SqliteJournalMode::Wal)
                // After a power failure the last batches may be gone, and the cursor with them.
                .synchronous(SqliteSynchronous::Normal);
            let made = timeout(OPERATION_TIMEOUT, made(&making)).await;
            let connection = store.explained("make the file", made)?;
            store.explained("make the file", Ok(sqlx::Connection::close(connection).await))?;
        }
        on!(store, "migrate", session => session.prepare_steps())?;
        let done = on!(store, "read the schema", session => session.steps())?;
        store.refuse_newer(&done, true)?;
        let mut made = 0;
        for (number, step) in (1..).zip(sql::STEPS) {
            if done.iter().any(|(done, _)| *done == number) {
                continue;
            }
            on!(store, "migrate", session => session.make_step(number, step, store.statements(step)))?;
            made += 1;
        }
        store.check_schema().await?;
        store.close().await;
        Ok(made)
    }

    /// Whether the tables are there with every column that this program uses.
    ///
    /// # Errors
    /// [`SnapshotError::NotMigrated`], [`SnapshotError::MissingColumn`], or [`SnapshotError::NewerSchema`] where
    /// a newer release made a step that this one cannot go on beside.
    pub async fn check_schema(&self) -> Result<(), SnapshotError> {
        let done = on!(self, "read the schema", session => session.steps())?;
        self.refuse_newer(&done, false)?;
        for (table, columns) in sql::COLUMNS {
            let found = on!(self, "read the schema", session => session.columns(table))?;
            if found.is_empty() {
                return Err(SnapshotError::NotMigrated {
                    store: self.to_string(),
                });
            }
            let missing = |column: &&&str| {
                !found
                    .iter()
                    .any(|found| found.eq_ignore_ascii_case(column.as_bytes()))
            };
            if let Some(column) = columns.iter().find(missing) {
                return Err(SnapshotError::MissingColumn {
                    store: self.to_string(),
                    table: table.to_owned(),
                    column: (*column).to_owned(),
                });
            }
        }
        Ok(())
    }

    /// How far the journal was copied to here.
    pub async fn standing(&self) -> Result<Standing, SnapshotError> {
        on!(self, "read the cursor", session => session.standing())
    }

    /// Up to which position of the journal everything is here.
    pub async fn position(&self) -> Result<i64, SnapshotError> {
        Ok(self.standing().await?.position)
    }

    /// Writes rows and cursor in one transaction. A row with an older or the same version changes nothing.
    /// `from`: where the cursor stands. `newest`: the journal's newest position, read after the batch.
    pub async fn apply(&self, from: i64, newest: i64, batch: &Batch) -> Result<Applied, SnapshotError> {
        let written = on!(self, "write a batch", session => session.apply(from, newest, batch))?;
        Ok(if written {
            Applied::Written
        } else {
            Applied::Elsewhere
        })
    }

    /// The first `limit` rows of a range, in the order of their keys.
    pub async fn page(&self, range: &KeyRange, limit: usize) -> Result<Page, SnapshotError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        on!(self, "read rows", session => session.page(range, limit))
    }

    /// One row.
    pub async fn row(&self, player_id: &[u8]) -> Result<Option<Row>, SnapshotError> {
        let range = KeyRange {
            from: player_id.to_vec(),
            to: crate::ranges::successor(player_id),
        };
        let page = self.page(&range, 1).await?;
        Ok(page.get(0).map(|row| row.to_row()))
    }

    /// The key of the row of `range` that has `rows_before` of its rows before it.
    pub async fn key_at(&self, range: &KeyRange, rows_before: u64) -> Result<Option<Vec<u8>>, SnapshotError> {
        let rows_before = i64::try_from(rows_before).unwrap_or(i64::MAX);
        on!(self, "read a key", session => session.key_at(range, rows_before))
    }

    pub async fn count(&self) -> Result<u64, SnapshotError> {
        on!(self, "count rows", session => session.count())
    }

    /// The digest of a range of at most [`DIGEST_ROWS_MAX`] rows.
    pub async fn summary(&self, range: &KeyRange) -> Result<Summary, SnapshotError> {
        on!(self, "hash rows", session => session.summary(range))
    }

    /// Puts `row` where `seen` is, or where nothing is. `false`: something else is there by now.
    pub async fn replace(&self, seen: Option<&Row>, row: &Row) -> Result<bool, SnapshotError> {
        on!(self, "repair a row", session => session.replace(seen, row))
    }

    /// Writes copies of games in one transaction, the game's id in the place of the player's. A row with an older or
    /// the same version changes nothing.
    ///
    /// # Errors
    /// The store fails, and nothing was written.
    pub async fn put_games(&self, rows: &[Row]) -> Result<(), SnapshotError> {
        on!(self, "write games", session => session.put_games(rows))
    }

    /// Copies of games behind this key in the order of their keys; `deleted` where a game is over.
    ///
    /// # Errors
    /// The store fails.
    pub async fn games(&self, after: &[u8], limit: usize) -> Result<Vec<Row>, SnapshotError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        on!(self, "read games", session => session.games(after, limit))
    }

    /// Forgets that games ended before this moment were here.
    ///
    /// # Errors
    /// The store fails.
    pub async fn forget_games(&self, before_us: i64) -> Result<(), SnapshotError> {
        on!(self, "forget games", session => session.forget_games(before_us))
    }

    /// Closes the connection; the next operation makes a new one.
    pub async fn close(&self) {
        match &self.sessions {
            Sessions::MySql(session) => session.close().await,
            Sessions::Sqlite(session) => session.close().await,
        }
    }

    fn statements(&self, step: &Step) -> &'static [&'static str] {
        match self.sessions {
            Sessions::MySql(_) => step.mysql,
            Sessions::Sqlite(_) => step.sqlite,
        }
    }

    /// `strictly`: also where the newer steps only add.
    fn refuse_newer(&self, done: &[(i64, bool)], strictly: bool) -> Result<(), SnapshotError> {
        let known = i64::try_from(sql::STEPS.len()).unwrap_or(i64::MAX);
        let newer = done
            .iter()
            .filter(|(step, additive)| *step > known && (strictly || !additive));
        match newer.map(|(step, _)| *step).max() {
            Some(found) => Err(SnapshotError::NewerSchema {
                store: self.to_string(),
                found,
                known,
            }),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Store {
    /// Without its password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}
