//! A journal by its address, whatever keeps it.

use std::{fmt, path::PathBuf, str::FromStr};

use starvault_rules::{Event, GameId, PlayerId};
use tokio::time::Instant;
use tracing::{Instrument as _, instrument::Instrumented};

use crate::{
    Acquired, Append, AppendOutcome, CheckReport, CreateOutcome, EquipOutcome, Journal, NewGame, NewPlayer,
    Outbox, OutboxRow, Owner, Ownership, Profile, RedisJournal, RedisOptions, RedisOutbox, RedisUrl,
    SqliteJournal, SqliteOptions, StoreError, check, check_redis,
};

/// Where a journal is: `sqlite:PATH`, `redis://HOST:PORT` or `redis-cluster://HOST:PORT,HOST:PORT`. Shown without
/// user and password.
#[derive(Clone, Debug)]
pub enum StoreAddress {
    Sqlite(PathBuf),
    Redis(RedisUrl),
}

impl FromStr for StoreAddress {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<StoreAddress, StoreError> {
        match text.split_once(':') {
            Some(("sqlite", path)) if !path.is_empty() => Ok(StoreAddress::Sqlite(path.into())),
            Some(("redis" | "rediss" | "redis-cluster" | "rediss-cluster", _)) => {
                text.parse().map(StoreAddress::Redis)
            }
            _ => Err(StoreError::Address {
                what: "it begins with neither sqlite: nor redis://".to_owned(),
            }),
        }
    }
}

impl From<PathBuf> for StoreAddress {
    fn from(path: PathBuf) -> StoreAddress {
        StoreAddress::Sqlite(path)
    }
}

impl fmt::Display for StoreAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreAddress::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            StoreAddress::Redis(url) => write!(f, "redis at {url}"),
        }
    }
}

/// One of the journals. Cheap to clone and to share.
#[derive(Clone, Debug)]
pub enum Store {
    Sqlite(SqliteJournal),
    Redis(RedisJournal),
}

/// Hands an operation to whichever it is.
macro_rules! to_each {
    ($store:expr, $journal:ident => $work:expr) => {
        match $store {
            Store::Sqlite($journal) => $work,
            Store::Redis($journal) => $work,
        }
    };
}

impl Store {
    /// Opens the journal, made if there is none. `instance` tells the processes that share it apart.
    ///
    /// # Errors
    /// It cannot be reached, or what lies there is not ours.
    pub async fn open(address: &StoreAddress, instance: &str) -> Result<Store, StoreError> {
        match address {
            StoreAddress::Sqlite(path) => {
                let path = path.clone();
                // It may migrate, and wait for others.
                let opening =
                    tokio::task::spawn_blocking(move || SqliteJournal::open(&path, SqliteOptions::default()));
                let opened = opening.await.map_err(|_| StoreError::Address {
                    what: "the opening was interrupted".to_owned(),
                })?;
                opened.map(Store::Sqlite)
            }
            StoreAddress::Redis(url) => {
                let opened = RedisJournal::open(url, instance, RedisOptions::default()).await;
                opened.map(Store::Redis)
            }
        }
    }

    /// Finishes what waits. What is asked afterwards is refused.
    pub async fn close(&self) {
        to_each!(self, journal => journal.close().await);
    }

    /// The profile as of a moment ago, the cheapest way.
    ///
    /// # Errors
    /// The store fails.
    pub async fn get_recent_profile(&self, player_id: &PlayerId) -> Result<Option<Profile>, StoreError> {
        let work = async {
            match self {
                Store::Sqlite(journal) => journal.get_recent_profile(player_id).await,
                Store::Redis(journal) => journal.get_profile(player_id).await,
            }
        };
        self.recorded("get_recent_profile", work).await
    }

    /// Runs an operation within a span of its own, which begins with what is left of its request's time.
    fn recorded<W: Future>(&self, operation: &'static str, work: W) -> Instrumented<W> {
        let system = match self {
            Store::Sqlite(_) => "sqlite",
            Store::Redis(_) => "redis",
        };
        let span = tracing::debug_span!(
            target: "trace",
            "store",
            otel.kind = "client",
            otel.name = operation,
            db.operation.name = operation,
            db.system.name = system,
        );
        if let Some(deadline) = tminus_deadline::current() {
            span.in_scope(|| tminus_deadline::note_hop("store", deadline, Instant::now()));
        }
        work.instrument(span)
    }

    /// The snapshots of profiles, for copies elsewhere.
    #[must_use]
    pub fn outbox(&self) -> StoreOutbox {
        match self {
            Store::Sqlite(journal) => StoreOutbox::Sqlite(journal.outbox()),
            Store::Redis(journal) => StoreOutbox::Redis(journal.outbox()),
        }
    }
}

impl Journal for Store {
    async fn create_player(&self, player: NewPlayer) -> Result<Profile, StoreError> {
        to_each!(self, journal => self.recorded("create_player", journal.create_player(player)).await)
    }

