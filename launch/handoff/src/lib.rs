//! Delivery of a launch's packages: who may have them takes them, and each download is on record first.
//!
//! Serves one folder, `packages/<role>/<files>`, and nothing else: over SFTP with public keys, over a portal with
//! sign-in (OpenID Connect) or bearer tokens, and by links that end. Reads only; no byte leaves before its entry stands
//! in the [`DownloadLog`]. It never follows a symbolic link, and knows nothing of what a package holds.

pub mod config;
mod connections;
mod download;
mod error;
pub mod links;
mod portal;
mod range;
mod secret;
mod serve;
mod sftp;
mod shelf;

pub use config::{ConfigError, DeliveryConfig};
pub use connections::{Cut, accept};
pub use download::{Appending, Channel, Download, DownloadLog, LogError, PREDICATE_TYPE, RecordLog, Who};
pub use error::DeliveryError;
pub use serve::{Delivery, Listeners, serve};

/// What time it is; also what limits over time are counted by.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Milliseconds since 1970-01-01 UTC.
    fn now_ms(&self) -> i64;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> i64 {
        jiff::Timestamp::now().as_millisecond()
    }
}
