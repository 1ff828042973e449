//! Builds the product's binaries with cargo and hands over to them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, bail};

/// The workspace's root, for commands that must run there.
pub fn workspace_root() -> anyhow::Result<PathBuf> {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR")
        .context("run this as `cargo xtask …`, not as a bare program: cargo says where the workspace is")?;
    Ok(Path::new(&manifest)
        .parent()
        .context("the xtask folder has no parent")?
        .to_owned())
}

/// A cargo command in the workspace, without the variables that describe xtask itself: build
/// scripts would see them change and run again.
pub fn cargo() -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace_root()?);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") || text == "CARGO_BIN_NAME" {
            command.env_remove(&name);
        }
    }
    Ok(command)
}

/// Builds all binaries and prints how long it took; answers the folder that they lie in.
///
/// The whole workspace in one go, so that every dependency has one set of features: building
/// package by package would compile some of them again for `cargo xtask test`.
pub fn binaries() -> anyhow::Result<PathBuf> {
    let started = Instant::now();
    let status = cargo()?
        .args(["build", "--workspace", "--bins"])
        .status()
        .context("cannot start cargo")?;
    if !status.success() {
        bail!("the build failed ({status}); its errors stand above");
    }
    let wall = started.elapsed().as_secs_f64();
    match children_cpu_seconds() {
        Some(cpu) => eprintln!("built in {wall:.0} s ({:.1} CPU-minutes)", cpu / 60.0),
        None => eprintln!("built in {wall:.0} s"),
    }
    Ok(target_directory()?.join("debug"))
}

/// Builds one package's binaries, optimised; answers the folder that they lie in.
pub fn release(package: &str) -> anyhow::Result<PathBuf> {
    let status = cargo()?
        .args(["build", "--release", "--locked", "--package", package])
        .status()
        .context("cannot start cargo")?;
    if !status.success() {
        bail!("the build failed ({status}); its errors stand above");
    }
    Ok(target_directory()?.join("release"))
}

/// CPU time of all ended child processes, where the system tells it (Linux, proc(5)).
fn children_cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The program's name stands in brackets and may hold spaces: count fields after it.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    // cutime and cstime are fields 16 and 17 of the file, in ticks of which Linux shows 100 a second.
    let ticks = fields.get(13)?.parse::<f64>().ok()? + fields.get(14)?.parse::<f64>().ok()?;
    Some(ticks / 100.0)
}

/// Cargo's target folder, asked from cargo: it may be set by variable, configuration or flag.
pub fn target_directory() -> anyhow::Result<PathBuf> {
    let output = cargo()?
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .output()
        .context("cargo metadata")?;
    if !output.status.success() {
        bail!(
            "cargo metadata failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    let metadata: serde_json::Value =
        serde_json::from_slice(&output.stdout).context("cargo metadata is not JSON")?;
    let folder = metadata["target_directory"]
        .as_str()
        .context("cargo metadata names no target_directory")?;
    Ok(folder.into())
}

/// Runs a program of ours to its end in the user's own folder and passes its exit code on.
pub fn hand_over(program: &Path, verb: &str, arguments: &[String]) -> anyhow::Result<u8> {
    let mut all = vec![verb.to_owned()];
    all.extend_from_slice(arguments);
    hand_over_all(program, &all)
}

/// As [`hand_over`], where the arguments are the whole command line.
pub fn hand_over_all(program: &Path, arguments: &[String]) -> anyhow::Result<u8> {
    let status = Command::new(program)
        .args(arguments)
        .status()
        .with_context(|| format!("cannot start {}", program.display()))?;
    match status.code() {
        Some(code) => Ok(u8::try_from(code).unwrap_or(2)),
        None => bail!("{} was ended by a signal ({status})", program.display()),
    }
}
