use starvault_rules::PlayerId;
use starvault_snapshots::{Applied, Store, VerifyOptions, pace::batch};
use starvault_store::{Journal as _, SqliteJournal, SqliteOptions};

use crate::{
    on_each_kind,
    source::{Copying, Written, add_player, entry, fill},
    stores::{Kind, Stores},
};

on_each_kind!(
    both_stores_hold_what_the_journal_holds,
    an_older_or_equal_version_never_overwrites_a_row,
    a_deletion_is_a_version_and_an_older_one_does_not_bring_the_player_back,
    two_copiers_of_one_store_leave_no_gap,
    a_copier_goes_on_where_the_store_is,
    a_store_that_is_ahead_of_the_journal_is_not_touched,
);

async fn both_stores_hold_what_the_journal_holds(kind: Kind) {
    let stores = Stores::new(kind).await;
    let folder = tempfile::tempdir().unwrap();
    let journal = SqliteJournal::open(&folder.path().join("j.sqlite"), SqliteOptions::default()).unwrap();
    let copiers = [&stores.primary, &stores.secondary].map(|store| Copying::start(journal.outbox(), store));
    let ids: Vec<String> = (0..120).map(|number| format!("p{number:03}")).collect();
    for id in &ids {
        add_player(&journal, id).await;
    }
    for id in ids.iter().step_by(3) {
        let player_id = PlayerId::new(id).unwrap();
        journal.equip(&player_id, "frame-plain", true, 1).await.unwrap();
    }
    let newest = journal.outbox().newest_position().await.unwrap();
    for copier in copiers {
        copier.reaches(newest).await;
        assert_eq!(copier.figures.lag_positions(), 0);
        assert_eq!(copier.figures.lag_ms(i64::MAX / 2), 0);
        copier.stop().await;
    }
    let report = stores.verify(&VerifyOptions::default()).await;
    assert_eq!((report.rows, report.differences), (120, Vec::new()));
    assert_eq!(report.watermark, newest);
    for id in &ids {
        let wanted = journal.outbox().of_player(id).await.unwrap().unwrap();
        let row = stores.secondary.row(id.as_bytes()).await.unwrap().unwrap();
        assert_eq!(
            (row.version, &row.body, &row.sha256),
            (wanted.version, &wanted.body, &wanted.sha256)
        );
        assert_eq!((row.deleted, row.written_at_us), (0, wanted.at_ms * 1000));
    }
}

async fn body_of(store: &Store, id: &str) -> (i64, String, i64) {
    let row = store.row(id.as_bytes()).await.unwrap().unwrap();
    assert!(row.view().is_whole());
    (row.version, String::from_utf8(row.body).unwrap(), row.deleted)
}

async fn an_older_or_equal_version_never_overwrites_a_row(kind: Kind) {
    let stores = Stores::new(kind).await;
    let store = &stores.primary;
    let apply = async |from, to, version, body: &str| {
        let batch = batch(vec![entry(to, "p", version, body)], 1_000)
            .unwrap()
            .unwrap();
        store.apply(from, to, &batch).await.unwrap()
    };
    assert_eq!(apply(0, 1, 5, "five").await, Applied::Written);
    for (from, version, body) in [(1, 4, "four"), (2, 5, "FIVE"), (3, 1, "")] {
        assert_eq!(apply(from, from + 1, version, body).await, Applied::Written);
        assert_eq!(body_of(store, "p").await, (5, "five".into(), 0));
    }
    assert_eq!(apply(4, 5, 6, "six").await, Applied::Written);
    assert_eq!(body_of(store, "p").await, (6, "six".into(), 0));
    // From a place where the cursor is not: nothing is written.
    assert_eq!(apply(4, 9, 7, "seven").await, Applied::Elsewhere);
    assert_eq!(body_of(store, "p").await, (6, "six".into(), 0));
    assert_eq!(store.position().await.unwrap(), 5);
}

async fn a_deletion_is_a_version_and_an_older_one_does_not_bring_the_player_back(kind: Kind) {
    let stores = Stores::new(kind).await;
    let source = Written::default();
    source.write("p", "{}");
    fill(&source, [&stores.primary, &stores.secondary]).await;
    source.write("p", "");
    fill(&source, [&stores.primary, &stores.secondary]).await;
    assert_eq!(body_of(&stores.primary, "p").await, (2, String::new(), 1));
    let late = batch(vec![entry(3, "p", 1, "{}")], 1_000).unwrap().unwrap();
    stores.primary.apply(2, 3, &late).await.unwrap();
    assert_eq!(body_of(&stores.primary, "p").await, (2, String::new(), 1));
    let report = stores.verify(&VerifyOptions::default()).await;
    assert!(report.is_identical() && report.rows == 1, "{report:?}");
}

async fn two_copiers_of_one_store_leave_no_gap(kind: Kind) {
    let stores = Stores::new(kind).await;
    let source = Written::default();
    // As two releases do that share one journal: each has its own connection.
    let other = crate::stores::store(&stores.urls[0]);
    let copiers = [&stores.primary, &other].map(|store| Copying::start(source.clone(), store));
    for round in 0..40 {
        for player in 0..30 {
            source.write(&format!("p{player}"), &format!("{{\"round\":{round}}}"));
        }
        tokio::task::yield_now().await;
    }
    for copier in &copiers {
        copier.reaches(source.newest()).await;
    }
    for copier in copiers {
        copier.stop().await;
    }
    fill(&source, [&stores.secondary, &stores.secondary]).await;
    let report = stores.verify(&VerifyOptions::default()).await;
    assert!(report.is_identical() && report.rows == 30, "{report:?}");
}

async fn a_copier_goes_on_where_the_store_is(kind: Kind) {
    let stores = Stores::new(kind).await;
    let source = Written::default();
    for player in 0..120 {
        source.write(&format!("p{player}"), "{}");
    }
    fill(&source, [&stores.primary, &stores.secondary]).await;
    source.write("q", "{}");
    let copying = Copying::start(source.clone(), &stores.primary);
    copying.reaches(121).await;
    assert_eq!(copying.figures.rows(), 1);
}

async fn a_store_that_is_ahead_of_the_journal_is_not_touched(kind: Kind) {
    let stores = Stores::new(kind).await;
    let (long, short) = (Written::default(), Written::default());
    for player in 0..5 {
        long.write(&format!("p{player}"), "{}");
    }
    fill(&long, [&stores.primary, &stores.secondary]).await;
    short.write("another", "{}");
    let copying = Copying::start(short, &stores.primary);
    copying.until(|figures| figures.failures() >= 2).await;
    assert!(!copying.figures.is_up());
    copying.stop().await;
    assert_eq!(stores.primary.row(b"another").await.unwrap(), None);
}
