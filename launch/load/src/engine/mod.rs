//! Runs players: arrivals, end of the run, snapshots. What one player does is in [`player`] (its
//! life and its connections), [`talk`] (one conversation), [`answers`] (its answers), [`observe`] (its notes) and [`seat`] (what it knows of its game).
//!
//! `players` and `recovery` are two faces of this one engine.

mod answers;
mod observe;
mod player;
mod seat;
mod talk;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::LoadError;
use crate::api::{self, Api};
use crate::book::{Book, Snapshot};
use crate::games::{GameCounts, Games};
use crate::history::Observation;
use crate::host::CpuWatch;
use crate::latency::LatencyHistogram;
use crate::lines::{self, Acknowledged, LineLog, Writer};
use crate::schedule::{Arrivals, starts};
use crate::series::{Merge, Series};
use crate::target::Target;

const SNAPSHOT_EVERY: Duration = Duration::from_millis(250);
/// `recent_*` figures and series points cover this many snapshots.
const SNAPSHOTS_PER_POINT: u32 = 4;
/// A gateway gives up on a server at its own limit and says which version it was. Waiting a little
/// longer than a command's limit lets that answer arrive, so that the timeout has a name.
const GATEWAY_MARGIN: Duration = Duration::from_millis(500);
/// How long players have to leave once they are told to.
const LEAVE_WITHIN: Duration = Duration::from_secs(5);

/// Everything that a run can be told. The public configurations are made from it.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub target: Target,
    pub players: u32,
    pub arrivals: Arrivals,
    pub arrivals_over: Duration,
    /// No game begins after this.
    pub duration: Duration,
    /// How long running games may take to end (or, with cuts, to go on) after that.
    pub finish_within: Duration,
    pub think_time: Duration,
    pub profile_every: Option<Duration>,
    pub command_timeout: Duration,
    pub resume_within: Duration,
    pub slow_after: Duration,
    pub seed: u64,
    pub resign_after_plies: Option<u32>,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub acknowledged_log: Option<PathBuf>,
    pub history_log: Option<PathBuf>,
    pub cuts: Option<Cuts>,
}

/// Connections are cut under players, and every game is audited.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cuts {
    /// Share of the players whose connections are cut.
    pub fraction: f64,
    /// How often, each.
    pub per_player: u32,
    /// Half of the players reach the target through this relay.
    pub relay: Option<SocketAddr>,
}

/// What all players of a run share.
#[derive(Debug)]
pub(crate) struct Run {
    pub settings: Settings,
    pub api: Api,
    pub acknowledged: Option<LineLog<Acknowledged>>,
    pub history: Option<LineLog<Observation>>,
    pub began: Instant,
    /// No new game.
    pub stop: CancellationToken,
    /// Look at the game once more from the beginning, then leave.
    pub audit: CancellationToken,
    /// Leave now.
    pub closing: CancellationToken,
    book: Mutex<Book>,
    games: Mutex<Games>,
}

