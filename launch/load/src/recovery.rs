//! Cuts connections under players that are in the middle of a game and proves what is left.
//!
//! Three faults: a TCP reset while waiting; a TCP reset right after sending a move, before its
//! acknowledgement can be seen; and a network that swallows everything for a while and then breaks
//! (half of the players reach the target through a [`Relay`](crate::faults::Relay)). Players come
//! back, resume and send again what was not acknowledged. At the end every player connects once
//! more, asks for its game from the first event on, and both sides' ledgers are compared: each
//! acknowledged move at its place, none twice, no differences, no holes, and every game that was cut
//! has gone on.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::LoadError;
use crate::book::{GameMoved, Snapshot};
use crate::engine::{self, Cuts, Finished};
use crate::faults::Relay;
use crate::latency::LatencySummary;
use crate::measure::{Measurements, label, put, put_count, put_latency};
use crate::players::{GENERATOR_LAG_P99_MAX, PlayersConfig, PlayersReport};
use crate::target::Target;

/// What to cut. Durations are real time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RecoveryConfig {
    /// Base URL, `http://…`.
    pub target: String,
    pub players: u32,
    pub arrivals_over: Duration,
    /// Play and cut for so long.
    pub duration: Duration,
    pub think_time: Duration,
    /// Share of the players whose connections are reset, 0 to 1.
    pub cut_fraction: f64,
    /// How often each of them is cut; every second time before an answer.
    pub cuts_per_player: u32,
    pub network_loss: Option<NetworkLoss>,
    pub command_timeout: Duration,
    pub resume_within: Duration,
    /// After `duration`: how long a cut game may take to go on.
    pub continue_within: Duration,
    pub seed: u64,
    pub acknowledged_log: Option<PathBuf>,
    /// As [`PlayersConfig::history_log`].
    pub history_log: Option<PathBuf>,
}

/// A network that swallows everything for a while, and then breaks.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct NetworkLoss {
    /// After the start of the run.
    pub after: Duration,
    pub lasts: Duration,
}

impl RecoveryConfig {
    /// 40 players for 20 seconds; 30 % of them are cut twice, and the network is lost for 1.5 s.
    pub fn new(target: impl Into<String>) -> Self {
        Self {
            target: target.into(),
            players: 40,
            arrivals_over: Duration::from_secs(2),
            duration: Duration::from_secs(20),
            think_time: Duration::from_millis(400),
            cut_fraction: 0.3,
            cuts_per_player: 2,
            network_loss: Some(NetworkLoss {
                after: Duration::from_secs(10),
                lasts: Duration::from_millis(1500),
            }),
            command_timeout: Duration::from_secs(2),
            resume_within: Duration::from_secs(20),
            continue_within: Duration::from_secs(20),
            seed: 1,
            acknowledged_log: None,
            history_log: None,
        }
    }
}

/// Runs it to its end.
///
/// # Errors
/// When the configuration is not usable, nothing answers at the target, the relay cannot listen, or
/// a log cannot be written. A lost move is no error: it is in the report.
pub async fn run(config: RecoveryConfig, cancel: CancellationToken) -> Result<RecoveryReport, LoadError> {
    run_watched(config, cancel, |_| {}).await
}

/// [`run`], with a look at the run every 250 ms, for a display.
///
/// # Errors
/// As [`run`].
pub async fn run_watched(
    config: RecoveryConfig,
    cancel: CancellationToken,
    watch: impl FnMut(&Snapshot) + Send,
) -> Result<RecoveryReport, LoadError> {
    drive(config, cancel, CancellationToken::new(), watch).await
}

/// [`run_watched`], but that `stop` ends the play in order, with all that is checked then, before its duration is over.
///
/// # Errors
/// As [`run`].
pub async fn run_until(
    config: RecoveryConfig,
    stop: CancellationToken,
    watch: impl FnMut(&Snapshot) + Send,
) -> Result<RecoveryReport, LoadError> {
    drive(config, CancellationToken::new(), stop, watch).await
}

async fn drive(
    config: RecoveryConfig,
    cancel: CancellationToken,
    stop: CancellationToken,
    mut watch: impl FnMut(&Snapshot) + Send,
) -> Result<RecoveryReport, LoadError> {
    if !(0.0..=1.0).contains(&config.cut_fraction) {
        let value = config.cut_fraction.to_string();
        return Err(LoadError::Setting {
            setting: "cut_fraction",
            value,
            expected: "0 to 1",
        });
    }
    let mut settings = PlayersConfig {
        players: config.players,
        arrivals_over: config.arrivals_over,
        duration: config.duration,
        finish_within: config.continue_within,
        think_time: config.think_time,
        profile_every: None,
        command_timeout: config.command_timeout,
        resume_within: config.resume_within,
        seed: config.seed,
        acknowledged_log: config.acknowledged_log.clone(),
        history_log: config.history_log.clone(),
        ..PlayersConfig::new(config.target.clone())
    }
    .settings()?;

    let relay = match config.network_loss {
        Some(_) => Some(relay_to(&settings.target).await?),
        None => None,
    };
    settings.cuts = Some(Cuts {
        fraction: config.cut_fraction,
        per_player: config.cuts_per_player,
        relay: relay.as_ref().map(Relay::address),
    });
    let running = engine::start(settings, cancel.clone()).await?;
    let mut snapshots = running.snapshots;
    let mut task = running.task;
    let mut losses = Box::pin(lose_network(config.network_loss, relay.as_ref()));
    let mut network_losses = 0;
    let mut lost = false;
    let finished = loop {
        tokio::select! {
            finished = &mut task => break finished.map_err(|e| LoadError::Generator(e.to_string()))??,
            count = &mut losses, if !lost => {
                network_losses = count;
                lost = true;
            }
            Ok(()) = snapshots.changed() => watch(&snapshots.borrow_and_update()),
            () = stop.cancelled(), if !running.stop.is_cancelled() => running.stop.cancel(),
        }
    };
    drop(losses);
    if let Some(relay) = relay {
        relay.stop().await;
    }
    Ok(RecoveryReport::new(finished, network_losses))
}

