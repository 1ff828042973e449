//! When each version of a profile was committed, and when it was first in a store.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use starvault_snapshots::Source;
use starvault_store::{OutboxRow, StoreError};

use crate::report::sorted;

/// What is known of one store.
#[derive(Debug, Default)]
pub struct Sightings(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// The store has everything up to there.
    position: i64,
    /// Read for the store and not in it yet: position, player, version.
    read: Vec<(i64, String, i64)>,
    players: HashMap<String, Player>,
    lags_ms: Vec<f64>,
    waiting: usize,
}

#[derive(Debug, Default)]
struct Player {
    /// Committed and not in the store yet, the oldest version first.
    waiting: Vec<(i64, Instant)>,
    /// The newest version in the store.
    present: i64,
}

impl Sightings {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The journal has answered that this version is durable.
    pub fn committed(&self, player_id: &str, version: i64, at: Instant) {
        let mut known = self.known();
        let player = known.players.entry(player_id.to_owned()).or_default();
        if player.present >= version {
            // The copier was faster than the answer.
            known.lags_ms.push(0.0);
        } else {
            player.waiting.push((version, at));
            known.waiting += 1;
        }
    }

    /// The store says that it has everything up to `position`.
    pub fn reached(&self, position: i64, now: Instant) {
        let known = &mut *self.known();
        if position <= known.position {
            return;
        }
        known.position = position;
        for (_, player_id, version) in known.read.extract_if(.., |row| row.0 <= position) {
            let player = known.players.entry(player_id).or_default();
            player.present = player.present.max(version);
            let present = player.present;
            for (_, at) in player.waiting.extract_if(.., |(version, _)| *version <= present) {
                known
                    .lags_ms
                    .push(now.saturating_duration_since(at).as_secs_f64() * 1000.0);
                known.waiting -= 1;
            }
        }
    }

    pub fn position(&self) -> i64 {
        self.known().position
    }

    /// Changes that are not in the store.
    pub fn waiting(&self) -> usize {
        self.known().waiting
    }

    /// Of all changes, sorted; of those that are not there yet, the lag so far.
    pub fn lags_ms(&self, now: Instant) -> Vec<f64> {
        let known = self.known();
        let so_far = known
            .players
            .values()
            .flat_map(|player| &player.waiting)
            .map(|(_, at)| now.saturating_duration_since(*at).as_secs_f64() * 1000.0);
        sorted(known.lags_ms.iter().copied().chain(so_far).collect())
    }
}

/// A source that notes what is read from it.
#[derive(Clone, Debug)]
pub struct Noted<S> {
    source: S,
    sightings: Arc<Sightings>,
}

impl<S> Noted<S> {
    pub fn new(source: S) -> Self {
        Self {
            source,
            sightings: Arc::default(),
        }
    }

    pub fn sightings(&self) -> Arc<Sightings> {
        self.sightings.clone()
    }
}

impl<S: Source> Source for Noted<S> {
    async fn after(&self, position: i64, limit: usize) -> Result<Vec<OutboxRow>, StoreError> {
        let rows = self.source.after(position, limit).await?;
        let mut known = self.sightings.known();
        // What was read before and is after it is read again.
        known.read.retain(|row| row.0 <= position);
        let noted = rows
            .iter()
            .map(|row| (row.position, row.player_id.clone(), row.version));
        known.read.extend(noted);
        drop(known);
        Ok(rows)
    }

    async fn newest_position(&self) -> Result<i64, StoreError> {
        self.source.newest_position().await
    }

    async fn of_player(&self, player_id: &str) -> Result<Option<OutboxRow>, StoreError> {
        self.source.of_player(player_id).await
    }
}
