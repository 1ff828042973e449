//! Rounds of play and kill, then four witnesses: the players (each acknowledged move is in the game, at its
//! place, once; both saw the same), the store read by `starvault journal check` together with the list
//! of what was acknowledged, the history of what every player sent and was told, which one order of commands
//! must explain, and the games themselves, which must have gone on.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use starvault_e2e::lying_disk;
use starvault_history::Report;
use tminus_load::recovery::{self, RecoveryConfig, RecoveryReport};
use tokio_util::sync::CancellationToken;

use crate::server::Server;
use crate::{Backend, Mutant, StoreOptions, history};

/// Of one round; the kill comes somewhere within its later half.
const ROUND: Duration = Duration::from_millis(1600);
const QUIET: Duration = Duration::from_millis(500);
/// Players are there, and begin to play.
const ARRIVE: Duration = Duration::from_secs(2);
/// What a lying disk forgets with each kill: the last one may not have been acknowledged yet.
const COMMITS_FORGOTTEN: usize = 3;
/// So many violations are printed; the JSON has more of them.
const VIOLATIONS_PRINTED: usize = 10;

/// Whether nothing was lost.
pub fn run(options: &StoreOptions) -> anyhow::Result<bool> {
    let folder = tempfile::tempdir()?;
    let (store, disk) = match options.backend {
        Backend::Sqlite => {
            let file = folder.path().join("store.sqlite");
            (
                format!("sqlite:{}", file.display()),
                Disk {
                    file,
                    options,
                    forgotten: 0,
                },
            )
        }
    };
    let mut server = Server::start(&options.server, folder.path(), store.clone())?;
    let acknowledged = folder.path().join("acknowledged.jsonl");
    let notes = folder.path().join("history.jsonl");
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
        history_log: Some(notes.clone()),
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
        let kills = kill(&mut server, disk, options).await?;
        let report = playing.await?.context("the players")?;
        anyhow::Ok((report, kills))
    })?;
    server.stop()?;
    let kept = check(&options.server, &store, &acknowledged)?;
    let history = history::check(&notes)?;
    let result = Outcome {
        kills,
        report,
        kept,
        history,
    };
    if options.json {
        println!("{}", result.to_json());
    } else {
        print!("{}", result.to_table());
    }
    for violation in result.history.found.iter().take(VIOLATIONS_PRINTED) {
        let (game, what) = (&violation.game_id, &violation.what);
        eprintln!("violation of {:?} in game {game}: {what}", violation.rule);
        eprintln!("  {}", serde_json::to_string(&violation.first)?);
        if let Some(second) = &violation.second {
            eprintln!("  {}", serde_json::to_string(second)?);
        }
    }
    result.holds()
}

/// What the store lies on, and what becomes of it between two processes.
struct Disk<'o> {
    file: PathBuf,
    options: &'o StoreOptions,
    forgotten: usize,
}

impl Disk<'_> {
    fn lie(&mut self) -> anyhow::Result<()> {
        match self.options.mutant {
            None => {}
            Some(Mutant::LyingDisk) => {
                self.forgotten += lying_disk::forget(&self.file, COMMITS_FORGOTTEN)?;
            }
        }
        Ok(())
    }
}

/// Kills the server once in each round; how often that was.
async fn kill(server: &mut Server, mut disk: Disk<'_>, options: &StoreOptions) -> anyhow::Result<u32> {
    let began = tokio::time::Instant::now() + ARRIVE;
    let mut random = options.seed;
    for round in 0..options.rounds {
        let span = ROUND.saturating_sub(QUIET);
        let at = began + ROUND * round + QUIET + span.mul_f64(next(&mut random));
        tokio::time::sleep_until(at).await;
        // Blocks this task alone: the players are on the runtime's other threads.
        tokio::task::block_in_place(|| server.kill_and_restart(|| disk.lie()))
            .with_context(|| format!("round {}", round + 1))?;
        if (round + 1) % 10 == 0 {
            eprintln!("  {} of {}", round + 1, options.rounds);
        }
    }
    if options.mutant.is_some() {
        eprintln!("the disk has forgotten {} commits", disk.forgotten);
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
    history: Report,
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
            "history_records": self.history.records,
            "history_violations": self.history.violations,
            "findings": self.kept["findings"],
            "violations": self.history.found,
        })
    }

    fn to_table(&self) -> String {
        let json = self.to_json();
        let mut text = String::new();
        // Violations are long, and printed by themselves.
        let short = json
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(key, _)| *key != "violations");
        for (key, value) in short {
            text.push_str(&format!("{key:<18} {value}\n"));
        }
        text
    }

    fn holds(&self) -> anyhow::Result<bool> {
        let json = self.to_json();
        if json["acknowledged"] == 0 || self.report.resumed == 0 {
            bail!("nobody played through a kill: this run says nothing");
        }
        let zero = [
            "lost",
            "twice",
            "broken",
            "diverged",
            "gaps",
            "games_lost",
            "history_violations",
        ];
        Ok(zero.into_iter().all(|key| json[key] == 0))
    }
}
