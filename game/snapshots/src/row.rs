//! A profile as a snapshot store keeps it. Pure.

use std::ops::Range;

use sha2::{Digest as _, Sha256};

/// Bytes of the longest player id.
pub const PLAYER_ID_BYTES_MAX: usize = 64;
/// Bytes of the longest body: what its column holds everywhere. A profile has a few hundred.
pub const BODY_BYTES_MAX: usize = 16_000;

/// One row, owned. What is in it was read from a store and may be anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Bytes, since stores compare them as bytes. Ours are ASCII.
    pub player_id: Vec<u8>,
    /// 1 for a new player, one more with every change. A deletion is a version too.
    pub version: i64,
    /// 1: the player was deleted with this version and `body` is empty; else 0.
    pub deleted: i64,
    /// Canonical JSON as the journal wrote it, byte for byte.
    pub body: Vec<u8>,
    /// SHA-256 of `body`, 32 bytes, as the journal computed it.
    pub sha256: Vec<u8>,
    /// When the journal wrote this version, microseconds since 1970-01-01 UTC. The same in every store.
    pub written_at_us: i64,
}

impl Row {
    #[must_use]
    pub fn view(&self) -> RowView<'_> {
        RowView {
            player_id: &self.player_id,
            version: self.version,
            deleted: self.deleted,
            body: &self.body,
            sha256: &self.sha256,
            written_at_us: self.written_at_us,
        }
    }
}

/// A row that lies in a [`Page`]. Equal when every byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowView<'p> {
    pub player_id: &'p [u8],
    pub version: i64,
    pub deleted: i64,
    pub body: &'p [u8],
    pub sha256: &'p [u8],
    pub written_at_us: i64,
}

impl RowView<'_> {
    /// Whether the body is what its digest says, and a deletion has none.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let flag_fits = match self.deleted {
            0 => true,
            1 => self.body.is_empty(),
            _ => false,
        };
        flag_fits && Sha256::digest(self.body).as_slice() == self.sha256
    }

    /// What stands for this row in a range's digest: SHA-256 of a text in which every field has an end of its
    /// own, so that no two rows share one. The same text is built in SQL, see `store::sql`.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let text = format!(
            "{}:{}:{}:{}:{}:{}",
            hex::encode_upper(self.player_id),
            self.version,
            self.deleted,
            self.written_at_us,
            hex::encode_upper(self.sha256),
            hex::encode(Sha256::digest(self.body)),
        );
        Sha256::digest(text).into()
    }

    #[must_use]
    pub fn to_row(&self) -> Row {
        Row {
            player_id: self.player_id.to_vec(),
            version: self.version,
            deleted: self.deleted,
            body: self.body.to_vec(),
            sha256: self.sha256.to_vec(),
            written_at_us: self.written_at_us,
        }
    }
}

/// The id for people: what is not printable ASCII is escaped.
#[must_use]
pub fn shown(player_id: &[u8]) -> String {
    player_id.escape_ascii().to_string()
}

/// Rows of one store in the order of their keys. One buffer for all of them: a million rows are read without
/// a million allocations.
#[derive(Debug, Default)]
pub struct Page {
    bytes: Vec<u8>,
    slots: Vec<Slot>,
}

#[derive(Debug)]
struct Slot {
    player_id: Range<usize>,
    body: Range<usize>,
    sha256: Range<usize>,
    version: i64,
    deleted: i64,
    written_at_us: i64,
}

impl Page {
    /// With room for so many rows and bytes: a page that grows is copied each time.
    #[must_use]
    pub fn with_capacity(rows: usize, bytes: usize) -> Page {
        Page {
            bytes: Vec::with_capacity(bytes),
            slots: Vec::with_capacity(rows),
        }
    }

