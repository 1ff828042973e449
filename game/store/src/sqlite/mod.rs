//! The journal in one SQLite file: WAL, every commit synced, several processes at once.
//!
//! One thread per process writes; it commits together whatever waits (`writer`). Reads go beside it
//! on connections of their own (`readers`). What each operation does to the tables is in `games`,
//! `append` and `players`; how events lie, in `log`.

pub(crate) mod append;
mod fault;
mod games;
mod heads;
pub(crate) mod log;
mod outbox;
mod players;
mod progress;
mod readers;
pub(crate) mod schema;
mod writer;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

pub(crate) use fault::Fault;
pub use outbox::{Outbox, OutboxRow};
pub(crate) use players::{PROFILE_COLUMNS, PROFILE_TABLES, from_row as profile_from_row, id as stored_id};
pub(crate) use progress::check as check_progress;
use rusqlite::Connection;
use starvault_rules::{Event, GameId, PlayerId};

use crate::{
    Acquired, Append, AppendOutcome, CreateOutcome, EquipOutcome, Journal, NewGame, NewPlayer, Owner,
    Ownership, Profile, StoreError,
};
use heads::Heads;
use readers::Readers;
use writer::{How, Pace, Writer};

/// Limits of a [`SqliteJournal`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SqliteOptions {
    /// How many writes may wait; more wait outside.
    pub queue_max: usize,
    /// How many writes share a transaction at most.
    pub batch_max: usize,
    /// How many reads may run at the same time.
    pub readers_max: usize,
    /// How long to wait for another process that writes, in milliseconds.
    pub busy_timeout_ms: u64,
    /// While results of commands keep coming, they are committed at most this often, in
    /// milliseconds: each waits at most so long for others to share its sync. 0: at once. Everything
    /// else (players, games that begin or change hands) never waits.
    pub commit_every_ms: u64,
    /// So many results of commands do not wait for more.
    pub gather_max: usize,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        SqliteOptions {
            queue_max: 1024,
            batch_max: 256,
            readers_max: 2,
            busy_timeout_ms: 5000,
            commit_every_ms: 10,
            gather_max: 32,
        }
    }
}

/// What the writer has done since the journal was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriterStats {
    /// Committed transactions, each synced to disk once.
    pub transactions: u64,
    /// The writes in them.
    pub writes: u64,
}

/// A handle on an open journal file. When the last one is dropped, the writer finishes what waits.
#[derive(Clone, Debug)]
pub struct SqliteJournal {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    writer: Writer,
    readers: Readers,
}

impl SqliteJournal {
    /// Opens the journal at `path`, made if missing. Blocks: it may migrate, and wait for others.
    pub fn open(path: &Path, options: SqliteOptions) -> Result<SqliteJournal, StoreError> {
        let connection = schema::open(path, options.busy_timeout_ms)?;
        Ok(SqliteJournal::on(connection, path, options))
    }

    fn on(connection: Connection, path: &Path, options: SqliteOptions) -> SqliteJournal {
        let writer = Writer::start(connection, path.to_owned(), options);
        let readers = Readers::new(path.to_owned(), options);
        SqliteJournal {
            inner: Arc::new(Inner {
                path: path.to_owned(),
                writer,
                readers,
            }),
        }
    }

    /// What the writer has done.
    pub fn stats(&self) -> WriterStats {
        self.inner.writer.stats()
    }

    /// Finishes what waits and closes the file. Later calls, by any clone, answer [`StoreError::Closed`].
    pub async fn close(&self) {
        self.inner.readers.close();
        self.inner.writer.close().await;
    }

    /// As [`Journal::get_profile`], for a player who was here a moment ago. The row is in memory then,
    /// and to read it takes less time than to have another thread do it: it is read on this one.
    pub async fn get_recent_profile(&self, player_id: &PlayerId) -> Result<Option<Profile>, StoreError> {
        let read = |connection: &Connection| players::get(connection, player_id);
        match self.inner.readers.read_now("read a profile", read) {
            Some(profile) => profile,
            None => self.get_profile(player_id).await,
        }
    }

