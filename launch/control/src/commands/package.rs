//! `tminus package make` and `tminus package verify`.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use tminus_packages::{GatewaySplit, rollback_script, unpack, verify_package};
use tminus_plan::LaunchState;
use tminus_record::{VerifyingKey, note};

use super::issue::fonts;
use crate::cli::{PackageMake, PackageVerify};
use crate::console::{Console, claim};
use crate::engine::book::Book;
use crate::error::{CliError, Exit, Kind, Result, from_part};
use crate::gates::router::gateway::Admin;
use crate::layout::Layout;
use crate::packages::{Making, Sealer, WayBack, gateway_of};
use crate::session;

/// A package is some MiB.
const ZIP_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// A script that is tried may take so long.
const SCRIPT_MAX: Duration = Duration::from_secs(60);
const SAID_BYTES_MAX: usize = 500;

pub(super) async fn make(args: &PackageMake) -> Result<Exit> {
    let layout = Layout::new(&args.out);
    if !layout.has_record() {
        return Err(
            CliError::usage(format!("{} holds no launch", layout.out.display()))
                .hint("give --out the folder that `tminus launch` was given"),
        );
    }
    let book = session::open_book(&layout)?;
    let variables: BTreeMap<String, String> = args.vars.iter().cloned().collect();
    let way_back = way_back(&book.state()?, &variables).await;
    let written = written(&layout, &book, way_back, None, &Console::new())?;
    if args.json {
        println!("{}", json!({ "ok": true, "packages": written }));
    } else {
        for file in &written {
            println!("{}", file.display());
        }
    }
    Ok(Exit::Ok)
}

/// Makes all packages of a launch that has ended.
pub(crate) fn written(
    layout: &Layout,
    book: &Book,
    way_back: std::result::Result<WayBack, String>,
    seal: Option<Sealer<'_>>,
    console: &Console,
) -> Result<Vec<std::path::PathBuf>> {
    let fonts = fonts()?;
    let making = Making {
        layout,
        book,
        fonts: &fonts,
        way_back,
        seal,
        console,
    };
    making.write()
}

/// The way back, from what the gateway says of itself now; not tried.
pub(crate) async fn way_back(
    state: &LaunchState,
    variables: &BTreeMap<String, String>,
) -> std::result::Result<WayBack, String> {
    let (admin, stable, canary) = gateway_of(state, variables)?;
    let metrics = Admin::new(&admin)
        .map_err(|e| e.why)?
        .metrics(&stable, &canary)
        .await
        .map_err(|e| format!("the router did not say how it splits: {}", e.why))?;
    let side = |name: String, of: &crate::gates::router::gateway::BackendMetrics| {
        (name, of.version.clone(), of.weight.to_string())
    };
    let split = GatewaySplit {
        admin,
        stable: side(stable, &metrics.0),
        canary: side(canary, &metrics.1),
        at: Timestamp::now().strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
    };
    Ok(WayBack {
        script: rollback_script(&split, &state.launch_id),
        tested: None,
    })
}

/// Runs the script against the live router, as whoever is on call would.
pub(crate) async fn tried(way: WayBack, folder: &Path) -> Result<WayBack> {
    let file = folder.join("rollback.sh");
    std::fs::write(&file, &way.script).map_err(|e| CliError::file("write", &file, &e))?;
    let run = tokio::process::Command::new("sh")
        .arg(&file)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = match tokio::time::timeout(SCRIPT_MAX, run).await {
        Ok(Ok(output)) => output,
        Ok(Err(e)) => return Err(CliError::file("run", &file, &e)),
        Err(_) => {
            return Err(CliError::new(
                Kind::Environment,
                format!("{} did not end within {} s", file.display(), SCRIPT_MAX.as_secs()),
            ));
        }
    };
    let said = String::from_utf8_lossy(if output.status.success() {
        &output.stdout
    } else {
        &output.stderr
    });
    let last = said.lines().last().unwrap_or_default();
    let last = crate::gates::shorten(last, SAID_BYTES_MAX);
    if !output.status.success() {
        return Err(CliError::new(
            Kind::Environment,
            format!("the rollback script does not roll back: {last}"),
        )
        .hint("it needs curl; run it by hand to see more"));
    }
    let at = Timestamp::now().strftime("%Y-%m-%d %H:%M:%S UTC");
    Ok(WayBack {
        tested: Some(format!("run against the live router at {at}, exit 0: {last}")),
        ..way
    })
}

pub(super) fn verify(args: &PackageVerify) -> Result<Exit> {
    let length = std::fs::metadata(&args.file)
        .map_err(|e| CliError::file("read", &args.file, &e))?
        .len();
    if length > ZIP_BYTES_MAX {
        return Err(CliError::usage(format!(
            "{} has {length} bytes: no package is larger than {ZIP_BYTES_MAX}",
            args.file.display()
        )));
    }
    let bytes = std::fs::read(&args.file).map_err(|e| CliError::file("read", &args.file, &e))?;
    let files =
        unpack(&bytes).map_err(|e| from_part(Kind::Checklist, &args.file.display().to_string(), &e))?;
    let key = match &args.key {
        Some(text) => super::verify::trusted_key(text)?,
        None => own_key(&files)?,
    };
    let report = verify_package(&files, &key);
    if args.json {
        println!("{}", serde_json::to_string(&report).unwrap_or_default());
    } else {
        let console = Console::new();
        for line in &report.lines {
            claim(&console, line.ok, &line.part, &line.says);
        }
        if args.key.is_none() && report.ok {
            println!("  the launch key is the package's own; give --key to check whose launch it was");
        }
        println!("\n{}", if report.ok { "verified" } else { "NOT verified" });
    }
    Ok(if report.ok { Exit::Ok } else { Exit::CheckFailed })
}

fn own_key(files: &BTreeMap<String, Vec<u8>>) -> Result<VerifyingKey> {
    files
        .get("launch.vkey")
        .and_then(|line| std::str::from_utf8(line).ok())
        .and_then(|line| note::parse_verifier_line(line.trim()).ok())
        .map(|(_, key)| key)
        .ok_or_else(|| {
            CliError::new(Kind::Checklist, "the package brings no launch key")
                .hint("give the launch's with --key")
        })
}
