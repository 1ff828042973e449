//! Players that really play: they sign in, read their profile, meet somebody, play random legal
//! moves to the end and start again, through whatever stands before the server.
//!
//! A player opens a new WebSocket for every game, so that a change of weights at a gateway moves
//! players as it would move real ones. A player that is sent elsewhere in the middle of a game
//! (`Relocated`, close codes 1001, 1012 and 4001) or that loses its connection comes back, resumes,
//! and sends what was not acknowledged again under the same command id.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::LoadError;
use crate::book::{GameMoved, OperationReport, ReleaseReport, Snapshot};
use crate::engine::{self, Finished, Settings};
use crate::latency::LatencySummary;
use crate::measure::{Measurements, label, percent, put, put_count, put_latency};
use crate::schedule::Arrivals;
use crate::target::Target;

/// What [`PlayersConfig::generator_lag_max`] is unless somebody says otherwise.
pub const GENERATOR_LAG_P99_MAX: Duration = Duration::from_millis(50);
/// The most players that one run drives.
pub const PLAYERS_MAX: u32 = 20_000;

/// What to play. Durations are real time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PlayersConfig {
    /// Base URL of the server or of the gateway before it, `http://…`.
    pub target: String,
    /// 1 to [`PLAYERS_MAX`].
    pub players: u32,
    /// All players have arrived after this.
    pub arrivals_over: Duration,
    pub arrivals: Arrivals,
    /// From the start; after it no game begins.
    pub duration: Duration,
    /// How long running games may go on after that. Then players leave them, unfinished.
    pub finish_within: Duration,
    /// Mean pause before a move; drawn between half and one and a half times this.
    pub think_time: Duration,
    /// Each player reads its profile this often; none: never.
    pub profile_every: Option<Duration>,
    /// A command that is not answered within this is an error.
    pub command_timeout: Duration,
    /// A game that cannot be resumed within this is lost.
    pub resume_within: Duration,
    /// A correct answer later than this is a slow one.
    pub slow_after: Duration,
    /// A run whose generator started things later than this (99th percentile) measured itself, not
    /// the server: it is not valid.
    pub generator_lag_max: Duration,
    /// Arrivals, think times and moves follow from it.
    pub seed: u64,
    /// Resign once a game has gone on for so many plies; none: play to the end.
    pub resign_after_plies: Option<u32>,
    /// Sent with every WebSocket upgrade, e.g. `x-version`.
    pub headers: BTreeMap<String, String>,
    /// Write what was acknowledged to this file, one JSON object per line.
    pub acknowledged_log: Option<PathBuf>,
    /// Write what each player sent and was told, and when, to this file, one JSON object per line.
    pub history_log: Option<PathBuf>,
}

impl PlayersConfig {
    /// 100 players for a minute.
    pub fn new(target: impl Into<String>) -> Self {
        Self {
            target: target.into(),
            players: 100,
            arrivals_over: Duration::from_secs(10),
            arrivals: Arrivals::Poisson,
            duration: Duration::from_secs(60),
            finish_within: Duration::from_secs(10),
            think_time: Duration::from_secs(1),
            profile_every: Some(Duration::from_secs(2)),
            command_timeout: Duration::from_secs(2),
            resume_within: Duration::from_secs(20),
            slow_after: Duration::from_millis(200),
            generator_lag_max: GENERATOR_LAG_P99_MAX,
            seed: 1,
            resign_after_plies: None,
            headers: BTreeMap::new(),
            acknowledged_log: None,
            history_log: None,
        }
    }

    pub(crate) fn settings(self) -> Result<Settings, LoadError> {
        let setting = |setting, value: String, expected| {
            Err(LoadError::Setting {
                setting,
                value,
                expected,
            })
        };
        if !(1..=PLAYERS_MAX).contains(&self.players) {
            return setting("players", self.players.to_string(), "1 to 20000");
        }
        for (name, value) in [
            ("duration", self.duration),
            ("think_time", self.think_time),
            ("command_timeout", self.command_timeout),
            ("resume_within", self.resume_within),
        ] {
            if value.is_zero() {
                return setting(name, format!("{value:?}"), "more than zero");
            }
        }
        if self.profile_every.is_some_and(|every| every.is_zero()) {
            return setting("profile_every", "0".into(), "more than zero, or none");
        }
        let mut headers = Vec::new();
        for (name, value) in self.headers {
            match (HeaderName::try_from(&name), HeaderValue::try_from(&value)) {
                (Ok(name), Ok(value)) => headers.push((name, value)),
                _ => return setting("headers", format!("{name}: {value}"), "a valid HTTP header"),
            }
        }
        Ok(Settings {
            target: Target::parse_plain(&self.target)?,
            players: self.players,
            arrivals: self.arrivals,
            arrivals_over: self.arrivals_over,
            duration: self.duration,
            finish_within: self.finish_within,
            think_time: self.think_time,
            profile_every: self.profile_every,
            command_timeout: self.command_timeout,
            resume_within: self.resume_within,
            slow_after: self.slow_after,
            seed: self.seed,
            resign_after_plies: self.resign_after_plies,
            headers,
            acknowledged_log: self.acknowledged_log,
            history_log: self.history_log,
            cuts: None,
        })
    }
}

