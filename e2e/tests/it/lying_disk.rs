//! What the lying disk of the torture forgets, on databases of real SQLite.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use starvault_e2e::lying_disk;

/// A database with one row per commit, as a process leaves it behind that is killed.
fn killed(folder: &Path, carried: u32, open: u32) -> PathBuf {
    let path = folder.join("live.sqlite");
    let connection = Connection::open(&path).expect("opens");
    connection
        .pragma_update(None, "journal_mode", "wal")
        .expect("write-ahead log");
    connection
        .pragma_update(None, "wal_autocheckpoint", 0)
        .expect("no checkpoints of its own");
    connection
        .execute_batch("CREATE TABLE moves (n INTEGER PRIMARY KEY, filler BLOB)")
        .expect("a table");
    for n in 0..carried + open {
        if n == carried && carried > 0 {
            connection
                .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
                .expect("a checkpoint");
        }
        connection
            .execute("INSERT INTO moves VALUES (?1, zeroblob(10000))", [n])
            .expect("a row");
    }
    let copy = folder.join("killed.sqlite");
    for end in ["", "-wal", "-shm"] {
        fs::copy(
            folder.join(format!("live.sqlite{end}")),
            folder.join(format!("killed.sqlite{end}")),
        )
        .expect("a copy");
    }
    copy
}

fn rows(path: &Path) -> u32 {
    let connection = Connection::open(path).expect("opens again");
    let sound: String = connection
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .expect("is checked");
    assert_eq!(sound, "ok");
    connection
        .query_row("SELECT count(*) FROM moves", [], |row| row.get(0))
        .expect("is read")
}

#[test]
fn the_newest_commits_are_gone_and_what_is_left_is_sound() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = killed(folder.path(), 0, 5);
    assert_eq!(lying_disk::forget(&path, 2).expect("forgets"), 2);
    assert_eq!(rows(&path), 3);
}

#[test]
fn what_is_in_the_database_already_is_not_forgotten() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = killed(folder.path(), 5, 1);
    assert_eq!(lying_disk::forget(&path, 3).expect("forgets"), 1);
    assert_eq!(rows(&path), 5);
}

#[test]
fn without_a_log_there_is_nothing_to_forget() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("none.sqlite");
    assert_eq!(lying_disk::forget(&path, 3).expect("forgets nothing"), 0);
}

#[tokio::test]
async fn a_redis_forgets_its_newest_writes() {
    let redis = starvault_testing::RedisServer::start();
    let client = redis::Client::open(redis.url()).expect("an address");
    let mut connection = client.get_multiplexed_async_connection().await.expect("connects");
    let write = |n: u32| {
        redis::cmd("SET")
            .arg(format!("key-{n}"))
            .arg("x".repeat(100))
            .clone()
    };
    for n in 0..10 {
        let _: () = write(n).query_async(&mut connection).await.expect("written");
    }
    redis.kill();
    // Two of them, and a part of the one before.
    assert_eq!(
        lying_disk::cut_append_only_file(redis.folder(), 300).expect("cut"),
        300
    );
    redis.go_on();
    let mut connection = client.get_multiplexed_async_connection().await.expect("connects");
    let left: Vec<String> = redis::cmd("KEYS")
        .arg("*")
        .query_async(&mut connection)
        .await
        .expect("read");
    assert!((7..=8).contains(&left.len()), "{left:?}");
    assert!(left.contains(&"key-0".to_owned()) && !left.contains(&"key-9".to_owned()));
}
