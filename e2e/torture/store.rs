//! Rounds of play and kill, then three witnesses: the players (each acknowledged move is in the game, at its
//! place, once; both saw the same), the store read by `starvault journal check` together with the list
//! of what was acknowledged, and the games themselves, which must have gone on.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use tminus_load::recovery::{self, RecoveryConfig, RecoveryReport};
use tokio_util::sync::CancellationToken;

use crate::server::Server;
use crate::{Backend, StoreOptions};

/// Of one round; the kill comes somewhere within its later half.
const ROUND: Duration = Duration::from_millis(1600);
const QUIET: Duration = Duration::from_millis(500);
/// Players are there, and begin to play.
const ARRIVE: Duration = Duration::from_secs(2);

/// Whether nothing was lost.
pub fn run(options: &StoreOptions) -> anyhow::Result<bool> {
    let folder = tempfile::tempdir()?;
    let store = match options.backend {
        Backend::Sqlite => format!("sqlite:{}", folder.path().join("store.sqlite").display()),
    };
    let mut server = Server::start(&options.server, folder.path(), store.clone())?;
    let acknowledged = folder.path().join("acknowledged.jsonl");
    let config = RecoveryConfig {
        players: options.players,
        arrivals_over: ARRIVE,
        duration: ARRIVE + ROUND * options.rounds,
        think_time: Duration::from_millis(150),
        // The kills are the fault.
        cut_fraction: 0.0,
        network_loss: None,
        resume_within: Duration::from_secs(60),
        continue_within: Duration::from_secs(30),
        seed: options.seed,
        acknowledged_log: Some(acknowledged.clone()),
        ..RecoveryConfig::new(format!("http://{}", server.address))
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    eprintln!(
        "{} players, the server is killed {} times …",
        options.players, options.rounds
    );
    let (report, kills) = runtime.block_on(async {
        let playing = tokio::spawn(recovery::run(config, CancellationToken::new()));
        let kills = kill(&mut server, options).await?;
        let report = playing.await?.context("the players")?;
        anyhow::Ok((report, kills))
    })?;
    server.stop()?;
    let kept = check(&options.server, &store, &acknowledged)?;
    let result = Outcome { kills, report, kept };
    if options.json {
        println!("{}", result.to_json());
    } else {
        print!("{}", result.to_table());
    }
    result.holds()
}

/// Kills the server once in each round; how often that was.
async fn kill(server: &mut Server, options: &StoreOptions) -> anyhow::Result<u32> {
    let began = tokio::time::Instant::now() + ARRIVE;
    let mut random = options.seed;
    for round in 0..options.rounds {
        let span = ROUND.saturating_sub(QUIET);
        let at = began + ROUND * round + QUIET + span.mul_f64(next(&mut random));
        tokio::time::sleep_until(at).await;
        // Blocks this task alone: the players are on the runtime's other threads.
        tokio::task::block_in_place(|| server.kill_and_restart())
            .with_context(|| format!("round {}", round + 1))?;
        if (round + 1) % 10 == 0 {
            eprintln!("  {} of {}", round + 1, options.rounds);
        }
    }
    Ok(options.rounds)
}

/// Evenly from 0 to 1 (SplitMix64).
fn next(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

/// What the store says of itself and of what was acknowledged.
fn check(program: &Path, store: &str, acknowledged: &Path) -> anyhow::Result<Value> {
    let output = Command::new(program)
        .args(["journal", "check", "--json", "--store", store, "--acknowledged"])
        .arg(acknowledged)
        .output()
        .with_context(|| format!("cannot start {}", program.display()))?;
    if !matches!(output.status.code(), Some(0 | 1)) {
        bail!(
            "the check could not run: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    serde_json::from_slice(&output.stdout).context("the check's report")
}

struct Outcome {
    kills: u32,
    report: RecoveryReport,
    kept: Value,
}

impl Outcome {
    fn in_store(&self, key: &str) -> u64 {
        self.kept[key].as_u64().unwrap_or(u64::MAX)
    }

    fn to_json(&self) -> Value {
        let report = &self.report;
        json!({
            "rounds": self.kills,
            "acknowledged": self.in_store("acknowledged"),
            "lost": report.lost.saturating_add(self.in_store("lost")),
            "twice": report.twice.saturating_add(self.in_store("twice")),
            "broken": self.in_store("broken"),
            "diverged": report.diverged,
            "gaps": report.gaps,
            "games": self.in_store("games"),
            "games_lost": report.games_lost,
            "games_finished": report.games_finished,
            "resumed": report.resumed,
            "resume_p99_ms": report.resume.p99_ms,
            "findings": self.kept["findings"],
        })
    }

    fn to_table(&self) -> String {
        let json = self.to_json();
        let mut text = String::new();
        for (key, value) in json.as_object().into_iter().flatten() {
            text.push_str(&format!("{key:<16} {value}\n"));
        }
        text
    }

    fn holds(&self) -> anyhow::Result<bool> {
        let json = self.to_json();
        if json["acknowledged"] == 0 || self.report.resumed == 0 {
            bail!("nobody played through a kill: this run says nothing");
        }
        let zero = ["lost", "twice", "broken", "diverged", "gaps", "games_lost"];
        Ok(zero.into_iter().all(|key| json[key] == 0))
    }
}