/// Players at play.
#[derive(Debug)]
pub struct PlayersHandle {
    /// Renewed every 250 ms; the last one says `finished`.
    pub snapshots: watch::Receiver<Snapshot>,
    stop: CancellationToken,
    generator_lag_max: Duration,
    task: tokio::task::JoinHandle<Result<Finished, LoadError>>,
}

impl PlayersHandle {
    /// From now on nobody arrives and no game begins; running games may still end.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Waits for the end of the run.
    ///
    /// # Errors
    /// When a log could not be written, or the generator failed.
    pub async fn join(self) -> Result<PlayersReport, LoadError> {
        let finished = self
            .task
            .await
            .map_err(|e| LoadError::Generator(e.to_string()))??;
        Ok(PlayersReport::of(finished, self.generator_lag_max))
    }
}

/// Starts players in the background. When `cancel` fires they leave at once.
///
/// # Errors
/// When the configuration is not usable, or nothing answers at the target.
pub async fn start(config: PlayersConfig, cancel: CancellationToken) -> Result<PlayersHandle, LoadError> {
    let generator_lag_max = config.generator_lag_max;
    let running = engine::start(config.settings()?, cancel).await?;
    Ok(PlayersHandle {
        snapshots: running.snapshots,
        stop: running.stop,
        generator_lag_max,
        task: running.task,
    })
}

/// [`start`] and [`PlayersHandle::join`].
///
/// # Errors
/// As these.
pub async fn run(config: PlayersConfig, cancel: CancellationToken) -> Result<PlayersReport, LoadError> {
    start(config, cancel).await?.join().await
}

/// What players met. Latencies in milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PlayersReport {
    /// False when the generator was late ([`PlayersConfig::generator_lag_max`]) or was cancelled.
    pub valid: bool,
    /// Why not, in words.
    pub notes: Vec<String>,
    pub elapsed_ms: u64,
    pub players_arrived: u64,
    pub players_without_sign_in: u64,
    /// All commands and requests together, by the intended start.
    pub total: OperationReport,
    /// `sign_in`, `profile`, `connect`, `join`, `resume`, `move`, `resign`, `leave_lobby`.
    pub operations: BTreeMap<String, OperationReport>,
    pub releases: BTreeMap<String, ReleaseReport>,
    pub error_codes: BTreeMap<String, u64>,
    /// From JoinLobby to Matched, waiting for an opponent included.
    pub match_wait: LatencySummary,
    /// From losing a connection in the middle of a game to Resumed.
    pub resume_gap: LatencySummary,
    /// Games that went on at another release, 10,000 at most.
    #[serde(default)]
    pub games_moved: Vec<GameMoved>,
    pub games_started: u64,
    pub games_finished: u64,
    /// Of the finished ones: by forfeit of an absent player.
    pub games_abandoned: u64,
    /// Could not be resumed, or forgotten by the server.
    pub games_lost: u64,
    /// Still running when the players left.
    pub games_unfinished: u64,
    /// Acknowledged moves.
    pub moves: u64,
    /// Acknowledged moves that the server did not know any more on resume.
    pub lost_moves: u64,
    /// Players sent elsewhere in the middle of a game, by the server or by a gateway.
    pub relocated: u64,
    pub reconnects: u64,
    pub resumed: u64,
    pub disconnects: u64,
    pub late_starts: u64,
    pub generator_lag: LatencySummary,
    /// Share of this machine's CPU time that its host gave to others; none where that is not known.
    pub cpu_stolen_percent: Option<f64>,
    /// Name to (seconds since the start, value): `commands_per_s`, `p50_ms`, `p99_ms`,
    /// `error_percent`, `games_open`, `players_present`.
    pub series: BTreeMap<String, Vec<(f64, f64)>>,
}