impl Run {
    pub fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn games(&self) -> MutexGuard<'_, Games> {
        self.games.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A run under way.
#[derive(Debug)]
pub(crate) struct Running {
    pub snapshots: watch::Receiver<Snapshot>,
    pub stop: CancellationToken,
    pub task: tokio::task::JoinHandle<Result<Finished, LoadError>>,
}

/// What a run leaves behind.
#[derive(Debug)]
pub(crate) struct Finished {
    pub book: Book,
    pub games: GameCounts,
    pub elapsed: Duration,
    pub cpu_stolen_percent: Option<f64>,
    pub series: Vec<(&'static str, Vec<(f64, f64)>)>,
    /// The caller ended it before its time.
    pub cancelled: bool,
}

pub(crate) async fn start(settings: Settings, cancel: CancellationToken) -> Result<Running, LoadError> {
    let idle_max = settings.players.min(256) as usize;
    let client = api::client(
        &settings.target,
        settings.command_timeout + GATEWAY_MARGIN,
        idle_max,
    )?;
    let api = Api::new(client, settings.target.clone());
    api.version().await?;
    let (acknowledged, acknowledged_writer) = open(settings.acknowledged_log.as_deref()).await?;
    let (history, history_writer) = open(settings.history_log.as_deref()).await?;
    let closing = cancel.child_token();
    let stop = closing.child_token();
    let run = Arc::new(Run {
        book: Mutex::new(Book::new(settings.slow_after)),
        games: Mutex::new(Games::new(settings.cuts.is_some())),
        api,
        acknowledged,
        history,
        began: Instant::now(),
        stop: stop.clone(),
        audit: closing.child_token(),
        closing,
        settings,
    });
    let (sender, snapshots) = watch::channel(Snapshot::default());
    let cpu = CpuWatch::start();
    let task = tokio::spawn(async move {
        let finished = supervise(&run, &sender).await;
        for writer in [acknowledged_writer, history_writer].into_iter().flatten() {
            writer.finish().await?;
        }
        finished.map(|series| Finished {
            book: std::mem::take(&mut *run.book()),
            games: run.games().counts(),
            elapsed: run.began.elapsed(),
            cpu_stolen_percent: cpu.stolen_percent(),
            series,
            cancelled: cancel.is_cancelled(),
        })
    });
    Ok(Running {
        snapshots,
        stop,
        task,
    })
}

async fn open<L: serde::Serialize + Send + 'static>(
    path: Option<&Path>,
) -> Result<(Option<LineLog<L>>, Option<Writer>), LoadError> {
    let Some(path) = path else {
        return Ok((None, None));
    };
    let (log, writer) = lines::open(path).await?;
    Ok((Some(log), Some(writer)))
}

type NamedSeries = Vec<(&'static str, Vec<(f64, f64)>)>;

async fn supervise(run: &Arc<Run>, snapshots: &watch::Sender<Snapshot>) -> Result<NamedSeries, LoadError> {
    let mut watcher = Watcher::new();
    let mut players = JoinSet::new();
    let settings = &run.settings;
    let arrivals = starts(
        settings.arrivals,
        settings.players as usize,
        settings.arrivals_over,
        settings.seed,
    );
    for (index, arrival) in (0u32..).zip(arrivals) {
        players.spawn(Box::pin(player::live(run.clone(), index, run.began + arrival)));
    }
    let mut tick = tokio::time::interval(SNAPSHOT_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let ends = run.began + settings.duration;
    let mut leave_by = None;
    loop {
        tokio::select! {
            left = players.join_next() => match left {
                None => break,
                Some(Ok(())) => {}
                Some(Err(failed)) => {
                    run.closing.cancel();
                    players.shutdown().await;
                    return Err(LoadError::Generator(failed.to_string()));
                }
            },
            _ = tick.tick() => {
                snapshots.send_replace(watcher.look(run, false));
                if run.stop.is_cancelled() && settings.cuts.is_some() && run.games().settled() {
                    run.audit.cancel();
                }
            }
            () = tokio::time::sleep_until(ends), if !run.stop.is_cancelled() => run.stop.cancel(),
            () = run.stop.cancelled(), if leave_by.is_none() => leave_by = Some(Instant::now() + settings.finish_within),
            () = tokio::time::sleep_until(leave_by.unwrap_or(ends)), if leave_by.is_some() => {
                // Games that should have gone on by now have not: they are looked at all the same.
                let auditing = settings.cuts.is_some() && !run.audit.is_cancelled();
                if auditing {
                    run.audit.cancel();
                } else if run.closing.is_cancelled() {
                    tracing::warn!(left = players.len(), "players did not leave in time");
                    players.abort_all();
                } else {
                    run.closing.cancel();
                }
                let patience = if auditing { settings.resume_within } else { LEAVE_WITHIN };
                leave_by = Some(Instant::now() + patience);
            }
        }
    }
    run.games().settle_all();
    snapshots.send_replace(watcher.look(run, true));
    Ok(watcher.into_series())
}

/// Turns the book into snapshots and series.
struct Watcher {
    looks: u32,
    since: Instant,
    recent: (f64, f64, f64, f64),
    series: [(&'static str, Series); 6],
}

impl Watcher {
    fn new() -> Self {
        let series = [
            ("commands_per_s", Merge::Mean),
            ("p50_ms", Merge::Mean),
            ("p99_ms", Merge::Max),
            ("error_percent", Merge::Max),
            ("games_open", Merge::Mean),
            ("players_present", Merge::Mean),
        ]
        .map(|(name, merge)| (name, Series::new(merge)));
        Self {
            looks: 0,
            since: Instant::now(),
            recent: (0.0, 0.0, 0.0, 0.0),
            series,
        }
    }

    fn look(&mut self, run: &Run, finished: bool) -> Snapshot {
        let elapsed = run.began.elapsed();
        let (games_open, games) = {
            let games = run.games();
            (games.open() as u64, games.counts())
        };
        let mut book = run.book();
        self.looks += 1;
        if self.looks.is_multiple_of(SNAPSHOTS_PER_POINT) {
            let seconds = self.since.elapsed().as_secs_f64().max(1e-3);
            self.since = Instant::now();
            let recent = &mut book.recent;
            let latency: &LatencyHistogram = &recent.latency;
            let errors = crate::measure::percent(recent.errors, recent.commands);
            self.recent = (
                recent.commands as f64 / seconds,
                latency.quantile_ms(0.5),
                latency.quantile_ms(0.99),
                errors,
            );
            recent.commands = 0;
            recent.errors = 0;
            recent.latency.clear();
            let (rate, p50, p99, errors) = self.recent;
            let present = book.players_present as f64;
            for ((_, series), value) in
                self.series
                    .iter_mut()
                    .zip([rate, p50, p99, errors, games_open as f64, present])
            {
                series.push(elapsed.as_secs_f64(), value);
            }
        }
        let (recent_commands_per_s, recent_p50_ms, recent_p99_ms, recent_error_percent) = self.recent;
        Snapshot {
            elapsed_ms: elapsed.as_millis() as u64,
            players_present: book.players_present,
            games_open,
            games_started: games.started,
            games_finished: games.finished,
            games_lost: games.lost,
            moves: book.moves,
            relocated: book.relocated,
            resumed: book.resumed,
            commands: book.total.count,
            errors: book.total.errors,
            recent_commands_per_s,
            recent_p50_ms,
            recent_p99_ms,
            recent_error_percent,
            generator_lag_p99_ms: book.lag.quantile_ms(0.99),
            releases: book.releases.clone(),
            finished,
        }
    }

    fn into_series(self) -> NamedSeries {
        self.series
            .into_iter()
            .map(|(name, series)| (name, series.points()))
            .collect()
    }
}
