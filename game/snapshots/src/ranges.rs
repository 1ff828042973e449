//! Ranges of keys and what their digests say: which are equal, which are cut in two, which are read. Pure.
//!
//! The digest of a range is SHA-256 over the digests of its rows in the order of their keys, so rows that
//! change places or cancel each other out in a sum change it too.

use sha2::{Digest as _, Sha256};

use crate::{
    compare::Side,
    row::{PLAYER_ID_BYTES_MAX, RowView},
};

/// Keys from `from` (with it) up to `to` (without it), compared as bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange {
    pub from: Vec<u8>,
    pub to: Vec<u8>,
}

impl KeyRange {
    /// Every key there can be.
    #[must_use]
    pub fn everything() -> KeyRange {
        KeyRange {
            from: Vec::new(),
            to: vec![0xff; PLAYER_ID_BYTES_MAX + 1],
        }
    }

    /// What comes after `key`, if something does.
    #[must_use]
    pub fn after(&self, key: &[u8]) -> KeyRange {
        KeyRange {
            from: successor(key),
            to: self.to.clone(),
        }
    }

    /// The range before `key` and the one that begins with it.
    #[must_use]
    pub fn cut(self, key: Vec<u8>) -> (KeyRange, KeyRange) {
        let before = KeyRange {
            from: self.from,
            to: key.clone(),
        };
        (
            before,
            KeyRange {
                from: key,
                to: self.to,
            },
        )
    }
}

/// The smallest key above `key`.
#[must_use]
pub fn successor(key: &[u8]) -> Vec<u8> {
    let mut next = Vec::with_capacity(key.len() + 1);
    next.extend_from_slice(key);
    next.push(0);
    next
}

/// What one store says about a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    pub rows: u64,
    /// SHA-256 over the lower-case hexadecimal row digests; of nothing for no rows.
    pub digest: [u8; 32],
    /// Rows whose body is not what their own digest says.
    pub broken: u64,
}

/// Builds a [`Summary`] from rows in the order of their keys, as the SQL in `store::sql` does.
#[derive(Debug, Default)]
pub struct Summing {
    rows: u64,
    hasher: Sha256,
    broken: u64,
}

impl Summing {
    pub fn add(&mut self, row: RowView<'_>) {
        self.rows += 1;
        self.hasher.update(hex::encode(row.digest()));
        self.broken += u64::from(!row.is_whole());
    }

    #[must_use]
    pub fn finish(self) -> Summary {
        Summary {
            rows: self.rows,
            digest: self.hasher.finalize().into(),
            broken: self.broken,
        }
    }
}

/// What to do with a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing in it differs.
    Equal,
    /// Read its rows from both stores and compare them one by one.
    Read,
    /// Cut it where `side` has this many rows before the cut.
    Cut { side: Side, rows_before: u64 },
}

