//! Profiles that change 2,000 times a second, and how long after its commit each change is in the primary
//! and in the secondary: two real MariaDB servers, filled by two copiers as the server runs them. Beside them, in the
//! same run, one row per transaction.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use rand::rngs::StdRng;
use rand::{SeedableRng as _, seq::SliceRandom as _};
use starvault_rules::PlayerId;
use starvault_snapshots::{
    Applied, Copier, CopyOptions, SinkFigures, Source as _, Store, StoreUrl, VerifyOptions, pace, verify,
};
use starvault_store::{EquipOutcome, Journal as _, NewPlayer, Outbox, SqliteJournal, SqliteOptions};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::Options;
use crate::mariadb::MariaDb;
use crate::report::{Limit, Report, quantile};
use crate::sightings::{Noted, Sightings};

#[derive(Debug, Clone, Args)]
pub struct SnapshotsOptions {
    #[command(flatten)]
    pub all: Options,
    /// Profiles that change.
    #[arg(long, default_value_t = 10_000, value_parser = profiles)]
    profiles: usize,
    /// Changes in each second.
    #[arg(long, default_value_t = 2_000)]
    changes_per_s: u32,
    /// How long they are measured, after a warm-up (seconds).
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
}

fn profiles(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ 1..=10_000_000) => Ok(count),
        _ => Err("expected 1 to 10000000".into()),
    }
}

const WARM_UP: Duration = Duration::from_secs(2);
/// Changes are begun in so many batches a second, each at its time whether the ones before it have ended or not.
const BURSTS_PER_S: u32 = 200;
/// Changes under way at once; more than that, and the journal is what is measured.
const UNDER_WAY_MAX: usize = 2_000;
/// How often it is looked how far a store is.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// How long after the last change the copiers may go on.
const FINISH_WITHIN: Duration = Duration::from_secs(5);
const SINKS: [&str; 2] = ["primary", "secondary"];

pub fn run(options: &SnapshotsOptions) -> anyhow::Result<Report> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let mut report = Report::default();
    eprintln!("batches, as the server copies …");
    let ours = runtime.block_on(phase(options, Copies::InBatches))?;
    eprintln!("one row per transaction …");
    let rows = runtime.block_on(phase(options, Copies::RowByRow))?;

    let rate = f64::from(options.changes_per_s);
    report.add(
        "changes_per_s",
        ours.changes_per_s,
        "1/s",
        Limit::AtLeast(rate * 0.99),
    );
    report.add("changes", ours.changes as f64, "changes", Limit::None);
    let keys = [
        ["snapshot_lag_p50_ms_primary", "snapshot_lag_p50_ms_secondary"],
        ["snapshot_lag_p99_ms_primary", "snapshot_lag_p99_ms_secondary"],
        ["snapshot_lag_max_ms_primary", "snapshot_lag_max_ms_secondary"],
    ];
    for (keys, q) in keys.into_iter().zip([0.5, 0.99, 1.0]) {
        for (key, lags) in keys.into_iter().zip(&ours.lags_ms) {
            let limit = if q == 0.99 {
                Limit::AtMost(1_000.0)
            } else {
                Limit::None
            };
            report.add(key, quantile(lags, q), "ms", limit);
        }
    }
    report.add(
        "snapshot_missing",
        ours.missing as f64,
        "changes",
        Limit::AtMost(0.0),
    );
    report.add("rows_per_batch", ours.rows_per_batch, "rows", Limit::None);
    report.add("changes_per_s_row_by_row", rows.changes_per_s, "1/s", Limit::None);
    let p99 = |phase: &Phase, sink: usize| quantile(&phase.lags_ms[sink], 0.99);
    report.add("row_by_row_lag_p99_ms_primary", p99(&rows, 0), "ms", Limit::None);
    report.add(
        "row_by_row_lag_p99_ms_secondary",
        p99(&rows, 1),
        "ms",
        Limit::None,
    );
    report.add("row_by_row_missing", rows.missing as f64, "changes", Limit::None);
    let ratio = |sink| p99(&rows, sink) / p99(&ours, sink).max(0.001);
    report.add(
        "lag_p99_ratio_vs_row_by_row",
        ratio(0).min(ratio(1)),
        "times",
        Limit::AtLeast(1.0),
    );
    report.note(format!(
        "lag: from the answer of the journal to the commit of a batch that holds this version or a newer one; looked at every {LOOK_EVERY:?}"
    ));
    report.note(format!(
        "missing: not there {FINISH_WITHIN:?} after the last change; it counts with the lag that it had reached by then"
    ));
    report.note("both stores compared after the batches: identical, byte by byte");
    Ok(report)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Copies {
    InBatches,
    RowByRow,
}

