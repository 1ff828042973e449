//! Events on their way to whoever keeps the triggers: one file each, whole or not at all.
//!
//! A folder, and not a request to the running process, because a script that has just rolled back must not lose what it
//! has to say: it is written to disk and synced before the command ends, whether `tminus after serve` runs or not, and
//! stays there until the triggers hold it. A file's name is the digest of what it says, and the triggers take an event
//! once; so a crash at any moment, or saying it again, changes nothing.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tminus_after::triggers::Event;

use crate::error::{CliError, Result};
use crate::layout::write_whole;

/// Files that wait; a command is refused beyond that.
const WAITING_MAX: usize = 10_000;
/// Files that are taken in one turn.
const TURN_MAX: usize = 500;
const FILE_BYTES_MAX: u64 = 64 * 1024;
/// Events of one file: a page has fewer boxes.
const EVENTS_MAX: usize = 64;

/// The folder, with one for what could not be read.
#[derive(Debug, Clone)]
pub struct Inbox {
    folder: PathBuf,
}

/// What one file says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Letter {
    events: Vec<Event>,
}

/// A file that was read and is to be put away once its events are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrived {
    pub file: PathBuf,
    pub events: std::result::Result<Vec<Event>, String>,
}

impl Inbox {
    pub fn new(state: &Path) -> Self {
        Self {
            folder: state.join("inbox"),
        }
    }

    /// Hands events over; they are on disk when this returns. Answers the file's name.
    ///
    /// # Errors
    /// The folder cannot be written, or too much waits in it.
    pub fn put(&self, events: &[Event]) -> Result<String> {
        private_folder(&self.folder)?;
        let waiting = fs::read_dir(&self.folder).map_err(|e| CliError::file("read", &self.folder, &e))?;
        if waiting.count() >= WAITING_MAX {
            return Err(CliError::usage(format!(
                "{WAITING_MAX} events wait in {} already",
                self.folder.display()
            ))
            .hint("start `tminus after serve` with the same configuration: it takes them"));
        }
        let letter = Letter {
            events: events.to_vec(),
        };
        let bytes = serde_json::to_vec(&letter)
            .map_err(|e| CliError::usage(format!("the events cannot be written: {e}")))?;
        let name = format!("{}.json", hex::encode(&Sha256::digest(&bytes)[..16]));
        write_whole(&self.folder.join(&name), &bytes)?;
        Ok(name)
    }

    /// What waits, by name; not more than one turn's. None of it is put away by this.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn look(&self) -> std::io::Result<Vec<Arrived>> {
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let mut files = Vec::new();
        for entry in entries {
            let path = entry?.path();
            // What ends otherwise is half written, or put aside.
            if path.extension().is_some_and(|ending| ending == "json") {
                files.push(path);
            }
            if files.len() == TURN_MAX {
                break;
            }
        }
        files.sort();
        Ok(files
            .into_iter()
            .map(|file| Arrived {
                events: read(&file),
                file,
            })
            .collect())
    }

    /// Its events are kept.
    ///
    /// # Errors
    /// It cannot be removed; it is taken again then, which changes nothing.
    pub fn done(&self, arrived: &Arrived) -> std::io::Result<()> {
        fs::remove_file(&arrived.file)
    }

    /// It says nothing that can be kept: put aside under another ending, for a person to look at.
    ///
    /// # Errors
    /// It cannot be renamed.
    pub fn refuse(&self, arrived: &Arrived) -> std::io::Result<PathBuf> {
        let aside = arrived.file.with_extension("refused");
        fs::rename(&arrived.file, &aside)?;
        Ok(aside)
    }
}

fn read(file: &Path) -> std::result::Result<Vec<Event>, String> {
    use std::io::Read as _;
    // A name that leads elsewhere is none of ours.
    let meta = fs::symlink_metadata(file).map_err(|e| e.to_string())?;
    if !meta.is_file() || meta.len() > FILE_BYTES_MAX {
        return Err(format!("no file of at most {FILE_BYTES_MAX} bytes"));
    }
    let mut bytes = Vec::new();
    let opened = fs::File::open(file).map_err(|e| e.to_string())?;
    opened
        .take(FILE_BYTES_MAX)
        .read_to_end(&mut bytes)
        .map_err(|e| e.to_string())?;
    let letter: Letter = serde_json::from_slice(&bytes).map_err(|e| e.to_string())?;
    if letter.events.len() > EVENTS_MAX {
        return Err(format!("more than {EVENTS_MAX} events"));
    }
    Ok(letter.events)
}

/// A folder for its owner alone, durable in the one above it.
pub(super) fn private_folder(folder: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    if folder.is_dir() {
        return Ok(());
    }
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|e| CliError::file("create the folder", folder, &e))?;
    let above = folder.parent().filter(|above| !above.as_os_str().is_empty());
    above.map_or(Ok(()), |above| {
        fs::File::open(above)
            .and_then(|above| above.sync_all())
            .map_err(|e| CliError::file("sync", above, &e))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticked(zone: &str) -> Event {
        Event::Ticked {
            launch: "l".into(),
            zone: zone.into(),
        }
    }

    #[test]
    fn what_is_said_twice_is_one_file_and_stays_until_it_is_put_away() {
        let state = tempfile::tempdir().unwrap();
        let inbox = Inbox::new(state.path());
        assert_eq!(inbox.look().unwrap(), []);
        let name = inbox.put(&[ticked("a")]).unwrap();
        assert_eq!(inbox.put(&[ticked("a")]).unwrap(), name);
        inbox.put(&[ticked("b")]).unwrap();
        let arrived = inbox.look().unwrap();
        assert_eq!(arrived.len(), 2);
        assert_eq!(inbox.look().unwrap(), arrived);
        inbox.done(&arrived[0]).unwrap();
        assert_eq!(inbox.look().unwrap(), arrived[1..]);
    }

    #[test]
    fn what_cannot_be_read_is_put_aside_and_half_a_file_is_not_looked_at() {
        let state = tempfile::tempdir().unwrap();
        let inbox = Inbox::new(state.path());
        inbox.put(&[ticked("a")]).unwrap();
        let folder = state.path().join("inbox");
        fs::write(folder.join("x.json.new"), "{\"eve").unwrap();
        fs::write(folder.join("bad.json"), "{\"events\": [1]}").unwrap();
        std::os::unix::fs::symlink("/dev/zero", folder.join("link.json")).unwrap();
        let arrived = inbox.look().unwrap();
        let bad: Vec<_> = arrived.iter().filter(|it| it.events.is_err()).collect();
        assert_eq!((arrived.len(), bad.len()), (3, 2));
        for it in bad {
            inbox.refuse(it).unwrap();
        }
        assert_eq!(inbox.look().unwrap().len(), 1);
        assert!(folder.join("bad.refused").exists());
    }
}
