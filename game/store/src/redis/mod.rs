//! The journal in Redis: several processes on several machines.
//!
//! The commit rule is the same as everywhere (`crate::rule`): a function in Redis compares and writes, in one
//! step, and says what it found; the rule then says what that means (`writer`). What a game does to its
//! players when it ends lies in another slot and follows through a stream (`ends`). Where things lie: `keys`.

mod check;
mod dead_letters;
mod ends;
mod entry;
mod fault;
mod games;
mod keys;
mod link;
mod players;
mod restore;
mod writer;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

pub use check::check_redis;
pub use dead_letters::{DeadLetter, DeadLetters};
use fault::Fault;
pub use fault::RedisTrouble;
use link::Link;
pub use link::RedisUrl;
pub use restore::{RedisRestore, Restored};
use starvault_rules::{Event, GameId, PlayerId};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};
use writer::Waiting;

use crate::{
    Acquired, Append, AppendOutcome, CreateOutcome, EquipOutcome, Journal, NewGame, NewPlayer, OutboxRow,
    Owner, Ownership, Profile, StoreError,
};

/// The schema that this program knows.
const SCHEMA: &str = "1";

/// Limits of a [`RedisJournal`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RedisOptions {
    /// How many results may wait; more wait outside.
    pub queue_max: usize,
    /// How many results share a call at most.
    pub batch_max: usize,
    /// How many calls with results are under way at a time.
    pub calls_max: usize,
    /// After so long without an answer, what was asked is open (milliseconds).
    pub timeout_ms: u64,
    /// How often ended games that nobody has brought to their players are looked for (milliseconds).
    pub sweep_every_ms: u64,
    /// When another process that took one of them counts as dead (milliseconds).
    pub claim_idle_ms: u64,
    /// After so many failures one of them is a dead letter.
    pub deliveries_max: u64,
    /// Dead letters of one shard.
    pub dead_letters_max: u64,
    /// How long a game is kept after its end (milliseconds).
    pub ended_kept_ms: u64,
}

impl Default for RedisOptions {
    fn default() -> Self {
        RedisOptions {
            queue_max: 4096,
            batch_max: 256,
            calls_max: 4,
            timeout_ms: 5_000,
            sweep_every_ms: 1_000,
            claim_idle_ms: 5_000,
            deliveries_max: 5,
            dead_letters_max: 10_000,
            ended_kept_ms: 7 * 24 * 3600 * 1000,
        }
    }
}

/// A handle on a journal in Redis.
#[derive(Clone, Debug)]
pub struct RedisJournal {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    link: Link,
    options: RedisOptions,
    /// None once it is closed.
    writer: Mutex<Option<mpsc::Sender<Waiting>>>,
    writing: tokio::sync::Mutex<Option<JoinHandle<()>>>,
    sweeping: JoinHandle<()>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.sweeping.abort();
    }
}

impl RedisJournal {
    /// Opens the journal, made if that Redis is empty. `instance` tells processes apart.
    ///
    /// # Errors
    /// It cannot be reached, or what lies there is not ours.
    pub async fn open(
        url: &RedisUrl,
        instance: &str,
        options: RedisOptions,
    ) -> Result<RedisJournal, StoreError> {
        let link = Link::open(url, Duration::from_millis(options.timeout_ms)).await?;
        let prepare = async {
            link.prepare().await?;
            agree(&link).await?;
            ends::prepare(&link).await
        };
        if let Err(fault) = prepare.await {
            return Err(link.at(fault, "open the journal"));
        }
        let (writer, mailbox) = mpsc::channel(options.queue_max.max(1));
        let writing = tokio::spawn(writer::run(link.clone(), options, mailbox));
        let sweeping = tokio::spawn(ends::sweep(link.clone(), instance.to_owned(), options));
        Ok(RedisJournal {
            inner: Arc::new(Inner {
                link,
                options,
                writer: Mutex::new(Some(writer)),
                writing: tokio::sync::Mutex::new(Some(writing)),
                sweeping,
            }),
        })
    }

    /// Finishes what waits. What is asked afterwards is refused.
    pub async fn close(&self) {
        drop(self.lock().take());
        if let Some(writing) = self.inner.writing.lock().await.take() {
            let _ = writing.await;
        }
        self.inner.sweeping.abort();
    }