struct Phase {
    changes: usize,
    changes_per_s: f64,
    /// Of each sink, sorted.
    lags_ms: [Vec<f64>; 2],
    missing: usize,
    rows_per_batch: f64,
}

type Copying = Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>>;

async fn phase(options: &SnapshotsOptions, copies: Copies) -> anyhow::Result<Phase> {
    let servers = [MariaDb::start()?, MariaDb::start()?];
    let mut urls = Vec::new();
    for server in &servers {
        let url: StoreUrl = server.url().parse()?;
        Store::migrate(&url).await?;
        urls.push(url);
    }
    // On the disk that the project lies on, as a journal would.
    let folder = tempfile::tempdir_in(".")?;
    let journal = SqliteJournal::open(&folder.path().join("journal.sqlite"), SqliteOptions::default())?;
    let mut players = make_players(&journal, options.profiles).await?;
    // In turn, each as soon as all others have changed, and in no order that a table has.
    players.shuffle(&mut StdRng::seed_from_u64(options.all.seed));

    let stop = CancellationToken::new();
    let mut tasks: JoinSet<anyhow::Result<()>> = JoinSet::new();
    let (mut sinks, mut figures) = (Vec::new(), Vec::new());
    for (name, url) in SINKS.into_iter().zip(&urls) {
        let noted = Noted::new(journal.outbox());
        let sightings = noted.sightings();
        let store = Store::new(url);
        let (copying, position): (Copying, Position) = match copies {
            Copies::InBatches => {
                let copier = Copier::new(name, noted, store, CopyOptions::default());
                let of_copier = copier.figures();
                figures.push(of_copier.clone());
                let stop = stop.clone();
                let copying = async move {
                    copier.run(rand::random, stop).await;
                    Ok(())
                };
                (Box::pin(copying), Position::Copier(of_copier))
            }
            Copies::RowByRow => {
                let position = Arc::new(AtomicI64::new(0));
                let copying = row_by_row(noted, store, position.clone(), stop.clone());
                (Box::pin(copying), Position::RowByRow(position))
            }
        };
        tasks.spawn(copying);
        tasks.spawn(look(position, sightings.clone(), stop.clone()));
        sinks.push(sightings);
    }
    let newest = journal.outbox().newest_position().await?;
    until(
        || sinks.iter().all(|sink| sink.position() >= newest),
        FINISH_WITHIN * 12,
    )
    .await
    .context("the stores do not hold the profiles as they begin")?;
    let before: u64 = figures.iter().map(|one| one.rows()).sum();
    let batches_before: u64 = figures.iter().map(|one| one.batches()).sum();

    let (changes, seconds) = change(&journal, &players, &sinks, options).await?;
    let _ = until(|| sinks.iter().all(|sink| sink.waiting() == 0), FINISH_WITHIN).await;
    let now = Instant::now();
    let missing = sinks.iter().map(|sink| sink.waiting()).sum();
    let lags_ms = [sinks[0].lags_ms(now), sinks[1].lags_ms(now)];
    let rows: u64 = figures.iter().map(|one| one.rows()).sum();
    let batches: u64 = figures.iter().map(|one| one.batches()).sum();
    stop.cancel();
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    if copies == Copies::InBatches {
        let stores = [Store::new(&urls[0]), Store::new(&urls[1])];
        let found = verify(&stores[0], &stores[1], &VerifyOptions::default(), &mut |_| {}).await?;
        ensure!(
            found.is_identical() && found.rows == options.profiles as u64,
            "the stores differ: {found:?}"
        );
    }
    journal.close().await;
    Ok(Phase {
        changes,
        changes_per_s: changes as f64 / seconds,
        lags_ms,
        missing,
        rows_per_batch: (rows - before) as f64 / (batches - batches_before).max(1) as f64,
    })
}

