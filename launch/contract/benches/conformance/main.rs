//! `cargo xtask conformance contract DIR`: how often our verdict on a pair of documents is the known
//! one, and how long a comparison of two large documents takes.
//!
//! DIR holds `pairs.tsv`: a line for each pair with its id, both files, `breaking` yes or no, the
//! rule ids by level, `strict` and `date_dependent` yes or no.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::disallowed_macros,
    reason = "the edge of a pure crate: it reads the pairs, the clock, and prints"
)]

mod large;
mod score;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// The day on which the reference gave the verdicts of the pairs that depend on one.
const TODAY: &str = "2026-11-22";

#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask conformance contract",
    about = "Score the comparison of OpenAPI documents",
    after_help = "\
Examples:
  cargo xtask conformance contract ../shared/contract-cases
  cargo xtask conformance contract ../shared/contract-cases --json
  cargo xtask conformance contract ../shared/contract-cases --all     every pair that disagrees

recall          breaking strict pairs that are found to be breaking
false_alarms    other strict pairs that are found to be breaking
rule_agreement  pairs (all of them) whose set of (level, rule) is exactly the expected one
rule_jaccard    the mean over all pairs of |both| / |either| of those sets
diff_5mb_s      seconds for reading and comparing two JSON documents of 5 MB each (yaml: the same in YAML)

Exit codes: 0 recall >= 0.98, false_alarms <= 0.05 and rule_agreement >= 0.85; 1 not so; 2 could not run."
)]
struct Arguments {
    /// The folder with pairs.tsv
    dir: PathBuf,
    /// One JSON object on stdout
    #[arg(long)]
    json: bool,
    /// The day for rules about sunsets
    #[arg(long, value_name = "DATE", default_value = TODAY)]
    today: String,
    /// Show every pair that disagrees, not the first twenty
    #[arg(long)]
    all: bool,
    /// Leave the large documents out
    #[arg(long)]
    no_speed: bool,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let score = score::score(&arguments.dir, &arguments.today)?;
    let speed = if arguments.no_speed {
        None
    } else {
        Some(large::measure()?)
    };
    if arguments.json {
        let mut it = score.json();
        if let Some((json_s, yaml_s, bytes)) = speed {
            it["diff_5mb_s"] = (json_s).into();
            it["diff_5mb_yaml_s"] = (yaml_s).into();
            it["large_bytes"] = bytes.into();
        }
        println!("{it}");
    } else {
        score.print(if arguments.all { usize::MAX } else { 20 });
        if let Some((json_s, yaml_s, bytes)) = speed {
            println!("diff_5mb_s      {json_s:.3} (yaml {yaml_s:.3}; {bytes} bytes a side)");
        }
    }
    Ok(score.holds())
}
