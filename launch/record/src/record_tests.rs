//! Every file operation of create, open and append, broken in every way, and what reopening finds.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use super::*;
use crate::verify;

/// How the machine stops at an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// Before it, without an effect.
    Before,
    /// In the middle: a file gets half of its bytes.
    Torn,
    /// After it, before anybody hears.
    After,
    /// As `Before`, and everything that was not synced is gone: content of files and names in folders.
    PowerLoss,
}

/// A disk that works until operation number `at`; from then on nothing works any more. It knows what is
/// synced and spares the machine the syncing.
#[derive(Debug, Clone)]
struct BreakingDisk(Arc<Mutex<Breaking>>);

#[derive(Debug)]
struct Breaking {
    at: usize,
    stop: Stop,
    count: usize,
    stopped: bool,
    /// Names that their folder does not hold for good yet: path → what was there before.
    unsynced: BTreeMap<PathBuf, Option<Vec<u8>>>,
}

impl BreakingDisk {
    fn new(at: usize, stop: Stop) -> Self {
        let unsynced = BTreeMap::new();
        Self(Arc::new(Mutex::new(Breaking {
            at,
            stop,
            count: 0,
            stopped: false,
            unsynced,
        })))
    }

    fn stopped(&self) -> bool {
        self.0.lock().unwrap().stopped
    }

    fn run(&self, torn: impl FnOnce(), real: impl FnOnce(&mut Breaking) -> io::Result<()>) -> io::Result<()> {
        let mut this = self.0.lock().unwrap();
        if this.stopped {
            return Err(io::Error::other("the machine is off"));
        }
        let here = this.count == this.at;
        this.count += 1;
        if !here {
            return real(&mut this);
        }
        this.stopped = true;
        match this.stop {
            Stop::Before => {}
            Stop::Torn => torn(),
            Stop::After => real(&mut this)?,
            Stop::PowerLoss => {
                // Deepest first: a folder goes after what is in it.
                for (path, before) in std::mem::take(&mut this.unsynced).into_iter().rev() {
                    match before {
                        Some(bytes) => {
                            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                            std::fs::write(&path, bytes).unwrap();
                        }
                        None if path.is_dir() => drop(std::fs::remove_dir_all(&path)),
                        None => drop(std::fs::remove_file(&path)),
                    }
                }
            }
        }
        Err(io::Error::other("the machine went off"))
    }
}

impl Disk for BreakingDisk {
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.run(
            || (),
            |this| {
                if !path.exists() {
                    this.unsynced.insert(path.to_owned(), None);
                }
                RealDisk.create_folder(path)
            },
        )
    }

    fn write_new(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.run(
            || std::fs::write(path, &bytes[..bytes.len() / 2]).unwrap(),
            |this| {
                this.unsynced.insert(path.to_owned(), None);
                std::fs::OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .open(path)?
                    .write_all(bytes)
            },
        )
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.run(
            || (),
            |this| {
                this.unsynced.retain(|name, _| name.parent() != Some(path));
                Ok(())
            },
        )
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.run(
            || (),
            |this| {
                let before = std::fs::read(to).ok();
                this.unsynced.remove(from);
                this.unsynced.insert(to.to_owned(), before);
                RealDisk.rename(from, to)
            },
        )
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.run(
            || (),
            |this| {
                this.unsynced.insert(path.to_owned(), Some(std::fs::read(path)?));
                RealDisk.remove_file(path)
            },
        )
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        // A folder that comes back empty is harmless; its files are restored only with it.
        self.run(|| (), |_| RealDisk.remove_folder(path))
    }
}

fn healthy() -> Box<dyn Disk> {
    Box::new(BreakingDisk::new(usize::MAX, Stop::Before))
}

fn key() -> SigningKey {
    SigningKey::from_seed([1; 32])
}

fn entries(from: u64, to: u64) -> Vec<Vec<u8>> {
    (from..to)
        .map(|n| format!("entry number {n}").into_bytes())
        .collect()
}

/// Runs `work` with a stop at every operation it makes, in every way; `after` looks at the folder.
fn at_every_stop(
    prepare: impl Fn(&Path),
    work: impl Fn(BreakingDisk, &Path) -> Result<(), RecordError>,
    after: impl Fn(&Path, &str),
) {
    for stop in [Stop::Before, Stop::Torn, Stop::After, Stop::PowerLoss] {
        for at in 0.. {
            assert!(at < 500, "the work never ends");
            let home = tempfile::tempdir().unwrap();
            let dir = home.path().join("record");
            prepare(&dir);
            let disk = BreakingDisk::new(at, stop);
            let done = work(disk.clone(), &dir);
            if !disk.stopped() {
                done.unwrap();
                assert!(at > 0, "no operation was broken");
                break;
            }
            assert!(done.is_err(), "{stop:?} at operation {at} was not noticed");
            after(&dir, &format!("{stop:?} at operation {at}"));
        }
    }
}

