//! What can go wrong, with the data to say where and what to do next.

use std::fmt;
use std::path::{Path, PathBuf};

/// One thing that is wrong with a record on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The file (relative to the record's folder, with `/`) or `record` for the folder itself.
    pub part: String,
    /// What is wrong with it.
    pub what: String,
}

impl Fault {
    pub(crate) fn new(part: impl Into<String>, what: impl Into<String>) -> Self {
        Self {
            part: part.into(),
            what: what.into(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.part, self.what)
    }
}

/// Errors of writing or opening a record.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error("{}: {action}: {source}", path.display())]
    Io {
        path: PathBuf,
        action: &'static str,
        source: std::io::Error,
    },
    #[error("{}: already holds a record; open it to go on, or choose another folder", path.display())]
    Exists { path: PathBuf },
    #[error("{}: is not an empty folder ({found} is in it); choose another folder for the record", path.display())]
    NotEmpty { path: PathBuf, found: String },
    #[error("{}: holds no record (there is no checkpoint); start a launch there first", path.display())]
    Missing { path: PathBuf },
    #[error("{}: another process is writing this record; wait for it or stop it", path.display())]
    Locked { path: PathBuf },
    #[error("the origin {origin:?} cannot name a record: {why}")]
    Origin { origin: String, why: &'static str },
    #[error("{}: the record was signed with key {recorded}, this is key {given}; use the key that started the launch", path.display())]
    OtherKey {
        path: PathBuf,
        recorded: String,
        given: String,
    },
    #[error("{}: the record is damaged: {}", path.display(), list(faults))]
    Damaged { path: PathBuf, faults: Vec<Fault> },
    #[error(
        "entry {position} of this batch has {bytes} bytes, more than the {max} that one entry may have; thin its series or notes"
    )]
    EntryTooLong {
        position: usize,
        bytes: usize,
        max: usize,
    },
    #[error("the record is full: {what} would exceed {max}")]
    Full { what: &'static str, max: u64 },
    #[error("there is no entry {index}; the record has {size}")]
    NoSuchEntry { index: u64, size: u64 },
    #[error("an earlier append failed half way ({cause}); open the record again before writing to it")]
    Interrupted { cause: String },
}

impl RecordError {
    pub(crate) fn io(path: &Path, action: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, action, source }
    }
}

/// Errors of key files and encoded keys.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("{}: {action}: {source}", path.display())]
    Io {
        path: PathBuf,
        action: &'static str,
        source: std::io::Error,
    },
    #[error("{}: others can read this private key (mode {mode:03o}); run: chmod 600 {}", path.display(), path.display())]
    Readable { path: PathBuf, mode: u32 },
    #[error("{}: is not an ed25519 private key in PKCS#8 PEM form", path.display())]
    NotAKey { path: PathBuf },
    #[error("not an ed25519 public key in base64 (32 bytes)")]
    NotAPublicKey,
}

fn list(faults: &[Fault]) -> String {
    let mut text: Vec<String> = faults.iter().take(5).map(ToString::to_string).collect();
    if faults.len() > 5 {
        text.push(format!("and {} more", faults.len() - 5));
    }
    text.join("; ")
}
