use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::{ConnectOptions as _, Executor as _, sqlite::SqliteConnectOptions};
use starvault_snapshots::{SnapshotError, Store, StoreUrl, VerifyOptions, pace::batch, row::Row, verify};

use crate::{
    mariadb::MariaDb,
    on_each_kind,
    source::{Copying, Written, entry, fill},
    stores::{Kind, Stores, store},
};

on_each_kind!(
    migrating_twice_and_at_the_same_time_does_no_harm,
    a_newer_release_may_add_beside_this_one,
    a_newer_schema_that_does_not_only_add_is_refused,
    a_missing_column_is_named,
    a_store_without_tables_says_what_to_do,
    a_copy_of_a_game_is_never_older_than_one_before,
);

fn url(text: &str) -> StoreUrl {
    text.parse().unwrap()
}

async fn migrating_twice_and_at_the_same_time_does_no_harm(kind: Kind) {
    let stores = Stores::empty(kind).await;
    let url = url(&stores.urls[0]);
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let url = url.clone();
        all.spawn(async move { Store::migrate(&url).await.unwrap() });
    }
    let made: usize = all.join_all().await.into_iter().sum();
    assert!(made >= 1, "{made}");
    let first = batch(vec![entry(1, "p", 1, "{}")], 1_000).unwrap().unwrap();
    stores.primary.apply(0, 1, &first).await.unwrap();
    assert_eq!(Store::migrate(&url).await.unwrap(), 0);
    assert_eq!(stores.primary.position().await.unwrap(), 1);
    assert!(stores.primary.row(b"p").await.unwrap().is_some());
}

/// A file is switched to write-ahead logging while another process writes: SQLite does not wait there itself.
#[tokio::test]
async fn a_file_that_another_process_is_making_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new.sqlite");
    let options = SqliteConnectOptions::new()
        .filename(&path)
        .create_if_missing(true);
    let mut other = options.connect().await.unwrap();
    other.execute("BEGIN IMMEDIATE").await.unwrap();
    let url = url(&format!("sqlite:{}", path.display()));
    let mut migrating = tokio::spawn(async move { Store::migrate(&url).await });
    // Long enough to meet the lock; a migration that gives up ends the wait.
    let early = tokio::time::timeout(Duration::from_millis(300), &mut migrating).await;
    assert!(early.is_err(), "{early:?}");
    other.execute("ROLLBACK").await.unwrap();
    assert!(migrating.await.unwrap().unwrap() >= 1);
}

async fn a_copy_of_a_game_is_never_older_than_one_before(kind: Kind) {
    let stores = Stores::new(kind).await;
    let game = |id: &str, version: i64, deleted: i64| Row {
        player_id: id.into(),
        version,
        deleted,
        // Longer than a profile may be.
        body: vec![
            b'm';
            if deleted == 0 {
                40_000 + version as usize
            } else {
                0
            }
        ],
        sha256: vec![7; 32],
        written_at_us: version,
    };
    let store = &stores.primary;
    let both = [game("a", 2, 0), game("b", 5, 0)];
    store.put_games(&both).await.unwrap();
    assert_eq!(store.games(b"", 10).await.unwrap(), both);
    // Late, newer, and over.
    let later = [game("a", 1, 0), game("b", 6, 0), game("c", 9, 1)];
    store.put_games(&later).await.unwrap();
    let expected = [game("a", 2, 0), game("b", 6, 0), game("c", 9, 1)];
    assert_eq!(store.games(b"", 10).await.unwrap(), expected);
    assert_eq!(store.games(b"a", 1).await.unwrap(), expected[1..2]);
    store.forget_games(10).await.unwrap();
    assert_eq!(store.games(b"", 10).await.unwrap(), expected[..2]);
}

async fn a_newer_release_may_add_beside_this_one(kind: Kind) {
    let stores = Stores::new(kind).await;
    for side in [0, 1] {
        stores
            .run(
                side,
                "ALTER TABLE player_snapshots ADD COLUMN region INTEGER NOT NULL DEFAULT 0",
            )
            .await;
        stores
            .run(
                side,
                "INSERT INTO snapshot_steps (step, name, additive) VALUES (3, X'72', 1)",
            )
            .await;
    }
    let source = Written::default();
    source.write("p", "{}");
    fill(&source, [&stores.primary, &stores.secondary]).await;
    assert!(stores.verify(&VerifyOptions::default()).await.is_identical());
    // But it does not claim to have migrated what it does not know.
    let error = Store::migrate(&url(&stores.urls[0])).await.unwrap_err();
    assert!(
        matches!(
            error,
            SnapshotError::NewerSchema {
                found: 3,
                known: 2,
                ..
            }
        ),
        "{error}"
    );
}