#[test]
fn an_append_that_stops_anywhere_leaves_the_old_record_or_the_new_one() {
    // From empty; within a tile; across a tile and into a new level; across a tile within a level.
    for (old, new) in [(0, 1), (3, 7), (254, 259), (511, 513)] {
        at_every_stop(
            |dir| {
                let mut record = Record::create_on(healthy(), dir, "test", &key()).unwrap();
                record.append(&entries(0, old)).unwrap();
            },
            |disk, dir| {
                Record::open_on(Box::new(disk), dir, &key())?
                    .append(&entries(old, new))
                    .map(drop)
            },
            |dir, how| {
                let mut record = Record::open_on(healthy(), dir, &key())
                    .unwrap_or_else(|e| panic!("{old}→{new}, {how}: {e}"));
                assert!(
                    record.size() == old || record.size() == new,
                    "{old}→{new}, {how}: {}",
                    record.size()
                );
                assert_eq!(record.entries(), entries(0, record.size()), "{old}→{new}, {how}");
                let verified = verify(dir, Some(&key().verifying_key())).unwrap();
                assert_eq!(verified.size, record.size());
                // It goes on from there.
                record.append(&entries(record.size(), new + 2)).unwrap();
                assert_eq!(
                    verify(dir, None).unwrap().entries,
                    entries(0, new + 2),
                    "{old}→{new}, {how}"
                );
            },
        );
    }
}

#[test]
fn what_was_acknowledged_survives_a_power_loss_at_once() {
    // Stops at the first operation after the append: nothing may be lost by then.
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("record");
    Record::create(&dir, "test", &key()).unwrap();
    let disk = BreakingDisk::new(usize::MAX, Stop::PowerLoss);
    let mut record = Record::open_on(Box::new(disk.clone()), &dir, &key()).unwrap();
    record.append(&entries(0, 300)).unwrap();
    {
        let mut this = disk.0.lock().unwrap();
        this.at = this.count;
    }
    assert!(disk.create_folder(&dir.join("x")).is_err());
    drop(record);
    assert_eq!(Record::open(&dir, &key()).unwrap().entries(), entries(0, 300));
}

#[test]
fn a_creation_that_stops_anywhere_can_be_repeated_or_is_complete() {
    at_every_stop(
        |_| (),
        |disk, dir| Record::create_on(Box::new(disk), dir, "test", &key()).map(drop),
        |dir, how| {
            let record = match Record::create_on(healthy(), dir, "test", &key()) {
                Err(RecordError::Exists { .. }) => Record::open_on(healthy(), dir, &key()),
                other => other,
            };
            assert_eq!(record.unwrap_or_else(|e| panic!("{how}: {e}")).size(), 0);
            assert_eq!(verify(dir, None).unwrap().size, 0, "{how}");
        },
    );
}

#[test]
fn an_opening_that_stops_anywhere_can_be_repeated() {
    at_every_stop(
        |dir| {
            let mut record = Record::create_on(healthy(), dir, "test", &key()).unwrap();
            record.append(&entries(0, 5)).unwrap();
            drop(record);
            // What an append of three entries leaves that stopped before its checkpoint.
            std::fs::write(dir.join("tile/0/000.p/8"), b"half").unwrap();
            std::fs::write(dir.join("tile/entries/000.p/8"), b"").unwrap();
            std::fs::create_dir_all(dir.join("tile/1/000.p")).unwrap();
            std::fs::write(dir.join("tile/1/000.p/1"), b"x").unwrap();
            std::fs::write(dir.join("checkpoint.next"), b"y").unwrap();
        },
        |disk, dir| Record::open_on(Box::new(disk), dir, &key()).map(drop),
        |dir, how| {
            let record = Record::open_on(healthy(), dir, &key()).unwrap_or_else(|e| panic!("{how}: {e}"));
            assert_eq!(record.entries(), entries(0, 5), "{how}");
            verify(dir, None).unwrap_or_else(|e| panic!("{how}: {e:?}"));
        },
    );
}

