use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use sha2::{Digest as _, Sha256};
use starvault_snapshots::{
    Progress, Report, SnapshotError, Source as _, VerifyOptions,
    compare::{Kind as Wrong, Side},
    pace::batch,
    verify,
};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    on_each_kind,
    source::{Copying, Written, fill},
    stores::{Kind, Stores, compared},
};

on_each_kind!(
    every_planted_difference_is_named,
    no_alarm_is_raised_while_a_writer_goes_on,
    a_player_who_moves_on_while_a_copier_passes_is_no_alarm,
    a_store_that_does_not_catch_up_is_told_as_older,
    below_the_watermark_nothing_is_said,
    an_interrupted_comparison_goes_on,
    two_empty_stores_are_identical,
);

fn by_digests() -> VerifyOptions {
    VerifyOptions {
        digests: true,
        ..VerifyOptions::default()
    }
}

fn id(number: usize) -> String {
    format!("p{number:05}")
}

async fn filled(kind: Kind, players: usize) -> (Stores, Written) {
    let stores = Stores::new(kind).await;
    let source = Written::default();
    for number in 0..players {
        source.write(&id(number), &format!("{{\"n\":{number:05}}}"));
    }
    fill(&source, [&stores.primary, &stores.secondary]).await;
    (stores, source)
}

type Found = BTreeMap<String, (Wrong, Option<Side>)>;

fn found(report: &Report) -> Found {
    let all = report.differences.iter();
    let map: Found = all
        .map(|one| (one.player_id.clone(), (one.kind, one.store)))
        .collect();
    assert_eq!(
        map.len(),
        report.differences.len(),
        "each row is named once: {report:?}"
    );
    map
}

/// What stands in SQL for a digest that fits.
fn digest_of(body: &str) -> String {
    format!("X'{}'", hex::encode(Sha256::digest(body)))
}

/// Plants one of every kind, and says what must be found.
pub async fn plant(stores: &Stores) -> Found {
    let set = async |side: usize, number: usize, what: String| {
        let key = hex::encode(id(number));
        stores
            .run(
                side,
                &format!("UPDATE player_snapshots SET {what} WHERE player_id = X'{key}'"),
            )
            .await;
    };
    let remove = async |side: usize, number: usize| {
        let key = hex::encode(id(number));
        stores
            .run(
                side,
                &format!("DELETE FROM player_snapshots WHERE player_id = X'{key}'"),
            )
            .await;
    };
    let hex_of = |body: &str| format!("X'{}'", hex::encode(body));
    let body = |number: usize| format!("{{\"n\":{number:05}}}");
    let mut planted = Found::new();
    let mut expect = |number: usize, kind, store| planted.insert(id(number), (kind, store));
    remove(1, 0).await;
    expect(0, Wrong::Missing, Some(Side::Secondary));
    remove(1, 999).await;
    expect(999, Wrong::Missing, Some(Side::Secondary));
    remove(0, 100).await;
    expect(100, Wrong::Extra, Some(Side::Primary));
    set(1, 200, "version = 0".into()).await;
    expect(200, Wrong::Older, Some(Side::Secondary));
    set(0, 201, "version = 0".into()).await;
    expect(201, Wrong::Older, Some(Side::Primary));
    // One bit of a body.
    set(1, 300, format!("body = {}", hex_of("{\"n\":00301}"))).await;
    expect(300, Wrong::Corrupt, Some(Side::Secondary));
    set(0, 310, "sha256 = X'00'".into()).await;
    expect(310, Wrong::Corrupt, Some(Side::Primary));
    // Two values of equal length change places, with their digests: each row is whole in itself.
    for (number, other) in [(400, 700), (700, 400)] {
        let (value, digest) = (hex_of(&body(other)), digest_of(&body(other)));
        set(1, number, format!("body = {value}, sha256 = {digest}")).await;
        expect(number, Wrong::Corrupt, None);
    }
    // And neighbours, without their digests.
    for (number, other) in [(500, 501), (501, 500)] {
        set(1, number, format!("body = {}", hex_of(&body(other)))).await;
        expect(number, Wrong::Corrupt, Some(Side::Secondary));
    }
    set(1, 600, "written_at_us = written_at_us + 1".into()).await;
    expect(600, Wrong::Corrupt, None);
    set(1, 610, "deleted = 1".into()).await;
    expect(610, Wrong::Corrupt, Some(Side::Secondary));
    // The same damage on both sides.
    for side in [0, 1] {
        set(side, 850, format!("body = {}", hex_of("x"))).await;
    }
    expect(850, Wrong::Corrupt, None);
    planted
}

