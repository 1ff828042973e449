//! `cargo xtask conformance SUBJECT …`: builds the program that scores a subject, and hands over.

use anyhow::{Context as _, bail};

use crate::build;

const HELP: &str = "\
Score ourselves against cases whose outcome is known.

  cargo xtask conformance contract DIR [--json]   comparing OpenAPI documents; DIR holds pairs.tsv

Everything after the subject goes to its program; see `cargo xtask conformance contract --help`.";

pub fn run(arguments: &[String]) -> anyhow::Result<u8> {
    match arguments.split_first() {
        None => {
            println!("{HELP}");
            Ok(2)
        }
        Some((first, _)) if first == "--help" || first == "-h" => {
            println!("{HELP}");
            Ok(0)
        }
        Some((subject, rest)) if subject == "contract" => contract(rest, "release"),
        Some((other, _)) => bail!("nothing is scored under the name {other:?}; there is: contract"),
    }
}

/// The score of `tminus contract diff`; optimised where its speed is measured too.
pub fn contract(arguments: &[String], profile: &str) -> anyhow::Result<u8> {
    // Cargo starts the program in its package's folder: paths are meant from here.
    let here = std::env::current_dir().context("where this was started")?;
    let arguments = arguments.iter().map(|one| {
        let path = here.join(one);
        if !one.starts_with('-') && path.exists() {
            path.display().to_string()
        } else {
            one.clone()
        }
    });
    let status = build::cargo()?
        .args(["bench", "--quiet", "--locked", "--profile", profile])
        .args(["--package", "tminus-contract", "--bench", "conformance", "--"])
        .args(arguments)
        .status()
        .context("cannot start cargo")?;
    match status.code() {
        Some(code) => Ok(u8::try_from(code).unwrap_or(2)),
        None => bail!("the scoring program was ended by a signal ({status})"),
    }
}
