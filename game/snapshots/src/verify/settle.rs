//! Waiting for stores that are behind, with an end.
//!
//! A snapshot has one place in the outbox, and moves to its end with every change. So a copier may pass the place
//! where a version stood and find that its player has moved on, to at most the newest position then. A row that
//! is behind is therefore read again once both stores have passed the newest position that either knew of; it
//! is a difference for certain when both stand at the journal's end, with nothing on its way, or when a store
//! does not move for `lag_max`. No interval is guessed.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Findings, Pair, VerifyOptions};
use crate::{
    SnapshotError, Standing, Store,
    compare::{Side, Verdict, settle as judge_again},
    row::Row,
};

const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How often a row is read again that both stores keep changing.
const PASSES_MAX: usize = 64;

/// Where both stores are.
pub(super) type Standings = (Standing, Standing);

async fn standings(primary: &Store, secondary: &Store) -> Result<Standings, SnapshotError> {
    tokio::try_join!(primary.standing(), secondary.standing())
}

fn behind(at: Standings) -> i64 {
    at.0.position.min(at.1.position)
}

/// Whether both are at one place of the journal, with nothing after it when they got there.
fn are_level(at: Standings) -> bool {
    at.0 == at.1 && at.0.position >= at.0.newest
}

/// When the store that is behind was last seen to move. One that is slow gets all the time it needs.
struct Moved {
    behind: i64,
    at: Instant,
}

impl Moved {
    fn now(at: Standings) -> Moved {
        Moved {
            behind: behind(at),
            at: Instant::now(),
        }
    }

    fn look(&mut self, at: Standings) {
        if behind(at) > self.behind {
            *self = Moved::now(at);
        }
    }
}

/// Waits until both have reached the watermark, if there is one. Where they stand.
pub(super) async fn reach(
    primary: &Store,
    secondary: &Store,
    options: &VerifyOptions,
) -> Result<(i64, i64), SnapshotError> {
    let watermark = options.watermark.unwrap_or(0);
    let mut moved = Moved::now(Standings::default());
    loop {
        let found = standings(primary, secondary).await?;
        moved.look(found);
        let found = (found.0.position, found.1.position);
        let behind = match found {
            (position, _) if position < watermark => (Side::Primary, position),
            (_, position) if position < watermark => (Side::Secondary, position),
            _ => return Ok(found),
        };
        if moved.at.elapsed() >= options.lag_max {
            let store = match behind.0 {
                Side::Primary => primary,
                Side::Secondary => secondary,
            };
            return Err(SnapshotError::BelowWatermark {
                store: store.to_string(),
                position: behind.1,
                watermark,
            });
        }
        sleep(LOOK_EVERY).await;
    }
}

/// Reads every candidate again, and says of each what it is.
pub(super) async fn settle(pair: &Pair<'_>, findings: &mut Findings<'_>) -> Result<(), SnapshotError> {
    for _ in 0..PASSES_MAX {
        if findings.candidates.is_empty() {
            return Ok(());
        }
        let before = catch_up(pair, &mut findings.stalled).await?;
        let mut read = Vec::with_capacity(findings.candidates.len());
        for candidate in std::mem::take(&mut findings.candidates) {
            let key = &candidate.player_id;
            let rows = tokio::try_join!(pair.primary.row(key), pair.secondary.row(key))?;
            read.push((candidate, rows));
        }
        let after = standings(pair.primary, pair.secondary).await?;
        let certain = before == after && (are_level(after) || findings.stalled == Some(after));
        findings.read_again += read.len() as u64;
        for (candidate, (primary, secondary)) in &read {
            let (primary, secondary) = (primary.as_ref().map(Row::view), secondary.as_ref().map(Row::view));
            match judge_again(candidate, primary, secondary, certain) {
                Verdict::Same => {}
                Verdict::Different(difference) => findings.add(difference)?,
                Verdict::Behind(candidate) => findings.candidates.push(candidate),
            }
        }
    }
    findings.in_motion += findings.candidates.len() as u64;
    findings.candidates.clear();
    Ok(())
}

/// Waits until both are past what either knows of now; where they stand then. `stalled`: where they stood when
/// such a wait last ended in vain; it is not waited for the same twice.
async fn catch_up(pair: &Pair<'_>, stalled: &mut Option<Standings>) -> Result<Standings, SnapshotError> {
    let mut now = standings(pair.primary, pair.secondary).await?;
    let known = |one: Standing| one.position.max(one.newest);
    let goal = known(now.0).max(known(now.1));
    let mut moved = Moved::now(now);
    while behind(now) < goal && *stalled != Some(now) {
        if moved.at.elapsed() >= pair.options.lag_max {
            *stalled = Some(now);
            break;
        }
        sleep(LOOK_EVERY).await;
        now = standings(pair.primary, pair.secondary).await?;
        moved.look(now);
    }
    Ok(now)
}
