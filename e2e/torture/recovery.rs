//! A Redis that loses everything while players play. Their games come back from the copies in the two snapshot stores; what
//! each player had been told, with the moment, says what is gone and how far back that reaches.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use starvault_testing::RedisServer;
use tminus_load::recovery::{self, RecoveryConfig};
use tokio_util::sync::CancellationToken;

use crate::RecoveryOptions;
use crate::server::Server;
use crate::store::next;

const ARRIVE: Duration = Duration::from_secs(2);
/// Of play, before the loss comes somewhere within the second half of it.
const PLAY: Duration = Duration::from_secs(6);

/// What one loss cost.
#[derive(Debug, Default)]
struct Round {
    /// How long before the end the oldest move was told that is gone (milliseconds).
    window_ms: f64,
    moves_told: u64,
    moves_lost: u64,
    /// Games that went on when everything was lost, as far as players had been told.
    games: u64,
    /// Of those, the ones that are not there at all, and had been there for longer than the window of the others.
    games_lost: u64,
    recovered_ms: u64,
}

pub fn run(options: &RecoveryOptions) -> anyhow::Result<bool> {
    let mut rounds = Vec::new();
    let mut random = options.seed;
    for n in 0..options.rounds {
        let round = one(options, &mut random).with_context(|| format!("round {}", n + 1))?;
        eprintln!("  {} of {}: {round:?}", n + 1, options.rounds);
        rounds.push(round);
    }
    let sum = |of: fn(&Round) -> u64| rounds.iter().map(of).sum::<u64>();
    let mut windows: Vec<f64> = rounds.iter().map(|round| round.window_ms).collect();
    windows.sort_by(f64::total_cmp);
    let (moves_told, games, games_lost) = (
        sum(|round| round.moves_told),
        sum(|round| round.games),
        sum(|round| round.games_lost),
    );
    let report = json!({
        "rounds": options.rounds,
        "players": options.players,
        "loss_window_ms": windows.last(),
        "loss_window_p50_ms": windows.get(windows.len() / 2),
        "moves_told": moves_told,
        "moves_lost": sum(|round| round.moves_lost),
        "games": games,
        "games_lost": games_lost,
        "recovered_ms": rounds.iter().map(|round| round.recovered_ms).max(),
    });
    if options.json {
        println!("{report}");
    } else {
        for (key, value) in report.as_object().into_iter().flatten() {
            println!("{key:<18} {value}");
        }
    }
    if games == 0 || moves_told == 0 {
        bail!("nobody played: this run says nothing");
    }
    let within = windows
        .iter()
        .all(|window_ms| *window_ms <= options.window_max as f64);
    Ok(games_lost == 0 && within)
}

fn one(options: &RecoveryOptions, random: &mut u64) -> anyhow::Result<Round> {
    let folder = tempfile::tempdir()?;
    let redis = RedisServer::start();
    let copies = ["primary", "secondary"].map(|name| {
        let file = folder.path().join(format!("{name}.sqlite"));
        [format!("--{name}"), format!("sqlite:{}", file.display())]
    });
    let copies = copies.concat();
    command(&options.server, &["migrate"], &copies)?;
    let store = ["--store".to_owned(), redis.url()];
    let arguments = [&store[..], &copies].concat();
    let mut server = Server::start(&options.server, folder.path(), arguments)?;
    let notes = folder.path().join("history.jsonl");
    let config = RecoveryConfig {
        players: options.players,
        arrivals_over: ARRIVE,
        duration: ARRIVE + PLAY,
        think_time: Duration::from_millis(150),
        // The loss is the fault.
        cut_fraction: 0.0,
        network_loss: None,
        resume_within: Duration::from_secs(1),
        continue_within: Duration::from_secs(1),
        seed: options.seed,
        history_log: Some(notes.clone()),
        ..RecoveryConfig::new(format!("http://{}", server.address))
    };
    let at = ARRIVE + PLAY.mul_f64(0.5 + 0.5 * next(random));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let cancel = CancellationToken::new();
        let playing = tokio::spawn(recovery::run(config, cancel.clone()));
        tokio::time::sleep(at).await;
        tokio::task::block_in_place(|| {
            // First the server: it must not notice, and hand its last copies over.
            server.kill()?;
            redis.lose_everything();
            anyhow::Ok(())
        })?;
        cancel.cancel();
        // Cut off in the middle of play; only the players' notes matter.
        let _ = playing.await?;
        anyhow::Ok(())
    })?;
    redis.go_on();
    let began = std::time::Instant::now();
    let report = command(
        &options.server,
        &["recover", "--release", "v1", "--json", "--store", &redis.url()],
        &copies,
    )?;
    let recovered_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    command(
        &options.server,
        &["journal", "check", "--store", &redis.url()],
        &[],
    )?;
    Ok(Round {
        recovered_ms,
        ..compare(&notes, &report)?
    })
}

