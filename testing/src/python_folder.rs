//! Where the virtual environment of `testing/python/requirements.txt` lies. Read by the tests that use it and, as a file
//! of its own, by `cargo xtask setup`, which makes it: so both always mean the same one.

use std::path::{Path, PathBuf};

/// The packages, as pip reads them.
pub const REQUIREMENTS: &str = include_str!("../python/requirements.txt");

/// Written last: an environment without it is not whole.
pub const COMPLETE: &str = "complete";

/// Another list lies in another folder, so that checkouts of several versions do not take each other's away.
#[must_use]
pub fn folder(home: &Path) -> PathBuf {
    // FNV-1a (64 bits): names a folder, protects nothing.
    let digest = REQUIREMENTS
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    home.join(".cache/starvault/python")
        .join(format!("{digest:016x}"))
}

/// Its interpreter.
#[must_use]
pub fn interpreter(folder: &Path) -> PathBuf {
    folder.join("bin/python")
}
