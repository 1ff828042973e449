//! The binary `starvault`: parses its command line and runs it.

use std::process::ExitCode;

use clap::Parser as _;

/// A move and a match make and drop many small things: this takes less time for it than the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    starvault_server::cli::run(starvault_server::cli::Cli::parse())
}
