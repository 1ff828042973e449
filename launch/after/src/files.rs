//! Files that survive a crash: whole or not at all, by one process at a time.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

/// A file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FileTrouble {
    #[error("cannot {doing} {path}: {source}; check the folder, its owner and the free space")]
    Io {
        doing: &'static str,
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{path} is in use by another process; stop it, or give this one a file of its own")]
    InUse { path: PathBuf },
    #[error("{path} does not hold what it should: {why}; restore it, or move it away to begin anew")]
    Damaged { path: PathBuf, why: String },
    #[error("{path} is larger than {limit} bytes; move it away to begin anew")]
    TooLarge { path: PathBuf, limit: u64 },
}

pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> FileTrouble {
    let path = path.to_owned();
    move |source| FileTrouble::Io { doing, path, source }
}

/// The bytes of a file, `None` when there is none.
pub(crate) fn read_limited(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, FileTrouble> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io("open", path)(error)),
    };
    let mut bytes = Vec::new();
    file.take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(io("read", path))?;
    if bytes.len() as u64 > limit {
        return Err(FileTrouble::TooLarge {
            path: path.to_owned(),
            limit,
        });
    }
    Ok(Some(bytes))
}

/// Replaces a file: after a crash it holds the old bytes or the new ones.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), FileTrouble> {
    let beside = beside(path, "new");
    let mut file = File::create(&beside).map_err(io("write", &beside))?;
    file.write_all(bytes).map_err(io("write", &beside))?;
    file.sync_all().map_err(io("write", &beside))?;
    std::fs::rename(&beside, path).map_err(io("replace", path))?;
    sync_folder(path)
}

/// Makes a name that was just given to a file durable.
pub(crate) fn sync_folder(path: &Path) -> Result<(), FileTrouble> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(io("sync the folder of", path))
}

/// Held as long as the value lives: two processes never write one file.
pub(crate) fn lock(path: &Path) -> Result<File, FileTrouble> {
    let beside = beside(path, "lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&beside)
        .map_err(io("open", &beside))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(FileTrouble::InUse {
            path: path.to_owned(),
        }),
        Err(std::fs::TryLockError::Error(error)) => Err(io("lock", &beside)(error)),
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    PathBuf::from(name)
}

/// A JSON document kept in one file, read at the start and replaced at every change.
pub(crate) struct JsonFile {
    path: PathBuf,
    limit: u64,
    _lock: File,
}

impl JsonFile {
    /// Opens the file and reads what it holds, `None` when it is new.
    pub(crate) fn open<T: serde::de::DeserializeOwned>(
        path: &Path,
        limit: u64,
    ) -> Result<(Self, Option<T>), FileTrouble> {
        let file = Self {
            path: path.to_owned(),
            limit,
            _lock: lock(path)?,
        };
        let held = read_limited(path, limit)?
            .map(|bytes| serde_json::from_slice(&bytes))
            .transpose()
            .map_err(|error| file.damaged(&error))?;
        Ok((file, held))
    }

    pub(crate) fn write<T: serde::Serialize>(&self, value: &T) -> Result<(), FileTrouble> {
        let bytes = serde_json::to_vec(value).map_err(|error| self.damaged(&error))?;
        if bytes.len() as u64 > self.limit {
            return Err(FileTrouble::TooLarge {
                path: self.path.clone(),
                limit: self.limit,
            });
        }
        replace(&self.path, &bytes)
    }

    fn damaged(&self, error: &serde_json::Error) -> FileTrouble {
        FileTrouble::Damaged {
            path: self.path.clone(),
            why: error.to_string(),
        }
    }
}

/// What a [`JsonFile`] of somebody else holds now, without its lock: it is replaced whole, so it is read whole.
pub(crate) fn peek<T: serde::de::DeserializeOwned>(
    path: &Path,
    limit: u64,
) -> Result<Option<T>, FileTrouble> {
    read_limited(path, limit)?
        .map(|bytes| serde_json::from_slice(&bytes))
        .transpose()
        .map_err(|error| FileTrouble::Damaged {
            path: path.to_owned(),
            why: error.to_string(),
        })
}

impl std::fmt::Debug for JsonFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("JsonFile").field(&self.path).finish()
    }
}
