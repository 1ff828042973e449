//! Where programs lie whose packages would start a service: unpacked, not installed. Read by the tests that use
//! them and, as a file of its own, by `cargo xtask setup`, which puts them there: so both always mean the same ones.

use std::path::{Path, PathBuf};

/// A program out of a Debian package.
#[derive(Debug, Clone, Copy)]
pub struct Unpacked {
    pub name: &'static str,
    /// What it is for, in the words of a message.
    pub purpose: &'static str,
    /// The package that holds the program itself.
    pub package: &'static str,
    /// Its place in the package.
    pub path: &'static str,
}

pub const NGINX: Unpacked = Unpacked {
    name: "nginx",
    purpose: "a rollout by a real nginx",
    package: "nginx",
    path: "usr/sbin/nginx",
};

pub const PROMETHEUS: Unpacked = Unpacked {
    name: "prometheus",
    purpose: "queries to a real Prometheus",
    package: "prometheus",
    path: "usr/bin/prometheus",
};

/// No service; unpacked all the same, so that the machine keeps a client of its own.
pub const KUBECTL: Unpacked = Unpacked {
    name: "kubectl",
    purpose: "manifests read by a real kubectl",
    package: "kubernetes-client",
    path: "usr/bin/kubectl",
};

/// The program, installed by whomever or unpacked by us.
#[must_use]
pub fn find(program: &Unpacked, home: &Path) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/bin".into()])
        .map(|folder| folder.join(program.name))
        .chain([folder(program, home).join(program.path)])
        .find(|path| path.is_file())
}

#[must_use]
pub fn folder(program: &Unpacked, home: &Path) -> PathBuf {
    home.join(".cache/starvault/debian").join(program.package)
}
