//! Which file holds what: the path grammar and tile arithmetic of C2SP tlog-tiles. Pure.

use crate::merkle::{self, Hash};
use crate::{MAX_ENTRY_BYTES, MAX_RECORD_BYTES};

/// Hashes in a full tile, and entries in a full bundle.
pub const FULL: u64 = 256;

/// What a tile file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Hashes of this level; level 0 are the leaves.
    Hashes(u8),
    Entries,
}

/// One tile file: its kind, its number, and how many of its 256 places are filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tile {
    pub kind: Kind,
    pub index: u64,
    /// 1..=256.
    pub width: u16,
}

impl Tile {
    /// The path below the record's folder, such as `tile/0/x001/067` or `tile/entries/000.p/7`.
    pub fn path(&self) -> String {
        let mut groups = vec![format!("{:03}", self.index % 1000)];
        let mut rest = self.index / 1000;
        while rest > 0 {
            groups.push(format!("x{:03}", rest % 1000));
            rest /= 1000;
        }
        groups.reverse();
        let number = groups.join("/");
        let kind = match self.kind {
            Kind::Hashes(level) => level.to_string(),
            Kind::Entries => "entries".to_owned(),
        };
        if u64::from(self.width) == FULL {
            format!("tile/{kind}/{number}")
        } else {
            format!("tile/{kind}/{number}.p/{}", self.width)
        }
    }

    /// Reads a path; only the one spelling that [`Tile::path`] writes is accepted.
    pub fn parse(path: &str) -> Option<Self> {
        let rest = path.strip_prefix("tile/")?;
        let (kind, rest) = rest.split_once('/')?;
        let kind = match kind {
            "entries" => Kind::Entries,
            level => Kind::Hashes(level.parse().ok().filter(|l| *l < 64)?),
        };
        let (number, width) = match rest.split_once(".p/") {
            Some((number, width)) => (
                number,
                width.parse().ok().filter(|w| *w >= 1 && u64::from(*w) < FULL)?,
            ),
            None => (rest, FULL as u16),
        };
        let mut index: u64 = 0;
        for group in number.split('/') {
            let digits = group.strip_prefix('x').unwrap_or(group);
            if digits.len() != 3 || !digits.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            index = index.checked_mul(1000)?.checked_add(digits.parse().ok()?)?;
        }
        let tile = Self { kind, index, width };
        (tile.path() == path).then_some(tile)
    }
}

/// All tile files of a tree of `size` entries, bundles first, then hashes level by level.
pub fn all(size: u64) -> Vec<Tile> {
    let mut tiles = Vec::new();
    let mut put = |kind, count: u64| {
        tiles.extend((0..count / FULL).map(|index| Tile {
            kind,
            index,
            width: FULL as u16,
        }));
        let width = (count % FULL) as u16;
        if width > 0 {
            tiles.push(Tile {
                kind,
                index: count / FULL,
                width,
            });
        }
    };
    put(Kind::Entries, size);
    let (mut count, mut level) = (size, 0);
    while count > 0 {
        put(Kind::Hashes(level), count);
        count /= FULL;
        level += 1;
    }
    tiles
}

/// The bytes of a hash tile, from the leaf hashes of the whole tree.
///
/// # Panics
/// When the tree of `leaves` does not reach as far as the tile.
pub fn hash_tile(leaves: &[Hash], level: u8, index: u64, width: u16) -> Vec<u8> {
    let span = 1_usize << (8 * u32::from(level));
    let start = index as usize * FULL as usize * span;
    let leaves = &leaves[start..start + usize::from(width) * span];
    leaves.chunks(span).flat_map(merkle::root).collect()
}

/// The bytes of an entry bundle. Every entry must be at most [`MAX_ENTRY_BYTES`] long.
pub fn bundle<'a>(entries: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in entries {
        let length = u16::try_from(entry.len()).expect("the length of an entry was checked before");
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(entry);
    }
    bytes
}

