//! What players were told, held against the backend's journal.
//!
//! Every load run writes its own file of acknowledged commands; here they are put together and the
//! backend's own check is asked whether each of them is there. Used in a rehearsal, where the
//! backend's store is at hand.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::process::Command;

use super::CouldNotRun;
use crate::layout::cut_torn_line;

const CHECK_MAX: Duration = Duration::from_secs(60);

/// The files of acknowledged commands: one for each run, and all of them together.
#[derive(Debug, Clone)]
pub struct Acknowledged {
    pub folder: PathBuf,
    pub merged: PathBuf,
}

impl Acknowledged {
    /// The file of one run of one gate.
    pub fn part(&self, item: &str, gate: &str, attempt: u32) -> PathBuf {
        self.folder.join(format!("{item}-{gate}-{attempt}.jsonl"))
    }

    /// Writes all runs' lines into one file. What a killed run left half-written is cut off: it was
    /// acknowledged to nobody who still knows.
    ///
    /// # Errors
    /// A file cannot be read or written.
    pub fn merge(&self) -> Result<(), CouldNotRun> {
        let told = |e: std::io::Error| {
            CouldNotRun::new(format!(
                "the files of acknowledged commands cannot be put together: {}",
                crate::error::io_words(&e)
            ))
        };
        let mut parts: Vec<PathBuf> = match std::fs::read_dir(&self.folder) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            entries => entries
                .map_err(told)?
                .filter_map(|entry| entry.ok().map(|e| e.path()))
                .filter(|path| path.extension().is_some_and(|e| e == "jsonl"))
                .collect(),
        };
        parts.sort();
        let mut next = self.merged.as_os_str().to_owned();
        next.push(".new");
        let next = PathBuf::from(next);
        let mut all = std::fs::File::create(&next).map_err(told)?;
        for part in parts {
            cut_torn_line(&part).map_err(|e| CouldNotRun::new(e.message))?;
            let mut lines = std::fs::File::open(&part).map_err(told)?;
            std::io::copy(&mut lines, &mut all).map_err(told)?;
        }
        std::fs::rename(&next, &self.merged).map_err(told)
    }
}

/// The backend's own check of its journal.
#[derive(Debug, Clone)]
pub struct Journal {
    pub program: PathBuf,
    pub store: PathBuf,
}

/// What the check found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct JournalReport {
    pub games: u64,
    pub events: u64,
    pub acknowledged: u64,
    /// Acknowledged commands that are not where the players were told.
    pub lost: u64,
    pub twice: u64,
    /// Games that cannot be played on: holes, or events that do not give the stored state.
    pub broken: u64,
}

impl Journal {
    /// Runs the check.
    ///
    /// # Errors
    /// It could not be run, or its answer cannot be read.
    pub async fn check(&self, acknowledged: &Acknowledged) -> Result<JournalReport, CouldNotRun> {
        acknowledged.merge()?;
        let mut command = Command::new(&self.program);
        command
            .args(["journal", "check", "--json", "--store"])
            .arg(format!("sqlite:{}", self.store.display()))
            .arg("--acknowledged")
            .arg(&acknowledged.merged)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = tokio::time::timeout(CHECK_MAX, command.output())
            .await
            .map_err(|_| {
                CouldNotRun::new(format!(
                    "the journal check took longer than {} s",
                    CHECK_MAX.as_secs()
                ))
            })?
            .map_err(|e| {
                CouldNotRun::new(format!(
                    "the journal check cannot be started: {}",
                    crate::error::io_words(&e)
                ))
            })?;
        // 1 means that it found something: its numbers say what.
        if !matches!(output.status.code(), Some(0 | 1)) {
            let words = String::from_utf8_lossy(&output.stderr);
            return Err(CouldNotRun::new(format!(
                "the journal check could not run: {}",
                words.trim()
            )));
        }
        serde_json::from_slice(&output.stdout).map_err(|e| {
            CouldNotRun::new(format!(
                "the journal check's answer cannot be read: {e}: {}",
                super::shorten(&String::from_utf8_lossy(&output.stdout), 300)
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_all_runs_are_put_together_without_half_ones() {
        let folder = tempfile::tempdir().unwrap();
        let acknowledged = Acknowledged {
            folder: folder.path().join("acknowledged"),
            merged: folder.path().join("all.jsonl"),
        };
        std::fs::create_dir(&acknowledged.folder).unwrap();
        std::fs::write(acknowledged.part("canary", "steps", 1), "{\"a\":1}\n{\"a\":2").unwrap();
        std::fs::write(acknowledged.part("canary", "steps", 2), "{\"b\":1}\n").unwrap();
        acknowledged.merge().unwrap();
        assert_eq!(
            std::fs::read_to_string(&acknowledged.merged).unwrap(),
            "{\"a\":1}\n{\"b\":1}\n"
        );
        acknowledged.merge().unwrap();
        assert_eq!(
            std::fs::read_to_string(&acknowledged.merged)
                .unwrap()
                .lines()
                .count(),
            2
        );
    }
}
