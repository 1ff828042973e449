//! Keeping a deadline: what is not finished when it passes is dropped.

use std::future::Future;

use tokio::time::{Instant, timeout_at};

use crate::budget::Deadline;

tokio::task_local! {
    static CURRENT: Deadline;
}

/// The work was not finished in time and has been dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the deadline has passed")]
pub struct Passed;

/// The deadline of the request that the calling task works for, if it works for one.
#[must_use]
pub fn current() -> Option<Deadline> {
    CURRENT.try_with(|deadline| *deadline).ok()
}

/// Runs the work until the deadline, which is [`current`] inside of it. Work whose time is over already
/// is not begun.
///
/// # Errors
/// The deadline has passed.
pub async fn within<T>(deadline: Deadline, work: impl Future<Output = T>) -> Result<T, Passed> {
    if deadline.has_passed(Instant::now().into_std()) {
        return Err(Passed);
    }
    let limited = timeout_at(Instant::from_std(deadline.at()), work);
    CURRENT.scope(deadline, limited).await.map_err(|_| Passed)
}

/// As [`within`], with the deadline of the request that the calling task works for; without one, to the end.
///
/// # Errors
/// The deadline has passed.
pub async fn within_current<T>(work: impl Future<Output = T>) -> Result<T, Passed> {
    match current() {
        Some(deadline) => within(deadline, work).await,
        None => Ok(work.await),
    }
}

/// Records in the current span how much is left at a hop, whole milliseconds.
pub fn note_hop(hop: &str, deadline: Deadline, now: Instant) {
    // Signed: OpenTelemetry has no other integers.
    let left = i64::try_from(deadline.left(now.into_std()).as_millis()).unwrap_or(i64::MAX);
    tracing::debug!(target: "deadline", hop, deadline.remaining_ms = left, "a deadline at a hop");
}
