//! Reading a ZIP that nobody vouches for yet.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Cursor, Read as _};

use zip::ZipArchive;

use crate::manifest::is_name;

const FILES_MAX: usize = 100_000;
/// All files together, unpacked.
const BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;

/// Why a ZIP is not unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    #[error("not a readable ZIP: {0}")]
    Zip(#[from] zip::result::ZipError),
    #[error("not a readable ZIP: {0}")]
    Read(#[from] std::io::Error),
    #[error("it has {0} files, more than {FILES_MAX}")]
    Files(usize),
    #[error("it unpacks to more than {BYTES_MAX} bytes")]
    Bytes,
    #[error("`{0}` is no name for a file of a package; nothing was unpacked")]
    Name(String),
    #[error("`{0}` is in it twice")]
    Twice(String),
}

/// All files of a package's ZIP, in memory.
///
/// # Errors
/// It is no ZIP, too large, or has names that lead elsewhere.
pub fn unpack(bytes: &[u8]) -> Result<BTreeMap<String, Vec<u8>>, UnpackError> {
    let mut zip = ZipArchive::new(Cursor::new(bytes))?;
    if zip.len() > FILES_MAX {
        return Err(UnpackError::Files(zip.len()));
    }
    let directory = usize::try_from(zip.central_directory_start());
    if let Some(name) = twice(directory.ok().and_then(|at| bytes.get(at..)).unwrap_or_default()) {
        return Err(UnpackError::Twice(name));
    }
    let mut files = BTreeMap::new();
    let mut left = BYTES_MAX;
    for i in 0..zip.len() {
        let file = zip.by_index(i)?;
        let name = file.name()?.into_owned();
        // Links and folders are none of a package's files.
        if !is_name(&name) || !file.is_file() {
            return Err(UnpackError::Name(name));
        }
        let mut content = Vec::new();
        // What the header says of the size is its own word.
        file.take(left.saturating_add(1)).read_to_end(&mut content)?;
        left = left.checked_sub(content.len() as u64).ok_or(UnpackError::Bytes)?;
        files.insert(name, content);
    }
    Ok(files)
}

/// A name that a central directory has twice. The reader keeps the last one of a name and says nothing; other programs
/// unpack the first, so one ZIP could hold two packages.
fn twice(mut directory: &[u8]) -> Option<String> {
    let mut names = BTreeSet::new();
    // APPNOTE.TXT 4.3.12: 46 bytes, then name, extra field and comment.
    while let Some((head, rest)) = directory.split_first_chunk::<46>() {
        if !head.starts_with(b"PK\x01\x02") {
            break;
        }
        let length = |at: usize| usize::from(u16::from_le_bytes([head[at], head[at + 1]]));
        let name = rest.get(..length(28))?;
        if !names.insert(name) {
            return Some(String::from_utf8_lossy(name).into_owned());
        }
        directory = rest.get(length(28) + length(30) + length(32)..)?;
    }
    None
}