async fn make_players(journal: &SqliteJournal, count: usize) -> anyhow::Result<Vec<PlayerId>> {
    let mut making = JoinSet::new();
    let mut players = Vec::new();
    for number in 0..count {
        let player_id = PlayerId::new(format!("p-{number:08}"))?;
        players.push(player_id.clone());
        let journal = journal.clone();
        making.spawn(async move {
            let player = NewPlayer {
                display_name: player_id.to_string(),
                player_id,
                rating: 1500,
                created_at_ms: 1,
            };
            journal.create_player(player).await
        });
        if making.len() >= UNDER_WAY_MAX
            && let Some(made) = making.join_next().await
        {
            made??;
        }
    }
    while let Some(made) = making.join_next().await {
        made??;
    }
    Ok(players)
}

/// Changes profiles at the given rate; how many were measured, and in how many seconds they were begun and ended.
async fn change(
    journal: &SqliteJournal,
    players: &[PlayerId],
    sinks: &[Arc<Sightings>],
    options: &SnapshotsOptions,
) -> anyhow::Result<(usize, f64)> {
    let count = players.len() as u64;
    let mut under_way: JoinSet<anyhow::Result<()>> = JoinSet::new();
    let began = tokio::time::Instant::now();
    let measured_from = began + WARM_UP;
    let ends = measured_from + Duration::from_secs(options.seconds);
    let mut changes = 0;
    for burst in 0_u32.. {
        let due = began + Duration::from_secs(1) * burst / BURSTS_PER_S;
        if due >= ends {
            break;
        }
        tokio::time::sleep_until(due).await;
        // The rest of an uneven division goes into later bursts.
        let upto = |burst: u32| u64::from(burst) * u64::from(options.changes_per_s) / u64::from(BURSTS_PER_S);
        for number in upto(burst)..upto(burst + 1) {
            let player_id = players[(number % count) as usize].clone();
            let on = (number / count).is_multiple_of(2);
            let journal = journal.clone();
            let measured = due >= measured_from;
            changes += usize::from(measured);
            let sinks: Vec<_> = sinks.to_vec();
            under_way.spawn(async move {
                let at_ms = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
                let outcome = journal
                    .equip(&player_id, "board-dusk", on, i64::try_from(at_ms)?)
                    .await?;
                let EquipOutcome::Done(profile) = outcome else {
                    bail!("{player_id} was not changed: {outcome:?}");
                };
                if measured {
                    let committed_at = Instant::now();
                    for sink in &sinks {
                        sink.committed(player_id.as_str(), profile.version, committed_at);
                    }
                }
                Ok(())
            });
        }
        while let Some(ended) = under_way.try_join_next() {
            ended??;
        }
        ensure!(
            under_way.len() <= UNDER_WAY_MAX,
            "the journal does not take {} changes a second on this machine",
            options.changes_per_s
        );
    }
    while let Some(ended) = under_way.join_next().await {
        ended??;
    }
    Ok((changes, measured_from.elapsed().as_secs_f64()))
}

/// How far a store is.
enum Position {
    Copier(Arc<SinkFigures>),
    RowByRow(Arc<AtomicI64>),
}

async fn look(position: Position, sightings: Arc<Sightings>, stop: CancellationToken) -> anyhow::Result<()> {
    while !stop.is_cancelled() {
        let reached = match &position {
            Position::Copier(figures) => figures.position(),
            Position::RowByRow(position) => position.load(Relaxed),
        };
        sightings.reached(reached, Instant::now());
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}

/// The baseline: each snapshot that is read is a transaction of its own, with the cursor as there.
async fn row_by_row(
    outbox: Noted<Outbox>,
    store: Store,
    reached: Arc<AtomicI64>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let options = CopyOptions::default();
    let mut position = store.position().await?;
    while !stop.is_cancelled() {
        let entries = outbox.after(position, options.batch_rows).await?;
        let newest = outbox.newest_position().await?;
        if entries.is_empty() {
            tokio::time::sleep(options.poll_every).await;
        }
        for entry in entries {
            let batch = pace::Batch {
                position: entry.position,
                rows: vec![pace::row(entry)?],
            };
            ensure!(
                store.apply(position, newest, &batch).await? == Applied::Written,
                "somebody else has moved the cursor"
            );
            position = batch.position;
            reached.store(position, Relaxed);
            if stop.is_cancelled() {
                break;
            }
        }
    }
    store.close().await;
    Ok(())
}

async fn until(holds: impl Fn() -> bool, within: Duration) -> anyhow::Result<()> {
    let began = Instant::now();
    while !holds() {
        ensure!(began.elapsed() < within, "not within {within:?}");
        tokio::time::sleep(LOOK_EVERY * 10).await;
    }
    Ok(())
}
