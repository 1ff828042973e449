//! The journal: every game's events and the players' profiles, durable before anything is
//! acknowledged.
//!
//! [`Journal`] is the seam that the server is written against; [`SqliteJournal`] keeps it in one
//! file that several processes of one machine share, [`RedisJournal`] in a Redis that many machines do. What a command causes is decided elsewhere
//! (`starvault-rules`); here it is made durable at most once, in order, by the game's owner alone.
//! This crate never reads a clock: times are arguments, in milliseconds since 1970-01-01 UTC.

mod any;
mod check;
mod error;
mod journal;
mod redis;
pub mod rule;
mod snapshot;
mod sqlite;

pub use any::{Store, StoreAddress, StoreOutbox, check_store};
pub use check::{CheckReport, Finding, FindingKind, check};
pub use error::StoreError;
pub use journal::{
    Acquired, Answer, Append, AppendOutcome, CommandKey, CreateOutcome, Created, Decision, Epoch,
    EquipOutcome, Journal, NewGame, NewPlayer, Owner, Ownership, Profile, payload_hash,
};
pub use redis::{
    DeadLetter, DeadLetters, RedisJournal, RedisOptions, RedisOutbox, RedisRestore, RedisTrouble, RedisUrl,
    Restored, check_redis,
};
pub use sqlite::{Outbox, OutboxRow, SqliteJournal, SqliteOptions, WriterStats};
