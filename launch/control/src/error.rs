//! The one error of the command line: what went wrong, and what to do about it.
//!
//! A failed check is not an error: it is an answer ([`Exit::CheckFailed`]). Everything in here means
//! that an answer could not be had, and ends the process with code 2.

use std::fmt;

use serde::Serialize;

/// How a command ended when it could do what was asked of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Every check that ran has passed.
    Ok,
    /// At least one check has failed.
    CheckFailed,
    /// Something could not be run; what there is to know has been printed already.
    CouldNotRun,
}

impl Exit {
    /// The process exit code: 0 ok, 1 a check failed, 2 could not run.
    pub const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::CheckFailed => 1,
            Self::CouldNotRun => 2,
        }
    }
}

/// What sort of trouble it was; a machine reads it in `--json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The command line or the state of the output folder does not allow what was asked.
    Usage,
    /// A plan that cannot be read or does not mean anything.
    Plan,
    /// The machine: files, disk, ports, missing programs.
    Environment,
    /// A child process (backend, gateway) did not start or ended by itself.
    Process,
    /// Two API contracts cannot be compared.
    Contract,
    /// The launch record is damaged or cannot be written.
    Record,
    /// The checklist could not be rendered or read.
    Checklist,
    /// Stopped from outside (a signal).
    Stopped,
}

/// An error as the person at the terminal sees it.
#[derive(Debug, Clone, Serialize)]
pub struct CliError {
    pub kind: Kind,
    pub message: String,
    /// What to do next, most useful first.
    pub hints: Vec<String>,
}

pub type Result<T> = std::result::Result<T, CliError>;

impl CliError {
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hints: Vec::new(),
        }
    }

    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// A file operation that failed, with the reason in words and a hint where there is one.
    pub fn file(doing: &str, path: &std::path::Path, error: &std::io::Error) -> Self {
        let it = Self::new(
            Kind::Environment,
            format!("cannot {doing} {}: {}", path.display(), io_words(error)),
        );
        match io_hint(error) {
            Some(hint) => it.hint(hint),
            None => it,
        }
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        for hint in &self.hints {
            write!(f, "\n  hint: {}", hint.replace('\n', "\n        "))?;
        }
        Ok(())
    }
}

impl std::error::Error for CliError {}

/// An I/O error without the number that means nothing to a reader.
pub fn io_words(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

fn io_hint(error: &std::io::Error) -> Option<&'static str> {
    use std::io::ErrorKind as E;
    match error.kind() {
        E::StorageFull | E::QuotaExceeded => {
            Some("free some space, then go on with --resume: what is on record is kept")
        }
        E::PermissionDenied | E::ReadOnlyFilesystem => {
            Some("give --out a folder that you may write to, e.g. --out \"$HOME/launch\"")
        }
        E::NotADirectory => Some("a part of that path is a file: give another --out"),
        E::AddrInUse => {
            Some("another program listens there: choose another address, or port 0 for a free one")
        }
        _ => None,
    }
}

/// Finds an I/O error anywhere in the chain of causes, so that a full disk is said plainly
/// whichever part met it.
pub fn io_cause<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a std::io::Error> {
    let mut next = Some(error);
    while let Some(it) = next {
        if let Some(io) = it.downcast_ref::<std::io::Error>() {
            return Some(io);
        }
        next = it.source();
    }
    None
}

/// An error of another part, told with its causes and the hint that its I/O cause gives.
pub fn from_part(kind: Kind, doing: &str, error: &(dyn std::error::Error + 'static)) -> CliError {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    let it = CliError::new(kind, format!("{doing}: {text}"));
    match io_cause(error).and_then(io_hint) {
        Some(hint) => it.hint(hint),
        None => it,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_said_plainly_with_what_to_do() {
        let error = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let said = CliError::file("write", std::path::Path::new("/out/checklist.pdf"), &error).to_string();
        assert!(
            said.starts_with("error: cannot write /out/checklist.pdf: no storage space"),
            "{said}"
        );
        assert!(said.contains("hint: free some space"), "{said}");
    }

    #[test]
    fn the_number_of_the_system_error_is_left_out() {
        let error = std::io::Error::from_raw_os_error(13);
        assert_eq!(io_words(&error), "Permission denied");
    }
}
