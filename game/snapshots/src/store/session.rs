//! One connection to one database, made when it is needed and dropped after any failure.
//!
//! Whatever goes wrong in the middle of an operation, its connection is closed with it, and the database
//! rolls back. So no operation begins on a connection in doubt, and a database that comes back is simply
//! connected to again.

use std::{
    fmt,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use futures_util::TryStreamExt as _;
use sqlx::{
    AssertSqlSafe, ColumnIndex, ConnectOptions, Connection as _, Database, Decode, Encode, Executor,
    IntoArguments, Row as _, Type,
};
use tokio::{
    sync::{Mutex, MutexGuard},
    time::timeout,
};

use super::{
    Standing,
    sql::{self, Sql},
};
use crate::{
    pace::Batch,
    ranges::{KeyRange, Summary, Summing},
    row::{Page, Row, RowView},
};

/// Under this name a store keeps how far the journal was copied.
const SOURCE: &[u8] = b"journal";

/// A database that snapshots can lie in.
pub(super) trait Engine: Database {
    const SQL: Sql;
    type Options: ConnectOptions<Connection = Self::Connection> + Clone + fmt::Debug + Send + Sync;

    /// Rows that a statement's condition met, changed or not.
    fn rows_met(result: &Self::QueryResult) -> u64;
}

pub(super) struct Session<DB: Engine> {
    options: DB::Options,
    /// Run on each new connection.
    setup: &'static [&'static str],
    connect_timeout: Duration,
    idle: Mutex<Option<DB::Connection>>,
    /// Of the last page that was read.
    page_bytes: AtomicUsize,
}

const PAGE_BYTES_EXPECTED_MAX: usize = 4 * 1024 * 1024;

/// A connection in use. Dropped before [`Lease::done`] it is closed.
struct Lease<'s, DB: Engine> {
    slot: MutexGuard<'s, Option<DB::Connection>>,
    connection: DB::Connection,
}

impl<DB: Engine> Lease<'_, DB> {
    fn done(self) {
        let Lease { mut slot, connection } = self;
        *slot = Some(connection);
    }
}

