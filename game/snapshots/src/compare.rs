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
    /// The highest version seen on either side: both must come to have it.
    pub wanted: i64,
}

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
    let (Some(player_id), Some(wanted)) = (
        primary.or(secondary).map(|row| row.player_id),
        primary
            .map(|row| row.version)
            .max(secondary.map(|row| row.version)),
    ) else {
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
                    wanted,
                });
            }
        },
    };
    Verdict::Different(difference(Kind::Corrupt, store, primary, secondary))
}

/// Judges a candidate again, by rows that were read after both stores had time to catch up. [`Verdict::Behind`]
/// again: both have moved on in the meantime, to different versions.
#[must_use]
pub fn settle(
    candidate: &Candidate,
    primary: Option<RowView<'_>>,
    secondary: Option<RowView<'_>>,
) -> Verdict {
    let behind = |row: Option<RowView<'_>>| row.is_none_or(|row| row.version < candidate.wanted);
    let (kind, store) = match judge(primary, secondary) {
        // A row that was there is gone from both: snapshots are never removed, a deletion is a version.
        Verdict::Same if primary.is_none() && secondary.is_none() => (Kind::Missing, None),
        Verdict::Behind(_) if behind(secondary) => match secondary {
            None => (Kind::Missing, Some(Side::Secondary)),
            Some(_) => (Kind::Older, Some(Side::Secondary)),
        },
        Verdict::Behind(_) if behind(primary) => match primary {
            None => (Kind::Extra, Some(Side::Primary)),
            Some(_) => (Kind::Older, Some(Side::Primary)),
        },
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
        let (old, new) = (row(3, "aa"), row(4, "bb"));
        for (primary, secondary) in [
            (Some(&new), Some(&old)),
            (Some(&old), Some(&new)),
            (Some(&new), None),
            (None, Some(&new)),
        ] {
            let Verdict::Behind(candidate) = judged(primary, secondary) else {
                panic!("{primary:?} {secondary:?}")
            };
            assert_eq!(candidate.wanted, 4);
            let again = |primary: Option<&Row>, secondary: Option<&Row>| {
                settle(&candidate, primary.map(Row::view), secondary.map(Row::view))
            };
            assert_eq!(again(Some(&new), Some(&new)), Verdict::Same);
            // Both have moved on, past what was seen: no difference yet.
            assert!(matches!(
                again(Some(&row(6, "f")), Some(&row(5, "e"))),
                Verdict::Behind(_)
            ));
            assert_eq!(
                kind_and_store(again(Some(&row(6, "f")), Some(&old))),
                (Kind::Older, Some(Side::Secondary))
            );
            assert_eq!(
                kind_and_store(again(Some(&old), Some(&new))),
                (Kind::Older, Some(Side::Primary))
            );
            assert_eq!(
                kind_and_store(again(Some(&new), None)),
                (Kind::Missing, Some(Side::Secondary))
            );
            assert_eq!(
                kind_and_store(again(None, Some(&new))),
                (Kind::Extra, Some(Side::Primary))
            );
            assert_eq!(kind_and_store(again(None, None)), (Kind::Missing, None));
        }
    }

    impl Row {
        fn with(mut self, change: impl FnOnce(&mut Row)) -> Row {
            change(&mut self);
            self
        }
    }
}
