//! Stores that are gone for a while.

use starvault_snapshots::{Store, VerifyOptions};

use crate::{
    mariadb::MariaDb,
    source::{Copying, START_MS, Written, fill},
    stores::{Kind, Stores, compared, store},
};

/// One server of its own, to be killed, beside a SQLite file.
async fn one_server() -> (MariaDb, String, Store, Stores) {
    let server = MariaDb::start();
    let url = server.database("outage").await;
    Store::migrate(&url.parse().unwrap()).await.unwrap();
    let secondary = store(&url);
    (server, url, secondary, Stores::new(Kind::Sqlite).await)
}

#[tokio::test]
async fn a_store_that_is_down_catches_up_and_does_not_hold_the_other_one_up() {
    let (server, _, secondary, stores) = one_server().await;
    let source = Written::default();
    let (up, down) = (
        Copying::start(source.clone(), &stores.primary),
        Copying::start(source.clone(), &secondary),
    );
    for player in 0..100 {
        source.write(&format!("p{player}"), "{}");
    }
    down.reaches(100).await;
    server.kill();
    let first_lost = source.newest() + 1;
    for player in 0..300 {
        source.write(&format!("p{player}"), "{\"later\":1}");
    }
    up.reaches(source.newest()).await;
    down.until(|figures| figures.failures() > 2).await;
    // What comes while it is down is counted too.
    let late = source.write("p0", "{\"late\":1}");
    down.until(|figures| figures.position() + figures.lag_positions() as i64 == late)
        .await;
    assert!(up.figures.is_up() && up.figures.failures() == 0);
    assert!(!down.figures.is_up());
    assert!(down.figures.lag_positions() >= 200, "{:?}", down.figures);
    // The oldest snapshot that is not there tells how long it has waited.
    let now_ms = START_MS + first_lost + 5_000;
    let lag_ms = down.figures.lag_ms(now_ms);
    assert!((4_000..=5_000).contains(&lag_ms), "{lag_ms}");
    server.go_on();
    down.reaches(source.newest()).await;
    down.until(|figures| figures.is_up()).await;
    assert_eq!(
        (down.figures.lag_positions(), down.figures.lag_ms(now_ms)),
        (0, 0)
    );
    let report = compared(&stores.primary, &secondary, &VerifyOptions::default()).await;
    assert!(report.is_identical() && report.rows == 300, "{report:?}");
}

#[tokio::test]
async fn a_database_that_is_killed_while_it_is_written_to_has_rows_and_cursor_of_one_moment() {
    let (server, url, secondary, stores) = one_server().await;
    let source = Written::default();
    let copying = Copying::start(source.clone(), &secondary);
    for round in 1..=6 {
        for player in 0..400 {
            source.write(&format!("p{player}"), &format!("{{\"round\":{round}}}"));
        }
        // Somewhere in the middle of the round's batches.
        copying.reaches((round - 1) * 400 + 100).await;
        server.kill();
        server.go_on();
        let store = store(&url);
        let position = store.position().await.unwrap();
        crate::killed::holds_everything_up_to(&store, &source, position).await;
    }
    copying.reaches(source.newest()).await;
    fill(&source, [&stores.primary, &stores.primary]).await;
    let report = compared(&stores.primary, &secondary, &VerifyOptions::default()).await;
    assert!(report.is_identical() && report.rows == 400, "{report:?}");
}
