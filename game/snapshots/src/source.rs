//! Where snapshots come from.

use std::future::Future;

use starvault_store::{Outbox, OutboxRow, StoreError, StoreOutbox};

/// A journal's outbox: the newest snapshot of each player, in the order in which they were written.
///
/// Whoever has read everything up to a position has, of every player, the newest snapshot that stood at or
/// before it: a newer one stands at a higher position.
pub trait Source: Clone + Send + Sync + 'static {
    /// The snapshots after `position` in their order, at most `limit`.
    fn after(
        &self,
        position: i64,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<OutboxRow>, StoreError>> + Send;

    /// The newest position; 0 while there is none.
    fn newest_position(&self) -> impl Future<Output = Result<i64, StoreError>> + Send;

    /// The newest snapshot of one player.
    fn of_player(
        &self,
        player_id: &str,
    ) -> impl Future<Output = Result<Option<OutboxRow>, StoreError>> + Send;
}

impl Source for StoreOutbox {
    async fn after(&self, position: i64, limit: usize) -> Result<Vec<OutboxRow>, StoreError> {
        StoreOutbox::after(self, position, limit).await
    }

    async fn newest_position(&self) -> Result<i64, StoreError> {
        StoreOutbox::newest_position(self).await
    }

    async fn of_player(&self, player_id: &str) -> Result<Option<OutboxRow>, StoreError> {
        StoreOutbox::of_player(self, player_id).await
    }
}

impl Source for Outbox {
    async fn after(&self, position: i64, limit: usize) -> Result<Vec<OutboxRow>, StoreError> {
        Outbox::after(self, position, limit).await
    }

    async fn newest_position(&self) -> Result<i64, StoreError> {
        Outbox::newest_position(self).await
    }

    async fn of_player(&self, player_id: &str) -> Result<Option<OutboxRow>, StoreError> {
        Outbox::of_player(self, player_id).await
    }
}