async fn every_planted_difference_is_named(kind: Kind) {
    let (stores, _) = filled(kind, 1_000).await;
    for options in [VerifyOptions::default(), by_digests()] {
        let report = stores.verify(&options).await;
        assert!(report.is_identical() && report.rows == 1_000, "{report:?}");
    }
    let planted = plant(&stores).await;
    // Pages that end anywhere find the same.
    for page_rows in [1, 7, 1_000, 4_096] {
        let report = stores
            .verify(&VerifyOptions {
                page_rows,
                ..VerifyOptions::default()
            })
            .await;
        assert_eq!(found(&report), planted, "{page_rows}");
        assert_eq!(report.rows, 1_000);
    }
    let report = stores.verify(&by_digests()).await;
    assert_eq!(found(&report), planted);
    assert_eq!(report.rows, 1_000);
    // Versions are told with the kind.
    let older = report
        .differences
        .iter()
        .find(|one| one.player_id == id(200))
        .unwrap();
    assert_eq!(
        (older.primary_version, older.secondary_version),
        (Some(1), Some(0))
    );
    let few = VerifyOptions {
        differences_max: 3,
        ..VerifyOptions::default()
    };
    let error = verify(&stores.primary, &stores.secondary, &few, &mut |_| {})
        .await
        .unwrap_err();
    assert!(
        matches!(error, SnapshotError::TooManyDifferences { max: 3 }),
        "{error}"
    );
}

async fn no_alarm_is_raised_while_a_writer_goes_on(kind: Kind) {
    let (stores, source) = filled(kind, 300).await;
    // Connections of their own: a comparison beside them, not between them.
    let own = stores.urls.each_ref().map(|url| crate::stores::store(url));
    let copiers = own.each_ref().map(|store| Copying::start(source.clone(), store));
    let stop = Arc::new(AtomicBool::new(false));
    let (writer_source, stopped) = (source.clone(), stop.clone());
    let writer = AbortOnDropHandle::new(tokio::spawn(async move {
        let mut number = 0_usize;
        while !stopped.load(Relaxed) {
            // Old players change, new ones come, some are deleted.
            for _ in 0..8 {
                number += 1;
                let player = id(number * 7_919 % (300 + number / 10));
                let deleted = number.is_multiple_of(53);
                let body = if deleted {
                    String::new()
                } else {
                    format!("{{\"v\":{number}}}")
                };
                writer_source.write(&player, &body);
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }));
    let mut read_again = 0;
    for round in 0..30 {
        let digests = round % 3 == 2;
        let report = stores
            .verify(&VerifyOptions {
                digests,
                page_rows: 64,
                ..VerifyOptions::default()
            })
            .await;
        assert_eq!(report.differences, Vec::new());
        read_again += report.read_again;
    }
    // Else it was no test: the comparisons did meet rows of different moments.
    assert!(read_again > 0);
    stop.store(true, Relaxed);
    writer.await.unwrap();
    for copier in copiers {
        copier.reaches(source.newest()).await;
    }
    let watermark = Some(source.newest());
    let report = stores
        .verify(&VerifyOptions {
            watermark,
            ..VerifyOptions::default()
        })
        .await;
    assert!(report.is_identical(), "{report:?}");
    assert_eq!((report.watermark, report.read_again), (source.newest(), 0));
}

async fn a_player_who_moves_on_while_a_copier_passes_is_no_alarm(kind: Kind) {
    let stores = Stores::new(kind).await;
    let source = Written::default();
    // The secondary's copier was there in time for the first version, the primary's found it gone: both
    // cursors stand at 2, and one player is in the secondary alone.
    source.write("p", "{}");
    source.write("q", "{}");
    let both = source.after(0, 9).await.unwrap();
    let all = batch(both.clone(), 1_000).unwrap().unwrap();
    stores.secondary.apply(0, 2, &all).await.unwrap();
    source.write("p", "{\"later\":1}");
    let passed = batch(both[1..].to_vec(), 1_000).unwrap().unwrap();
    stores.primary.apply(0, 3, &passed).await.unwrap();
    // The copiers go on once both pages are read.
    let copying = std::sync::Mutex::new(Vec::new());
    let own = stores.urls.each_ref().map(|url| crate::stores::store(url));
    let mut go_on = |_: Progress| {
        let mut copying = copying.lock().unwrap();
        if copying.is_empty() {
            copying.extend(own.iter().map(|store| Copying::start(source.clone(), store)));
        }
    };
    let options = VerifyOptions::default();
    let report = verify(&stores.primary, &stores.secondary, &options, &mut go_on)
        .await
        .unwrap();
    assert!(report.is_identical() && report.read_again > 0, "{report:?}");
}

async fn a_store_that_does_not_catch_up_is_told_as_older(kind: Kind) {
    let (stores, source) = filled(kind, 20).await;
    source.write(&id(3), "{\"later\":1}");
    source.write("q", "{}");
    fill(&source, [&stores.primary, &stores.primary]).await;
    let options = VerifyOptions {
        lag_max: Duration::from_millis(20),
        ..VerifyOptions::default()
    };
    let report = stores.verify(&options).await;
    let expected = Found::from([
        (id(3), (Wrong::Older, Some(Side::Secondary))),
        ("q".into(), (Wrong::Missing, Some(Side::Secondary))),
    ]);
    assert_eq!(found(&report), expected);
    assert_eq!(
        (
            report.primary_position,
            report.secondary_position,
            report.watermark
        ),
        (22, 20, 20)
    );
    // The same store with its copier: the comparison waits for it.
    let own = crate::stores::store(&stores.urls[1]);
    let copying = Copying::start(source.clone(), &own);
    assert!(stores.verify(&VerifyOptions::default()).await.is_identical());
    copying.stop().await;
}

async fn below_the_watermark_nothing_is_said(kind: Kind) {
    let (stores, _) = filled(kind, 5).await;
    let options = VerifyOptions {
        watermark: Some(6),
        lag_max: Duration::ZERO,
        ..VerifyOptions::default()
    };
    let error = verify(&stores.primary, &stores.secondary, &options, &mut |_| {})
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            SnapshotError::BelowWatermark {
                position: 5,
                watermark: 6,
                ..
            }
        ),
        "{error}"
    );
    let options = VerifyOptions {
        watermark: Some(5),
        ..options
    };
    assert!(stores.verify(&options).await.is_identical());
}