    /// Bytes of all keys, bodies and digests.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    pub fn push(&mut self, row: RowView<'_>) {
        let mut keep = |bytes: &[u8]| {
            let from = self.bytes.len();
            self.bytes.extend_from_slice(bytes);
            from..self.bytes.len()
        };
        let slot = Slot {
            player_id: keep(row.player_id),
            body: keep(row.body),
            sha256: keep(row.sha256),
            version: row.version,
            deleted: row.deleted,
            written_at_us: row.written_at_us,
        };
        self.slots.push(slot);
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    #[must_use]
    pub fn get(&self, index: usize) -> Option<RowView<'_>> {
        let slot = self.slots.get(index)?;
        Some(RowView {
            player_id: &self.bytes[slot.player_id.clone()],
            version: slot.version,
            deleted: slot.deleted,
            body: &self.bytes[slot.body.clone()],
            sha256: &self.bytes[slot.sha256.clone()],
            written_at_us: slot.written_at_us,
        })
    }

    pub fn iter(&self) -> impl Iterator<Item = RowView<'_>> {
        (0..self.len()).filter_map(|index| self.get(index))
    }

    /// The first key that is not above the one before it: a store that sorts wrongly would hide rows.
    #[must_use]
    pub fn disorder(&self, after: Option<&[u8]>) -> Option<&[u8]> {
        let key = |slot: &Slot| &self.bytes[slot.player_id.clone()];
        let starts_late = |first: &Slot| after.is_some_and(|after| key(first) <= after);
        if let Some(first) = self.slots.first().filter(|first| starts_late(first)) {
            return Some(key(first));
        }
        let wrong = self.slots.windows(2).find(|pair| key(&pair[1]) <= key(&pair[0]));
        wrong.map(|pair| key(&pair[1]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(player_id: &str, body: &str) -> Row {
        Row {
            player_id: player_id.into(),
            version: 3,
            deleted: 0,
            body: body.into(),
            sha256: Sha256::digest(body).to_vec(),
            written_at_us: 1_000,
        }
    }

    #[test]
    fn a_row_is_whole_when_its_body_is_what_its_digest_says() {
        assert!(row("p", "{}").view().is_whole());
        let deleted = Row {
            deleted: 1,
            ..row("p", "")
        };
        assert!(deleted.view().is_whole());
        let broken = [
            Row {
                body: b"{]".into(),
                ..row("p", "{}")
            },
            Row {
                sha256: Vec::new(),
                ..row("p", "{}")
            },
            Row {
                deleted: 1,
                ..row("p", "{}")
            },
            Row {
                deleted: 2,
                ..row("p", "{}")
            },
        ];
        for row in broken {
            assert!(!row.view().is_whole(), "{row:?}");
        }
    }

    #[test]
    fn every_field_changes_the_digest_of_a_row() {
        let base = row("p", "{}");
        let others = [
            Row {
                player_id: b"q".into(),
                ..base.clone()
            },
            Row {
                version: 4,
                ..base.clone()
            },
            Row {
                deleted: 1,
                ..base.clone()
            },
            Row {
                body: b"[]".into(),
                ..base.clone()
            },
            Row {
                sha256: vec![0; 32],
                ..base.clone()
            },
            Row {
                written_at_us: 1_001,
                ..base.clone()
            },
        ];
        for other in others {
            assert_ne!(other.view().digest(), base.view().digest(), "{other:?}");
        }
    }

    #[test]
    fn a_page_gives_back_what_was_put_in_and_sees_disorder() {
        let rows = [row("a", "1"), row("b", ""), row("c", "333")];
        let mut page = Page::default();
        rows.iter().for_each(|row| page.push(row.view()));
        assert!(page.iter().map(|view| view.to_row()).eq(rows));
        assert_eq!(page.disorder(None), None);
        assert_eq!(page.disorder(Some(b"a")), Some(b"a".as_slice()));
        page.push(row("b", "again").view());
        assert_eq!(page.disorder(Some(b"0")), Some(b"b".as_slice()));
    }
}
