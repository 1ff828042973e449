//! Reading a record back: every byte of every file must follow from the checkpoint and the key.
//!
//! [`verify`] is what an auditor runs; a writer that opens the record goes through the same checks
//! and differs only in that it may sweep up what an interrupted append left behind.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use crate::merkle::{self, Hash};
use crate::note::{self, Checkpoint};
use crate::tiles::{self, Kind, Tile};
use crate::{Fault, MAX_RECORD_BYTES, VerifyingKey};

pub(crate) const CHECKPOINT: &str = "checkpoint";
pub(crate) const CHECKPOINT_NEXT: &str = "checkpoint.next";
pub(crate) const KEY: &str = "key.vkey";

/// A full record has 518 tile files; what holds far more is none.
const MAX_FILES: usize = 10_000;
const MAX_CHECKPOINT_BYTES: u64 = 1024;
const MAX_KEY_BYTES: u64 = 512;

/// A record that proved itself.
#[derive(Debug, Clone)]
pub struct Verified {
    /// The record's name.
    pub origin: String,
    /// Number of entries.
    pub size: u64,
    /// RFC 6962 root of all entries.
    pub root: Hash,
    /// All entries in order.
    pub entries: Vec<Vec<u8>>,
    /// The key that signed the checkpoint.
    pub key: VerifyingKey,
    /// The signed checkpoint as it lies on disk.
    pub checkpoint: Vec<u8>,
}

impl Verified {
    /// Leaf hashes of all entries: what proofs are made of.
    pub fn leaves(&self) -> Vec<Hash> {
        self.entries.iter().map(|e| merkle::leaf_hash(e)).collect()
    }
}

/// Reads every byte below `dir` and accepts them only if they are exactly the record that its
/// checkpoint signs: no file more, none less, no byte different.
///
/// With `trusted` the record must be signed by that key. Without, by the key in `key.vkey`: then
/// the caller must learn from elsewhere whose key that is.
///
/// # Errors
/// Everything that was found wrong, each with the file it is wrong with.
pub fn verify(dir: &Path, trusted: Option<&VerifyingKey>) -> Result<Verified, Vec<Fault>> {
    let found = Found::scan(dir)?;
    let head = Head::read(dir, &found, trusted)?;
    let (_, mut faults) = found.against(head.checkpoint.size);
    let body = Body::read(dir, &found, &head.checkpoint);
    match body {
        Ok(body) if faults.is_empty() => Ok(Verified {
            origin: head.checkpoint.origin,
            size: head.checkpoint.size,
            root: head.checkpoint.root,
            entries: body.entries,
            key: head.key,
            checkpoint: head.note,
        }),
        Ok(_) => Err(faults),
        Err(more) => {
            faults.extend(more);
            Err(faults)
        }
    }
}

/// Everything that lies below the record's folder.
#[derive(Debug)]
pub(crate) struct Found {
    /// Files with their length in bytes.
    files: BTreeMap<String, u64>,
    folders: BTreeSet<String>,
}

impl Found {
    pub(crate) fn scan(dir: &Path) -> Result<Self, Vec<Fault>> {
        let mut found = Self {
            files: BTreeMap::new(),
            folders: BTreeSet::new(),
        };
        let mut faults = Vec::new();
        let mut waiting = vec![String::new()];
        while let Some(folder) = waiting.pop() {
            let shown = if folder.is_empty() {
                "record"
            } else {
                folder.as_str()
            };
            let entries = match fs::read_dir(dir.join(&folder)) {
                Ok(entries) => entries,
                Err(e) => {
                    faults.push(Fault::new(
                        shown,
                        format!("cannot read the folder {}: {e}", dir.display()),
                    ));
                    continue;
                }
            };
            for entry in entries {
                let entry = match entry {
                    Ok(entry) => entry,
                    Err(e) => {
                        faults.push(Fault::new(shown, format!("cannot read the folder: {e}")));
                        break;
                    }
                };
                let name = entry.file_name();
                let Some(name) = name.to_str() else {
                    faults.push(Fault::new(shown, format!("{name:?} is no part of a record")));
                    continue;
                };
                let path = if folder.is_empty() {
                    name.to_owned()
                } else {
                    format!("{folder}/{name}")
                };
                // Of the entry itself, not of what a symbolic link points to.
                match entry.metadata() {
                    Ok(m) if m.is_file() => {
                        found.files.insert(path, m.len());
                    }
                    Ok(m) if m.is_dir() => {
                        found.folders.insert(path.clone());
                        waiting.push(path);
                    }
                    Ok(_) => faults.push(Fault::new(path, "is neither a file nor a folder")),
                    Err(e) => faults.push(Fault::new(path, format!("cannot be looked at: {e}"))),
                }
                if found.files.len() + found.folders.len() > MAX_FILES {
                    faults.push(Fault::new(
                        "record",
                        format!("more than {MAX_FILES} files: not a record"),
                    ));
                    return Err(faults);
                }
            }
        }
        if faults.is_empty() { Ok(found) } else { Err(faults) }
    }

