//! The folder of packages as one role sees it. Owns which names may be asked for, and how a file is opened: from the
//! role's folder downwards, part by part, following no symbolic link, so that nothing outside can be reached and nobody
//! who changes the folder meanwhile can make it so. Never writes.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

/// Bytes of a path below a role's folder.
pub const PATH_BYTES_MAX: usize = 1_024;
const PART_BYTES_MAX: usize = 255;
const PARTS_MAX: usize = 8;
/// Entries of one listing; what goes beyond is not shown.
pub const LISTING_MAX: usize = 10_000;
/// Digests that are remembered.
const DIGESTS_MAX: usize = 4_096;
/// A file that was changed so recently may change again without a new time of change.
const SETTLED_MS: i64 = 2_000;
const CHUNK_BYTES: usize = 64 * 1024;

/// Whether this can name a role: 1 to 64 of a-z, 0-9, `-` and `_`, beginning with a letter.
pub(crate) fn is_role(name: &str) -> bool {
    let rest = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
    name.len() <= 64 && name.starts_with(|first: char| first.is_ascii_lowercase()) && name.bytes().all(rest)
}

/// Why there is nothing to be had.
#[derive(Debug, thiserror::Error)]
pub enum ShelfError {
    #[error("no such file")]
    Missing,
    #[error("outside of what this role may read, or no plain file")]
    Refused,
    #[error("the file changed while it was read")]
    Changed,
    #[error("cannot read: {0}")]
    Io(#[from] std::io::Error),
}

impl From<Errno> for ShelfError {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::NOENT => Self::Missing,
            Errno::LOOP => Self::Refused,
            other => Self::Io(other.into()),
        }
    }
}

/// A path below a role's folder: no part of it leads upwards or hides something.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Name(Vec<String>);

impl Name {
    /// Reads a path as SFTP clients write it: from the role's folder, which is `/`; `..` leads back as far as that.
    ///
    /// # Errors
    /// It would lead out, or holds what no name of ours holds.
    pub fn parse(path: &str) -> Result<Self, ShelfError> {
        if path.len() > PATH_BYTES_MAX {
            return Err(ShelfError::Refused);
        }
        let mut parts: Vec<String> = Vec::new();
        for part in path.split('/') {
            match part {
                "" | "." => {}
                ".." => drop(parts.pop().ok_or(ShelfError::Refused)?),
                part if is_part(part) && parts.len() < PARTS_MAX => parts.push(part.to_owned()),
                _ => return Err(ShelfError::Refused),
            }
        }
        Ok(Self(parts))
    }

    /// Reads a path that must be written plainly already: nothing empty, no `.`, no `..`.
    ///
    /// # Errors
    /// As [`Self::parse`], or it is written otherwise.
    pub fn plain(path: &str) -> Result<Self, ShelfError> {
        let name = Self::parse(path)?;
        if name.0.is_empty() || name.to_string() != path {
            return Err(ShelfError::Refused);
        }
        Ok(name)
    }

    /// The last part.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.0.last().map_or("", String::as_str)
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.join("/"))
    }
}

/// A backslash leads downwards on some clients; control characters change what a person sees.
fn is_part(part: &str) -> bool {
    part.len() <= PART_BYTES_MAX && !part.chars().any(|c| c == '\\' || c.is_control())
}

/// What tells one state of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(file: &File) -> std::io::Result<Self> {
        let meta = file.metadata()?;
        Ok(Self {
            device: meta.dev(),
            inode: meta.ino(),
            bytes: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        })
    }
}

/// A file that is open, with what it was when it was opened.
#[derive(Debug, Clone)]
pub struct Opened {
    file: Arc<File>,
    stamp: Stamp,
}

