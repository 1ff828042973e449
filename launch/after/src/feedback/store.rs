//! The answers: one line of JSON each, on disk before anyone is thanked.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::files::{FileTrouble, io, lock, read_limited, sync_folder};

/// The file's size, unless said otherwise.
pub const STORE_BYTES_MAX: u64 = 32 << 20;

/// One person's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    pub launch: String,
    /// A digest of the browser's token: who can read the file cannot answer in another's place.
    pub browser: String,
    pub at_ms: u64,
    /// Section -> 1 to 5.
    pub scores: BTreeMap<String, u8>,
    pub text: String,
}

/// One section of one launch.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figures {
    pub section: String,
    pub count: u64,
    /// 1 to 5; `None` without an answer.
    pub mean: Option<f64>,
    /// How many gave 1, 2, 3, 4 and 5.
    pub distribution: [u64; 5],
    pub last: Option<u8>,
    pub last_at_ms: Option<u64>,
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error(transparent)]
    File(#[from] FileTrouble),
    #[error("{path} has reached its limit of {limit} bytes; move it away to begin anew")]
    Full { path: PathBuf, limit: u64 },
    #[error(
        "an earlier write to {path} failed and could not be taken back; start again once the disk is well"
    )]
    Broken { path: PathBuf },
}

/// The file, and the newest answer of each browser.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    file: File,
    bytes: u64,
    limit: u64,
    broken: bool,
    answers: BTreeMap<String, BTreeMap<String, Answer>>,
    _lock: File,
}

impl Store {
    /// Opens or creates the file. A last line without its end was never acknowledged and is cut off.
    ///
    /// # Errors
    /// It cannot be read, is in use, is larger than the limit, or a line in it is no answer.
    pub fn open(path: &Path, limit: u64) -> Result<Self, StoreError> {
        let held_lock = lock(path)?;
        let held = read_limited(path, limit)?;
        let new = held.is_none();
        let held = held.unwrap_or_default();
        let whole = held
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        let mut file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
            .map_err(io("open", path))?;
        if whole < held.len() {
            file.set_len(whole as u64).map_err(io("shorten", path))?;
            file.sync_all().map_err(io("shorten", path))?;
        }
        if new {
            sync_folder(path)?;
        }
        file.seek(std::io::SeekFrom::End(0)).map_err(io("read", path))?;
        let mut store = Self {
            path: path.to_owned(),
            file,
            bytes: whole as u64,
            limit,
            broken: false,
            answers: BTreeMap::new(),
            _lock: held_lock,
        };
        for (at, line) in held[..whole].split(|byte| *byte == b'\n').enumerate() {
            if line.is_empty() {
                continue;
            }
            let answer: Answer = serde_json::from_slice(line).map_err(|error| FileTrouble::Damaged {
                path: path.to_owned(),
                why: format!("line {}: {error}", at + 1),
            })?;
            store.take(answer);
        }
        Ok(store)
    }

    /// Adds an answer. It is on disk when this returns; it replaces the same browser's older one.
    ///
    /// # Errors
    /// The limit is reached, or the disk refuses; then the answer is not there.
    pub fn append(&mut self, answer: Answer) -> Result<(), StoreError> {
        if self.broken {
            return Err(StoreError::Broken {
                path: self.path.clone(),
            });
        }
        let damaged = |error: serde_json::Error| FileTrouble::Damaged {
            path: self.path.clone(),
            why: error.to_string(),
        };
        let mut line = serde_json::to_vec(&answer).map_err(damaged)?;
        line.push(b'\n');
        let bytes = self.bytes + line.len() as u64;
        if bytes > self.limit {
            return Err(StoreError::Full {
                path: self.path.clone(),
                limit: self.limit,
            });
        }
        if let Err(error) = self.file.write_all(&line).and_then(|()| self.file.sync_data()) {
            // What was half written must not be joined by the next line.
            let back = self
                .file
                .set_len(self.bytes)
                .and_then(|()| self.file.seek(std::io::SeekFrom::End(0)));
            self.broken = back.is_err();
            return Err(io("write", &self.path)(error).into());
        }
        self.bytes = bytes;
        self.take(answer);
        Ok(())
    }

    fn take(&mut self, answer: Answer) {
        let launch = self.answers.entry(answer.launch.clone()).or_default();
        launch.insert(answer.browser.clone(), answer);
    }

    /// A browser's answer, to show it again.
    pub fn answer(&self, launch: &str, browser: &str) -> Option<&Answer> {
        self.answers.get(launch)?.get(browser)
    }

    /// What was written besides scores, oldest first.
    pub fn texts(&self, launch: &str) -> Vec<&Answer> {
        let mut texts: Vec<&Answer> = self
            .answers
            .get(launch)
            .into_iter()
            .flat_map(|a| a.values())
            .filter(|a| !a.text.is_empty())
            .collect();
        texts.sort_by_key(|answer| answer.at_ms);
        texts
    }

    pub fn launches(&self) -> impl Iterator<Item = &str> {
        self.answers.keys().map(String::as_str)
    }

    /// Each section that was answered, by name. The newest answer of each browser counts.
    pub fn figures(&self, launch: &str) -> Vec<Figures> {
        let mut sections: BTreeMap<&str, Figures> = BTreeMap::new();
        for answer in self
            .answers
            .get(launch)
            .into_iter()
            .flat_map(|answers| answers.values())
        {
            for (section, score) in &answer.scores {
                let Some(index) = usize::from(*score).checked_sub(1).filter(|index| *index < 5) else {
                    continue;
                };
                let figures = sections.entry(section).or_insert_with(|| Figures {
                    section: section.clone(),
                    count: 0,
                    mean: None,
                    distribution: [0; 5],
                    last: None,
                    last_at_ms: None,
                });
                figures.count += 1;
                figures.distribution[index] += 1;
                if figures.last_at_ms <= Some(answer.at_ms) {
                    (figures.last, figures.last_at_ms) = (Some(*score), Some(answer.at_ms));
                }
            }
        }
        let mut figures: Vec<Figures> = sections.into_values().collect();
        for section in &mut figures {
            let sum: u64 = section
                .distribution
                .iter()
                .zip(1..)
                .map(|(count, score)| count * score)
                .sum();
            section.mean = Some(sum as f64 / section.count as f64);
        }
        figures
    }
}
