//! Writing a record: create, open after whatever happened, append.
//!
//! # The commit point
//!
//! An append writes bundles and tiles under names that the present checkpoint does not cover, syncs
//! them and their folders, and only then renames a new checkpoint into place. Before the rename the
//! old record stands, after it the new one; partial tiles that the new ones replace are deleted last.
//! [`Record::open`] sweeps up after an append that stopped anywhere in between.

use std::collections::BTreeSet;
use std::fs::{File, TryLockError};
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::check::{Body, CHECKPOINT, CHECKPOINT_NEXT, Found, Head, KEY};
use crate::disk::{Disk, RealDisk};
use crate::merkle::{self, Hash};
use crate::note::{self, Checkpoint};
use crate::tiles::{self, FULL, Kind, Tile};
use crate::{Fault, MAX_ENTRIES, MAX_ENTRY_BYTES, MAX_RECORD_BYTES, RecordError, SigningKey, VerifyingKey};

/// The one writer of a record. Others can read and verify the folder at any time; a second writer
/// is refused while this one lives.
#[derive(Debug)]
pub struct Record {
    dir: PathBuf,
    origin: String,
    key: SigningKey,
    entries: Vec<Vec<u8>>,
    leaves: Vec<Hash>,
    bytes: u64,
    note: String,
    interrupted: Option<String>,
    disk: Box<dyn Disk>,
    /// The folder itself, locked: a lock file would be one more file to account for.
    _lock: File,
}

impl Record {
    /// Starts an empty record in `dir`, which must be empty or not exist (its parent must).
    ///
    /// `origin` names the record for ever, for instance `starvault/2026-11-22T10:00:00Z`: no space, no plus sign.
    pub fn create(dir: &Path, origin: &str, key: &SigningKey) -> Result<Self, RecordError> {
        Self::create_on(Box::new(RealDisk), dir, origin, key)
    }

    /// Opens a record to append to it: checks every byte, removes what an interrupted append left.
    pub fn open(dir: &Path, key: &SigningKey) -> Result<Self, RecordError> {
        Self::open_on(Box::new(RealDisk), dir, key)
    }

    pub(crate) fn create_on(
        disk: Box<dyn Disk>,
        dir: &Path,
        origin: &str,
        key: &SigningKey,
    ) -> Result<Self, RecordError> {
        note::check_origin(origin).map_err(|why| RecordError::Origin {
            origin: origin.to_owned(),
            why,
        })?;
        disk.create_folder(dir)
            .map_err(RecordError::io(dir, "cannot create the record's folder"))?;
        let lock = lock(dir)?;
        let found = Found::scan(dir).map_err(|faults| damaged(dir, faults))?;
        if !found.is_empty_record() {
            return Err(RecordError::Exists { path: dir.to_owned() });
        }
        if let Some(found) = found.foreign_to_a_new_record() {
            return Err(RecordError::NotEmpty {
                path: dir.to_owned(),
                found: found.clone(),
            });
        }
        for leftover in [KEY, CHECKPOINT_NEXT].into_iter().filter(|f| found.has(f)) {
            let path = dir.join(leftover);
            disk.remove_file(&path)
                .map_err(RecordError::io(&path, "cannot remove"))?;
        }
        let mut record = Self {
            dir: dir.to_owned(),
            origin: origin.to_owned(),
            key: key.clone(),
            entries: Vec::new(),
            leaves: Vec::new(),
            bytes: 0,
            note: String::new(),
            interrupted: None,
            disk,
            _lock: lock,
        };
        let line = note::verifier_line(origin, &key.verifying_key()) + "\n";
        record.write_new(KEY, line.as_bytes())?;
        record.sync_folder(Path::new(""))?;
        record.commit(&[])?;
        if let Some(parent) = dir.parent() {
            let parent = if parent.as_os_str().is_empty() {
                Path::new(".")
            } else {
                parent
            };
            let synced = record.disk.sync_folder(parent);
            synced.map_err(RecordError::io(parent, "cannot sync the folder"))?;
        }
        Ok(record)
    }

