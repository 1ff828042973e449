//! Waiting for stores that are behind, with an end.
//!
//! A row that was seen in one store was written there at some position of the journal, and that store's cursor
//! is past it. Once the other cursor is past it too, the row must be there, or it differs. So a comparison
//! beside writers waits for cursors and not for an interval that somebody guessed; where a store does not
//! move for `lag_max`, the wait ends and its rows count as what they are.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Findings, Pair, VerifyOptions};
use crate::{
    SnapshotError, Store,
    compare::{Side, Verdict, settle as judge_again},
    row::Row,
};

const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How often a row is read again that both stores keep changing.
const PASSES_MAX: usize = 8;

async fn positions(primary: &Store, secondary: &Store) -> Result<(i64, i64), SnapshotError> {
    tokio::try_join!(primary.position(), secondary.position())
}

/// When the store that is behind was last seen to move. One that is slow gets all the time it needs.
struct Moved {
    behind: i64,
    at: Instant,
}

impl Moved {
    fn now(positions: (i64, i64)) -> Moved {
        Moved {
            behind: positions.0.min(positions.1),
            at: Instant::now(),
        }
    }

    fn look(&mut self, positions: (i64, i64)) {
        if positions.0.min(positions.1) > self.behind {
            *self = Moved::now(positions);
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
    let mut moved = Moved::now((0, 0));
    loop {
        let found = positions(primary, secondary).await?;
        moved.look(found);
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
        catch_up(pair, &mut findings.stalled).await?;
        for candidate in std::mem::take(&mut findings.candidates) {
            let key = &candidate.player_id;
            let (primary, secondary) = tokio::try_join!(pair.primary.row(key), pair.secondary.row(key))?;
            findings.read_again += 1;
            match judge_again(
                &candidate,
                primary.as_ref().map(Row::view),
                secondary.as_ref().map(Row::view),
            ) {
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

/// Waits until both stand where the further one stands now. `stalled`: where they stood when such a wait last
/// ended in vain; it is not waited for the same twice.
async fn catch_up(pair: &Pair<'_>, stalled: &mut Option<(i64, i64)>) -> Result<(), SnapshotError> {
    let mut now = positions(pair.primary, pair.secondary).await?;
    let goal = now.0.max(now.1);
    let mut moved = Moved::now(now);
    while now.0.min(now.1) < goal && *stalled != Some(now) {
        if moved.at.elapsed() >= pair.options.lag_max {
            *stalled = Some(now);
            break;
        }
        sleep(LOOK_EVERY).await;
        now = positions(pair.primary, pair.secondary).await?;
        moved.look(now);
    }
    Ok(())
}
