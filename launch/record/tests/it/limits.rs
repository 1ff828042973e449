//! What a record refuses, and that refusing changes nothing.

use std::fs;

use tminus_record::{MAX_ENTRY_BYTES, Record, RecordError, SigningKey, verify};

fn key() -> SigningKey {
    SigningKey::from_seed([5; 32])
}

#[test]
fn an_entry_may_be_as_long_as_its_length_prefix_allows_and_no_longer() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("record");
    let mut record = Record::create(&dir, "test", &key()).unwrap();
    record.append(&[vec![1; MAX_ENTRY_BYTES], Vec::new()]).unwrap();
    let error = record
        .append(&[b"fits".to_vec(), vec![1; MAX_ENTRY_BYTES + 1]])
        .unwrap_err();
    assert!(
        matches!(error, RecordError::EntryTooLong { position: 1, .. }),
        "{error}"
    );
    assert_eq!(record.append(&[b"next".to_vec()]).unwrap(), 2..3);
    let verified = verify(&dir, None).unwrap();
    assert_eq!(
        verified.entries.iter().map(Vec::len).collect::<Vec<_>>(),
        [MAX_ENTRY_BYTES, 0, 4]
    );
}

#[test]
fn appending_nothing_changes_nothing() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("record");
    let mut record = Record::create(&dir, "test", &key()).unwrap();
    let before = record.checkpoint().to_owned();
    assert_eq!(record.append(&[]).unwrap(), 0..0);
    assert_eq!(fs::read_to_string(dir.join("checkpoint")).unwrap(), before);
}

#[test]
fn a_record_starts_in_a_folder_of_its_own() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("record");
    assert!(matches!(
        Record::open(&dir, &key()),
        Err(RecordError::Missing { .. })
    ));
    fs::create_dir(&dir).unwrap();
    assert!(matches!(
        Record::open(&dir, &key()),
        Err(RecordError::Missing { .. })
    ));
    fs::write(dir.join("letter"), b"dear").unwrap();
    assert!(matches!(
        Record::create(&dir, "test", &key()),
        Err(RecordError::NotEmpty { .. })
    ));
    fs::remove_file(dir.join("letter")).unwrap();
    drop(Record::create(&dir, "test", &key()).unwrap());
    assert!(matches!(
        Record::create(&dir, "test", &key()),
        Err(RecordError::Exists { .. })
    ));
}

#[test]
fn an_origin_that_cannot_stand_in_a_note_is_refused() {
    let home = tempfile::tempdir().unwrap();
    for origin in ["", "two words", "a+b", "line\nbreak", &"x".repeat(201)] {
        let made = Record::create(&home.path().join("record"), origin, &key());
        assert!(matches!(made, Err(RecordError::Origin { .. })), "{origin:?}");
    }
}
