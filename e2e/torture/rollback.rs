//! Two releases over one store behind the gateway. All games are played at the newer one when it is rolled back: weight 0,
//! drained. Witnesses are the same as of a kill: the players' own ledgers, the store together with the list of what
//! was acknowledged, and one order of commands that explains what every player was told.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use starvault_history::Report;
use tminus_load::GameMoved;
use tminus_load::recovery::{self, RecoveryConfig, RecoveryReport};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::server::{Daemon, Server};
use crate::{RollbackOptions, history, store};

const STABLE: &str = "v1.2";
const CANARY: &str = "v1.3";
/// All players have arrived after this, and are in games some time later.
const ARRIVE: Duration = Duration::from_secs(4);
const PLAYING_WITHIN: Duration = Duration::from_secs(60);
/// They play on after it.
const PLAY_ON: Duration = Duration::from_secs(5);
/// A round that has not come to its end by then hangs.
const ROUND_MAX: Duration = Duration::from_secs(600);

struct Round {
    games: u64,
    rollback_ms: u64,
    drained: Value,
    report: RecoveryReport,
    kept: Value,
    history: Report,
}

pub fn run(options: &RollbackOptions) -> anyhow::Result<bool> {
    let mut rounds = Vec::new();
    for n in 0..options.rounds {
        let round = one(options, u64::from(n)).with_context(|| format!("round {}", n + 1))?;
        rounds.push(round);
        eprintln!("  {} of {}", n + 1, options.rounds);
    }
    let result = summary(options, &rounds);
    if options.json {
        println!("{result}");
    } else {
        for (key, value) in result.as_object().into_iter().flatten() {
            if !value.is_array() {
                println!("{key:<20} {value}");
            }
        }
    }
    let zero = [
        "games_lost",
        "games_stuck",
        "moves_lost",
        "moves_twice",
        "diverged",
        "gaps",
        "broken",
        "history_violations",
    ];
    ensure!(
        result["games_moved"] != 0 && result["acknowledged"] != 0,
        "no game went on at the other release: this run says nothing"
    );
    let median = result["interruption_p50_ms"].as_f64().unwrap_or(f64::MAX);
    Ok(zero.into_iter().all(|key| result[key] == 0) && median <= options.interruption_max as f64)
}

fn one(options: &RollbackOptions, round: u64) -> anyhow::Result<Round> {
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name);
    let address = format!("sqlite:{}", path("store.sqlite").display());
    let key = path("key.pem").display().to_string();
    let release = |release: &str| {
        fs::create_dir(path(release))?;
        let store = vec!["--store".to_owned(), address.clone()];
        Server::start_release(&options.server, &path(release), release, &key, store)
    };
    let (stable, canary) = (release(STABLE)?, release(CANARY)?);
    let mut gateway = Gateway::start(&options.server, &path("gateway"), &stable, &canary)?;
    let (acknowledged, notes) = (path("acknowledged.jsonl"), path("history.jsonl"));
    let config = RecoveryConfig {
        players: 2 * options.games,
        arrivals_over: ARRIVE,
        // Ended below, once the players have shown that they can go on.
        duration: ROUND_MAX,
        think_time: Duration::from_millis(options.think),
        cut_fraction: 0.0,
        network_loss: None,
        resume_within: Duration::from_secs(60),
        continue_within: Duration::from_secs(30),
        seed: options.seed.wrapping_add(round),
        acknowledged_log: Some(acknowledged.clone()),
        history_log: Some(notes.clone()),
        ..RecoveryConfig::new(format!("http://{}", gateway.daemon.address("listen")?))
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    eprintln!("{} games at {CANARY}, which is rolled back …", options.games);
    let (told, seen) = watch::channel(0);
    let end = CancellationToken::new();
    let playing = play(config, end.clone(), told);
    let (report, (games, rollback_ms, drained)) = runtime.block_on(async {
        let playing = tokio::spawn(playing);
        let rolled_back = roll_back(options, &mut gateway, seen).await;
        end.cancel();
        let report = playing.await?.context("the players")?;
        anyhow::Ok((report, rolled_back?))
    })?;
    gateway.daemon.stop()?;
    stable.stop()?;
    canary.stop()?;
    Ok(Round {
        games,
        rollback_ms,
        drained,
        report,
        kept: store::check(&options.server, &address, &acknowledged)?,
        history: history::check(&notes)?,
    })
}

/// Plays, and tells how many games are open.
async fn play(
    config: RecoveryConfig,
    end: CancellationToken,
    told: watch::Sender<u64>,
) -> Result<RecoveryReport, tminus_load::LoadError> {
    recovery::run_until(config, end, |now| {
        told.send_replace(now.games_open);
    })
    .await
}

