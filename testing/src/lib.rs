//! Real servers for tests and benches: each on a free loopback port, in a folder of its own, gone when it
//! is dropped; and programs of others to compare ours with. A program that is missing is a failure that names its
//! package or the command that installs it, never a skipped test.

mod nginx;
mod prometheus;
mod python;
mod python_folder;
mod redis;
mod redis_tls;
mod unpacked;
mod unpacked_folder;

pub use nginx::NginxServer;
pub use prometheus::PrometheusServer;
pub use python::python;
pub use redis::{Fsync, RedisOptions, RedisServer};
pub use redis_tls::RedisOverTls;
pub use unpacked::kubectl;

/// A program of the system's.
///
/// # Panics
/// It is not there; the message names its Debian package.
#[must_use]
pub fn program(name: &str, package: &str) -> std::path::PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("no {name} here: `cargo xtask setup`, or install the package {package}"))
}

fn free_port() -> u16 {
    std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .expect("a free port on loopback")
        .port()
}
