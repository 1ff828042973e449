//! One task per store: carries the journal's outbox into it, from the cursor that the store keeps.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use crate::{
    Applied, SinkFigures, SnapshotError, Source, Store,
    pace::{Backoff, batch},
};

/// How a copier works.
#[derive(Clone, Copy, Debug)]
pub struct CopyOptions {
    /// Between two looks at an outbox with nothing new.
    pub poll_every: Duration,
    /// Snapshots in one transaction at most.
    pub batch_rows: usize,
    /// Bytes of their bodies at most: well below what databases take in one packet.
    pub batch_bytes: usize,
    pub backoff: Backoff,
}

impl Default for CopyOptions {
    fn default() -> Self {
        CopyOptions {
            poll_every: Duration::from_millis(100),
            batch_rows: 512,
            batch_bytes: 2 * 1024 * 1024,
            backoff: Backoff {
                first: Duration::from_millis(200),
                longest: Duration::from_secs(10),
            },
        }
    }
}

/// Copies from one journal into one store until it is told to stop. It holds one batch at a time; what waits
/// waits in the journal, so a store that is down for days costs nothing but that.
#[derive(Debug)]
pub struct Copier<S> {
    name: &'static str,
    source: S,
    store: Store,
    options: CopyOptions,
    figures: Arc<SinkFigures>,
}

impl<S: Source> Copier<S> {
    /// `name`: how logs call this store.
    #[must_use]
    pub fn new(name: &'static str, source: S, store: Store, options: CopyOptions) -> Self {
        Copier {
            name,
            source,
            store,
            options,
            figures: Arc::default(),
        }
    }

    #[must_use]
    pub fn figures(&self) -> Arc<SinkFigures> {
        Arc::clone(&self.figures)
    }

    /// Runs until `shutdown`. A batch that is under way then is dropped: the database rolls it back, and it is
    /// copied by whoever comes next. `random`: spreads the waits after failures.
    pub async fn run(self, mut random: impl FnMut() -> u64 + Send, shutdown: CancellationToken) {
        let copying = async {
            let (mut position, mut failures) = (None, 0_u32);
            loop {
                let pause = match self.step(&mut position).await {
                    Ok(went_on) => {
                        if failures > 0 {
                            tracing::info!(store = self.name, "the snapshot store is back");
                        }
                        failures = 0;
                        self.figures.up.store(true, Relaxed);
                        if went_on {
                            Duration::ZERO
                        } else {
                            self.options.poll_every
                        }
                    }
                    Err(error) => {
                        failures = failures.saturating_add(1);
                        // The cursor is asked for again: who knows what became of the last batch.
                        position = None;
                        self.figures.up.store(false, Relaxed);
                        self.figures.failures.fetch_add(1, Relaxed);
                        let delay = self.options.backoff.delay(failures, random());
                        // Once at once, then at the pace of the longest waits.
                        if failures == 1 || delay >= self.options.backoff.longest / 2 {
                            tracing::warn!(store = self.name, %error, failures, "snapshots are not copied; play goes on");
                        }
                        delay
                    }
                };
                tokio::time::sleep(pause).await;
            }
        };
        tokio::select! {
            () = copying => {}
            () = shutdown.cancelled() => {}
        }
        self.store.close().await;
    }

    /// Copies one batch. `false`: there was nothing to copy.
    async fn step(&self, position: &mut Option<i64>) -> Result<bool, SnapshotError> {
        let from = match *position {
            Some(from) => from,
            None => {
                // Before the store is asked: while it is down, what waits and since when must be told.
                self.note_waiting(self.figures.position()).await?;
                self.store.check_schema().await?;
                let from = self.store.position().await?;
                self.figures.position.store(from, Relaxed);
                *position = Some(from);
                from
            }
        };
        let entries = self.source.after(from, self.options.batch_rows).await?;
        // After the batch: a snapshot that it missed, because it had moved on, stands at or before this.
        let newest = self.source.newest_position().await?;
        self.figures.newest.store(newest, Relaxed);
        if from > newest {
            return Err(SnapshotError::Ahead {
                store: self.store.to_string(),
                cursor: from,
                newest,
            });
        }
        let since = entries.first().map_or(0, |entry| entry.at_ms);
        self.figures.waiting_since_ms.store(since, Relaxed);
        let Some(batch) = batch(entries, self.options.batch_bytes)? else {
            return Ok(false);
        };
        if self.store.apply(from, newest, &batch).await? == Applied::Elsewhere {
            *position = None;
            return Ok(true);
        }
        *position = Some(batch.position);
        self.figures.position.store(batch.position, Relaxed);
        self.figures.rows.fetch_add(batch.rows.len() as u64, Relaxed);
        self.figures.batches.fetch_add(1, Relaxed);
        if batch.position >= newest {
            self.figures.waiting_since_ms.store(0, Relaxed);
        }
        Ok(true)
    }

    async fn note_waiting(&self, from: i64) -> Result<(), SnapshotError> {
        self.figures
            .newest
            .store(self.source.newest_position().await?, Relaxed);
        let oldest = self.source.after(from, 1).await?;
        let since = oldest.first().map_or(0, |entry| entry.at_ms);
        self.figures.waiting_since_ms.store(since, Relaxed);
        Ok(())
    }
}
