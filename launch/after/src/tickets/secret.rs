//! Credentials: from a file or the environment, never into a message.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::files::{FileTrouble, read_limited};

/// A token or key. Its `Debug` form says nothing.
#[derive(Clone)]
pub struct Secret(String);

#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error(transparent)]
    File(#[from] FileTrouble),
    #[error("there is no {path}; put the token into it, with mode 0600")]
    NoFile { path: PathBuf },
    #[error("{path} can be read by others (mode {mode:o}): chmod 600 {path}")]
    Open { path: PathBuf, mode: u32 },
    #[error("{place} holds no single line of visible ASCII characters, as a token is")]
    Form { place: String },
}

impl Secret {
    /// A value at hand, as in the environment. `place` is named in the error.
    ///
    /// # Errors
    /// It is empty or has characters that a header cannot carry.
    pub fn new(value: &str, place: &str) -> Result<Self, SecretError> {
        let value = value.trim();
        if value.is_empty() || value.len() > 4096 || !value.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(SecretError::Form {
                place: place.to_owned(),
            });
        }
        Ok(Self(value.to_owned()))
    }

    /// From a file with mode 0600 or less.
    ///
    /// # Errors
    /// No file, one that others can read, or no token in it.
    pub fn from_file(path: &Path) -> Result<Self, SecretError> {
        use std::os::unix::fs::PermissionsExt as _;
        let no_file = || SecretError::NoFile {
            path: path.to_owned(),
        };
        let bytes = read_limited(path, 8192)?.ok_or_else(no_file)?;
        let mode = std::fs::metadata(path)
            .map_err(crate::files::io("look at", path))?
            .permissions()
            .mode()
            & 0o777;
        if mode & 0o077 != 0 {
            return Err(SecretError::Open {
                path: path.to_owned(),
                mode,
            });
        }
        Self::new(&String::from_utf8_lossy(&bytes), &path.display().to_string())
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// A text of others, without this secret in it.
    pub(crate) fn scrub(&self, text: &str) -> String {
        text.replace(&self.0, "[credential]")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