#[test]
fn a_writer_that_failed_half_way_refuses_to_go_on() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("record");
    Record::create(&dir, "test", &key()).unwrap();
    let mut record = Record::open_on(Box::new(BreakingDisk::new(3, Stop::Before)), &dir, &key()).unwrap();
    assert!(matches!(
        record.append(&entries(0, 1)),
        Err(RecordError::Io { .. })
    ));
    assert_eq!(record.size(), 0);
    assert!(matches!(
        record.append(&entries(0, 1)),
        Err(RecordError::Interrupted { .. })
    ));
}

/// RFC 6962 by its letter: the largest power of two below n, again and again.
fn naive_root(entries: &[Vec<u8>]) -> Hash {
    match entries.len() {
        0 => merkle::root(&[]),
        1 => merkle::leaf_hash(&entries[0]),
        n => {
            let mut k = 1;
            while k * 2 < n {
                k *= 2;
            }
            merkle::node_hash(&naive_root(&entries[..k]), &naive_root(&entries[k..]))
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn proofs_convince_for_the_right_entry_and_for_no_other(size in 1_u64..80, index in 0_u64..80, other in 0_u64..80) {
        let all = entries(0, size);
        let leaves: Vec<Hash> = all.iter().map(|e| merkle::leaf_hash(e)).collect();
        let root = naive_root(&all);
        prop_assert_eq!(merkle::root(&leaves), root);
        let Some(proof) = merkle::inclusion_proof(&leaves, index) else {
            prop_assert!(index >= size);
            return Ok(());
        };
        let leaf = leaves[index as usize];
        prop_assert_eq!(merkle::verify_inclusion(&leaf, index, size, &proof, &root), Ok(()));
        prop_assert!(merkle::verify_inclusion(&merkle::leaf_hash(b"else"), index, size, &proof, &root).is_err());
        if other != index {
            prop_assert!(merkle::verify_inclusion(&leaf, other, size, &proof, &root).is_err());
        }
        prop_assert!(merkle::verify_inclusion(&leaf, index, size, &[&proof[..], &[leaf]].concat(), &root).is_err());
        if let Some((_, shorter)) = proof.split_last() {
            prop_assert!(merkle::verify_inclusion(&leaf, index, size, shorter, &root).is_err());
        }
    }

    #[test]
    fn consistency_holds_for_the_beginning_and_for_nothing_else(old in 0_u64..80, more in 0_u64..80) {
        let new = old + more;
        let all = entries(0, new);
        let leaves: Vec<Hash> = all.iter().map(|e| merkle::leaf_hash(e)).collect();
        let (old_root, new_root) = (naive_root(&all[..old as usize]), naive_root(&all));
        let proof = merkle::consistency_proof(&leaves, old).unwrap();
        prop_assert_eq!(merkle::verify_consistency(old, new, &proof, &old_root, &new_root), Ok(()));
        let forged = merkle::leaf_hash(b"forged");
        prop_assert!(merkle::verify_consistency(old, new, &proof, &forged, &new_root).is_err());
        if old > 0 {
            prop_assert!(merkle::verify_consistency(old, new, &proof, &old_root, &forged).is_err());
        }
        prop_assert!(merkle::verify_consistency(old, new, &[&proof[..], &[forged]].concat(), &old_root, &new_root).is_err());
        if let Some((_, shorter)) = proof.split_last() {
            prop_assert!(merkle::verify_consistency(old, new, shorter, &old_root, &new_root).is_err());
        }
        prop_assert!(merkle::consistency_proof(&leaves, new + 1).is_none());
    }
}

#[test]
fn the_hashes_are_those_of_certificate_transparency() {
    // The reference tree of the Certificate Transparency implementation: eight known entries.
    let inputs = [
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    ];
    let leaves: Vec<Hash> = inputs
        .iter()
        .map(|i| merkle::leaf_hash(&hex::decode(i).unwrap()))
        .collect();
    for (size, root) in [
        (
            0,
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ),
        (
            1,
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        ),
        (
            2,
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        ),
        (
            3,
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        ),
        (
            5,
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        ),
        (
            8,
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ),
    ] {
        assert_eq!(hex::encode(merkle::root(&leaves[..size])), root, "{size}");
    }
}

#[test]
fn a_second_writer_is_refused_while_the_first_lives() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("record");
    let first = Record::create(&dir, "test", &key()).unwrap();
    assert!(matches!(
        Record::open(&dir, &key()),
        Err(RecordError::Locked { .. })
    ));
    drop(first);
    Record::open(&dir, &key()).unwrap();
    let names: BTreeSet<_> = std::fs::read_dir(&dir)
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(names.len(), 2, "the lock leaves nothing behind: {names:?}");
}
