//! `cargo xtask test`: every check, in the order in which they fail fastest.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::{build, conformance, python, setup, torture, unpacked};

/// The release of cargo-deny that deny.toml is written for.
const CARGO_DENY_VERSION: &str = "0.20.2";

#[derive(Debug, clap::Args)]
pub struct TestArguments {
    /// Run these steps only (comma separated): format, lints, licences, tests, contract, torture.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Leave these steps out.
    #[arg(long, value_delimiter = ',')]
    skip: Vec<String>,
    /// Stop at the first step that fails instead of showing them all.
    #[arg(long)]
    fail_fast: bool,
}

/// One check: what it is called and how it is run. It answers whether the check held.
struct Step {
    name: &'static str,
    run: fn() -> anyhow::Result<bool>,
}

const STEPS: &[Step] = &[
    Step {
        name: "format",
        run: format,
    },
    Step {
        name: "lints",
        run: lints,
    },
    Step {
        name: "licences",
        run: licences,
    },
    Step {
        name: "tests",
        run: cargo_tests,
    },
    Step {
        name: "contract",
        run: contract,
    },
    Step {
        name: "torture",
        run: torture,
    },
];

pub fn run(arguments: &TestArguments) -> anyhow::Result<u8> {
    for name in arguments.only.iter().chain(&arguments.skip) {
        if !STEPS.iter().any(|step| step.name == name) {
            let known: Vec<&str> = STEPS.iter().map(|step| step.name).collect();
            bail!("no step is called {name:?}; there are {}", known.join(", "));
        }
    }
    let is_chosen = |step: &&Step| {
        (arguments.only.is_empty() || arguments.only.iter().any(|name| name == step.name))
            && !arguments.skip.iter().any(|name| name == step.name)
    };
    setup::ensure(setup::EVERYTHING)?;
    unpacked::ensure()?;
    python::ensure()?;
    let mut results: Vec<(&str, bool, Duration)> = Vec::new();
    for step in STEPS.iter().filter(is_chosen) {
        eprintln!("\n=== {} ===", step.name);
        let started = Instant::now();
        let held = (step.run)().with_context(|| format!("step {}", step.name))?;
        results.push((step.name, held, started.elapsed()));
        if !held && arguments.fail_fast {
            break;
        }
    }
    eprintln!("\n=== summary ===");
    for (name, held, took) in &results {
        eprintln!(
            "{} {name:<10} {:>6.1} s",
            if *held { "ok    " } else { "FAILED" },
            took.as_secs_f64()
        );
    }
    let all_held = results.iter().all(|(_, held, _)| *held);
    Ok(if all_held { 0 } else { 1 })
}

fn format() -> anyhow::Result<bool> {
    succeeds(build::cargo()?.args(["fmt", "--all", "--check"]))
}

fn lints() -> anyhow::Result<bool> {
    succeeds(build::cargo()?.args([
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--",
        "-D",
        "warnings",
    ]))
}

fn licences() -> anyhow::Result<bool> {
    let program = cargo_deny()?;
    let mut command = Command::new(program);
    command
        .current_dir(build::workspace_root()?)
        .args(["--log-level", "error", "check"]);
    command.args(["licenses", "bans", "sources"]);
    succeeds(&mut command)
}

/// Building every test builds every binary too, with the same features: tests that start our
/// programs never meet those of an earlier build.
fn cargo_tests() -> anyhow::Result<bool> {
    if !succeeds(build::cargo()?.args(["test", "--workspace", "--locked", "--no-run", "--quiet"]))? {
        return Ok(false);
    }
    succeeds(build::cargo()?.args(["test", "--workspace", "--locked", "--no-fail-fast"]))
}

/// Pairs of OpenAPI documents with known verdicts lie beside the checkout on the project's own
/// machines; a clone alone does not have them.
fn contract() -> anyhow::Result<bool> {
    let cases = build::workspace_root()?.join("../shared/contract-cases");
    if !cases.join("pairs.tsv").is_file() {
        eprintln!("skipped: {} is not there", cases.display());
        return Ok(true);
    }
    let cases = cases.display().to_string();
    match conformance::contract(&[cases, "--no-speed".to_owned()], "dev")? {
        0 => Ok(true),
        1 => Ok(false),
        code => bail!("the score could not be taken (exit code {code})"),
    }
}

/// A short one, and one that must be noticed; the long ones are for whoever changes a store.
fn torture() -> anyhow::Result<bool> {
    for (backend, rounds) in [("sqlite", "5"), ("redis", "3")] {
        let store = [
            "store",
            "--backend",
            backend,
            "--rounds",
            rounds,
            "--players",
            "20",
        ]
        .map(String::from);
        let lying = [&store[..], &["--mutant", "lying-disk"].map(String::from)].concat();
        if finds_losses(&store)? || !finds_losses(&lying)? {
            return Ok(false);
        }
    }
    for rest in [
        &["recovery", "--rounds", "1", "--players", "20"][..],
        &["rollback", "--games", "20"],
        &["rollback", "--games", "20", "--kill-gateway"],
    ] {
        let arguments: Vec<String> = rest.iter().map(|word| (*word).to_owned()).collect();
        if finds_losses(&arguments)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn finds_losses(arguments: &[String]) -> anyhow::Result<bool> {
    match torture::run(arguments)? {
        0 => Ok(false),
        1 => Ok(true),
        code => bail!("the torture could not run (exit code {code})"),
    }
}

fn succeeds(command: &mut Command) -> anyhow::Result<bool> {
    let status = command
        .status()
        .with_context(|| format!("cannot start {}", command.get_program().to_string_lossy()))?;
    Ok(status.success())
}

/// cargo-deny of our release: from `PATH` if it is that one, else built once into a cache folder
/// of the user's home.
fn cargo_deny() -> anyhow::Result<PathBuf> {
    let home = std::env::var_os("HOME").context("HOME is not set: there is no place to keep tools")?;
    let root = PathBuf::from(home).join(".cache/starvault/tools");
    let ours = root.join("bin/cargo-deny");
    for program in [setup::find_program("cargo-deny"), Some(ours.clone())]
        .into_iter()
        .flatten()
    {
        if is_version(&program, CARGO_DENY_VERSION) {
            return Ok(program);
        }
    }
    eprintln!(
        "building cargo-deny {CARGO_DENY_VERSION} once, into {} …",
        root.display()
    );
    let mut command = build::cargo()?;
    // Its own checks take a second; an optimised build of it takes minutes.
    command.args(["install", "cargo-deny", "--locked", "--quiet", "--profile", "dev"]);
    command
        .args(["--version", CARGO_DENY_VERSION, "--root"])
        .arg(&root);
    command.current_dir(std::env::temp_dir());
    let target = tempfile_folder("cargo-deny-build")?;
    command.env("CARGO_TARGET_DIR", &target);
    let built = succeeds(&mut command)?;
    // Half a gigabyte that nobody needs again; failing to remove it is no reason to fail.
    let _ = std::fs::remove_dir_all(&target);
    if !built {
        bail!("cargo-deny could not be built; try: cargo install cargo-deny --version {CARGO_DENY_VERSION}");
    }
    Ok(ours)
}

fn is_version(program: &std::path::Path, version: &str) -> bool {
    Command::new(program)
        .arg("--version")
        .output()
        .is_ok_and(|output| String::from_utf8_lossy(&output.stdout).trim().ends_with(version))
}

fn tempfile_folder(name: &str) -> anyhow::Result<PathBuf> {
    let folder = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}