    /// Drops the kept refusals of games that ended before `before_ms`; returns how many. A command
    /// repeated after that would be refused by the rules once more, since its game is over.
    pub async fn forget_refusals(&self, before_ms: i64) -> Result<u64, StoreError> {
        self.write("forget refusals", move |connection, _| {
            append::forget_refusals(connection, before_ms)
        })
        .await
    }

    /// The snapshots of profiles, for copies elsewhere; each has a connection of its own.
    #[must_use]
    pub fn outbox(&self) -> Outbox {
        Outbox::of(&self.inner.path)
    }

    async fn write<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Connection, &mut Heads) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        let how = How {
            pace: Pace::Prompt,
            may_fail_halfway: true,
        };
        self.inner.writer.write(operation, how, work).await
    }

    async fn read<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.inner.readers.read(operation, work).await
    }
}

impl Journal for SqliteJournal {
    async fn create_player(&self, player: NewPlayer) -> Result<Profile, StoreError> {
        self.write("create a player", move |connection, _| {
            players::create(connection, player)
        })
        .await
    }

    async fn get_profile(&self, player_id: &PlayerId) -> Result<Option<Profile>, StoreError> {
        let player_id = player_id.clone();
        self.read("read a profile", move |connection| {
            players::get(connection, &player_id)
        })
        .await
    }

    async fn equip(
        &self,
        player_id: &PlayerId,
        item_id: &str,
        equip: bool,
        at_ms: i64,
    ) -> Result<EquipOutcome, StoreError> {
        let (player_id, item_id) = (player_id.clone(), item_id.to_owned());
        self.write("change a player's equipment", move |connection, _| {
            players::equip(connection, &player_id, &item_id, equip, at_ms)
        })
        .await
    }

    async fn create_game(&self, NewGame { setup, owner }: NewGame) -> Result<CreateOutcome, StoreError> {
        self.write("create a game", move |connection, heads| {
            games::create(connection, heads, setup, &owner)
        })
        .await
    }

    async fn append(&self, append: Append) -> Result<AppendOutcome, StoreError> {
        let how = How {
            pace: Pace::Gathered,
            may_fail_halfway: append::may_fail_halfway(&append),
        };
        self.inner
            .writer
            .write("append to a game", how, move |connection, heads| {
                append::append(connection, heads, &append)
            })
            .await
    }

    async fn acquire(&self, game_id: &GameId, owner: Owner) -> Result<Option<Acquired>, StoreError> {
        let id = game_id.clone();
        let stored = self
            .write("acquire a game", move |connection, heads| {
                games::acquire(connection, heads, &id, &owner)
            })
            .await?;
        // Replayed here and not in the transaction: the new epoch keeps everybody else out already.
        stored
            .map(|stored| {
                stored
                    .replay()
                    .map_err(|fault| fault.at(&self.inner.path, "replay a game"))
            })
            .transpose()
    }

    async fn events_after(&self, game_id: &GameId, sequence: u32) -> Result<Vec<Event>, StoreError> {
        let game_id = game_id.clone();
        self.read("read events", move |connection| {
            games::events_after(connection, &game_id, sequence)
        })
        .await
    }

    async fn owner_of(&self, game_id: &GameId) -> Result<Option<Ownership>, StoreError> {
        let game_id = game_id.clone();
        self.read("read an owner", move |connection| {
            games::owner_of(connection, &game_id)
        })
        .await
    }

    async fn active_game_of(&self, player_id: &PlayerId) -> Result<Option<GameId>, StoreError> {
        let player_id = player_id.clone();
        self.read("read a player's game", move |connection| {
            players::active_game(connection, &player_id)
        })
        .await
    }

    async fn running_games_of(&self, owner: &Owner) -> Result<Vec<GameId>, StoreError> {
        let owner = owner.clone();
        self.read("list running games", move |connection| {
            games::running_of(connection, &owner)
        })
        .await
    }
}