    pub(crate) fn open_on(disk: Box<dyn Disk>, dir: &Path, key: &SigningKey) -> Result<Self, RecordError> {
        if !dir.is_dir() {
            return Err(RecordError::Missing { path: dir.to_owned() });
        }
        let lock = lock(dir)?;
        let found = Found::scan(dir).map_err(|faults| damaged(dir, faults))?;
        if found.is_empty_record() {
            return Err(RecordError::Missing { path: dir.to_owned() });
        }
        // First by its own key, so that a wrong key is told from a damaged record.
        let head = Head::read(dir, &found, None).map_err(|faults| damaged(dir, faults))?;
        if head.key != key.verifying_key() {
            return Err(RecordError::OtherKey {
                path: dir.to_owned(),
                recorded: head.key.key_id(),
                given: key.verifying_key().key_id(),
            });
        }
        let checkpoint = head.checkpoint;
        let body = Body::read(dir, &found, &checkpoint);
        let (extra, mut faults) = found.against(checkpoint.size);
        faults
            .retain(|f| !extra.leftover_files.contains(&f.part) && !extra.leftover_folders.contains(&f.part));
        let body = match body {
            Ok(body) if faults.is_empty() => body,
            Ok(_) => return Err(damaged(dir, faults)),
            Err(more) => {
                faults.extend(more);
                return Err(damaged(dir, faults));
            }
        };
        // Only now that the record is known to be whole is anything deleted.
        for file in &extra.leftover_files {
            let path = dir.join(file);
            disk.remove_file(&path)
                .map_err(RecordError::io(&path, "cannot remove what an append left behind"))?;
        }
        for folder in &extra.leftover_folders {
            let path = dir.join(folder);
            disk.remove_folder(&path)
                .map_err(RecordError::io(&path, "cannot remove what an append left behind"))?;
        }
        // What this process sees may be what the last one had not yet synced.
        disk.sync_folder(dir)
            .map_err(RecordError::io(dir, "cannot sync the folder"))?;
        Ok(Self {
            dir: dir.to_owned(),
            origin: checkpoint.origin,
            key: key.clone(),
            bytes: body.entries.iter().map(|e| e.len() as u64).sum(),
            entries: body.entries,
            leaves: body.leaves,
            note: String::from_utf8_lossy(&head.note).into_owned(),
            interrupted: None,
            disk,
            _lock: lock,
        })
    }

    /// Appends all of `entries` or none of them. When it returns they are on disk for good.
    ///
    /// # Errors
    /// After an I/O error it is unknown whether they are in: this `Record` then refuses to go on,
    /// and [`Record::open`] tells. Entries beyond the limits change nothing.
    pub fn append(&mut self, entries: &[Vec<u8>]) -> Result<Range<u64>, RecordError> {
        if let Some(cause) = &self.interrupted {
            return Err(RecordError::Interrupted { cause: cause.clone() });
        }
        let old = self.size();
        let bytes: u64 = entries.iter().map(|e| e.len() as u64).sum();
        if let Some((position, entry)) = entries
            .iter()
            .enumerate()
            .find(|(_, e)| e.len() > MAX_ENTRY_BYTES)
        {
            return Err(RecordError::EntryTooLong {
                position,
                bytes: entry.len(),
                max: MAX_ENTRY_BYTES,
            });
        }
        if old + entries.len() as u64 > MAX_ENTRIES {
            return Err(RecordError::Full {
                what: "the number of entries",
                max: MAX_ENTRIES,
            });
        }
        if self.bytes + bytes > MAX_RECORD_BYTES {
            return Err(RecordError::Full {
                what: "the sum of all entries' bytes",
                max: MAX_RECORD_BYTES,
            });
        }
        if entries.is_empty() {
            return Ok(old..old);
        }
        self.entries.extend_from_slice(entries);
        self.leaves.extend(entries.iter().map(|e| merkle::leaf_hash(e)));
        let note = self.note.clone();
        if let Err(error) = self.commit(&tiles::all(old)) {
            // What was not acknowledged is not shown either.
            self.entries.truncate(old as usize);
            self.leaves.truncate(old as usize);
            self.note = note;
            self.interrupted = Some(error.to_string());
            return Err(error);
        }
        self.bytes += bytes;
        Ok(old..self.size())
    }

    /// Number of entries.
    pub fn size(&self) -> u64 {
        self.leaves.len() as u64
    }

    /// RFC 6962 root of all entries.
    pub fn root(&self) -> Hash {
        merkle::root(&self.leaves)
    }

    /// The record's name.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The record's folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The public half of the key that signs the record.
    pub fn verifying_key(&self) -> VerifyingKey {
        self.key.verifying_key()
    }

    /// The signed checkpoint of the present size, as it lies on disk.
    pub fn checkpoint(&self) -> &str {
        &self.note
    }