async fn a_newer_schema_that_does_not_only_add_is_refused(kind: Kind) {
    let stores = Stores::new(kind).await;
    stores
        .run(
            1,
            "INSERT INTO snapshot_steps (step, name, additive) VALUES (3, X'72', 0)",
        )
        .await;
    let verified = verify(
        &stores.primary,
        &stores.secondary,
        &VerifyOptions::default(),
        &mut |_| {},
    )
    .await;
    let error = verified.unwrap_err();
    assert!(matches!(error, SnapshotError::NewerSchema { .. }), "{error}");
    assert!(error.to_string().contains("run the newer release"), "{error}");
    let source = Written::default();
    source.write("p", "{}");
    let copying = Copying::start(source, &stores.secondary);
    copying.until(|figures| figures.failures() > 0).await;
    copying.stop().await;
    assert_eq!(stores.secondary.row(b"p").await.unwrap(), None);
}

async fn a_missing_column_is_named(kind: Kind) {
    let stores = Stores::new(kind).await;
    stores
        .run(1, "ALTER TABLE player_snapshots DROP COLUMN written_at_us")
        .await;
    let checks = [
        stores.secondary.check_schema().await.unwrap_err(),
        Store::migrate(&url(&stores.urls[1])).await.unwrap_err(),
    ];
    for error in checks {
        let said = error.to_string();
        assert!(
            said.contains("player_snapshots has no column written_at_us"),
            "{said}"
        );
    }
}

async fn a_store_without_tables_says_what_to_do(kind: Kind) {
    let stores = Stores::empty(kind).await;
    let error = stores.primary.check_schema().await.unwrap_err();
    match kind {
        Kind::MariaDb => assert!(error.to_string().contains("run `starvault migrate`"), "{error}"),
        // Not even the file is there.
        Kind::Sqlite => assert!(matches!(error, SnapshotError::Unreachable { .. }), "{error}"),
    }
}

#[tokio::test]
async fn a_read_only_database_is_told_apart() {
    let server = MariaDb::start();
    let address = server.database("ro").await;
    Store::migrate(&url(&address)).await.unwrap();
    server.run("SET GLOBAL read_only = 1").await;
    let first = batch(vec![entry(1, "p", 1, "{}")], 1_000).unwrap().unwrap();
    let error = store(&address).apply(0, 1, &first).await.unwrap_err();
    assert!(matches!(error, SnapshotError::ReadOnly { .. }), "{error}");
    // It can be compared all the same.
    assert_eq!(store(&address).count().await.unwrap(), 0);
}

#[tokio::test]
async fn a_refused_or_unreachable_database_is_told_without_the_password() {
    let server = MariaDb::start();
    let address = server.database("d").await;
    let wrong = address.replace(":s3cret@", ":wr0ng@");
    let denied = store(&wrong).check_schema().await.unwrap_err();
    assert!(matches!(denied, SnapshotError::Denied { .. }), "{denied}");
    // This server has no certificate: whoever asks for TLS does not get a connection in the clear.
    let in_the_clear = store(&format!("{address}?ssl-mode=REQUIRED"))
        .check_schema()
        .await
        .unwrap_err();
    assert!(
        matches!(in_the_clear, SnapshotError::Unreachable { .. }),
        "{in_the_clear}"
    );
    server.kill();
    let gone = store(&address).check_schema().await.unwrap_err();
    assert!(matches!(gone, SnapshotError::Unreachable { .. }), "{gone}");
    for error in [denied, in_the_clear, gone] {
        let said = format!("{error} {error:?}");
        assert!(!said.contains("s3cret") && !said.contains("wr0ng"), "{said}");
    }
}

/// A certificate of an authority of its own for a server at 127.0.0.1; files of both, and of the key.
fn certificate(folder: &Path) -> [PathBuf; 3] {
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority_pem = authority.self_signed(&authority_key).unwrap().pem();
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let server = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let server_pem = server.signed_by(&key, &issuer).unwrap().pem();
    let file = |name: &str, text: String| {
        std::fs::write(folder.join(name), text).unwrap();
        folder.join(name)
    };
    [
        file("authority.pem", authority_pem),
        file("server.pem", server_pem),
        file("key.pem", key.serialize_pem()),
    ]
}

#[tokio::test]
async fn a_connection_is_encrypted_and_the_server_is_who_it_says() {
    let mut authority = PathBuf::new();
    let server = MariaDb::start_with(|folder| {
        let [ca, certificate, key] = certificate(folder);
        authority = ca;
        vec![
            format!("--ssl-cert={}", certificate.display()),
            format!("--ssl-key={}", key.display()),
            "--require-secure-transport=ON".to_owned(),
        ]
    });
    let address = server.database("tls").await;
    let with = |mode: &str, ca: &Path| format!("{address}?ssl-mode={mode}&ssl-ca={}", ca.display());
    let verified = with("VERIFY_IDENTITY", &authority);
    assert_eq!(Store::migrate(&url(&verified)).await.unwrap(), 2);
    let elsewhere = tempfile::tempdir().unwrap();
    let [stranger, _, _] = certificate(elsewhere.path());
    for (refused, why) in [
        (with("VERIFY_IDENTITY", &stranger), "another authority"),
        // The certificate is for the address.
        (verified.replace("127.0.0.1", "localhost"), "another name"),
        (with("DISABLED", &authority), "in the clear"),
    ] {
        let error = store(&refused).check_schema().await.expect_err(why);
        assert!(
            !matches!(error, SnapshotError::NotMigrated { .. }),
            "{why}: {error}"
        );
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }
}
