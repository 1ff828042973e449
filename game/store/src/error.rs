//! What can go wrong with the store, where, and what to do about it.

use std::{path::PathBuf, sync::Arc};

use starvault_rules::{GameId, PlayerId};

use crate::redis::RedisTrouble;

/// Cloneable, because one failed commit fails everything that waited for it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot open the journal {}: {source}; check that its folder exists and that this user may write there", path.display())]
    Open {
        path: PathBuf,
        source: Arc<rusqlite::Error>,
    },
    #[error("{} is not a database; give the path of a journal, or of a file that does not exist yet", path.display())]
    NotADatabase { path: PathBuf },
    #[error("{} is a database of another program; give the journal a file of its own", path.display())]
    ForeignDatabase { path: PathBuf },
    #[error("the journal {} has schema version {found}, this program knows up to {supported}; run the newer release", path.display())]
    NewerSchema {
        path: PathBuf,
        found: i64,
        supported: i64,
    },
    #[error("the journal {} has schema version {found}, this program reads version {needed}; `starvault serve` brings it up to date when it opens it", path.display())]
    OlderSchema { path: PathBuf, found: i64, needed: i64 },
    #[error("there is no journal at {}; give the path of an existing one", path.display())]
    Missing { path: PathBuf },
    #[error("the journal {} cannot be written; check the permissions of the file and of its folder (SQLite keeps two more files beside it)", path.display())]
    NotWritable { path: PathBuf },
    #[error("the disk that holds the journal {} is full; free some space, nothing acknowledged was lost", path.display())]
    DiskFull { path: PathBuf },
    #[error("the journal {} was locked by another process for {waited_ms} ms; find who holds it (`fuser {}`)", path.display(), path.display())]
    Busy { path: PathBuf, waited_ms: u64 },
    #[error("the journal {} is damaged: {what}; stop every server, keep a copy, and run `starvault journal check`", path.display())]
    Corrupt { path: PathBuf, what: String },
    #[error("the journal {} failed to {operation}: {source}; look at the disk and at the system's log", path.display())]
    Sqlite {
        path: PathBuf,
        operation: &'static str,
        source: Arc<rusqlite::Error>,
    },
    #[error("the journal {} has been closed", path.display())]
    Closed { path: PathBuf },
    #[error("the Redis at {server} failed to {operation}: {trouble}")]
    Redis {
        /// Without user and password.
        server: String,
        operation: &'static str,
        trouble: RedisTrouble,
    },
    #[error(
        "not the address of a journal: {what}; give the path of a file, sqlite:PATH, redis://HOST:PORT or redis-cluster://HOST:PORT"
    )]
    Address { what: String },
    #[error("there is no game {game_id}")]
    UnknownGame { game_id: GameId },
    #[error("there is no player {player_id}; create the player before the game")]
    UnknownPlayer { player_id: PlayerId },
    #[error("the game {game_id} exists already; use a fresh id")]
    GameExists { game_id: GameId },
    #[error("the player {player_id} exists already; use a fresh id")]
    PlayerExists { player_id: PlayerId },
    #[error("the journal refuses what it was given: {what}; this is a mistake of the program that called it")]
    Invalid { what: String },
    #[error("cannot read the acknowledged commands in {}, line {line}: {what}", path.display())]
    Acknowledged { path: PathBuf, line: u64, what: String },
}
