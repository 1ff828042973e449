//! Digests of ranges, cut in two where they differ: for stores at the end of a narrow way, of which few rows
//! are carried. The databases do the hashing, so it is slower than `stream` where they are near.

use super::{Findings, Pair, checkpoint::Checkpoints, stream};
use crate::{
    SnapshotError,
    compare::Side,
    ranges::{KeyRange, Next, next},
    store::DIGEST_ROWS_MAX,
};

/// Rows of the ranges to begin with. Both stores have no more in any.
const CHUNK_ROWS: u64 = DIGEST_ROWS_MAX / 2;
/// Ranges with so many rows are read: cutting them further costs more ways than the rows do.
const READ_ROWS_MAX: u64 = 32;

pub(super) async fn compare(
    pair: &Pair<'_>,
    next_key: Vec<u8>,
    findings: &mut Findings<'_>,
    checkpoints: &mut Checkpoints,
) -> Result<(), SnapshotError> {
    let mut rest = KeyRange {
        from: next_key,
        ..KeyRange::everything()
    };
    loop {
        let cuts = tokio::try_join!(
            pair.primary.key_at(&rest, CHUNK_ROWS),
            pair.secondary.key_at(&rest, CHUNK_ROWS)
        )?;
        // The nearer one, so that neither has more rows before it.
        let cut = match cuts {
            (Some(primary), Some(secondary)) => Some(primary.min(secondary)),
            (primary, secondary) => primary.or(secondary),
        };
        let Some(cut) = cut else {
            return chunk(pair, rest, findings).await;
        };
        let (now, later) = rest.cut(cut);
        chunk(pair, now, findings).await?;
        rest = later;
        pair.pause(&rest.from, findings, checkpoints).await?;
    }
}

async fn chunk(pair: &Pair<'_>, range: KeyRange, findings: &mut Findings<'_>) -> Result<(), SnapshotError> {
    let mut open = vec![range];
    while let Some(range) = open.pop() {
        let (primary, secondary) =
            tokio::try_join!(pair.primary.summary(&range), pair.secondary.summary(&range))?;
        match next(&primary, &secondary, READ_ROWS_MAX) {
            Next::Equal => findings.rows += primary.rows,
            Next::Read => read(pair, &range, findings).await?,
            Next::Cut { side, rows_before } => {
                let store = match side {
                    Side::Primary => pair.primary,
                    Side::Secondary => pair.secondary,
                };
                match store.key_at(&range, rows_before).await? {
                    Some(key) if key > range.from => {
                        let (before, after) = range.cut(key);
                        open.push(after);
                        open.push(before);
                    }
                    // Rows are never removed; still, a range that cannot be cut is read.
                    _ => read(pair, &range, findings).await?,
                }
            }
        }
    }
    Ok(())
}

async fn read(pair: &Pair<'_>, range: &KeyRange, findings: &mut Findings<'_>) -> Result<(), SnapshotError> {
    // Rows may have been added since they were counted.
    let all = usize::MAX;
    let (primary, secondary) =
        tokio::try_join!(pair.primary.page(range, all), pair.secondary.page(range, all))?;
    let (mut primary, mut secondary) = (stream::Lane::of(primary), stream::Lane::of(secondary));
    while stream::look(&mut primary, &mut secondary, findings)? {}
    Ok(())
}
