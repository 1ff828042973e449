//! A disk that acknowledges a sync and forgets it: what a SQLite database or a Redis loses with its newest
//! commits.
//!
//! SQLite appends each transaction to a write-ahead log, `PATH-wal`, and syncs it; that is the commit. A
//! disk that lied about the sync shows after a crash the log as it was before. So a log that is cut off
//! after an earlier commit is what such a disk leaves behind, byte for byte. The formats are those of
//! <https://www.sqlite.org/fileformat2.html#walformat> and <https://www.sqlite.org/walformat.html>.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const LOG_HEADER_BYTES: usize = 32;
const FRAME_HEADER_BYTES: usize = 24;
/// Where the index says how many frames somebody has begun to carry into the database.
const INDEX_CARRIED_AT: usize = 128;

/// Takes the newest commits out of the log of a database that nobody has open; at most `commits`, and none that
/// are already in the database itself: the disk would have to lie twice. How many that was.
///
/// # Errors
/// When the log cannot be read or cut.
pub fn forget(database: &Path, commits: usize) -> io::Result<usize> {
    let log = beside(database, "-wal");
    let bytes = match fs::read(&log) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let carried = match fs::read(beside(database, "-shm")) {
        Ok(index) => native_u32(&index, INDEX_CARRIED_AT).unwrap_or(0),
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error),
    };
    let ends = commit_ends(&bytes);
    // The database may hold what frames up to there say.
    let open = ends.iter().filter(|(frame, _)| *frame > carried).count();
    let forgotten = open.min(commits);
    if forgotten == 0 {
        return Ok(0);
    }
    let kept = match (ends.len() - forgotten).checked_sub(1) {
        Some(last) => ends[last].1,
        None => LOG_HEADER_BYTES,
    };
    let file = fs::File::options().write(true).open(&log)?;
    file.set_len(kept as u64)?;
    file.sync_all()?;
    Ok(forgotten)
}

/// Takes the newest bytes out of the append-only file of a Redis that does not run and has its files in this folder;
/// at its next start Redis goes back to the last whole command before the cut. How many bytes that was.
///
/// # Errors
/// When there is no such file, or it cannot be cut.
pub fn cut_append_only_file(folder: &Path, bytes: u64) -> io::Result<u64> {
    let mut newest = None;
    for entry in fs::read_dir(folder.join("appendonlydir"))? {
        let path = entry?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        // appendonly.aof.NUMBER.incr.aof; what came before the first of them is in a base file.
        let Some(front) = name.strip_suffix(".incr.aof") else {
            continue;
        };
        let number: Option<u64> = front.rsplit('.').next().and_then(|number| number.parse().ok());
        newest = newest.max(number.map(|number| (number, path.clone())));
    }
    let Some((_, path)) = newest else {
        return Err(io::Error::new(io::ErrorKind::NotFound, "no append-only file"));
    };
    let file = fs::File::options().write(true).open(path)?;
    let length = file.metadata()?.len();
    let cut = bytes.min(length);
    file.set_len(length - cut)?;
    file.sync_all()?;
    Ok(cut)
}

/// For each commit in the log: the number of its last frame, counted from 1, and the offset after that.
fn commit_ends(log: &[u8]) -> Vec<(u32, usize)> {
    let (Some(page_bytes), Some(salts)) = (big_u32(log, 8), log.get(16..24)) else {
        return Vec::new();
    };
    let frame_bytes = FRAME_HEADER_BYTES + page_bytes as usize;
    let frames = log.get(LOG_HEADER_BYTES..).unwrap_or_default();
    // Frames of an earlier use of the file have other salts.
    frames
        .chunks_exact(frame_bytes)
        .zip(1_u32..)
        .take_while(|(frame, _)| frame.get(8..16) == Some(salts))
        // The last frame of a commit says how large the database is after it.
        .filter(|(frame, _)| big_u32(frame, 4).is_some_and(|pages| pages > 0))
        .map(|(_, number)| (number, LOG_HEADER_BYTES + number as usize * frame_bytes))
        .collect()
}

fn big_u32(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at + 4)?;
    Some(u32::from_be_bytes(four.try_into().ok()?))
}

/// The index is in the machine's own order of bytes.
fn native_u32(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at + 4)?;
    Some(u32::from_ne_bytes(four.try_into().ok()?))
}

fn beside(database: &Path, end: &str) -> PathBuf {
    let mut path = OsString::from(database);
    path.push(end);
    path.into()
}
