//! Two rows under one key: are they the same, and if not, what is wrong. Pure.
//!
//! While copiers run, a store may be behind for a moment: that alone is no difference, it is a
//! [`Candidate`] and looked at again. Two stores never hold the same version with other bytes, whatever the
//! moment: that is corruption at once.

use serde::{Deserialize, Serialize};

use crate::row::{RowView, shown};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    Primary,
    Secondary,
}

impl Side {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Side::Primary => "primary",
            Side::Secondary => "secondary",
        }
    }
}

/// How a row differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The primary has it, the secondary does not.
    Missing,
    /// The secondary has it, the primary does not.
    Extra,
    /// One of them has an older version, and had time to catch up.
    Older,
    /// The same version with other bytes, or a body that is not what its digest says.
    Corrupt,
}

impl Kind {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Missing => "missing",
            Kind::Extra => "extra",
            Kind::Older => "older",
            Kind::Corrupt => "corrupt",
        }
    }
}

/// One row that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    pub player_id: String,
    pub kind: Kind,
    /// Which store is wrong: the one that lacks the row, is older, or whose body is not what its digest says.
    /// `None`: both rows are whole in themselves and only the journal can tell; or both are broken.
    pub store: Option<Side>,
    /// `None`: no such row there.
    pub primary_version: Option<i64>,
    pub secondary_version: Option<i64>,
}

/// A key whose rows may merely be of different moments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    #[serde(with = "hex")]
    pub player_id: Vec<u8>,
    /// What was seen; `None`: no such row.
    pub primary_version: Option<i64>,
    pub secondary_version: Option<i64>,
    /// How often it was read again and both were still the same.
    pub unchanged: u32,
}

/// Between two looks at a candidate, both stores pass the newest position that either knew of. Then it has
/// changed on one side, or was copied to both; unless its player has changed again meanwhile, and again
/// before either got there. So often in a row that is not believed.
const UNCHANGED_MAX: u32 = 5;

/// What two reads say about a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Same,
    /// Look at it again once both stores had time to catch up.
    Behind(Candidate),
    Different(Difference),
}

/// Judges one key at the first sight of it. At least one of the rows is there.
#[must_use]
pub fn judge(primary: Option<RowView<'_>>, secondary: Option<RowView<'_>>) -> Verdict {
    if let (Some(primary), Some(secondary)) = (primary, secondary)
        && primary == secondary
        && primary.is_whole()
    {
        return Verdict::Same;
    }
    let Some(player_id) = primary.or(secondary).map(|row| row.player_id) else {
        return Verdict::Same;
    };
    let broken = |row: Option<RowView<'_>>| row.is_some_and(|row| !row.is_whole());
    let store = match (broken(primary), broken(secondary)) {
        (true, false) => Some(Side::Primary),
        (false, true) => Some(Side::Secondary),
        (true, true) => None,
        (false, false) => match (primary, secondary) {
            (Some(primary), Some(secondary)) if primary.version == secondary.version => None,
            _ => {
                return Verdict::Behind(Candidate {
                    player_id: player_id.to_vec(),
                    primary_version: primary.map(|row| row.version),
                    secondary_version: secondary.map(|row| row.version),
                    unchanged: 0,
                });
            }
        },
    };
    Verdict::Different(difference(Kind::Corrupt, store, primary, secondary))
}

/// Judges a candidate again, by rows that were read after both stores had time to catch up. `certain`: both
/// stand at the same place of the journal with nothing behind it, or one of them stands still. Else what
/// differs may be on its way.
#[must_use]
pub fn settle(
    candidate: &Candidate,
    primary: Option<RowView<'_>>,
    secondary: Option<RowView<'_>>,
    certain: bool,
) -> Verdict {
    let (kind, store) = match judge(primary, secondary) {
        // A row that was there is gone from both: snapshots are never removed, a deletion is a version.
        Verdict::Same if primary.is_none() && secondary.is_none() => (Kind::Missing, None),
        Verdict::Behind(mut now) => {
            let seen = |one: &Candidate| (one.primary_version, one.secondary_version);
            if seen(&now) == seen(candidate) {
                now.unchanged = candidate.unchanged + 1;
            }
            if !certain && now.unchanged < UNCHANGED_MAX {
                return Verdict::Behind(now);
            }
            match seen(&now) {
                (_, None) => (Kind::Missing, Some(Side::Secondary)),
                (None, _) => (Kind::Extra, Some(Side::Primary)),
                (primary, secondary) if secondary < primary => (Kind::Older, Some(Side::Secondary)),
                _ => (Kind::Older, Some(Side::Primary)),
            }
        }
        other => return other,
    };
    let mut found = difference(kind, store, primary, secondary);
    found.player_id = shown(&candidate.player_id);
    Verdict::Different(found)
}

