//! What goes on after a launch: feedback, what people did by hand, retrospectives, tickets.
//!
//! One process ([`serve`]) keeps the triggers and carries tickets; others hand events to it through files ([`inbox`]).
//! The deciding, the form and the ticket systems are `tminus-after`'s; here are records, folders, sockets and pages.

mod admin;
mod board;
pub mod carrier;
pub mod config;
pub mod inbox;
mod page;
pub mod scan;
mod serve;
mod sinks;
pub mod sources;
mod triggers;

use std::fs::{File, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use tminus_after::stamps::{Zone, two_zones};
use tminus_after::tickets::{Courier, Outbox};
use tminus_after::triggers::{Ledger, Raised};

pub use board::Seen;
pub use config::AfterConfig;
pub use serve::{Listeners, Outside, Prepared, Serving, serve};
pub use triggers::words;

use crate::error::{CliError, Kind, Result, from_part};

const LOCK_FILE: &str = "lock";
/// Somebody who only looks whether the folder is held, holds it for a moment.
const LOCK_TRIES: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(25);

/// The state folder, held by one process for as long as this lives.
#[derive(Debug)]
pub struct Held(#[allow(dead_code, reason = "the lock ends with the file")] File);

fn lock_file(state: &Path) -> std::io::Result<File> {
    File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(state.join(LOCK_FILE))
}

/// # Errors
/// Another process holds it, or the folder cannot be written.
pub fn hold(state: &Path) -> Result<Held> {
    inbox::private_folder(state)?;
    let mut file = lock_file(state).map_err(|e| CliError::file("open the lock in", state, &e))?;
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => {
                let whose = format!("{}\n", std::process::id());
                file.set_len(0)
                    .and_then(|()| file.write_all(whose.as_bytes()))
                    .map_err(|e| CliError::file("write the lock in", state, &e))?;
                return Ok(Held(file));
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            Err(TryLockError::Error(e)) => return Err(CliError::file("lock", state, &e)),
        }
    }
    let mut whose = String::new();
    let _ = file
        .rewind()
        .and_then(|()| file.take(32).read_to_string(&mut whose));
    Err(CliError::new(
        Kind::Environment,
        format!(
            "{} is in use by another `tminus after serve` (process {})",
            state.display(),
            whose.trim()
        ),
    )
    .hint("`tminus after scan` and `tminus after event` hand events to that one; stop it first, or give this one a `state` of its own"))
}

/// Whether a process holds the state folder now.
pub fn is_held(state: &Path) -> bool {
    lock_file(state).is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// `2026-11-22 14:00:00 UTC · 22:00:00 Asia/Shanghai (+08:00)`
pub fn stamp(at_ms: u64, zone: Option<&Zone>) -> String {
    let at = i64::try_from(at_ms)
        .ok()
        .and_then(|ms| Timestamp::from_millisecond(ms).ok());
    at.map_or_else(
        || format!("{at_ms} ms after 1970-01-01 UTC"),
        |at| two_zones(at, zone),
    )
}

/// What was raised, oldest first, and where its tickets stand.
#[derive(Debug)]
pub struct Kept {
    pub raised: Vec<Raised>,
    /// One for each sink of the configuration.
    pub outboxes: Vec<(&'static str, Outbox)>,
}

/// Reads it from the files of whoever runs or ran.
///
/// # Errors
/// A file cannot be read or holds something else.
pub fn kept(config: &AfterConfig) -> Result<Kept> {
    let told = |e: &(dyn std::error::Error + 'static)| from_part(Kind::Environment, "the state", e);
    let raised = Ledger::peek(&config.file(triggers::LEDGER_FILE)).map_err(|e| told(&e))?;
    let mut outboxes = Vec::new();
    for sink in &config.sinks {
        let outbox = Courier::peek(&carrier::outbox(&config.state, sink.name())).map_err(|e| told(&e))?;
        outboxes.push((sink.name(), outbox));
    }
    Ok(Kept { raised, outboxes })
}
