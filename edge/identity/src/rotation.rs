//! A key set that changes. Owns when it may be fetched again: a token that names an unknown key is a reason,
//! at most once in an interval however many come, so that nobody can make this server knock at its issuer's door.
//! The last set that could be read stays in force when a later one cannot.

use std::sync::Arc;

use crate::jwks::{JwksError, KeySet};

/// Where a key set comes from. Implemented where there is a network or a file system.
pub trait KeySource: Send + Sync + 'static {
    /// The document, at most [`JWKS_BYTES_MAX`](crate::JWKS_BYTES_MAX) bytes and one of it.
    fn fetch(&self) -> impl Future<Output = Result<Vec<u8>, String>> + Send;
}

/// For a page of figures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RotationFigures {
    /// Keys in force.
    pub keys: usize,
    pub fetches: u64,
    /// Fetches that brought no key set.
    pub failures: u64,
    /// Fetches that were not made because the last one was too recent.
    pub held_back: u64,
    /// When the set in force was fetched, in milliseconds since 1970-01-01 UTC.
    pub fetched_at_ms: Option<i64>,
}

/// The set in force, and when it was last asked for. Times are milliseconds since 1970-01-01 UTC.
#[derive(Debug)]
pub struct Rotation {
    keys: Option<Arc<KeySet>>,
    interval_ms_min: i64,
    last_fetch_ms: Option<i64>,
    figures: RotationFigures,
}

impl Rotation {
    #[must_use]
    pub fn new(interval_ms_min: i64) -> Self {
        Self {
            keys: None,
            interval_ms_min,
            last_fetch_ms: None,
            figures: RotationFigures::default(),
        }
    }

    /// The set in force; none as long as no fetch has succeeded.
    #[must_use]
    pub fn keys(&self) -> Option<Arc<KeySet>> {
        self.keys.clone()
    }

    #[must_use]
    pub fn figures(&self) -> RotationFigures {
        self.figures
    }

    /// Whether to fetch now. Whoever hears yes does it: the interval has begun. A clock that was set back
    /// counts as an interval that has passed.
    pub fn begin_fetch(&mut self, now_ms: i64) -> bool {
        let recent = self
            .last_fetch_ms
            .is_some_and(|last| (last..last.saturating_add(self.interval_ms_min)).contains(&now_ms));
        if recent {
            self.figures.held_back += 1;
            return false;
        }
        self.last_fetch_ms = Some(now_ms);
        self.figures.fetches += 1;
        true
    }

    /// What the fetch brought. What is no key set changes nothing but the count.
    ///
    /// # Errors
    /// The document is no key set.
    pub fn fetched(&mut self, document: &[u8], now_ms: i64) -> Result<(), JwksError> {
        let keys = KeySet::parse(document).inspect_err(|_| self.failed())?;
        self.figures.keys = keys.len();
        self.figures.fetched_at_ms = Some(now_ms);
        self.keys = Some(Arc::new(keys));
        Ok(())
    }

    /// The fetch brought nothing.
    pub fn failed(&mut self) {
        self.figures.failures += 1;
    }
}
