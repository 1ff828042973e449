//! The copies of players' profiles: two copiers beside the games, and their figures. Play never waits for them.

use std::sync::Arc;

use starvault_snapshots::{Copier, CopyOptions, SinkFigures, Store, StoreUrl};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Where profiles are copied to.
#[derive(Debug, Clone)]
pub struct SnapshotStores {
    pub primary: StoreUrl,
    pub secondary: StoreUrl,
}

/// A store by its name in logs and figures.
pub type NamedFigures = (&'static str, Arc<SinkFigures>);

/// Starts a copier for each store, if there are any. A store that is down or not migrated keeps nobody from
/// starting: its copier says so and tries again.
pub fn start(
    stores: Option<&SnapshotStores>,
    journal: &starvault_store::Store,
    tasks: &mut JoinSet<()>,
    stop: &CancellationToken,
) -> Vec<NamedFigures> {
    let Some(SnapshotStores { primary, secondary }) = stores else {
        return Vec::new();
    };
    let named = [("primary", primary), ("secondary", secondary)];
    let start = |(name, url): (&'static str, &StoreUrl)| {
        tracing::info!(store = name, %url, "profiles are copied");
        let copier = Copier::new(name, journal.outbox(), Store::new(url), CopyOptions::default());
        let figures = copier.figures();
        tasks.spawn(copier.run(rand::random, stop.clone()));
        (name, figures)
    };
    named.map(start).into()
}