    /// Compares with the files that a record of `size` entries has. First what is too much, with a
    /// mark whether an interrupted append may leave such a thing, then all of it as faults.
    pub(crate) fn against(&self, size: u64) -> (Extra, Vec<Fault>) {
        let mut files = BTreeSet::from([CHECKPOINT.to_owned(), KEY.to_owned()]);
        files.extend(tiles::all(size).iter().map(Tile::path));
        let mut folders = BTreeSet::new();
        for file in &files {
            folders.extend(file.match_indices('/').map(|(at, _)| file[..at].to_owned()));
        }
        let mut faults = Vec::new();
        let mut extra = Extra::default();
        for file in files.iter().filter(|f| !self.files.contains_key(*f)) {
            faults.push(Fault::new(file, "is missing"));
        }
        for file in self.files.keys().filter(|f| !files.contains(*f)) {
            if file == CHECKPOINT_NEXT || Tile::parse(file).is_some() {
                let why = format!(
                    "is no part of the record of {size} entries; if a writer stopped half way, opening the record removes it"
                );
                faults.push(Fault::new(file, why));
                extra.leftover_files.push(file.clone());
            } else {
                faults.push(Fault::new(file, "is no part of a record"));
                extra.foreign.push(file.clone());
            }
        }
        for folder in self.folders.iter().filter(|f| !folders.contains(*f)) {
            faults.push(Fault::new(
                folder,
                format!("is no folder of the record of {size} entries"),
            ));
            let inside = format!("{folder}/");
            if folder == "tile" || folder.starts_with("tile/") {
                // Deepest first, so that each is empty when its turn comes.
                extra.leftover_folders.insert(0, folder.clone());
            } else if !self.files.keys().any(|f| f.starts_with(&inside)) {
                extra.foreign.push(folder.clone());
            }
        }
        (extra, faults)
    }

    pub(crate) fn is_empty_record(&self) -> bool {
        !self.files.contains_key(CHECKPOINT)
    }

    /// The first thing found that a creation interrupted half way does not leave behind.
    pub(crate) fn foreign_to_a_new_record(&self) -> Option<&String> {
        self.folders
            .iter()
            .next()
            .or_else(|| self.files.keys().find(|f| *f != KEY && *f != CHECKPOINT_NEXT))
    }

    pub(crate) fn has(&self, file: &str) -> bool {
        self.files.contains_key(file)
    }
}

/// What lies in the folder beyond the record.
#[derive(Debug, Default)]
pub(crate) struct Extra {
    pub leftover_files: Vec<String>,
    /// Deepest first.
    pub leftover_folders: Vec<String>,
    pub foreign: Vec<String>,
}

/// Key and checkpoint.
#[derive(Debug)]
pub(crate) struct Head {
    pub key: VerifyingKey,
    pub checkpoint: Checkpoint,
    pub note: Vec<u8>,
}