    async fn get_profile(&self, player_id: &PlayerId) -> Result<Option<Profile>, StoreError> {
        to_each!(self, journal => self.recorded("get_profile", journal.get_profile(player_id)).await)
    }

    async fn equip(
        &self,
        player_id: &PlayerId,
        item_id: &str,
        equip: bool,
        at_ms: i64,
    ) -> Result<EquipOutcome, StoreError> {
        to_each!(self, journal => self.recorded("equip", journal.equip(player_id, item_id, equip, at_ms)).await)
    }

    async fn create_game(&self, game: NewGame) -> Result<CreateOutcome, StoreError> {
        to_each!(self, journal => self.recorded("create_game", journal.create_game(game)).await)
    }

    async fn append(&self, append: Append) -> Result<AppendOutcome, StoreError> {
        to_each!(self, journal => self.recorded("append", journal.append(append)).await)
    }

    async fn acquire(&self, game_id: &GameId, owner: Owner) -> Result<Option<Acquired>, StoreError> {
        to_each!(self, journal => self.recorded("acquire", journal.acquire(game_id, owner)).await)
    }

    async fn events_after(&self, game_id: &GameId, sequence: u32) -> Result<Vec<Event>, StoreError> {
        to_each!(self, journal => self.recorded("events_after", journal.events_after(game_id, sequence)).await)
    }

    async fn owner_of(&self, game_id: &GameId) -> Result<Option<Ownership>, StoreError> {
        to_each!(self, journal => self.recorded("owner_of", journal.owner_of(game_id)).await)
    }

    async fn active_game_of(&self, player_id: &PlayerId) -> Result<Option<GameId>, StoreError> {
        to_each!(self, journal => self.recorded("active_game_of", journal.active_game_of(player_id)).await)
    }

    async fn running_games_of(&self, owner: &Owner) -> Result<Vec<GameId>, StoreError> {
        to_each!(self, journal => self.recorded("running_games_of", journal.running_games_of(owner)).await)
    }
}

/// Proves a journal sound, or says what is not; see [`crate::check`].
///
/// # Errors
/// It cannot be read, or is no journal.
pub async fn check_store(
    address: &StoreAddress,
    acknowledged: Option<PathBuf>,
) -> Result<CheckReport, StoreError> {
    match address {
        StoreAddress::Sqlite(path) => {
            let path = path.clone();
            let checking = tokio::task::spawn_blocking(move || check(&path, acknowledged.as_deref()));
            checking.await.map_err(|_| StoreError::Address {
                what: "the check was interrupted".to_owned(),
            })?
        }
        StoreAddress::Redis(url) => check_redis(url, acknowledged.as_deref()).await,
    }
}

/// Reads the outbox of a journal.
#[derive(Clone, Debug)]
pub enum StoreOutbox {
    Sqlite(Outbox),
    Redis(RedisOutbox),
}

impl StoreOutbox {
    /// Of a journal that need not be open in this process.
    ///
    /// # Errors
    /// It cannot be reached.
    pub async fn open(address: &StoreAddress) -> Result<StoreOutbox, StoreError> {
        match address {
            StoreAddress::Sqlite(path) => Ok(StoreOutbox::Sqlite(Outbox::of(path))),
            StoreAddress::Redis(url) => RedisOutbox::open(url).await.map(StoreOutbox::Redis),
        }
    }

    /// The snapshots after `position` in their order, at most `limit`.
    ///
    /// # Errors
    /// The store fails.
    pub async fn after(&self, position: i64, limit: usize) -> Result<Vec<OutboxRow>, StoreError> {
        match self {
            StoreOutbox::Sqlite(outbox) => outbox.after(position, limit).await,
            StoreOutbox::Redis(outbox) => outbox.after(position, limit).await,
        }
    }

    /// The newest position; 0 of an empty outbox.
    ///
    /// # Errors
    /// The store fails.
    pub async fn newest_position(&self) -> Result<i64, StoreError> {
        match self {
            StoreOutbox::Sqlite(outbox) => outbox.newest_position().await,
            StoreOutbox::Redis(outbox) => outbox.newest_position().await,
        }
    }

    /// The newest snapshot of one player.
    ///
    /// # Errors
    /// The store fails.
    pub async fn of_player(&self, player_id: &str) -> Result<Option<OutboxRow>, StoreError> {
        match self {
            StoreOutbox::Sqlite(outbox) => outbox.of_player(player_id).await,
            StoreOutbox::Redis(outbox) => outbox.of_player(player_id).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_which_journal() {
        let shown = |text: &str| text.parse::<StoreAddress>().map(|address| address.to_string());
        assert_eq!(shown("sqlite:./a b.sqlite").unwrap(), "sqlite:./a b.sqlite");
        assert_eq!(shown("redis://u:geheim@h:1").unwrap(), "redis at h:1");
        for wrong in ["", "sqlite:", "a.sqlite", "mysql://h/d"] {
            assert!(shown(wrong).is_err(), "{wrong}");
        }
    }
}
