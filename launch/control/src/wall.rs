//! The time of the world, as an argument: the system's clock, or a test's.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::future::BoxFuture;

/// Milliseconds since 1970-01-01 UTC, and waiting for them.
pub trait Wall: Send + Sync + std::fmt::Debug {
    fn now_ms(&self) -> u64;
    /// Resolves at that moment, at once if it has passed.
    fn sleep_until(&self, at_ms: u64) -> BoxFuture<'static, ()>;
}

/// The system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemWall;

impl Wall for SystemWall {
    fn now_ms(&self) -> u64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
    }

    fn sleep_until(&self, at_ms: u64) -> BoxFuture<'static, ()> {
        let wall = *self;
        Box::pin(async move {
            // In pieces, so that a clock that is set forward or back moves the wait with it.
            loop {
                let left = at_ms.saturating_sub(wall.now_ms());
                if left == 0 {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(left.min(10_000))).await;
            }
        })
    }
}
