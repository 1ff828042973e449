//! The project's own commands: `cargo xtask rehearse | verify | test | sim | torture | bench | conformance |
//! release-contract | setup`.
//!
//! This crate installs what a fresh machine lacks, builds, and starts; it never decides whether a
//! launch is good. It keeps to the standard library where it can, because it is the first thing
//! that a newcomer compiles.

mod bench;
mod build;
mod conformance;
mod contract;
mod python;
mod setup;
mod tests;
mod torture;
mod unpacked;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    about = "Rehearse a launch, run every check",
    max_term_width = 110
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build what is needed and rehearse a whole launch on this machine.
    ///
    /// Everything after the command goes to `tminus rehearse`; see `cargo xtask rehearse --help`.
    #[command(disable_help_flag = true)]
    Rehearse {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Verify a checklist offline; the same as `tminus verify`.
    #[command(disable_help_flag = true)]
    Verify {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Run every check: format, lints, licences, all tests, whole launches.
    Test(tests::TestArguments),
    /// Simulate what cannot be waited for: `sim journal` (crashes at every step, a network that loses and doubles,
    /// nodes that are cut off) and `sim rollout` (canary judges beside each other on the same traffic).
    #[command(disable_help_flag = true)]
    Sim {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Kill programs while players play, and prove that nothing acknowledged was lost.
    #[command(disable_help_flag = true)]
    Torture {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Measure speed: ours beside a baseline, in one run.
    #[command(disable_help_flag = true)]
    Bench {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Score ourselves against cases whose outcome is known: `cargo xtask conformance contract DIR`.
    #[command(disable_help_flag = true)]
    Conformance {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Keep this checkout's contract as the released one, which later changes must not break.
    ReleaseContract,
    /// Install what tests and rehearsals need on a Debian machine, and say what was done.
    Setup,
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// The exit codes of every tool here: 0 fine, 1 a check failed, 2 could not run.
fn run(cli: Cli) -> anyhow::Result<u8> {
    match cli.command {
        Command::Rehearse { arguments } => {
            if !asks_for_help(&arguments) {
                setup::ensure(&[setup::CJK_FONT])?;
            }
            let bin = build::binaries()?;
            build::hand_over(&bin.join("tminus"), "rehearse", &arguments)
        }
        Command::Verify { arguments } => {
            let bin = build::binaries()?;
            build::hand_over(&bin.join("tminus"), "verify", &arguments)
        }
        Command::Test(arguments) => tests::run(&arguments).context("cargo xtask test"),
        Command::Sim { arguments } => {
            // Thousands of runs in the optimised program; journeys of a few hundred need no build of their own.
            let program = if arguments.first().is_some_and(|what| what == "rollout") {
                build::release("tminus-simulation")?.join("tminus-simulate")
            } else {
                build::binaries()?.join("starvault-simulate")
            };
            build::hand_over_all(&program, &arguments)
        }
        Command::Torture { arguments } => torture::run(&arguments),
        Command::Bench { arguments } => bench::run(&arguments),
        Command::Conformance { arguments } => conformance::run(&arguments),
        Command::ReleaseContract => contract::release(),
        Command::Setup => {
            setup::ensure(setup::EVERYTHING)?;
            unpacked::ensure()?;
            python::ensure()?;
            println!("everything that tests and rehearsals need is installed");
            Ok(0)
        }
    }
}

fn asks_for_help(arguments: &[String]) -> bool {
    arguments
        .iter()
        .any(|argument| argument == "--help" || argument == "-h")
}
