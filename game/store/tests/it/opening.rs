use std::{fs, sync::Barrier, thread};

use starvault_store::{SqliteJournal, SqliteOptions, StoreError, check};

use crate::room::{Room, owner, place};

fn open(path: &std::path::Path) -> Result<SqliteJournal, StoreError> {
    SqliteJournal::open(path, SqliteOptions::default())
}

#[test]
fn processes_that_open_a_new_file_at_once_make_one_journal() {
    for _ in 0..5 {
        let place = place();
        let start = Barrier::new(6);
        thread::scope(|scope| {
            let racers: Vec<_> = (0..6)
                .map(|_| {
                    scope.spawn(|| {
                        start.wait();
                        place.open()
                    })
                })
                .collect();
            for racer in racers {
                racer.join().unwrap();
            }
        });
        let raw = place.raw();
        let pragma = |name: &str| raw.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0));
        assert_eq!(pragma("user_version").unwrap(), 2);
        let mode: String = raw
            .query_row("PRAGMA journal_mode", [], |row| row.get(0))
            .unwrap();
        assert_eq!(mode, "wal");
    }
}

#[test]
fn a_file_that_is_no_database_is_left_alone() {
    let place = place();
    let text = "these are my notes, longer than the hundred bytes of a header. ".repeat(20);
    fs::write(&place.path, &text).unwrap();
    let error = open(&place.path).unwrap_err();
    assert!(matches!(error, StoreError::NotADatabase { .. }), "{error}");
    assert!(matches!(
        check(&place.path, None),
        Err(StoreError::NotADatabase { .. })
    ));
    assert_eq!(fs::read_to_string(&place.path).unwrap(), text);
}

#[test]
fn another_programs_database_is_left_alone() {
    let place = place();
    place
        .raw()
        .execute_batch("CREATE TABLE photos (id INTEGER)")
        .unwrap();
    let before = fs::read(&place.path).unwrap();
    let error = open(&place.path).unwrap_err();
    assert!(matches!(error, StoreError::ForeignDatabase { .. }), "{error}");
    assert!(matches!(
        check(&place.path, None),
        Err(StoreError::ForeignDatabase { .. })
    ));
    assert_eq!(fs::read(&place.path).unwrap(), before);
}

#[tokio::test]
async fn a_newer_journal_is_not_touched_by_an_older_program() {
    let place = place();
    let journal = place.open();
    Room::begin(&journal, "g1", owner("v1")).await;
    journal.close().await;
    place.raw().pragma_update(None, "user_version", 99).unwrap();
    for error in [
        open(&place.path).unwrap_err(),
        check(&place.path, None).unwrap_err(),
    ] {
        assert!(
            matches!(
                error,
                StoreError::NewerSchema {
                    found: 99,
                    supported: 2,
                    ..
                }
            ),
            "{error}"
        );
        assert!(error.to_string().contains("run the newer release"), "{error}");
    }
}

#[test]
fn a_path_that_cannot_be_is_named() {
    let place = place();
    let nowhere = place.folder.path().join("no/such/folder/j.sqlite");
    let error = open(&nowhere).unwrap_err();
    assert!(matches!(error, StoreError::Open { .. }), "{error}");
    assert!(error.to_string().contains(nowhere.to_str().unwrap()), "{error}");
    let error = open(place.folder.path()).unwrap_err();
    assert!(matches!(error, StoreError::Open { .. }), "{error}");
    assert!(matches!(
        check(&place.path, None),
        Err(StoreError::Missing { .. })
    ));
    assert!(!place.path.exists(), "a check makes no file");
    fs::write(&place.path, "").unwrap();
    assert!(
        matches!(check(&place.path, None), Err(StoreError::Missing { .. })),
        "an empty file"
    );
}

#[tokio::test]
async fn a_file_that_was_altered_is_refused_and_what_is_missing_is_named() {
    for (change, missing) in [
        (
            "ALTER TABLE heads DROP COLUMN epoch",
            "table heads has no column epoch",
        ),
        (
            "ALTER TABLE log RENAME COLUMN digest TO checksum",
            "table log has no column digest",
        ),
        ("DROP TABLE refusals", "table refusals has no column"),
    ] {
        let place = place();
        let journal = place.open();
        Room::begin(&journal, "g1", owner("v1")).await;
        journal.close().await;
        place.raw().execute_batch(change).unwrap();
        let error = open(&place.path).unwrap_err();
        assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
        assert!(error.to_string().contains(missing), "{error}");
    }
}