/// What it prints, which must be JSON unless it is nothing that is looked at.
fn command(program: &Path, arguments: &[&str], copies: &[String]) -> anyhow::Result<Value> {
    let output = Command::new(program)
        .args(arguments)
        .args(copies)
        .output()
        .with_context(|| format!("cannot start {}", program.display()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let shown = String::from_utf8_lossy(&output.stdout);
        bail!("{arguments:?} ended with {}: {said}{shown}", output.status);
    }
    Ok(serde_json::from_slice(&output.stdout).unwrap_or_default())
}

/// What players were told of, by game: each sequence and when that was first.
#[derive(Default)]
struct Told {
    events: HashMap<u64, u64>,
    ended: bool,
}

fn compare(notes: &Path, report: &Value) -> anyhow::Result<Round> {
    let mut games: HashMap<String, Told> = HashMap::new();
    let mut end_us = 0;
    for line in BufReader::new(File::open(notes)?).lines() {
        let record: Value = serde_json::from_str(&line?)?;
        if record["kind"] != "told" {
            continue;
        }
        let (Some(game_id), Some(at_us), Some(sequence)) = (
            record["game_id"].as_str(),
            record["at"].as_u64(),
            record["sequence"].as_u64(),
        ) else {
            bail!("a note without game, moment or sequence: {record}");
        };
        end_us = end_us.max(at_us);
        let told = games.entry(game_id.to_owned()).or_default();
        let first = told.events.entry(sequence).or_insert(at_us);
        *first = at_us.min(*first);
        told.ended |= record["event"]
            .as_str()
            .is_some_and(|event| event.contains("\"ended\""));
    }
    let running = report["running"]
        .as_array()
        .context("the report lists no games")?;
    let reached: HashMap<&str, u64> = running
        .iter()
        .filter_map(|game| Some((game["game_id"].as_str()?, game["sequence"].as_u64()?)))
        .collect();
    let mut round = Round::default();
    let mut oldest_lost_us = end_us;
    let (mut missing, mut not_there) = (Vec::new(), HashSet::new());
    for (game_id, told) in games.iter().filter(|(_, told)| !told.ended) {
        round.games += 1;
        round.moves_told += told.events.len() as u64;
        let reached = reached.get(game_id.as_str()).copied().unwrap_or(0);
        for (_, at_us) in told.events.iter().filter(|(sequence, _)| **sequence > reached) {
            round.moves_lost += 1;
            if reached == 0 {
                missing.push((game_id, *at_us));
            } else {
                oldest_lost_us = oldest_lost_us.min(*at_us);
            }
        }
    }
    // A game that began within the window has no copy, as a move has none.
    let window_us = (end_us - oldest_lost_us).max(1_000_000);
    for (game_id, at_us) in missing {
        if end_us - at_us > window_us {
            not_there.insert(game_id);
        } else {
            oldest_lost_us = oldest_lost_us.min(at_us);
        }
    }
    round.games_lost = not_there.len() as u64;
    round.window_ms = (end_us - oldest_lost_us) as f64 / 1000.0;
    Ok(round)
}