    /// Entry number `index`, counted from 0.
    pub fn entry(&self, index: u64) -> Result<&[u8], RecordError> {
        let entry = usize::try_from(index).ok().and_then(|i| self.entries.get(i));
        entry.map(Vec::as_slice).ok_or(RecordError::NoSuchEntry {
            index,
            size: self.size(),
        })
    }

    /// All entries in order.
    pub fn entries(&self) -> &[Vec<u8>] {
        &self.entries
    }

    /// Leaf hashes of all entries: what [`merkle`]'s proofs are made of.
    pub fn leaves(&self) -> &[Hash] {
        &self.leaves
    }

    /// Writes the tiles that `before` lacks, then the checkpoint, then removes the tiles it replaced.
    fn commit(&mut self, before: &[Tile]) -> Result<(), RecordError> {
        let before: BTreeSet<Tile> = before.iter().copied().collect();
        let now: BTreeSet<Tile> = tiles::all(self.size()).into_iter().collect();
        let mut touched: BTreeSet<PathBuf> = BTreeSet::new();
        for tile in now.difference(&before) {
            let path = PathBuf::from(tile.path());
            for folder in path.ancestors().skip(1).collect::<Vec<_>>().into_iter().rev() {
                if !folder.as_os_str().is_empty() {
                    let folder = self.dir.join(folder);
                    let made = self.disk.create_folder(&folder);
                    made.map_err(RecordError::io(&folder, "cannot create the folder"))?;
                }
                touched.insert(folder.to_owned());
            }
            self.write_new(&tile.path(), &self.tile_bytes(tile))?;
        }
        for folder in &touched {
            self.sync_folder(folder)?;
        }
        let checkpoint = Checkpoint {
            origin: self.origin.clone(),
            size: self.size(),
            root: self.root(),
        };
        let note = checkpoint.sign(&self.key);
        self.write_new(CHECKPOINT_NEXT, note.as_bytes())?;
        let (next, current) = (self.dir.join(CHECKPOINT_NEXT), self.dir.join(CHECKPOINT));
        self.disk
            .rename(&next, &current)
            .map_err(RecordError::io(&current, "cannot put the checkpoint in place"))?;
        self.sync_folder(Path::new(""))?;
        self.note = note;

        for tile in before.difference(&now) {
            let path = self.dir.join(tile.path());
            self.disk
                .remove_file(&path)
                .map_err(RecordError::io(&path, "cannot remove the replaced tile"))?;
            // The `.p` folder goes with its last tile; a new partial tile in it keeps it.
            let folder = path.parent().expect("a tile's path has folders");
            let still_used = now
                .iter()
                .any(|t| self.dir.join(t.path()).parent() == Some(folder));
            if !still_used {
                let removed = self.disk.remove_folder(folder);
                removed.map_err(RecordError::io(folder, "cannot remove the empty folder"))?;
            }
        }
        Ok(())
    }

    fn tile_bytes(&self, tile: &Tile) -> Vec<u8> {
        match tile.kind {
            Kind::Entries => {
                let first = (tile.index * FULL) as usize;
                let entries = &self.entries[first..first + usize::from(tile.width)];
                tiles::bundle(entries.iter().map(Vec::as_slice))
            }
            Kind::Hashes(level) => tiles::hash_tile(&self.leaves, level, tile.index, tile.width),
        }
    }

    fn write_new(&self, file: &str, bytes: &[u8]) -> Result<(), RecordError> {
        let path = self.dir.join(file);
        self.disk
            .write_new(&path, bytes)
            .map_err(RecordError::io(&path, "cannot write"))
    }

    fn sync_folder(&self, folder: &Path) -> Result<(), RecordError> {
        let path = self.dir.join(folder);
        self.disk
            .sync_folder(&path)
            .map_err(RecordError::io(&path, "cannot sync the folder"))
    }
}

fn lock(dir: &Path) -> Result<File, RecordError> {
    let folder = File::open(dir).map_err(RecordError::io(dir, "cannot open the record's folder"))?;
    match folder.try_lock() {
        Ok(()) => Ok(folder),
        Err(TryLockError::WouldBlock) => Err(RecordError::Locked { path: dir.to_owned() }),
        Err(TryLockError::Error(source)) => {
            Err(RecordError::io(dir, "cannot lock the record's folder")(source))
        }
    }
}

fn damaged(dir: &Path, faults: Vec<Fault>) -> RecordError {
    RecordError::Damaged {
        path: dir.to_owned(),
        faults,
    }
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
