//! `tminus`: parse, run, one exit code.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Parser as _;
use tminus_control::cli::Cli;
use tminus_control::error::Exit;
use tminus_control::{commands, report};
use tracing_subscriber::EnvFilter;

/// Typesetting and reading documents makes and drops many small things: this takes less time for it than the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    // The renderer tells of every line without an area.
    let usual = "warn,tiny_skia=error";
    let filter = EnvFilter::try_from_env("TMINUS_LOG").unwrap_or_else(|_| EnvFilter::new(usual));
    let ansi = std::io::stderr().is_terminal();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(ansi)
        .init();
    // An error means that one is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let as_json = commands::wants_json(&cli);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start: {error}");
            return ExitCode::from(Exit::CouldNotRun.code());
        }
    };
    match runtime.block_on(commands::run(cli)) {
        Ok(exit) => ExitCode::from(exit.code()),
        Err(error) => {
            if as_json {
                println!("{}", report::error_json(&error));
            }
            eprintln!("{error}");
            ExitCode::from(Exit::CouldNotRun.code())
        }
    }
}
