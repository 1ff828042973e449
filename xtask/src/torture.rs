//! `cargo xtask torture`: builds the programs and hands over to the one that kills them.

use anyhow::{Context as _, bail};

use crate::build;

/// Everything after the command goes to the torturing program; see `cargo xtask torture --help`.
pub fn run(arguments: &[String]) -> anyhow::Result<u8> {
    let asks_for_help = arguments.is_empty() || arguments.iter().any(|one| one == "--help" || one == "-h");
    let mut command = build::cargo()?;
    command.args(["bench", "--quiet", "--locked", "--profile", "dev"]);
    command.args(["--package", "starvault-e2e", "--bench", "torture", "--"]);
    command.args(arguments);
    if !asks_for_help {
        command.arg("--server").arg(build::binaries()?.join("starvault"));
    }
    let status = command.status().context("cannot start cargo")?;
    match status.code() {
        Some(code) => Ok(u8::try_from(code).unwrap_or(2)),
        None => bail!("the torturing program was ended by a signal ({status})"),
    }
}
