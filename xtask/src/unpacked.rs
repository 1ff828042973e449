//! Programs for tests whose Debian packages would start a service: taken out of the package, which is not installed.
//! Nothing here needs root but a package list that has never been fetched.

#[path = "../../testing/src/unpacked_folder.rs"]
mod unpacked_folder;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail};
use unpacked_folder::{KUBECTL, NGINX, PROMETHEUS, Unpacked, find, folder};

use crate::setup;

/// With the words that make each say its version, and so show that it starts.
const PROGRAMS: [(Unpacked, &[&str]); 3] = [
    (NGINX, &["-v"]),
    (PROMETHEUS, &["--version"]),
    (KUBECTL, &["version", "--client"]),
];

/// Brings those that are missing.
pub fn ensure() -> anyhow::Result<()> {
    let home =
        PathBuf::from(std::env::var_os("HOME").context("HOME is not set: there is no place to keep tools")?);
    for (program, version) in PROGRAMS {
        if find(&program, &home).is_none() {
            eprintln!(
                "unpacking {} ({}) into {} …",
                program.package,
                program.purpose,
                folder(&program, &home).display()
            );
            unpack(&program, version, &home).with_context(|| {
                format!(
                    "install the Debian package {} by hand, then run this again",
                    program.package
                )
            })?;
        }
    }
    Ok(())
}

fn unpack(program: &Unpacked, version: &[&str], home: &Path) -> anyhow::Result<()> {
    let folder = folder(program, home);
    let fresh = folder.with_extension("new");
    if fresh.exists() {
        fs::remove_dir_all(&fresh).with_context(|| format!("cannot remove {}", fresh.display()))?;
    }
    fs::create_dir_all(&fresh).with_context(|| format!("cannot make {}", fresh.display()))?;
    if download(program, &fresh).is_err() {
        // A machine that has never asked knows of no package.
        setup::update_packages()?;
        download(program, &fresh)?;
    }
    let package = fs::read_dir(&fresh)?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|ending| ending == "deb"))
        .with_context(|| format!("apt-get has brought no {}", program.package))?;
    succeed(Command::new("dpkg-deb").arg("-x").arg(&package).arg(&fresh))?;
    fs::remove_file(&package)?;
    let there = fresh.join(program.path);
    if !there.is_file() {
        bail!("the package {} holds no {}", program.package, program.path);
    }
    succeed(Command::new(&there).args(version)).context("a library that it needs is missing")?;
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::rename(&fresh, &folder).with_context(|| format!("cannot make {}", folder.display()))
}

fn download(program: &Unpacked, into: &Path) -> anyhow::Result<()> {
    succeed(
        Command::new("apt-get")
            .args(["download", "-qq", program.package])
            .current_dir(into),
    )
}

fn succeed(command: &mut Command) -> anyhow::Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {name}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{name} ended with {}: {}", output.status, said.trim());
    }
    Ok(())
}