async fn relay_to(target: &Target) -> Result<Relay, LoadError> {
    let unreachable = |why: String| LoadError::Unreachable {
        target: target.base.clone(),
        why,
    };
    let address = tokio::net::lookup_host((target.host.as_str(), target.port))
        .await
        .map_err(|e| unreachable(e.to_string()))?
        .next()
        .ok_or_else(|| unreachable("its name has no address".into()))?;
    Relay::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), address).await
}

/// Returns how many connections the loss took with it.
async fn lose_network(loss: Option<NetworkLoss>, relay: Option<&Relay>) -> u64 {
    let (Some(loss), Some(relay)) = (loss, relay) else {
        return 0;
    };
    tokio::time::sleep(loss.after).await;
    relay.blackhole_then_cut(loss.lasts).await
}

/// What was left after the cuts. `lost`, `twice`, `diverged`, `gaps`, `games_stuck` and `games_lost`
/// must be 0.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RecoveryReport {
    /// False when the run was cancelled, or cut nothing.
    pub valid: bool,
    pub notes: Vec<String>,
    pub elapsed_ms: u64,
    /// Connections that were reset in the middle of a game.
    pub cuts: u64,
    /// Of these: right after sending a move.
    pub cuts_before_answer: u64,
    /// Connections that went with the network.
    pub network_losses: u64,
    /// How often a player was back in its game.
    pub resumed: u64,
    /// From the loss of the connection to Resumed.
    pub resume: LatencySummary,
    /// Moves whose acknowledgement reached a player, in audited games.
    pub acknowledged: u64,
    /// Of these: not in the game, at their place, for both players.
    pub lost: u64,
    /// Moves in a game that nobody sent, or that were applied again.
    pub twice: u64,
    /// Events that differ between the two players.
    pub diverged: u64,
    /// Events that a player was never told of.
    pub gaps: u64,
    /// Acknowledged moves that one of the two had no occasion to see.
    pub unverified: u64,
    /// Games that went on at another release, 10,000 at most.
    #[serde(default)]
    pub games_moved: Vec<GameMoved>,
    pub games_started: u64,
    pub games_finished: u64,
    pub games_cut: u64,
    /// Cut, and no move acknowledged since, nor ended.
    pub games_stuck: u64,
    pub games_lost: u64,
    pub moves: u64,
    pub players_without_sign_in: u64,
    pub error_codes: BTreeMap<String, u64>,
    /// Share of this machine's CPU time that its host gave to others; none where that is not known.
    pub cpu_stolen_percent: Option<f64>,
    pub series: BTreeMap<String, Vec<(f64, f64)>>,
}

impl RecoveryReport {
    fn new(finished: Finished, network_losses: u64) -> Self {
        let cancelled = finished.cancelled;
        let (games, cuts) = (finished.games, finished.book.cuts);
        let cuts_before_answer = finished.book.cuts_before_answer;
        let players = PlayersReport::of(finished, GENERATOR_LAG_P99_MAX);
        let mut notes = Vec::new();
        if cancelled {
            notes.push("not valid: cancelled before its end".into());
        }
        if cuts + network_losses == 0 {
            notes.push("not valid: no connection was cut".into());
        }
        Self {
            valid: notes.is_empty(),
            notes,
            elapsed_ms: players.elapsed_ms,
            cuts,
            cuts_before_answer,
            network_losses,
            resumed: players.resumed,
            resume: players.resume_gap,
            acknowledged: games.audit.acknowledged,
            lost: games.audit.lost,
            twice: games.audit.twice,
            diverged: games.audit.diverged,
            gaps: games.audit.gaps,
            unverified: games.audit.unverified,
            games_moved: players.games_moved,
            games_started: games.started,
            games_finished: games.finished,
            games_cut: games.cut,
            games_stuck: games.stuck,
            games_lost: games.lost,
            moves: players.moves,
            players_without_sign_in: players.players_without_sign_in,
            error_codes: players.error_codes,
            cpu_stolen_percent: players.cpu_stolen_percent,
            series: players.series,
        }
    }

    /// The report as flat figures.
    pub fn measurements(&self) -> Measurements {
        let mut all = Measurements::new();
        let m = &mut all;
        put(m, "valid", f64::from(u8::from(self.valid)), "1");
        put(m, "duration_s", self.elapsed_ms as f64 / 1000.0, "s");
        for (name, count) in [
            ("cuts", self.cuts),
            ("cuts_before_answer", self.cuts_before_answer),
            ("network_losses", self.network_losses),
            ("resumed", self.resumed),
            ("acknowledged", self.acknowledged),
            ("lost", self.lost),
            ("twice", self.twice),
            ("diverged", self.diverged),
            ("gaps", self.gaps),
            ("unverified", self.unverified),
            ("games_started", self.games_started),
            ("games_finished", self.games_finished),
            ("games_cut", self.games_cut),
            ("games_stuck", self.games_stuck),
            ("games_lost", self.games_lost),
            ("moves", self.moves),
            ("players_without_sign_in", self.players_without_sign_in),
        ] {
            put_count(m, name, count);
        }
        put_latency(m, "resume_", &self.resume);
        if let Some(percent) = self.cpu_stolen_percent {
            put(m, "cpu_stolen_percent", percent, "%");
        }
        for (code, count) in &self.error_codes {
            put_count(m, format!("error_{}", label(code)), *count);
        }
        all
    }
}