fn difference(
    kind: Kind,
    store: Option<Side>,
    primary: Option<RowView<'_>>,
    secondary: Option<RowView<'_>>,
) -> Difference {
    Difference {
        player_id: primary
            .or(secondary)
            .map(|row| shown(row.player_id))
            .unwrap_or_default(),
        kind,
        store,
        primary_version: primary.map(|row| row.version),
        secondary_version: secondary.map(|row| row.version),
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};

    use super::*;
    use crate::row::Row;

    fn row(version: i64, body: &str) -> Row {
        Row {
            player_id: b"p".into(),
            version,
            deleted: 0,
            body: body.into(),
            sha256: Sha256::digest(body).to_vec(),
            written_at_us: version,
        }
    }

    fn judged(primary: Option<&Row>, secondary: Option<&Row>) -> Verdict {
        judge(primary.map(Row::view), secondary.map(Row::view))
    }

    fn kind_and_store(verdict: Verdict) -> (Kind, Option<Side>) {
        match verdict {
            Verdict::Different(found) => (found.kind, found.store),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_same_version_with_other_bytes_is_corruption_at_once() {
        let base = row(3, "aa");
        let others = [
            Row {
                written_at_us: 4,
                ..base.clone()
            },
            row(3, "bb").with(|row| row.written_at_us = 3),
            Row {
                deleted: 1,
                body: Vec::new(),
                sha256: Sha256::digest("").to_vec(),
                ..base.clone()
            },
        ];
        for other in &others {
            assert_eq!(
                kind_and_store(judged(Some(&base), Some(other))),
                (Kind::Corrupt, None)
            );
        }
    }

    #[test]
    fn a_body_that_is_not_what_its_digest_says_names_its_store_even_if_both_agree() {
        let (good, bad) = (
            row(3, "aa"),
            Row {
                body: b"ab".into(),
                ..row(3, "aa")
            },
        );
        let corrupt = |store| (Kind::Corrupt, store);
        assert_eq!(
            kind_and_store(judged(Some(&bad), Some(&good))),
            corrupt(Some(Side::Primary))
        );
        assert_eq!(
            kind_and_store(judged(Some(&good), Some(&bad))),
            corrupt(Some(Side::Secondary))
        );
        assert_eq!(kind_and_store(judged(Some(&bad), Some(&bad))), corrupt(None));
        // Also where the other side has no such row, or another version of it.
        assert_eq!(
            kind_and_store(judged(Some(&bad), None)),
            corrupt(Some(Side::Primary))
        );
        assert_eq!(
            kind_and_store(judged(Some(&row(9, "z")), Some(&bad))),
            corrupt(Some(Side::Secondary))
        );
    }

    #[test]
    fn a_store_that_is_behind_gets_time_to_catch_up() {
        let (old, new, newer) = (row(3, "aa"), row(4, "bb"), row(5, "cc"));
        let cases = [
            (Some(&new), Some(&old), Kind::Older, Side::Secondary),
            (Some(&old), Some(&new), Kind::Older, Side::Primary),
            (Some(&new), None, Kind::Missing, Side::Secondary),
            (None, Some(&new), Kind::Extra, Side::Primary),
        ];
        for (primary, secondary, kind, side) in cases {
            let Verdict::Behind(first) = judged(primary, secondary) else {
                panic!("{primary:?} {secondary:?}")
            };
            let again = |seen: &Candidate, primary: Option<&Row>, secondary: Option<&Row>, certain| {
                settle(seen, primary.map(Row::view), secondary.map(Row::view), certain)
            };
            assert_eq!(again(&first, Some(&new), Some(&new), true), Verdict::Same);
            assert_eq!(
                kind_and_store(again(&first, primary, secondary, true)),
                (kind, Some(side))
            );
            assert_eq!(
                kind_and_store(again(&first, None, None, false)),
                (Kind::Missing, None)
            );
            // On its way: not yet a difference, and not for ever either.
            let mut seen = first.clone();
            for _ in 1..UNCHANGED_MAX {
                seen = match again(&seen, primary, secondary, false) {
                    Verdict::Behind(seen) => seen,
                    other => panic!("{other:?}"),
                };
            }
            assert_eq!(
                kind_and_store(again(&seen, primary, secondary, false)),
                (kind, Some(side))
            );
            // One that has changed meanwhile is looked at afresh.
            let Verdict::Behind(moved) = again(&seen, Some(&newer), Some(&old), false) else {
                panic!("{seen:?}")
            };
            assert_eq!(moved.unchanged, 0);
        }
    }

    impl Row {
        fn with(mut self, change: impl FnOnce(&mut Row)) -> Row {
            change(&mut self);
            self
        }
    }
}