async fn an_interrupted_comparison_goes_on(kind: Kind) {
    let (stores, _) = filled(kind, 1_000).await;
    let planted = plant(&stores).await;
    let folder = tempfile::tempdir().unwrap();
    let note = folder.path().join("note.json");
    for digests in [false, true] {
        let options = VerifyOptions {
            resume: Some(note.clone()),
            resume_rows: 1,
            page_rows: 50,
            digests,
            ..VerifyOptions::default()
        };
        // Ends in the middle, with a note of what was found before.
        let cut = VerifyOptions {
            differences_max: 8,
            ..options.clone()
        };
        let error = verify(&stores.primary, &stores.secondary, &cut, &mut |_| {})
            .await
            .unwrap_err();
        assert!(
            matches!(error, SnapshotError::TooManyDifferences { .. }),
            "{error}"
        );
        if digests {
            // One range holds all of so few rows.
            assert!(!note.exists());
            continue;
        }
        assert!(note.exists());
        let mut first = None;
        let mut tell = |progress: Progress| {
            first.get_or_insert(progress.rows);
        };
        let report = verify(&stores.primary, &stores.secondary, &options, &mut tell)
            .await
            .unwrap();
        assert!(first.unwrap() > 100, "it began at the beginning: {first:?}");
        assert_eq!((found(&report), report.rows), (planted.clone(), 1_000));
        assert!(!note.exists());
    }
    // A note of other stores is refused.
    std::fs::write(&note, r#"{"primary":"a","secondary":"b","reached":{"next_key":"","rows":0,"differences":[],"candidates":[],"in_motion":0,"read_again":0}}"#).unwrap();
    let options = VerifyOptions {
        resume: Some(note),
        ..VerifyOptions::default()
    };
    let error = verify(&stores.primary, &stores.secondary, &options, &mut |_| {})
        .await
        .unwrap_err();
    assert!(matches!(error, SnapshotError::Checkpoint { .. }), "{error}");
}

async fn two_empty_stores_are_identical(kind: Kind) {
    let stores = Stores::new(kind).await;
    for options in [VerifyOptions::default(), by_digests()] {
        let report = stores.verify(&options).await;
        assert!(
            report.is_identical() && report.rows == 0 && report.watermark == 0,
            "{report:?}"
        );
    }
}

#[tokio::test]
async fn stores_of_two_kinds_are_compared_and_their_digests_agree() {
    let source = Written::default();
    for number in 0..10_000 {
        source.write(&id(number), &format!("{{\"name\":\"星{number}\"}}"));
    }
    source.write(&id(17), "");
    let (servers, files) = (Stores::new(Kind::MariaDb).await, Stores::new(Kind::Sqlite).await);
    fill(&source, [&servers.primary, &files.secondary]).await;
    for options in [VerifyOptions::default(), by_digests()] {
        let report = verify(&servers.primary, &files.secondary, &options, &mut |_| {})
            .await
            .unwrap();
        assert!(report.is_identical() && report.rows == 10_000, "{report:?}");
    }
    // A store that has much more than the other: every range stays within what a digest can hold.
    let short = Stores::new(Kind::MariaDb).await;
    let at_once = VerifyOptions {
        lag_max: Duration::ZERO,
        ..by_digests()
    };
    let report = compared(&short.primary, &servers.primary, &at_once).await;
    assert_eq!((report.rows, report.differences.len()), (10_000, 10_000));
}
