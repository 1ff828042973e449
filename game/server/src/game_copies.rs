//! Copies of running games in both snapshot stores, for the day on which a journal in Redis is lost. Play never waits
//! for them: a room notes that its game has gone on, and a task for each store reads such games out of the
//! journal, whole, and writes them there. What a store could not take yet is a set of games and no queue of
//! events, so that a store may be down for long.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use sha2::{Digest as _, Sha256};
use starvault_rules::{EventKind, GameId};
use starvault_snapshots::{Store, row::Row};
use starvault_store::{Journal as _, Store as Journal};
use tokio::{sync::Notify, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{snapshots::SnapshotStores, time::TimeSource};

/// A game that goes on all the time is copied this often.
const EVERY: Duration = Duration::from_millis(250);
/// Games in one transaction.
const BATCH_MAX: usize = 128;
/// Games that wait for a store; of more, the copy stays as old as it is until they go on.
const WAITING_MAX: usize = 200_000;
const RETRY: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(5)];
/// At the end, for the last moves.
const LAST: Duration = Duration::from_secs(2);
/// A game that is over is known as such for so long: longer than any process that could still write of it.
const OVER_KEPT: Duration = Duration::from_secs(24 * 3600);
const FORGET_EVERY: Duration = Duration::from_secs(3600);

/// Games whose newest events are not in a store, each with the time since when.
#[derive(Debug, Default)]
struct Backlog {
    waiting: HashMap<GameId, i64>,
    /// Being written just now. They count as waiting until they are in the store, and wait again where the
    /// attempt fails or is cut off.
    under_way: Vec<(GameId, i64)>,
}

impl Backlog {
    fn put_back(&mut self) {
        for (game_id, since_ms) in self.under_way.drain(..) {
            // Whoever went on in the meantime waits since the first time.
            self.waiting.insert(game_id, since_ms);
        }
    }
}

/// One store's part, and its figures.
#[derive(Debug)]
pub struct Sink {
    pub name: &'static str,
    backlog: Mutex<Backlog>,
    changed: Notify,
    pub copied: AtomicU64,
    pub failures: AtomicU64,
    /// Games that were not noted, since too many wait.
    pub left_out: AtomicU64,
}

impl Sink {
    fn new(name: &'static str) -> Sink {
        Sink {
            name,
            backlog: Mutex::default(),
            changed: Notify::new(),
            copied: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            left_out: AtomicU64::new(0),
        }
    }

    fn locked(&self) -> MutexGuard<'_, Backlog> {
        self.backlog.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, game_id: &GameId, now_ms: i64) {
        let mut backlog = self.locked();
        let waiting = &mut backlog.waiting;
        if waiting.len() >= WAITING_MAX && !waiting.contains_key(game_id) {
            self.left_out.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let was_empty = waiting.is_empty();
        waiting.entry(game_id.clone()).or_insert(now_ms);
        drop(backlog);
        if was_empty {
            self.changed.notify_one();
        }
    }

    /// The games that wait longest, which are under way from now on.
    fn take(&self) -> Vec<GameId> {
        let mut backlog = self.locked();
        backlog.put_back();
        let mut games: Vec<_> = backlog
            .waiting
            .iter()
            .map(|(id, since)| (id.clone(), *since))
            .collect();
        games.sort_by_key(|(_, since)| *since);
        games.truncate(BATCH_MAX);
        for (game_id, _) in &games {
            backlog.waiting.remove(game_id);
        }
        let taken = games.iter().map(|(game_id, _)| game_id.clone()).collect();
        backlog.under_way = games;
        taken
    }

    /// What was taken is in the store.
    fn taken_is_stored(&self) {
        self.locked().under_way.clear();
    }

    fn taken_is_not_stored(&self) {
        self.locked().put_back();
    }

    /// How many games are not in the store as they are, and since when the first of them.
    #[must_use]
    pub fn backlog(&self) -> (usize, Option<i64>) {
        let backlog = self.locked();
        let Backlog { waiting, under_way } = &*backlog;
        let only_under_way = under_way
            .iter()
            .filter(|(game_id, _)| !waiting.contains_key(game_id));
        let since = waiting.values().chain(under_way.iter().map(|(_, since)| since));
        (waiting.len() + only_under_way.count(), since.min().copied())
    }
}

/// Notes which games have gone on. Cheap to clone.
#[derive(Debug, Clone)]
pub struct GameCopies {
    sinks: Arc<[Arc<Sink>; 2]>,
    time: TimeSource,
}

impl GameCopies {
    /// The handle, and a task for each store in `tasks`.
    pub fn start(
        stores: &SnapshotStores,
        journal: &Journal,
        time: &TimeSource,
        tasks: &mut JoinSet<()>,
        stop: &CancellationToken,
    ) -> GameCopies {
        let start = |(name, url)| {
            let sink = Arc::new(Sink::new(name));
            let copying = Copying {
                sink: sink.clone(),
                journal: journal.clone(),
                store: Store::new(url),
                time: time.clone(),
            };
            tasks.spawn(copying.run(stop.clone()));
            sink
        };
        let named = [("primary", &stores.primary), ("secondary", &stores.secondary)];
        GameCopies {
            sinks: Arc::new(named.map(start)),
            time: time.clone(),
        }
    }