impl Opened {
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.stamp.bytes
    }

    /// Seconds since 1970-01-01 UTC.
    #[must_use]
    pub fn modified_s(&self) -> u32 {
        u32::try_from(self.stamp.modified.0.max(0)).unwrap_or(u32::MAX)
    }

    /// At most `length` bytes from `offset`; fewer only at the end. Blocks.
    ///
    /// # Errors
    /// [`ShelfError::Changed`] when it is no longer what was opened.
    pub fn read_at(&self, offset: u64, length: usize) -> Result<Vec<u8>, ShelfError> {
        let left = self.stamp.bytes.saturating_sub(offset);
        let length = length.min(usize::try_from(left).unwrap_or(usize::MAX));
        let mut bytes = vec![0; length];
        match self.file.read_exact_at(&mut bytes, offset) {
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                return Err(ShelfError::Changed);
            }
            other => other?,
        }
        // Looked at after the bytes were read: what is handed on is what the digest was made of.
        if Stamp::of(&self.file)? == self.stamp {
            Ok(bytes)
        } else {
            Err(ShelfError::Changed)
        }
    }

    fn digest(&self) -> Result<[u8; 32], ShelfError> {
        let mut digest = Sha256::new();
        let mut offset = 0;
        while offset < self.stamp.bytes {
            let chunk = self.read_at(offset, CHUNK_BYTES)?;
            offset += chunk.len() as u64;
            digest.update(&chunk);
        }
        Ok(digest.finalize().into())
    }
}

/// One line of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub name: String,
    pub is_folder: bool,
    pub bytes: u64,
    /// Seconds since 1970-01-01 UTC.
    pub modified_s: u32,
}

impl Entry {
    fn of(name: &str, stat: &Stat) -> Option<Self> {
        let kind = FileType::from_raw_mode(stat.st_mode);
        // Links, pipes and devices are in nobody's package.
        (kind.is_file() || kind.is_dir()).then(|| Self {
            name: name.to_owned(),
            is_folder: kind.is_dir(),
            bytes: u64::try_from(stat.st_size).unwrap_or(0),
            modified_s: u32::try_from(stat.st_mtime.max(0)).unwrap_or(u32::MAX),
        })
    }
}

/// What is found under a name.
#[derive(Debug)]
pub enum Found {
    File(Opened),
    Folder(OwnedFd, Entry),
}

/// All roles' packages, and the digests of files that were seen.
#[derive(Debug)]
pub struct Shelf {
    packages: PathBuf,
    digests: Mutex<HashMap<Stamp, [u8; 32]>>,
}

impl Shelf {
    #[must_use]
    pub fn new(packages: PathBuf) -> Self {
        Self {
            packages,
            digests: Mutex::default(),
        }
    }

