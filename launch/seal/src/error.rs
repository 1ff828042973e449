use std::path::PathBuf;

/// Why a seal cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The document is not one that can be sealed.
    #[error("this PDF cannot be sealed: {0}")]
    Document(String),
    #[error("certificate: {0}")]
    Certificate(String),
    /// The certificate must not be used for this, now.
    #[error("this certificate does not seal: {0}")]
    Unusable(String),
    #[error("{}: {why}", path.display())]
    KeyFile { path: PathBuf, why: String },
    #[error("the key's address: {0}")]
    Uri(String),
    /// Slot, PIN, object or device.
    #[error("token: {0}")]
    Token(String),
    #[error("the signature could not be made: {0}")]
    Signature(String),
}

impl SealError {
    pub(crate) fn der(what: &str) -> impl Fn(der::Error) -> Self + '_ {
        move |error| Self::Signature(format!("{what}: {error}"))
    }
}
