//! `cargo xtask torture`: real programs, killed while players play, over and over. What a player was told
//! is durable must be there afterwards, once and in order, whichever side is asked: the players' own
//! notes of their games, and the store on the disk. Started by `cargo xtask torture`, which builds first.

mod history;
mod recovery;
mod rollback;
mod server;
mod store;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

#[derive(Parser)]
#[command(name = "cargo xtask torture", about = "Kill what must not lose anything")]
struct Cli {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// kill -9 of the server and of Redis under load: every acknowledged move is in the store, once, in order.
    #[command(after_help = "\
Examples:
  cargo xtask torture store --rounds 50
  cargo xtask torture store --rounds 5 --players 20 --json
  cargo xtask torture store --backend redis --rounds 50       kills the server, Redis or both
  cargo xtask torture store --rounds 5 --mutant lying-disk    a promise that is broken: must end with 1

Exit codes: 0 nothing was lost, 1 something was, 2 it could not run.")]
    Store(StoreOptions),
    /// A Redis that loses everything under load: games come back from their copies, and what that cost is measured.
    #[command(after_help = "\
Examples:
  cargo xtask torture recovery --rounds 5
  cargo xtask torture recovery --rounds 1 --players 400 --json

Keys: loss_window_ms, how long before the end the oldest move was played that is gone (the worst and the median round); \
moves_lost and moves_told; games, and games_lost of them.

Exit codes: 0 every game came back within the window, 1 one did not, 2 it could not run.")]
    Recovery(RecoveryOptions),
    /// A release is rolled back while its games are played: every game goes on at the other one, and no move is lost.
    #[command(after_help = "\
Examples:
  cargo xtask torture rollback --games 300
  cargo xtask torture rollback --games 300 --kill-gateway     in the middle of it, and started again
  cargo xtask torture rollback --games 20 --rounds 3 --json

Keys: games, played at the release when it was rolled back; games_moved of them (and in the JSON each with its players and the \
time that they were away); games_lost, moves_lost, moves_twice; interruption_p50_ms, _p99_ms and _max_ms, from the loss of a \
player's connection until it is back in its game (the worst round); rollback_ms, until nothing was left on the release.

Exit codes: 0 nothing was lost and half of the players were back within --interruption-max, 1 not so, 2 it could not run.")]
    Rollback(RollbackOptions),
}

/// What keeps the games.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Backend {
    /// One file on this machine.
    Sqlite,
    /// A Redis of its own, which syncs before it answers.
    Redis,
}

/// What breaks the promise on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mutant {
    /// The disk acknowledges its newest syncs, and forgets them with each kill.
    LyingDisk,
}

#[derive(Debug, Clone, Args)]
pub struct StoreOptions {
    /// The store to torture.
    #[arg(long, value_enum, default_value_t = Backend::Sqlite)]
    pub backend: Backend,
    /// How often something is killed.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub rounds: u32,
    /// Players who play meanwhile.
    #[arg(long, default_value_t = 80, value_parser = clap::value_parser!(u32).range(2..=2_000))]
    pub players: u32,
    /// Decides moves, pauses and the moments of the kills.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Break a promise, and see that it is noticed.
    #[arg(long, value_enum)]
    pub mutant: Option<Mutant>,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub json: bool,
    /// The `starvault` to torture.
    #[arg(long, value_name = "PROGRAM", hide = true)]
    pub server: PathBuf,
    /// Given by cargo; means nothing here.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Clone, Args)]
pub struct RecoveryOptions {
    /// How often everything is lost; each time from the beginning.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub rounds: u32,
    /// Players who play meanwhile.
    #[arg(long, default_value_t = 80, value_parser = clap::value_parser!(u32).range(2..=2_000))]
    pub players: u32,
    /// Decides moves, pauses and the moments of the losses.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// A move that is lost was played this long before the end at most (milliseconds).
    #[arg(long, default_value_t = 2_000)]
    pub window_max: u64,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub json: bool,
    /// The `starvault` to torture.
    #[arg(long, value_name = "PROGRAM", hide = true)]
    pub server: PathBuf,
    /// Given by cargo; means nothing here.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Clone, Args)]
pub struct RollbackOptions {
    /// How often a release is rolled back; each time from the beginning.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub rounds: u32,
    /// Games that are played when it is; two players each.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=5_000))]
    pub games: u32,
    /// Its players are sent away one after the other over this time (milliseconds).
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(..=60_000))]
    pub spread: u64,
    /// Kill the gateway, too, when half of them are on their way, and start it again.
    #[arg(long)]
    pub kill_gateway: bool,
    /// Mean pause before a move (milliseconds).
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(10..=60_000))]
    pub think: u64,
    /// Decides moves and pauses.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The median player is back in its game within this (milliseconds).
    #[arg(long, default_value_t = 1_000)]
    pub interruption_max: u64,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub json: bool,
    /// The `starvault` of both releases.
    #[arg(long, value_name = "PROGRAM", hide = true)]
    pub server: PathBuf,
    /// Given by cargo; means nothing here.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let done = match Cli::parse().what {
        What::Store(options) => store::run(&options),
        What::Recovery(options) => recovery::run(&options),
        What::Rollback(options) => rollback::run(&options),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}