/// Decides by both summaries; ranges of at most `rows_read_max` rows on both sides are read.
#[must_use]
pub fn next(primary: &Summary, secondary: &Summary, rows_read_max: u64) -> Next {
    if primary == secondary && primary.broken == 0 {
        return Next::Equal;
    }
    let (side, rows) = if primary.rows >= secondary.rows {
        (Side::Primary, primary.rows)
    } else {
        (Side::Secondary, secondary.rows)
    };
    if rows <= rows_read_max.max(1) {
        Next::Read
    } else {
        Next::Cut {
            side,
            rows_before: rows / 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use sha2::{Digest as _, Sha256};

    use super::*;
    use crate::row::Row;

    type Rows = BTreeMap<Vec<u8>, Row>;

    fn row(key: u32, version: i64, body: &str) -> Row {
        Row {
            player_id: format!("p{key:05}").into_bytes(),
            version,
            deleted: 0,
            body: body.into(),
            sha256: Sha256::digest(body).to_vec(),
            written_at_us: 0,
        }
    }

    fn within<'r>(rows: &'r Rows, range: &KeyRange) -> impl Iterator<Item = &'r Row> {
        rows.range(range.from.clone()..range.to.clone())
            .map(|(_, row)| row)
    }

    fn summary(rows: &Rows, range: &KeyRange) -> Summary {
        let mut summing = Summing::default();
        within(rows, range).for_each(|row| summing.add(row.view()));
        summing.finish()
    }

    /// The keys of all ranges that are read, and how many rows that were.
    fn descend(primary: &Rows, secondary: &Rows, read_max: u64) -> (Vec<Vec<u8>>, usize) {
        let (mut open, mut found, mut read) = (vec![KeyRange::everything()], Vec::new(), 0);
        while let Some(range) = open.pop() {
            match next(&summary(primary, &range), &summary(secondary, &range), read_max) {
                Next::Equal => {}
                Next::Read => {
                    let keys = |rows| {
                        within(rows, &range)
                            .map(|row| row.player_id.clone())
                            .collect::<Vec<_>>()
                    };
                    let mut all = keys(primary);
                    all.extend(keys(secondary));
                    read += all.len();
                    all.sort();
                    all.dedup();
                    found.extend(
                        all.into_iter()
                            .filter(|key| primary.get(key) != secondary.get(key)),
                    );
                }
                Next::Cut { side, rows_before } => {
                    let rows = if side == Side::Primary { primary } else { secondary };
                    let at = within(rows, &range)
                        .nth(rows_before as usize)
                        .expect("so many rows");
                    let (before, after) = range.cut(at.player_id.clone());
                    open.extend([before, after]);
                }
            }
        }
        found.sort();
        (found, read)
    }

    #[test]
    fn two_values_that_change_places_change_the_digest() {
        // Sums and XORs of per-row checksums over the value alone would stay as they were.
        let rows = |first: &str, second: &str| -> Rows {
            [row(1, 1, first), row(2, 1, second)]
                .map(|row| (row.player_id.clone(), row))
                .into()
        };
        let everything = KeyRange::everything();
        assert_ne!(
            summary(&rows("aaaa", "bbbb"), &everything),
            summary(&rows("bbbb", "aaaa"), &everything)
        );
    }

    #[test]
    fn a_range_that_is_broken_in_the_same_way_on_both_sides_is_read() {
        let broken = Row {
            body: b"x".into(),
            ..row(1, 1, "y")
        };
        let rows: Rows = [(broken.player_id.clone(), broken)].into();
        let summary = summary(&rows, &KeyRange::everything());
        assert_eq!(next(&summary, &summary, 8), Next::Read);
    }

    #[test]
    fn few_rows_are_read_where_few_differ() {
        let primary: Rows = (0..4_096)
            .map(|key| row(key, 1, "same"))
            .map(|row| (row.player_id.clone(), row))
            .collect();
        let mut secondary = primary.clone();
        secondary.insert(row(77, 1, "diff").player_id, row(77, 1, "diff"));
        let (found, read) = descend(&primary, &secondary, 32);
        assert_eq!(found, [b"p00077".to_vec()]);
        assert!(read <= 64, "{read}");
    }

    proptest! {
        #[test]
        fn every_difference_is_reached_whatever_it_is(
            primary in prop::collection::btree_map(0u32..200, (1i64..3, "[ab]{2}"), 0..60),
            secondary in prop::collection::btree_map(0u32..200, (1i64..3, "[ab]{2}"), 0..60),
            read_max in 1u64..9,
        ) {
            let rows = |from: BTreeMap<u32, (i64, String)>| -> Rows {
                from.iter().map(|(key, (version, body))| row(*key, *version, body)).map(|row| (row.player_id.clone(), row)).collect()
            };
            let (primary, secondary) = (rows(primary), rows(secondary));
            let mut differ: Vec<Vec<u8>> = primary.keys().chain(secondary.keys()).filter(|key| primary.get(*key) != secondary.get(*key)).cloned().collect();
            differ.sort();
            differ.dedup();
            prop_assert_eq!(descend(&primary, &secondary, read_max).0, differ);
        }
    }
}
