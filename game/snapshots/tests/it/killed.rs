//! A copier whose process is killed at any moment.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use starvault_rules::PlayerId;
use starvault_snapshots::{CopyOptions, Source, Store, VerifyOptions};
use starvault_store::{Journal as _, Outbox, SqliteJournal, SqliteOptions};

use crate::{
    on_each_kind,
    source::{Copying, add_player, fill, options},
    stores::{Kind, Stores, store},
};

const JOURNAL: &str = "STARVAULT_TEST_JOURNAL";
const STORE: &str = "STARVAULT_TEST_STORE";

on_each_kind!(a_copier_that_is_killed_in_a_batch_loses_nothing);

/// Copies for ever, and says so after each batch.
#[tokio::test]
#[ignore = "the process that the test starts and kills"]
async fn copier() {
    let path = std::env::var(JOURNAL).expect("started by the test");
    let url = std::env::var(STORE).expect("started by the test");
    // Small batches: many chances to be in the middle of one.
    let options = CopyOptions {
        batch_rows: 7,
        ..options()
    };
    let copying = Copying::start_with(Outbox::of(Path::new(&path)), &store(&url), options);
    let mut told = 0;
    loop {
        copying.until(|figures| figures.batches() > told).await;
        told = copying.figures.batches();
        println!("\nbatch {told}");
    }
}

/// What a cursor promises: of every player, whatever stood at or before it.
pub async fn holds_everything_up_to(store: &Store, source: &impl Source, position: i64) {
    for entry in source.after(0, usize::MAX).await.unwrap() {
        if entry.position > position {
            break;
        }
        let row = store.row(entry.player_id.as_bytes()).await.unwrap();
        let version = row.map(|row| row.version);
        assert!(
            version >= Some(entry.version),
            "{entry:?}: {version:?}, cursor {position}"
        );
    }
}

async fn a_copier_that_is_killed_in_a_batch_loses_nothing(kind: Kind) {
    let stores = Stores::new(kind).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j.sqlite");
    let journal = SqliteJournal::open(&path, SqliteOptions::default()).unwrap();
    let ids: Vec<String> = (0..150).map(|number| format!("p{number:03}")).collect();
    for id in &ids {
        add_player(&journal, id).await;
    }
    let outbox = journal.outbox();
    for round in 0..8 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "killed::copier", "--ignored", "--nocapture"])
            .env(JOURNAL, &path)
            .env(STORE, &stores.urls[0])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let told = BufReader::new(child.stdout.take().unwrap())
            .lines()
            .map_while(Result::ok);
        // The next batch is under way when this one is told.
        let batches = told
            .filter(|line| line.starts_with("batch "))
            .take(1 + round % 3)
            .count();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(batches, 1 + round % 3, "the copier ended by itself");
        let position = stores.primary.position().await.unwrap();
        assert!(position > 0);
        holds_everything_up_to(&stores.primary, &outbox, position).await;
        for id in ids.iter().skip(round).step_by(2) {
            let player_id = PlayerId::new(id).unwrap();
            journal
                .equip(&player_id, "frame-plain", round % 2 == 0, 1)
                .await
                .unwrap();
        }
        for number in 0..30 {
            add_player(&journal, &format!("r{round}-{number}")).await;
        }
    }
    fill(&outbox, [&stores.primary, &stores.secondary]).await;
    holds_everything_up_to(&stores.primary, &outbox, i64::MAX).await;
    let report = stores.verify(&VerifyOptions::default()).await;
    assert!(report.is_identical() && report.rows == 390, "{report:?}");
}
