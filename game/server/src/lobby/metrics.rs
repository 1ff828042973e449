//! What the lobby can be asked from outside while it runs.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use starvault_matchmaking::Policy;

use crate::config::{Region, Regions};

/// Figures of one lobby. Written by its task alone, read by anybody; each is right by itself, and
/// they may be a moment apart from one another.
#[derive(Debug, Default)]
pub struct LobbyMetrics {
    pools: Vec<Pool>,
    /// Milliseconds since 1970-01-01 UTC; 0: nobody waits.
    pub(super) oldest_enqueued_at_ms: AtomicU64,
    pub(super) matched: AtomicU64,
    pub(super) put_back: AtomicU64,
    pub(super) redelivered: AtomicU64,
    pub(super) reattached: AtomicU64,
    pub(super) expired: AtomicU64,
    pub(super) overtaken: AtomicU64,
}

#[derive(Debug)]
struct Pool {
    region: Region,
    waiting: AtomicU64,
    suspended: AtomicU64,
    /// It goes by the first policy, not by the second.
    first_policy: AtomicBool,
}

impl LobbyMetrics {
    #[must_use]
    pub(super) fn new(regions: &Regions) -> Self {
        let pool = |region: &Region| Pool {
            region: region.clone(),
            waiting: AtomicU64::new(0),
            suspended: AtomicU64::new(0),
            first_policy: AtomicBool::new(false),
        };
        Self {
            pools: regions.as_slice().iter().map(pool).collect(),
            ..Self::default()
        }
    }

    /// The figures of one pool.
    pub(super) fn publish(&self, region: &Region, waiting: usize, suspended: usize) {
        if let Some(pool) = self.pools.iter().find(|pool| pool.region == *region) {
            pool.waiting.store(waiting as u64, Ordering::Relaxed);
            pool.suspended.store(suspended as u64, Ordering::Relaxed);
        }
    }

    /// The policy of one pool from now on.
    pub(super) fn publish_policy(&self, region: &Region, policy: Policy) {
        if let Some(pool) = self.pools.iter().find(|pool| pool.region == *region) {
            pool.first_policy.store(policy == Policy::V1, Ordering::Relaxed);
        }
    }

    /// The policy by which each region's matches are made.
    pub fn policy_by_region(&self) -> impl Iterator<Item = (&Region, Policy)> {
        self.pools.iter().map(|pool| {
            let first = pool.first_policy.load(Ordering::Relaxed);
            (&pool.region, if first { Policy::V1 } else { Policy::V2 })
        })
    }

    /// Tickets of each region that can be matched now.
    pub fn waiting_by_region(&self) -> impl Iterator<Item = (&Region, u64)> {
        let waiting = |pool: &Pool| pool.waiting.load(Ordering::Relaxed);
        self.pools.iter().map(move |pool| (&pool.region, waiting(pool)))
    }

    /// Tickets that can be matched now.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.waiting_by_region().map(|(_, waiting)| waiting).sum()
    }

    /// Tickets whose player has no connection at the moment.
    #[must_use]
    pub fn suspended(&self) -> u64 {
        let suspended = |pool: &Pool| pool.suspended.load(Ordering::Relaxed);
        self.pools.iter().map(suspended).sum()
    }

    /// How long the longest wait has lasted at `now_ms` (milliseconds since 1970-01-01 UTC).
    #[must_use]
    pub fn oldest_wait_ms(&self, now_ms: u64) -> u64 {
        match self.oldest_enqueued_at_ms.load(Ordering::Relaxed) {
            0 => 0,
            since_ms => now_ms.saturating_sub(since_ms),
        }
    }

    /// Games begun.
    #[must_use]
    pub fn matched(&self) -> u64 {
        self.matched.load(Ordering::Relaxed)
    }

    /// Tickets that a match took and that came back to their place.
    #[must_use]
    pub fn put_back(&self) -> u64 {
        self.put_back.load(Ordering::Relaxed)
    }

    /// Matches told over a newer connection than the one that asked for them.
    #[must_use]
    pub fn redelivered(&self) -> u64 {
        self.redelivered.load(Ordering::Relaxed)
    }

    /// Tickets that went on over a newer connection.
    #[must_use]
    pub fn reattached(&self) -> u64 {
        self.reattached.load(Ordering::Relaxed)
    }

    /// Tickets that ended because their player began a game without the lobby: a rematch.
    #[must_use]
    pub fn overtaken(&self) -> u64 {
        self.overtaken.load(Ordering::Relaxed)
    }

    /// Tickets that were dropped because their player did not come back.
    #[must_use]
    pub fn expired(&self) -> u64 {
        self.expired.load(Ordering::Relaxed)
    }
}

/// One more.
pub(super) fn count(figure: &AtomicU64) {
    figure.fetch_add(1, Ordering::Relaxed);
}