    /// Opens what lies under a role's name. Blocks.
    ///
    /// # Errors
    /// There is nothing, or something that is not served.
    pub fn find(&self, role: &str, name: &Name) -> Result<Found, ShelfError> {
        if !is_role(role) {
            return Err(ShelfError::Refused);
        }
        let packages = rustix::fs::open(&self.packages, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let mut at = step(&packages, role, true)?;
        for (index, part) in name.0.iter().enumerate() {
            at = step(&at, part, index + 1 < name.0.len())?;
        }
        let stat = rustix::fs::fstat(&at)?;
        match Entry::of(name.file_name(), &stat) {
            Some(entry) if entry.is_folder => Ok(Found::Folder(at, entry)),
            Some(_) => {
                let file = File::from(at);
                let stamp = Stamp::of(&file)?;
                Ok(Found::File(Opened {
                    file: Arc::new(file),
                    stamp,
                }))
            }
            None => Err(ShelfError::Refused),
        }
    }

    /// Opens a file.
    ///
    /// # Errors
    /// As [`Self::find`]; a folder is refused.
    pub fn open(&self, role: &str, name: &Name) -> Result<Opened, ShelfError> {
        match self.find(role, name)? {
            Found::File(file) => Ok(file),
            Found::Folder(..) => Err(ShelfError::Refused),
        }
    }

    /// A folder's files and folders by name, at most [`LISTING_MAX`]. Blocks.
    ///
    /// # Errors
    /// As [`Self::find`]; a file is refused.
    pub fn list(&self, role: &str, name: &Name) -> Result<Vec<Entry>, ShelfError> {
        let Found::Folder(folder, _) = self.find(role, name)? else {
            return Err(ShelfError::Refused);
        };
        let mut entries = Vec::new();
        for entry in Dir::read_from(&folder)? {
            let entry = entry?;
            // A name that could not be asked for is not shown.
            let Some(part) = entry.file_name().to_str().ok().filter(|part| is_part(part)) else {
                continue;
            };
            if matches!(part, "." | "..") {
                continue;
            }
            if let Ok(stat) = rustix::fs::statat(&folder, part, AtFlags::SYMLINK_NOFOLLOW) {
                entries.extend(Entry::of(part, &stat));
            }
            if entries.len() >= LISTING_MAX {
                break;
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// All files of a role, with their paths below its folder, at most [`LISTING_MAX`]. Blocks.
    ///
    /// # Errors
    /// As [`Self::list`]; a role without a folder has no files.
    pub fn all_files(&self, role: &str) -> Result<Vec<Entry>, ShelfError> {
        let mut files = Vec::new();
        let mut folders = vec![Name::default()];
        while let Some(folder) = folders.pop() {
            let entries = match self.list(role, &folder) {
                // Gone since it was listed, or never there.
                Err(ShelfError::Missing) => continue,
                entries => entries?,
            };
            for mut entry in entries {
                let mut below = folder.clone();
                below.0.push(entry.name);
                entry.name = below.to_string();
                if !entry.is_folder {
                    files.push(entry);
                } else if below.0.len() < PARTS_MAX {
                    folders.push(below);
                }
                if files.len() + folders.len() >= LISTING_MAX {
                    folders.clear();
                    break;
                }
            }
        }
        files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(files)
    }

    /// SHA-256 of a file as it is open. Reads it as a whole unless it was seen before. Blocks.
    ///
    /// # Errors
    /// It cannot be read, or changes meanwhile.
    pub fn sha256(&self, file: &Opened, now_ms: i64) -> Result<[u8; 32], ShelfError> {
        let known = |digests: &HashMap<_, _>| digests.get(&file.stamp).copied();
        if let Some(known) = known(&self.digests.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(known);
        }
        let digest = file.digest()?;
        let (seconds, nanoseconds) = file.stamp.changed;
        let changed_ms = seconds
            .saturating_mul(1_000)
            .saturating_add(nanoseconds / 1_000_000);
        if changed_ms.saturating_add(SETTLED_MS) < now_ms {
            let mut digests = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
            if digests.len() >= DIGESTS_MAX {
                digests.clear();
            }
            digests.insert(file.stamp, digest);
        }
        Ok(digest)
    }
}

/// One part further down, without following a link.
fn step(at: &impl AsFd, part: &str, folder: bool) -> Result<OwnedFd, ShelfError> {
    // Without NONBLOCK, opening a pipe would wait for somebody to write into it.
    let mut flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    flags.set(OFlags::DIRECTORY, folder);
    rustix::fs::openat(at, part, flags, Mode::empty()).map_err(|errno| match errno {
        // Asked for a folder, a link says that it is none.
        Errno::NOTDIR => match rustix::fs::statat(at, part, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode).is_symlink() => ShelfError::Refused,
            _ => ShelfError::Missing,
        },
        // A socket, or a device without a driver.
        Errno::NXIO | Errno::NODEV => ShelfError::Refused,
        other => other.into(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_path_stays_below_its_root() {
        let reads = |path: &str| Name::parse(path).ok().map(|name| name.to_string());
        assert_eq!(reads("/a/./b//c").as_deref(), Some("a/b/c"));
        assert_eq!(reads("/a/../b").as_deref(), Some("b"));
        assert_eq!(reads("").as_deref(), Some(""));
        assert_eq!(reads("报告 🚀.pdf").as_deref(), Some("报告 🚀.pdf"));
        for wrong in [
            "..",
            "/..",
            "a/../..",
            "../../etc/passwd",
            "a\\b",
            "a\0b",
            "a\nb",
            &"x".repeat(256),
            &"x/".repeat(9),
        ] {
            assert!(Name::parse(wrong).is_err(), "{wrong:?}");
        }
        for wrong in ["", "/a", "a/", "a//b", "./a", "a/../b"] {
            assert!(Name::plain(wrong).is_err(), "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_read_leads_downwards(path in "[a-c./\\\\\u{202e}]{0,40}") {
            if let Ok(name) = Name::parse(&path) {
                prop_assert!(name.0.iter().all(|part| !part.is_empty() && part != ".." && part != "." && !part.contains('\\')));
                let again = Name::parse(&name.to_string());
                prop_assert_eq!(again.ok(), Some(name));
            }
        }
    }
}
