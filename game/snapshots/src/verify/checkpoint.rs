//! A file that says how far a comparison is, so that one that was interrupted goes on.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::VerifyOptions;
use crate::{
    SnapshotError, Store,
    compare::{Candidate, Difference},
};

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Checkpoint {
    /// The first key that was not compared.
    #[serde(with = "hex")]
    pub next_key: Vec<u8>,
    pub rows: u64,
    pub differences: Vec<Difference>,
    /// To be read again.
    pub candidates: Vec<Candidate>,
    pub in_motion: u64,
    pub read_again: u64,
}

/// The file: whose comparison, and how far.
#[derive(Debug, Serialize, Deserialize)]
struct Noted {
    primary: String,
    secondary: String,
    reached: Checkpoint,
}

/// The file of one run, or none.
pub(super) struct Checkpoints {
    path: Option<PathBuf>,
    noted: Noted,
    rows_noted: u64,
    every_rows: u64,
}

impl Checkpoints {
    pub(super) fn open(
        options: &VerifyOptions,
        primary: &Store,
        secondary: &Store,
    ) -> Result<Checkpoints, SnapshotError> {
        let mut noted = Noted {
            primary: primary.to_string(),
            secondary: secondary.to_string(),
            reached: Checkpoint::default(),
        };
        if let Some(path) = &options.resume {
            let failed = |what: String| failed(path, what);
            match fs::read(path) {
                Ok(bytes) => {
                    let found: Noted = serde_json::from_slice(&bytes).map_err(|error| {
                        failed(format!(
                            "it is no note of a comparison ({error}); name another file"
                        ))
                    })?;
                    if (&found.primary, &found.secondary) != (&noted.primary, &noted.secondary) {
                        return Err(failed(format!(
                            "it is of a comparison of {} with {}; name another file",
                            found.primary, found.secondary
                        )));
                    }
                    noted = found;
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed(error.to_string())),
            }
        }
        Ok(Checkpoints {
            path: options.resume.clone(),
            rows_noted: noted.reached.rows,
            every_rows: options.resume_rows,
            noted,
        })
    }

    /// Where to begin.
    pub(super) fn take(&mut self) -> Checkpoint {
        std::mem::take(&mut self.noted.reached)
    }

    pub(super) fn note(
        &mut self,
        rows: u64,
        reached: impl FnOnce() -> Checkpoint,
    ) -> Result<(), SnapshotError> {
        let Some(path) = &self.path else {
            return Ok(());
        };
        if rows < self.rows_noted + self.every_rows {
            return Ok(());
        }
        self.rows_noted = rows;
        self.noted.reached = reached();
        let write = || {
            let own = path.with_extension(format!("{}.new", std::process::id()));
            let mut file = fs::File::create(&own)?;
            file.write_all(&serde_json::to_vec(&self.noted)?)?;
            file.sync_all()?;
            fs::rename(&own, path)
        };
        write().map_err(|error| failed(path, error.to_string()))
    }

    pub(super) fn remove(self) -> Result<(), SnapshotError> {
        match self.path.as_deref().map(|path| (path, fs::remove_file(path))) {
            Some((path, Err(error))) if error.kind() != io::ErrorKind::NotFound => {
                Err(failed(path, error.to_string()))
            }
            _ => Ok(()),
        }
    }
}

fn failed(path: &Path, what: String) -> SnapshotError {
    SnapshotError::Checkpoint {
        path: path.to_owned(),
        what,
    }
}
