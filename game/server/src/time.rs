//! Where the server's wall clock comes from, so that a test can bring its own.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Reads the time in milliseconds since 1970-01-01 UTC.
#[derive(Clone)]
pub struct TimeSource(Arc<dyn Fn() -> i64 + Send + Sync>);

impl TimeSource {
    #[must_use]
    pub fn system() -> Self {
        Self::new(|| {
            let since_epoch = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or(Duration::ZERO);
            i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
        })
    }

    pub fn new(read: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    #[must_use]
    pub fn now_ms(&self) -> i64 {
        (self.0)()
    }

    /// How long from now until `at_ms`; zero if that has passed.
    #[must_use]
    pub fn until(&self, at_ms: i64) -> Duration {
        Duration::from_millis(u64::try_from(self.until_ms(at_ms)).unwrap_or(0))
    }

    /// Milliseconds from now until `at_ms`; 0 if that has passed.
    #[must_use]
    pub fn until_ms(&self, at_ms: i64) -> i64 {
        at_ms.saturating_sub(self.now_ms()).max(0)
    }
}

impl fmt::Debug for TimeSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TimeSource")
    }
}
