//! The virtual environment of the Python packages that tests compare ours with: made once for each list of packages,
//! in the cache folder of the user's home, from exact versions.

#[path = "../../testing/src/python_folder.rs"]
mod python_folder;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail};

use crate::build;

/// Makes the environment unless it is there and works.
pub fn ensure() -> anyhow::Result<()> {
    let folder = folder()?;
    let interpreter = python_folder::interpreter(&folder);
    if folder.join(python_folder::COMPLETE).exists() && starts(&interpreter) {
        return Ok(());
    }
    eprintln!(
        "installing the Python packages of testing/python/requirements.txt, once, into {} …",
        folder.display()
    );
    // Half of one, or one whose interpreter the system has replaced.
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut make = Command::new("python3");
    make.args(["-m", "venv"]).arg(&folder);
    succeed(&mut make).context("install the package python3-venv, then run this again")?;
    let requirements = build::workspace_root()?.join("testing/python/requirements.txt");
    let mut install = Command::new(&interpreter);
    // Every package stands in the list with its version: nothing else may come along.
    install
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            // Some ask for a newer one than they use; the tests show whether they run.
            "--ignore-requires-python",
            "-r",
        ])
        .arg(&requirements);
    succeed(&mut install)
        .context("the packages need a package index; look at pip's settings, then run this again")?;
    let mut check = Command::new(&interpreter);
    check.args(["-m", "pip", "check", "--disable-pip-version-check"]);
    succeed(&mut check).with_context(|| format!("add what is missing to {}", requirements.display()))?;
    fs::write(folder.join(python_folder::COMPLETE), python_folder::REQUIREMENTS)
        .with_context(|| format!("cannot write into {}", folder.display()))
}

/// A program that one of the packages brings.
pub fn program(name: &str) -> anyhow::Result<PathBuf> {
    Ok(python_folder::interpreter(&folder()?).with_file_name(name))
}

fn folder() -> anyhow::Result<PathBuf> {
    let home = std::env::var_os("HOME").context("HOME is not set: there is no place to keep tools")?;
    Ok(python_folder::folder(&PathBuf::from(home)))
}

fn starts(interpreter: &Path) -> bool {
    let mut command = Command::new(interpreter);
    command.args(["-c", "pass"]).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn succeed(command: &mut Command) -> anyhow::Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    // pip talks on standard output also when it has nothing to say.
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start {name}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stdout);
        bail!("{name} ended with {}: {}", output.status, said.trim());
    }
    Ok(())
}
