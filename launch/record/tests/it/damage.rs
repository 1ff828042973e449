//! Any change to a record on disk is found, and its file is named.

use std::fs;
use std::path::{Path, PathBuf};

use tminus_record::{Fault, Record, RecordError, SigningKey, verify};

fn key() -> SigningKey {
    SigningKey::from_seed([5; 32])
}

fn record_of(size: u64) -> (tempfile::TempDir, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("record");
    let mut record = Record::create(&dir, "example.com/launch", &key()).unwrap();
    let entries: Vec<Vec<u8>> = (0..size).map(|n| format!("{{\"n\":{n}}}").into_bytes()).collect();
    let (first, rest) = entries.split_at(entries.len() / 2);
    record.append(first).unwrap();
    record.append(rest).unwrap();
    (home, dir)
}

fn files(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut waiting = vec![dir.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else {
                found.push(path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

#[track_caller]
fn named(dir: &Path, file: &str, what: &str) {
    for trusted in [None, Some(&key().verifying_key())] {
        let faults: Vec<Fault> = verify(dir, trusted).map(drop).expect_err(what);
        assert!(
            faults.iter().any(|f| f.part == file),
            "{what}: {file} is not named in {faults:?}"
        );
    }
}

#[test]
fn a_record_has_exactly_the_files_of_its_format() {
    let (_home, dir) = record_of(300);
    assert_eq!(
        files(&dir),
        [
            "checkpoint",
            "key.vkey",
            "tile/0/000",
            "tile/0/001.p/44",
            "tile/1/000.p/1",
            "tile/entries/000",
            "tile/entries/001.p/44",
        ]
    );
    let verified = verify(&dir, Some(&key().verifying_key())).unwrap();
    assert_eq!(
        (verified.size, verified.origin.as_str()),
        (300, "example.com/launch")
    );
    assert_eq!(verified.entries[299], b"{\"n\":299}");
}

#[test]
fn every_flipped_byte_is_found_and_its_file_named() {
    let (_home, dir) = record_of(7);
    for file in files(&dir) {
        let path = dir.join(&file);
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            for mask in [0x01, 0x20, 0x80] {
                let mut other = whole.clone();
                other[at] ^= mask;
                fs::write(&path, other).unwrap();
                named(&dir, &file, &format!("{file}, byte {at} ^ {mask:#x}"));
            }
        }
        fs::write(&path, whole).unwrap();
    }
    verify(&dir, None).unwrap();
}

#[test]
fn a_flipped_byte_in_a_large_record_names_one_file_only() {
    let (_home, dir) = record_of(300);
    for (file, at) in [
        ("tile/0/000", 100),
        ("tile/0/001.p/44", 3),
        ("tile/1/000.p/1", 31),
        ("tile/entries/000", 900),
    ] {
        let path = dir.join(file);
        let whole = fs::read(&path).unwrap();
        let mut other = whole.clone();
        other[at] ^= 1;
        fs::write(&path, other).unwrap();
        let faults = verify(&dir, None).map(drop).expect_err(file);
        assert!(faults.iter().all(|f| f.part == file), "{file}: {faults:?}");
        fs::write(&path, whole).unwrap();
    }
}

#[test]
fn cut_lengthened_removed_and_added_files_are_found() {
    let (_home, dir) = record_of(7);
    for file in files(&dir) {
        let path = dir.join(&file);
        let whole = fs::read(&path).unwrap();
        for length in [0, whole.len() / 2, whole.len() - 1] {
            fs::write(&path, &whole[..length]).unwrap();
            named(&dir, &file, &format!("{file} cut to {length}"));
        }
        for more in [&b"\n"[..], b"\0", &whole] {
            fs::write(&path, [&whole[..], more].concat()).unwrap();
            named(&dir, &file, &format!("{file} lengthened"));
        }
        fs::remove_file(&path).unwrap();
        named(&dir, &file, &format!("{file} removed"));
        fs::write(&path, whole).unwrap();
    }
    for file in [
        "notes.txt",
        "checkpoint.next",
        "tile/0/000.p/3",
        "tile/2/000.p/1",
        "tile/0/.hidden",
        "tile/x",
    ] {
        let path = dir.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, b"").unwrap();
        named(&dir, file, &format!("{file} added"));
        fs::remove_file(&path).unwrap();
        let _ = fs::remove_dir_all(dir.join("tile/2"));
    }
    for folder in ["more", "tile/2", "tile/0/000.p/sub"] {
        fs::create_dir_all(dir.join(folder)).unwrap();
        named(&dir, folder, &format!("folder {folder} added"));
        fs::remove_dir_all(dir.join(folder)).unwrap();
    }
    verify(&dir, None).unwrap();
}

#[cfg(unix)]
#[test]
fn a_symbolic_link_is_no_file_of_a_record_even_to_the_right_bytes() {
    let (home, dir) = record_of(7);
    for file in files(&dir) {
        let (path, away) = (dir.join(&file), home.path().join("away"));
        fs::rename(&path, &away).unwrap();
        std::os::unix::fs::symlink(&away, &path).unwrap();
        named(&dir, &file, &format!("{file} as a link"));
        fs::remove_file(&path).unwrap();
        fs::rename(&away, &path).unwrap();
    }
    verify(&dir, None).unwrap();
}

#[test]
fn a_record_signed_with_another_key_is_not_the_trusted_one() {
    let (_home, dir) = record_of(3);
    let other = SigningKey::from_seed([6; 32]);
    let faults = verify(&dir, Some(&other.verifying_key())).map(drop).unwrap_err();
    assert!(
        faults
            .iter()
            .any(|f| f.part == "key.vkey" && f.what.contains("not the trusted key")),
        "{faults:?}"
    );
    assert!(matches!(
        Record::open(&dir, &other),
        Err(RecordError::OtherKey { .. })
    ));
}

#[test]
fn an_older_checkpoint_over_newer_files_is_found() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("record");
    let mut record = Record::create(&dir, "example.com/launch", &key()).unwrap();
    record.append(&[b"one".to_vec()]).unwrap();
    let older = fs::read(dir.join("checkpoint")).unwrap();
    record.append(&[b"two".to_vec()]).unwrap();
    fs::write(dir.join("checkpoint"), older).unwrap();
    named(&dir, "tile/entries/000.p/2", "rolled back");
}

#[test]
fn opening_a_damaged_record_changes_nothing_and_says_where() {
    let (_home, dir) = record_of(7);
    fs::write(dir.join("checkpoint.next"), b"left over").unwrap();
    let bundle = dir.join("tile/entries/000.p/7");
    let mut bytes = fs::read(&bundle).unwrap();
    bytes[5] ^= 1;
    fs::write(&bundle, bytes).unwrap();
    let before = files(&dir);
    let Err(RecordError::Damaged { faults, .. }) = Record::open(&dir, &key()) else {
        panic!("opened")
    };
    assert!(
        faults
            .iter()
            .any(|f| f.part == "tile/entries/000.p/7" && f.what.contains("entry 0")),
        "{faults:?}"
    );
    assert_eq!(files(&dir), before);
}

#[test]
fn opening_never_removes_what_is_not_its_own() {
    let (_home, dir) = record_of(7);
    fs::write(dir.join("notes.txt"), b"mine").unwrap();
    assert!(matches!(
        Record::open(&dir, &key()),
        Err(RecordError::Damaged { .. })
    ));
    assert_eq!(fs::read(dir.join("notes.txt")).unwrap(), b"mine");
}