/// Waits for the games, and takes the release away from them. Answers how many there were, how long it took, and
/// what the gateway said.
async fn roll_back(
    options: &RollbackOptions,
    gateway: &mut Gateway,
    mut seen: watch::Receiver<u64>,
) -> anyhow::Result<(u64, u64, Value)> {
    // Random games end now and then, and others begin: nearly all players are in one.
    let enough = u64::from(options.games).div_ceil(20) * 19;
    let reached = {
        let waiting = tokio::time::timeout(PLAYING_WITHIN, seen.wait_for(|open| *open >= enough));
        waiting.await.is_ok_and(|open| open.is_ok())
    };
    let games = *seen.borrow();
    ensure!(reached, "{enough} games were not reached, only {games}");
    let began = Instant::now();
    gateway
        .order(&["weights", "set", "stable=100", "canary=0"])
        .await?;
    let spread = format!("{}ms", options.spread);
    let admin = gateway.admin()?;
    let draining = tokio::spawn(order(
        Arc::clone(&gateway.program),
        ["drain", "canary", "--over", &spread, "--admin", &admin, "--json"]
            .map(String::from)
            .to_vec(),
    ));
    let drained = if options.kill_gateway {
        tokio::time::sleep(Duration::from_millis(options.spread / 2)).await;
        tokio::task::block_in_place(|| {
            gateway.daemon.kill()?;
            gateway.daemon.restart()
        })?;
        // Its order dies with it; what was ordered does not.
        let _ = draining.await?;
        let weights = gateway.order(&["weights", "get"]).await?;
        ensure!(
            weights["default"]["canary"] == 0,
            "a gateway that was killed has forgotten its weights: {weights}"
        );
        gateway.order(&["drain", "canary"]).await?
    } else {
        draining.await??
    };
    let rollback_ms = began.elapsed().as_millis() as u64;
    tokio::time::sleep(PLAY_ON).await;
    Ok((games, rollback_ms, drained))
}

/// The gateway of the same build.
struct Gateway {
    daemon: Daemon,
    program: Arc<Path>,
}

impl Gateway {
    fn start(server: &Path, folder: &Path, stable: &Server, canary: &Server) -> anyhow::Result<Self> {
        let program: Arc<Path> = server.with_file_name("tminus-gateway").into();
        fs::create_dir(folder)?;
        let file = folder.join("gateway.yaml");
        let write = |listen: &str, admin: &str| {
            let text = format!(
                "listen: {listen}\nadmin: {admin}\nsticky: [bearer-subject, client-ip]\naffinity_query: at\n\
                 state_file: state.json\nbackends:\n  \
                 stable: {{ url: 'http://{}', version: {STABLE} }}\n  canary: {{ url: 'http://{}', version: {CANARY} }}\n\
                 default: {{ split: {{ canary: 100, stable: 0 }} }}\n",
                stable.address, canary.address
            );
            fs::write(&file, text)
        };
        write("127.0.0.1:0", "127.0.0.1:0")?;
        let arguments = vec!["run".to_owned(), file.display().to_string()];
        let daemon = Daemon::start(&program, folder, arguments)?;
        // The next process comes back where this one is.
        write(
            &daemon.address("listen")?.to_string(),
            &daemon.address("admin")?.to_string(),
        )?;
        Ok(Self { daemon, program })
    }

    fn admin(&self) -> anyhow::Result<String> {
        Ok(format!("http://{}", self.daemon.address("admin")?))
    }

    async fn order(&self, words: &[&str]) -> anyhow::Result<Value> {
        let mut all: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        all.extend(["--admin".to_owned(), self.admin()?, "--json".to_owned()]);
        order(Arc::clone(&self.program), all).await
    }
}

async fn order(program: Arc<Path>, words: Vec<String>) -> anyhow::Result<Value> {
    let output = tokio::process::Command::new(&*program)
        .args(&words)
        .output()
        .await
        .with_context(|| format!("cannot start {}", program.display()))?;
    ensure!(
        output.status.success(),
        "{words:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).context("the gateway's answer")
}

fn summary(options: &RollbackOptions, rounds: &[Round]) -> Value {
    let sum = |of: &dyn Fn(&Round) -> u64| rounds.iter().map(of).sum::<u64>();
    let worst = |of: &dyn Fn(&Round) -> f64| rounds.iter().map(of).fold(0.0, f64::max);
    let kept = |key: &'static str| move |round: &Round| round.kept[key].as_u64().unwrap_or(u64::MAX / 2048);
    let moved: Vec<&GameMoved> = rounds
        .iter()
        .flat_map(|round| &round.report.games_moved)
        .collect();
    json!({
        "rounds": options.rounds,
        "gateway_killed": options.kill_gateway,
        "games": sum(&|round| round.games),
        "games_moved": moved.len(),
        "players_moved": moved.iter().map(|game| game.players).sum::<u64>(),
        "websockets_closed": sum(&|round| round.drained["closed_websockets"].as_u64().unwrap_or_default()),
        "acknowledged": sum(&kept("acknowledged")),
        "games_lost": sum(&|round| round.report.games_lost),
        "games_stuck": sum(&|round| round.report.games_stuck),
        "moves_lost": sum(&|round| round.report.lost) + sum(&kept("lost")),
        "moves_twice": sum(&|round| round.report.twice) + sum(&kept("twice")),
        "diverged": sum(&|round| round.report.diverged),
        "gaps": sum(&|round| round.report.gaps),
        "broken": sum(&kept("broken")),
        "history_violations": sum(&|round| round.history.violations),
        "interruption_p50_ms": worst(&|round| round.report.resume.p50_ms),
        "interruption_p99_ms": worst(&|round| round.report.resume.p99_ms),
        "interruption_max_ms": worst(&|round| round.report.resume.max_ms),
        "rollback_ms": rounds.iter().map(|round| round.rollback_ms).max(),
        "moved": moved,
        "violations": rounds.iter().flat_map(|round| &round.history.found).collect::<Vec<_>>(),
    })
}
