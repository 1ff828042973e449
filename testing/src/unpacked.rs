//! Programs out of packages that are unpacked and not installed.

use std::path::PathBuf;

use crate::unpacked_folder::{KUBECTL, Unpacked, find};

/// Where a program lies.
///
/// # Panics
/// It is missing; the message names the package and the command that brings it.
#[must_use]
pub(crate) fn program(of: &Unpacked) -> PathBuf {
    let home = std::env::var_os("HOME").expect("HOME says where tools are kept");
    find(of, &PathBuf::from(home)).unwrap_or_else(|| {
        panic!(
            "{} is missing ({}); install the Debian package {} or run `cargo xtask setup`",
            of.name, of.purpose, of.package
        )
    })
}

/// Kubernetes' own client, of whatever version there is.
#[must_use]
pub fn kubectl() -> PathBuf {
    program(&KUBECTL)
}
