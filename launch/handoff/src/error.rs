//! What keeps a delivery from starting.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Errors of [`crate::serve`].
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    #[error("{}: {action}: {source}", path.display())]
    Io {
        path: PathBuf,
        action: &'static str,
        source: std::io::Error,
    },
    #[error("{}: others may read this secret (mode {mode:03o}); chmod 600 it", path.display())]
    Readable { path: PathBuf, mode: u32 },
    #[error("{}: {what}", path.display())]
    Secret { path: PathBuf, what: &'static str },
    #[error("{}: no folder of packages; make the packages first, or name their folder in `packages`", path.display())]
    NoPackages { path: PathBuf },
    #[error("the state of links in {}: {what}; put back a copy, or remove the file: every link that was given out ends then", path.display())]
    LinkState { path: PathBuf, what: String },
    #[error(
        "listens on {address}, which other machines can reach; the configuration does not say allow_remote: true"
    )]
    Remote { address: SocketAddr },
    #[error("a listener for {what} is needed, because the configuration has it")]
    NoListener { what: &'static str },
    #[error("the listener: {0}")]
    Listener(std::io::Error),
    #[error("the client for the OpenID provider: {0}")]
    Client(String),
}

impl DeliveryError {
    pub(crate) fn io(path: &std::path::Path, action: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, action, source }
    }
}