    pub fn note(&self, game_id: &GameId) {
        let now_ms = self.time.now_ms();
        for sink in self.sinks.iter() {
            sink.note(game_id, now_ms);
        }
    }

    #[must_use]
    pub fn sinks(&self) -> &[Arc<Sink>; 2] {
        &self.sinks
    }
}

struct Copying {
    sink: Arc<Sink>,
    journal: Journal,
    store: Store,
    time: TimeSource,
}

impl Copying {
    async fn run(self, stop: CancellationToken) {
        let going_on = async {
            let (mut failures, mut forget_at) = (0_u32, tokio::time::Instant::now());
            loop {
                if self.sink.backlog().0 == 0 {
                    self.sink.changed.notified().await;
                }
                let mut step = self.step().await;
                if step.is_ok() && tokio::time::Instant::now() >= forget_at {
                    let kept_ms = i64::try_from(OVER_KEPT.as_millis()).unwrap_or(i64::MAX);
                    let before_us = self.time.now_ms().saturating_sub(kept_ms).saturating_mul(1000);
                    step = self
                        .store
                        .forget_games(before_us)
                        .await
                        .map_err(|error| error.to_string());
                    forget_at += FORGET_EVERY;
                }
                let pause = match step {
                    Ok(()) => {
                        failures = 0;
                        EVERY
                    }
                    Err(error) => {
                        if failures == 0 {
                            tracing::warn!(store = self.sink.name, %error, "games are not copied; play goes on");
                        }
                        failures += 1;
                        self.sink.failures.fetch_add(1, Ordering::Relaxed);
                        (RETRY[0] * 2_u32.saturating_pow(failures)).min(RETRY[1])
                    }
                };
                // A batch that was full leaves more to do.
                if failures > 0 || self.sink.backlog().0 < BATCH_MAX {
                    tokio::time::sleep(pause).await;
                }
            }
        };
        tokio::select! {
            () = going_on => {}
            () = stop.cancelled() => {}
        }
        let last = async { while self.sink.backlog().0 > 0 && self.step().await.is_ok() {} };
        let _ = tokio::time::timeout(LAST, last).await;
        self.store.close().await;
    }

    /// Copies the games that wait longest.
    async fn step(&self) -> Result<(), String> {
        let games = self.sink.take();
        match self.copy(&games).await {
            Ok(count) => {
                self.sink.copied.fetch_add(count, Ordering::Relaxed);
                self.sink.taken_is_stored();
                Ok(())
            }
            Err(error) => {
                self.sink.taken_is_not_stored();
                Err(error)
            }
        }
    }

    async fn copy(&self, games: &[GameId]) -> Result<u64, String> {
        let mut reading = JoinSet::new();
        for game_id in games {
            let (journal, game_id) = (self.journal.clone(), game_id.clone());
            reading.spawn(async move {
                let events = journal.events_after(&game_id, 0).await;
                (game_id, events)
            });
        }
        let mut rows = Vec::with_capacity(games.len());
        while let Some(read) = reading.join_next().await {
            let (game_id, events) = read.map_err(|error| error.to_string())?;
            let events = events.map_err(|error| error.to_string())?;
            let Some(last) = events.last() else { continue };
            let over = matches!(last.kind, EventKind::Ended { .. });
            // Of a game that is over it is enough to know that: its result is in the profiles.
            let body = if over {
                Vec::new()
            } else {
                serde_json::to_vec(&events).map_err(|error| error.to_string())?
            };
            rows.push(Row {
                player_id: game_id.as_str().into(),
                version: last.sequence.into(),
                deleted: over.into(),
                sha256: Sha256::digest(&body).to_vec(),
                body,
                written_at_us: last.at_ms.saturating_mul(1000),
            });
        }
        self.store
            .put_games(&rows)
            .await
            .map_err(|error| error.to_string())?;
        Ok(rows.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn game(name: &str) -> GameId {
        GameId::new(name).unwrap()
    }

    #[test]
    fn a_game_waits_until_it_is_in_the_store() {
        let sink = Sink::new("primary");
        sink.note(&game("g-1"), 10);
        sink.note(&game("g-2"), 20);
        assert_eq!(sink.take(), [game("g-1"), game("g-2")]);
        assert_eq!(sink.backlog(), (2, Some(10)));
        // It goes on while it is written: it is still one game, and what came is written by the next attempt.
        sink.note(&game("g-1"), 30);
        assert_eq!(sink.backlog(), (2, Some(10)));
        sink.taken_is_stored();
        assert_eq!(sink.backlog(), (1, Some(30)));
        assert_eq!(sink.take(), [game("g-1")]);
        sink.taken_is_stored();
        assert_eq!(sink.backlog(), (0, None));
    }

    #[test]
    fn an_attempt_that_fails_or_is_cut_off_loses_no_game() {
        let sink = Sink::new("primary");
        sink.note(&game("g-1"), 10);
        sink.note(&game("g-2"), 20);
        assert_eq!(sink.take().len(), 2);
        sink.taken_is_not_stored();
        assert_eq!(sink.backlog(), (2, Some(10)));
        assert_eq!(sink.take().len(), 2);
        sink.note(&game("g-1"), 30);
        // Cut off: nobody said how it ended.
        assert_eq!(sink.take(), [game("g-1"), game("g-2")]);
        assert_eq!(sink.backlog(), (2, Some(10)));
    }
}
