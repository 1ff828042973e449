//! `cargo xtask sim rollout`: canary judges on the same traffic, and what came of it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use tminus_simulation::plot;
use tminus_simulation::report::Report;

#[derive(Parser)]
#[command(name = "cargo xtask sim", about = "Simulate what cannot be waited for")]
struct Cli {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Canary judges beside each other: false rollbacks, and the time until a fault is found.
    #[command(after_help = "\
Examples:
  cargo xtask sim rollout                                 everything, about six minutes on two cores
  cargo xtask sim rollout --runs 500 --json               a quick look, for a machine
  cargo xtask sim rollout --plot docs/images              the pictures of docs/canary-judge.md

Exit codes: 0 ours keeps what it promises, 1 it does not, 2 it could not run.")]
    Rollout(RolloutOptions),
}

#[derive(Args)]
struct RolloutOptions {
    /// Runs without a fault per kind of traffic.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    runs: u64,
    /// Runs with each fault; a fortieth of the others when left out, and at least 40.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    fault_runs: Option<u64>,
    /// The seed of the first run.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print one JSON object instead of tables.
    #[arg(long)]
    json: bool,
    /// Draw the figures: into this `.svg` file, or as two files into this folder.
    #[arg(long, value_name = "FILE.svg|FOLDER")]
    plot: Option<PathBuf>,
}

fn main() -> ExitCode {
    let Cli {
        what: What::Rollout(options),
    } = Cli::parse();
    match rollout(&options) {
        Ok(kept) => ExitCode::from(u8::from(!kept)),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn rollout(options: &RolloutOptions) -> anyhow::Result<bool> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let fault_runs = options.fault_runs.unwrap_or((options.runs / 40).max(40));
    let report = Report::make(options.runs, fault_runs, options.seed, threads);
    if options.json {
        println!("{}", report.json());
    } else {
        print!("{}", report.text());
    }
    if let Some(path) = &options.plot {
        draw(&report, path)?;
    }
    Ok(report.missed_targets().is_empty())
}

fn draw(report: &Report, path: &Path) -> anyhow::Result<()> {
    let write = |path: &Path, svg: String| {
        std::fs::write(path, svg)
            .with_context(|| format!("cannot write {}; does its folder exist?", path.display()))
    };
    if path.extension().is_some_and(|extension| extension == "svg") {
        return write(path, plot::both(report));
    }
    std::fs::create_dir_all(path).with_context(|| format!("cannot create {}", path.display()))?;
    write(
        &path.join("canary-false-rollbacks.svg"),
        plot::false_rollbacks(report),
    )?;
    write(&path.join("canary-detection.svg"), plot::detection(report))
}