impl Head {
    pub(crate) fn read(
        dir: &Path,
        found: &Found,
        trusted: Option<&VerifyingKey>,
    ) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let line = read(dir, KEY, found, MAX_KEY_BYTES).and_then(|bytes| {
            let line = std::str::from_utf8(&bytes)
                .ok()
                .and_then(|text| text.strip_suffix('\n'));
            let line = line.ok_or_else(|| Fault::new(KEY, "is not one line of text"))?;
            note::parse_verifier_line(line).map_err(|e| Fault::new(KEY, e.to_string()))
        });
        let note = read(dir, CHECKPOINT, found, MAX_CHECKPOINT_BYTES);
        let named = match line {
            Ok((origin, key)) => {
                if let Some(trusted) = trusted.filter(|t| **t != key) {
                    let what = format!(
                        "is key {}, not the trusted key {}",
                        key.key_id(),
                        trusted.key_id()
                    );
                    faults.push(Fault::new(KEY, what));
                }
                Some((origin, key))
            }
            Err(fault) => {
                faults.push(fault);
                None
            }
        };
        // The trusted key judges the checkpoint even when the key file is damaged.
        let key = trusted.copied().or(named.as_ref().map(|(_, key)| *key));
        let opened = match (note, key) {
            (Ok(note), Some(key)) => match Checkpoint::open(&note, &key) {
                Ok(checkpoint) => Some((checkpoint, note, key)),
                Err(e) => {
                    faults.push(Fault::new(CHECKPOINT, e.to_string()));
                    None
                }
            },
            (Err(fault), _) => {
                faults.push(fault);
                None
            }
            (Ok(_), None) => None,
        };
        match (opened, named) {
            (Some((checkpoint, note, key)), Some((origin, _))) if faults.is_empty() => {
                if checkpoint.origin != origin {
                    let what = format!("names {origin:?}, the checkpoint {:?}", checkpoint.origin);
                    return Err(vec![Fault::new(KEY, what)]);
                }
                Ok(Self {
                    key,
                    checkpoint,
                    note,
                })
            }
            _ => Err(faults),
        }
    }
}

/// Entries and their hashes, authenticated by the checkpoint.
#[derive(Debug)]
pub(crate) struct Body {
    pub entries: Vec<Vec<u8>>,
    pub leaves: Vec<Hash>,
}

impl Body {
    /// Reads all tiles of the tree. Missing files are not reported here: [`Found::against`] does.
    pub(crate) fn read(dir: &Path, found: &Found, checkpoint: &Checkpoint) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut total_bytes = 0_u64;
        let mut entries: Vec<Vec<u8>> = Vec::new();
        let mut entries_whole = true;
        // Level 0 as the tiles have it, to tell a damaged bundle from a damaged tile.
        let mut tiled: Vec<Hash> = Vec::new();
        let mut tiled_whole = true;
        let mut upper: Vec<(Tile, Vec<u8>)> = Vec::new();
        let mut level_0: Vec<(Tile, Vec<u8>)> = Vec::new();
        let mut bundles: Vec<(Tile, Option<Vec<Vec<u8>>>)> = Vec::new();
        for tile in tiles::all(checkpoint.size) {
            let path = tile.path();
            let bytes = if found.has(&path) {
                read(dir, &path, found, tiles::max_bytes(&tile))
                    .map_err(|fault| faults.push(fault))
                    .ok()
            } else {
                None
            };
            total_bytes += bytes.as_ref().map_or(0, |b| b.len() as u64);
            if total_bytes > 2 * MAX_RECORD_BYTES {
                faults.push(Fault::new("record", "is larger than a record may be"));
                return Err(faults);
            }
            match tile.kind {
                Kind::Entries => {
                    let cut = bytes.map(|b| tiles::split_bundle(&b, tile.width));
                    let cut = match cut {
                        Some(Ok(cut)) => Some(cut),
                        Some(Err(why)) => {
                            faults.push(Fault::new(&path, why));
                            None
                        }
                        None => None,
                    };
                    entries_whole &= cut.is_some();
                    bundles.push((tile, cut));
                }
                Kind::Hashes(0) => match bytes {
                    Some(b) if b.len() == usize::from(tile.width) * 32 => {
                        tiled.extend(b.as_chunks::<32>().0);
                        level_0.push((tile, b));
                    }
                    Some(b) => {
                        tiled_whole = false;
                        faults.push(Fault::new(&path, wrong_length(&tile, b.len())));
                    }
                    None => tiled_whole = false,
                },
                Kind::Hashes(_) => upper.extend(bytes.map(|b| (tile, b))),
            }
        }
        if entries_whole {
            entries = bundles
                .iter()
                .filter_map(|(_, cut)| cut.as_ref())
                .flatten()
                .cloned()
                .collect();
        }
        let hashed: Vec<Hash> = entries.iter().map(|e| merkle::leaf_hash(e)).collect();
        let entries_right = entries_whole && merkle::root(&hashed) == checkpoint.root;
        let tiled_right = tiled_whole && merkle::root(&tiled) == checkpoint.root;
        let leaves = match (entries_right, tiled_right) {
            (true, _) => hashed,
            (false, true) => {
                blame_bundles(&bundles, &tiled, &mut faults);
                tiled
            }
            (false, false) => {
                blame_both(&bundles, &level_0, &mut faults);
                return Err(faults);
            }
        };
        for (tile, bytes) in level_0.iter().chain(&upper) {
            let Kind::Hashes(level) = tile.kind else { continue };
            if bytes.len() != usize::from(tile.width) * 32 {
                faults.push(Fault::new(tile.path(), wrong_length(tile, bytes.len())));
            } else if *bytes != tiles::hash_tile(&leaves, level, tile.index, tile.width) {
                faults.push(Fault::new(
                    tile.path(),
                    "holds other hashes than the signed root demands",
                ));
            }
        }
        // A file that is missing leaves a hole without a fault of its own here.
        let whole = faults.is_empty() && entries_right;
        if whole {
            Ok(Self { entries, leaves })
        } else {
            Err(faults)
        }
    }
}

