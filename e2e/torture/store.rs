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
use starvault_testing::RedisServer;
use tminus_load::recovery::{self, RecoveryConfig, RecoveryReport};
use tokio_util::sync::CancellationToken;

use crate::server::Server;
use crate::{Backend, Mutant, StoreOptions, history};

/// Of one round, and how long nothing is killed at its beginning.
const SQLITE: [Duration; 2] = [Duration::from_millis(1600), Duration::from_millis(500)];
/// Longer: a node that is gone counts as there for three seconds, and only then are its games another's.
const REDIS: [Duration; 2] = [Duration::from_millis(6000), Duration::from_millis(4200)];
/// Players are there, and begin to play.
const ARRIVE: Duration = Duration::from_secs(2);
/// What a lying disk forgets with each kill: the last one may not have been acknowledged yet.
const COMMITS_FORGOTTEN: usize = 3;
/// The same of Redis, in bytes of its append-only file: a few batches.
const BYTES_FORGOTTEN: u64 = 6000;
/// So many violations are printed; the JSON has more of them.
const VIOLATIONS_PRINTED: usize = 10;

/// Whether nothing was lost.
pub fn run(options: &StoreOptions) -> anyhow::Result<bool> {
    let folder = tempfile::tempdir()?;
    let [round, quiet] = match options.backend {
        Backend::Sqlite => SQLITE,
        Backend::Redis => REDIS,
    };
    let disk = match options.backend {
        Backend::Sqlite => Disk::File(folder.path().join("store.sqlite")),
        Backend::Redis => Disk::Redis(RedisServer::start()),
    };
    let store = disk.address();
    let mut server = Server::start(
        &options.server,
        folder.path(),
        vec!["--store".to_owned(), store.clone()],
    )?;
    let acknowledged = folder.path().join("acknowledged.jsonl");
    let notes = folder.path().join("history.jsonl");
    let config = RecoveryConfig {
        players: options.players,
        arrivals_over: ARRIVE,
        duration: ARRIVE + round * options.rounds,
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
        "{} players, {} {} times …",
        options.players,
        match options.backend {
            Backend::Sqlite => "the server is killed",
            Backend::Redis => "the server, Redis or both are killed",
        },
        options.rounds
    );
    let (report, kills) = runtime.block_on(async {
        let playing = tokio::spawn(recovery::run(config, CancellationToken::new()));
        let kills = kill(&mut server, &disk, options, [round, quiet]).await?;
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
enum Disk {
    File(PathBuf),
    Redis(RedisServer),
}

impl Disk {
    fn address(&self) -> String {
        match self {
            Disk::File(path) => format!("sqlite:{}", path.display()),
            Disk::Redis(redis) => redis.url(),
        }
    }

    /// While nothing runs over it. How many commits it has forgotten, or batches at least.
    fn lie(&self, mutant: Option<Mutant>) -> anyhow::Result<usize> {
        match (mutant, self) {
            (None, _) => Ok(0),
            (Some(Mutant::LyingDisk), Disk::File(file)) => Ok(lying_disk::forget(file, COMMITS_FORGOTTEN)?),
            (Some(Mutant::LyingDisk), Disk::Redis(redis)) => {
                lying_disk::cut_append_only_file(redis.folder(), BYTES_FORGOTTEN)?;
                Ok(1)
            }
        }
    }
}

#[derive(Debug, Default)]
struct Kills {
    rounds: u32,
    server: u32,
    redis: u32,
}

/// Kills once in each round: the server, and where there is a Redis, that, or both.
async fn kill(
    server: &mut Server,
    disk: &Disk,
    options: &StoreOptions,
    [round, quiet]: [Duration; 2],
) -> anyhow::Result<Kills> {
    let began = tokio::time::Instant::now() + ARRIVE;
    let mut random = options.seed;
    let (mut kills, mut forgotten) = (Kills::default(), 0);
    for n in 0..options.rounds {
        let span = round.saturating_sub(quiet);
        let at = began + round * n + quiet + span.mul_f64(next(&mut random));
        tokio::time::sleep_until(at).await;
        let mut lie = || -> anyhow::Result<()> {
            forgotten += disk.lie(options.mutant)?;
            Ok(())
        };
        // Blocks this task alone: the players are on the runtime's other threads.
        let killed: anyhow::Result<()> = tokio::task::block_in_place(|| {
            let Disk::Redis(redis) = disk else {
                kills.server += 1;
                return server.kill_and_restart(lie);
            };
            // Three kinds, evenly.
            let kind = (next(&mut random) * 3.0) as u32;
            if kind != 0 {
                kills.redis += 1;
                redis.kill();
                lie()?;
            }
            if kind == 1 {
                redis.go_on();
            } else {
                kills.server += 1;
                server.kill_and_restart(|| {
                    if kind == 2 {
                        redis.go_on();
                    }
                    Ok(())
                })?;
            }
            Ok(())
        });
        killed.with_context(|| format!("round {}", n + 1))?;
        kills.rounds += 1;
        if (n + 1) % 10 == 0 {
            eprintln!("  {} of {}", n + 1, options.rounds);
        }
    }
    if options.mutant.is_some() {
        eprintln!("the disk has forgotten {forgotten} commits");
    }
    Ok(kills)
}

/// Evenly from 0 to 1 (SplitMix64).
pub fn next(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

/// What the store says of itself and of what was acknowledged.
pub fn check(program: &Path, store: &str, acknowledged: &Path) -> anyhow::Result<Value> {
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
    kills: Kills,
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
            "rounds": self.kills.rounds,
            "server_kills": self.kills.server,
            "redis_kills": self.kills.redis,
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