/// Cuts a bundle into exactly `width` entries, with no byte left over.
pub fn split_bundle(bytes: &[u8], width: u16) -> Result<Vec<Vec<u8>>, String> {
    let mut entries = Vec::with_capacity(usize::from(width));
    let mut rest = bytes;
    for place in 0..width {
        let (length, after) = rest
            .split_first_chunk::<2>()
            .ok_or_else(|| format!("ends before entry {place} of {width}"))?;
        let length = usize::from(u16::from_be_bytes(*length));
        if after.len() < length {
            return Err(format!("ends within entry {place} of {width}"));
        }
        let (entry, after) = after.split_at(length);
        entries.push(entry.to_vec());
        rest = after;
    }
    if rest.is_empty() {
        Ok(entries)
    } else {
        Err(format!("{} bytes follow the last entry", rest.len()))
    }
}

/// The most bytes that a file of this tile may have.
pub(crate) fn max_bytes(tile: &Tile) -> u64 {
    match tile.kind {
        Kind::Hashes(_) => u64::from(tile.width) * 32,
        Kind::Entries => (u64::from(tile.width) * (2 + MAX_ENTRY_BYTES as u64)).min(MAX_RECORD_BYTES),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_specification() {
        let tile = |kind, index, width| Tile { kind, index, width };
        for (t, path) in [
            (tile(Kind::Hashes(0), 0, 256), "tile/0/000"),
            (tile(Kind::Hashes(0), 1067, 256), "tile/0/x001/067"),
            (tile(Kind::Hashes(3), 1_234_067, 256), "tile/3/x001/x234/067"),
            (tile(Kind::Hashes(1), 0, 1), "tile/1/000.p/1"),
            (tile(Kind::Entries, 273, 112), "tile/entries/273.p/112"),
        ] {
            assert_eq!(t.path(), path);
            assert_eq!(Tile::parse(path), Some(t));
        }
    }

    #[test]
    fn other_spellings_are_no_tiles() {
        for path in [
            "tile/0/0",
            "tile/00/000",
            "tile/+0/000",
            "tile/0/x000/067",
            "tile/0/001/067",
            "tile/0/x001",
            "tile/0/000.p/0",
            "tile/0/000.p/256",
            "tile/0/000.p/07",
            "tile/0/000.p/",
            "tile/0/000.p",
            "tile/64/000",
            "tile/data/000",
            "tile/0/000/",
            "/tile/0/000",
            "tile/0/../000",
            "checkpoint",
            "",
        ] {
            assert_eq!(Tile::parse(path), None, "{path}");
        }
    }

    #[test]
    fn a_tree_of_70000_has_the_tiles_of_the_specification_s_example() {
        // c2sp.org/tlog-tiles: "a tree of size 70,000 will be represented by 273 full level 0 tiles,
        // one partial level 0 tile of width 112, one full level 1 tile, one partial level 1 tile of
        // width 17, and one partial level 2 tile of width 1".
        let tiles = all(70_000);
        let hashes: Vec<_> = tiles.iter().filter(|t| t.kind != Kind::Entries).collect();
        assert_eq!(hashes.len(), 273 + 1 + 1 + 1 + 1);
        for path in [
            "tile/0/272",
            "tile/0/273.p/112",
            "tile/1/000",
            "tile/1/001.p/17",
            "tile/2/000.p/1",
        ] {
            assert!(hashes.iter().any(|t| t.path() == path), "{path}");
        }
        assert!(all(0).is_empty());
        assert!(!all(256).iter().any(|t| t.width == 0));
    }

    #[test]
    fn bundles_are_cut_exactly() {
        let bytes = bundle([&b"one"[..], b"", b"three"]);
        assert_eq!(bytes, b"\0\x03one\0\0\0\x05three");
        assert_eq!(split_bundle(&bytes, 3).unwrap(), [&b"one"[..], b"", b"three"]);
        assert!(split_bundle(&bytes, 2).unwrap_err().contains("follow"));
        assert!(
            split_bundle(&bytes, 4)
                .unwrap_err()
                .contains("ends before entry 3")
        );
        assert!(
            split_bundle(&bytes[..bytes.len() - 1], 3)
                .unwrap_err()
                .contains("ends within")
        );
    }
}
