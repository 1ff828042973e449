//! Profiles in two databases beside a running server, and the commands that look after them.

use std::{
    collections::BTreeMap,
    path::Path,
    process::{Command, Output},
    time::Duration,
};

use starvault_server::SnapshotStores;

use crate::support::{Running, folder, soon, store};

const BINARY: &str = env!("CARGO_BIN_EXE_starvault");
const STORES: [&str; 2] = ["primary", "secondary"];

fn url(folder: &Path, name: &str) -> String {
    format!("sqlite:{}", folder.join(name).display())
}

fn on_both(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(BINARY)
        .args(arguments)
        .args(["--primary", &url(folder, "primary.sqlite")])
        .args(["--secondary", &url(folder, "secondary.sqlite")])
        .output()
        .unwrap()
}

fn verified(folder: &Path, more: &[&str]) -> (Option<i32>, serde_json::Value) {
    let output = on_both(folder, &[&["data", "verify", "--json"], more].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"));
    (output.status.code(), report)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn profiles_reach_both_stores_and_are_compared_and_mended_by_command() {
    let folder = folder();
    let path = folder.path();
    for _ in 0..2 {
        let migrated = on_both(path, &["migrate"]);
        assert!(
            migrated.status.success(),
            "{}",
            String::from_utf8_lossy(&migrated.stderr)
        );
    }
    let stores = SnapshotStores {
        primary: url(path, "primary.sqlite").parse().unwrap(),
        secondary: url(path, "secondary.sqlite").parse().unwrap(),
    };
    let server = Running::start(&folder, "v1.2", |config| config.snapshots = Some(stores)).await;
    for _ in 0..5 {
        server.sign_in("").await;
    }
    let watermark = ["--watermark", "5"];
    // The comparison itself waits until both have come so far.
    let (code, report) = verified(path, &watermark);
    assert_eq!((code, &report["rows"]), (Some(0), &5.into()), "{report}");
    assert_eq!(
        (&report["differences"], &report["watermark"]),
        (&serde_json::json!([]), &5.into())
    );
    assert!(report["rows_per_s"].is_u64(), "{report}");

    let secondary = rusqlite::Connection::open(path.join("secondary.sqlite")).unwrap();
    secondary
        .execute("UPDATE player_snapshots SET body = X'7B7D'", [])
        .unwrap();
    let (code, report) = verified(path, &watermark);
    assert_eq!(code, Some(1), "{report}");
    let found = report["differences"].as_array().unwrap();
    assert_eq!(found.len(), 5);
    assert!(
        found
            .iter()
            .all(|one| one["kind"] == "corrupt" && one["store"] == "secondary"),
        "{report}"
    );

    let journal = format!("sqlite:{}", store(path).display());
    let (code, report) = verified(path, &["--repair", "--store", &journal]);
    let repairs = report["repairs"].as_array().unwrap();
    assert_eq!((code, repairs.len()), (Some(1), 5), "{report}");
    assert!(
        repairs
            .iter()
            .all(|one| one["done"] == true && one["store"] == "secondary"),
        "{report}"
    );
    assert_eq!(verified(path, &["--digests"]).0, Some(0));
    server.stop().await;
}

#[tokio::test]
async fn a_server_begins_and_plays_with_stores_that_are_not_there() {
    let folder = folder();
    let path = folder.path();
    let stores = SnapshotStores {
        primary: url(path, "none.sqlite").parse().unwrap(),
        // Nobody listens there.
        secondary: "mysql://star:s3cret@127.0.0.1:1/star".parse().unwrap(),
    };
    let server = Running::start(&folder, "v1.2", |config| config.snapshots = Some(stores)).await;
    let mut table = server.two_in_a_game().await;
    table.play(1, "e2e4").await;
    let figure = |figures: &BTreeMap<String, f64>, name: &str, store: &str| {
        figures[&format!("starvault_snapshot_{name}{{store=\"{store}\"}}")]
    };
    let told = async {
        loop {
            let figures = server.figures().await;
            let both_failed = STORES
                .iter()
                .all(|store| figure(&figures, "failures_total", store) > 0.0);
            if both_failed
                && STORES
                    .iter()
                    .all(|store| figure(&figures, "lag_positions", store) == 2.0)
                // Time passes by milliseconds: at first the oldest snapshot is of this very one.
                && STORES
                    .iter()
                    .all(|store| figure(&figures, "lag_seconds", store) > 0.0)
            {
                return figures;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let figures = soon("both stores fail", told).await;
    for store in STORES {
        assert_eq!(figure(&figures, "up", store), 0.0);
    }
    table.play(2, "e7e5").await;
    server.stop().await;
}

#[test]
fn a_password_in_a_bad_url_is_not_shown() {
    let good = "mysql://star:s3cret@127.0.0.1:1/star";
    for bad in ["mysql://star:s3cret@127.0.0.1:x/star", "mysql:star:s3cret", good] {
        for command in [&["migrate"][..], &["data", "verify"]] {
            let output = Command::new(BINARY)
                .args(command)
                .args(["--primary", bad, "--secondary", good])
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{said}");
            assert!(!said.contains("s3cret") && said.contains("starvault: "), "{said}");
        }
    }
}
