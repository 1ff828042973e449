//! The binary `starvault`: parses its command line and runs it.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    starvault_server::cli::run(starvault_server::cli::Cli::parse())
}
