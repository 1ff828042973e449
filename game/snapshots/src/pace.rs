//! What a copier does next: how long it waits after a failure, and what goes into one batch. Pure.

use std::{collections::BTreeMap, time::Duration};

use starvault_store::OutboxRow;

use crate::{
    SnapshotError,
    row::{BODY_BYTES_MAX, Row},
};

/// How long to wait after failures in a row: doubled each time, up to a limit, and between half of it and all
/// of it, so that copiers that failed together do not come back together.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    pub first: Duration,
    pub longest: Duration,
}

impl Backoff {
    /// `failures`: in a row, 1 after the first. `random`: any number.
    #[must_use]
    pub fn delay(&self, failures: u32, random: u64) -> Duration {
        let doublings = failures.saturating_sub(1).min(20);
        let whole = self.first.saturating_mul(1 << doublings).min(self.longest);
        let half_us = u64::try_from(whole.as_micros() / 2).unwrap_or(u64::MAX);
        Duration::from_micros(half_us + random % (half_us + 1))
    }
}

/// What one transaction writes: each player once, in order of the keys so that two copiers of one store lock
/// rows in the same order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    pub rows: Vec<Row>,
    /// Where the cursor stands after it.
    pub position: i64,
}

/// Takes as many snapshots from the front as fit into `bytes_max` of bodies, one at least. `None` of nothing.
///
/// # Errors
/// The first snapshot is not what its digest says, or no store can hold it: it is never copied, and never
/// skipped either. What stands before such a one is a batch.
pub fn batch(entries: Vec<OutboxRow>, bytes_max: usize) -> Result<Option<Batch>, SnapshotError> {
    let mut rows: BTreeMap<Vec<u8>, Row> = BTreeMap::new();
    let mut position = None;
    let mut bytes = 0;
    for entry in entries {
        bytes += entry.body.len();
        if position.is_some() && bytes > bytes_max {
            break;
        }
        let reached = entry.position;
        let row = match row(entry) {
            Ok(row) => row,
            // What stands before it is copied; the next batch begins with it.
            Err(_) if position.is_some() => break,
            Err(error) => return Err(error),
        };
        position = Some(reached);
        let newest = rows
            .get(&row.player_id)
            .is_none_or(|known| known.version < row.version);
        if newest {
            rows.insert(row.player_id.clone(), row);
        }
    }
    let rows = rows.into_values().collect();
    Ok(position.map(|position| Batch { rows, position }))
}

/// The row of a snapshot. An empty body is a deletion: a profile's JSON is never empty.
///
/// # Errors
/// See [`batch`].
pub fn row(entry: OutboxRow) -> Result<Row, SnapshotError> {
    let row = Row {
        deleted: i64::from(entry.body.is_empty()),
        player_id: entry.player_id.into_bytes(),
        version: entry.version,
        body: entry.body,
        sha256: entry.sha256,
        written_at_us: entry.at_ms.saturating_mul(1_000),
    };
    let bad = |what: String| SnapshotError::BadSnapshot {
        player_id: crate::row::shown(&row.player_id),
        what,
    };
    if row.body.len() > BODY_BYTES_MAX {
        return Err(bad(format!(
            "it has {} bytes, a store holds {BODY_BYTES_MAX}",
            row.body.len()
        )));
    }
    if !row.view().is_whole() {
        return Err(bad(
            "its body is not what its SHA-256 says; run `starvault journal check`".into(),
        ));
    }
    Ok(row)
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};

    use super::*;

    fn entry(position: i64, player_id: &str, version: i64, body: &str) -> OutboxRow {
        OutboxRow {
            position,
            player_id: player_id.into(),
            version,
            body: body.into(),
            sha256: Sha256::digest(body).to_vec(),
            at_ms: position,
        }
    }

    #[test]
    fn waiting_doubles_up_to_a_limit_and_is_spread() {
        let backoff = Backoff {
            first: Duration::from_millis(100),
            longest: Duration::from_secs(10),
        };
        let bounds = |failures| {
            (
                backoff.delay(failures, 0),
                backoff.delay(failures, 50_000 * (1 << (failures - 1))),
            )
        };
        assert_eq!(bounds(1), (Duration::from_millis(50), Duration::from_millis(100)));
        assert_eq!(
            bounds(4),
            (Duration::from_millis(400), Duration::from_millis(800))
        );
        for failures in [8, 50, u32::MAX] {
            for random in [0, 1, u64::MAX] {
                let delay = backoff.delay(failures, random);
                assert!(
                    delay >= Duration::from_secs(5) && delay <= Duration::from_secs(10),
                    "{delay:?}"
                );
            }
        }
    }

    #[test]
    fn a_batch_holds_the_newest_of_each_player_and_goes_on_at_the_last_position() {
        let entries = vec![
            entry(4, "b", 1, "b1"),
            entry(6, "a", 7, "a7"),
            entry(9, "b", 2, "b2"),
            entry(10, "a", 6, "a6"),
        ];
        let batch = batch(entries, 1_000).unwrap().unwrap();
        let held: Vec<_> = batch
            .rows
            .iter()
            .map(|row| (row.player_id.as_slice(), row.version))
            .collect();
        assert_eq!(held, [(b"a".as_slice(), 7), (b"b".as_slice(), 2)]);
        assert_eq!(batch.position, 10);
    }

    #[test]
    fn a_batch_is_bounded_in_bytes_and_holds_one_snapshot_at_least() {
        let entries = || {
            vec![
                entry(1, "a", 1, "four"),
                entry(2, "b", 1, "four"),
                entry(3, "c", 1, "four"),
            ]
        };
        let position = |bytes_max| batch(entries(), bytes_max).unwrap().unwrap().position;
        assert_eq!((position(0), position(8), position(12)), (1, 2, 3));
        assert_eq!(batch(Vec::new(), 8).unwrap(), None);
    }

    #[test]
    fn an_empty_body_is_a_deletion() {
        assert_eq!(row(entry(1, "a", 1, "")).unwrap().deleted, 1);
        assert_eq!(row(entry(1, "a", 1, "{}")).unwrap().deleted, 0);
    }

    #[test]
    fn what_is_damaged_or_too_large_is_never_copied_and_never_skipped() {
        let damaged = OutboxRow {
            sha256: vec![0; 32],
            ..entry(2, "b", 1, "{}")
        };
        let before = batch(
            vec![entry(1, "a", 1, "{}"), damaged.clone(), entry(3, "c", 1, "{}")],
            1_000,
        );
        assert_eq!(before.unwrap().unwrap().position, 1);
        let error = batch(vec![damaged], 1_000).unwrap_err();
        assert!(
            error.to_string().contains("snapshot of b cannot be copied"),
            "{error}"
        );
        let large = entry(1, "a", 1, &"x".repeat(BODY_BYTES_MAX + 1));
        assert!(row(large).is_err());
    }
}