    /// The snapshots of profiles, for copies elsewhere.
    #[must_use]
    pub fn outbox(&self) -> RedisOutbox {
        RedisOutbox {
            link: self.inner.link.clone(),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<mpsc::Sender<Waiting>>> {
        self.inner.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn closed(&self, operation: &'static str) -> StoreError {
        let trouble = RedisTrouble::Unreachable("this process has closed it".to_owned());
        self.inner.link.at(trouble, operation)
    }

    async fn named<T>(
        &self,
        operation: &'static str,
        work: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, StoreError> {
        work.await.map_err(|fault| self.inner.link.at(fault, operation))
    }
}

/// Whether what lies there is a journal of this schema; an empty Redis becomes one.
async fn agree(link: &Link) -> Result<(), Fault> {
    let shards = keys::SHARDS.to_string();
    for (field, own) in [("schema", SCHEMA), ("shards", shards.as_str())] {
        let mut cmd = redis::cmd("HSETNX");
        link.ask::<i64>(cmd.arg(keys::META).arg(field).arg(own)).await?;
        let found: String = link.ask(redis::cmd("HGET").arg(keys::META).arg(field)).await?;
        if found != own {
            let what = format!("its {field} is {found}, this program knows {own}");
            return Err(RedisTrouble::Foreign(what).into());
        }
    }
    let made_ms = link.now_ms().await?;
    let mut cmd = redis::cmd("HSETNX");
    link.ask::<i64>(cmd.arg(keys::META).arg("made_ms").arg(made_ms))
        .await?;
    Ok(())
}

impl Journal for RedisJournal {
    async fn create_player(&self, player: NewPlayer) -> Result<Profile, StoreError> {
        self.named("create a player", players::create(&self.inner.link, player))
            .await
    }

    async fn get_profile(&self, player_id: &PlayerId) -> Result<Option<Profile>, StoreError> {
        let work = games::profile(&self.inner.link, player_id, self.inner.options);
        self.named("read a profile", work).await
    }

    async fn equip(
        &self,
        player_id: &PlayerId,
        item_id: &str,
        equip: bool,
        at_ms: i64,
    ) -> Result<EquipOutcome, StoreError> {
        let work = players::equip(&self.inner.link, player_id, item_id, equip, at_ms);
        self.named("change a player's equipment", work).await
    }

    async fn create_game(&self, game: NewGame) -> Result<CreateOutcome, StoreError> {
        let work = games::create(&self.inner.link, game, self.inner.options);
        self.named("create a game", work).await
    }

    async fn append(&self, append: Append) -> Result<AppendOutcome, StoreError> {
        let operation = "append to a game";
        let writer = self.lock().clone().ok_or_else(|| self.closed(operation))?;
        let (reply, answer) = oneshot::channel();
        writer
            .send(Waiting { append, reply })
            .await
            .map_err(|_| self.closed(operation))?;
        // Or a close would wait for whoever waits here.
        drop(writer);
        answer.await.map_err(|_| self.closed(operation))?
    }

    async fn acquire(&self, game_id: &GameId, owner: Owner) -> Result<Option<Acquired>, StoreError> {
        self.named(
            "acquire a game",
            games::acquire(&self.inner.link, game_id, &owner),
        )
        .await
    }

    async fn events_after(&self, game_id: &GameId, sequence: u32) -> Result<Vec<Event>, StoreError> {
        self.named(
            "read events",
            games::events_after(&self.inner.link, game_id, sequence),
        )
        .await
    }

    async fn owner_of(&self, game_id: &GameId) -> Result<Option<Ownership>, StoreError> {
        self.named("read an owner", games::owner_of(&self.inner.link, game_id))
            .await
    }

    async fn active_game_of(&self, player_id: &PlayerId) -> Result<Option<GameId>, StoreError> {
        let work = games::profile(&self.inner.link, player_id, self.inner.options);
        let profile = self.named("read a player's game", work).await?;
        Ok(profile.and_then(|profile| profile.active_game_id))
    }

    async fn running_games_of(&self, owner: &Owner) -> Result<Vec<GameId>, StoreError> {
        self.named("list running games", games::running_of(&self.inner.link, owner))
            .await
    }
}

/// Reads the outbox of a journal in Redis.
#[derive(Clone, Debug)]
pub struct RedisOutbox {
    link: Link,
}

impl RedisOutbox {
    /// Of a journal that need not be open in this process.
    ///
    /// # Errors
    /// It cannot be reached.
    pub async fn open(url: &RedisUrl) -> Result<RedisOutbox, StoreError> {
        let link = Link::open(url, Duration::from_millis(RedisOptions::default().timeout_ms)).await?;
        Ok(RedisOutbox { link })
    }

    /// The snapshots after `position` in their order, at most `limit`.
    pub async fn after(&self, position: i64, limit: usize) -> Result<Vec<OutboxRow>, StoreError> {
        let rows = players::outbox_after(&self.link, position, limit).await;
        rows.map_err(|fault| self.link.at(fault, "read the outbox"))
    }

    /// The newest position; 0 of an empty outbox.
    pub async fn newest_position(&self) -> Result<i64, StoreError> {
        let newest = players::newest_position(&self.link).await;
        newest.map_err(|fault| self.link.at(fault, "read the outbox"))
    }

    /// The newest snapshot of one player.
    pub async fn of_player(&self, player_id: &str) -> Result<Option<OutboxRow>, StoreError> {
        let row = players::outbox_of(&self.link, player_id).await;
        row.map_err(|fault| self.link.at(fault, "read the outbox"))
    }
}