impl PlayersReport {
    pub(crate) fn of(finished: Finished, generator_lag_max: Duration) -> Self {
        let Finished {
            book,
            games,
            elapsed,
            cpu_stolen_percent,
            series,
            cancelled,
        } = finished;
        let report = |of: &crate::book::OperationBook| OperationReport {
            count: of.count,
            errors: of.errors,
            timeouts: of.timeouts,
            response: of.response.summary(),
            service: of.service.summary(),
        };
        let generator_lag = book.lag.summary();
        let late = is_late(&generator_lag, generator_lag_max);
        let mut notes = Vec::new();
        if late {
            notes.push(late_note(&generator_lag, generator_lag_max, cpu_stolen_percent));
        }
        if cancelled {
            notes.push("not valid: cancelled before its end".into());
        }
        Self {
            valid: !late && !cancelled,
            notes,
            elapsed_ms: elapsed.as_millis() as u64,
            players_arrived: book.players_arrived,
            players_without_sign_in: book.players_without_sign_in,
            total: report(&book.total),
            operations: book
                .operations
                .iter()
                .map(|(o, b)| (o.name().to_owned(), report(b)))
                .collect(),
            releases: book.releases.iter().map(|(r, s)| (r.clone(), s.into())).collect(),
            match_wait: book.match_wait.summary(),
            resume_gap: book.resume_gap.summary(),
            games_moved: book.games_moved.into_values().collect(),
            error_codes: book.error_codes,
            games_started: games.started,
            games_finished: games.finished,
            games_abandoned: games.abandoned,
            games_lost: games.lost,
            games_unfinished: games.unfinished,
            moves: book.moves,
            lost_moves: games.forgotten,
            relocated: book.relocated,
            reconnects: book.reconnects,
            resumed: book.resumed,
            disconnects: book.disconnects,
            late_starts: book.late_starts,
            generator_lag,
            cpu_stolen_percent,
            series: series
                .into_iter()
                .map(|(name, points)| (name.to_owned(), points))
                .collect(),
        }
    }
}

pub(crate) fn is_late(lag: &LatencySummary, max: Duration) -> bool {
    lag.p99_ms > max.as_secs_f64() * 1000.0
}

/// Why a late generator makes a run worthless, and what to do about it.
pub(crate) fn late_note(lag: &LatencySummary, max: Duration, cpu_stolen_percent: Option<f64>) -> String {
    let stolen = cpu_stolen_percent
        .filter(|percent| *percent >= 1.0)
        .map_or_else(String::new, |percent| {
            format!("; the host gave {percent:.0} % of this machine's CPU time to others")
        });
    format!(
        "not valid: the generator was late, p99 {:.0} ms (limit {max:?}); \
         give it more CPU or send less{stolen}",
        lag.p99_ms
    )
}

impl PlayersReport {
    /// The report as flat figures. Latencies of what never happened are left out.
    pub fn measurements(&self) -> Measurements {
        let mut all = Measurements::new();
        let m = &mut all;
        put(m, "valid", f64::from(u8::from(self.valid)), "1");
        put(m, "duration_s", self.elapsed_ms as f64 / 1000.0, "s");
        put_latency(m, "", &self.total.response);
        put_latency(m, "service_", &self.total.service);
        put_count(m, "commands", self.total.count);
        put_count(m, "errors", self.total.errors);
        put_count(m, "timeouts", self.total.timeouts);
        put(
            m,
            "error_rate",
            percent(self.total.errors, self.total.count) / 100.0,
            "ratio",
        );
        put(
            m,
            "error_rate_percent",
            percent(self.total.errors, self.total.count),
            "%",
        );
        put(
            m,
            "commands_per_s",
            self.total.count as f64 * 1000.0 / self.elapsed_ms.max(1) as f64,
            "1/s",
        );
        for (name, operation) in &self.operations {
            put_count(m, format!("{name}_count"), operation.count);
            put_count(m, format!("{name}_errors"), operation.errors);
            put_latency(m, &format!("{name}_"), &operation.response);
        }
        if let Some(moves) = self.operations.get("move") {
            put_latency(m, "move_service_", &moves.service);
        }
        put_latency(m, "match_wait_", &self.match_wait);
        put_latency(m, "resume_gap_", &self.resume_gap);
        put(m, "generator_lag_p99_ms", self.generator_lag.p99_ms, "ms");
        put(m, "generator_lag_max_ms", self.generator_lag.max_ms, "ms");
        if let Some(percent) = self.cpu_stolen_percent {
            put(m, "cpu_stolen_percent", percent, "%");
        }
        for (name, count) in [
            ("late_starts", self.late_starts),
            ("players_arrived", self.players_arrived),
            ("players_without_sign_in", self.players_without_sign_in),
            ("games_moved", self.games_moved.len() as u64),
            ("games_started", self.games_started),
            ("games_finished", self.games_finished),
            ("games_abandoned", self.games_abandoned),
            ("games_lost", self.games_lost),
            ("games_unfinished", self.games_unfinished),
            ("moves", self.moves),
            ("lost_moves", self.lost_moves),
            ("relocated", self.relocated),
            ("reconnects", self.reconnects),
            ("resumed", self.resumed),
            ("disconnects", self.disconnects),
        ] {
            put_count(m, name, count);
        }
        for (code, count) in &self.error_codes {
            put_count(m, format!("error_{}", label(code)), *count);
        }
        for (release, of) in &self.releases {
            let release = label(release);
            put_count(m, format!("release_{release}_commands"), of.commands);
            put_count(m, format!("release_{release}_errors"), of.errors);
            put_count(m, format!("release_{release}_slow"), of.slow);
            put_latency(m, &format!("release_{release}_"), &of.latency);
        }
        all
    }
}
