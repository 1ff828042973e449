//! What outlasts the process: the weights that were set and the backends that drain.
//!
//! They hold only as long as the configuration says what it said when they were set: a default split that was changed
//! in the file since then is a newer word.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::weight::Weight;

/// A state file of more than this is none of ours.
const BYTES_MAX: u64 = 1024 * 1024;

/// The state of the routes, by names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// The default split as the configuration had it.
    pub configured: BTreeMap<String, Weight>,
    /// The default split as it was set.
    pub weights: BTreeMap<String, Weight>,
    /// Draining backends: name and the version it had.
    pub draining: BTreeMap<String, String>,
}

/// Where it lies, if anywhere.
#[derive(Clone, Debug)]
pub struct Keeper {
    path: Option<PathBuf>,
}

impl Keeper {
    /// With `None` nothing is kept.
    pub fn new(path: Option<PathBuf>) -> Self {
        Self { path }
    }

    /// What was kept last, if there is such a file.
    ///
    /// # Errors
    /// It is there and cannot be used; the sentence names it.
    pub fn read(&self) -> Result<Option<Kept>, String> {
        let Some(path) = &self.path else { return Ok(None) };
        let wrong = |why: String| {
            format!(
                "the state file {} cannot be used: {why}; the configuration's weights are taken",
                path.display()
            )
        };
        match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(wrong(error.to_string())),
            Ok(found) if !found.is_file() || found.len() > BYTES_MAX => {
                return Err(wrong("it is no state file".to_owned()));
            }
            Ok(_) => {}
        }
        let bytes = fs::read(path).map_err(|error| wrong(error.to_string()))?;
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| wrong(error.to_string()))
    }

    /// Replaces the file as a whole, on disk before this returns.
    ///
    /// # Errors
    /// It could not be written; what was kept before is still there.
    pub fn write(&self, kept: &Kept) -> Result<(), String> {
        let Some(path) = &self.path else { return Ok(()) };
        replace(path, kept).map_err(|error| {
            format!(
                "the state file {} cannot be written: {error}; a restart will not know of this",
                path.display()
            )
        })
    }
}

fn replace(path: &Path, kept: &Kept) -> io::Result<()> {
    let mut name = path
        .file_name()
        .ok_or_else(|| io::Error::other("it needs a name"))?
        .to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    let mut file = File::create(&new)?;
    file.write_all(serde_json::to_string_pretty(kept)?.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    // The name, too.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_a_torn_file_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.json");
        let keeper = Keeper::new(Some(path.clone()));
        assert_eq!(keeper.read(), Ok(None));
        let weight = |text: &str| text.parse::<Weight>().unwrap();
        let kept = Kept {
            configured: BTreeMap::from([("a".to_owned(), Weight::WHOLE)]),
            weights: BTreeMap::from([("a".to_owned(), weight("99.9")), ("b".to_owned(), weight("0.1"))]),
            draining: BTreeMap::from([("b".to_owned(), "v2".to_owned())]),
        };
        keeper.write(&kept).unwrap();
        assert_eq!(keeper.read(), Ok(Some(kept.clone())));
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        let error = keeper.read().unwrap_err();
        assert!(
            error.contains("state.json") && error.contains("cannot be used"),
            "{error}"
        );
        keeper.write(&kept).unwrap();
        assert_eq!(keeper.read(), Ok(Some(kept)));
    }

    #[test]
    fn a_file_that_cannot_be_written_is_named_and_nothing_is_lost() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("gone/state.json");
        let error = Keeper::new(Some(path)).write(&Kept::default()).unwrap_err();
        assert!(
            error.contains("gone/state.json") && error.contains("restart"),
            "{error}"
        );
        let nowhere = Keeper::new(None);
        assert_eq!(
            (nowhere.write(&Kept::default()), nowhere.read()),
            (Ok(()), Ok(None))
        );
    }
}