impl<DB> Session<DB>
where
    DB: Engine,
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
    DB::Arguments: IntoArguments<DB>,
    usize: ColumnIndex<DB::Row>,
    i64: for<'q> Encode<'q, DB> + for<'r> Decode<'r, DB> + Type<DB>,
    for<'q> &'q [u8]: Encode<'q, DB> + Decode<'q, DB> + Type<DB>,
{
    pub(super) fn new(
        options: DB::Options,
        setup: &'static [&'static str],
        connect_timeout: Duration,
    ) -> Self {
        Session {
            options,
            setup,
            connect_timeout,
            idle: Mutex::new(None),
            page_bytes: AtomicUsize::new(0),
        }
    }

    async fn lease(&self) -> Result<Lease<'_, DB>, sqlx::Error> {
        let mut slot = self.idle.lock().await;
        if let Some(connection) = slot.take() {
            return Ok(Lease { slot, connection });
        }
        let connect = async {
            let mut connection = self.options.connect().await?;
            for statement in self.setup {
                sqlx::raw_sql(*statement).execute(&mut connection).await?;
            }
            Ok::<_, sqlx::Error>(connection)
        };
        let late = |_| sqlx::Error::Io(std::io::ErrorKind::TimedOut.into());
        let connection = timeout(self.connect_timeout, connect).await.map_err(late)??;
        Ok(Lease { slot, connection })
    }

    /// The steps that were made, each with whether older releases go on beside it.
    pub(super) async fn steps(&self) -> Result<Vec<(i64, bool)>, sqlx::Error> {
        let mut lease = self.lease().await?;
        let rows = sqlx::query(sql::STEPS_DONE)
            .fetch_all(&mut lease.connection)
            .await?;
        let steps = rows
            .iter()
            .map(|row| Ok((row.try_get(0)?, row.try_get::<i64, _>(1)? != 0)));
        let steps = steps.collect::<Result<_, sqlx::Error>>()?;
        lease.done();
        Ok(steps)
    }

    /// Makes the table of steps if it is missing.
    pub(super) async fn prepare_steps(&self) -> Result<(), sqlx::Error> {
        let mut lease = self.lease().await?;
        sqlx::raw_sql(DB::SQL.steps_table)
            .execute(&mut lease.connection)
            .await?;
        lease.done();
        Ok(())
    }

    /// Makes one step. Another process that makes it at the same time does no harm.
    pub(super) async fn make_step(
        &self,
        number: i64,
        step: &sql::Step,
        statements: &[&'static str],
    ) -> Result<(), sqlx::Error> {
        let mut lease = self.lease().await?;
        for statement in statements {
            sqlx::raw_sql(*statement).execute(&mut lease.connection).await?;
        }
        sqlx::query(DB::SQL.add_step)
            .bind(number)
            .bind(step.name.as_bytes())
            .bind(i64::from(step.additive))
            .execute(&mut lease.connection)
            .await?;
        lease.done();
        Ok(())
    }

    /// The columns of a table, none if it does not exist.
    pub(super) async fn columns(&self, table: &str) -> Result<Vec<Vec<u8>>, sqlx::Error> {
        let mut lease = self.lease().await?;
        let rows = sqlx::query(DB::SQL.columns)
            .bind(table.as_bytes())
            .fetch_all(&mut lease.connection)
            .await?;
        let names = rows.iter().map(|row| Ok(row.try_get::<&[u8], _>(0)?.to_vec()));
        let names = names.collect::<Result<_, sqlx::Error>>()?;
        lease.done();
        Ok(names)
    }

    /// Zeros where nothing was copied yet.
    pub(super) async fn standing(&self) -> Result<Standing, sqlx::Error> {
        let mut lease = self.lease().await?;
        let row = sqlx::query(sql::CURSOR)
            .bind(SOURCE)
            .fetch_optional(&mut lease.connection)
            .await?;
        let standing = match row {
            None => Standing::default(),
            Some(row) => Standing {
                position: row.try_get(0)?,
                newest: row.try_get(1)?,
            },
        };
        lease.done();
        Ok(standing)
    }

    /// Rows and cursor in one transaction. `false`: the cursor is elsewhere, and nothing was written.
    pub(super) async fn apply(&self, from: i64, newest: i64, batch: &Batch) -> Result<bool, sqlx::Error> {
        let mut lease = self.lease().await?;
        let connection = &mut lease.connection;
        if from == 0 {
            sqlx::query(DB::SQL.add_cursor)
                .bind(SOURCE)
                .execute(&mut *connection)
                .await?;
        }
        sqlx::raw_sql(DB::SQL.begin).execute(&mut *connection).await?;
        let moved = sqlx::query(sql::MOVE_CURSOR)
            .bind(batch.position)
            .bind(newest)
            .bind(SOURCE)
            .bind(from)
            .execute(&mut *connection)
            .await?;
        if DB::rows_met(&moved) == 0 {
            sqlx::raw_sql("ROLLBACK").execute(&mut *connection).await?;
            lease.done();
            return Ok(false);
        }
        Self::write(connection, sql::PLAYERS_TABLE, &batch.rows).await?;
        sqlx::raw_sql("COMMIT").execute(&mut *connection).await?;
        lease.done();
        Ok(true)
    }

    async fn write(
        connection: &mut DB::Connection,
        table: sql::Table,
        mut rest: &[Row],
    ) -> Result<(), sqlx::Error> {
        while !rest.is_empty() {
            let sizes = sql::INSERT_ROWS.iter();
            let size = sizes.copied().find(|size| *size <= rest.len()).unwrap_or(1);
            let (now, later) = rest.split_at(size);
            let mut insert = sqlx::query(AssertSqlSafe(DB::SQL.insert(table, size)));
            for row in now {
                insert = insert
                    .bind(row.player_id.as_slice())
                    .bind(row.version)
                    .bind(row.deleted)
                    .bind(row.body.as_slice())
                    .bind(row.sha256.as_slice())
                    .bind(row.written_at_us);
            }
            insert.execute(&mut *connection).await?;
            rest = later;
        }
        Ok(())
    }

    /// Writes games, each only over an older version.
    pub(super) async fn put_games(&self, rows: &[Row]) -> Result<(), sqlx::Error> {
        let mut lease = self.lease().await?;
        let connection = &mut lease.connection;
        sqlx::raw_sql(DB::SQL.begin).execute(&mut *connection).await?;
        Self::write(connection, sql::GAMES_TABLE, rows).await?;
        sqlx::raw_sql("COMMIT").execute(&mut *connection).await?;
        lease.done();
        Ok(())
    }

    /// Games behind this key.
    pub(super) async fn games(&self, after: &[u8], limit: i64) -> Result<Vec<Row>, sqlx::Error> {
        let mut lease = self.lease().await?;
        let found = sqlx::query(sql::GAMES_PAGE)
            .bind(after)
            .bind(limit)
            .fetch_all(&mut lease.connection)
            .await?;
        let bytes =
            |row: &DB::Row, at: usize| Ok::<_, sqlx::Error>(row.try_get_unchecked::<&[u8], _>(at)?.to_vec());
        let rows = found.iter().map(|row| {
            Ok(Row {
                player_id: bytes(row, 0)?,
                version: row.try_get_unchecked(1)?,
                deleted: row.try_get_unchecked(2)?,
                body: bytes(row, 3)?,
                sha256: bytes(row, 4)?,
                written_at_us: row.try_get_unchecked(5)?,
            })
        });
        let rows = rows.collect::<Result<_, sqlx::Error>>()?;
        lease.done();
        Ok(rows)
    }

    pub(super) async fn forget_games(&self, before_us: i64) -> Result<(), sqlx::Error> {
        let mut lease = self.lease().await?;
        sqlx::query(sql::FORGET_GAMES)
            .bind(before_us)
            .execute(&mut lease.connection)
            .await?;
        lease.done();
        Ok(())
    }

    pub(super) async fn page(&self, range: &KeyRange, limit: i64) -> Result<Page, sqlx::Error> {
        let mut lease = self.lease().await?;
        // The page before tells how large this one is going to be.
        let is_one = limit <= 1;
        let expected = if is_one { 0 } else { self.page_bytes.load(Relaxed) };
        let rows = usize::try_from(limit).unwrap_or(0).min(4_096);
        let mut page = Page::with_capacity(rows, expected);
        {
            let mut rows = sqlx::query(sql::PAGE)
                .bind(range.from.as_slice())
                .bind(range.to.as_slice())
                .bind(limit)
                .fetch(&mut lease.connection);
            while let Some(row) = rows.try_next().await? {
                // The schema was looked at; to compare types again for every value of a million rows costs.
                page.push(RowView {
                    player_id: row.try_get_unchecked(0)?,
                    version: row.try_get_unchecked(1)?,
                    deleted: row.try_get_unchecked(2)?,
                    body: row.try_get_unchecked(3)?,
                    sha256: row.try_get_unchecked(4)?,
                    written_at_us: row.try_get_unchecked(5)?,
                });
            }
        }
        if !is_one {
            let bytes = page.bytes().min(PAGE_BYTES_EXPECTED_MAX);
            self.page_bytes.store(bytes, Relaxed);
        }
        lease.done();
        Ok(page)
    }

    /// The key of the row with so many rows of the range before it.
    pub(super) async fn key_at(
        &self,
        range: &KeyRange,
        rows_before: i64,
    ) -> Result<Option<Vec<u8>>, sqlx::Error> {
        let mut lease = self.lease().await?;
        let row = sqlx::query(sql::KEY_AT)
            .bind(range.from.as_slice())
            .bind(range.to.as_slice())
            .bind(rows_before)
            .fetch_optional(&mut lease.connection)
            .await?;
        let key = row.map(|row| Ok::<_, sqlx::Error>(row.try_get::<&[u8], _>(0)?.to_vec()));
        let key = key.transpose()?;
        lease.done();
        Ok(key)
    }

    pub(super) async fn count(&self) -> Result<u64, sqlx::Error> {
        let mut lease = self.lease().await?;
        let row = sqlx::query(sql::COUNT).fetch_one(&mut lease.connection).await?;
        let count: i64 = row.try_get(0)?;
        lease.done();
        Ok(count.unsigned_abs())
    }

    pub(super) async fn summary(&self, range: &KeyRange) -> Result<Summary, sqlx::Error> {
        let Some(summary) = DB::SQL.summary else {
            let page = self.page(range, i64::MAX).await?;
            let mut summing = Summing::default();
            page.iter().for_each(|row| summing.add(row));
            return Ok(summing.finish());
        };
        let mut lease = self.lease().await?;
        let row = sqlx::query(summary)
            .bind(range.from.as_slice())
            .bind(range.to.as_slice())
            .fetch_one(&mut lease.connection)
            .await?;
        let (rows, digits): (i64, i64) = (row.try_get(0)?, row.try_get(2)?);
        let mut digest = [0; 32];
        let hashed = hex::decode_to_slice(row.try_get::<&[u8], _>(1)?, &mut digest);
        if hashed.is_err() || digits != rows.saturating_mul(64) {
            return Err(sqlx::Error::Protocol(format!(
                "the digest of {rows} rows is of {digits} digits: is group_concat_max_len ignored?"
            )));
        }
        let broken: i64 = row.try_get(3)?;
        lease.done();
        Ok(Summary {
            rows: rows.unsigned_abs(),
            digest,
            broken: broken.unsigned_abs(),
        })
    }

    /// Puts `row` where `seen` was, or where nothing was. `false`: something else is there by now.
    pub(super) async fn replace(&self, seen: Option<&Row>, row: &Row) -> Result<bool, sqlx::Error> {
        let mut lease = self.lease().await?;
        let result = match seen {
            Some(seen) => {
                let replace = sqlx::query(sql::REPLACE)
                    .bind(row.version)
                    .bind(row.deleted)
                    .bind(row.body.as_slice())
                    .bind(row.sha256.as_slice())
                    .bind(row.written_at_us);
                replace
                    .bind(seen.player_id.as_slice())
                    .bind(seen.version)
                    .bind(seen.deleted)
                    .bind(seen.body.as_slice())
                    .bind(seen.sha256.as_slice())
                    .bind(seen.written_at_us)
                    .execute(&mut lease.connection)
                    .await?
            }
            None => {
                sqlx::query(AssertSqlSafe(DB::SQL.insert(sql::PLAYERS_TABLE, 1)))
                    .bind(row.player_id.as_slice())
                    .bind(row.version)
                    .bind(row.deleted)
                    .bind(row.body.as_slice())
                    .bind(row.sha256.as_slice())
                    .bind(row.written_at_us)
                    .execute(&mut lease.connection)
                    .await?
            }
        };
        lease.done();
        Ok(DB::rows_met(&result) > 0)
    }

    pub(super) async fn close(&self) {
        if let Some(connection) = self.idle.lock().await.take() {
            let _ = connection.close().await;
        }
    }
}
