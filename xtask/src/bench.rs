//! `cargo xtask bench`: builds what is measured, optimised, and hands over to the measuring program.

use anyhow::{Context as _, bail};

use crate::{build, setup};

/// Everything after the command goes to the measuring program; see `cargo xtask bench --help`.
pub fn run(arguments: &[String]) -> anyhow::Result<u8> {
    let name = arguments.first().map(String::as_str);
    // These meet no server of the game, and so build none: one meets other proxies, one no program of ours at all.
    let programs: &[&str] = match name {
        Some("gateway") => {
            setup::ensure(setup::OTHER_PROXIES)?;
            &["gateway"]
        }
        Some("checklist") => {
            setup::ensure(setup::CHECKLIST_BENCH)?;
            &[]
        }
        _ => &["gateway", "server"],
    };
    if !programs.is_empty() {
        let mut building = build::cargo()?;
        building.args(["build", "--release", "--locked", "--package", "tminus-gateway"]);
        if programs.contains(&"server") {
            building.args(["--package", "starvault-server"]);
        }
        let built = building.status().context("cannot start cargo")?;
        if !built.success() {
            bail!("the build failed ({built}); its errors stand above");
        }
    }
    let release = build::target_directory()?.join("release");
    let mut command = build::cargo()?;
    command
        .args([
            "bench",
            "--quiet",
            "--locked",
            "--package",
            "starvault-bench",
            "--bench",
            "bench",
            "--",
        ])
        .args(arguments);
    let asks_for_help = arguments.is_empty() || arguments.iter().any(|one| one == "--help" || one == "-h");
    if !asks_for_help {
        for (program, file) in [("server", "starvault"), ("gateway", "tminus-gateway")] {
            if programs.contains(&program) {
                command.arg(format!("--{program}")).arg(release.join(file));
            }
        }
    }
    let status = command.status().context("cannot start cargo")?;
    match status.code() {
        Some(code) => Ok(u8::try_from(code).unwrap_or(2)),
        None => bail!("the measuring program was ended by a signal ({status})"),
    }
}
