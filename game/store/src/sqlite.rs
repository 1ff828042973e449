//! The journal in one SQLite file.

use std::{path::Path, sync::Arc};

use starvault_rules::{GameId, PlayerId};

use crate::{
    Acquired, Append, AppendOutcome, CreateOutcome, Journal, NewGame, NewPlayer, Owner, Ownership, Profile,
    StoreError,
};

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
}

impl Default for SqliteOptions {
    fn default() -> Self {
        SqliteOptions {
            queue_max: 1024,
            batch_max: 256,
            readers_max: 2,
            busy_timeout_ms: 5000,
        }
    }
}

/// What the writer has done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriterStats {
    pub transactions: u64,
    pub writes: u64,
}

/// A handle on an open journal file.
#[derive(Clone, Debug)]
pub struct SqliteJournal {
    inner: Arc<()>,
}

#[allow(clippy::todo)]
impl SqliteJournal {
    /// Opens the journal at `path`, made if missing. Blocks (it may migrate and wait for others).
    pub fn open(path: &Path, options: SqliteOptions) -> Result<SqliteJournal, StoreError> {
        let _ = (path, options);
        todo!()
    }

    /// What the writer has done.
    pub fn stats(&self) -> WriterStats {
        let _ = &self.inner;
        todo!()
    }

    /// Finishes what waits and closes the file. Later calls, by any clone, answer [`StoreError::Closed`].
    pub async fn close(&self) {
        todo!()
    }

    /// Drops the kept answers of games that ended before `before_ms`; returns how many. A command
    /// repeated after that would be refused by the rules, since its game is over.
    pub async fn forget_answers(&self, before_ms: i64) -> Result<u64, StoreError> {
        let _ = before_ms;
        todo!()
    }
}

#[allow(clippy::todo)]
impl Journal for SqliteJournal {
    async fn create_player(&self, _player: NewPlayer) -> Result<Profile, StoreError> {
        todo!()
    }
    async fn get_profile(&self, _player_id: &PlayerId) -> Result<Option<Profile>, StoreError> {
        todo!()
    }
    async fn create_game(&self, _game: NewGame) -> Result<CreateOutcome, StoreError> {
        todo!()
    }
    async fn append(&self, _append: Append) -> Result<AppendOutcome, StoreError> {
        todo!()
    }
    async fn acquire(&self, _game_id: &GameId, _owner: Owner) -> Result<Option<Acquired>, StoreError> {
        todo!()
    }
    async fn owner_of(&self, _game_id: &GameId) -> Result<Option<Ownership>, StoreError> {
        todo!()
    }
    async fn active_game_of(&self, _player_id: &PlayerId) -> Result<Option<GameId>, StoreError> {
        todo!()
    }
    async fn running_games_of(&self, _owner: &Owner) -> Result<Vec<GameId>, StoreError> {
        todo!()
    }
}
