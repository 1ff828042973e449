//! `cargo xtask sim`: many runs, one after the other, and what came of them.

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde_json::json;
use starvault_simulation::{Mutant, Tally, run};

#[derive(Parser)]
#[command(
    name = "cargo xtask sim",
    about = "Simulate what cannot be waited for",
    after_help = "Also: `cargo xtask sim rollout`, canary judges beside each other on the same traffic."
)]
struct Cli {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Nodes, a store and a network that fail at every step; nothing acknowledged may be lost.
    #[command(after_help = "\
Examples:
  cargo xtask sim journal --seeds 500
  cargo xtask sim journal --seeds 50 --mutant setnx-then-update    a broken promise: must be noticed
  cargo xtask sim journal --first-seed 17 --seeds 1                one run once more

Exit codes: 0 nothing was lost (with --mutant: it was noticed), 1 something was, 2 it could not run.")]
    Journal(JournalOptions),
}

#[derive(Args)]
struct JournalOptions {
    /// How many runs, one seed each.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// The seed of the first run.
    #[arg(long, default_value_t = 0)]
    first_seed: u64,
    /// Break a promise, to see that it is noticed.
    #[arg(long, value_enum)]
    mutant: Option<Broken>,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Broken {
    SetnxThenUpdate,
    NoDedupe,
    AckBeforeCommit,
    NoFencing,
}

impl From<Broken> for Mutant {
    fn from(broken: Broken) -> Mutant {
        match broken {
            Broken::SetnxThenUpdate => Mutant::SetnxThenUpdate,
            Broken::NoDedupe => Mutant::NoDedupe,
            Broken::AckBeforeCommit => Mutant::AckBeforeCommit,
            Broken::NoFencing => Mutant::NoFencing,
        }
    }
}

fn main() -> ExitCode {
    let Cli {
        what: What::Journal(options),
    } = Cli::parse();
    let mutant = options.mutant.map(Mutant::from);
    let mut sum = Tally::default();
    let mut unsound = Vec::new();
    for seed in options.first_seed..options.first_seed.saturating_add(options.seeds) {
        let tally = run(seed, mutant);
        if !tally.is_sound() {
            unsound.push(seed);
        }
        sum = sum + tally;
    }
    let figures = json!({
        "seeds": options.seeds,
        "mutant": mutant.map(Mutant::name),
        "crashes": sum.crashes,
        "games": sum.games,
        "acknowledged": sum.acknowledged,
        "repeated": sum.repeated,
        "lost": sum.lost,
        "twice": sum.twice,
        "contradicted": sum.contradicted,
        "broken": sum.broken,
        "stuck": sum.stuck,
        "unsound_seeds": unsound.len(),
        "first_unsound_seed": unsound.first(),
    });
    if options.json {
        println!("{figures}");
    } else {
        for (key, value) in figures.as_object().into_iter().flatten() {
            println!("{key:<20} {value}");
        }
    }
    // A mutant that nobody notices is the failure.
    if sum.is_sound() == mutant.is_none() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    }
}