type Bundles = [(Tile, Option<Vec<Vec<u8>>>)];

fn blame_bundles(bundles: &Bundles, leaves: &[Hash], faults: &mut Vec<Fault>) {
    for (tile, cut) in bundles {
        let first = (tile.index * tiles::FULL) as usize;
        for (place, entry) in cut.iter().flatten().enumerate() {
            if merkle::leaf_hash(entry) != leaves[first + place] {
                let what = format!(
                    "entry {} is not the one that the signed root demands",
                    first + place
                );
                faults.push(Fault::new(tile.path(), what));
            }
        }
    }
}

/// Neither side gives the signed root: each file is named that disagrees with its counterpart, or
/// all of them when every file agrees with the others.
fn blame_both(bundles: &Bundles, level_0: &[(Tile, Vec<u8>)], faults: &mut Vec<Fault>) {
    let mut named = !faults.is_empty();
    for (tile, cut) in bundles {
        let Some(cut) = cut else { continue };
        let hashes: Vec<u8> = cut.iter().flat_map(|e| merkle::leaf_hash(e)).collect();
        if let Some((other, bytes)) = level_0.iter().find(|(t, _)| t.index == tile.index)
            && *bytes != hashes
        {
            named = true;
            faults.push(Fault::new(tile.path(), format!("contradicts {}", other.path())));
            faults.push(Fault::new(other.path(), format!("contradicts {}", tile.path())));
        }
    }
    if !named {
        for (tile, _) in bundles {
            faults.push(Fault::new(
                tile.path(),
                "its entries are not those that the checkpoint signs",
            ));
        }
    }
}

fn wrong_length(tile: &Tile, bytes: usize) -> String {
    format!("has {bytes} bytes instead of {}", usize::from(tile.width) * 32)
}

fn read(dir: &Path, file: &str, found: &Found, max_bytes: u64) -> Result<Vec<u8>, Fault> {
    let Some(length) = found.files.get(file) else {
        return Err(Fault::new(file, "is missing"));
    };
    if *length > max_bytes {
        return Err(Fault::new(
            file,
            format!("has {length} bytes, more than the {max_bytes} it may have"),
        ));
    }
    let mut bytes = Vec::new();
    let opened = File::open(dir.join(file));
    opened
        .and_then(|f| f.take(max_bytes + 1).read_to_end(&mut bytes))
        .map_err(|e| Fault::new(file, format!("cannot be read: {e}")))?;
    Ok(bytes)
}
