//! `cargo xtask release-contract`: keeps the contract of this checkout as the released one, which later changes are held to.

use std::{fs, process::Command};

use anyhow::{Context as _, bail};

use crate::{build, python};

/// What `tminus contract diff` and `buf breaking` compare with.
const DOCUMENT: &str = "game/wire/released/starvault.v1.json";
const DESCRIPTORS: &str = "game/wire/released/starvault.v1.binpb";

pub fn release() -> anyhow::Result<u8> {
    python::ensure()?;
    let root = build::workspace_root()?;
    let server = build::binaries()?.join("starvault");
    let document = Command::new(&server)
        .arg("openapi")
        .output()
        .with_context(|| format!("cannot start {}", server.display()))?;
    if !document.status.success() {
        bail!(
            "starvault openapi failed: {}",
            String::from_utf8_lossy(&document.stderr).trim()
        );
    }
    let buf = python::program("buf")?;
    let status = Command::new(&buf)
        .current_dir(&root)
        .args([
            "build",
            "game/wire",
            "--as-file-descriptor-set",
            "--exclude-source-info",
            "-o",
            DESCRIPTORS,
        ])
        .status()
        .with_context(|| format!("cannot start {}", buf.display()))?;
    if !status.success() {
        bail!("buf build failed ({status}); its errors stand above");
    }
    fs::write(root.join(DOCUMENT), document.stdout).with_context(|| format!("cannot write {DOCUMENT}"))?;
    println!("{DOCUMENT} and {DESCRIPTORS} hold the contract of this checkout; commit them with the release");
    Ok(0)
}
