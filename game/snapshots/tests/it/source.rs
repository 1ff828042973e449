//! An outbox in memory that a test writes as it likes, and the real one of a journal.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use sha2::{Digest as _, Sha256};
use starvault_rules::PlayerId;
use starvault_snapshots::{Copier, CopyOptions, SinkFigures, Source, Store, pace::Backoff};
use starvault_store::{Journal as _, NewPlayer, OutboxRow, SqliteJournal, StoreError};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

pub const START_MS: i64 = 1_800_000_000_000;

#[derive(Clone, Default)]
pub struct Written(Arc<Mutex<Rows>>);

#[derive(Default)]
struct Rows {
    newest: i64,
    by_player: BTreeMap<String, OutboxRow>,
}

pub fn entry(position: i64, player_id: &str, version: i64, body: &str) -> OutboxRow {
    OutboxRow {
        position,
        player_id: player_id.into(),
        version,
        body: body.into(),
        sha256: Sha256::digest(body).to_vec(),
        at_ms: START_MS + position,
    }
}

impl Written {
    /// The next version of a player; an empty body deletes.
    pub fn write(&self, player_id: &str, body: &str) -> i64 {
        let mut rows = self.0.lock().unwrap();
        rows.newest += 1;
        let version = rows.by_player.get(player_id).map_or(1, |row| row.version + 1);
        let position = rows.newest;
        rows.by_player
            .insert(player_id.into(), entry(position, player_id, version, body));
        position
    }

    pub fn newest(&self) -> i64 {
        self.0.lock().unwrap().newest
    }
}

impl Source for Written {
    async fn after(&self, position: i64, limit: usize) -> Result<Vec<OutboxRow>, StoreError> {
        let rows = self.0.lock().unwrap();
        let mut after: Vec<_> = rows
            .by_player
            .values()
            .filter(|row| row.position > position)
            .cloned()
            .collect();
        after.sort_by_key(|row| row.position);
        after.truncate(limit);
        Ok(after)
    }

    async fn newest_position(&self) -> Result<i64, StoreError> {
        Ok(self.newest())
    }

    async fn of_player(&self, player_id: &str) -> Result<Option<OutboxRow>, StoreError> {
        Ok(self.0.lock().unwrap().by_player.get(player_id).cloned())
    }
}

pub fn options() -> CopyOptions {
    CopyOptions {
        poll_every: Duration::from_millis(2),
        batch_rows: 50,
        backoff: Backoff {
            first: Duration::from_millis(10),
            longest: Duration::from_millis(100),
        },
        ..CopyOptions::default()
    }
}

/// A copier that runs until it is dropped.
pub struct Copying {
    pub figures: Arc<SinkFigures>,
    stop: CancellationToken,
    task: AbortOnDropHandle<()>,
}

impl Copying {
    pub fn start(source: impl Source, store: &Store) -> Copying {
        Copying::start_with(source, store, options())
    }

    pub fn start_with(source: impl Source, store: &Store, options: CopyOptions) -> Copying {
        let copier = Copier::new("test", source, store.clone(), options);
        let (figures, stop) = (copier.figures(), CancellationToken::new());
        let task = tokio::spawn(copier.run(|| 0, stop.clone()));
        Copying {
            figures,
            stop,
            task: AbortOnDropHandle::new(task),
        }
    }

    pub async fn until(&self, what: impl Fn(&SinkFigures) -> bool) {
        until(|| what(&self.figures)).await;
    }

    /// Until the store has everything up to `position`.
    pub async fn reaches(&self, position: i64) {
        self.until(|figures| figures.position() >= position).await;
    }

    pub async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

/// Figures are not told, they are looked at. A test that waits for ever has failed.
pub async fn until(what: impl Fn() -> bool) {
    let wait = async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait)
        .await
        .expect("it comes within a minute");
}

/// Copies everything that `source` has into both stores.
pub async fn fill(source: &impl Source, stores: [&Store; 2]) {
    let newest = source.newest_position().await.unwrap();
    for store in stores {
        let copying = Copying::start(source.clone(), store);
        copying.reaches(newest).await;
        copying.stop().await;
    }
}

pub async fn add_player(journal: &SqliteJournal, id: &str) {
    let player = NewPlayer {
        player_id: PlayerId::new(id).unwrap(),
        display_name: format!("星 {id}"),
        rating: 1500,
        created_at_ms: START_MS,
    };
    journal.create_player(player).await.unwrap();
}
